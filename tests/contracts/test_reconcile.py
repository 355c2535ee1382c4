"""The reconciler over a ledger in process and on a server, with storage in a folder."""

import json
import threading
from pathlib import Path

import pytest

from director.errors import Actor
from director.types import StopReason
from tasks.jobs import Job, JobStatus
from tasks.ledger.types import CONTROL, CommitResult, Next, Record, Refusal
from tasks.reconcile import Reconciler, entry_of, requeue
from tasks.store import Archive, FolderStore
from tests.contracts.sites import Site
from tests.support import recorded_jobs
from tests.support.ledgers import RENDER


def found(site: Site, job: Job) -> Record:
    record = site.ledger.get(job.id)
    assert record
    return record


def enter(site: Site, job: Job) -> Job:
    """Submit a job: storage, ledger, and a message that is sent."""
    recorded_jobs.submitted(site.archive, job)
    entry = entry_of(site.archive, job.id)
    assert entry
    assert site.ledger.create(entry)
    site.broker.send(found(site, job).hint)
    return job


class TestRebuild:
    def test_a_new_ledger_is_opened(self, site: Site) -> None:
        assert site.reconciler.once()
        assert site.ledger.epoch()
        assert site.ledger.jobs() == ([], None)

    def test_each_job_stands_after_its_last_whole_snapshot(self, site: Site) -> None:
        keys = {n: recorded_jobs.run(site.archive, recorded_jobs.job(f"job {n}"), n) for n in (0, 1, 5)}
        assert site.reconciler.once()
        for n, key in keys.items():
            record = found(site, recorded_jobs.job(f"job {n}"))
            assert (record.status, record.step, record.snapshot) == (JobStatus.QUEUED, n, key)
            assert (record.queue, record.kind) == (("planner", "plan") if n else ("planner", "extract"))
            assert (record.owner, record.title, record.created_ms, record.priority) == (
                "alice", f"a red square, job {n}", 1_000_500, 6,
            )  # fmt: skip

    def test_the_restored_are_hinted_in_the_same_pass(self, site: Site) -> None:
        job = recorded_jobs.job()
        recorded_jobs.run(site.archive, job, 2)
        assert site.reconciler.once()
        assert [(hint.job, hint.n) for hint in site.broker.sent] == [(job.id, 2)]

    @pytest.mark.parametrize(
        ("reason", "status"),
        [
            (StopReason.SATISFIED, JobStatus.DONE),
            (StopReason.BUDGET, JobStatus.DONE),
            (StopReason.CANCELLED, JobStatus.CANCELLED),
            (StopReason.FAILED, JobStatus.FAILED),
        ],
    )
    def test_what_has_ended_is_no_longer_live(self, site: Site, reason: StopReason, status: JobStatus) -> None:
        job = recorded_jobs.job()
        recorded_jobs.run(site.archive, job, 3, stop=reason)
        assert site.reconciler.once()
        record = found(site, job)
        assert (record.status, record.stop, record.step) == (status, reason.value, 3)
        assert site.archive.live() == []
        assert site.broker.sent == []

    def test_a_cancel_that_was_answered_holds(self, site: Site) -> None:
        job = recorded_jobs.job()
        recorded_jobs.run(site.archive, job, 2)
        site.archive.save_control(job.id, "cancel", "aa", {})
        assert site.reconciler.once()
        record = found(site, job)
        assert (record.cancel, record.queue) == (True, CONTROL)
        assert site.rig.claimed(2, job.id).cancel

    def test_a_dead_letter_stays_dead_until_its_requeue(self, site: Site) -> None:
        dead, back = recorded_jobs.job("dead"), recorded_jobs.job("back")
        for job in (dead, back):
            recorded_jobs.run(site.archive, job, 2)
            site.archive.save_control(job.id, "dead", "aa", {"n": 2, "error": '{"boundary":"editor"}'})
        site.archive.save_control(back.id, "requeue", "aa", {"n": 2})
        assert site.reconciler.once()
        record = found(site, dead)
        assert (record.status, record.dead_letter, record.error) == (JobStatus.FAILED, "aa", '{"boundary":"editor"}')
        assert found(site, back).status is JobStatus.QUEUED
        assert requeue(site.ledger, site.archive, record)
        site.rig.wipe()
        assert site.reconciler.once()
        assert found(site, dead).status is JobStatus.QUEUED

    def test_a_second_death_is_another_dead_letter(self, site: Site) -> None:
        job = recorded_jobs.job()
        recorded_jobs.run(site.archive, job, 2)
        site.archive.save_control(job.id, "dead", "aa", {"n": 2})
        site.archive.save_control(job.id, "requeue", "aa", {"n": 2})
        site.archive.save_control(job.id, "dead", "bb", {"n": 2})
        assert site.reconciler.once()
        assert (found(site, job).status, found(site, job).dead_letter) == (JobStatus.FAILED, "bb")

    def test_a_dead_letter_about_a_step_that_was_done_after_all_is_void(self, site: Site) -> None:
        job = recorded_jobs.job()
        recorded_jobs.run(site.archive, job, 2)
        site.archive.save_control(job.id, "dead", "aa", {"n": 1})
        assert site.reconciler.once()
        assert found(site, job).status is JobStatus.QUEUED

    def test_old_holders_are_refused(self, open_site: Site) -> None:
        job = enter(open_site, recorded_jobs.job())
        old = open_site.rig.claimed(0, job.id)
        open_site.rig.wipe()
        assert open_site.reconciler.once()
        key = recorded_jobs.save_step(open_site.archive, job, 0, attempt=old.nonce)
        assert open_site.ledger.commit(job.id, 0, old.nonce, key, RENDER) is CommitResult.REFUSED
        assert found(open_site, job).step == 0

    def test_what_can_not_be_read_does_not_hold_up_the_others(self, site: Site, tmp_path: Path) -> None:
        recorded_jobs.run(site.archive, recorded_jobs.job("whole"), 1)
        site.archive.mark_live(recorded_jobs.job("without job.json").id)
        broken = recorded_jobs.job("broken")
        recorded_jobs.run(site.archive, broken, 1)
        FolderStore(tmp_path / "objects").put(f"jobs/{broken.id}/job.json", b"{")
        site.archive = Archive(FolderStore(tmp_path / "objects"))
        site.reconciler = site.another()
        assert site.reconciler.once()
        assert [record.title for record in site.ledger.jobs().records] == ["a red square, whole"]
        # What has no job.json was about to be deleted; what can't be read waits for somebody who mends it.
        assert len(site.archive.live()) == 2

    def test_a_second_rebuilder_stays_out(self, site: Site) -> None:
        assert site.ledger.lock_rebuild("somebody else", 30_000)
        assert not site.reconciler.rebuild()
        assert not site.reconciler.once()
        assert site.ledger.epoch() is None
        site.rig.advance(30_001)  # it died
        assert site.reconciler.once()

    def test_another_holder_goes_on_where_one_broke_off(self, site: Site, tmp_path: Path) -> None:
        jobs = [recorded_jobs.job(f"{i}") for i in range(4)]
        for job in jobs:
            recorded_jobs.run(site.archive, job, 1)
        assert site.ledger.lock_rebuild("died half-way", 1_000)
        entry = entry_of(site.archive, jobs[0].id)
        assert entry
        site.ledger.restore(entry.model_copy(update={"title": "restored by the first"}), "died half-way")
        site.rig.advance(1_001)
        assert site.reconciler.once()
        assert len(site.ledger.jobs().records) == 4
        assert found(site, jobs[0]).title == "restored by the first"

    def test_two_at_once_make_one_epoch(self, site: Site) -> None:
        for i in range(10):
            recorded_jobs.run(site.archive, recorded_jobs.job(f"{i}"), 2)
        start, answers = threading.Barrier(2), list[bool]()

        def rebuild(reconciler: Reconciler) -> None:
            start.wait()
            answers.append(reconciler.rebuild())

        threads = [threading.Thread(target=rebuild, args=(one,)) for one in (site.reconciler, site.another())]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [False, True]
        assert len(site.ledger.jobs().records) == 10


class TestReap:
    def test_a_dead_lease_is_hinted_at_once(self, open_site: Site) -> None:
        job = enter(open_site, recorded_jobs.job())
        open_site.broker.take()
        open_site.rig.claimed(0, job.id)
        assert open_site.reconciler.once()
        assert open_site.broker.sent == []
        open_site.wait()
        assert open_site.reconciler.once()
        assert open_site.broker.take() == [job.id]

    def test_a_poison_step_becomes_a_dead_letter_in_storage(self, open_site: Site) -> None:
        job = enter(open_site, recorded_jobs.job())
        for _ in range(3):
            claim = open_site.rig.claimed(0, job.id)
            open_site.wait()
            assert open_site.reconciler.once()
        assert found(open_site, job).status is JobStatus.FAILED
        (order,) = open_site.archive.controls(job.id)
        assert (order.kind, order.nonce, order.record["n"]) == ("dead", claim.nonce, 0)
        assert "went silent" in order.record["error"]
        assert open_site.ledger.dead_letters() == []
        assert open_site.archive.live() == [job.id]
        open_site.rig.wipe()
        assert open_site.reconciler.once()
        assert found(open_site, job).dead_letter == claim.nonce
        assert open_site.ledger.claim(job.id, 0, "h") is Refusal.ENDED

    def test_a_cancelled_job_goes_to_whoever_is_alive(self, open_site: Site) -> None:
        job = enter(open_site, recorded_jobs.job())
        open_site.broker.take()
        open_site.rig.claimed(0, job.id)
        open_site.ledger.cancel(job.id)
        open_site.wait()
        assert open_site.reconciler.once()
        assert [hint.queue for hint in open_site.broker.sent] == [CONTROL]


class TestRehint:
    def test_jobs_that_wait_in_a_queue_are_not_lost(self, open_site: Site) -> None:
        for i in range(20):
            enter(open_site, recorded_jobs.job(f"{i}"))
        for _ in range(5):
            open_site.wait()
            assert open_site.reconciler.once()
        assert len(open_site.broker.sent) == 20

    def test_as_many_as_are_missing_are_sent_oldest_first(self, open_site: Site) -> None:
        jobs: list[str] = []
        for i in range(10):
            jobs.append(enter(open_site, recorded_jobs.job(f"{i}")).id)
            open_site.rig.advance(10)
        del open_site.broker.sent[3:]  # seven of ten messages are lost
        assert open_site.reconciler.once()
        assert len(open_site.broker.sent) == 3  # too young to be called lost
        open_site.rig.advance(3_001)
        assert open_site.reconciler.once()
        assert [hint.job for hint in open_site.broker.sent[3:]] == jobs[:7]
        open_site.wait()
        assert open_site.reconciler.once()
        assert len(open_site.broker.sent) == 10

    def test_a_broker_that_forgot_everything_is_told_again(self, open_site: Site) -> None:
        jobs = {enter(open_site, recorded_jobs.job(f"{i}")).id for i in range(5)}
        open_site.broker.take()
        open_site.rig.advance(3_001)
        assert open_site.reconciler.once()
        assert set(open_site.broker.take()) == jobs

    def test_a_failed_step_is_hinted_when_its_delay_is_over(self, open_site: Site) -> None:
        job = enter(open_site, recorded_jobs.job())
        open_site.broker.take()
        open_site.ledger.fail(job.id, 0, open_site.rig.claimed(0, job.id).nonce, "{}", Actor.SEAT, "host-1", 0, 5_000)
        assert open_site.reconciler.once()
        assert open_site.broker.sent == []
        open_site.rig.advance(5_001)
        assert open_site.reconciler.once()
        assert open_site.broker.take() == [job.id]


class TestAudit:
    def test_a_submit_that_broke_off_is_finished(self, open_site: Site) -> None:
        job = recorded_jobs.submitted(open_site.archive, recorded_jobs.job())
        open_site.reconciler.audit()
        assert open_site.ledger.get(job.id) is None  # its submit may still be under way
        open_site.reconciler.audit()
        assert found(open_site, job).step == 0
        assert open_site.broker.take() == [job.id]
        open_site.reconciler.audit()
        assert open_site.broker.sent == []

    @pytest.mark.parametrize("status", [JobStatus.DONE, JobStatus.CANCELLED, JobStatus.FAILED])
    def test_a_mark_that_outlived_its_job_is_removed(self, open_site: Site, status: JobStatus) -> None:
        job = enter(open_site, recorded_jobs.job())
        claim = open_site.rig.claimed(0, job.id)
        open_site.ledger.commit(job.id, 0, claim.nonce, "key", None, status, "stopped")
        open_site.reconciler.audit()
        assert open_site.archive.live() == []

    def test_a_dead_letter_stays_live(self, open_site: Site) -> None:
        job = enter(open_site, recorded_jobs.job())
        for _ in range(3):
            open_site.ledger.fail(job.id, 0, open_site.rig.claimed(0, job.id).nonce, "{}", Actor.SEAT, "host-1", 0, 0)
        open_site.reconciler.audit()
        assert open_site.archive.live() == [job.id]

    def test_the_ledger_lists_what_ended_for_a_while(self, open_site: Site) -> None:
        job = enter(open_site, recorded_jobs.job())
        claim = open_site.rig.claimed(0, job.id)
        open_site.ledger.commit(job.id, 0, claim.nonce, "key", None, JobStatus.DONE, "satisfied")
        open_site.reconciler.audit()
        assert found(open_site, job)
        open_site.rig.advance(100_001)
        open_site.reconciler.audit()
        assert open_site.ledger.get(job.id) is None


class TestOutages:
    def test_the_rest_of_a_pass_is_done(self, open_site: Site) -> None:
        """The broker is away: hints wait, dead letters are filed none the less."""
        job = enter(open_site, recorded_jobs.job())
        for _ in range(3):
            open_site.ledger.fail(job.id, 0, open_site.rig.claimed(0, job.id).nonce, "{}", Actor.SEAT, "host-1", 0, 0)
        other = enter(open_site, recorded_jobs.job("other"))
        open_site.broker.take()
        open_site.wait()
        open_site.broker.away = True
        assert not open_site.reconciler.once()
        assert [order.kind for order in open_site.archive.controls(job.id)] == ["dead"]
        open_site.broker.away = False
        open_site.wait()
        assert open_site.reconciler.once()
        assert open_site.broker.take() == [other.id]

    def test_storage_that_is_away_stops_a_rebuild_and_nothing_else(self, site: Site, tmp_path: Path) -> None:
        recorded_jobs.run(site.archive, recorded_jobs.job(), 2)
        objects, aside = tmp_path / "objects", tmp_path / "aside"
        objects.rename(aside)
        objects.write_text("not a folder")
        assert not site.reconciler.once()
        assert site.ledger.epoch() is None
        objects.unlink()
        aside.rename(objects)
        assert site.reconciler.once()
        assert found(site, recorded_jobs.job()).step == 2

    def test_it_runs_until_it_is_stopped(self, site: Site) -> None:
        stop, epoch = threading.Event(), threading.Event()
        reconciler = site.another()
        done = reconciler.queue_length

        def queue_length(queue: str) -> int:
            epoch.set()
            return done(queue)

        recorded_jobs.run(site.archive, recorded_jobs.job(), 1)
        reconciler.queue_length = queue_length
        thread = threading.Thread(target=reconciler.run, args=(stop,))
        thread.start()
        assert epoch.wait(60)
        stop.set()
        thread.join(60)
        assert not thread.is_alive()
        assert site.ledger.epoch()


class TestHeldAndSick:
    def fail(self, site: Site, job: Job, worker: str, actor: Actor, resource: str) -> None:
        error = json.dumps({"boundary": "planner", "message": "refused", "resource": resource})
        claim = site.rig.claimed(found(site, job).step, job.id, worker)
        site.ledger.fail(job.id, claim.n, claim.nonce, error, actor, worker)

    def test_a_held_queue_is_probed_by_one_hint_at_a_time(self, open_site: Site) -> None:
        jobs = [enter(open_site, recorded_jobs.job(f"{i}")) for i in range(5)]
        open_site.broker.take()
        self.fail(open_site, jobs[0], "w", Actor.OUTAGE, "http://vlm/v1")
        assert open_site.reconciler.once()
        assert open_site.broker.take() == []
        for _ in range(3):
            open_site.wait()
            assert open_site.reconciler.once()
            assert open_site.reconciler.once()
            [job] = open_site.broker.take()
            assert job != jobs[0].id
        claim = open_site.rig.claimed(0, job, "w")
        open_site.ledger.commit(job, 0, claim.nonce, "key", RENDER)
        assert open_site.reconciler.once()
        assert sorted(open_site.broker.take()) == sorted(one.id for one in jobs if one.id != job)

    def test_who_waits_for_a_day_is_a_dead_letter_that_outlives_the_ledger(self, open_site: Site) -> None:
        job = enter(open_site, recorded_jobs.job())
        self.fail(open_site, job, "w", Actor.OPERATOR, "the key")
        open_site.rig.advance(86_400_001)
        assert open_site.reconciler.once()
        assert found(open_site, job).status is JobStatus.FAILED
        [order] = open_site.archive.controls(job.id)
        assert order.kind == "dead"
        assert "mend it, then requeue" in order.record["error"]
        assert requeue(open_site.ledger, open_site.archive, found(open_site, job))
        open_site.rig.wipe()
        assert open_site.reconciler.once()
        assert found(open_site, job).status is JobStatus.QUEUED

    def test_a_quarantined_editor_gets_canaries_for_its_models(self, open_site: Site) -> None:
        sent: list[tuple[str, tuple[str, ...]]] = []
        open_site.reconciler.send_canary = lambda worker, models: sent.append((worker, tuple(models)))
        serving = (("sick", ["editor.b", "editor.a", "planner"]), ("well", ["editor.a"]), ("fine", ["editor.a"]))
        for worker, queues in serving:
            open_site.ledger.announce(worker, queues, 10**7)
        for i in range(3):
            open_site.rig.submit(f"job-{i}", next=Next(queue="editor.a", kind="render"))
            claim = open_site.rig.claimed(0, f"job-{i}", "sick")
            open_site.ledger.fail(f"job-{i}", 0, claim.nonce, "{}", Actor.SEAT, "sick")
            open_site.rig.advance(30_000)
        assert open_site.ledger.standing("sick").quarantined
        assert open_site.reconciler.once()
        assert sent == []
        open_site.rig.advance(60_000)
        assert open_site.reconciler.once()
        assert open_site.reconciler.once()
        assert sent == [("sick", ("a", "b"))]
