#!/usr/bin/env bash
# setup_cpu.sh FOLDER: a virtual environment with SGLang for a machine without a GPU (2.9 GB).
# A second run with the same pins does nothing. Needs Python >= 3.11 as $PYTHON or python3.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${1:?usage: setup_cpu.sh FOLDER}
state=$(cat "$here/setup_cpu.sh" "$here/requirements-sglang.txt" "$here"/stubs/*.py "$here"/stubs/*/*.py | sha256sum | cut -c1-16)
done_mark=$venv/.ready-$state
[ -e "$done_mark" ] && exit 0

if compgen -G "$venv/lib/python3*/site-packages/sglang_kernel-*.dist-info" >/dev/null; then
  echo "$venv holds an SGLang for GPUs, which this would break: move it away, and name its python in VISIONDIRECTOR_SGLANG_PYTHON" >&2
  exit 1
fi
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }
[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
# torch by itself and first: it is the one package whose dependencies differ between a CPU and a CUDA build.
pip install --quiet torch==2.13.0
# SGLang asks for CUDA wheels, so nothing here may bring its dependencies; the file is complete.
pip install --quiet --no-deps --requirement "$here/requirements-sglang.txt"
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cp -r "$here"/stubs/. "$site/"
echo 'import _torchvision_on_cpu' > "$site/_torchvision_on_cpu.pth"
rm -f "$venv"/.ready-*
touch "$done_mark"
