#!/usr/bin/env bash
# On the GPU machine, in a checkout that has .gpu-carry/ (pack.sh): about eight minutes, nothing is fetched.
#   OUT=DIR SECONDS_LEFT=450 bash tests/perf/gpu/run.sh     leaves DIR/gpu.json and DIR/gpu.log
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
out=${OUT:-out/bench}
mkdir -p "$out"
python3 -m pip install -q --no-index --no-deps --no-compile --upgrade --target .gpu-carry/site .gpu-carry/*.whl
export PYTHONPATH=$PWD/.gpu-carry/site:$PWD PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
nvidia-smi --query-gpu=name,memory.total,memory.used,driver_version --format=csv,noheader
python3 -m tests.perf.gpu --seconds "${SECONDS_LEFT:-450}" --out "$out" 2>&1 | tee "$out/gpu.log"
