"""Benchmark files that belong to the user and are not shipped: tests over them are left out where they are missing."""

import os
from pathlib import Path

import pytest

DATA = "VISIONDIRECTOR_TEST_DATA"
"""Environment variable: a folder with `geneval/`, `imgedit/` and `longbench_t2i/` as their authors publish them, and
`briefs/` of LGBench-style tasks."""


def user_path(path: str) -> Path:
    """A file or folder below that folder. Skips the test where there is none."""
    folder = os.environ.get(DATA)
    if not folder or not (Path(folder) / path).exists():
        pytest.skip(f"{DATA} names no folder with {path}")
    return Path(folder) / path


def user_file(path: str) -> bytes:
    """The bytes of a file below that folder. Skips the test where there is none."""
    return user_path(path).read_bytes()
