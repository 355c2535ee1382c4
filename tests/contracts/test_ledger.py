"""Who owns which step: claim, renew, commit, fail, cancel. Every test runs in process and on a server."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from director.errors import Actor
from tasks.jobs import JobStatus
from tasks.ledger.types import CONTROL, Claim, CommitResult, FailResult, Next, Page, Query, Refusal, Renewal
from tests.support.ledgers import RENDER, LedgerRig, entry

TTL = 10_000
SKY = "the sky is the limit"


def listed(page: Page) -> list[str]:
    return [record.job for record in page.records]


class TestCreate:
    def test_a_job_is_inserted_once(self, rig: LedgerRig) -> None:
        assert rig.ledger.create(entry(title="first"))
        assert not rig.ledger.create(entry(title="second"))
        record = rig.ledger.get("job-1")
        assert record
        assert record.title == "first"

    def test_a_new_job_waits_for_its_first_step(self, rig: LedgerRig) -> None:
        rig.submit()
        record = rig.ledger.get("job-1")
        assert record
        assert (record.status, record.step, record.queue, record.kind) == (JobStatus.QUEUED, 0, "planner", "plan")
        assert record.hint.model_dump() == {
            "job": "job-1", "n": 0, "queue": "planner", "kind": "plan", "title": record.title, "priority": 6,
            "batch": "",
        }  # fmt: skip
        assert record.title == "A red / 'blüe' \"sign\""
        assert record.hinted_ms > 0

    def test_an_unknown_job_is_none(self, rig: LedgerRig) -> None:
        assert rig.ledger.get("nobody") is None

    def test_jobs_are_listed_newest_first_by_owner(self, rig: LedgerRig) -> None:
        for i, owner in enumerate(["alice", "bob", "alice"]):
            rig.submit(f"job-{i}", owner=owner, created_ms=1000 + i)
        assert listed(rig.ledger.jobs()) == ["job-2", "job-1", "job-0"]
        assert listed(rig.ledger.jobs(Query(owner="alice"))) == ["job-2", "job-0"]
        assert listed(rig.ledger.jobs(Query(owner="alice"), limit=1)) == ["job-2"]
        assert rig.ledger.jobs(Query(owner="carol")) == ([], None)


class TestClaim:
    def test_the_claimer_learns_what_to_do(self, rig: LedgerRig) -> None:
        rig.submit(step=3, snapshot="jobs/job-1/steps/0002-aa.json", next=RENDER)
        claim = rig.claimed(3)
        assert (claim.kind, claim.snapshot, claim.attempt) == ("render", "jobs/job-1/steps/0002-aa.json", 1)
        assert not claim.cancel
        assert not claim.last_death
        assert len(claim.nonce) == 32
        record = rig.ledger.get("job-1")
        assert record
        assert (record.status, record.holder) == (JobStatus.RUNNING, "host-1")

    def test_hints_end_here(self, rig: LedgerRig) -> None:
        assert rig.ledger.claim("nobody", 0, "h") is Refusal.UNKNOWN
        rig.submit(step=1)
        assert rig.ledger.claim("job-1", 0, "h") is Refusal.STALE
        assert rig.ledger.claim("job-1", 2, "h") is Refusal.STALE
        claim = rig.claimed(1)
        assert rig.ledger.claim("job-1", 1, "h") is Refusal.LEASED
        rig.ledger.commit("job-1", 1, claim.nonce, "key", None, JobStatus.DONE, "satisfied")
        assert rig.ledger.claim("job-1", 2, "h") is Refusal.ENDED

    def test_of_eight_racers_one_wins(self, rig: LedgerRig) -> None:
        rig.submit()
        start = Barrier(8)

        def race(i: int) -> Claim | Refusal:
            start.wait()
            return rig.ledger.claim("job-1", 0, f"host-{i}")

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(race, range(8)))
        assert sum(isinstance(answer, Claim) for answer in answers) == 1
        assert answers.count(Refusal.LEASED) == 7

    def test_an_expired_lease_counts_as_a_death(self, rig: LedgerRig) -> None:
        rig.submit()
        rig.claimed()
        rig.advance(TTL + 1)
        claim = rig.claimed(holder="host-2")
        assert (claim.attempt, claim.last_death) == (2, True)
        record = rig.ledger.get("job-1")
        assert record
        assert (record.lease_deaths, record.holder) == (1, "host-2")

    def test_a_claim_past_the_cap_of_deaths_fails_the_job(self, rig: LedgerRig) -> None:
        rig.submit()
        for _ in range(3):
            last = rig.claimed()
            rig.advance(TTL + 1)
        assert rig.ledger.claim("job-1", 0, "h") is Refusal.ENDED
        record = rig.ledger.get("job-1")
        assert record
        assert (record.status, record.dead_letter) == (JobStatus.FAILED, last.nonce)
        assert rig.ledger.dead_letters() == [record]


class TestRenew:
    def test_a_renewed_lease_lives_on(self, rig: LedgerRig) -> None:
        rig.submit()
        claim = rig.claimed()
        for _ in range(3):
            rig.advance(TTL - 1000)
            assert rig.ledger.renew("job-1", 0, claim.nonce) is Renewal.FINE
        assert rig.ledger.reap() == []

    def test_a_lease_that_nobody_took_can_be_renewed_late(self, rig: LedgerRig) -> None:
        rig.submit()
        claim = rig.claimed()
        rig.advance(TTL + 1)
        record = rig.ledger.get("job-1")
        assert record
        assert (record.status, record.holder) == (JobStatus.QUEUED, "")  # as it will be once it is reaped
        assert rig.ledger.renew("job-1", 0, claim.nonce) is Renewal.FINE
        assert rig.ledger.reap() == []

    def test_cancel_is_heard(self, rig: LedgerRig) -> None:
        rig.submit()
        claim = rig.claimed()
        assert rig.ledger.cancel("job-1") is None
        assert rig.ledger.renew("job-1", 0, claim.nonce) is Renewal.CANCEL

    def test_another_nonce_or_step_is_lost(self, rig: LedgerRig) -> None:
        rig.submit()
        claim = rig.claimed()
        assert rig.ledger.renew("job-1", 0, "0" * 32) is Renewal.LOST
        assert rig.ledger.renew("job-1", 1, claim.nonce) is Renewal.LOST
        assert rig.ledger.renew("job-1", 0, "") is Renewal.LOST
        assert rig.ledger.renew("nobody", 0, claim.nonce) is Renewal.UNKNOWN


class TestCommit:
    def test_the_job_moves_on(self, rig: LedgerRig) -> None:
        rig.submit()
        claim = rig.claimed()
        assert rig.ledger.commit("job-1", 0, claim.nonce, "key-0", RENDER) is CommitResult.OK
        record = rig.ledger.get("job-1")
        assert record
        assert (record.status, record.step, record.queue, record.kind, record.snapshot, record.holder) == (
            JobStatus.QUEUED, 1, "editor.flux", "render", "key-0", "",
        )  # fmt: skip
        assert rig.claimed(1).snapshot == "key-0"

    def test_the_last_step_ends_it(self, rig: LedgerRig) -> None:
        rig.submit()
        claim = rig.claimed()
        rig.ledger.commit("job-1", 0, claim.nonce, "key-0", None, JobStatus.DONE, "satisfied")
        record = rig.ledger.get("job-1")
        assert record
        assert (record.status, record.stop, record.step, record.queue) == (JobStatus.DONE, "satisfied", 1, "")
        assert all(not depth.waiting and not depth.leased for depth in rig.ledger.depths())

    def test_a_commit_whose_answer_was_lost_is_ok_again(self, rig: LedgerRig) -> None:
        rig.submit()
        claim = rig.claimed()
        for _ in range(2):
            assert rig.ledger.commit("job-1", 0, claim.nonce, "key-0", RENDER) is CommitResult.OK
        rig.claimed(1)
        assert rig.ledger.commit("job-1", 0, claim.nonce, "key-0", RENDER) is CommitResult.OK
        record = rig.ledger.get("job-1")
        assert record
        assert (record.step, record.status) == (1, JobStatus.RUNNING)

    def test_only_the_holder_commits(self, rig: LedgerRig) -> None:
        rig.submit()
        claim = rig.claimed()
        for n, nonce in [(0, "0" * 32), (1, claim.nonce), (0, "")]:
            assert rig.ledger.commit("job-1", n, nonce, "key", RENDER) is CommitResult.REFUSED
        assert rig.ledger.commit("nobody", 0, claim.nonce, "key", RENDER) is CommitResult.REFUSED

    def test_a_zombie_is_refused_after_reap_and_reclaim(self, rig: LedgerRig) -> None:
        rig.submit()
        zombie = rig.claimed()
        rig.advance(TTL + 1)
        rig.ledger.reap()
        assert rig.ledger.commit("job-1", 0, zombie.nonce, "zombie", RENDER) is CommitResult.REFUSED
        claim = rig.claimed(holder="host-2")
        assert rig.ledger.renew("job-1", 0, zombie.nonce) is Renewal.LOST
        assert rig.ledger.fail("job-1", 0, zombie.nonce, "{}", Actor.SEAT, "host-1", 0, 0) is FailResult.REFUSED
        assert rig.ledger.commit("job-1", 0, zombie.nonce, "zombie", RENDER) is CommitResult.REFUSED
        assert rig.ledger.commit("job-1", 0, claim.nonce, "key", RENDER) is CommitResult.OK
        assert rig.ledger.commit("job-1", 0, zombie.nonce, "zombie", RENDER) is CommitResult.REFUSED

    def test_a_late_commit_counts_while_nobody_else_took_the_step(self, rig: LedgerRig) -> None:
        rig.submit()
        claim = rig.claimed()
        rig.advance(TTL + 1)
        assert rig.ledger.commit("job-1", 0, claim.nonce, "key", RENDER) is CommitResult.OK

    def test_it_resets_what_was_counted(self, rig: LedgerRig) -> None:
        rig.submit()
        rig.ledger.fail("job-1", 0, rig.claimed().nonce, "{}", Actor.SEAT, "host-1", 0, 0)
        rig.claimed()
        rig.advance(TTL + 1)
        claim = rig.claimed()
        assert claim.attempt == 3
        rig.ledger.commit("job-1", 0, claim.nonce, "key", RENDER)
        record = rig.ledger.get("job-1")
        assert record
        assert (record.seat_failures, record.lease_deaths, record.error) == (0, 0, "")
        claim = rig.claimed(1)
        assert (claim.attempt, claim.last_death) == (1, False)

    @pytest.mark.parametrize(
        ("following", "status"), [(None, JobStatus.QUEUED), (None, JobStatus.RUNNING), (RENDER, JobStatus.DONE)]
    )
    def test_it_must_go_on_or_end(self, rig: LedgerRig, following: Next | None, status: JobStatus) -> None:
        with pytest.raises(ValueError, match="terminal status"):
            rig.ledger.commit("job-1", 0, "aa", "key", following, status)


class TestFail:
    def test_a_retry_waits_its_delay(self, rig: LedgerRig) -> None:
        rig.submit()
        assert rig.ledger.fail("job-1", 0, rig.claimed().nonce, SKY, Actor.SEAT, "host-1", 0, 5_000) is FailResult.RETRY
        record = rig.ledger.get("job-1")
        assert record
        assert (record.status, record.seat_failures, record.error) == (JobStatus.QUEUED, 1, SKY)
        assert rig.ledger.claim("job-1", 0, "h") is Refusal.EARLY
        rig.advance(5_001)
        assert rig.claimed().attempt == 2

    def test_the_last_attempt_makes_a_dead_letter(self, rig: LedgerRig) -> None:
        rig.submit()
        results = [
            rig.ledger.fail("job-1", 0, (c := rig.claimed()).nonce, SKY, Actor.SEAT, "host-1", 0, 0) for _ in range(3)
        ]
        assert results == [FailResult.RETRY, FailResult.RETRY, FailResult.DEAD]
        record = rig.ledger.get("job-1")
        assert record
        assert (record.status, record.error, record.dead_letter) == (JobStatus.FAILED, SKY, c.nonce)
        assert rig.ledger.claim("job-1", 0, "h") is Refusal.ENDED
        assert rig.ledger.fail("job-1", 0, c.nonce, SKY, Actor.SEAT, "host-1", 0, 0) is FailResult.REFUSED

    def test_what_is_not_the_seats_fault_costs_nothing(self, rig: LedgerRig) -> None:
        rig.submit()
        for _ in range(50):
            assert (
                rig.ledger.fail("job-1", 0, rig.claimed().nonce, "{}", Actor.OUTAGE, "host-1", 0, 0) is FailResult.RETRY
            )
        record = rig.ledger.get("job-1")
        assert record
        assert (record.status, record.seat_failures) == (JobStatus.QUEUED, 0)

    def test_after_it_the_last_holder_did_not_die(self, rig: LedgerRig) -> None:
        rig.submit()
        rig.claimed()
        rig.advance(TTL + 1)
        claim = rig.claimed()
        assert claim.last_death
        rig.ledger.fail("job-1", 0, claim.nonce, "{}", Actor.SEAT, "host-1", 0, 0)
        assert not rig.claimed().last_death

    def test_only_the_holder_gives_back(self, rig: LedgerRig) -> None:
        rig.submit()
        claim = rig.claimed()
        assert rig.ledger.fail("job-1", 0, "0" * 32, "{}", Actor.SEAT, "host-1", 0, 0) is FailResult.REFUSED
        assert rig.ledger.fail("job-1", 1, claim.nonce, "{}", Actor.SEAT, "host-1", 0, 0) is FailResult.REFUSED
        assert rig.ledger.fail("nobody", 0, claim.nonce, "{}", Actor.SEAT, "host-1", 0, 0) is FailResult.REFUSED
        assert rig.ledger.renew("job-1", 0, claim.nonce) is Renewal.FINE

    def test_a_cancelled_job_is_not_retried(self, rig: LedgerRig) -> None:
        rig.submit()
        claim = rig.claimed()
        rig.ledger.cancel("job-1")
        assert rig.ledger.fail("job-1", 0, claim.nonce, "{}", Actor.SEAT, "host-1", 0, 60_000) is FailResult.RETRY
        record = rig.ledger.get("job-1")
        assert record
        assert (record.queue, record.not_before_ms, record.seat_failures) == (CONTROL, 0, 0)
        assert [hint.job for hint in rig.ledger.overdue(CONTROL, 60_000, 10)] == ["job-1"]  # nobody was told
        assert rig.claimed().cancel


class TestReap:
    def test_a_dead_lease_is_freed(self, rig: LedgerRig) -> None:
        rig.submit()
        claim = rig.claimed()
        rig.advance(TTL - 1000)
        assert rig.ledger.reap() == []
        rig.advance(1001)
        (record,) = rig.ledger.reap()
        assert (record.job, record.status, record.queue, record.lease_deaths) == (
            "job-1", JobStatus.QUEUED, "planner", 1,
        )  # fmt: skip
        assert json.loads(record.error) == {
            "boundary": "lease", "message": "the worker host-1 went silent", "fix": "",
        }  # fmt: skip
        assert rig.ledger.reap() == []
        assert rig.ledger.renew("job-1", 0, claim.nonce) is Renewal.LOST
        assert rig.claimed().last_death

    def test_past_the_cap_the_job_fails(self, rig: LedgerRig) -> None:
        rig.submit()
        for _ in range(3):
            claim = rig.claimed(holder='gpu/3 "rack ü"')
            rig.advance(TTL + 1)
            (record,) = rig.ledger.reap()
        assert (record.status, record.dead_letter, record.lease_deaths) == (JobStatus.FAILED, claim.nonce, 3)
        assert json.loads(record.error)["message"] == 'the worker gpu/3 "rack ü" went silent'

    def test_a_cancelled_job_goes_to_control(self, rig: LedgerRig) -> None:
        rig.submit()
        rig.claimed()
        rig.ledger.cancel("job-1")
        rig.advance(TTL + 1)
        (record,) = rig.ledger.reap()
        assert (record.status, record.queue, record.lease_deaths) == (JobStatus.QUEUED, CONTROL, 0)


class TestCancel:
    def test_a_waiting_job_moves_to_control(self, rig: LedgerRig) -> None:
        rig.submit(next=RENDER)
        hint = rig.ledger.cancel("job-1")
        assert hint
        assert (hint.queue, hint.kind, hint.n) == (CONTROL, "render", 0)
        depths = {depth.queue: depth.waiting for depth in rig.ledger.depths()}
        assert depths == {CONTROL: 1, "editor.flux": 0}
        claim = rig.claimed()
        assert claim.cancel

    def test_only_a_commit_that_acknowledges_it_applies(self, rig: LedgerRig) -> None:
        rig.submit()
        claim = rig.claimed()
        rig.ledger.cancel("job-1")
        assert rig.ledger.commit("job-1", 0, claim.nonce, "key", RENDER) is CommitResult.CANCEL
        end = (None, JobStatus.CANCELLED, "cancelled", True)
        assert rig.ledger.commit("job-1", 0, claim.nonce, "key-2", *end) is CommitResult.OK
        assert rig.ledger.commit("job-1", 0, claim.nonce, "key-2", *end) is CommitResult.OK
        record = rig.ledger.get("job-1")
        assert record
        assert (record.status, record.stop, record.snapshot) == (JobStatus.CANCELLED, "cancelled", "key-2")

    def test_it_waits_for_no_delay(self, rig: LedgerRig) -> None:
        rig.submit()
        rig.ledger.fail("job-1", 0, rig.claimed().nonce, "{}", Actor.SEAT, "host-1", 0, 60_000)
        assert rig.ledger.cancel("job-1")
        assert rig.claimed().cancel

    def test_a_dead_gpu_does_not_block_it(self, rig: LedgerRig) -> None:
        rig.submit(next=RENDER)
        rig.claimed()
        rig.advance(TTL + 1)
        hint = rig.ledger.cancel("job-1")
        assert hint
        assert hint.queue == CONTROL

    def test_asking_again_gives_the_hint_again(self, rig: LedgerRig) -> None:
        rig.submit()
        assert rig.ledger.cancel("job-1") == rig.ledger.cancel("job-1")

    def test_what_has_ended_stays_ended(self, rig: LedgerRig) -> None:
        assert rig.ledger.cancel("nobody") is None
        rig.submit()
        rig.ledger.commit("job-1", 0, rig.claimed().nonce, "key", None, JobStatus.DONE, "satisfied")
        assert rig.ledger.cancel("job-1") is None
        record = rig.ledger.get("job-1")
        assert record
        assert (record.status, record.cancel) == (JobStatus.DONE, False)

    def test_commit_and_cancel_race_and_one_wins(self, rig: LedgerRig) -> None:
        for i in range(20):
            job = f"job-{i}"
            rig.submit(job)
            claim = rig.claimed(job=job)
            start = Barrier(2)

            def commit(job: str = job, nonce: str = claim.nonce, start: Barrier = start) -> CommitResult:
                start.wait()
                return rig.ledger.commit(job, 0, nonce, "key", None, JobStatus.DONE, "satisfied")

            def cancel(job: str = job, start: Barrier = start) -> None:
                start.wait()
                assert rig.ledger.cancel(job) is None

            with ThreadPoolExecutor(2) as pool:
                result, _ = pool.submit(commit), pool.submit(cancel).result()
            record = rig.ledger.get(job)
            assert record
            committed = result.result() is CommitResult.OK
            assert record.cancel != committed
            assert record.status is (JobStatus.DONE if committed else JobStatus.RUNNING)


def test_a_claim_tells_the_time_of_the_server(rig: LedgerRig) -> None:
    rig.submit()
    rig.ledger.now_ms = 0  # nobody says the time
    before = _ms(rig)
    claim = rig.claimed()
    assert before <= claim.now_ms <= _ms(rig)


def _ms(rig: LedgerRig) -> int:
    seconds, microseconds = rig.redis.time()
    return 1000 * seconds + microseconds // 1000
