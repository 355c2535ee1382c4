"""The typed objects of a job, and how the snapshot to go on from is found among tries and debris."""

import hashlib
import json
import logging
import pickle
import uuid
from pathlib import Path

import pytest

from director.types import Brief, Extracted, Goal, Trajectory
from tasks.jobs import CONTRACT
from tasks.store import Archive, Corrupt, FolderStore, NotFound
from tests.support import recorded_jobs
from tests.support.ledgers import PLAN


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


@pytest.fixture
def archive(store: FolderStore) -> Archive:
    return Archive(store)


def test_a_job_is_what_was_saved(store: FolderStore, archive: Archive) -> None:
    job = recorded_jobs.job()
    assert archive.find_job(job.id) is None
    with pytest.raises(NotFound):
        archive.load_job(job.id)
    archive.save_job(job)
    assert Archive(store).load_job(job.id) == job
    assert archive.find_job(job.id) == job


def test_only_what_has_absent_goals_names_the_newer_contract(store: FolderStore, archive: Archive) -> None:
    job = recorded_jobs.job()
    archive.save_job(job)
    key = f"jobs/{job.id}/job.json"
    assert b"contract" not in store.get(key)
    goal = Goal(id="g01", text="no dogs", absent=True)
    archive.save_job(job.model_copy(update={"brief": job.brief.model_copy(update={"goals": (goal,)})}))
    assert json.loads(store.get(key))["contract"] == 2
    assert archive.load_job(job.id).brief.goals == (goal,)
    trajectory = Trajectory(brief=job.brief, settings=job.settings, seed=1, events=(Extracted(goals=(goal,), by="x"),))
    step = archive.save_snapshot(job.id, 0, "a" * 8, "", None, trajectory)
    assert json.loads(store.get(step))["contract"] == 2
    store.put(key, store.get(key).replace(b'"contract":2', b'"contract":%d' % (CONTRACT + 1)))
    with pytest.raises(Corrupt, match="newer version"):
        archive.load_job(job.id)


def test_live_marks_come_and_go(archive: Archive) -> None:
    assert archive.live() == []
    for key in ("a", "b"):
        archive.mark_live(recorded_jobs.job(key).id)
    archive.mark_live(recorded_jobs.job("a").id)
    assert archive.live() == sorted(recorded_jobs.job(key).id for key in ("a", "b"))
    archive.unmark_live(recorded_jobs.job("a").id)
    archive.unmark_live(recorded_jobs.job("a").id)
    assert archive.live() == [recorded_jobs.job("b").id]


class TestSnapshots:
    def test_the_layout_is_that_of_the_documents(self, store: FolderStore, archive: Archive) -> None:
        job = recorded_jobs.job()
        last = recorded_jobs.run(archive, job, 2)
        first = f"jobs/{job.id}/steps/0000-{recorded_jobs.nonce(0)}.json"
        assert last == f"jobs/{job.id}/steps/0001-{recorded_jobs.nonce(1)}.json"
        stored = json.loads(store.get(last))
        assert list(stored) == ["n", "nonce", "previous", "previous_sha256", "next", "trajectory"]
        assert (stored["n"], stored["previous"]) == (1, first)
        assert stored["previous_sha256"] == hashlib.sha256(store.get(first)).hexdigest()
        assert stored["next"] == {"queue": "planner", "kind": "plan"}

    def test_another_process_reads_the_same(self, store: FolderStore, archive: Archive) -> None:
        job = recorded_jobs.job()
        key = recorded_jobs.run(archive, job, 3)
        snapshot = Archive(store).load_snapshot(key)
        assert snapshot == archive.load_snapshot(key)
        assert snapshot.trajectory == recorded_jobs.trajectory(job, 3)

    def test_a_process_that_never_saw_the_one_before_links_to_it(self, store: FolderStore, archive: Archive) -> None:
        job = recorded_jobs.job()
        key = recorded_jobs.run(archive, job, 1)
        last = recorded_jobs.save_step(Archive(store), job, 1, key)
        assert [snapshot.n for snapshot in Archive(store).chain(job.id, last)] == [0, 1]

    def test_the_same_value_is_the_same_bytes(self, store: FolderStore, archive: Archive, tmp_path: Path) -> None:
        key = recorded_jobs.run(archive, recorded_jobs.job(), 3)
        again = FolderStore(tmp_path / "again")
        recorded_jobs.run(Archive(again), recorded_jobs.job(), 3)
        assert store.get(key) == again.get(key)

    def test_a_large_one_is_stored_with_a_warning(self, archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
        job = recorded_jobs.job()
        with caplog.at_level(logging.WARNING):
            key = archive.save_snapshot(job.id, 0, "aa", "", PLAN, recorded_jobs.trajectory(job, 900))
        assert "the snapshot has" in caplog.text
        assert len(archive.load_snapshot(key).trajectory.events) == 900

    def test_what_is_no_snapshot_is_corrupt(self, store: FolderStore, archive: Archive) -> None:
        job = recorded_jobs.job()
        for data in (b"", b"{", b"{}", b"null", b'{"n":-1}'):
            store.put(f"jobs/{job.id}/steps/0000-aa.json", data)
            with pytest.raises(Corrupt):
                archive.load_snapshot(f"jobs/{job.id}/steps/0000-aa.json")


class TestChain:
    def test_it_goes_from_the_first_to_the_last(self, store: FolderStore, archive: Archive) -> None:
        job = recorded_jobs.job()
        chain = archive.chain(job.id, recorded_jobs.run(archive, job, 4))
        assert [snapshot.n for snapshot in chain] == [0, 1, 2, 3]
        assert all(len(snapshot.trajectory.events) == snapshot.n + 1 for snapshot in chain)

    def test_a_changed_object_breaks_it(self, store: FolderStore, archive: Archive) -> None:
        job = recorded_jobs.job()
        key = recorded_jobs.run(archive, job, 3)
        middle = f"jobs/{job.id}/steps/0001-{recorded_jobs.nonce(1)}.json"
        store.put(middle, store.get(middle).replace(b"step 1", b"step 9"))
        with pytest.raises(Corrupt, match="is not the snapshot that step 2 was made from"):
            archive.chain(job.id, key)

    def test_a_missing_object_breaks_it(self, store: FolderStore, archive: Archive) -> None:
        job = recorded_jobs.job()
        key = recorded_jobs.run(archive, job, 3)
        store.delete(f"jobs/{job.id}/steps/0001-{recorded_jobs.nonce(1)}.json")
        with pytest.raises(Corrupt, match="no jobs"):
            archive.chain(job.id, key)

    def test_it_must_start_at_step_0_and_leave_none_out(self, archive: Archive) -> None:
        job = recorded_jobs.job()
        with pytest.raises(Corrupt, match="starts at step 2"):
            archive.chain(job.id, recorded_jobs.save_step(archive, job, 2))
        key = recorded_jobs.run(archive, job, 1)
        with pytest.raises(Corrupt, match="stands before step 2"):
            archive.chain(job.id, recorded_jobs.save_step(archive, job, 2, key))

    def test_a_chain_stays_within_its_job(self, archive: Archive) -> None:
        key = recorded_jobs.run(archive, recorded_jobs.job("a"), 1)
        with pytest.raises(Corrupt, match="another job's step"):
            archive.chain(recorded_jobs.job("b").id, recorded_jobs.save_step(archive, recorded_jobs.job("b"), 1, key))


class TestLatest:
    def test_nothing_was_saved(self, archive: Archive) -> None:
        assert archive.latest(recorded_jobs.job().id) is None

    def test_the_highest_step(self, archive: Archive) -> None:
        key = recorded_jobs.run(archive, recorded_jobs.job(), 12)
        assert archive.latest(recorded_jobs.job().id) == key

    def test_of_two_tries_the_smaller_nonce(self, archive: Archive) -> None:
        job = recorded_jobs.job()
        before = recorded_jobs.run(archive, job, 1)
        large = recorded_jobs.save_step(archive, job, 1, before, attempt="f")
        small = recorded_jobs.save_step(archive, job, 1, before, attempt="0")
        assert archive.latest(job.id) == small != large

    def test_the_try_that_a_later_step_links_to(self, archive: Archive) -> None:
        job = recorded_jobs.job()
        before = recorded_jobs.run(archive, job, 1)
        large = recorded_jobs.save_step(archive, job, 1, before, attempt="f")
        recorded_jobs.save_step(archive, job, 1, before, attempt="0")
        later = recorded_jobs.save_step(archive, job, 2, large)
        assert archive.latest(job.id) == later
        assert [snapshot.nonce[0] for snapshot in archive.chain(job.id, later)][1] == "f"

    def test_debris_is_passed_over(self, store: FolderStore, archive: Archive) -> None:
        job = recorded_jobs.job()
        whole = recorded_jobs.run(archive, job, 3)
        steps = f"jobs/{job.id}/steps/"
        store.put(f"{steps}0003-00.json", store.get(whole)[:-20])  # cut by a power failure
        store.put(f"{steps}0004-00.json", store.get(whole))  # a copy under another name
        store.put(f"{steps}0007-00.json", b"")
        store.put(f"{steps}notes.txt", b"")
        recorded_jobs.save_step(archive, job, 5, whole)
        assert archive.latest(job.id) == whole
        assert Archive(store).latest(job.id) == whole

    def test_the_newest_whole_one_is_enough(self, store: FolderStore, archive: Archive) -> None:
        job = recorded_jobs.job()
        newest = recorded_jobs.run(archive, job, 3)
        broken = f"jobs/{job.id}/steps/0001-{recorded_jobs.nonce(1)}.json"
        store.put(broken, store.get(broken)[:-5])
        assert archive.latest(job.id) == newest

    def test_a_hole_behind_the_newest_is_told(
        self, store: FolderStore, archive: Archive, caplog: pytest.LogCaptureFixture
    ) -> None:
        job = recorded_jobs.job()
        newest = recorded_jobs.run(archive, job, 4)
        store.delete(f"jobs/{job.id}/steps/0001-{recorded_jobs.nonce(1)}.json")
        assert archive.latest(job.id) == newest
        assert "steps are missing behind" in caplog.text
        assert archive.hole(job.id, 4) == [1]

    def test_one_that_is_not_what_the_next_was_made_from_is_passed_over(
        self, store: FolderStore, archive: Archive
    ) -> None:
        """A later try that does not fit still knows what it was made from."""
        job = recorded_jobs.job()
        newest = recorded_jobs.run(archive, job, 3)
        before = f"jobs/{job.id}/steps/0001-{recorded_jobs.nonce(1)}.json"
        store.put(before, store.get(before).replace(b"step 1", b"step 9"))
        assert Archive(store).latest(job.id) == newest
        first = f"jobs/{job.id}/steps/0000-{recorded_jobs.nonce(0)}.json"
        assert Archive(store).latest(job.id, fits=lambda snapshot: snapshot.n < 2) == first

    @pytest.mark.parametrize("attempt", ["0", "f"])
    def test_what_a_rewind_made_void_never_counts(self, store: FolderStore, archive: Archive, attempt: str) -> None:
        """Whatever the order of the nonces; nor does what a slow worker still makes from it."""
        job = recorded_jobs.job()
        first = recorded_jobs.run(archive, job, 1)
        lost = [recorded_jobs.save_step(archive, job, 1, first)]
        lost.append(recorded_jobs.save_step(archive, job, 2, lost[0]))
        archive.save_control(job.id, "rewind", "aa", {"from": 3, "to": 1, "void": lost})
        assert archive.latest(job.id) == first
        recorded_jobs.save_step(archive, job, 3, lost[1])
        assert archive.latest(job.id) == first
        again = recorded_jobs.save_step(archive, job, 1, first, attempt)
        assert archive.latest(job.id) == again
        assert Archive(store).latest(job.id) == again

    def test_steps_are_sorted_as_numbers(self, archive: Archive) -> None:
        job = recorded_jobs.job()
        key = recorded_jobs.run(archive, job, 1)
        keys = [key]
        for n in range(1, 12):
            keys.append(recorded_jobs.save_step(archive, job, n, keys[-1]))
        assert archive.latest(job.id) == keys[-1]


def test_attempts_orders_and_blobs(store: FolderStore, archive: Archive) -> None:
    job = recorded_jobs.job()
    archive.save_attempt(job.id, 1, "bb", {"seconds": 1.5})
    archive.save_attempt(job.id, 0, "aa", {"seconds": 0.5})
    assert archive.attempts(job.id) == [{"seconds": 0.5}, {"seconds": 1.5}]
    assert archive.controls(job.id) == []
    archive.save_control(job.id, "dead", "aa", {"n": 0})
    archive.save_control(job.id, "cancel", "bb", {"by": "alice"})
    assert [(order.kind, order.nonce, order.record) for order in archive.controls(job.id)] == [
        ("cancel", "bb", {"by": "alice"}),
        ("dead", "aa", {"n": 0}),
    ]
    sha256 = archive.save_blob(b"a prompt")
    assert archive.load_blob(sha256) == b"a prompt"
    assert store.exists(f"jobs/{job.id}/control/dead-aa.json")
    assert store.exists(f"blobs/{hashlib.sha256(b'a prompt').hexdigest()}")


class TestBadRecords:
    """One that can't be read is set aside and named; the others count."""

    @pytest.mark.parametrize("data", [b"5", b"", b"{", b"null", b'["a"]'])
    def test_of_an_order_the_name_is_enough(self, store: FolderStore, archive: Archive, data: bytes) -> None:
        job = recorded_jobs.job()
        archive.save_control(job.id, "dead", "aa", {"n": 0})
        store.put(f"jobs/{job.id}/control/cancel-bb.json", data)
        assert [(order.kind, order.nonce, order.record) for order in archive.controls(job.id)] == [
            ("cancel", "bb", {}),
            ("dead", "aa", {"n": 0}),
        ]

    @pytest.mark.parametrize("data", [b"5", b"", b"{", b'{"seconds":"x"}', b'{"counts":5}', b'{"started":["x"]}'])
    def test_an_attempt_is_left_out_and_named(self, store: FolderStore, archive: Archive, data: bytes) -> None:
        job = recorded_jobs.job()
        archive.save_attempt(job.id, 1, "bb", {"seconds": 1.5})
        bad = f"jobs/{job.id}/attempts/0000-aa.json"
        store.put(bad, data)
        assert archive.read_attempts(job.id, dict) == ([{"seconds": 1.5}], [bad])
        assert archive.attempts(job.id) == [{"seconds": 1.5}]

    def test_the_job_json_of_another_job_is_corrupt(self, store: FolderStore, archive: Archive) -> None:
        a, b = recorded_jobs.job("a"), recorded_jobs.job("b")
        archive.save_job(a)
        store.put(f"jobs/{b.id}/job.json", store.get(f"jobs/{a.id}/job.json"))
        with pytest.raises(Corrupt, match="is of job") as caught:
            archive.find_job(b.id)
        assert caught.value.key == f"jobs/{b.id}/job.json"


def test_a_deleted_job_is_remembered_until_one_of_its_id_comes_again(archive: Archive) -> None:
    job, again = recorded_jobs.job(), recorded_jobs.job(created=2_000)
    archive.save_job(job)
    assert not archive.was_deleted(job.id, 1_000_500)
    archive.remove(job.id)
    assert archive.deleted() == [job.id]
    assert archive.was_deleted(job.id, 1_000_500)
    archive.save_job(again)
    assert not archive.was_deleted(again.id, 2_000_000)


def test_errors_name_their_object_and_survive_pickling(store: FolderStore, archive: Archive) -> None:
    with pytest.raises(NotFound) as missing:
        archive.load_snapshot("jobs/a/steps/0000-aa.json")
    store.put("jobs/a/steps/0000-aa.json", b"{}")
    with pytest.raises(Corrupt) as corrupt:
        archive.load_snapshot("jobs/a/steps/0000-aa.json")
    for error in (missing.value, corrupt.value):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), copy.key) == (type(error), str(error), "jobs/a/steps/0000-aa.json")


class Asked(FolderStore):
    """Notes which objects were read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.keys: list[str] = []

    def get(self, key: str) -> bytes:
        self.keys.append(key)
        return super().get(key)


def test_jobs_are_kept_in_memory_up_to_a_number_of_bytes(tmp_path: Path) -> None:
    store, brief = Asked(tmp_path), Brief(text="a lamp, " * 2_400)
    archive = Archive(store)
    jobs = [recorded_jobs.job().model_copy(update={"id": str(uuid.UUID(int=n)), "brief": brief}) for n in range(80)]
    for job in jobs:
        archive.save_job(job)
        assert archive.load_job(job.id, 1) == job
    store.keys.clear()
    assert [archive.load_job(job.id, 1) for job in (jobs[-1], jobs[0])] == [jobs[-1], jobs[0]]
    assert store.keys == [f"jobs/{jobs[0].id}/job.json"], "80 jobs of 20 kB are more than a megabyte"


def test_snapshots_are_kept_in_memory_up_to_a_number_of_bytes(tmp_path: Path) -> None:
    store = Asked(tmp_path)
    archive = Archive(store)
    job = recorded_jobs.job()
    long = Trajectory(brief=Brief(text="a lamp, " * 2_400), settings=job.settings, seed=1)
    keys = [archive.save_snapshot(f"job-{n}", 0, "ab", "", None, long) for n in range(40)]
    store.keys.clear()
    assert [archive.load_snapshot(key).trajectory for key in (keys[-1], keys[0])] == [long, long]
    assert store.keys == [keys[0]], "40 snapshots of 20 kB are more than half a megabyte"
