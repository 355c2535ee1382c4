"""An object that a step needs is lost or wrong: the job goes back once to what makes it, or ends with its name."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from director.loop import direct
from director.seats import RenderRequest
from director.types import Brief, Rendered
from tasks.jobs import JobStatus
from tasks.reconcile import entry_of
from tasks.steps import StepEnd, run_step
from tasks.store import Archive, Corrupt, Damaged, FolderStore, Images, Newer, NotFound, S3Store, Store
from tests.support.contexts import PlainContext
from tests.support.scripted_studio import ABC, ONE, ScriptedStudio, brief_of, play
from tests.support.step_rig import StepRig, make_step_rig

SCRIPT = [{"a": "met"}, {"b": "met", "c": "met"}]


class Lab:
    """A job that stands before step n, and a second client of its storage."""

    def __init__(self, folder: Path, store: Store | None = None) -> None:
        self.rig: StepRig = make_step_rig(folder)
        self.store = store or FolderStore(folder)  # another client than that of the steps
        self.cold()
        self.job = self.rig.submit(brief_of(ABC), ONE)

    def run(self, steps: int, *script: object) -> ScriptedStudio:
        studio = play(*(script or SCRIPT))  # pyright: ignore[reportArgumentType]
        host = self.rig.host(studio.studio())
        for _ in range(steps):
            self.step(host)
        return studio

    def step(self, host: object = None) -> StepEnd:
        host = host or self.rig.host(play(*SCRIPT).studio())
        hint = self.record.hint
        self.rig.hints.clear()
        return run_step(host, hint.job, hint.n)  # pyright: ignore[reportArgumentType]

    def cold(self) -> None:
        """As in processes that have seen nothing of the job."""
        self.rig.archive, self.rig.images = Archive(self.store), Images(self.store)

    @property
    def record(self):
        found = self.rig.ledger.get(self.job)
        assert found
        return found

    def picture(self) -> str:
        events = self.rig.archive.load_snapshot(self.record.snapshot).trajectory.events
        return next(event.candidates[0].image for event in events if isinstance(event, Rendered))

    def finish(self, *script: object) -> list[StepEnd]:
        self.rig.hints.clear()
        self.rig.hints.append(self.record.hint)
        return self.rig.drain(self.rig.host(play(*script).studio()))  # pyright: ignore[reportArgumentType]

    def final(self) -> str:
        return self.rig.archive.load_snapshot(self.record.snapshot).trajectory.model_dump_json()

    def undisturbed(self) -> str:
        context = PlainContext(self.rig.images)
        return direct(brief_of(ABC), ONE, 7, play(*SCRIPT).studio(), context).model_dump_json()

    def attempts(self) -> list[dict[str, object]]:
        for thread in threading.enumerate():
            if thread.name.startswith("lease-"):
                thread.join(60)
        return self.rig.archive.attempts(self.job)


@pytest.fixture(params=["folder", "s3"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """Storage in a folder, and on a real S3 server."""
    if request.param == "folder":
        yield Lab(tmp_path)
    else:
        with closing(S3Store(request.getfixturevalue("s3_settings"))) as store:
            yield Lab(tmp_path, store)


def lose(lab: Lab, key: str, how: str) -> None:
    if how == "deleted":
        lab.store.delete(key)
    elif how == "empty":
        lab.store.put(key, b"")
    elif how == "word":  # still a whole snapshot of that job and step
        changed = lab.store.get(key).replace(b'"by":"script"', b'"by":"nobody"')
        assert changed != lab.store.get(key)
        lab.store.put(key, changed)
    elif how == "another":
        others = [one for one in lab.store.list(key.rpartition("/")[0] + "/") if one != key]
        lab.store.put(key, lab.store.get(others[0]) if others else b"another")
    lab.cold()


@pytest.mark.parametrize("how", ["deleted", "empty", "another", "word"])
class TestTheNewestSnapshot:
    def test_its_step_is_done_again_and_nobody_is_charged(self, lab: Lab, how: str) -> None:
        lab.run(2)  # plan, render
        lost = lab.record.snapshot
        lose(lab, lost, how)
        assert lab.step() is StepEnd.REWOUND
        now = lab.record
        assert (now.status, now.step, now.kind, now.seat_failures) == (JobStatus.QUEUED, 1, "render", 0)
        assert [hint.n for hint in lab.rig.hints] == [1]
        assert set(lab.finish(*SCRIPT)) == {StepEnd.COMMITTED}
        assert lab.final() == lab.undisturbed()

    def test_the_attempts_tell_it(self, lab: Lab, how: str) -> None:
        lab.run(2)
        lost = lab.record.snapshot
        lose(lab, lost, how)
        lab.step()
        (told,) = [each["rewound"] for each in lab.attempts() if "rewound" in each]
        assert told == {"lost": lost, "from": 2, "to": 1}

    def test_a_rebuild_does_not_go_back_to_what_is_void(self, lab: Lab, how: str) -> None:
        lab.run(2)
        kept, lost = lab.store.get(lab.record.snapshot), lab.record.snapshot
        lose(lab, lost, how)
        lab.step()
        lab.store.put(lost, kept)  # it comes back, and its nonce may sort before the other's
        lab.cold()
        entry = entry_of(lab.rig.archive, lab.job)
        assert entry
        assert (entry.step, entry.rewound != "") == (1, True)
        lab.run(1)
        assert entry_of(lab.rig.archive, lab.job).snapshot == lab.record.snapshot  # pyright: ignore[reportOptionalMemberAccess]


@pytest.mark.parametrize("how", ["deleted", "empty", "another"])
class TestADrawnPicture:
    def test_it_is_drawn_again(self, lab: Lab, how: str) -> None:
        lab.run(2)
        image = lab.picture()
        if how == "another":
            lab.rig.images.put(_png())
        lose(lab, f"images/{image}.png", how)
        assert lab.step() is StepEnd.REWOUND
        assert (lab.record.step, lab.record.kind, lab.record.seat_failures) == (1, "render", 0)
        assert set(lab.finish(*SCRIPT)) == {StepEnd.COMMITTED}
        assert lab.final() == lab.undisturbed()
        assert Images(lab.store).get(image)

    def test_of_an_earlier_round_the_job_goes_back_to_that(self, lab: Lab, how: str) -> None:
        lab.run(4)  # plan, render, verify; plan
        image = lab.picture()
        if how == "another":
            lab.rig.images.put(_png())
        lose(lab, f"images/{image}.png", how)
        assert lab.step() is StepEnd.REWOUND  # the second render edits the first picture
        assert (lab.record.step, lab.record.kind) == (1, "render")
        assert lab.record.summary.renders == 0
        assert set(lab.finish(*SCRIPT)) == {StepEnd.COMMITTED}
        assert lab.final() == lab.undisturbed()


def _png() -> bytes:
    from tests.support.contexts import plain_png

    return plain_png("red", 8, 8)


class TestOnce:
    def test_a_second_loss_is_a_dead_letter_that_names_the_object(self, lab: Lab) -> None:
        lab.run(2)
        image = f"images/{lab.picture()}.png"
        lose(lab, image, "deleted")
        lab.step()
        lab.run(1)
        lose(lab, image, "empty")
        with pytest.raises(Damaged, match=image):
            lab.step()
        assert (lab.record.status, lab.record.seat_failures) == (JobStatus.FAILED, 0)
        assert image in json.loads(lab.record.error)["message"]

    def test_after_a_wipe_it_is_still_once(self, lab: Lab) -> None:
        lab.run(2)
        image = f"images/{lab.picture()}.png"
        lose(lab, image, "deleted")
        lab.step()
        lab.run(1)
        entry = entry_of(lab.rig.archive, lab.job)
        assert entry
        redis = lab.rig.ledger._redis  # pyright: ignore[reportPrivateUsage]
        redis.flushall()
        assert lab.rig.ledger.lock_rebuild("me", 60_000)
        lab.rig.ledger.restore(entry, "me")
        lab.rig.ledger.open_epoch("me")
        lose(lab, image, "deleted")
        with pytest.raises(NotFound, match=image):
            lab.step()
        assert lab.record.status is JobStatus.FAILED

    def test_a_dead_letter_goes_on_when_the_object_is_back(self, lab: Lab) -> None:
        lab.run(2)
        image = f"images/{lab.picture()}.png"
        png = lab.store.get(image)
        lose(lab, image, "deleted")
        lab.step()
        lab.run(1)
        lose(lab, image, "deleted")
        with pytest.raises(NotFound):
            lab.step()
        lab.store.put(image, png)
        assert lab.rig.ledger.requeue(lab.job)
        assert set(lab.finish(*SCRIPT[1:])) == {StepEnd.COMMITTED}
        assert lab.final() == lab.undisturbed()


class TestAChangedWordInTheNewestSnapshot:
    def test_a_job_that_was_restored_is_held_to_what_was_restored(self, lab: Lab) -> None:
        lab.run(2)
        restored(lab)
        lose(lab, lab.record.snapshot, "word")
        assert lab.step() is StepEnd.REWOUND
        assert lab.record.step == 1
        assert set(lab.finish(*SCRIPT)) == {StepEnd.COMMITTED}
        assert lab.final() == lab.undisturbed()

    def test_a_record_from_before_there_were_hashes_goes_on(self, lab: Lab) -> None:
        lab.run(3)
        redis = lab.rig.ledger._redis  # pyright: ignore[reportPrivateUsage]
        assert redis.hdel(f"{lab.rig.ledger.prefix}job:{lab.job}", "snapshot_sha256")
        lab.cold()
        assert set(lab.finish(*SCRIPT[1:])) == {StepEnd.COMMITTED}
        assert lab.final() == lab.undisturbed()

    def test_what_a_rewind_goes_back_to_is_checked_too(self, lab: Lab) -> None:
        lab.run(2)
        lose(lab, lab.record.snapshot, "deleted")
        assert lab.step() is StepEnd.REWOUND
        lose(lab, lab.record.snapshot, "word")
        with pytest.raises(Corrupt, match="is not the snapshot"):
            lab.step()
        assert lab.record.status is JobStatus.FAILED  # it went back once

    def test_a_cancel_ends_without_it(self, lab: Lab) -> None:
        lab.run(2)
        lose(lab, lab.record.snapshot, "word")
        assert lab.rig.ledger.cancel(lab.job)
        assert lab.step() is StepEnd.COMMITTED
        assert lab.record.status is JobStatus.CANCELLED
        assert "nobody" not in lab.final()


def restored(lab: Lab) -> None:
    """Redis is empty, and the job is rebuilt from storage."""
    lab.cold()
    entry = entry_of(lab.rig.archive, lab.job)
    assert entry
    redis = lab.rig.ledger._redis  # pyright: ignore[reportPrivateUsage]
    redis.flushall()
    assert lab.rig.ledger.lock_rebuild("me", 60_000)
    lab.rig.ledger.restore(entry, "me")
    lab.rig.ledger.open_epoch("me")


class TestWhatANewerVersionStored:
    """It is whole: nothing is lost, nothing goes back, and a newer worker goes on."""

    @pytest.mark.parametrize("name", ["snapshot", "job.json"])
    def test_it_waits_uncharged_for_a_newer_worker(self, lab: Lab, name: str) -> None:
        lab.run(3)
        key = lab.record.snapshot if name == "snapshot" else f"jobs/{lab.job}/job.json"
        whole = newer(lab, key)
        before = lab.record
        for _ in range(lab.rig.settings.seat_attempts + 1):
            with pytest.raises(Newer, match="newer version") as told:
                lab.step()
            assert "update this worker" in told.value.fix
            lab.rig.ledger.now_ms += 61_000
            lab.rig.ledger.overdue(before.queue, 0, 10)
        now = lab.record
        assert (now.status, now.step, now.snapshot) == (JobStatus.QUEUED, before.step, before.snapshot)
        assert (now.seat_failures, now.rewound, lab.rig.ledger.holds()) == (0, "", [])
        error = json.loads(now.error)
        assert (error["actor"], "newer version" in error["message"]) == ("operator", True)
        assert lab.rig.archive.controls(lab.job) == []
        stored(lab, key, whole)  # as for a worker that can read it
        assert set(lab.finish(*SCRIPT[1:])) == {StepEnd.COMMITTED}
        assert lab.final() == lab.undisturbed()

    @pytest.mark.parametrize("name", ["snapshot", "job.json"])
    def test_a_rebuild_leaves_it_rather_than_go_back(self, lab: Lab, name: str) -> None:
        lab.run(2)
        key = lab.record.snapshot if name == "snapshot" else f"jobs/{lab.job}/job.json"
        newer(lab, key)
        with pytest.raises(Newer, match="newer version"):
            entry_of(lab.rig.archive, lab.job)

    def test_a_cancel_waits_too(self, lab: Lab) -> None:
        lab.run(2)
        newer(lab, lab.record.snapshot)
        assert lab.rig.ledger.cancel(lab.job)
        with pytest.raises(Newer):
            lab.step()
        assert (lab.record.status, lab.record.cancel) == (JobStatus.QUEUED, True)

    def test_a_damaged_number_is_no_newer_version(self, lab: Lab) -> None:
        lab.run(2)
        key = lab.record.snapshot
        lab.store.put(key, b'{"contract":"x",' + lab.store.get(key)[1:])
        lab.cold()
        assert lab.step() is StepEnd.REWOUND


def newer(lab: Lab, key: str) -> bytes:
    """The object is as a later version stored it. Gives what it was."""
    whole = lab.store.get(key)
    stored(lab, key, b'{"contract":99,"of_a_later_version":true,' + whole[1:])
    return whole


def stored(lab: Lab, key: str, data: bytes) -> None:
    """Some version stored it so, and told the ledger."""
    lab.store.put(key, data)
    if "/steps/" in key:
        redis, ledger = lab.rig.ledger._redis, lab.rig.ledger  # pyright: ignore[reportPrivateUsage]
        redis.hset(f"{ledger.prefix}job:{lab.job}", "snapshot_sha256", hashlib.sha256(data).hexdigest())
    lab.cold()


class TestWhatNothingMakesAgain:
    def test_a_lost_job_json_is_a_dead_letter_that_names_it(self, lab: Lab) -> None:
        lab.run(1)
        lose(lab, f"jobs/{lab.job}/job.json", "deleted")
        with pytest.raises(NotFound, match=r"job\.json"):
            lab.step()
        assert lab.record.status is JobStatus.FAILED
        assert "job.json" in json.loads(lab.record.error)["message"]
        assert "requeue" in json.loads(lab.record.error)["fix"]

    def test_the_job_json_of_another_is_one_too(self, lab: Lab) -> None:
        other = lab.rig.submit(brief_of(ABC), ONE)
        lab.store.put(f"jobs/{lab.job}/job.json", lab.store.get(f"jobs/{other}/job.json"))
        lab.cold()
        with pytest.raises(Corrupt, match="is of job"):
            lab.step()
        assert lab.record.status is JobStatus.FAILED

    def test_a_lost_upload_too(self, tmp_path: Path) -> None:
        lab = Lab(tmp_path)
        source = lab.rig.images.put(_png())
        lab.job = lab.rig.submit(Brief(text="A poster. " * 5, goals=ABC, source=source), ONE)
        studio = play({"a": "met"})
        lab.run(1, {"a": "met"})
        lose(lab, f"images/{source}.png", "deleted")

        class Looks(ScriptedStudio):
            def render(self, request: RenderRequest, context: object) -> Rendered:
                context.images.get(source)  # pyright: ignore
                raise AssertionError("there is nothing to see")

        with pytest.raises(NotFound, match=source):
            lab.step(lab.rig.host(Looks(script=studio.script).studio()))
        assert lab.record.status is JobStatus.FAILED
        assert source in lab.record.error


class TestCancel:
    """It is heeded before anything is loaded, and always ends."""

    @pytest.mark.parametrize("steps", [0, 2])
    @pytest.mark.parametrize("lost", ["job.json", "snapshot", "both", "picture"])
    def test_it_ends_with_what_there_is(self, lab: Lab, lost: str, steps: int) -> None:
        lab.run(steps)
        keys = {
            "job.json": [f"jobs/{lab.job}/job.json"],
            "snapshot": [lab.record.snapshot],
            "both": [f"jobs/{lab.job}/job.json", lab.record.snapshot],
            "picture": [f"images/{lab.picture()}.png"] if steps else [],
        }[lost]
        for key in filter(None, keys):
            lose(lab, key, "deleted")
        assert lab.rig.ledger.cancel(lab.job)
        assert lab.step() is StepEnd.COMMITTED
        assert (lab.record.status, lab.record.stop) == (JobStatus.CANCELLED, "cancelled")
        assert lab.rig.archive.live() == []
        assert lab.rig.ledger.remove(lab.job)

    def test_without_the_newest_snapshot_a_rebuild_finds_it_cancelled(self, lab: Lab) -> None:
        lab.run(3)
        lose(lab, lab.record.snapshot, "deleted")
        assert lab.rig.ledger.cancel(lab.job)
        lab.step()
        entry = entry_of(lab.rig.archive, lab.job)
        assert entry
        assert (entry.status, entry.stop) == (JobStatus.CANCELLED, "cancelled")


def test_a_hole_behind_the_newest_is_told_and_nothing_is_drawn_again(lab: Lab) -> None:
    lab.run(1)
    first = lab.record.snapshot
    lab.run(2)
    lab.store.delete(first)
    lab.cold()
    assert set(lab.finish(*SCRIPT[1:])) == {StepEnd.COMMITTED}
    assert lab.final() == lab.undisturbed()
    told = [each["hole"] for each in lab.attempts() if "hole" in each]
    assert told == [[0]] * len(told) and told


def test_a_snapshot_of_another_brief_is_not_gone_on_from(lab: Lab) -> None:
    lab.run(1)
    other = Lab.__new__(Lab)
    other.rig, other.store = lab.rig, lab.store
    other.job = lab.rig.submit(Brief(text="Another poster. " * 5, goals=ABC), ONE)
    other.run(1)
    lab.store.put(lab.record.snapshot, lab.store.get(other.record.snapshot).replace(
        other.record.snapshot.rpartition("-")[2][:32].encode(), lab.record.snapshot.rpartition("-")[2][:32].encode()
    ))  # fmt: skip
    lab.cold()
    assert lab.step() is StepEnd.REWOUND
    assert lab.record.step == 0


def test_max_seconds_are_those_of_the_ledgers_clock(tmp_path: Path) -> None:
    """A worker whose clock is ten minutes ahead ends nothing."""
    rig = make_step_rig(tmp_path)
    settings = ONE.model_copy(update={"max_seconds": 300})
    job = rig.submit(brief_of(ABC), settings, created=rig.ledger.now_ms / 1000)
    rig.ledger.now_ms += 299_000
    assert run_step(rig.host(play(*SCRIPT).studio()), job, 0) is StepEnd.COMMITTED
    assert rig.ledger.get(job).status is JobStatus.QUEUED  # pyright: ignore[reportOptionalMemberAccess]
    rig.ledger.now_ms += 2_000
    run_step(rig.host(play(*SCRIPT).studio()), job, 1)
    assert rig.ledger.get(job).stop == "budget"  # pyright: ignore[reportOptionalMemberAccess]


def test_a_rewind_that_the_ledger_refuses_leaves_nothing_void(lab: Lab) -> None:
    """Another worker was faster: what it commits counts."""
    lab.run(2)
    lost, kept = lab.record.snapshot, lab.store.get(lab.record.snapshot)
    lose(lab, lost, "deleted")
    # A renewal between the clock's jump and the reaping would keep the lease.
    lab.rig.settings = lab.rig.settings.model_copy(update={"renew_every_s": 60.0})

    class Slow(Archive):
        def save_control(self, *arguments: object) -> None:
            super().save_control(*arguments)  # pyright: ignore[reportArgumentType]
            lab.rig.ledger.now_ms += 60_000
            lab.rig.ledger.reap()
            lab.store.put(lost, kept)
            assert run_step(fast, lab.job, 2) is StepEnd.COMMITTED

    fast = lab.rig.host(play({}, {}, *SCRIPT).studio())
    lab.rig.archive = Slow(lab.store)
    assert lab.step() is StepEnd.REFUSED
    lab.cold()
    assert entry_of(lab.rig.archive, lab.job).step == lab.record.step == 3  # pyright: ignore[reportOptionalMemberAccess]
