"""What jobs cost before a wipe comes back behind the rebuild, once, whatever the jobs spend meanwhile."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from director.errors import Actor
from tasks.ledger.types import CommitResult
from tasks.store import Archive, FolderStore, Item
from tasks.summary import NO_COST, Cost
from tests.contracts.sites import Site
from tests.support import recorded_jobs
from tests.support.ledgers import PLAN, LedgerRig, entry

STEP = Cost(ms=1500, renders=4, attempts=1)


class Noting(FolderStore):
    """A store that notes what is asked of it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.got: list[str] = []
        self.listed: list[str] = []

    def get(self, key: str) -> bytes:
        self.got.append(key)
        return super().get(key)

    def list(self, prefix: str, after: str = "") -> list[str]:
        self.listed.append(prefix)
        return super().list(prefix, after)

    def items(self, prefix: str, after: str = "") -> Iterator[Item]:
        self.listed.append(prefix)
        return super().items(prefix, after)


@pytest.fixture
def store(tmp_path: Path) -> Noting:
    return Noting(tmp_path / "objects")


@pytest.fixture
def site(wiped: LedgerRig, store: Noting) -> Site:
    return Site(wiped, Archive(store))


def record(**more: Any) -> dict[str, Any]:
    return {"kind": "render", "seconds": 1.5, "renders": 4, "committed": True, "counts": {}, **more}


def ran(site: Site, steps: int = 3) -> str:
    """A job after so many steps, each with an attempt record; gives its id."""
    job = recorded_jobs.job()
    recorded_jobs.run(site.archive, job, steps)
    for n in range(steps):
        site.archive.save_attempt(job.id, n, recorded_jobs.nonce(n), record())
    return job.id


def cost(site: Site, job: str) -> Cost:
    found = site.ledger.get(job)
    assert found
    return found.cost


def times(number: int) -> Cost:
    return sum((STEP for _ in range(number)), NO_COST)


def test_a_rebuild_reads_the_job_and_its_newest_snapshot(site: Site, store: Noting) -> None:
    job = ran(site, 5)
    store.got.clear()
    store.listed.clear()
    assert site.reconciler.rebuild()
    assert sorted(store.got) == [f"jobs/{job}/job.json", f"jobs/{job}/steps/0004-{recorded_jobs.nonce(4)}.json"]
    of_jobs = [prefix for prefix in store.listed if prefix != "ended/"]
    assert of_jobs == ["live/", f"jobs/{job}/"]
    assert (cost(site, job), site.ledger.uncosted()) == (NO_COST, [job])


def test_the_cost_comes_with_the_next_passes_and_once(site: Site) -> None:
    job = ran(site)
    assert site.reconciler.once()
    assert (cost(site, job), site.ledger.uncosted()) == (times(3), [])
    site.reconciler.restore_costs()
    site.ledger.restore_cost(job, site.archive.costs(job))
    assert cost(site, job) == times(3)


def test_what_the_job_spent_since_counts_once(site: Site) -> None:
    job = ran(site)
    assert site.reconciler.rebuild()
    claim = site.rig.claimed(3, job)
    assert site.ledger.commit(job, 3, claim.nonce, "key", PLAN, cost=STEP) is CommitResult.OK
    site.archive.save_attempt(job, 3, claim.nonce, record())
    unfinished = site.rig.claimed(4, job)
    site.archive.save_attempt(job, 4, unfinished.nonce, record())  # read before the ledger is told
    site.reconciler.restore_costs()
    assert cost(site, job) == times(5)
    for _ in range(2):
        assert site.ledger.commit(job, 4, unfinished.nonce, "key", PLAN, cost=STEP) is CommitResult.OK
    assert cost(site, job) == times(5)


def test_an_attempt_from_before_the_wipe_counts_once(site: Site) -> None:
    job = ran(site)
    assert site.reconciler.once()
    site.rig.submit("other")
    zombie = site.rig.claimed(3, job)
    site.rig.wipe()
    assert site.reconciler.rebuild()
    site.ledger.fail(job, 3, zombie.nonce, "{}", Actor.SEAT, "host-1", 0, 0, STEP)
    site.archive.save_attempt(job, 3, zombie.nonce, record(committed=False))
    site.reconciler.restore_costs()
    assert cost(site, job) == times(4) + Cost(wasted_attempts=1)


def test_of_a_step_that_was_committed_twice_one_attempt_is_wasted(site: Site) -> None:
    """A ledger that came back older than it was has its last steps done again."""
    job = ran(site)
    for nonce, started in (("a" * 32, 5.0), ("b" * 32, 7.0)):
        site.archive.save_attempt(job, 1, nonce, {**record(), "started": started})
    assert site.reconciler.once()
    assert cost(site, job) == times(5) + Cost(wasted_attempts=2)


def test_a_record_that_can_not_be_read_is_a_number_lost(site: Site, store: Noting) -> None:
    job = ran(site)
    store.put(f"jobs/{job}/attempts/0001-{recorded_jobs.nonce(1)}.json", b"{")
    assert site.reconciler.once()
    assert (cost(site, job), site.ledger.uncosted()) == (times(2), [])


def test_more_attempts_than_one_call_takes(site: Site) -> None:
    assert site.ledger.lock_rebuild("me", 10_000)
    site.ledger.restore(entry(cost_later=True), "me")
    site.ledger.open_epoch("me")
    costs = {f"{n:032x}": STEP for n in range(1_200)}
    for _ in range(2):
        site.ledger.restore_cost("job-1", costs)
    assert (cost(site, "job-1"), site.ledger.uncosted()) == (times(1_200), [])


def test_a_job_that_went_meanwhile_is_not_asked_for(site: Site) -> None:
    job = ran(site)
    assert site.reconciler.rebuild()
    site.archive.remove(job)
    assert site.ledger.drop(job)
    assert site.ledger.uncosted() == []
    site.ledger.restore_cost(job, {"aa": STEP})
    assert site.ledger.get(job) is None
