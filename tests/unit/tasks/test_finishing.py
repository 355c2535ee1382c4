"""A render that is finished behind its drawing: `run_step` with `leave`, in process, and the pictures of a step."""

import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
from celery.app.trace import build_tracer
from celery.exceptions import Ignore

from director.errors import Actor, BriefError, DirectorError, EditorError, StoreError
from director.loop import direct
from director.seats import Context, Raster, RenderRequest
from director.seats import Images as StepImages
from director.types import LoopSettings, Rendered
from tasks.app import make_app
from tasks.attempt import Attempt
from tasks.finishing import Pictures, encoders
from tasks.jobs import JobStatus
from tasks.ledger.ledger import Ledger
from tasks.ledger.types import FailResult
from tasks.settings import Settings
from tasks.steps import Rest, StepEnd, run_step
from tasks.store import FolderStore, Images, image_hash, raster_of
from tests.support.contexts import PlainContext, plain_png
from tests.support.ledgers import in_process
from tests.support.scripted_studio import ScriptedStudio, brief_of, goals_of, play
from tests.support.step_rig import StepRig, make_step_rig

ABC = goals_of("a", "b", "c")
SCRIPT = [{"a": "met"}, {"b": "met", "c": "met"}]
ONE = LoopSettings(candidates=1)


class HandedOver:
    """Pictures that are put as PNGs are handed on as pixels; `encode` gives the PNG."""

    def __init__(self, images: StepImages, encode: Callable[[bytes], bytes]) -> None:
        self._images = images
        self._encode = encode
        self.get, self.raster, self.put_raster = images.get, images.raster, images.put_raster

    def put(self, png: bytes) -> str:
        return self._images.put_raster(raster_of(png), partial(self._encode, png))


class InHand(ScriptedStudio):
    """Its editor hands over pixels."""

    encode: Callable[[bytes], bytes] = staticmethod(lambda png: png)

    def render(self, request: RenderRequest, context: Context) -> Rendered:
        return super().render(request, PlainContext(HandedOver(context.images, self.encode)))


@pytest.fixture
def rig(tmp_path: Path) -> StepRig:
    return make_step_rig(tmp_path, retry_base_s=0.000_001, retry_cap_s=0.000_001)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with encoders() as threads:
        yield threads


class Drawn:
    """A job whose first render is drawn, and what is left of that."""

    def __init__(
        self, rig: StepRig, pool: ThreadPoolExecutor, studio: ScriptedStudio, die: Callable[[], None] | None = None
    ) -> None:
        self.rig = rig
        self.host = replace(rig.host(studio.studio(), die), encoders=pool)
        self.job = rig.submit(brief_of(ABC), ONE)
        run_step(self.host, self.job, 0)
        rests: list[Rest] = []
        assert run_step(self.host, self.job, 1, rests.append) is StepEnd.DRAWN
        (self.finish,) = rests
        rig.hints.clear()

    @property
    def record(self):
        found = self.rig.ledger.get(self.job)
        assert found
        return found


def test_what_is_drawn_is_no_part_of_the_job_until_it_is_finished(rig: StepRig, pool: ThreadPoolExecutor):
    drawn = Drawn(rig, pool, InHand(script=iter(SCRIPT)))
    assert (drawn.record.step, drawn.record.status) == (1, JobStatus.RUNNING)
    assert run_step(drawn.host, drawn.job, 1) is StepEnd.LEASED
    assert drawn.finish() is StepEnd.COMMITTED
    assert drawn.record.step == 2
    rig.drain(drawn.host)
    done = rig.archive.load_snapshot(drawn.record.snapshot).trajectory
    alone = direct(brief_of(ABC), ONE, 7, InHand(script=iter(SCRIPT)).studio(), PlainContext(rig.images))
    assert done.model_dump_json() == alone.model_dump_json()


def test_only_a_render_is_left(rig: StepRig):
    host = rig.host(InHand(script=iter(SCRIPT)).studio())
    job = rig.submit(brief_of(ABC), ONE)
    rests: list[Rest] = []
    while rig.hints:
        hint = rig.hints.popleft()
        if run_step(host, hint.job, hint.n, rests.append) is StepEnd.DRAWN:
            assert hint.kind == "render"
            rests.pop()()
    found = rig.ledger.get(job)
    assert found and found.stop == "satisfied"


def test_a_cancel_that_comes_when_it_is_drawn_keeps_the_pictures(rig: StepRig, pool: ThreadPoolExecutor):
    drawn = Drawn(rig, pool, InHand(script=iter(SCRIPT)))
    assert rig.ledger.cancel(drawn.job) is None
    assert drawn.finish() is StepEnd.COMMITTED
    assert drawn.record.status is JobStatus.CANCELLED
    trajectory = rig.archive.load_snapshot(drawn.record.snapshot).trajectory
    assert [event.kind for event in trajectory.events][-2:] == ["rendered", "stopped"]
    (rendered,) = (event for event in trajectory.events if event.kind == "rendered")
    assert all(rig.images.has(candidate.image) for candidate in rendered.candidates)


def _breaks(_: bytes) -> bytes:
    raise RuntimeError("the encoder broke on purpose")


def test_an_encoder_that_breaks_is_the_editors_fault(rig: StepRig, pool: ThreadPoolExecutor):
    studio = InHand(script=iter(SCRIPT))
    studio.encode = _breaks
    drawn = Drawn(rig, pool, studio)
    with pytest.raises(EditorError, match="RuntimeError: the encoder broke on purpose") as failure:
        drawn.finish()
    assert failure.value.actor is Actor.SEAT
    assert (drawn.record.step, drawn.record.seat_failures, drawn.record.status) == (1, 1, JobStatus.QUEUED)


class Full(FolderStore):
    """Takes no picture while it is full."""

    full = True

    def put(self, key: str, data: bytes) -> None:
        if self.full and key.startswith("images/"):
            raise StoreError("no space left")
        super().put(key, data)


def test_a_store_that_is_full_while_pictures_are_made_costs_no_attempt(
    rig: StepRig, pool: ThreadPoolExecutor, tmp_path: Path
):
    rig.images = Images(store := Full(tmp_path))
    drawn = Drawn(rig, pool, InHand(script=iter([SCRIPT[0], *SCRIPT])))
    with pytest.raises(StoreError, match="no space left"):
        drawn.finish()
    assert (drawn.record.step, drawn.record.seat_failures, drawn.record.status) == (1, 0, JobStatus.QUEUED)
    store.full = False
    assert run_step(drawn.host, drawn.job, 1) is StepEnd.COMMITTED


def test_a_step_that_hangs_when_it_is_drawn_is_charged_and_not_committed_late(tmp_path: Path, pool: ThreadPoolExecutor):
    rig, killed = make_step_rig(tmp_path, max_step_s={"render": 0.05}), threading.Event()
    studio = InHand(script=iter(SCRIPT))

    def hangs(png: bytes) -> bytes:
        assert killed.wait(60)
        return png

    studio.encode = hangs
    drawn = Drawn(rig, pool, studio, die=killed.set)
    # Here the process lives on; its late commit must not count.
    assert drawn.finish() is StepEnd.REFUSED
    assert (drawn.record.step, drawn.record.seat_failures, drawn.record.status) == (1, 1, JobStatus.QUEUED)
    assert "longer than its 0.05 s" in drawn.record.error


class Late(Ledger):
    """Takes a failure only when it may."""

    asked: threading.Event
    may: threading.Event

    def fail(self, *args: Any, **told: Any) -> FailResult:
        self.asked.set()
        assert self.may.wait(60)
        return super().fail(*args, **told)


def test_a_step_that_ends_while_it_is_to_be_killed_counts_once_and_its_process_lives_on(tmp_path: Path):
    rig, below = make_step_rig(tmp_path, max_step_s={"render": 0.05}), in_process()
    below.open()
    rig.ledger = late = Late(below.redis, rig.settings.limits)
    late.asked, late.may = threading.Event(), threading.Event()
    counted, killed = list[str](), list[str]()

    class Slow(ScriptedStudio):
        def render(self, request: RenderRequest, context: Context) -> Rendered:
            assert late.asked.wait(60)
            return super().render(request, context)

    def observe(attempt: Attempt) -> None:
        counted.append(attempt.claim.kind)

    host = rig.host(Slow(script=iter(SCRIPT)).studio(), die=lambda: killed.append("killed"))
    host = replace(host, observe=observe)
    job = rig.submit(brief_of(ABC), ONE)
    run_step(host, job, 0)
    assert run_step(host, job, 1) is StepEnd.COMMITTED
    late.may.set()
    for thread in threading.enumerate():
        if thread.name.startswith("lease-"):
            thread.join(60)
    assert (counted, killed) == (["plan", "render"], [])


def test_what_ended_a_task_goes_with_it():
    ends = list["ref[Exception]"]()
    app = make_app(Settings(), lambda settings, resources: play().studio())

    def step() -> None:
        try:
            raise StoreError("below")
        except StoreError as below:
            end = Ignore()
            ends.extend((ref(below), ref(end)))
            raise end from below

    tasks: Any = app
    trace: Any = build_tracer("step", tasks.task(step, name="step"), app=app)
    gc.disable()
    try:
        trace("id", (), {}, {"id": "id"})
        assert [end() for end in ends] == [None, None]
    finally:
        gc.enable()


class TestPictures:
    def test_they_are_stored_when_waited_for_and_named_before(self, tmp_path: Path, pool: ThreadPoolExecutor) -> None:
        images, png, go = Images(FolderStore(tmp_path)), plain_png("red"), threading.Event()
        pictures = Pictures(images, pool)

        def encode() -> bytes:
            assert go.wait(60)
            return png

        image = pictures.put_raster(Raster("RGB", 64, 64, b"\xff\0\0" * 64 * 64), encode)
        assert image == image_hash(png)
        assert not images.has(image)
        go.set()
        pictures.wait()
        assert Images(FolderStore(tmp_path)).get(image) == png

    def test_the_first_that_fails_is_told(self, tmp_path: Path, pool: ThreadPoolExecutor) -> None:
        pictures = Pictures(Images(FolderStore(tmp_path)), pool)
        grey = [Raster("L", 1, 1, bytes([level])) for level in range(3)]
        pictures.put_raster(grey[0], partial(plain_png, "black", 1, 1, "L"))
        for raster, word in zip(grey[1:], ("one", "two"), strict=True):
            pictures.put_raster(raster, partial(_raises, word))
        with pytest.raises(DirectorError, match="OSError: one"):
            pictures.wait()

    def test_too_large_a_picture_is_refused_at_once(self, tmp_path: Path, pool: ThreadPoolExecutor) -> None:
        pictures = Pictures(Images(FolderStore(tmp_path), max_pixels=4), pool)
        with pytest.raises(BriefError, match="5 x 1; the most is 4 pixels"):
            pictures.put_raster(Raster("L", 5, 1, bytes(5)), partial(_raises, "not asked"))


def _raises(word: str) -> bytes:
    raise OSError(word)
