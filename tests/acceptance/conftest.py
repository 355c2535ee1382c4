"""One stack for the acceptance tests of a run, with everything that `make up` starts."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.client import Client
from infra.stack import Stack
from tests.support import slow


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), workers=4) as running:
        yield running


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    with Client(stack.api_url, stack.token) as made:
        yield made


@pytest.fixture
def slow_worker(stack: Stack, tmp_path: Path) -> Iterator[Path]:
    """A worker that serves `editor.slow`, with three seconds for a render; gives the folder of its marks."""
    environment = {
        **os.environ, **stack.settings, slow.MARKS: str(tmp_path), "VISIONDIRECTOR_MAX_STEP_S": '{"render": 3}',
    }  # fmt: skip
    with (tmp_path / "worker.log").open("w") as log:
        command = [sys.executable, "-m", "tests.support.slow"]
        with subprocess.Popen(command, env=environment, stdout=log, stderr=log) as worker:
            try:
                yield tmp_path
            finally:
                worker.terminate()
