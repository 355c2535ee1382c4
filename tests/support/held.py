"""A worker whose PNGs wait: `python -m tests.support.held NAME QUEUES`. All seats answer at once.

While the file `hold` is there, an encoder waits; while `broken` is there, it fails. `drawn` names the process of each
render that is drawn.
"""

import os
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from director.seats import Context, Raster, RenderRequest, Studio
from director.types import Candidate, Rendered
from tasks.app import make_app
from tasks.settings import Settings, load_settings
from tests.perf.instant import NOTES, Instant
from tests.support.contexts import plain_png


class Held(Instant):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._folder = folder

    def render(self, request: RenderRequest, context: Context) -> Rendered:
        made = [Candidate(image=self._handed(seed, context), seed=seed) for seed in request.seeds]
        with (self._folder / "drawn").open("a") as file:
            file.write(f"{os.getpid()}\n")
        return Rendered(candidates=tuple(made), by="held")

    def _handed(self, seed: int, context: Context) -> str:
        colour = (seed % 256, seed // 256 % 256, seed // 65536 % 256)
        return context.images.put_raster(Raster("RGB", 8, 8, bytes(colour) * 64), partial(self._encoded, colour))

    def _encoded(self, colour: tuple[int, int, int]) -> bytes:
        while (self._folder / "hold").exists():
            time.sleep(0.02)
        if (self._folder / "broken").exists():
            raise RuntimeError("the encoder broke on purpose")
        return plain_png("#" + bytes(colour).hex(), 8, 8)


def main(name: str, queues: str) -> None:
    def open_held(_: Settings, resources: ExitStack) -> Studio:
        seats = Held(Path(os.environ[NOTES]))
        resources.callback(seats.close)
        return Studio(planner=seats, editor=seats, judge=seats, verifier=seats)

    make_app(load_settings(), open_held).worker_main(
        ["worker", "--pool", "prefork", "--concurrency", "1", "--queues", queues, "--loglevel", "INFO",
         "--hostname", f"{name}@%h", "--without-gossip", "--without-mingle", "--task-events"]
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
