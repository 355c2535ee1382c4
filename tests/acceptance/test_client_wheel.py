"""The published client: its wheel in an environment that has nothing else, and the README's lines in there."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.client_wheel import build
from infra.servers import CHECKOUT
from infra.stack import Stack

pytestmark = pytest.mark.acceptance

BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def readme_lines(path: Path) -> str:
    [block] = [found for found in BLOCK.findall(path.read_text()) if "visiondirector_client" in found]
    return block


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("alone")
    wheel = build(folder / "dist")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    install = ["install", "-qq", "--disable-pip-version-check", "--constraint", CHECKOUT / "requirements.lock", wheel]
    subprocess.run([*pip_for(python), *install], check=True)
    return python


def pip_for(python: Path) -> list[str | Path]:
    """This environment's pip, for another one."""
    return [sys.executable, "-m", "pip", "--python", python]


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
    freeze = [*pip_for(alone), "list", "--format=freeze"]
    listed = subprocess.run(freeze, capture_output=True, text=True, check=True)
    names = {line.partition("==")[0] for line in listed.stdout.splitlines()}
    assert names <= {
        "visiondirector-client", "httpx", "httpcore", "h11", "anyio", "sniffio", "idna", "certifi", "exceptiongroup",
        "pydantic", "pydantic_core", "annotated-types", "typing-inspection", "typing_extensions",
        "rich", "markdown-it-py", "mdurl", "Pygments", "shtab",  # of the command
    }  # fmt: skip


# --- the command --------------------------------------------------------------------------------

Command = Callable[..., subprocess.CompletedProcess[str]]
BRIEFS = 5


@pytest.fixture
def command(alone: Path, tmp_path: Path) -> Command:
    """`visiondirector` of the wheel, in a folder that has modules by the names that it imports."""
    for name in ("api", "director", "tasks", "rich"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a module of the current folder was taken')")

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("VISIONDIRECTOR", "PYTHON"))}
        return subprocess.run(
            [alone.with_name("visiondirector"), *words],
            cwd=tmp_path, env={**kept, **environment}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def test_it_brings_the_command_and_leaves_the_names_of_others_alone(alone: Path, command: Command):
    said = command("--help")
    assert (said.returncode, said.stderr) == (0, "")
    assert "many briefs as one: send, watch, pause, retry, fetch" in said.stdout
    installed = alone.parent.parent / "lib"
    names = {path.name for path in installed.glob("python3*/site-packages/*")}
    assert "visiondirector_client" in names
    assert not names & {"api", "director", "tasks", "worker", "infra"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["up"], r"up: there is no local stack in .* \(run it from a checkout of VisionDirector\)"),
        (["gc"], r"this command came with the client alone, .* \(run it on a machine of the service\)"),
        (["bench", "lgbench"], r"there is no worker beside this command .*checkout"),
        (["list", "--url", "http://127.0.0.1:1"], r"no answer from http://127\.0\.0\.1:1"),
    ],
)
def test_what_needs_more_than_the_client_says_so(command: Command, words: list[str], said: str):
    done = command(*words)
    assert done.returncode in {2, 3}
    assert re.match(said, done.stderr), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.timeout(600)
def test_a_folder_of_briefs_to_pictures_in_two_commands(command: Command, stack: Stack, tmp_path: Path):
    briefs = tmp_path / "briefs"
    briefs.mkdir()
    for n in range(BRIEFS):
        (briefs / f"poster-{n:02}.txt").write_text("A red lamp.")
    service = {"VISIONDIRECTOR_URL": stack.api_url, "VISIONDIRECTOR_TOKEN": stack.token}
    two = two_commands()
    sent = command(*two[0], **service)
    assert sent.returncode == 0, sent.stderr
    watched = command(*two[1], **service)
    assert watched.returncode in {0, 1}, watched.stderr  # the sketch may miss a goal
    pictures = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert pictures == [f"poster-{n:02}.png" for n in range(BRIEFS)]
    assert f"{BRIEFS} of {BRIEFS} ended" in watched.stdout

    again = command("batch", "submit", "briefs", **service)
    assert again.stdout.startswith("sent before")
    shown = json.loads(command("batch", "show", "briefs", "--json", **service).stdout)
    assert (shown["total"], shown["counts"]["waiting"], shown["counts"]["running"]) == (BRIEFS, 0, 0)
    results = command("batch", "results", "briefs", **service).stdout.splitlines()
    assert sorted(json.loads(line)["custom_id"] for line in results) == [f"poster-{n:02}" for n in range(BRIEFS)]
    kept = command("batch", "results", "briefs", "-o", "out", "--images", **service)
    assert f"kept        {BRIEFS} pictures that were there" in kept.stdout, kept.stderr


def two_commands() -> list[list[str]]:
    """The two lines of the README, without the name of the command and the comment."""
    text = (CHECKOUT / "README.md").read_text()
    lines = re.findall(r"^ {4}visiondirector (batch (?:submit|watch) briefs.*?) *#", text, re.MULTILINE)
    return [line.split() for line in lines]
