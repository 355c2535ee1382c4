"""Cases on the studio of this machine: a pool of processes that run them, and one that grades pictures.

Each process opens its studio once. What a seat raises is recorded with its run and tried again next
time; it stops nobody else.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from director import history
from director.benchmarks import folder as folders
from director.benchmarks.cases import Case, Run, RunCases, Work, run_of
from director.errors import DirectorError
from director.loop import perform
from director.seats import Studio, VerifyRequest
from director.types import Verdict, Verified
from tasks.settings import Settings
from tasks.store import FolderStore, Images, clean_upload
from worker import local
from worker.studio import SKETCH, open_studio

_I = TypeVar("_I")
_O = TypeVar("_O")


def processes(wanted: int | None, settings: Settings) -> int:
    """How many at once: as asked, else all cores for the sketch and one for real models."""
    return wanted or (os.cpu_count() or 1 if settings.studio == SKETCH else 1)


def in_process(settings: Settings, folder: Path, count: int) -> RunCases:
    """A RunCases over `count` processes that leaves its pictures in `folder`."""

    def run_cases(works: Sequence[Work]) -> Iterable[Run]:
        return spread(_Runner(settings, folder), works, count)

    return run_cases


def spread(call: Callable[[_I], _O], items: Sequence[_I], count: int) -> Iterator[_O]:
    """`call` of each item, over `count` processes (1: this one), each result as it comes.

    An error ends it; what was under way is lost, what has not begun is not started.
    """
    count = min(count, len(items))
    if count <= 1:
        yield from map(call, items)
        return
    # Not forked: a process may hold threads of a VLM client or of CUDA by now.
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(call, item) for item in items]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


# --- in the pool ----------------------------------------------------------------------------------

_open: dict[str, tuple[Studio, ExitStack]] = {}
"""The studio of this process, by its profile. It is closed with the process."""


def _studio(settings: Settings) -> Studio:
    if settings.studio not in _open:
        resources = ExitStack()
        _open[settings.studio] = open_studio(settings, resources), resources
    return _open[settings.studio][0]


@dataclass(frozen=True)
class _Runner:
    settings: Settings
    folder: Path

    def __call__(self, work: Work) -> Run:
        with tempfile.TemporaryDirectory() as scratch:
            try:
                return self._run(work, Images(FolderStore(Path(scratch))))
            except DirectorError as error:
                said = f"{error.boundary}: {error}"[:500]
                return Run(case=work.case.id, arm=work.arm.name, seed=work.seed, task=work.case.digest(), error=said)

    def _run(self, work: Work, images: Images) -> Run:
        settings, context = self.settings, local.LocalContext(images)
        began = time.perf_counter()
        brief = work.case.brief
        if work.case.source:
            png = clean_upload(work.case.source.read_bytes(), settings.max_image_bytes, settings.max_image_pixels)
            brief = brief.model_copy(update={"source": images.put(png)})
        done = local.run(brief, work.arm.settings, work.seed, _studio(settings), images, context=context)
        final = history.deliverable(done)
        picture = folders.keep(self.folder, work, done, images.get(final) if final else None)
        return run_of(work, done, picture, context.counts, time.perf_counter() - began)


@dataclass(frozen=True)
class Looker:
    """Verdicts on a run's picture for the case's annotated goals, by the verifier that the settings name."""

    settings: Settings
    folder: Path

    def __call__(self, item: tuple[Case, Run]) -> tuple[Case, Run, tuple[Verdict, ...], str]:
        """The verdicts, or none and why the picture could not be judged."""
        case, run = item
        if run.error or run.picture is None:
            return case, run, (), run.error or f"no picture: {run.stop}"
        png = folders.picture(self.folder, run)
        with tempfile.TemporaryDirectory() as scratch:
            images = Images(FolderStore(Path(scratch)))
            try:
                request = VerifyRequest(image=images.put(png), goals=case.goals)
                verified = perform(request, _studio(self.settings), local.LocalContext(images))
            except DirectorError as error:
                return case, run, (), f"grader: {error}"[:500]
        assert isinstance(verified, Verified)
        return case, run, verified.verdicts, ""
