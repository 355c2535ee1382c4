"""Whose fault a failure is: what is held, and who is charged. Every test runs in process and on a server."""

import json

import pytest

from director.errors import Actor
from tasks.jobs import JobStatus
from tasks.ledger.types import CONTROL, Claim, FailResult, Refusal
from tests.contracts.failures import AWAY, MINUTE, SERVER, fails, found, hinted, serve, succeeds, tries, trouble
from tests.support.ledgers import RENDER, LedgerRig


class TestOutage:
    @pytest.mark.parametrize("actor", [Actor.OUTAGE, Actor.OPERATOR])
    def test_what_is_away_holds_its_queue_and_charges_nobody(self, rig: LedgerRig, actor: Actor) -> None:
        rig.submit()
        for _ in range(20):
            assert fails(rig, "job-1", "w", actor) is FailResult.RETRY
            rig.advance(MINUTE + 1)
        record = found(rig)
        assert (record.status, record.seat_failures, record.queue, record.not_before_ms) == (
            JobStatus.QUEUED, 0, "planner", 0,
        )  # fmt: skip
        (hold,) = rig.ledger.holds()
        assert (hold.queue, hold.actor, hold.why, hold.fix, hold.resource, hold.tries, hold.waiting) == (
            "planner", actor, "connection refused", "start it", SERVER, 20, 1,
        )  # fmt: skip
        assert hold.since_ms > 0

    def test_others_wait_too_and_one_probes(self, rig: LedgerRig) -> None:
        for job in ("a", "b", "c"):
            rig.submit(job)
        fails(rig, "a", "w")
        assert tries(rig, "b", "w") is Refusal.HELD
        assert tries(rig, "b", "another") is Refusal.HELD
        assert hinted(rig) == []
        rig.advance(1_001)
        assert hinted(rig) == ["b"]  # not the one that failed last
        rig.claimed(0, "b", "w")
        assert tries(rig, "c", "w") is Refusal.HELD
        assert hinted(rig) == []
        rig.advance(5_000)  # the probe still runs
        assert tries(rig, "c", "w") is Refusal.HELD
        assert hinted(rig) == []

    def test_a_dead_probe_is_followed_by_another(self, rig: LedgerRig) -> None:
        rig.submit("a")
        rig.submit("b")
        fails(rig, "a", "w")
        rig.advance(1_001)
        rig.claimed(0, "b", "w")
        rig.advance(10_001)
        assert isinstance(tries(rig, "a", "w"), Claim)

    def test_each_waiting_job_is_a_probe_in_its_turn(self, rig: LedgerRig) -> None:
        for job in ("a", "b", "c"):
            rig.submit(job)
            rig.advance(1)
        fails(rig, "a", "w")
        seen: list[str] = []
        for _ in range(6):
            rig.advance(MINUTE + 1)
            (job,) = hinted(rig)
            seen.append(job)
            fails(rig, job, "w")
        assert seen == ["b", "c", "a", "b", "c", "a"]

    def test_a_probe_that_nobody_took_is_hinted_again_later(self, rig: LedgerRig) -> None:
        rig.submit("a")
        rig.submit("b")
        fails(rig, "a", "w")
        rig.advance(1_001)
        assert [hint.job for hint in rig.ledger.overdue("planner", 3_000, 10)] == ["b"]
        assert rig.ledger.overdue("planner", 3_000, 10) == []
        rig.advance(3_001)
        assert len(rig.ledger.overdue("planner", 3_000, 10)) == 1

    def test_the_pause_doubles_with_each_probe_up_to_its_cap(self, rig: LedgerRig) -> None:
        rig.submit()
        pauses: list[int] = []
        for _ in range(8):
            fails(rig, "job-1", "w")
            pause = 0
            while tries(rig, "job-1", "w") is Refusal.HELD and pause < 100:
                rig.advance(1_000)
                pause += 1
            pauses.append(pause)
            claim = found(rig)
            rig.ledger.fail("job-1", 0, _nonce(rig), AWAY, Actor.OUTAGE, "w")
            assert claim.status is JobStatus.RUNNING
            rig.advance(MINUTE + 1)
        assert pauses == [1, 4, 16, 60, 60, 60, 60, 60]

    def test_eight_that_fail_at_once_count_as_one(self, rig: LedgerRig) -> None:
        jobs = [f"job-{i}" for i in range(8)]
        for job in jobs:
            rig.submit(job)
        claims = [rig.claimed(0, job, "w") for job in jobs]
        for claim in claims:
            rig.ledger.fail(claim.job, 0, claim.nonce, AWAY, Actor.OUTAGE, "w")
        assert [hold.tries for hold in rig.ledger.holds()] == [1]
        rig.advance(1_001)
        assert isinstance(tries(rig, "job-3", "w"), Claim)

    def test_retry_after_is_heeded_up_to_an_hour(self, rig: LedgerRig) -> None:
        rig.submit()
        fails(rig, "job-1", "w", retry_after_ms=20_000)
        rig.advance(19_000)
        assert tries(rig, "job-1", "w") is Refusal.HELD
        rig.advance(1_001)
        assert fails(rig, "job-1", "w", retry_after_ms=10**9) is FailResult.RETRY
        rig.advance(3_600_000 - 2_000)
        assert tries(rig, "job-1", "w") is Refusal.HELD
        rig.advance(2_001)
        assert isinstance(tries(rig, "job-1", "w"), Claim)

    def test_one_success_lets_all_go_on_at_once(self, rig: LedgerRig) -> None:
        for job in ("a", "b", "c"):
            rig.submit(job)
        fails(rig, "a", "w")
        assert {depth.queue: depth.unhinted for depth in rig.ledger.depths()}["planner"] == 0
        rig.advance(1_001)
        succeeds(rig, "b", "w", RENDER)
        assert rig.ledger.holds() == []
        assert sorted(hint.job for hint in rig.ledger.overdue("planner", MINUTE, 10)) == ["a", "c"]
        assert isinstance(tries(rig, "c", "w"), Claim)

    def test_what_no_seat_did_proves_nothing(self, rig: LedgerRig) -> None:
        rig.submit("a")
        rig.submit("b")
        fails(rig, "a", "w")
        rig.advance(1_001)
        nonce = rig.claimed(0, "b", "w").nonce
        rig.ledger.commit("b", 0, nonce, "key", None, JobStatus.DONE, "budget", performed=False)
        assert [hold.queue for hold in rig.ledger.holds()] == ["planner"]

    def test_another_queue_goes_on(self, rig: LedgerRig) -> None:
        rig.submit("a")
        rig.submit("b", next=RENDER)
        fails(rig, "a", "w")
        assert isinstance(tries(rig, "b", "w"), Claim)

    def test_a_cancelled_job_does_not_wait(self, rig: LedgerRig) -> None:
        rig.submit()
        fails(rig, "job-1", "w")
        hint = rig.ledger.cancel("job-1")
        assert hint
        assert hint.queue == CONTROL
        assert rig.claimed(0, "job-1", "control").cancel

    def test_one_cancelled_while_it_fails_holds_its_queue_all_the_same(self, rig: LedgerRig) -> None:
        rig.submit()
        claim = rig.claimed()
        rig.ledger.cancel("job-1")
        rig.ledger.fail("job-1", 0, claim.nonce, AWAY, Actor.OUTAGE, "w")
        assert found(rig).queue == CONTROL
        assert [hold.queue for hold in rig.ledger.holds()] == ["planner"]
        assert rig.claimed(0, "job-1", "control").cancel

    def test_storage_that_is_away_holds_nothing(self, rig: LedgerRig) -> None:
        rig.submit()
        fails(rig, "job-1", "w", error=trouble("S3 is away", "", "store"))
        assert rig.ledger.holds() == []
        assert rig.ledger.sick_workers() == []
        assert tries(rig, "job-1", "w") is Refusal.EARLY

    def test_what_it_says_is_that_of_the_last_failure(self, rig: LedgerRig) -> None:
        rig.submit()
        fails(rig, "job-1", "w")
        rig.advance(1_001)
        fails(rig, "job-1", "w", Actor.OPERATOR, trouble("401 wrong key"))
        assert [(hold.actor, hold.why) for hold in rig.ledger.holds()] == [(Actor.OPERATOR, "401 wrong key")]


def _nonce(rig: LedgerRig, job: str = "job-1") -> str:
    return str(rig.redis.hget(f"{rig.ledger.prefix}job:{job}", "nonce"))


class TestPoison:
    def test_a_job_that_fails_while_others_succeed_is_charged(self, rig: LedgerRig) -> None:
        rig.submit("poison")
        rig.submit("good")
        assert fails(rig, "poison", "w") is FailResult.RETRY
        for result in (FailResult.RETRY, FailResult.RETRY, FailResult.DEAD):
            rig.advance(MINUTE + 1)
            succeeds(rig, "good", "w")
            assert rig.ledger.holds() == []
            assert fails(rig, "poison", "w") is result
            assert rig.ledger.holds() == []
        assert found(rig, "poison").seat_failures == 3

    def test_without_a_success_between_nothing_is_charged(self, rig: LedgerRig) -> None:
        rig.submit("a")
        rig.submit("b")
        fails(rig, "a", "w")
        rig.advance(1_001)
        succeeds(rig, "b", "w")
        fails(rig, "a", "w")  # charged: b succeeded
        for _ in range(5):
            rig.advance(2 * MINUTE)
            fails(rig, "a", "w")
        assert (found(rig, "a").seat_failures, found(rig, "a").status) == (1, JobStatus.QUEUED)

    def test_a_server_that_says_when_to_come_back_blames_no_job(self, rig: LedgerRig) -> None:
        rig.submit("a")
        rig.submit("b")
        for _ in range(5):
            fails(rig, "a", "w", retry_after_ms=2_000)
            rig.advance(MINUTE)
            succeeds(rig, "b", "w")
        assert found(rig, "a").seat_failures == 0

    def test_a_worker_that_fails_at_everything_proves_nothing_against_a_job(self, rig: LedgerRig) -> None:
        serve(rig, "sick", "well")
        for job in ("a", "b", "c"):
            rig.submit(job)
        for _ in range(6):
            rig.advance(2 * MINUTE)
            fails(rig, "a", "sick", Actor.OPERATOR)
            rig.advance(2 * MINUTE)
            succeeds(rig, "b", "well")
        assert found(rig, "a").seat_failures == 0

    def test_a_new_step_begins_anew(self, rig: LedgerRig) -> None:
        rig.submit("a")
        rig.submit("b")
        fails(rig, "a", "w")
        rig.advance(1_001)
        succeeds(rig, "a", "w")
        succeeds(rig, "b", "w")
        fails(rig, "a", "w")
        assert found(rig, "a").seat_failures == 0
        assert [hold.queue for hold in rig.ledger.holds()] == ["planner"]


class TestTooLong:
    DAY = 86_400_000

    def test_who_waited_too_long_is_a_dead_letter_that_requeue_brings_back(self, rig: LedgerRig) -> None:
        rig.submit("old")
        fails(rig, "old", "w")
        rig.advance(self.DAY // 2)
        rig.submit("new")
        assert rig.ledger.expire_held(self.DAY) == 0
        rig.advance(self.DAY // 2 + 1)
        assert rig.ledger.expire_held(self.DAY) == 1
        record = found(rig, "old")
        assert (record.status, found(rig, "new").status) == (JobStatus.FAILED, JobStatus.QUEUED)
        assert json.loads(record.error) == {
            "boundary": "planner", "message": "connection refused", "fix": "mend it, then requeue", "actor": "outage",
            "resource": SERVER,
        }  # fmt: skip
        assert [letter.job for letter in rig.ledger.dead_letters()] == ["old"]
        assert len(record.dead_letter) == 32
        hint = rig.ledger.requeue("old")
        assert hint
        assert hint.queue == "planner"
        assert [hold.queue for hold in rig.ledger.holds()] == ["planner"]  # a requeue mends nothing
        assert rig.ledger.expire_held(self.DAY) == 0

    def test_at_most_so_many_at_once(self, rig: LedgerRig) -> None:
        for i in range(5):
            rig.submit(f"job-{i}")
        fails(rig, "job-0", "w")
        rig.advance(self.DAY + 1)
        assert [rig.ledger.expire_held(self.DAY, 2) for _ in range(4)] == [2, 2, 1, 0]

    def test_a_job_that_waited_before_the_hold_is_not_late(self, rig: LedgerRig) -> None:
        rig.submit()
        rig.advance(self.DAY + 1)
        fails(rig, "job-1", "w")
        assert rig.ledger.expire_held(self.DAY) == 0
