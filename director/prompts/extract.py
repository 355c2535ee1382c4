"""From a brief to goals. Code numbers the clauses and the VLM picks numbers, so no paraphrase can slip in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from director.prompts.clauses import MAX_CLAUSE, Clause, clauses, split
from director.prompts.quotes import quotations
from director.prompts.skipped import HEADING
from director.prompts.vlm import Box, Form, Percent, Reply, ReplyError, form, parse, region_of
from director.seats import ExtractRequest
from director.types import MAX_GOALS, Goal, GoalType, Scope

_Position = Annotated[int, Field(ge=1, le=MAX_GOALS)]


class _Goal(Reply):
    clauses: Annotated[list[int], Field(min_length=1, max_length=8)]
    type: Literal["add_object", "text", "effect", "color", "lighting", "composition"]
    string: Annotated[int, Field(ge=1)] | None = None
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
    brief = request.brief.text
    images = (request.brief.source,) if request.brief.source else ()
    strings = _strings(brief)
    schema = _schema(len(clauses(brief)), len(strings))
    return form("extract", images, schema, clauses="\n".join(_numbered(brief, strings)))


def _strings(brief: str) -> tuple[tuple[int, int], ...]:
    """The quotations of the brief that lie in a clause, in order: the first is string 1."""
    found = clauses(brief)
    return tuple(span for span in quotations(brief) if any(_inside(span, c.start, c.end) for c in found))


def _inside(span: tuple[int, int], start: int, end: int) -> bool:
    return start <= span[0] and span[1] <= end


def _numbered(brief: str, strings: Sequence[tuple[int, int]]) -> Iterator[str]:
    """A line for each clause and each heading; the strings of a clause are numbered through the whole brief."""
    for clause in split(brief):
        if clause.skipped == HEADING:
            yield f"[{clause.text}]"
        elif not clause.skipped:
            yield f"{clause.id}. {clause.text}"
            for n, (start, end) in enumerate(strings, 1):
                if _inside((start, end), clause.start, clause.end):
                    yield f"   string {n}: {brief[start:end]}"


def _schema(count: int, strings: int) -> dict[str, Any]:
    """The reply's schema for a brief of so many clauses and strings: under a grammar no other number can be picked."""
    schema = _Goals.model_json_schema()
    goal = schema["$defs"]["_Goal"]
    goal["properties"]["clauses"]["items"] |= {"minimum": 1, "maximum": count}
    if strings:
        goal["properties"]["string"] = {
            "anyOf": [{"type": "integer", "minimum": 1, "maximum": strings}, {"type": "null"}]
        }
        goal["required"].append("string")
    else:
        del goal["properties"]["string"]
    return schema


def goals(reply: str, request: ExtractRequest) -> tuple[Goal, ...]:
    """The goals of a reply, their text cut verbatim from the brief. Raises ReplyError."""
    brief = request.brief.text
    numbered = {clause.id: clause for clause in clauses(brief)}
    strings = _strings(brief)
    found = parse(_Goals, reply).goals
    ids = [f"g{n:02d}" for n in range(1, len(found) + 1)]
    cut = tuple(
        _goal(own, goal, ids, _Material(brief, numbered, strings)) for own, goal in zip(ids, found, strict=True)
    )
    _expect_order(cut)
    return cut


@dataclass(frozen=True)
class _Material:
    """What a reply's numbers stand for."""

    brief: str
    clauses: Mapping[int, Clause]
    strings: Sequence[tuple[int, int]]


def _goal(own: str, reply: _Goal, ids: Sequence[str], material: _Material) -> Goal:
    start, end = _span(sorted(set(reply.clauses)), material.clauses)
    return Goal(
        id=own,
        text=material.brief[start:end],
        type=reply.type,
        scope=reply.scope,
        string=_string(reply, (start, end), material),
        count=reply.count,
        region=region_of(reply.region),
        parents=tuple(_named(n, ids, own) for n in reply.parents),
        conflicts=tuple(_named(n, ids, own) for n in reply.conflicts),
        must_have=reply.must_have,
        feasibility=reply.feasibility / 100,
    )


def _span(wanted: Sequence[int], numbered: Mapping[int, Clause]) -> tuple[int, int]:
    if unknown := [n for n in wanted if n not in numbered]:
        raise ReplyError(f"there is no clause {unknown[0]}; the clauses are 1 to {len(numbered)}")
    if wanted[-1] - wanted[0] + 1 != len(wanted):
        raise ReplyError(f"the clauses {wanted} are not neighbours: make them separate goals")
    start, end = numbered[wanted[0]].start, numbered[wanted[-1]].end
    if end - start > MAX_CLAUSE:
        raise ReplyError(f"the clauses {wanted} are too long for one goal: split them")
    return start, end


def _string(reply: _Goal, span: tuple[int, int], material: _Material) -> str | None:
    """The exact string of a text goal: the one that it names, or the only one that its clauses hold."""
    if reply.type != GoalType.TEXT:
        return None
    held = [n for n, string in enumerate(material.strings, 1) if _inside(string, *span)]
    if reply.string is not None and reply.string not in held:
        choice = f"name one of {held}" if held else "they hold none: give null"
        raise ReplyError(f"string {reply.string} is not in the clauses {reply.clauses}: {choice}")
    if reply.string is None and len(held) > 1:
        raise ReplyError(f"the clauses {reply.clauses} hold the strings {held}: name one, and make a goal for each")
    chosen = reply.string or (held[0] if held else None)
    return material.brief[slice(*material.strings[chosen - 1])][:200] if chosen else None


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
