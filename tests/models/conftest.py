"""Real model servers. `make setup-sglang` makes the environment that they run in."""

from collections.abc import Iterator

import pytest

from tests.models.sglang_server import SglangServer, tiny_checkpoint


@pytest.fixture(scope="session")
def sglang(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SglangServer]:
    """One server for the whole run; a minute to start."""
    server = SglangServer(tiny_checkpoint(), tmp_path_factory.mktemp("sglang") / "server.log")
    server.start()
    try:
        yield server
    finally:
        server.kill()
