"""Whose fault a failure is among several workers: who rests and who is quarantined. In process and on a server."""

import pytest

from director.errors import Actor
from tasks.jobs import JobStatus
from tasks.ledger.types import Claim, FailResult, Refusal
from tests.contracts.failures import BROKEN, EDITORS, MINUTE, fails, found, hinted, serve, succeeds, tries, trouble
from tests.support.ledgers import PLAN, RENDER, LedgerRig


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
