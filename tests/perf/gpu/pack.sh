#!/usr/bin/env bash
# Lay the wheels that a bare GPU machine lacks beside its torch and transformers into .gpu-carry/ (git-ignored, 9 MB).
#   PYTHON=.venv/bin/python TARGET=3.12 tests/perf/gpu/pack.sh       TARGET: the Python of that machine
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
python=${PYTHON:-python3} target=${TARGET:-3.12}
rm -rf .gpu-carry && mkdir .gpu-carry
"$python" -m pip download -q --no-deps --only-binary=:all: --python-version "$target" --implementation cp \
  --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
  --constraint requirements.lock -d .gpu-carry \
  diffusers==0.42.1 importlib_metadata \
  pydantic pydantic_core pydantic-settings python-dotenv annotated-types typing-inspection typing_extensions
echo "ready: $(ls .gpu-carry | wc -l) wheels, $(du -sh .gpu-carry | cut -f1). On the GPU machine, in this checkout: bash tests/perf/gpu/run.sh"
