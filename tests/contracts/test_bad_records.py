"""One record that can't be used is set aside and named; the rest goes on, and storage brings it back."""

from pathlib import Path

import pytest

from tasks.jobs import JobStatus
from tasks.ledger.types import Refusal
from tasks.reconcile import entry_of
from tasks.store import Archive, FolderStore
from tests.contracts.sites import Site
from tests.support import recorded_jobs
from tests.support.ledgers import LedgerRig

SPOILED = {
    "evicted": None,
    "no status": {"status": None},
    "no lease": {"lease_ms": None},
    "no number": {"step": "five"},
    "no such status": {"status": "odd"},
    "broken summary": {"facts": "{"},
    "broken cost": {"cost_ms": "much"},
    "no dead letter": {"letter": None},
}


def spoil(rig: LedgerRig, job: str, how: str) -> None:
    key, fields = f"{rig.ledger.prefix}job:{job}", SPOILED[how]
    if fields is None:
        rig.redis.delete(key)
        return
    for name, value in fields.items():
        if value is None:
            rig.redis.hdel(key, name)
        else:
            rig.redis.hset(key, name, value)


@pytest.mark.parametrize("how", SPOILED)
class TestTheLedger:
    def test_lists_go_on(self, rig: LedgerRig, how: str) -> None:
        for i in range(3):
            rig.submit(f"job-{i}", created_ms=1000 + i)
        spoil(rig, "job-1", how)
        for _ in range(2):
            assert [record.job for record in rig.ledger.jobs().records] == ["job-2", "job-0"]
        assert rig.ledger.broken() == ["job-1"]
        assert rig.ledger.get("job-1") is None
        assert rig.ledger.tallies().set_aside == {"all": 1}

    def test_dead_leases_and_lost_hints_of_others_are_found(self, rig: LedgerRig, how: str) -> None:
        for i in range(3):
            rig.submit(f"job-{i}")
        rig.claimed(0, "job-1")
        rig.claimed(0, "job-2")
        spoil(rig, "job-0", how)
        spoil(rig, "job-1", how)
        rig.advance(10_001)
        assert "job-2" in [record.job for record in rig.ledger.reap()]
        hints = rig.ledger.overdue("planner", 0, 10)
        assert "job-2" in [hint.job for hint in hints]
        assert rig.ledger.cancel("job-2")

    def test_the_job_itself_is_unknown_and_can_be_removed(self, rig: LedgerRig, how: str) -> None:
        rig.submit()
        spoil(rig, "job-1", how)
        rig.ledger.jobs()
        assert rig.ledger.claim("job-1", 0, "h") is Refusal.UNKNOWN
        assert rig.ledger.cancel("job-1") is None
        assert rig.ledger.requeue("job-1") is None
        assert rig.ledger.remove("job-1")
        assert rig.ledger.broken() == []

    def test_an_owner_has_no_place_less(self, rig: LedgerRig, how: str) -> None:
        rig.submit()
        spoil(rig, "job-1", how)
        rig.ledger.jobs()
        assert rig.ledger.admit("alice", "job-1", 1, 1000)


@pytest.mark.parametrize("how", ["evicted", "no lease", "no number", "broken summary"])
def test_the_reconciler_brings_it_back_from_storage(wiped: LedgerRig, tmp_path: Path, how: str) -> None:
    site = Site(wiped, Archive(FolderStore(tmp_path / "objects")))
    jobs = [recorded_jobs.job(key) for key in "ab"]
    for job in jobs:
        recorded_jobs.run(site.archive, job, 2)
    assert site.reconciler.once()
    spoil(wiped, jobs[0].id, how)
    site.wait()
    for _ in range(2):
        assert site.reconciler.once()
        wiped.ledger.jobs()
    assert site.reconciler.once()
    record = wiped.ledger.get(jobs[0].id)
    assert record
    assert (record.status, record.step) == (JobStatus.QUEUED, 2)
    assert site.ledger.broken() == []


def test_a_bad_order_and_a_bad_attempt_stop_no_rebuild(wiped: LedgerRig, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "objects")
    site = Site(wiped, Archive(store))
    bad, good, cancelled = (recorded_jobs.job(key) for key in ("bad", "good", "cancelled"))
    for job in (bad, good, cancelled):
        recorded_jobs.run(site.archive, job, 2)
    store.put(f"jobs/{bad.id}/job.json", b"5")
    store.put(f"jobs/{good.id}/control/requeue-aa.json", b"5")
    store.put(f"jobs/{good.id}/attempts/0000-aa.json", b"5")
    store.put(f"jobs/{cancelled.id}/control/cancel-aa.json", b"5")
    assert site.reconciler.once()
    assert wiped.ledger.get(bad.id) is None
    assert [wiped.ledger.get(job.id).cancel for job in (good, cancelled)] == [False, True]  # pyright: ignore
    entry = entry_of(site.archive, good.id)
    assert entry and entry.next
