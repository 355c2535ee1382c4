"""Pause, resume and priority of a single job, on both kinds of Redis."""

import pytest

from director.errors import Actor
from tasks.jobs import JobStatus
from tasks.ledger.types import CONTROL, CommitResult, FailResult, Record, Refusal
from tasks.orders import OrderKind, order
from tasks.reconcile import entry_of
from tests.contracts.sites import Site
from tests.contracts.test_reconcile import enter, found
from tests.support import recorded_jobs
from tests.support.ledgers import RENDER, LedgerRig


def record(rig: LedgerRig, job: str = "job-1") -> Record:
    known = rig.ledger.get(job)
    assert known
    return known


def ordered(rig: LedgerRig, kind: OrderKind, priority: int = 0) -> int | None:
    """Gives the step that is hinted; None: no hint."""
    hint = rig.ledger.order("job-1", rig.ledger.order_number("job-1"), kind, priority)
    return hint.n if hint else None


def waiting(rig: LedgerRig, queue: str = "planner") -> int:
    return {depth.queue: depth.waiting for depth in rig.ledger.depths()}.get(queue, 0)


def test_a_paused_job_is_not_claimed_nor_hinted_until_it_is_resumed(rig: LedgerRig) -> None:
    rig.submit()
    assert ordered(rig, "pause") is None
    assert (record(rig).paused, record(rig).parked, waiting(rig)) == (True, True, 0)
    assert rig.ledger.claim("job-1", 0, "host-1") is Refusal.PARKED
    rig.advance(3_600_000)
    assert rig.ledger.overdue("planner", 0, 10) == []
    assert ordered(rig, "resume") == 0
    assert (record(rig).paused, record(rig).parked, waiting(rig)) == (False, False, 1)
    assert rig.claimed().kind == "plan"


def test_a_running_step_is_committed_and_the_job_parked_behind_it(rig: LedgerRig) -> None:
    rig.submit()
    claim = rig.claimed()
    assert ordered(rig, "pause") is None
    assert (record(rig).status, record(rig).parked) == (JobStatus.RUNNING, False)
    message = ("RPUSH", f"{rig.ledger.prefix}list", "a message")
    assert rig.ledger.commit("job-1", 0, claim.nonce, "key-0", RENDER, message=message) is CommitResult.OK
    assert (record(rig).step, record(rig).parked, rig.redis.exists(message[1])) == (1, True, 0)
    assert rig.ledger.claim("job-1", 1, "host-1") is Refusal.PARKED
    assert ordered(rig, "resume") == 1
    assert rig.claimed(1).kind == "render"


def test_a_step_that_fails_or_dies_under_a_pause_waits(rig: LedgerRig) -> None:
    rig.submit()
    claim = rig.claimed()
    ordered(rig, "pause")
    rig.ledger.fail("job-1", 0, claim.nonce, "{}", Actor.SEAT, "host-1", delay_ms=1000)
    assert record(rig).parked
    rig.advance(5_000)
    assert rig.ledger.overdue("planner", 0, 10) == []
    assert rig.ledger.claim("job-1", 0, "host-1") is Refusal.PARKED
    assert ordered(rig, "resume") == 0
    claim = rig.claimed()
    ordered(rig, "pause")
    rig.advance(10_001)
    rig.ledger.reap()
    assert (record(rig).parked, waiting(rig)) == (True, 0)
    assert ordered(rig, "resume") == 0
    assert rig.claimed().attempt == 3


def test_a_cancel_ends_a_paused_job(rig: LedgerRig) -> None:
    rig.submit()
    ordered(rig, "pause")
    hint = rig.ledger.cancel("job-1")
    assert hint
    assert hint.queue == CONTROL
    assert rig.claimed().cancel
    assert ordered(rig, "resume") is None


def test_the_later_of_two_orders_holds_in_whichever_order_they_come(rig: LedgerRig) -> None:
    rig.submit()
    first, second, third = (rig.ledger.order_number("job-1") for _ in range(3))
    assert first < second < third
    assert rig.ledger.order("job-1", third, "pause") is None
    assert rig.ledger.order("job-1", second, "resume") is None
    assert record(rig).paused
    rig.ledger.order("job-1", second, "priority", 0)
    rig.ledger.order("job-1", first, "priority", 9)
    assert record(rig).priority == 0


def test_a_new_priority_is_that_of_the_next_hints(rig: LedgerRig) -> None:
    rig.submit()
    hint = rig.ledger.order("job-1", rig.ledger.order_number("job-1"), "priority", 0)
    assert hint
    assert (hint.n, hint.priority, rig.claimed().priority) == (0, 0, 0)
    assert ordered(rig, "priority", 9) is None  # it runs: nothing waits
    assert record(rig).priority == 9


def test_what_has_ended_or_is_unknown_takes_no_order(rig: LedgerRig) -> None:
    assert rig.ledger.order_number("job-1") == 0
    rig.submit()
    claim = rig.claimed()
    rig.ledger.commit("job-1", 0, claim.nonce, "key-0", None, JobStatus.DONE, "satisfied")
    assert ordered(rig, "pause") is None
    assert (record(rig).paused, record(rig).status) == (False, JobStatus.DONE)


@pytest.mark.parametrize("last", ["pause", "resume"])
def test_orders_outlive_a_wipe(open_site: Site, last: OrderKind) -> None:
    site, job = open_site, enter(open_site, recorded_jobs.job())
    kinds: tuple[OrderKind, ...] = ("resume" if last == "pause" else "pause", "priority", last, "priority")
    for priority, kind in enumerate(kinds):
        order(site.ledger, site.archive, job.id, kind, {"priority": priority})
    before = found(site, job)
    assert (before.paused, before.priority) == (last == "pause", 3)
    site.rig.wipe()
    assert site.reconciler.once()
    after = found(site, job)
    assert (after.paused, after.parked, after.priority) == (before.paused, before.parked, 3)
    assert (after.pause_order, after.priority_order) == (before.pause_order, before.priority_order)
    order(site.ledger, site.archive, job.id, "resume", {})
    assert found(site, job).pause_order > before.pause_order
    assert not found(site, job).parked


def test_an_order_that_can_not_be_read_does_what_its_name_says(open_site: Site) -> None:
    site, job = open_site, enter(open_site, recorded_jobs.job())
    site.archive.save_control(job.id, "pause", "00aa", {})
    site.archive.save_control(job.id, "priority", "00ab", {"priority": "high"})
    entry = entry_of(site.archive, job.id)
    assert entry
    assert (entry.paused, entry.priority, entry.priority_order) == (True, job.priority, 0)


def test_the_time_of_a_pause_is_no_waiting_for_what_is_held(rig: LedgerRig) -> None:
    day = 86_400_000
    rig.submit("job-2")
    claim = rig.claimed(0, "job-2")
    away = '{"boundary": "planner", "message": "refused", "resource": "http://vlm"}'
    rig.submit()
    ordered(rig, "pause")
    assert rig.ledger.fail("job-2", 0, claim.nonce, away, Actor.OUTAGE, "host-1") is FailResult.RETRY
    rig.advance(day + 1)
    ordered(rig, "resume")
    assert rig.ledger.expire_held(day) == 1  # job-2, which waited for a day
    assert record(rig).status is JobStatus.QUEUED
    rig.advance(day)
    assert rig.ledger.expire_held(day) == 1
    assert record(rig).status is JobStatus.FAILED
