"""A result PNG makes the same job again: through the command line, on the real stack, with the sketch studio."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.servers import CHECKOUT
from infra.stack import Stack
from tasks.store import image_hash

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

SMALL = [word for pair in ("rounds=2", "candidates=2", "width=192", "height=192") for word in ("--set", pair)]
TEXT = "Put a yellow star at the upper right. Set the text 'FIRST PRESS' at the top."


def visiondirector(stack: Stack, *words: str, token: str | None = None) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **stack.settings, **({"VISIONDIRECTOR_TOKEN": token} if token else {})}
    command = [sys.executable, "-m", "api.cli", *words]
    return subprocess.run(
        command, cwd=CHECKOUT, env=environment, input=TEXT, capture_output=True, text=True, timeout=150, check=False
    )


def test_the_same_again_is_the_same_file(stack: Stack, tmp_path: Path):
    def saved(name: str, *words: str) -> Path:
        done = visiondirector(stack, "submit", *words, "--watch", "-o", str(tmp_path / name))
        assert done.returncode in (0, 1), done.stderr
        [png] = (tmp_path / name).glob("*.png")
        return png

    source = saved("source", "-", *SMALL, "--seed", "1")
    first = saved("first", "-", *SMALL, "--source", str(source), "--seed", "8", "--title", "Star")
    again = saved("again", "--from", str(first))
    assert image_hash(first.read_bytes()) != image_hash(source.read_bytes())
    assert again.read_bytes() == first.read_bytes()
    other = saved("other", "--from", str(first), "--seed", "9")
    assert image_hash(other.read_bytes()) != image_hash(first.read_bytes())
