from collections.abc import Iterator

import pytest

from infra.servers import Running
from tests.support.ledgers import LedgerRig, in_process, on_server


@pytest.fixture(params=["in process", "server"])
def wiped(request: pytest.FixtureRequest) -> Iterator[LedgerRig]:
    """A ledger on each kind of Redis, new and without an epoch."""
    if request.param == "in process":
        yield in_process()
    else:
        running: Running = request.getfixturevalue("redis_running")
        with on_server(running.url) as rig:
            yield rig


@pytest.fixture
def rig(wiped: LedgerRig) -> LedgerRig:
    """A ledger on each kind of Redis, serving and empty."""
    wiped.open()
    return wiped
