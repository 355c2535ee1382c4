"""The prepared GPU run starts on a bare machine: it imports nothing that neither the machine nor the pack brings."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
OF_THE_MACHINE = {"numpy", "PIL", "torch", "torchvision", "transformers", "accelerate"}
"""As docs/gpu.md lists them."""
LISTED = """
import sys
import tests.perf.gpu.__main__
files = {name.partition(".")[0]: getattr(module, "__file__", None) or "" for name, module in [*sys.modules.items()]}
print(*(name for name, file in files.items() if "site-packages" in file))
"""


def test_what_the_run_imports_is_in_the_pack_or_on_the_machine():
    pack = (ROOT / "tests" / "perf" / "gpu" / "pack.sh").read_text(encoding="utf-8")
    names = pack.partition("-d .gpu-carry")[2].partition("\necho")[0]
    packed = {name.replace("-", "_") for name in re.findall(r"[a-z][\w-]+", names)} | {"dotenv"}
    done = subprocess.run([sys.executable, "-c", LISTED], cwd=ROOT, capture_output=True, text=True, check=True)
    imported = {name for name in done.stdout.split() if not name.startswith(("_", "distutils"))}
    assert {"pydantic", "numpy"} <= imported
    assert imported - packed - OF_THE_MACHINE == set()
