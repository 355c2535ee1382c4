"""Commands that need no service."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from api.cli import endpoint, main
from api.cli.console import USAGE
from api.cli.parser import parser
from director.errors import BriefError


def test_a_command_starts_without_what_only_the_service_needs() -> None:
    program = "import sys, api.cli; print({'boto3', 'redis', 'celery', 'fastapi', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command_and_option(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("submit", "requeue", "completion", "no-metadata", "best-of-4"):
        assert word in script
    if binary := shutil.which(shell):
        subprocess.run([binary, "-n", "/dev/stdin"], input=script, text=True, check=True)


def test_env_gives_shell_assignments(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("VISIONDIRECTOR_TOKEN", "it's $HOME")
    assert main(["env", "--url", "http://render.test"]) == 0
    script = capsys.readouterr().out + 'echo "$VISIONDIRECTOR_URL $VISIONDIRECTOR_TOKEN"'
    said = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout == "http://render.test it's $HOME\n"


def test_the_stack_of_no_checkout_is_a_clear_error(tmp_path: Path) -> None:
    args = parser().parse_args(["up"])
    with pytest.raises(BriefError, match=r"there is no local stack in .* \(run it from a checkout"):
        endpoint.stack(tmp_path)(args)


def test_the_stack_gets_the_words_of_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "__init__.py").touch()
    (tmp_path / "infra" / "stack.py").write_text("import sys; print(sys.argv[1:]); sys.exit(3)")
    args = parser().parse_args(["up", "--workers", "5", "--no-flower", "--profile", "tiny", "--var", str(tmp_path)])
    assert endpoint.stack(tmp_path)(args) == 3
    assert capfd.readouterr().out.strip() == str(
        ["up", "--workers", "5", "--profile", "tiny", "--no-flower", "--var", str(tmp_path)]
    )


@pytest.mark.parametrize("url", ["render.test", "ftp://render.test", "http://a:b", ""])
def test_an_address_that_is_none(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", f"--url={url or ' '}"]) == USAGE
    assert "is no address of a service (write http://HOST:PORT)" in capsys.readouterr().err
