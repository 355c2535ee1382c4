"""What is said to a VLM in each seat, and how its reply becomes a value. No transport here.

A `Prompt` is a system text, picture hashes, a question behind the pictures (so that one prefix
serves all questions on a picture), and the JSON schema of the reply. A parser raises `ReplyError`,
whose message can be shown to the model when it is asked again.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from director.prompts.clauses import Clause, clauses, quotations
from director.seats import ExtractRequest, PlanRequest, SelectRequest, VerifyRequest
from director.types import (
    Action,
    ActionKind,
    Candidate,
    Goal,
    GoalType,
    ImageHash,
    Outcome,
    Region,
    Scope,
    Verdict,
)

_Type = Literal["add_object", "text", "effect", "color", "lighting", "composition"]
_Box = tuple[float, float, float, float]
_R = TypeVar("_R", bound="_Reply")


class ReplyError(ValueError):
    """The reply does not fit; the message says what to mend."""


@dataclass(frozen=True)
class Prompt:
    system: str
    images: tuple[ImageHash, ...]
    question: str
    schema: dict[str, Any]


class _Reply(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _GoalReply(_Reply):
    clauses: list[int] = Field(min_length=1)
    type: _Type
    scope: Scope
    region: _Box | None
    parents: list[int]
    conflicts: list[int]
    must_have: bool
    feasibility: float = Field(ge=0, le=1)


class _ExtractReply(_Reply):
    goals: list[_GoalReply] = Field(min_length=1)


class _PlanReply(_Reply):
    instruction: str = Field(min_length=1)
    region: _Box | None


class _SelectReply(_Reply):
    best: int
    scores: list[float]
    why: str


class _VerdictReply(_Reply):
    goal: str
    achieved: Literal["yes", "no", "unsure"]
    confidence: float = Field(ge=0, le=1)
    seen: str


class _VerifyReply(_Reply):
    verdicts: list[_VerdictReply]


def extract_prompt(request: ExtractRequest) -> Prompt:
    """Numbered clauses in, clause numbers out: no paraphrase of the brief can slip in."""
    numbered = "\n".join(f"{clause.id}. {clause.text}" for clause in clauses(request.brief.text))
    images = (request.brief.source,) if request.brief.source else ()
    return _prompt("extract", images, _ExtractReply, clauses=numbered)


def parse_goals(reply: str, request: ExtractRequest) -> tuple[Goal, ...]:
    """The goals of an extraction, their text cut verbatim from the brief, in the brief's order."""
    numbered = {clause.id: clause for clause in clauses(request.brief.text)}
    found = _parse(_ExtractReply, reply).goals
    ids = [f"g{n:02d}" for n in range(1, len(found) + 1)]
    return tuple(_goal(ids[n], goal, ids, numbered, request.brief.text) for n, goal in enumerate(found))


def _goal(own: str, reply: _GoalReply, ids: Sequence[str], numbered: dict[int, Clause], brief: str) -> Goal:
    wanted = sorted(set(reply.clauses))
    if unknown := [n for n in wanted if n not in numbered]:
        raise ReplyError(f"there is no clause {unknown[0]}; the clauses are 1 to {len(numbered)}")
    if wanted[-1] - wanted[0] + 1 != len(wanted):
        raise ReplyError(f"the clauses {wanted} are not neighbours: make them separate goals")
    text = brief[numbered[wanted[0]].start : numbered[wanted[-1]].end]
    if len(text) > 1000:
        raise ReplyError(f"the clauses {wanted} are too long for one goal: split them")
    spans = quotations(text) if reply.type == GoalType.TEXT else ()
    return Goal(
        id=own,
        text=text,
        type=reply.type,
        scope=reply.scope,
        string=text[slice(*spans[0])][:200] if spans else None,
        region=_region(reply.region),
        parents=tuple(_named(n, ids, own) for n in reply.parents),
        conflicts=tuple(_named(n, ids, own) for n in reply.conflicts),
        must_have=reply.must_have,
        feasibility=reply.feasibility,
    )


def _named(position: int, ids: Sequence[str], own: str) -> str:
    if not 1 <= position <= len(ids) or ids[position - 1] == own:
        raise ReplyError(f"goal {own} names goal {position}: name other goals by their place, 1 to {len(ids)}")
    return ids[position - 1]


def plan_prompt(request: PlanRequest) -> Prompt:
    """The next instruction, from what is wanted, what is kept and what failed."""
    verb = {ActionKind.GENERATE: "draw a new picture", ActionKind.EDIT: "edit the picture above"}[request.action]
    failed = [f"{failure.instruction} -> {'; '.join(failure.evidence)}" for failure in request.failures]
    return _prompt(
        "plan",
        (request.base,) if request.base else (),
        _PlanReply,
        action=verb,
        targets=_listed(request.targets),
        kept=_listed(request.kept),
        failures="\n".join(failed) or "nothing",
    )


def parse_action(reply: str, request: PlanRequest) -> Action:
    """The action of a plan. Every string to be set must stand in the instruction, letter for letter."""
    found = _parse(_PlanReply, reply)
    for goal in request.targets:
        if goal.string and goal.string not in found.instruction:
            raise ReplyError(f"the instruction must quote {goal.string!r} exactly")
    confined = request.masks and request.base is not None and not request.whole
    return Action(
        kind=request.action,
        instruction=found.instruction,
        targets=tuple(goal.id for goal in request.targets),
        region=_region(found.region) if confined else None,
    )


def select_prompt(request: SelectRequest) -> Prompt:
    """All candidates in one listwise question."""
    images = tuple(candidate.image for candidate in request.candidates)
    return _prompt("select", images, _SelectReply, count=str(len(images)), goals=_listed(request.goals))


def parse_selection(reply: str, request: SelectRequest) -> tuple[Candidate, tuple[float, ...], str]:
    """The winner, the scores in the candidates' order, and why."""
    found, count = _parse(_SelectReply, reply), len(request.candidates)
    if not 1 <= found.best <= count or len(found.scores) != count:
        raise ReplyError(f"there are {count} candidates: give {count} scores and a best from 1 to {count}")
    return request.candidates[found.best - 1], tuple(min(1.0, max(0.0, s)) for s in found.scores), found.why[:300]


def verify_prompt(request: VerifyRequest) -> Prompt:
    """Every goal of a picture in one question, behind the picture."""
    return _prompt("verify", (request.image,), _VerifyReply, goals=_listed(request.goals))


def parse_verdicts(reply: str, request: VerifyRequest, by: str, confident: float = 0.81) -> tuple[Verdict, ...]:
    """Verdicts in the order of the goals; below `confident` (the paper's filter) a verdict is unsure."""
    found = {verdict.goal: verdict for verdict in _parse(_VerifyReply, reply).verdicts}
    if missing := [goal.id for goal in request.goals if goal.id not in found]:
        raise ReplyError(f"there is no verdict on {missing[0]}: give one for each goal")
    return tuple(_verdict(found[goal.id], by, confident) for goal in request.goals)


def _verdict(found: _VerdictReply, by: str, confident: float) -> Verdict:
    sure = found.achieved != "unsure" and found.confidence >= confident
    yes = found.confidence if found.achieved == "yes" else 1 - found.confidence
    outcome = (Outcome.MET if found.achieved == "yes" else Outcome.MISSED) if sure else Outcome.UNSURE
    return Verdict(
        goal=found.goal,
        outcome=outcome,
        score=0.5 if found.achieved == "unsure" else yes,
        confidence=found.confidence,
        evidence=found.seen[:300],
        by=by,
    )


def _prompt(name: str, images: tuple[ImageHash, ...], reply: type[_Reply], **quoted: str) -> Prompt:
    safe = {key: value.replace("<<<", "‹‹‹").replace(">>>", "›››") for key, value in quoted.items()}
    return Prompt(
        system=_template("system").template,
        images=images,
        question=_template(name).substitute(safe),
        schema=reply.model_json_schema(),
    )


@cache
def _template(name: str) -> Template:
    return Template((files("director.prompts") / "templates" / f"{name}.txt").read_text(encoding="utf-8"))


def _listed(goals: Sequence[Goal]) -> str:
    return "\n".join(f"{goal.id} ({goal.type}): {goal.text}" for goal in goals) or "nothing"


def _region(box: _Box | None) -> Region | None:
    if box is None:
        return None
    try:
        return Region(x0=box[0], y0=box[1], x1=box[2], y1=box[3])
    except ValidationError as error:
        raise ReplyError(f"{list(box)} is no region: fractions with left < right and top < bottom") from error


def _parse(kind: type[_R], reply: str) -> _R:
    try:
        return kind.model_validate_json(_object(reply))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ReplyError(f"{where or 'the reply'}: {first['msg']}") from error


def _object(reply: str) -> str:
    """The JSON object inside a reply: models put fences and words around it."""
    start, end = reply.find("{"), reply.rfind("}")
    return reply[start : end + 1] if 0 <= start < end else json.dumps(reply)
