"""A studio that plays a script: a picture's pixels spell what its goals look like. For tests of the loop and the queue.

The script has the traits of each candidate that the editor renders, goal id -> outcome, laid over those of the picture
it starts from. Judge and verifier read the traits.
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from director.loop import direct
from director.seats import (
    Context,
    ExtractRequest,
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
    LoopSettings,
    Outcome,
    Planned,
    Region,
    Rendered,
    Selected,
    Trajectory,
    Verdict,
    Verified,
)
from tests.support.contexts import PlainContext

Traits = Mapping[str, Any]
SCORE = {"met": 0.9, "missed": 0.1, "unsure": 0.5}


def to_png(traits: Traits) -> bytes:
    """One row of grey pixels, the bytes of the traits as JSON."""
    data = json.dumps(traits, sort_keys=True).encode()
    buffer = io.BytesIO()
    Image.frombytes("L", (len(data), 1), data).save(buffer, "PNG")
    return buffer.getvalue()


def from_png(png: bytes) -> dict[str, Any]:
    with Image.open(io.BytesIO(png)) as picture:
        return json.loads(picture.tobytes())


@dataclass
class ScriptedStudio:
    """All four seats. `calls` keeps every request in order."""

    script: Iterator[Traits]
    goals: tuple[Goal, ...] = ()
    regions: Mapping[str, Region] = field(default_factory=dict[str, Region])
    calls: list[object] = field(default_factory=list[object])

    def extract(self, request: ExtractRequest, context: Context) -> Extracted:
        self.calls.append(request)
        return Extracted(goals=self.goals, by="script")

    def plan(self, request: PlanRequest, context: Context) -> Planned:
        self.calls.append(request)
        ids = tuple(goal.id for goal in request.targets)
        region = self.regions.get(ids[0]) if request.masks and not request.whole else None
        words = f"{request.action.value} {', '.join(ids)}" + " again" * len(request.failures)
        action = Action(kind=request.action, instruction=words, targets=ids, region=region)
        return Planned(action=action, base=request.base, by="script")

    def render(self, request: RenderRequest, context: Context) -> Rendered:
        self.calls.append(request)
        base = from_png(context.images.get(request.base)) if request.base else {}
        candidates: list[Candidate] = []
        for seed in request.seeds:
            traits = {**base, **next(self.script), "seed": seed}
            candidates.append(Candidate(image=context.images.put(to_png(traits)), seed=seed))
        return Rendered(candidates=tuple(candidates), by="script")

    def select(self, request: SelectRequest, context: Context) -> Selected:
        self.calls.append(request)

        def met(candidate: Candidate) -> int:
            traits = from_png(context.images.get(candidate.image))
            return sum(traits.get(goal.id) == "met" for goal in request.goals)

        return Selected(image=max(request.candidates, key=met).image, by="script")

    def verify(self, request: VerifyRequest, context: Context) -> Verified:
        self.calls.append(request)
        traits = from_png(context.images.get(request.image))
        if request.again:
            traits |= traits.get("again", {})
        found: list[Verdict] = []
        for goal in request.goals:
            outcome = traits.get(goal.id, "missed")
            found.append(
                Verdict(
                    goal=goal.id,
                    outcome=Outcome(outcome),
                    score=traits.get("scores", {}).get(goal.id, SCORE[outcome]),
                    confidence=0.9,
                    evidence=f"{goal.id} is {outcome}",
                    by="script",
                )
            )
        return Verified(image=request.image, verdicts=tuple(found), again=request.again, by="script")

    def studio(self) -> Studio:
        return Studio(planner=self, editor=self, judge=self, verifier=self)


def play(*script: Traits, **fields: object) -> ScriptedStudio:
    """A studio that plays `script` and then fails on any further render."""
    return ScriptedStudio(script=iter(script), **fields)  # pyright: ignore[reportArgumentType]


def brief_of(goals: Sequence[Goal], source: str | None = None) -> Brief:
    return Brief(text="A poster. " * 5, goals=tuple(goals), source=source)


def goals_of(*ids: str, **fields: object) -> tuple[Goal, ...]:
    return tuple(Goal(id=i, text=f"show {i}", **fields) for i in ids)  # pyright: ignore[reportArgumentType]


ABC = goals_of("a", "b", "c")
ONE = LoopSettings(candidates=1)


def run(studio: ScriptedStudio, settings: LoopSettings = ONE, brief: Brief | None = None) -> Trajectory:
    """The loop in this process, on a brief with the goals a, b and c."""
    return direct(brief or brief_of(ABC), settings, 7, studio.studio(), PlainContext())
