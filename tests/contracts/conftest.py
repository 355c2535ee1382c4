from collections.abc import Iterator

import pytest

from infra.servers import Running
from tests.contracts.benches import Bench, memory_bench, redis_bench


@pytest.fixture(params=["memory", "redis"])
def wiped(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Each kind of ledger, new and without an epoch."""
    if request.param == "memory":
        yield memory_bench()
    else:
        running: Running = request.getfixturevalue("redis_running")
        with redis_bench(running.url) as bench:
            yield bench


@pytest.fixture
def bench(wiped: Bench) -> Bench:
    """Each kind of ledger, serving and empty."""
    wiped.open()
    return wiped
