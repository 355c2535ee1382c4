"""From a brief to goals. Code numbers the clauses and the VLM picks numbers, so no paraphrase can slip in."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from director.prompts.clauses import Clause, clauses, quotations
from director.prompts.vlm import Box, Form, Percent, Reply, ReplyError, form, parse, region_of
from director.seats import ExtractRequest
from director.types import MAX_GOALS, Goal, GoalType, Scope

_Position = Annotated[int, Field(ge=1, le=MAX_GOALS)]


class _Goal(Reply):
    clauses: Annotated[list[int], Field(min_length=1, max_length=8)]
    type: Literal["add_object", "text", "effect", "color", "lighting", "composition"]
    scope: Scope
    region: Box | None
    count: Annotated[int, Field(ge=0, le=100)] | None
    parents: Annotated[list[_Position], Field(max_length=8)]
    conflicts: Annotated[list[_Position], Field(max_length=8)]
    must_have: bool
    feasibility: Percent


class _Goals(Reply):
    goals: Annotated[list[_Goal], Field(min_length=1, max_length=MAX_GOALS)]


def prompt(request: ExtractRequest) -> Form:
    """The brief as numbered clauses, behind its source picture if it has one."""
    found = clauses(request.brief.text)
    images = (request.brief.source,) if request.brief.source else ()
    numbered = "\n".join(f"{clause.id}. {clause.text}" for clause in found)
    return form("extract", images, _schema(len(found)), clauses=numbered)


def _schema(count: int) -> dict[str, Any]:
    """The reply's schema for a brief of `count` clauses: under a grammar no other number can be picked."""
    schema = _Goals.model_json_schema()
    schema["$defs"]["_Goal"]["properties"]["clauses"]["items"] |= {"minimum": 1, "maximum": count}
    return schema


def goals(reply: str, request: ExtractRequest) -> tuple[Goal, ...]:
    """The goals of a reply, their text cut verbatim from the brief. Raises ReplyError."""
    brief = request.brief.text
    numbered = {clause.id: clause for clause in clauses(brief)}
    found = parse(_Goals, reply).goals
    ids = [f"g{n:02d}" for n in range(1, len(found) + 1)]
    cut = tuple(_goal(own, goal, ids, numbered, brief) for own, goal in zip(ids, found, strict=True))
    _expect_order(cut)
    return cut


def _goal(own: str, reply: _Goal, ids: Sequence[str], numbered: dict[int, Clause], brief: str) -> Goal:
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
        count=reply.count,
        region=region_of(reply.region),
        parents=tuple(_named(n, ids, own) for n in reply.parents),
        conflicts=tuple(_named(n, ids, own) for n in reply.conflicts),
        must_have=reply.must_have,
        feasibility=reply.feasibility / 100,
    )


def _named(position: int, ids: Sequence[str], own: str) -> str:
    if position > len(ids) or ids[position - 1] == own:
        raise ReplyError(f"goal {own} names goal {position}: name other goals by their place, 1 to {len(ids)}")
    return ids[position - 1]


def _expect_order(found: Sequence[Goal]) -> None:
    """Goals that wait for each other in a circle would never be tried."""
    waiting = {goal.id: set(goal.parents) for goal in found}
    while free := [own for own, parents in waiting.items() if not parents & waiting.keys()]:
        for own in free:
            del waiting[own]
    if waiting:
        raise ReplyError(f"the parents of {', '.join(sorted(waiting))} form a circle: drop one of them")
