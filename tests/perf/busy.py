"""How busy an editor's card is: real Redis, S3 over HTTP, Celery workers and PNGs, and a card that sleeps.

`python -m tests.perf.busy`, or as a part of `make bench`. Each render gives four pictures of 1024 x 1024 at once, when
its seconds are over: the hardest case, because nothing can be encoded before that. `busy` is the share of the time in
which the card draws, from the first drawing to the last.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from director.seats import Context, RenderRequest, Studio
from director.types import Candidate, LoopSettings, Rendered
from tasks.app import make_app, open_archive, send_hint
from tasks.ledger.ledger import Ledger, connect
from tasks.settings import Settings, load_settings
from tests.perf.instant import BRIEF, NOTES, SETTINGS, Instant
from tests.support.queue import submit
from worker.diffusion.canvas import Pixels, to_png, to_raster

SIDE, CANDIDATES = 1024, 4
CASES = ((12.0, 5, 0.97), (3.0, 15, 0.93))
"""Seconds of a render, how many are timed, and the share of the time that the card must draw."""
JOBS = 4
_DRAWN = "drawn"


def busy(folder: Path, seconds: float, renders: int) -> dict[str, Any]:
    """Share of the time that the card draws, over so many renders behind the first; and the gaps between them."""
    folder.mkdir(parents=True)
    settings = load_settings()
    app = make_app(settings)
    archive, _ = open_archive(settings)
    with (
        Ledger(connect(settings.ledger_url), settings.limits) as ledger,
        _worker(folder, "thinker", "planner,judge,verifier,control", 0),
        _worker(folder, "editor", f"editor.{SETTINGS.editor}", seconds),
    ):
        asked = _settings(2 + renders)
        for seed in range(JOBS):
            submit(ledger, archive, BRIEF, asked, lambda hint: send_hint(app, hint), seed)
        end = time.monotonic() + 60 + 3 * seconds * renders
        while len(drawn := _drawn(folder)) < renders + 2:
            assert time.monotonic() < end, f"{len(drawn)} renders"
            time.sleep(0.2)
    timed = drawn[1 : renders + 1]
    gaps = sorted(1000 * (after - before) for (_, before), (after, _) in pairwise(timed))
    whole = timed[-1][1] - timed[0][0]
    return {
        "seconds": seconds,
        "renders": renders,
        "busy": round(sum(stop - start for start, stop in timed) / whole, 4),
        "gap_ms_p50": round(gaps[len(gaps) // 2], 1),
        "gap_ms_max": round(gaps[-1], 1),
        "load": round(os.getloadavg()[0], 1),
    }


def _settings(rounds: int) -> LoopSettings:
    about = {"candidates": CANDIDATES, "rounds": rounds, "patience": rounds, "width": SIDE, "height": SIDE}
    return SETTINGS.model_copy(update=about)


@contextmanager
def _worker(folder: Path, name: str, queues: str, seconds: float) -> Generator[None]:
    command = [sys.executable, "-m", "tests.perf.busy", name, queues, str(seconds)]
    environment = {**os.environ, NOTES: str(folder)}
    with (
        (folder / f"{name}.log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as worker,
    ):
        try:
            yield
        finally:
            worker.terminate()


def _drawn(folder: Path) -> list[tuple[float, float]]:
    """When each drawing began and ended."""
    file = folder / _DRAWN
    words = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return [(float(start), float(stop)) for start, stop in words]


class Sleeping(Instant):
    """Its card sleeps for so many seconds a render; its pictures take as long to encode as a model's."""

    def __init__(self, folder: Path, seconds: float) -> None:
        super().__init__(folder)
        self._drawn = folder / _DRAWN
        self._seconds = seconds
        self._texture = texture()

    def render(self, request: RenderRequest, context: Context) -> Rendered:
        if request.base:
            context.images.raster(request.base)
        start = time.time()
        time.sleep(self._seconds)
        context.count("gpu_ms", round(1000 * self._seconds))
        with self._drawn.open("a") as file:
            file.write(f"{start:.6f} {time.time():.6f}\n")
        made = [Candidate(image=self._put(seed, context), seed=seed) for seed in request.seeds]
        return Rendered(candidates=tuple(made), by="sleeping")

    def _put(self, seed: int, context: Context) -> str:
        pixels: Pixels = np.roll(self._texture, (seed % SIDE, seed // SIDE % SIDE), (0, 1))
        return context.images.put_raster(to_raster(pixels), partial(to_png, pixels))


def texture() -> Pixels:
    """Smooth shapes under a fine grain: as a PNG 1.6 MB, like what image models draw."""
    dice = np.random.default_rng(0)
    coarse = Image.fromarray(dice.integers(0, 256, (24, 24, 3), np.uint8))
    smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)
    return np.clip(smooth + dice.normal(0, 2, smooth.shape), 0, 255).astype(np.uint8)


def open_sleeping(seconds: float, _: Settings, resources: ExitStack) -> Studio:
    """For `make_app`."""
    seats = Sleeping(Path(os.environ[NOTES]), seconds)
    resources.callback(seats.close)
    return Studio(planner=seats, editor=seats, judge=seats, verifier=seats)


def serve(name: str, queues: str, seconds: float) -> None:
    make_app(load_settings(), partial(open_sleeping, seconds)).worker_main(
        ["worker", "--pool", "prefork", "--concurrency", "1", "--queues", queues, "--loglevel", "WARNING",
         "--hostname", f"{name}@%h", "--without-gossip", "--without-mingle"]
    )  # fmt: skip


def measure(folder: Path) -> dict[str, Any]:
    """All cases, printed; servers and a reconciler run."""
    result: dict[str, Any] = {}
    for seconds, renders, wanted in CASES:
        found = busy(folder / f"{seconds:g}", seconds, renders)
        result[f"{seconds:g} s"] = found | {"goal": wanted}
        print(
            f"{f'card busy, renders of {seconds:g} s, 4 PNGs of 1024²':<44}{100 * found['busy']:>9.1f} %"
            f" (the goal is {100 * wanted:g}; gap p50 {found['gap_ms_p50']:.0f}, max {found['gap_ms_max']:.0f} ms;"
            f" load {found['load']})",
            flush=True,
        )
    return result


def main() -> int:
    from tests.perf.__main__ import reconciling, servers

    with tempfile.TemporaryDirectory() as name, servers(Path(name) / "servers"), reconciling():
        print(json.dumps(measure(Path(name) / "busy"), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1], sys.argv[2], float(sys.argv[3])) if sys.argv[1:] else main())
