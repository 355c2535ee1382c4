"""Hints, depths, dead letters and the rebuild. Every test runs in process and on a server."""

from collections.abc import Callable

import pytest

from director.errors import Actor, StoreError
from tasks.jobs import JobStatus
from tasks.ledger.ledger import Ledger
from tasks.ledger.types import CONTROL, CommitResult, FailResult, QueueDepth, Refusal, Renewal, Tallies, Wiped
from tests.support.ledgers import PLAN, RENDER, LedgerRig, entry


def waiting(ledger: Ledger) -> dict[str, int]:
    return {depth.queue: depth.waiting for depth in ledger.depths()}


def test_depths_tell_waiting_leased_and_delayed_apart(rig: LedgerRig) -> None:
    for i in range(4):
        rig.submit(f"job-{i}", next=RENDER)
    rig.claimed(job="job-0")
    rig.ledger.fail("job-1", 0, rig.claimed(job="job-1").nonce, "{}", Actor.SEAT, "host-1", 0, 5_000)
    assert depth_and_age(rig)[0] == QueueDepth(queue="editor.flux", waiting=2, leased=1, delayed=1)
    rig.advance(5_001)
    depth, oldest_ms = depth_and_age(rig)
    assert depth == QueueDepth(queue="editor.flux", waiting=3, leased=1, delayed=0, unhinted=1)
    assert 5_001 <= oldest_ms < 65_000
    assert len(rig.ledger.overdue("editor.flux", 5_000, 10)) == 3
    depth, oldest_ms = depth_and_age(rig)
    assert (depth.unhinted, oldest_ms < 5_000) == (0, True)


def depth_and_age(rig: LedgerRig) -> tuple[QueueDepth, int]:
    [depth] = rig.ledger.depths()
    return depth.model_copy(update={"oldest_ms": 0}), depth.oldest_ms


def test_tallies_count_deaths_and_dead_letters_by_queue(rig: LedgerRig) -> None:
    assert rig.ledger.tallies() == Tallies()
    rig.submit("dies")
    rig.submit("fails", next=RENDER)
    for death in range(1, 4):
        rig.claimed(job="dies")
        rig.advance(10_001)
        assert [record.job for record in rig.ledger.reap()] == ["dies"]
        assert rig.ledger.tallies().lease_deaths == {"planner": death}
    for _ in range(3):
        rig.ledger.fail("fails", 0, rig.claimed(job="fails").nonce, "{}", Actor.SEAT, "host-1", 0, 0)
    dead_letters = {"planner": 1, "editor.flux": 1}
    assert rig.ledger.tallies() == Tallies(dead=2, lease_deaths={"planner": 3}, dead_letters=dead_letters)
    assert rig.ledger.requeue("fails")
    assert rig.ledger.tallies() == Tallies(dead=1, lease_deaths={"planner": 3}, dead_letters=dead_letters)


def test_a_restored_dead_letter_stands(rig: LedgerRig) -> None:
    rig.wipe()
    assert rig.ledger.lock_rebuild("me", 1_000)
    assert rig.ledger.restore(entry(status=JobStatus.FAILED, dead_letter="x"), "me")
    rig.ledger.open_epoch("me")
    assert rig.ledger.tallies() == Tallies(dead=1)


class TestOverdue:
    def test_old_hints_come_oldest_first_and_once(self, rig: LedgerRig) -> None:
        for i in (2, 0, 1):
            rig.submit(f"job-{i}")
            rig.advance(1_000)
        assert rig.ledger.overdue("planner", 10_000, 10) == []
        rig.advance(10_000)
        assert [hint.job for hint in rig.ledger.overdue("planner", 10_000, 2)] == ["job-2", "job-0"]
        assert [hint.job for hint in rig.ledger.overdue("planner", 10_000, 2)] == ["job-1"]
        assert rig.ledger.overdue("planner", 10_000, 2) == []
        assert rig.ledger.overdue("elsewhere", 0, 10) == []

    def test_a_leased_job_needs_no_hint(self, rig: LedgerRig) -> None:
        rig.submit()
        claim = rig.claimed()
        rig.advance(5_000)
        assert rig.ledger.overdue("planner", 1_000, 10) == []
        rig.ledger.commit("job-1", 0, claim.nonce, "key", RENDER)
        assert rig.ledger.overdue("editor.flux", 1_000, 10) == []  # sent with the commit
        rig.advance(1_001)
        (hint,) = rig.ledger.overdue("editor.flux", 1_000, 10)
        assert (hint.n, hint.kind) == (1, "render")

    def test_after_a_failure_the_hint_is_due_with_its_delay(self, rig: LedgerRig) -> None:
        rig.submit("job-0")
        rig.submit("job-1")
        rig.ledger.fail("job-1", 0, rig.claimed().nonce, "{}", Actor.SEAT, "host-1", 0, 5_000)
        assert rig.ledger.overdue("planner", 60_000, 10) == []
        rig.advance(5_001)
        assert [hint.job for hint in rig.ledger.overdue("planner", 60_000, 10)] == ["job-1"]
        assert rig.ledger.overdue("planner", 60_000, 10) == []

    def test_what_was_reaped_counts_as_hinted(self, rig: LedgerRig) -> None:
        rig.submit()
        rig.claimed()
        rig.advance(10_001)
        assert len(rig.ledger.reap()) == 1
        assert rig.ledger.overdue("planner", 1_000, 10) == []


class TestServed:
    def test_announcements_run_out(self, rig: LedgerRig) -> None:
        rig.ledger.announce("b@host", ["planner", CONTROL], 15_000)
        rig.ledger.announce("a@host", ["planner"], 30_000)
        assert rig.ledger.served() == {CONTROL: ["b@host"], "planner": ["a@host", "b@host"]}
        rig.advance(15_001)
        assert rig.ledger.served() == {"planner": ["a@host"]}

    def test_a_worker_says_goodbye(self, rig: LedgerRig) -> None:
        rig.ledger.announce("a@host", ["planner"], 30_000)
        rig.ledger.announce("a@host", ["planner"], 0)
        assert rig.ledger.served() == {}


class TestDeadLetters:
    def test_a_dead_letter_is_there_until_it_is_filed(self, rig: LedgerRig) -> None:
        rig.submit()
        dead_letter = die(rig)
        assert [(record.job, record.dead_letter) for record in rig.ledger.dead_letters()] == [("job-1", dead_letter)]
        rig.ledger.file_dead_letter("job-1", dead_letter)
        assert rig.ledger.dead_letters() == []

    def test_filing_an_old_dead_letter_leaves_the_new_one(self, rig: LedgerRig) -> None:
        rig.submit()
        old = die(rig)
        rig.ledger.requeue("job-1")
        new = die(rig)
        rig.ledger.file_dead_letter("job-1", old)
        assert [record.dead_letter for record in rig.ledger.dead_letters()] == [new]

    def test_a_trajectory_that_failed_is_no_dead_letter(self, rig: LedgerRig) -> None:
        rig.submit()
        rig.ledger.commit("job-1", 0, rig.claimed().nonce, "key", None, JobStatus.FAILED, "failed")
        assert rig.ledger.dead_letters() == []


def die(rig: LedgerRig) -> str:
    """Use up the attempts of job-1; gives its dead letter."""
    for _ in range(3):
        claim = rig.claimed()
        result = rig.ledger.fail("job-1", 0, claim.nonce, "{}", Actor.SEAT, "host-1", 0, 0)
    assert result is FailResult.DEAD
    return claim.nonce


def test_known_tells_those_that_it_has(rig: LedgerRig) -> None:
    rig.submit("job-1")
    rig.submit("job-2")
    rig.claimed(job="job-2")
    many = [f"nobody-{i}" for i in range(2_500)]
    assert rig.ledger.known([*many, "job-2", "job-1"]) == {"job-2": JobStatus.RUNNING, "job-1": JobStatus.QUEUED}
    assert rig.ledger.known([]) == {}


def test_what_ended_long_ago_is_forgotten(rig: LedgerRig) -> None:
    for i in range(4):
        rig.submit(f"job-{i}")
    for i in range(2):
        claim = rig.claimed(job=f"job-{i}")
        rig.ledger.commit(f"job-{i}", 0, claim.nonce, "key", None, JobStatus.DONE, "satisfied")
        rig.advance(10_000)
    assert rig.ledger.forget(15_000) == 1
    assert [record.job for record in rig.ledger.jobs().records] == ["job-3", "job-2", "job-1"]
    assert rig.ledger.get("job-0") is None
    assert rig.ledger.forget(15_000) == 0


REFUSED_WHILE_WIPED: dict[str, Callable[[Ledger], object]] = {
    "create": lambda ledger: ledger.create(entry()),
    "get": lambda ledger: ledger.get("job-1"),
    "jobs": lambda ledger: ledger.jobs(),
    "claim": lambda ledger: ledger.claim("job-1", 0, "h"),
    "commit": lambda ledger: ledger.commit("job-1", 0, "aa", "key", PLAN),
    "reap": lambda ledger: ledger.reap(),
    "cancel": lambda ledger: ledger.cancel("job-1"),
    "requeue": lambda ledger: ledger.requeue("job-1"),
    "overdue": lambda ledger: ledger.overdue("planner", 0, 10),
    "dead_letters": lambda ledger: ledger.dead_letters(),
    "forget": lambda ledger: ledger.forget(0),
    "admit": lambda ledger: ledger.admit("alice", "job-1", 1, 1000),
    "remove": lambda ledger: ledger.remove("job-1"),
}


class TestWiped:
    @pytest.mark.parametrize("call", REFUSED_WHILE_WIPED.values(), ids=REFUSED_WHILE_WIPED)
    def test_it_refuses_what_needs_its_memory(self, wiped: LedgerRig, call: Callable[[Ledger], object]) -> None:
        assert wiped.ledger.epoch() is None
        with pytest.raises(Wiped):
            call(wiped.ledger)

    def test_the_rest_goes_on(self, wiped: LedgerRig) -> None:
        assert wiped.ledger.renew("job-1", 0, "aa") is Renewal.UNKNOWN
        assert wiped.ledger.fail("job-1", 0, "aa", "{}", Actor.SEAT, "host-1", 0, 0) is FailResult.REFUSED
        assert wiped.ledger.known(["job-1"]) == {}
        wiped.ledger.announce("a@host", ["planner"], 1_000)
        assert wiped.ledger.served() == {"planner": ["a@host"]}
        assert wiped.ledger.depths() == []

    def test_an_old_holder_is_refused_for_good(self, rig: LedgerRig) -> None:
        rig.submit()
        old = rig.claimed()
        rig.wipe()
        assert rig.ledger.renew("job-1", 0, old.nonce) is Renewal.UNKNOWN
        with pytest.raises(Wiped):
            rig.ledger.commit("job-1", 0, old.nonce, "key", RENDER)
        assert rig.ledger.lock_rebuild("me", 10_000)
        assert rig.ledger.restore(entry(), "me")
        assert rig.ledger.renew("job-1", 0, old.nonce) is Renewal.LOST
        rig.ledger.open_epoch("me")
        assert rig.ledger.commit("job-1", 0, old.nonce, "key", RENDER) is CommitResult.REFUSED
        rig.claimed()
        assert rig.ledger.commit("job-1", 0, old.nonce, "key", RENDER) is CommitResult.REFUSED


class TestRebuild:
    def test_one_holder_at_a_time(self, wiped: LedgerRig) -> None:
        assert wiped.ledger.lock_rebuild("me", 60_000)
        assert wiped.ledger.lock_rebuild("me", 60_000)
        assert not wiped.ledger.lock_rebuild("you", 60_000)
        for call in (lambda: wiped.ledger.restore(entry(), "you"), lambda: wiped.ledger.open_epoch("you")):
            with pytest.raises(StoreError, match="lock"):
                call()

    def test_once_open_there_is_nothing_to_rebuild(self, rig: LedgerRig) -> None:
        assert rig.ledger.epoch()
        assert not rig.ledger.lock_rebuild("me", 60_000)
        for call in (lambda: rig.ledger.restore(entry(), "me"), lambda: rig.ledger.open_epoch("me")):
            with pytest.raises(StoreError, match="lock"):
                call()

    def test_the_answer_that_it_is_open_may_be_lost(self, wiped: LedgerRig) -> None:
        assert wiped.ledger.lock_rebuild("me", 60_000)
        assert [wiped.ledger.run("open_epoch", "me", "aa", "", 0) for _ in range(2)] == [1, 1]
        assert wiped.ledger.epoch() == "aa"

    def test_each_epoch_has_its_own_name(self, rig: LedgerRig) -> None:
        before = rig.ledger.epoch()
        rig.wipe()
        rig.open()
        assert before != rig.ledger.epoch()

    def test_a_job_is_restored_once_and_its_hint_was_never_sent(self, wiped: LedgerRig) -> None:
        assert wiped.ledger.lock_rebuild("me", 60_000)
        assert wiped.ledger.restore(entry(step=2, snapshot="key-1", next=RENDER), "me")
        assert not wiped.ledger.restore(entry(), "me")
        with pytest.raises(Wiped):
            wiped.ledger.claim("job-1", 2, "h")
        wiped.ledger.open_epoch("me")
        (hint,) = wiped.ledger.overdue("editor.flux", 60_000, 10)
        assert (hint.job, hint.n) == ("job-1", 2)
        assert wiped.claimed(2).snapshot == "key-1"

    def test_orders_are_restored_with_it(self, wiped: LedgerRig) -> None:
        assert wiped.ledger.lock_rebuild("me", 60_000)
        wiped.ledger.restore(entry("cancelled", next=RENDER, cancel=True), "me")
        wiped.ledger.restore(entry("dead", status=JobStatus.FAILED, dead_letter="aa", error="{}"), "me")
        wiped.ledger.restore(entry("done", next=None, status=JobStatus.DONE, stop="budget", step=9), "me")
        wiped.ledger.open_epoch("me")
        assert waiting(wiped.ledger) == {CONTROL: 1}
        assert wiped.claimed(job="cancelled").cancel
        assert wiped.ledger.claim("dead", 0, "h") is Refusal.ENDED
        assert wiped.ledger.dead_letters() == []  # it is filed: that is where it came from
        hint = wiped.ledger.requeue("dead")
        assert hint
        assert hint.queue == "planner"
        record = wiped.ledger.get("done")
        assert record
        assert (record.status, record.stop, record.step) == (JobStatus.DONE, "budget", 9)


def test_a_lock_whose_holder_died_runs_out(wiped: LedgerRig) -> None:
    assert wiped.ledger.lock_rebuild("me", 30_000)
    wiped.advance(30_001)
    with pytest.raises(StoreError, match="lock"):
        wiped.ledger.restore(entry(), "me")
    assert wiped.ledger.lock_rebuild("you", 30_000)
    with pytest.raises(StoreError, match="lock"):
        wiped.ledger.open_epoch("me")
    wiped.ledger.open_epoch("you")
