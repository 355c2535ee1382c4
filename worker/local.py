"""The loop in this one process, over a folder: what `visiondirector-worker direct` and the benchmarks use."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from director.loop import begin, direct
from director.report import Attempt, RunInfo
from director.seats import STEP_KINDS, Images, Studio
from director.state import State
from director.types import Brief, LoopSettings, Seed, Stopped, StopReason, Trajectory
from tasks.png_metadata import metadata_text, with_metadata
from tasks.reports import standalone
from tasks.settings import Settings
from tasks.store import FolderStore, Thumbnails, clean_upload
from tasks.store import Images as StoredImages
from worker.studio import open_studio

_STEPS = {kind.reply: kind.name for kind in STEP_KINDS.values()}


class LocalContext:
    """A Context without a host that could cancel. `counts` adds up what the seats count.

    What they keep goes into the folder `keep`, a file each, behind those that are there; without one it is forgotten.
    """

    def __init__(self, images: Images, keep: Path | None = None) -> None:
        self.images = images
        self.counts: dict[str, int] = {}
        self._keep = keep
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
        self._kept = len([*keep.iterdir()]) if keep else 0

    def progress(self, message: str, done: int, total: int) -> None:
        pass

    def count(self, name: str, amount: int) -> None:
        self.counts[name] = self.counts.get(name, 0) + amount

    def keep(self, name: str, data: bytes) -> None:
        if self._keep:
            self._kept += 1
            kind = "jsonl" if data.startswith(b"{") else "txt"
            (self._keep / f"{self._kept:04d}-{name}.{kind}").write_bytes(data)

    def check(self) -> None:
        pass


def direct_to(
    folder: Path,
    brief: Brief,
    settings: LoopSettings,
    seed: Seed,
    process: Settings,
    source: bytes | None = None,
    tell: Callable[[Trajectory], None] = lambda _: None,
    keep: Path | None = None,
) -> Trajectory:
    """Run a brief into `folder`: `final.png`, `trajectory.json`, `report.html` and every picture under `images/`.

    What was said to models and what they answered goes to `keep`. `final.png` is one of the pictures, with metadata
    unless `process` says no. Raises BriefError for a source that is no picture, SeatError when a seat fails. Nothing
    is written before the brief and its source are found usable.
    """
    images = StoredImages(FolderStore(folder))
    if source is not None:
        png = clean_upload(source, process.max_image_bytes, process.max_image_pixels)
        brief = brief.model_copy(update={"source": images.put(png)})
    watch = Stopwatch(begin(brief, settings, seed), tell)
    with ExitStack() as resources:
        studio = open_studio(process, resources)
        trajectory = run(brief, settings, seed, studio, images, watch, LocalContext(images, keep))
    (folder / "trajectory.json").write_text(trajectory.model_dump_json(indent=1) + "\n", encoding="utf-8")
    if final := State.of(trajectory).deliverable:
        png = images.get(final)
        imprinted = with_metadata(png, metadata_text(trajectory, final)) if process.image_metadata else png
        (folder / "final.png").write_bytes(imprinted)
    page = standalone(trajectory, Thumbnails(images), watch.run_info())
    (folder / "report.html").write_text(page, encoding="utf-8")
    return trajectory


class Stopwatch:
    """Times the steps of a run as a queue's attempt records do, and passes on what it is told."""

    def __init__(self, start: Trajectory, tell: Callable[[Trajectory], None]) -> None:
        self._tell = tell
        self._attempts: list[Attempt] = []
        self._events = len(start.events)
        self._began, self._last = time.time(), time.perf_counter()

    def __call__(self, trajectory: Trajectory) -> None:
        now = time.perf_counter()
        reply = trajectory.events[self._events]  # what follows it in this step came of itself
        kind = _STEPS.get(reply.kind, reply.kind)
        self._attempts.append(Attempt(n=len(self._attempts), kind=kind, seconds=now - self._last))
        self._events, self._last = len(trajectory.events), now
        self._tell(trajectory)

    def run_info(self) -> RunInfo:
        return RunInfo(created=self._began, attempts=tuple(self._attempts))


def run(
    brief: Brief,
    settings: LoopSettings,
    seed: Seed,
    studio: Studio,
    images: Images,
    tell: Callable[[Trajectory], None] = lambda _: None,
    context: LocalContext | None = None,
) -> Trajectory:
    """`director.loop.direct` with the clock that `max_seconds` needs. `context`: one whose counts are wanted."""
    end = time.monotonic() + settings.max_seconds if settings.max_seconds else None

    def between(trajectory: Trajectory) -> Stopped | None:
        tell(trajectory)
        if end and time.monotonic() > end:
            return Stopped(reason=StopReason.BUDGET, why=f"the {settings.max_seconds:g} seconds are used")
        return None

    return direct(brief, settings, seed, studio, context or LocalContext(images), between)
