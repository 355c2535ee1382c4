"""A worker that notes what it does, in order: `python -m tests.support.noting NAME PROCESSES QUEUES SECONDS`.

Each line of the notes is what the seat was asked ("render a", "verify"). A step takes SECONDS.
"""

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from director.seats import Context, ExtractRequest, PlanRequest, RenderRequest, SelectRequest, Studio, VerifyRequest
from director.types import Extracted, Planned, Rendered, Selected, Verified
from tasks.app import make_app
from tasks.settings import Settings, load_settings
from tests.perf.instant import NOTES, Instant


class Noting:
    """The instant studio, slower."""

    def __init__(self, folder: Path, inner: Instant, seconds: float) -> None:
        self._file = folder / f"{os.getpid()}.noted"
        self._inner = inner
        self._seconds = seconds

    def _note(self, what: str) -> None:
        with self._file.open("a") as file:
            file.write(f"{time.time():.6f} {what}\n")
        time.sleep(self._seconds)

    def extract(self, request: ExtractRequest, context: Context) -> Extracted:
        return self._inner.extract(request, context)

    def plan(self, request: PlanRequest, context: Context) -> Planned:
        self._note("plan")
        return self._inner.plan(request, context)

    def render(self, request: RenderRequest, context: Context) -> Rendered:
        self._note(f"render {request.model}")
        return self._inner.render(request, context)

    def select(self, request: SelectRequest, context: Context) -> Selected:
        self._note("select")
        return self._inner.select(request, context)

    def verify(self, request: VerifyRequest, context: Context) -> Verified:
        self._note("verify")
        return self._inner.verify(request, context)


def noted(folder: Path) -> list[str]:
    """All notes in their order."""
    lines = sorted(line for path in folder.glob("*.noted") for line in path.read_text().splitlines())
    return [line.partition(" ")[2] for line in lines]


def main(name: str, processes: str, queues: str, seconds: float) -> None:
    def open_noting(_: Settings, resources: ExitStack) -> Studio:
        folder = Path(os.environ[NOTES])
        inner = Instant(folder)
        resources.callback(inner.close)
        seats = Noting(folder, inner, seconds)
        return Studio(planner=seats, editor=seats, judge=seats, verifier=seats)

    make_app(load_settings(), open_noting).worker_main(
        ["worker", "--pool", "prefork", "--concurrency", processes, "--queues", queues, "--loglevel", "INFO",
         "--hostname", f"{name}@%h", "--without-gossip", "--without-mingle"]
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))
