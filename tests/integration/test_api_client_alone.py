"""The client as a package of its own: nothing of the project beside it."""

import shutil
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).resolve().parents[2] / "api" / "client"
PROGRAM = """
import sys
import elsewhere
ours = {"api", "director", "tasks", "fastapi", "redis", "boto3", "celery"}
assert not ours & set(sys.modules), ours & set(sys.modules)
with elsewhere.Client("http://127.0.0.1:1", sleep=lambda seconds: None) as client:
    try:
        client.job("x")
    except elsewhere.Unavailable as error:
        print(error)
"""


def test_the_client_works_under_another_name_and_alone(tmp_path: Path) -> None:
    shutil.copytree(CLIENT, tmp_path / "elsewhere")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no answer: ConnectError")
