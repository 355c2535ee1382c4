"""Benchmark files that belong to the user and are not shipped: tests over them are left out where they are missing."""

import os
from pathlib import Path

import pytest

DATA = "VISIONDIRECTOR_TEST_DATA"
"""Environment variable: a folder with `geneval/` and `imgedit/` as their authors publish them."""


def user_file(path: str) -> bytes:
    """A file below that folder. Skips the test where there is none."""
    folder = os.environ.get(DATA)
    if not folder or not (Path(folder) / path).is_file():
        pytest.skip(f"{DATA} names no folder with {path}")
    return (Path(folder) / path).read_bytes()
