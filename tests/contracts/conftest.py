from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.servers import Running
from tasks.store import Archive, FolderStore
from tests.contracts.sites import Site
from tests.support.batches import BatchRig
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


@pytest.fixture
def night(wiped: LedgerRig, tmp_path: Path) -> BatchRig:
    """Batches, with an editor that serves."""
    made = BatchRig(wiped, tmp_path / "objects")
    assert made.reconciler.once()
    made.serve()
    return made


@pytest.fixture
def site(wiped: LedgerRig, tmp_path: Path) -> Site:
    """A new installation: nothing stored, and a ledger without an epoch."""
    return Site(wiped, Archive(FolderStore(tmp_path / "objects")))


@pytest.fixture
def open_site(site: Site) -> Site:
    assert site.reconciler.once()
    return site
