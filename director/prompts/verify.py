"""Is a goal met in a picture? Soft: token probabilities of one word for each goal. Structured: one form for all."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from pydantic import TypeAdapter

from director.prompts.vlm import (
    Choice,
    Form,
    Percent,
    Reply,
    ReplyError,
    all_of,
    choice,
    described,
    form,
    listed,
    parse,
)
from director.seats import VerifyRequest
from director.types import Goal, GoalType, ImageHash, Outcome, Region, Verdict

PAPER_CONFIDENCE = 0.81
"""Verdicts of less confidence are filtered (arXiv 2512.19243); here they are unsure, never missed."""

_R = TypeVar("_R", bound=Reply)

OPTIONS = ("yes", "no", "unsure")


@dataclass(frozen=True)
class Thresholds:
    """A goal is met above its type's threshold and missed below it; no further from it than `band`, unsure."""

    default: float = 0.5
    by_type: Mapping[str, float] = field(default_factory=dict[str, float])
    band: float = 0.15

    def outcome(self, goal: Goal, score: float) -> Outcome:
        distance = round(score - self.by_type.get(goal.type, self.default), 4)
        if abs(distance) <= self.band:
            return Outcome.UNSURE
        return Outcome.MET if distance > 0 else Outcome.MISSED


_LARGE = 0.4  # a region of this share of the picture is not enlarged
_MARGIN = 0.25  # of the region's own size is shown around it


def soft(image: ImageHash, goal: Goal) -> Choice:
    """One goal, one word; lettering that has a small place is also shown enlarged."""
    if goal.absent:
        return choice("verify_soft_absent", (image,), OPTIONS, goal=described(goal))
    if goal.type == GoalType.TEXT and goal.region and goal.region.area < _LARGE:
        detail = _with_margin(goal.region)
        return choice("verify_soft_detail", (image,), OPTIONS, detail, goal=described(goal))
    return choice("verify_soft", (image,), OPTIONS, goal=described(goal))


def _with_margin(region: Region) -> Region:
    across, down = _MARGIN * (region.x1 - region.x0), _MARGIN * (region.y1 - region.y0)
    return Region(
        x0=max(0.0, region.x0 - across),
        y0=max(0.0, region.y0 - down),
        x1=min(1.0, region.x1 + across),
        y1=min(1.0, region.y1 + down),
    )


def soft_verdict(weights: Mapping[str, float], goal: Goal, thresholds: Thresholds, by: str) -> Verdict:
    """What "unsure" takes counts half for either side; when it is the likeliest word, the verdict is unsure."""
    score = round(weights["yes"] + weights["unsure"] / 2, 4)
    unsure = weights["unsure"] > max(weights["yes"], weights["no"])
    return Verdict(
        goal=goal.id,
        outcome=Outcome.UNSURE if unsure else thresholds.outcome(goal, score),
        score=score,
        confidence=max(score, 1 - score),
        evidence=", ".join(f"{word} {weights[word]:.2f}" for word in OPTIONS),
        by=by,
    )


class _Seen(Reply):
    seen: str


def explain(image: ImageHash, goals: tuple[Goal, ...]) -> Form:
    """What is seen in place of missed goals, so that the planner can say it differently."""
    return form("explain", (image,), _keyed(_Seen, goals), goals=listed(goals))


def explained(reply: str, goals: tuple[Goal, ...]) -> dict[str, str]:
    """What was seen, by goal id. Raises ReplyError."""
    return {goal: found.seen[:200] for goal, found in _parsed(_Seen, reply, goals).items()}


class _Verdict(Reply):
    seen: str
    achieved: Literal["yes", "no", "unsure"]
    confidence: Percent


def structured(request: VerifyRequest) -> Form:
    """Every goal of a picture in one question."""
    return form("verify", (request.image,), _keyed(_Verdict, request.goals), goals=listed(request.goals))


def verdicts(reply: str, request: VerifyRequest, by: str, confident: float = PAPER_CONFIDENCE) -> tuple[Verdict, ...]:
    """One verdict for each goal, in their order; below `confident` a verdict is unsure. Raises ReplyError."""
    found = _parsed(_Verdict, reply, request.goals)
    return tuple(_verdict(goal.id, found[goal.id], by, confident) for goal in request.goals)


def _verdict(goal: str, found: _Verdict, by: str, confident: float) -> Verdict:
    confidence = found.confidence / 100
    sure = found.achieved != "unsure" and confidence >= confident
    yes = confidence if found.achieved == "yes" else 1 - confidence
    outcome = (Outcome.MET if found.achieved == "yes" else Outcome.MISSED) if sure else Outcome.UNSURE
    return Verdict(
        goal=goal,
        outcome=outcome,
        score=0.5 if found.achieved == "unsure" else yes,
        confidence=confidence,
        evidence=found.seen[:200],
        by=by,
    )


def _keyed(kind: type[Reply], goals: tuple[Goal, ...]) -> dict[str, object]:
    """An object with one `kind` for each goal id: under a grammar no goal can be left out or invented."""
    entry = TypeAdapter(kind).json_schema()
    ids = [goal.id for goal in goals]
    return {
        "type": "object",
        "properties": dict.fromkeys(ids, entry),
        "required": ids,
        "additionalProperties": False,
    }


def _parsed(kind: type[_R], reply: str, goals: tuple[Goal, ...]) -> dict[str, _R]:
    """One `kind` for each goal, by its id."""
    wanted = {goal.id for goal in goals}

    def complete(found: dict[str, _R]) -> dict[str, _R]:
        missing, unknown = sorted(wanted - found.keys()), sorted(found.keys() - wanted)
        problems = [f"there is nothing on {', '.join(missing)}: answer for each goal"] if missing else []
        if unknown:
            problems.append(f"there is no goal {', '.join(unknown)}: answer for the goals asked and no others")
        if problems:
            raise ReplyError(all_of(problems))
        return found

    return parse(dict[str, kind], reply, complete)
