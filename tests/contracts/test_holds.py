"""Whose fault a failure is: what is held, who rests, who is charged. Every test runs in process and on a server."""

import json

import pytest

from director.errors import Actor
from tasks.jobs import JobStatus
from tasks.ledger.types import CONTROL, Claim, FailResult, Next, Record, Refusal
from tests.support.ledgers import PLAN, RENDER, LedgerRig

SERVER = "http://127.0.0.1:30000/v1 (qwen3-vl)"
EDITORS = "editor.flux"
MINUTE = 60_000


def trouble(message: str = "connection refused", resource: str = SERVER, boundary: str = "planner") -> str:
    return json.dumps({"boundary": boundary, "message": message, "fix": "start it", "resource": resource})


AWAY = trouble()
BROKEN = trouble("CUDA error", "", "editor")


def found(rig: LedgerRig, job: str = "job-1") -> Record:
    record = rig.ledger.get(job)
    assert record
    return record


def fails(
    rig: LedgerRig, job: str, worker: str, actor: Actor = Actor.OUTAGE, error: str = AWAY, retry_after_ms: int = 0
) -> FailResult:
    """The worker claims the job's present step and fails at it."""
    claim = rig.claimed(found(rig, job).step, job, worker)
    return rig.ledger.fail(job, claim.n, claim.nonce, error, actor, worker, retry_after_ms, 1_000)


def succeeds(rig: LedgerRig, job: str, worker: str, following: Next = PLAN) -> None:
    n = found(rig, job).step
    rig.ledger.commit(job, n, rig.claimed(n, job, worker).nonce, "key", following)


def serve(rig: LedgerRig, *workers: str, queue: str = "planner") -> None:
    for worker in workers:
        rig.ledger.announce(worker, [queue], 100 * MINUTE)


def tries(rig: LedgerRig, job: str, worker: str) -> Claim | Refusal:
    return rig.ledger.claim(job, found(rig, job).step, worker)


def hinted(rig: LedgerRig, queue: str = "planner") -> list[str]:
    return [hint.job for hint in rig.ledger.overdue(queue, 0, 100)]


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


class TestFleet:
    """More than one worker: one that fails alone stands back, while the others go on."""

    def test_one_of_three_rests_and_the_others_take_its_job(self, rig: LedgerRig) -> None:
        serve(rig, "a", "b", "c")
        rig.submit()
        fails(rig, "job-1", "a")
        assert rig.ledger.holds() == []
        standing = rig.ledger.standing("a")
        assert (0 < standing.rest_ms <= 1_000, standing.may_work) == (True, False)
        assert tries(rig, "job-1", "a") is Refusal.RESTING
        assert hinted(rig) == ["job-1"]
        assert isinstance(tries(rig, "job-1", "b"), Claim)

    def test_half_of_them_means_the_server(self, rig: LedgerRig) -> None:
        serve(rig, "a", "b", "c")
        for job in ("x", "y"):
            rig.submit(job)
        fails(rig, "x", "a")
        fails(rig, "y", "b")
        assert [hold.queue for hold in rig.ledger.holds()] == ["planner"]

    def test_the_rest_doubles_and_a_success_ends_it(self, rig: LedgerRig) -> None:
        serve(rig, "a", "b", "c")
        rests: list[int] = []
        for i in range(8):
            rig.submit(f"job-{i}")
            fails(rig, f"job-{i}", "a")
            rests.append(round(rig.ledger.standing("a").rest_ms / 1000))
            rig.advance(2 * MINUTE)
        assert rests == [1, 2, 4, 8, 16, 32, 60, 60]
        (sick,) = rig.ledger.sick_workers()
        assert (sick.worker, sick.failures, sick.why, sick.quarantined_ms) == ("a", 8, "connection refused", 0)
        succeeds(rig, "job-0", "a")
        assert rig.ledger.sick_workers() == []
        assert rig.ledger.standing("a") == (0, False)

    def test_a_refused_claim_of_a_resting_worker_charges_nothing(self, rig: LedgerRig) -> None:
        serve(rig, "a", "b", "c")
        rig.submit()
        fails(rig, "job-1", "a")
        for _ in range(20):
            assert tries(rig, "job-1", "a") is Refusal.RESTING
        assert (found(rig).seat_failures, found(rig).lease_deaths) == (0, 0)


class TestEditors:
    @pytest.fixture(autouse=True)
    def _jobs(self, rig: LedgerRig) -> None:
        for job in ("a", "b", "c", "d"):
            rig.submit(job, next=RENDER)

    def test_one_of_two_rests_after_a_failure(self, rig: LedgerRig) -> None:
        serve(rig, "sick", "well", queue=EDITORS)
        fails(rig, "a", "sick", Actor.SEAT, BROKEN)
        assert 0 < rig.ledger.standing("sick").rest_ms <= 5_000
        assert found(rig, "a").seat_failures == 1
        assert isinstance(tries(rig, "b", "well"), Claim)
        rig.advance(5_001)
        fails(rig, "c", "sick", Actor.SEAT, BROKEN)
        assert 5_000 < rig.ledger.standing("sick").rest_ms <= 10_000

    def test_alone_it_does_not_rest(self, rig: LedgerRig) -> None:
        serve(rig, "only", queue=EDITORS)
        results = []
        for _ in range(3):
            results.append(fails(rig, "a", "only", Actor.SEAT, BROKEN))
            rig.advance(MINUTE)
        assert results == [FailResult.RETRY, FailResult.RETRY, FailResult.DEAD]
        assert rig.ledger.holds() == []

    def test_three_in_a_row_on_two_jobs_quarantine_it(self, rig: LedgerRig) -> None:
        serve(rig, "sick", "well", queue=EDITORS)
        succeeds(rig, "d", "well", RENDER)
        for job in ("a", "b", "c"):
            fails(rig, job, "sick", Actor.SEAT, BROKEN)
            rig.advance(MINUTE + 1)
            succeeds(rig, "d", "well", RENDER)
        assert rig.ledger.standing("sick").quarantined
        assert rig.ledger.announce("sick", [EDITORS], MINUTE).quarantined
        assert tries(rig, "a", "sick") is Refusal.RESTING
        assert rig.ledger.holds() == []
        assert [found(rig, job).seat_failures for job in ("a", "b", "c")] == [1, 0, 0]  # then it was the machine

    def test_the_same_job_is_the_jobs_fault(self, rig: LedgerRig) -> None:
        serve(rig, "one", "two", queue=EDITORS)
        results = []
        for _ in range(3):
            results.append(fails(rig, "a", "one", Actor.SEAT, BROKEN))
            rig.advance(MINUTE + 1)
        assert results == [FailResult.RETRY, FailResult.RETRY, FailResult.DEAD]
        assert not rig.ledger.standing("one").quarantined

    def test_the_only_one_means_the_model(self, rig: LedgerRig) -> None:
        serve(rig, "only", queue=EDITORS)
        for job in ("a", "b"):
            fails(rig, job, "only", Actor.SEAT, BROKEN)
        assert rig.ledger.holds() == []
        fails(rig, "c", "only", Actor.SEAT, BROKEN)
        (hold,) = rig.ledger.holds()
        assert (hold.actor, hold.why) == (Actor.OPERATOR, "every editor of this queue fails: CUDA error")
        assert found(rig, "c").seat_failures == 0
        for _ in range(9):
            rig.advance(MINUTE + 1)
            fails(rig, hinted(rig, EDITORS)[0], "only", Actor.SEAT, BROKEN)
        assert {found(rig, job).status for job in ("a", "b", "c", "d")} == {JobStatus.QUEUED}
        rig.advance(MINUTE + 1)
        succeeds(rig, "d", "only")
        assert rig.ledger.holds() == []

    def test_all_at_once_mean_the_model(self, rig: LedgerRig) -> None:
        serve(rig, "one", "two", queue=EDITORS)
        for job, worker in (("a", "one"), ("b", "two"), ("c", "one"), ("d", "two"), ("b", "one")):
            fails(rig, job, worker, Actor.SEAT, BROKEN)
            rig.advance(MINUTE + 1)
        assert [hold.queue for hold in rig.ledger.holds()] == [EDITORS]
        assert not any(rig.ledger.standing(worker).quarantined for worker in ("one", "two"))
        assert {found(rig, job).status for job in ("a", "b", "c", "d")} == {JobStatus.QUEUED}

    def test_weights_that_one_machine_lacks_are_its_matter(self, rig: LedgerRig) -> None:
        serve(rig, "sick", "well", queue=EDITORS)
        missing = trouble("no such file", "/weights/flux", "editor")
        fails(rig, "a", "sick", Actor.OPERATOR, missing)
        assert [hold.queue for hold in rig.ledger.holds()] == [EDITORS]  # nobody has succeeded yet
        rig.advance(MINUTE)
        succeeds(rig, "b", "well", RENDER)
        for _ in range(5):
            fails(rig, "a", "sick", Actor.OPERATOR, missing)
            assert rig.ledger.holds() == []
            rig.advance(2 * MINUTE)
        assert found(rig, "a").seat_failures == 0


class TestQuarantine:
    def sicken(self, rig: LedgerRig) -> None:
        serve(rig, "sick", "well", "fine", queue=EDITORS)
        for job in ("a", "b", "c"):
            rig.submit(job, next=RENDER)
            fails(rig, job, "sick", Actor.SEAT, BROKEN)
            rig.advance(MINUTE)
        assert rig.ledger.standing("sick").quarantined

    def test_canaries_are_due_after_1_5_and_each_30_minutes(self, rig: LedgerRig) -> None:
        self.sicken(rig)
        minutes: list[int] = []
        for _ in range(4):
            waited = 0
            while not (due := rig.ledger.canaries_due()) and waited < 100:
                rig.advance(MINUTE)
                waited += 1
            assert due == ["sick"]
            assert rig.ledger.canaries_due() == []
            rig.ledger.canary("sick", False, "still broken")
            minutes.append(waited)
        assert minutes == [0, 5, 30, 30]  # the first minute passed above
        assert rig.ledger.sick_workers()[0].why == "still broken"

    def test_a_good_canary_ends_it(self, rig: LedgerRig) -> None:
        self.sicken(rig)
        rig.ledger.canary("sick", True)
        assert rig.ledger.standing("sick").may_work
        assert rig.ledger.sick_workers() == []

    def test_by_hand_it_lasts_until_it_is_ended_by_hand(self, rig: LedgerRig) -> None:
        rig.submit()
        claim = rig.claimed(0, "job-1", "w")
        rig.ledger.quarantine("w", "the fan is loud")
        (sick,) = rig.ledger.sick_workers()
        assert (sick.worker, sick.why, sick.manual) == ("w", "the fan is loud", True)
        rig.ledger.commit("job-1", 0, claim.nonce, "key", PLAN)
        rig.ledger.canary("w", True)
        rig.advance(100 * MINUTE)
        assert rig.ledger.canaries_due() == []
        assert tries(rig, "job-1", "w") is Refusal.RESTING
        assert rig.ledger.restore_worker("w")
        assert not rig.ledger.restore_worker("w")
        assert isinstance(tries(rig, "job-1", "w"), Claim)

    def test_who_is_well_is_not_asked(self, rig: LedgerRig) -> None:
        assert rig.ledger.sick_workers() == []
        assert rig.ledger.canaries_due() == []
        rig.ledger.canary("nobody", True)
        rig.ledger.canary("nobody", False, "?")
        assert rig.ledger.sick_workers() == []
        assert rig.ledger.standing("nobody") == (0, False)
