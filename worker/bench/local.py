"""Cases run here: each through the loop, in this process and its children."""

import argparse
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from director.errors import BriefError, DirectorError, SeatError
from director.seats import Raster, Studio
from director.state import State
from tasks.settings import Settings, load_settings
from tasks.store import clean_upload, image_hash, raster_of
from worker.bench.cases import Delivery, Work, failed_run, run_of
from worker.local import LocalContext
from worker.local import run as run_loop
from worker.profiles import load_profile
from worker.profiles import names as profile_names
from worker.profiles.servers import servers_running
from worker.studio import SKETCH, editor_models, open_studio

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile", help="editor model, such as flux-krea; or what fills all seats: a studio's name, or a .json"
    )


def local_runner(args: argparse.Namespace, settings: Settings) -> "LocalRunner":
    """What `--profile` and `--workers` say. Raises BriefError for a profile that there is none of."""
    settings, editor = resolve_studio(args.profile, settings)
    return LocalRunner(settings, editor, args.workers, args.output)


def resolve_studio(profile: str | None, settings: Settings) -> tuple[Settings, dict[str, Any]]:
    """The settings with the seats of a studio, and the loop's `editor` where an editor was named instead."""
    if not profile:
        return settings, {}
    if profile in profile_names() or profile.endswith(".json"):
        return load_settings(**load_profile(profile, settings).settings(os.environ)), {}
    if profile not in (models := editor_models(settings)):
        known = f"editors: {', '.join(models)}; studios: {', '.join(profile_names())}"
        raise BriefError(f"there is no editor or studio {profile!r}", known, "--profile")
    return settings, {"editor": profile}


@dataclass(frozen=True)
class LocalRunner:
    """Runs cases on the studio of `settings`, over `workers` processes. Its servers leave their logs in `folder`."""

    settings: Settings
    fixed: Mapping[str, Any]
    workers: int | None
    folder: Path | None
    tells_each: bool = False

    @property
    def studio(self) -> str:
        return self.settings.studio

    def run(self, works: Sequence[Work]) -> Iterator[Delivery]:
        with servers_running(self.settings, (self.folder or Path()) / "log"):
            yield from spread(_delivered, works, self.settings, self.workers)


def _delivered(work: Work, settings: Settings, studio: Studio) -> Delivery:
    images = Pictures()
    context = LocalContext(images)
    start = time.monotonic()
    brief = work.case.brief
    try:
        if work.case.source:
            png = clean_upload(work.case.source.read_bytes(), settings.max_image_bytes, settings.max_image_pixels)
            brief = brief.model_copy(update={"source": images.put(png)})
        done = run_loop(brief, work.arm.settings, work.seed, studio, images, context=context)
    except (SeatError, BriefError) as error:
        return Delivery(failed_run(work, str(error)))
    final = State.of(done).deliverable
    run = run_of(work, done, context.counts, time.monotonic() - start)
    return Delivery(run, images.get(final) if final else None)


class Pictures:
    """The pictures of one run, in memory, by the hash that the store gives them."""

    def __init__(self) -> None:
        self._pngs: dict[str, bytes] = {}

    def get(self, image: str) -> bytes:
        return self._pngs[image]

    def put(self, png: bytes) -> str:
        image = image_hash(png)
        self._pngs[image] = png
        return image

    def raster(self, image: str) -> Raster:
        return raster_of(self._pngs[image])

    def put_raster(self, raster: Raster, encode: Callable[[], bytes]) -> str:
        return self.put(encode())


# --- processes ----------------------------------------------------------------------------------

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def spread(
    call: Callable[[_Item, Settings, Studio], _Result], items: Sequence[_Item], settings: Settings, workers: int | None
) -> Iterator[_Result]:
    """`call` of each item with an open studio, over processes (one: this one), each result as it comes."""
    number = min(workers or (os.cpu_count() or 1 if settings.studio == SKETCH else 1), len(items))
    if number <= 1:
        with ExitStack() as resources:
            studio = open_studio(settings, resources)
            yield from (call(item, settings, studio) for item in items)
        return
    # Spawned: a child forked beside threads may hang.
    with ProcessPoolExecutor(number, get_context("spawn"), start_child, (os.getpid(),)) as pool:
        futures = [pool.submit(_in_child, call, item, settings) for item in items]
        try:
            for each in as_completed(futures):
                yield each.result()
        except BrokenProcessPool as error:
            raise DirectorError(
                "a process that ran cases was killed",
                "run the same command again, with fewer --workers if it was memory",
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_thread() -> None:
    """Called first in a worker process: threads of a linear algebra library would only fight each other there.

    Variables such as OMP_NUM_THREADS are read when numpy is loaded, which a forked process is too late for.
    """
    threadpool_limits(1)


_opened: list[Studio] = []
"""The studio of a child process, opened at its first case and kept."""


def _in_child(call: Callable[[_Item, Settings, Studio], _Result], item: _Item, settings: Settings) -> _Result:
    if not _opened:
        _opened.append(open_studio(settings, ExitStack()))
        if settings.studio == SKETCH:
            one_thread()
    return call(item, settings, _opened[0])


def start_child(parent: int) -> None:
    """The parent handles Ctrl-C. A child of a killed run ends, and does not wait for work for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
