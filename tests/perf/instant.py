"""A studio that answers at once and notes when it was asked: what is left is the cost of the queue.

It never finds a goal met, so that a job runs all its rounds; briefs are long enough for a
trajectory of about 20 kB.
"""

import os
import time
from contextlib import ExitStack
from pathlib import Path

from director.seats import Context, ExtractRequest, PlanRequest, RenderRequest, SelectRequest, Studio, VerifyRequest
from director.types import (
    Action,
    Brief,
    Candidate,
    Extracted,
    Goal,
    LoopSettings,
    Outcome,
    Planned,
    Rendered,
    Selected,
    Verdict,
    Verified,
)
from tasks.app import make_app
from tasks.settings import Settings, load_settings

NOTES = "VISIONDIRECTOR_TEST_NOTES"
"""Environment variable: the folder where each worker process appends `<seconds> <kind>` lines."""

SETTINGS = LoopSettings(
    editor="instant",
    candidates=2,
    adaptive=False,
    rounds=20,
    patience=20,
    accept="alignment",
    anchor_after=0,
    gate="one-shot",
)
GOALS = tuple(Goal(id=f"g{n}", text=f"goal {n}") for n in range(8))
BRIEF = Brief(text="A poster with a red cup and a title. " * 100, title="hop", goals=GOALS)

# One grey pixel, made once: the pictures must not be what is measured.
_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a49444154789c636800000082008177cd72b60000000049454e44ae426082"
)


class Instant:
    """All four seats."""

    def __init__(self, folder: Path) -> None:
        self._notes = (folder / f"{os.getpid()}.txt").open("a", buffering=1)

    def close(self) -> None:
        self._notes.close()

    def _note(self, kind: str) -> None:
        self._notes.write(f"{time.time():.6f} {kind}\n")

    def extract(self, request: ExtractRequest, context: Context) -> Extracted:
        raise AssertionError("the briefs of the bench have goals")

    def plan(self, request: PlanRequest, context: Context) -> Planned:
        self._note("plan")
        targets = tuple(goal.id for goal in request.targets)
        return Planned(
            action=Action(kind=request.action, instruction="go on", targets=targets), base=request.base, by="i"
        )

    def render(self, request: RenderRequest, context: Context) -> Rendered:
        image = context.images.put(_PIXEL)
        self._note("render")
        return Rendered(candidates=tuple(Candidate(image=image, seed=seed) for seed in request.seeds), by="i")

    def select(self, request: SelectRequest, context: Context) -> Selected:
        self._note("select")
        return Selected(image=request.candidates[0].image, by="i")

    def verify(self, request: VerifyRequest, context: Context) -> Verified:
        self._note("verify")
        missed = [Verdict(goal=g.id, outcome=Outcome.MISSED, score=0, confidence=1, by="i") for g in request.goals]
        return Verified(image=request.image, verdicts=tuple(missed), again=request.again, by="i")


def open_instant(_: Settings, resources: ExitStack) -> Studio:
    """For `make_app`."""
    seats = Instant(Path(os.environ[NOTES]))
    resources.callback(seats.close)
    return Studio(planner=seats, editor=seats, judge=seats, verifier=seats)


def main() -> None:
    """`python -m tests.perf.instant CONCURRENCY`: a worker over all seats of this studio."""
    import sys

    queues = "planner,judge,verifier,editor.instant,control"
    make_app(load_settings(), open_instant).worker_main(
        ["worker", "--pool", "prefork", "--concurrency", sys.argv[1], "--queues", queues, "--loglevel", "WARNING",
         "--hostname", "instant@%h", "--without-gossip", "--without-mingle"]
    )  # fmt: skip


if __name__ == "__main__":
    main()
