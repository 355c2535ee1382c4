"""The published client: its wheel in an environment that has nothing else, and the README's lines in there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.client_wheel import build
from infra.servers import CHECKOUT
from infra.stack import Stack

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def readme_lines(path: Path) -> str:
    [block] = [found for found in BLOCK.findall(path.read_text()) if "visiondirector_client" in found]
    return block


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("alone")
    wheel = build(folder / "dist")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", CHECKOUT / "requirements.lock", wheel], check=True)
    return python


def test_the_lines_of_the_readme(alone: Path, stack: Stack, tmp_path: Path):
    environment = {**os.environ, "VISIONDIRECTOR_URL": stack.api_url, "VISIONDIRECTOR_TOKEN": stack.token}
    lines = readme_lines(CHECKOUT / "README.md")
    assert len([line for line in lines.splitlines() if line]) <= 10
    done = subprocess.run(
        [alone, "-W", "error", "-c", lines], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\w+ \d+ of \d+ goals met$", done.stdout, re.MULTILINE), done.stdout
    assert "HARBOUR" in done.stdout
    assert (tmp_path / "harbour.png").read_bytes().startswith(b"\x89PNG")
    assert done.stdout.splitlines()[:3] == ["extracted", "gated", "planned"]


def test_both_readmes_say_the_same_lines():
    ours, theirs = (readme_lines(CHECKOUT / path) for path in ("README.md", "api/client/README.md"))
    assert ours == theirs


def test_it_brings_nothing_of_the_service(alone: Path, tmp_path: Path):
    program = """
import sys
import visiondirector_client
ours = {"api", "director", "tasks", "fastapi", "redis", "boto3", "celery", "rich"}
assert not ours & set(sys.modules), ours & set(sys.modules)
"""
    subprocess.run([alone, "-I", "-c", program], cwd=tmp_path, check=True)
    listed = subprocess.run([alone, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True)
    names = {line.partition("==")[0] for line in listed.stdout.splitlines()}
    assert names - {"pip", "setuptools"} <= {
        "visiondirector-client", "httpx", "httpcore", "h11", "anyio", "sniffio", "idna", "certifi", "exceptiongroup",
        "pydantic", "pydantic_core", "annotated-types", "typing-inspection", "typing_extensions",
    }  # fmt: skip
