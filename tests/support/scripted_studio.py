"""A studio of facts: a picture's pixels spell what its goals look like. For tests of the loop and the queue.

The editor plays a script: one dict for each candidate it renders, goal id -> outcome, laid over the
facts of the picture it starts from. Judge and verifier read the facts.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from director.errors import Cancelled
from director.seats import (
    Context,
    ExtractRequest,
    Images,
    PlanRequest,
    RenderRequest,
    SelectRequest,
    Studio,
    VerifyRequest,
)
from director.types import (
    Action,
    Brief,
    Candidate,
    Extracted,
    Goal,
    Outcome,
    Planned,
    Region,
    Rendered,
    Selected,
    Verdict,
    Verified,
)

Traits = Mapping[str, Any]
SCORE = {"met": 0.9, "missed": 0.1, "unsure": 0.5}


def to_png(facts: Traits) -> bytes:
    """One row of grey pixels, the bytes of the facts as JSON."""
    data = json.dumps(facts, sort_keys=True).encode()
    buffer = io.BytesIO()
    Image.frombytes("L", (len(data), 1), data).save(buffer, "PNG")
    return buffer.getvalue()


def from_png(png: bytes) -> dict[str, Any]:
    with Image.open(io.BytesIO(png)) as picture:
        return json.loads(picture.tobytes())


class MemoryImages:
    """Pictures in a dict."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}

    def get(self, image: str) -> bytes:
        return self.stored[image]

    def put(self, png: bytes) -> str:
        key = hashlib.sha256(png).hexdigest()
        self.stored[key] = png
        return key


@dataclass
class PlainContext:
    images: Images = field(default_factory=MemoryImages)
    cancelled: bool = False

    def progress(self, message: str, done: int, total: int) -> None:
        pass

    def count(self, name: str, amount: int) -> None:
        pass

    def keep(self, name: str, data: bytes) -> None:
        pass

    def check(self) -> None:
        if self.cancelled:
            raise Cancelled("cancelled by the test")


@dataclass
class ScriptedStudio:
    """All four seats. `calls` keeps every request in order."""

    script: Iterator[Traits]
    goals: tuple[Goal, ...] = ()
    regions: Mapping[str, Region] = field(default_factory=dict[str, Region])
    calls: list[object] = field(default_factory=list[object])

    def extract(self, request: ExtractRequest, context: Context) -> Extracted:
        self.calls.append(request)
        return Extracted(goals=self.goals, by="facts")

    def plan(self, request: PlanRequest, context: Context) -> Planned:
        self.calls.append(request)
        ids = tuple(goal.id for goal in request.targets)
        region = self.regions.get(ids[0]) if request.masks and not request.whole else None
        words = f"{request.action.value} {', '.join(ids)}" + " again" * len(request.failures)
        action = Action(kind=request.action, instruction=words, targets=ids, region=region)
        return Planned(action=action, base=request.base, by="facts")

    def render(self, request: RenderRequest, context: Context) -> Rendered:
        self.calls.append(request)
        base = from_png(context.images.get(request.base)) if request.base else {}
        candidates: list[Candidate] = []
        for seed in request.seeds:
            facts = {**base, **next(self.script), "seed": seed}
            candidates.append(Candidate(image=context.images.put(to_png(facts)), seed=seed))
        return Rendered(candidates=tuple(candidates), by="facts")

    def select(self, request: SelectRequest, context: Context) -> Selected:
        self.calls.append(request)

        def met(candidate: Candidate) -> int:
            facts = from_png(context.images.get(candidate.image))
            return sum(facts.get(goal.id) == "met" for goal in request.goals)

        return Selected(image=max(request.candidates, key=met).image, by="facts")

    def verify(self, request: VerifyRequest, context: Context) -> Verified:
        self.calls.append(request)
        facts = from_png(context.images.get(request.image))
        if request.again:
            facts |= facts.get("again", {})
        found: list[Verdict] = []
        for goal in request.goals:
            outcome = facts.get(goal.id, "missed")
            found.append(
                Verdict(
                    goal=goal.id,
                    outcome=Outcome(outcome),
                    score=facts.get("scores", {}).get(goal.id, SCORE[outcome]),
                    confidence=0.9,
                    evidence=f"{goal.id} is {outcome}",
                    by="facts",
                )
            )
        return Verified(image=request.image, verdicts=tuple(found), again=request.again, by="facts")

    def studio(self) -> Studio:
        return Studio(planner=self, editor=self, judge=self, verifier=self)


def play(*script: Traits, **facts: object) -> ScriptedStudio:
    """A studio that plays `script` and then fails on any further render."""
    return ScriptedStudio(script=iter(script), **facts)  # pyright: ignore[reportArgumentType]


def brief_of(goals: Sequence[Goal], source: str | None = None) -> Brief:
    return Brief(text="A poster. " * 5, goals=tuple(goals), source=source)


def goals_of(*ids: str, **fields: object) -> tuple[Goal, ...]:
    return tuple(Goal(id=i, text=f"show {i}", **fields) for i in ids)  # pyright: ignore[reportArgumentType]
