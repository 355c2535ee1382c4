#!/usr/bin/env bash
# serve_cpu.sh VENV MODEL PORT [flags]: a real SGLang server on a CPU, for tests.
# One thread, passive: with more, 16 requests took 26 s in place of 0.9 s on two cores.
set -euo pipefail
venv=$1 model=$2 port=$3
shift 3
export SGLANG_USE_CPU_ENGINE=1 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE HF_HUB_OFFLINE=1
# Without --constrained-json-disable-any-whitespace white space can run to max_tokens; without
# --enable-cache-report nobody learns what the prefix cache saved.
exec "$venv/bin/python" -m sglang.launch_server --model-path "$model" --device cpu --host 127.0.0.1 --port "$port" \
  --attention-backend torch_native --context-length 8192 --max-total-tokens 32768 --max-running-requests 16 \
  --enable-cache-report --constrained-json-disable-any-whitespace --sleep-on-idle "$@"
