"""Who owns which step: claim, renew, commit, fail, cancel. Every test runs on Redis and on the twin."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tasks.jobs import JobStatus
from tasks.ledger.types import CONTROL, Claim, CommitResult, FailResult, Next, Page, Query, Refusal, Renewal
from tests.contracts.benches import PLAN, RENDER, Bench, entry

TTL = 10_000
SKY = "the sky is the limit"


def listed(page: Page) -> list[str]:
    return [record.job for record in page.records]


class TestCreate:
    def test_a_job_is_inserted_once(self, bench: Bench) -> None:
        assert bench.ledger.create(entry(title="first"))
        assert not bench.ledger.create(entry(title="second"))
        record = bench.ledger.get("job-1")
        assert record
        assert record.title == "first"

    def test_a_new_job_waits_for_its_first_step(self, bench: Bench) -> None:
        bench.submit()
        record = bench.ledger.get("job-1")
        assert record
        assert (record.status, record.step, record.queue, record.kind) == (JobStatus.QUEUED, 0, "planner", "plan")
        assert record.hint.model_dump() == {
            "job": "job-1", "n": 0, "queue": "planner", "kind": "plan", "title": record.title, "priority": 6,
        }  # fmt: skip
        assert record.title == "A red / 'blüe' \"sign\""
        assert record.hinted_ms > 0

    def test_an_unknown_job_is_none(self, bench: Bench) -> None:
        assert bench.ledger.get("nobody") is None

    def test_jobs_are_listed_newest_first_by_owner(self, bench: Bench) -> None:
        for i, owner in enumerate(["alice", "bob", "alice"]):
            bench.submit(f"job-{i}", owner=owner, created_ms=1000 + i)
        assert listed(bench.ledger.jobs()) == ["job-2", "job-1", "job-0"]
        assert listed(bench.ledger.jobs(Query(owner="alice"))) == ["job-2", "job-0"]
        assert listed(bench.ledger.jobs(Query(owner="alice"), limit=1)) == ["job-2"]
        assert bench.ledger.jobs(Query(owner="carol")) == ([], None)


class TestClaim:
    def test_the_claimer_learns_what_to_do(self, bench: Bench) -> None:
        bench.submit(step=3, snapshot="jobs/job-1/steps/0002-aa.json", next=RENDER)
        claim = bench.claimed(3)
        assert (claim.kind, claim.snapshot, claim.attempt) == ("render", "jobs/job-1/steps/0002-aa.json", 1)
        assert not claim.cancel
        assert not claim.last_death
        assert len(claim.nonce) == 32
        record = bench.ledger.get("job-1")
        assert record
        assert (record.status, record.holder) == (JobStatus.RUNNING, "host-1")

    def test_hints_end_here(self, bench: Bench) -> None:
        assert bench.ledger.claim("nobody", 0, "h") is Refusal.UNKNOWN
        bench.submit(step=1)
        assert bench.ledger.claim("job-1", 0, "h") is Refusal.STALE
        assert bench.ledger.claim("job-1", 2, "h") is Refusal.STALE
        claim = bench.claimed(1)
        assert bench.ledger.claim("job-1", 1, "h") is Refusal.LEASED
        bench.ledger.commit("job-1", 1, claim.nonce, "key", None, JobStatus.DONE, "satisfied")
        assert bench.ledger.claim("job-1", 2, "h") is Refusal.ENDED

    def test_of_eight_racers_one_wins(self, bench: Bench) -> None:
        bench.submit()
        start = Barrier(8)

        def race(i: int) -> Claim | Refusal:
            start.wait()
            return bench.ledger.claim("job-1", 0, f"host-{i}")

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(race, range(8)))
        assert sum(isinstance(answer, Claim) for answer in answers) == 1
        assert answers.count(Refusal.LEASED) == 7

    def test_an_expired_lease_counts_as_a_death(self, bench: Bench) -> None:
        bench.submit()
        bench.claimed()
        bench.advance(TTL + 1)
        claim = bench.claimed(holder="host-2")
        assert (claim.attempt, claim.last_death) == (2, True)
        record = bench.ledger.get("job-1")
        assert record
        assert (record.lease_deaths, record.holder) == (1, "host-2")

    def test_a_claim_past_the_cap_of_deaths_fails_the_job(self, bench: Bench) -> None:
        bench.submit()
        for _ in range(3):
            last = bench.claimed()
            bench.advance(TTL + 1)
        assert bench.ledger.claim("job-1", 0, "h") is Refusal.ENDED
        record = bench.ledger.get("job-1")
        assert record
        assert (record.status, record.letter) == (JobStatus.FAILED, last.nonce)
        assert bench.ledger.dead_letters() == [record]


class TestRenew:
    def test_a_renewed_lease_lives_on(self, bench: Bench) -> None:
        bench.submit()
        claim = bench.claimed()
        for _ in range(3):
            bench.advance(TTL - 1000)
            assert bench.ledger.renew("job-1", 0, claim.nonce) is Renewal.FINE
        assert bench.ledger.reap() == []

    def test_a_lease_that_nobody_took_can_be_renewed_late(self, bench: Bench) -> None:
        bench.submit()
        claim = bench.claimed()
        bench.advance(TTL + 1)
        record = bench.ledger.get("job-1")
        assert record
        assert (record.status, record.holder) == (JobStatus.QUEUED, "")  # as it will be once it is reaped
        assert bench.ledger.renew("job-1", 0, claim.nonce) is Renewal.FINE
        assert bench.ledger.reap() == []

    def test_cancel_is_heard(self, bench: Bench) -> None:
        bench.submit()
        claim = bench.claimed()
        assert bench.ledger.cancel("job-1") is None
        assert bench.ledger.renew("job-1", 0, claim.nonce) is Renewal.CANCEL

    def test_another_nonce_or_step_is_lost(self, bench: Bench) -> None:
        bench.submit()
        claim = bench.claimed()
        assert bench.ledger.renew("job-1", 0, "0" * 32) is Renewal.LOST
        assert bench.ledger.renew("job-1", 1, claim.nonce) is Renewal.LOST
        assert bench.ledger.renew("job-1", 0, "") is Renewal.LOST
        assert bench.ledger.renew("nobody", 0, claim.nonce) is Renewal.UNKNOWN


class TestCommit:
    def test_the_job_moves_on(self, bench: Bench) -> None:
        bench.submit()
        claim = bench.claimed()
        assert bench.ledger.commit("job-1", 0, claim.nonce, "key-0", RENDER) is CommitResult.OK
        record = bench.ledger.get("job-1")
        assert record
        assert (record.status, record.step, record.queue, record.kind, record.snapshot, record.holder) == (
            JobStatus.QUEUED, 1, "editor.flux", "render", "key-0", "",
        )  # fmt: skip
        assert bench.claimed(1).snapshot == "key-0"

    def test_the_last_step_ends_it(self, bench: Bench) -> None:
        bench.submit()
        claim = bench.claimed()
        bench.ledger.commit("job-1", 0, claim.nonce, "key-0", None, JobStatus.DONE, "satisfied")
        record = bench.ledger.get("job-1")
        assert record
        assert (record.status, record.stop, record.step, record.queue) == (JobStatus.DONE, "satisfied", 1, "")
        assert all(not depth.waiting and not depth.leased for depth in bench.ledger.depths())

    def test_a_commit_whose_answer_was_lost_is_ok_again(self, bench: Bench) -> None:
        bench.submit()
        claim = bench.claimed()
        for _ in range(2):
            assert bench.ledger.commit("job-1", 0, claim.nonce, "key-0", RENDER) is CommitResult.OK
        bench.claimed(1)
        assert bench.ledger.commit("job-1", 0, claim.nonce, "key-0", RENDER) is CommitResult.OK
        record = bench.ledger.get("job-1")
        assert record
        assert (record.step, record.status) == (1, JobStatus.RUNNING)

    def test_only_the_holder_commits(self, bench: Bench) -> None:
        bench.submit()
        claim = bench.claimed()
        for n, nonce in [(0, "0" * 32), (1, claim.nonce), (0, "")]:
            assert bench.ledger.commit("job-1", n, nonce, "key", RENDER) is CommitResult.REFUSED
        assert bench.ledger.commit("nobody", 0, claim.nonce, "key", RENDER) is CommitResult.REFUSED

    def test_a_zombie_is_refused_after_reap_and_reclaim(self, bench: Bench) -> None:
        bench.submit()
        zombie = bench.claimed()
        bench.advance(TTL + 1)
        bench.ledger.reap()
        assert bench.ledger.commit("job-1", 0, zombie.nonce, "zombie", RENDER) is CommitResult.REFUSED
        claim = bench.claimed(holder="host-2")
        assert bench.ledger.renew("job-1", 0, zombie.nonce) is Renewal.LOST
        assert bench.ledger.fail("job-1", 0, zombie.nonce, "{}", True, 0) is FailResult.REFUSED
        assert bench.ledger.commit("job-1", 0, zombie.nonce, "zombie", RENDER) is CommitResult.REFUSED
        assert bench.ledger.commit("job-1", 0, claim.nonce, "key", RENDER) is CommitResult.OK
        assert bench.ledger.commit("job-1", 0, zombie.nonce, "zombie", RENDER) is CommitResult.REFUSED

    def test_a_late_commit_counts_while_nobody_else_took_the_step(self, bench: Bench) -> None:
        bench.submit()
        claim = bench.claimed()
        bench.advance(TTL + 1)
        assert bench.ledger.commit("job-1", 0, claim.nonce, "key", RENDER) is CommitResult.OK

    def test_it_resets_what_was_counted(self, bench: Bench) -> None:
        bench.submit()
        bench.ledger.fail("job-1", 0, bench.claimed().nonce, "{}", True, 0)
        bench.claimed()
        bench.advance(TTL + 1)
        claim = bench.claimed()
        assert claim.attempt == 3
        bench.ledger.commit("job-1", 0, claim.nonce, "key", RENDER)
        record = bench.ledger.get("job-1")
        assert record
        assert (record.seat_failures, record.lease_deaths, record.error) == (0, 0, "")
        claim = bench.claimed(1)
        assert (claim.attempt, claim.last_death) == (1, False)

    @pytest.mark.parametrize(
        ("following", "status"), [(None, JobStatus.QUEUED), (None, JobStatus.RUNNING), (RENDER, JobStatus.DONE)]
    )
    def test_it_must_go_on_or_end(self, bench: Bench, following: Next | None, status: JobStatus) -> None:
        with pytest.raises(ValueError, match="terminal status"):
            bench.ledger.commit("job-1", 0, "aa", "key", following, status)


class TestFail:
    def test_a_retry_waits_its_delay(self, bench: Bench) -> None:
        bench.submit()
        assert bench.ledger.fail("job-1", 0, bench.claimed().nonce, SKY, True, 5_000) is FailResult.RETRY
        record = bench.ledger.get("job-1")
        assert record
        assert (record.status, record.seat_failures, record.error) == (JobStatus.QUEUED, 1, SKY)
        assert bench.ledger.claim("job-1", 0, "h") is Refusal.EARLY
        bench.advance(5_001)
        assert bench.claimed().attempt == 2

    def test_the_last_attempt_makes_a_dead_letter(self, bench: Bench) -> None:
        bench.submit()
        results = [bench.ledger.fail("job-1", 0, (c := bench.claimed()).nonce, SKY, True, 0) for _ in range(3)]
        assert results == [FailResult.RETRY, FailResult.RETRY, FailResult.DEAD]
        record = bench.ledger.get("job-1")
        assert record
        assert (record.status, record.error, record.letter) == (JobStatus.FAILED, SKY, c.nonce)
        assert bench.ledger.claim("job-1", 0, "h") is Refusal.ENDED
        assert bench.ledger.fail("job-1", 0, c.nonce, SKY, True, 0) is FailResult.REFUSED

    def test_what_is_not_the_seats_fault_costs_nothing(self, bench: Bench) -> None:
        bench.submit()
        for _ in range(50):
            assert bench.ledger.fail("job-1", 0, bench.claimed().nonce, "{}", False, 0) is FailResult.RETRY
        record = bench.ledger.get("job-1")
        assert record
        assert (record.status, record.seat_failures) == (JobStatus.QUEUED, 0)

    def test_after_it_the_last_holder_did_not_die(self, bench: Bench) -> None:
        bench.submit()
        bench.claimed()
        bench.advance(TTL + 1)
        claim = bench.claimed()
        assert claim.last_death
        bench.ledger.fail("job-1", 0, claim.nonce, "{}", True, 0)
        assert not bench.claimed().last_death

    def test_only_the_holder_gives_back(self, bench: Bench) -> None:
        bench.submit()
        claim = bench.claimed()
        assert bench.ledger.fail("job-1", 0, "0" * 32, "{}", True, 0) is FailResult.REFUSED
        assert bench.ledger.fail("job-1", 1, claim.nonce, "{}", True, 0) is FailResult.REFUSED
        assert bench.ledger.fail("nobody", 0, claim.nonce, "{}", True, 0) is FailResult.REFUSED
        assert bench.ledger.renew("job-1", 0, claim.nonce) is Renewal.FINE

    def test_a_cancelled_job_is_not_retried(self, bench: Bench) -> None:
        bench.submit()
        claim = bench.claimed()
        bench.ledger.cancel("job-1")
        assert bench.ledger.fail("job-1", 0, claim.nonce, "{}", True, 60_000) is FailResult.RETRY
        record = bench.ledger.get("job-1")
        assert record
        assert (record.queue, record.not_before_ms, record.seat_failures) == (CONTROL, 0, 0)
        assert [hint.job for hint in bench.ledger.overdue(CONTROL, 60_000, 10)] == ["job-1"]  # nobody was told
        assert bench.claimed().cancel


class TestReap:
    def test_a_dead_lease_is_freed(self, bench: Bench) -> None:
        bench.submit()
        claim = bench.claimed()
        bench.advance(TTL - 1000)
        assert bench.ledger.reap() == []
        bench.advance(1001)
        (record,) = bench.ledger.reap()
        assert (record.job, record.status, record.queue, record.lease_deaths) == (
            "job-1", JobStatus.QUEUED, "planner", 1,
        )  # fmt: skip
        assert json.loads(record.error) == {
            "boundary": "lease", "message": "the worker on host-1 went silent", "fix": "",
        }  # fmt: skip
        assert bench.ledger.reap() == []
        assert bench.ledger.renew("job-1", 0, claim.nonce) is Renewal.LOST
        assert bench.claimed().last_death

    def test_past_the_cap_the_job_fails(self, bench: Bench) -> None:
        bench.submit()
        for _ in range(3):
            claim = bench.claimed(holder='gpu/3 "rack ü"')
            bench.advance(TTL + 1)
            (record,) = bench.ledger.reap()
        assert (record.status, record.letter, record.lease_deaths) == (JobStatus.FAILED, claim.nonce, 3)
        assert json.loads(record.error)["message"] == 'the worker on gpu/3 "rack ü" went silent'

    def test_a_cancelled_job_goes_to_control(self, bench: Bench) -> None:
        bench.submit()
        bench.claimed()
        bench.ledger.cancel("job-1")
        bench.advance(TTL + 1)
        (record,) = bench.ledger.reap()
        assert (record.status, record.queue, record.lease_deaths) == (JobStatus.QUEUED, CONTROL, 0)


class TestCancel:
    def test_a_waiting_job_moves_to_control(self, bench: Bench) -> None:
        bench.submit(next=RENDER)
        hint = bench.ledger.cancel("job-1")
        assert hint
        assert (hint.queue, hint.kind, hint.n) == (CONTROL, "render", 0)
        depths = {depth.queue: depth.waiting for depth in bench.ledger.depths()}
        assert depths == {CONTROL: 1, "editor.flux": 0}
        claim = bench.claimed()
        assert claim.cancel

    def test_only_a_commit_that_acknowledges_it_applies(self, bench: Bench) -> None:
        bench.submit()
        claim = bench.claimed()
        bench.ledger.cancel("job-1")
        assert bench.ledger.commit("job-1", 0, claim.nonce, "key", RENDER) is CommitResult.CANCEL
        end = (None, JobStatus.CANCELLED, "cancelled", True)
        assert bench.ledger.commit("job-1", 0, claim.nonce, "key-2", *end) is CommitResult.OK
        assert bench.ledger.commit("job-1", 0, claim.nonce, "key-2", *end) is CommitResult.OK
        record = bench.ledger.get("job-1")
        assert record
        assert (record.status, record.stop, record.snapshot) == (JobStatus.CANCELLED, "cancelled", "key-2")

    def test_it_waits_for_no_delay(self, bench: Bench) -> None:
        bench.submit()
        bench.ledger.fail("job-1", 0, bench.claimed().nonce, "{}", True, 60_000)
        assert bench.ledger.cancel("job-1")
        assert bench.claimed().cancel

    def test_a_dead_gpu_does_not_block_it(self, bench: Bench) -> None:
        bench.submit(next=RENDER)
        bench.claimed()
        bench.advance(TTL + 1)
        hint = bench.ledger.cancel("job-1")
        assert hint
        assert hint.queue == CONTROL

    def test_asking_again_gives_the_hint_again(self, bench: Bench) -> None:
        bench.submit()
        assert bench.ledger.cancel("job-1") == bench.ledger.cancel("job-1")

    def test_what_has_ended_stays_ended(self, bench: Bench) -> None:
        assert bench.ledger.cancel("nobody") is None
        bench.submit()
        bench.ledger.commit("job-1", 0, bench.claimed().nonce, "key", None, JobStatus.DONE, "satisfied")
        assert bench.ledger.cancel("job-1") is None
        record = bench.ledger.get("job-1")
        assert record
        assert (record.status, record.cancel) == (JobStatus.DONE, False)

    def test_commit_and_cancel_race_and_one_wins(self, bench: Bench) -> None:
        for i in range(20):
            job = f"job-{i}"
            bench.submit(job)
            claim = bench.claimed(job=job)
            start = Barrier(2)

            def commit(job: str = job, nonce: str = claim.nonce, start: Barrier = start) -> CommitResult:
                start.wait()
                return bench.ledger.commit(job, 0, nonce, "key", None, JobStatus.DONE, "satisfied")

            def cancel(job: str = job, start: Barrier = start) -> None:
                start.wait()
                assert bench.ledger.cancel(job) is None

            with ThreadPoolExecutor(2) as pool:
                result, _ = pool.submit(commit), pool.submit(cancel).result()
            record = bench.ledger.get(job)
            assert record
            committed = result.result() is CommitResult.OK
            assert record.cancel != committed
            assert record.status is (JobStatus.DONE if committed else JobStatus.RUNNING)


class TestRequeue:
    def test_a_dead_letter_comes_back_where_it_died(self, bench: Bench) -> None:
        bench.submit(step=4, next=PLAN)
        for _ in range(3):
            bench.ledger.fail("job-1", 4, bench.claimed(4).nonce, SKY, True, 0)
        hint = bench.ledger.requeue("job-1")
        assert hint
        assert (hint.n, hint.queue) == (4, "planner")
        record = bench.ledger.get("job-1")
        assert record
        assert (record.status, record.seat_failures, record.error, record.letter) == (JobStatus.QUEUED, 0, "", "")
        assert bench.ledger.dead_letters() == []
        assert bench.claimed(4).attempt == 1

    def test_nothing_else_can_be_requeued(self, bench: Bench) -> None:
        assert bench.ledger.requeue("nobody") is None
        bench.submit()
        assert bench.ledger.requeue("job-1") is None
        claim = bench.claimed()
        assert bench.ledger.requeue("job-1") is None
        bench.ledger.commit("job-1", 0, claim.nonce, "key", None, JobStatus.FAILED, "failed")
        assert bench.ledger.requeue("job-1") is None  # its trajectory ended: there is no step to run
