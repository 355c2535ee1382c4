"""The reconciler over both ledgers, with storage in a folder."""

import threading
from pathlib import Path

import pytest

from director.types import StopReason
from tasks.jobs import Job, JobStatus
from tasks.ledger.types import CONTROL, CommitResult, Record, Refusal
from tasks.reconcile import Reconciler, entry_of, requeue
from tasks.store import Archive, FolderStore
from tests.contracts.benches import RENDER, Bench
from tests.contracts.reconciling import House
from tests.unit.tasks import stories


@pytest.fixture
def house(wiped: Bench, tmp_path: Path) -> House:
    """A new installation: nothing stored, and a ledger without an epoch."""
    return House(wiped, Archive(FolderStore(tmp_path / "objects")))


@pytest.fixture
def open_house(house: House) -> House:
    assert house.reconciler.once()
    return house


def found(house: House, job: Job) -> Record:
    record = house.bench.ledger.get(job.id)
    assert record
    return record


def enter(house: House, job: Job) -> Job:
    """Submit a job: storage, ledger, and a message that is sent."""
    stories.submitted(house.archive, job)
    entry = entry_of(house.archive, job.id)
    assert entry
    assert house.bench.ledger.create(entry)
    house.broker.send(found(house, job).hint)
    return job


class TestRebuild:
    def test_a_new_ledger_is_opened(self, house: House) -> None:
        assert house.reconciler.once()
        assert house.bench.ledger.epoch()
        assert house.bench.ledger.jobs() == ([], None)

    def test_each_job_stands_after_its_last_whole_snapshot(self, house: House) -> None:
        keys = {n: stories.run(house.archive, stories.job(f"job {n}"), n) for n in (0, 1, 5)}
        assert house.reconciler.once()
        for n, key in keys.items():
            record = found(house, stories.job(f"job {n}"))
            assert (record.status, record.step, record.snapshot) == (JobStatus.QUEUED, n, key)
            assert (record.queue, record.kind) == (("planner", "plan") if n else ("planner", "extract"))
            assert (record.owner, record.title, record.created_ms, record.priority) == (
                "alice", f"a red square, job {n}", 1_000_500, 6,
            )  # fmt: skip

    def test_the_restored_are_hinted_in_the_same_pass(self, house: House) -> None:
        job = stories.job()
        stories.run(house.archive, job, 2)
        assert house.reconciler.once()
        assert [(hint.job, hint.n) for hint in house.broker.sent] == [(job.id, 2)]

    @pytest.mark.parametrize(
        ("reason", "status"),
        [
            (StopReason.SATISFIED, JobStatus.DONE),
            (StopReason.BUDGET, JobStatus.DONE),
            (StopReason.CANCELLED, JobStatus.CANCELLED),
            (StopReason.FAILED, JobStatus.FAILED),
        ],
    )
    def test_what_has_ended_is_no_longer_live(self, house: House, reason: StopReason, status: JobStatus) -> None:
        job = stories.job()
        stories.run(house.archive, job, 3, stop=reason)
        assert house.reconciler.once()
        record = found(house, job)
        assert (record.status, record.stop, record.step) == (status, reason.value, 3)
        assert house.archive.live() == []
        assert house.broker.sent == []

    def test_a_cancel_that_was_answered_holds(self, house: House) -> None:
        job = stories.job()
        stories.run(house.archive, job, 2)
        house.archive.save_control(job.id, "cancel", "aa", {})
        assert house.reconciler.once()
        record = found(house, job)
        assert (record.cancel, record.queue) == (True, CONTROL)
        assert house.bench.claimed(2, job.id).cancel

    def test_a_dead_letter_stays_dead_until_its_requeue(self, house: House) -> None:
        dead, back = stories.job("dead"), stories.job("back")
        for job in (dead, back):
            stories.run(house.archive, job, 2)
            house.archive.save_control(job.id, "dead", "aa", {"n": 2, "error": '{"boundary":"editor"}'})
        house.archive.save_control(back.id, "requeue", "aa", {"n": 2})
        assert house.reconciler.once()
        record = found(house, dead)
        assert (record.status, record.letter, record.error) == (JobStatus.FAILED, "aa", '{"boundary":"editor"}')
        assert found(house, back).status is JobStatus.QUEUED
        assert requeue(house.bench.ledger, house.archive, record)
        house.bench.wipe()
        assert house.reconciler.once()
        assert found(house, dead).status is JobStatus.QUEUED

    def test_a_second_death_is_another_letter(self, house: House) -> None:
        job = stories.job()
        stories.run(house.archive, job, 2)
        house.archive.save_control(job.id, "dead", "aa", {"n": 2})
        house.archive.save_control(job.id, "requeue", "aa", {"n": 2})
        house.archive.save_control(job.id, "dead", "bb", {"n": 2})
        assert house.reconciler.once()
        assert (found(house, job).status, found(house, job).letter) == (JobStatus.FAILED, "bb")

    def test_a_letter_about_a_step_that_was_done_after_all_is_void(self, house: House) -> None:
        job = stories.job()
        stories.run(house.archive, job, 2)
        house.archive.save_control(job.id, "dead", "aa", {"n": 1})
        assert house.reconciler.once()
        assert found(house, job).status is JobStatus.QUEUED

    def test_old_holders_are_refused(self, open_house: House) -> None:
        job = enter(open_house, stories.job())
        old = open_house.bench.claimed(0, job.id)
        open_house.bench.wipe()
        assert open_house.reconciler.once()
        key = stories.save_step(open_house.archive, job, 0, attempt=old.nonce)
        assert open_house.bench.ledger.commit(job.id, 0, old.nonce, key, RENDER) is CommitResult.REFUSED
        assert found(open_house, job).step == 0

    def test_what_can_not_be_read_does_not_hold_up_the_others(self, house: House, tmp_path: Path) -> None:
        stories.run(house.archive, stories.job("whole"), 1)
        house.archive.mark_live(stories.job("without job.json").id)
        broken = stories.job("broken")
        stories.run(house.archive, broken, 1)
        FolderStore(tmp_path / "objects").put(f"jobs/{broken.id}/job.json", b"{")
        house.archive = Archive(FolderStore(tmp_path / "objects"))
        house.reconciler = house.another()
        assert house.reconciler.once()
        assert [record.title for record in house.bench.ledger.jobs().records] == ["a red square, whole"]
        # What has no job.json was about to be deleted; what can't be read waits for somebody who mends it.
        assert len(house.archive.live()) == 2

    def test_a_second_rebuilder_stays_out(self, house: House) -> None:
        assert house.bench.ledger.lock_rebuild("somebody else", 30_000)
        assert not house.reconciler.rebuild()
        assert not house.reconciler.once()
        assert house.bench.ledger.epoch() is None
        house.bench.advance(30_001)  # it died
        assert house.reconciler.once()

    def test_another_holder_goes_on_where_one_broke_off(self, house: House, tmp_path: Path) -> None:
        jobs = [stories.job(f"{i}") for i in range(4)]
        for job in jobs:
            stories.run(house.archive, job, 1)
        assert house.bench.ledger.lock_rebuild("died half-way", 1_000)
        entry = entry_of(house.archive, jobs[0].id)
        assert entry
        house.bench.ledger.restore(entry.model_copy(update={"title": "restored by the first"}), "died half-way")
        house.bench.advance(1_001)
        assert house.reconciler.once()
        assert len(house.bench.ledger.jobs().records) == 4
        assert found(house, jobs[0]).title == "restored by the first"

    def test_two_at_once_make_one_epoch(self, house: House) -> None:
        for i in range(10):
            stories.run(house.archive, stories.job(f"{i}"), 2)
        start, answers = threading.Barrier(2), list[bool]()

        def rebuild(reconciler: Reconciler) -> None:
            start.wait()
            answers.append(reconciler.rebuild())

        threads = [threading.Thread(target=rebuild, args=(one,)) for one in (house.reconciler, house.another())]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [False, True]
        assert len(house.bench.ledger.jobs().records) == 10


class TestReap:
    def test_a_dead_lease_is_hinted_at_once(self, open_house: House) -> None:
        job = enter(open_house, stories.job())
        open_house.broker.take()
        open_house.bench.claimed(0, job.id)
        assert open_house.reconciler.once()
        assert open_house.broker.sent == []
        open_house.wait()
        assert open_house.reconciler.once()
        assert open_house.broker.take() == [job.id]

    def test_a_poison_step_becomes_a_dead_letter_in_storage(self, open_house: House) -> None:
        job = enter(open_house, stories.job())
        for _ in range(3):
            claim = open_house.bench.claimed(0, job.id)
            open_house.wait()
            assert open_house.reconciler.once()
        assert found(open_house, job).status is JobStatus.FAILED
        (order,) = open_house.archive.controls(job.id)
        assert (order.kind, order.nonce, order.facts["n"]) == ("dead", claim.nonce, 0)
        assert "went silent" in order.facts["error"]
        assert open_house.bench.ledger.dead_letters() == []
        assert open_house.archive.live() == [job.id]
        open_house.bench.wipe()
        assert open_house.reconciler.once()
        assert found(open_house, job).letter == claim.nonce
        assert open_house.bench.ledger.claim(job.id, 0, "h") is Refusal.ENDED

    def test_a_cancelled_job_goes_to_whoever_is_alive(self, open_house: House) -> None:
        job = enter(open_house, stories.job())
        open_house.broker.take()
        open_house.bench.claimed(0, job.id)
        open_house.bench.ledger.cancel(job.id)
        open_house.wait()
        assert open_house.reconciler.once()
        assert [hint.queue for hint in open_house.broker.sent] == [CONTROL]


class TestRehint:
    def test_jobs_that_wait_in_a_queue_are_not_lost(self, open_house: House) -> None:
        for i in range(20):
            enter(open_house, stories.job(f"{i}"))
        for _ in range(5):
            open_house.wait()
            assert open_house.reconciler.once()
        assert len(open_house.broker.sent) == 20

    def test_as_many_as_are_missing_are_sent_oldest_first(self, open_house: House) -> None:
        jobs: list[str] = []
        for i in range(10):
            jobs.append(enter(open_house, stories.job(f"{i}")).id)
            open_house.bench.advance(10)
        del open_house.broker.sent[3:]  # seven of ten messages are lost
        assert open_house.reconciler.once()
        assert len(open_house.broker.sent) == 3  # too young to be called lost
        open_house.bench.advance(3_001)
        assert open_house.reconciler.once()
        assert [hint.job for hint in open_house.broker.sent[3:]] == jobs[:7]
        open_house.wait()
        assert open_house.reconciler.once()
        assert len(open_house.broker.sent) == 10

    def test_a_broker_that_forgot_everything_is_told_again(self, open_house: House) -> None:
        jobs = {enter(open_house, stories.job(f"{i}")).id for i in range(5)}
        open_house.broker.take()
        open_house.bench.advance(3_001)
        assert open_house.reconciler.once()
        assert set(open_house.broker.take()) == jobs

    def test_a_failed_step_is_hinted_when_its_delay_is_over(self, open_house: House) -> None:
        job = enter(open_house, stories.job())
        open_house.broker.take()
        open_house.bench.ledger.fail(job.id, 0, open_house.bench.claimed(0, job.id).nonce, "{}", True, 5_000)
        assert open_house.reconciler.once()
        assert open_house.broker.sent == []
        open_house.bench.advance(5_001)
        assert open_house.reconciler.once()
        assert open_house.broker.take() == [job.id]


class TestAudit:
    def test_a_submit_that_broke_off_is_finished(self, open_house: House) -> None:
        job = stories.submitted(open_house.archive, stories.job())
        open_house.reconciler.audit()
        assert open_house.bench.ledger.get(job.id) is None  # its submit may still be under way
        open_house.reconciler.audit()
        assert found(open_house, job).step == 0
        assert open_house.broker.take() == [job.id]
        open_house.reconciler.audit()
        assert open_house.broker.sent == []

    @pytest.mark.parametrize("status", [JobStatus.DONE, JobStatus.CANCELLED, JobStatus.FAILED])
    def test_a_mark_that_outlived_its_job_is_removed(self, open_house: House, status: JobStatus) -> None:
        job = enter(open_house, stories.job())
        claim = open_house.bench.claimed(0, job.id)
        open_house.bench.ledger.commit(job.id, 0, claim.nonce, "key", None, status, "stopped")
        open_house.reconciler.audit()
        assert open_house.archive.live() == []

    def test_a_dead_letter_stays_live(self, open_house: House) -> None:
        job = enter(open_house, stories.job())
        for _ in range(3):
            open_house.bench.ledger.fail(job.id, 0, open_house.bench.claimed(0, job.id).nonce, "{}", True, 0)
        open_house.reconciler.audit()
        assert open_house.archive.live() == [job.id]

    def test_the_ledger_lists_what_ended_for_a_while(self, open_house: House) -> None:
        job = enter(open_house, stories.job())
        claim = open_house.bench.claimed(0, job.id)
        open_house.bench.ledger.commit(job.id, 0, claim.nonce, "key", None, JobStatus.DONE, "satisfied")
        open_house.reconciler.audit()
        assert found(open_house, job)
        open_house.bench.advance(100_001)
        open_house.reconciler.audit()
        assert open_house.bench.ledger.get(job.id) is None


class TestOutages:
    def test_the_rest_of_a_pass_is_done(self, open_house: House) -> None:
        """The broker is away: hints wait, dead letters are filed none the less."""
        job = enter(open_house, stories.job())
        for _ in range(3):
            open_house.bench.ledger.fail(job.id, 0, open_house.bench.claimed(0, job.id).nonce, "{}", True, 0)
        other = enter(open_house, stories.job("other"))
        open_house.broker.take()
        open_house.wait()
        open_house.broker.away = True
        assert not open_house.reconciler.once()
        assert [order.kind for order in open_house.archive.controls(job.id)] == ["dead"]
        open_house.broker.away = False
        open_house.wait()
        assert open_house.reconciler.once()
        assert open_house.broker.take() == [other.id]

    def test_storage_that_is_away_stops_a_rebuild_and_nothing_else(self, house: House, tmp_path: Path) -> None:
        stories.run(house.archive, stories.job(), 2)
        objects, aside = tmp_path / "objects", tmp_path / "aside"
        objects.rename(aside)
        objects.write_text("not a folder")
        assert not house.reconciler.once()
        assert house.bench.ledger.epoch() is None
        objects.unlink()
        aside.rename(objects)
        assert house.reconciler.once()
        assert found(house, stories.job()).step == 2

    def test_it_runs_until_it_is_stopped(self, house: House) -> None:
        stop, epoch = threading.Event(), threading.Event()
        reconciler = house.another()
        done = reconciler.queue_length

        def queue_length(queue: str) -> int:
            epoch.set()
            return done(queue)

        stories.run(house.archive, stories.job(), 1)
        reconciler.queue_length = queue_length
        thread = threading.Thread(target=reconciler.run, args=(stop,))
        thread.start()
        assert epoch.wait(5)
        stop.set()
        thread.join(5)
        assert not thread.is_alive()
        assert house.bench.ledger.epoch()
