"""The sweep, over a ledger in process and a folder: what goes, what stays, and that it may break off anywhere."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from director.errors import Actor, StoreError
from director.types import Candidate, Rendered, StopReason, Trajectory
from tasks.jobs import Job, JobStatus
from tasks.ledger.ledger import Ledger
from tasks.ledger.types import Claim, Removing
from tasks.reconcile import entry_of, requeue
from tasks.retention import NotOurs, Sweeper, Swept
from tasks.store import Archive, FolderStore, Images
from tasks.store.marker import MARKER, mark
from tests.support import recorded_jobs
from tests.support.api import png
from tests.support.ledgers import PLAN, in_process

DAY = 86_400.0
HOUR = 3600.0


class Place:
    """Storage with objects of any age; the sweep's clock is the real one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = FolderStore(folder)
        self.archive = Archive(self.store)
        self.images = Images(self.store)
        self.rig = in_process()
        self.ledger = self.rig.ledger
        self.rig.open()
        assert mark(self.store)

    def sweeper(self, keep_days: float = 0, store: FolderStore | None = None) -> Sweeper:
        store = store or self.store
        return Sweeper(store, Archive(store), self.ledger, keep_days * DAY, DAY)

    def sweep(self, keep_days: float = 0, dry: bool = False) -> Swept:
        return self.sweeper(keep_days).sweep(dry)

    def age(self, days: float, pattern: str = "**/*") -> None:
        """All objects, or those that match, were stored so long ago."""
        then = time.time() - days * DAY
        for path in self.folder.glob(pattern):
            if path.is_file():
                os.utime(path, (then, then))

    def keys(self, prefix: str = "") -> list[str]:
        return [key for key in self.store.list(prefix) if key != MARKER and not key.startswith("deleted/")]

    def enter(self, job: Job) -> None:
        entry = entry_of(self.archive, job.id)
        assert entry
        assert self.ledger.create(entry)

    def ended(self, key: str, image: str = "", blob: str = "") -> Job:
        """A job that drew a picture and ended; the ledger has forgotten it."""
        job = recorded_jobs.job(key)
        recorded_jobs.submitted(self.archive, job)
        trajectory = recorded_jobs.trajectory(job, 1)
        if image:
            trajectory = drawn(trajectory, image)
        first = self.archive.save_snapshot(job.id, 0, recorded_jobs.nonce(0), "", PLAN, trajectory)
        end = recorded_jobs.trajectory(job, 1, StopReason.BUDGET).events
        self.archive.save_snapshot(job.id, 1, recorded_jobs.nonce(1), first, None, trajectory.with_events(*end))
        self.archive.save_attempt(job.id, 0, recorded_jobs.nonce(0), {"blobs": {"said": [blob]} if blob else {}})
        self.archive.unmark_live(job.id)
        return job


def drawn(trajectory: Trajectory, image: str) -> Trajectory:
    return trajectory.with_events(Rendered(candidates=(Candidate(image=image, seed=1),), by="test"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "objects")


class TestJobs:
    def test_what_ended_long_ago_goes_with_what_only_it_names(self, place: Place) -> None:
        red, blue, green = (place.images.put(png(color=color)) for color in ("red", "blue", "green"))
        said, shared = place.archive.save_blob(b"said"), place.archive.save_blob(b"shared")
        old = place.ended("old", red, said)
        place.ended("old too", blue, shared)
        place.age(31)
        young = place.ended("young", blue, shared)
        swept = place.sweep(keep_days=30)
        assert swept.jobs == {old.id: "ended 31 days ago", recorded_jobs.job("old too").id: "ended 31 days ago"}
        assert (swept.images, swept.blobs) == (2, 1)  # red; green was named by nobody
        assert place.keys("images/") == [f"images/{blue}.png"]
        assert place.keys("blobs/") == [f"blobs/{shared}"]
        assert {key.split("/")[1] for key in place.keys("jobs/")} == {young.id}
        assert green not in str(place.keys())
        assert place.ledger.create(entry_for(place, young))  # no id is held back

    def test_for_ever_is_for_ever(self, place: Place) -> None:
        place.ended("old", place.images.put(png()), place.archive.save_blob(b"said"))
        place.age(10_000)
        before = place.keys()
        assert place.sweep() == Swept()
        assert place.keys() == before

    def test_a_dry_run_tells_the_same_and_removes_nothing(self, place: Place) -> None:
        place.ended("old", place.images.put(png()), place.archive.save_blob(b"said"))
        place.images.put(png(color="blue"))
        place.age(31)
        before = place.keys()
        dry = place.sweep(keep_days=30, dry=True)
        assert place.keys() == before
        assert place.sweep(keep_days=30) == dry
        assert dry.bytes > 0
        assert place.keys() == []

    def test_an_active_job_is_never_touched(self, place: Place) -> None:
        image = place.images.put(png())
        waiting, running = recorded_jobs.job("waiting"), recorded_jobs.job("running")
        for job in (waiting, running):
            recorded_jobs.submitted(place.archive, job)
            key = place.archive.save_snapshot(
                job.id,
                0,
                recorded_jobs.nonce(0),
                "",
                PLAN,
                drawn(recorded_jobs.trajectory(job, 1), image),
            )
            assert key
            place.enter(job)
        assert isinstance(place.ledger.claim(running.id, 1, "w"), Claim)
        place.age(1000)
        before = place.keys()
        assert place.sweep(keep_days=1) == Swept()
        assert place.keys() == before

    def test_one_that_only_storage_calls_live_stays(self, place: Place) -> None:
        recorded_jobs.run(place.archive, recorded_jobs.job(), 2)
        place.age(1000)
        assert place.sweep(keep_days=1) == Swept()

    def test_a_dead_letter_goes_when_its_time_has_come(self, place: Place) -> None:
        job = recorded_jobs.job()
        recorded_jobs.run(place.archive, job, 2)
        place.enter(job)
        die(place, job)
        place.age(31)
        assert place.sweep() == Swept()
        assert list(place.sweep(keep_days=30).jobs) == [job.id]
        assert place.keys() == []
        assert place.ledger.get(job.id) is None

    def test_one_that_is_requeued_just_then_stays(self, place: Place) -> None:
        job = recorded_jobs.job()
        recorded_jobs.run(place.archive, job, 2)
        place.enter(job)
        die(place, job)
        place.age(31)

        class Late(Ledger):
            """Just before the removal, somebody requeues."""

            def remove(self, job: str) -> bool:
                record = self.get(job)
                assert record
                assert requeue(self, place.archive, record)
                return super().remove(job)

        sweeper = Sweeper(place.store, place.archive, Late(place.rig.redis), 30 * DAY, DAY)
        assert sweeper.sweep() == Swept(active=[job.id])
        record = place.ledger.get(job.id)
        assert record
        assert record.status is JobStatus.QUEUED
        assert place.archive.find_job(job.id)

    def test_what_broken_off_work_left_goes_after_the_time_of_grace(self, place: Place) -> None:
        half, gone = recorded_jobs.job("half a submit"), place.ended("half deleted")
        place.archive.save_job(half)
        place.archive.forget(gone.id)
        assert place.sweep() == Swept()
        place.age(2)
        assert place.sweep().jobs == {
            half.id: "its submit broke off", gone.id: "left over from a job that was deleted",
        }  # fmt: skip
        assert place.keys("jobs/") == []


class TestPictures:
    def test_what_is_young_may_still_be_named(self, place: Place) -> None:
        image = place.images.put(png())
        place.archive.own("alice", image)
        place.archive.save_blob(b"said")
        place.age(0.9)
        assert place.sweep() == Swept()
        place.age(1.1)
        swept = place.sweep()
        assert (swept.images, swept.blobs) == (1, 1)
        assert not place.archive.owns("alice", image)
        assert place.keys() == []

    def test_the_source_of_a_job_stays(self, place: Place) -> None:
        image = place.images.put(png())
        job = recorded_jobs.job()
        brief = job.brief.model_copy(update={"source": image})
        place.archive.save_job(job.model_copy(update={"brief": brief}))
        place.archive.mark_live(job.id)
        place.age(100)
        assert place.sweep(keep_days=1) == Swept()
        assert place.images.has(image)

    def test_what_a_step_that_was_tried_twice_drew_stays_with_its_job(self, place: Place) -> None:
        wasted, image = place.images.put(png()), place.images.put(png(color="blue"))
        job = place.ended("a", image)
        place.archive.save_snapshot(
            job.id,
            0,
            recorded_jobs.nonce(0, "f"),
            "",
            PLAN,
            drawn(recorded_jobs.trajectory(job, 1), wasted),
        )
        for n in range(2, 5):
            recorded_jobs.save_step(place.archive, job, n)
        place.age(100)
        assert place.sweep().images == 0
        assert place.images.has(wasted)

    def test_objects_of_others_are_left_alone(self, place: Place) -> None:
        for key in ("images/readme.txt", f"images/{'a' * 63}.png", "blobs/x", "jobs/readme", "other/thing"):
            place.store.put(key, b"1")
        place.age(100)
        before = place.keys()
        place.sweep()
        assert place.keys() == before

    def test_a_submit_that_comes_in_between_keeps_its_source(self, place: Place) -> None:
        image = place.images.put(png())
        place.archive.own("alice", image)
        place.age(100)
        job = recorded_jobs.job()
        named = job.model_copy(update={"brief": job.brief.model_copy(update={"source": image})})

        class Slow(FolderStore):
            """Just before the owner's note goes, somebody submits."""

            def delete(self, key: str) -> None:
                place.archive.save_job(named)
                assert place.archive.owns("alice", image)
                super().delete(key)

        assert place.sweeper(store=Slow(place.folder)).sweep().images == 0
        assert place.images.has(image)

    def test_a_picture_that_is_drawn_again_in_between_stays(self, place: Place) -> None:
        image = place.images.put(png())
        place.archive.own("alice", image)
        place.age(100)

        class Slow(FolderStore):
            def delete(self, key: str) -> None:
                super().delete(key)
                place.images.put(png())

        assert place.sweeper(store=Slow(place.folder)).sweep().images == 0
        assert place.images.has(image)


class TestBreakingOff:
    def build(self, place: Place) -> None:
        for n in range(3):
            image = place.images.put(png(color=("red", "blue", "green")[n]))
            place.archive.own("alice", image)
            place.ended(f"old {n}", image, place.archive.save_blob(b"%d" % n))
        place.age(40)
        place.ended("young", image)

    def test_wherever_it_stops_nothing_dangles_and_the_next_one_ends_it(self, tmp_path: Path) -> None:
        whole = Place(tmp_path / "whole")
        self.build(whole)
        deletes = count_deletes(whole)
        for stop in range(0, deletes, 3):
            place = Place(tmp_path / f"stop-{stop}")
            self.build(place)
            with pytest.raises(StoreError, match="away"):
                count_deletes(place, stop)
            stored = place.keys()
            for key in stored:
                if key.startswith("jobs/") and key.endswith("/job.json"):
                    job = key.split("/")[1]
                    assert place.archive.latest(job), "a job that can be seen is whole"
                    assert all(f"images/{digest}.png" in stored for digest in digests(place, job))
            place.sweep(keep_days=30)
            assert place.keys() == whole.keys()

    def test_a_ledger_that_is_away_stops_it_before_anything_goes(self, place: Place) -> None:
        self.build(place)
        place.rig.wipe()
        before = place.keys()
        with pytest.raises(StoreError):
            place.sweep(keep_days=30)
        assert place.keys() == before

    def test_an_id_is_free_again_when_a_removal_broke_off(self, place: Place) -> None:
        self.build(place)
        with pytest.raises(StoreError, match="away"):
            count_deletes(place, 2)
        for n in range(3):
            job = recorded_jobs.job(f"old {n}")
            recorded_jobs.submitted(place.archive, job)
            try:
                place.enter(job)
            except Removing:
                pytest.fail("it is held back")


def entry_for(place: Place, job: Job):
    entry = entry_of(place.archive, job.id)
    assert entry
    return entry


def die(place: Place, job: Job) -> None:
    for _ in range(3):
        claim = place.ledger.claim(job.id, 2, "w")
        assert isinstance(claim, Claim)
        place.ledger.fail(job.id, 2, claim.nonce, "{}", Actor.SEAT, "host-1", 0, 0)


def digests(place: Place, job: str) -> set[str]:
    key = place.archive.latest(job)
    assert key
    events = place.archive.load_snapshot(key).trajectory.events
    return {candidate.image for event in events if isinstance(event, Rendered) for candidate in event.candidates}


def count_deletes(place: Place, stop: int | None = None) -> int:
    """Sweep with a store that goes away at the `stop`-th delete; how many there were."""
    seen = 0

    class Failing(FolderStore):
        def delete(self, key: str) -> None:
            nonlocal seen
            if seen == stop:
                raise StoreError("away")
            seen += 1
            super().delete(key)

    place.sweeper(keep_days=30, store=Failing(place.folder)).sweep()
    return seen


def test_a_hash_is_found_wherever_it_stands() -> None:
    from tasks.retention import _HASH  # pyright: ignore[reportPrivateUsage]

    digest = hashlib.sha256(b"").hexdigest()
    assert _HASH.findall(f'{{"a":"{digest}","b":["x{digest}"],"c":"{digest}0"}}'.encode()) == [digest.encode()] * 2


class TestWhatIsNotOurs:
    """In a bucket that others use too."""

    FOREIGN = ("jobs/2024/report.pdf", "images/cat.png", "images/holidays/beach.jpg", "blobs/notes.txt")

    def test_it_is_counted_and_left(self, place: Place) -> None:
        for key in self.FOREIGN:
            place.store.put(key, b"theirs")
        place.images.put(png())
        place.age(400)
        swept = place.sweep(keep_days=30)
        assert (swept.foreign, swept.images) == (len(self.FOREIGN), 1)
        assert place.keys() == sorted(self.FOREIGN)

    def test_without_our_marker_nothing_goes(self, place: Place) -> None:
        place.store.delete(MARKER)
        place.ended("old", place.images.put(png()))
        place.age(400)
        before = place.keys()
        with pytest.raises(NotOurs, match="nothing was removed"):
            place.sweep(keep_days=30)
        assert place.keys() == before

    @pytest.mark.parametrize("theirs", ["report.pdf", "jobs/2024/report.pdf", "backups/a"])
    def test_no_marker_is_written_among_others_objects(self, tmp_path: Path, theirs: str) -> None:
        store = FolderStore(tmp_path / "bucket")
        store.put(theirs, b"theirs")
        assert not mark(store)
        assert store.list("") == [theirs]

    def test_an_installation_from_before_gets_one(self, tmp_path: Path) -> None:
        store = FolderStore(tmp_path / "bucket")
        recorded_jobs.run(Archive(store), recorded_jobs.job(), 1)
        for folder in ("spend", "hooks/alice", "notices/a", "notices-told/a", "notices-dead/a", "gc"):
            store.put(f"{folder}/a.json", b"{}")
        assert mark(store)
        assert mark(store)

    def test_a_live_job_that_lost_its_job_json_stays(self, place: Place) -> None:
        lost, deleted = recorded_jobs.job("lost"), recorded_jobs.job("deleted")
        for job in (lost, deleted):
            recorded_jobs.run(place.archive, job, 2)
        place.store.delete(f"jobs/{lost.id}/job.json")
        place.store.put(f"deleted/{deleted.id}", b"{}")
        place.store.delete(f"jobs/{deleted.id}/job.json")
        place.age(400)
        swept = place.sweep(keep_days=30)
        assert (list(swept.jobs), swept.without_job) == ([deleted.id], 1)
        assert {key.split("/")[1] for key in place.keys("jobs/")} == {lost.id}

    def test_notes_of_deleted_jobs_go_in_time(self, place: Place) -> None:
        place.archive.remove(recorded_jobs.job().id)
        place.age(89)
        place.sweep()
        assert place.archive.deleted()
        place.age(91)
        place.sweep()
        assert place.archive.deleted() == []
