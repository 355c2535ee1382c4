"""From a brief to goals. Code numbers the clauses and the VLM picks numbers, so no paraphrase can slip in."""

from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field

from director.prompts.absence import forbids
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
    absent: bool | None = None
    scope: Scope
    region: Box | None
    count: Annotated[int, Field(ge=0, le=100)] | None
    parents: Annotated[list[_Position], Field(max_length=8)]
    conflicts: Annotated[list[_Position], Field(max_length=8)]
    must_have: bool
    feasibility: Percent


class _Goals(Reply):
    goals: Annotated[list[_Goal], Field(max_length=MAX_GOALS)]


_PART = 40
"""Clauses that are asked about at once: the goals of more would not fit one reply."""

_PARTS = 4
"""More are not needed: each part has its share of MAX_GOALS, and a quarter of them fits."""


def parts(request: ExtractRequest) -> tuple[range, ...]:
    """The numbers of the clauses, in parts of about equal size that are asked about one after the other."""
    count = len(clauses(request.brief.text))
    wanted = min(max(1, -(-count // _PART)), _PARTS)
    edges = [1 + count * n // wanted for n in range(wanted + 1)]
    return tuple(range(first, behind) for first, behind in pairwise(edges))


def prompt(request: ExtractRequest, part: range | None = None) -> Form:
    """A part of the brief, or all of it, as numbered clauses, behind its source picture if it has one."""
    material = _material(request, part)
    images = (request.brief.source,) if request.brief.source else ()
    return form("extract", images, _schema(material), clauses="\n".join(_numbered(material)))


@dataclass(frozen=True)
class _Material:
    """What a reply's numbers stand for: clauses and strings, numbered through the whole brief."""

    brief: str
    clauses: Mapping[int, Clause]
    strings: Mapping[int, tuple[int, int]]
    held: Mapping[int, Sequence[int]]
    """The numbers of the strings in a clause, by its number."""
    most: int
    """Goals of these clauses: a part has its share of all, and may have none."""
    whole: bool
    ends: bool
    """The brief's last clause is here."""


def _material(request: ExtractRequest, part: range | None) -> _Material:
    brief = request.brief.text
    found = clauses(brief)
    here = {clause.id: clause for clause in found if part is None or clause.id in part}
    strings: dict[int, tuple[int, int]] = {}
    held: dict[int, list[int]] = {}
    for n, (clause, span) in enumerate(_strings(brief, found), 1):
        if clause in here:
            strings[n] = span
            held.setdefault(clause, []).append(n)
    most = max(1, MAX_GOALS * len(here) // max(1, len(found)))
    return _Material(brief, here, strings, held, most, len(here) == len(found), len(found) in {0, *here})


def _strings(brief: str, found: Sequence[Clause]) -> Iterator[tuple[int, tuple[int, int]]]:
    """The quotations of the brief that lie in a clause, in order, each behind the clause's number."""
    starts = [clause.start for clause in found]
    for start, end in quotations(brief):
        n = bisect(starts, start) - 1
        if n >= 0 and end <= found[n].end:
            yield found[n].id, (start, end)


def _numbered(material: _Material) -> Iterator[str]:
    """A line for each clause, with its strings below it, and for each heading that the clauses stand under."""
    headings: list[str] = []
    below = False
    for clause in split(material.brief):
        if clause.skipped == HEADING:
            headings = [*([] if below else headings), f"[{clause.text}]"]
            below = False
        elif not clause.skipped:
            below = True
        if clause.id in material.clauses:
            yield from headings
            headings = []
            yield f"{clause.id}. {clause.text}"
            for n in material.held.get(clause.id, ()):
                yield f"   string {n}: {material.brief[slice(*material.strings[n])]}"


def _schema(material: _Material) -> dict[str, Any]:
    """The reply's schema for these clauses and strings: under a grammar no other number can be picked."""
    schema = _Goals.model_json_schema()
    schema["properties"]["goals"] |= {"minItems": int(material.whole), "maxItems": material.most}
    goal = schema["$defs"]["_Goal"]
    goal["properties"]["clauses"]["items"] |= {
        "minimum": min(material.clauses, default=1),
        "maximum": max(material.clauses, default=0),
    }
    if material.strings:
        bounds = {"minimum": min(material.strings), "maximum": max(material.strings)}
        goal["properties"]["string"] = {"anyOf": [{"type": "integer", **bounds}, {"type": "null"}]}
        goal["required"].append("string")
    else:
        del goal["properties"]["string"]
    goal["properties"]["absent"] = {"type": "boolean"}
    goal["required"].append("absent")
    return schema


def goals(
    reply: str, request: ExtractRequest, part: range | None = None, before: Sequence[Goal] = ()
) -> tuple[Goal, ...]:
    """The goals of a reply, their text cut verbatim from the brief, numbered from those `before`. Raises ReplyError."""
    material = _material(request, part)
    found = parse(_Goals, reply).goals
    least = 1 if material.ends and not before else 0
    if not least <= len(found) <= material.most:
        raise ReplyError(f"there are {len(found)} goals: give {least} to {material.most}")
    ids = [f"g{len(before) + n:02d}" for n in range(1, len(found) + 1)]
    cut = tuple(_goal(own, goal, ids, material) for own, goal in zip(ids, found, strict=True))
    _expect_order(cut)
    return cut


def _goal(own: str, reply: _Goal, ids: Sequence[str], material: _Material) -> Goal:
    start, end = _span(sorted(set(reply.clauses)), material.clauses)
    text = material.brief[start:end]
    absent = forbids(text) if reply.absent is None else reply.absent
    return Goal(
        id=own,
        text=text,
        type=reply.type,
        scope=reply.scope,
        string=_string(reply, material),
        count=None if absent else reply.count,
        absent=absent,
        region=region_of(reply.region),
        parents=tuple(_named(n, ids, own) for n in reply.parents),
        conflicts=tuple(_named(n, ids, own) for n in reply.conflicts),
        must_have=reply.must_have,
        feasibility=reply.feasibility / 100,
    )


def _span(wanted: Sequence[int], numbered: Mapping[int, Clause]) -> tuple[int, int]:
    if unknown := [n for n in wanted if n not in numbered]:
        raise ReplyError(
            f"there is no clause {unknown[0]}; the clauses are {min(numbered, default=1)} to {max(numbered, default=0)}"
        )
    if wanted[-1] - wanted[0] + 1 != len(wanted):
        raise ReplyError(f"the clauses {wanted} are not neighbours: make them separate goals")
    start, end = numbered[wanted[0]].start, numbered[wanted[-1]].end
    if end - start > MAX_CLAUSE:
        raise ReplyError(f"the clauses {wanted} are too long for one goal: split them")
    return start, end


def _string(reply: _Goal, material: _Material) -> str | None:
    """The exact string of a text goal: the one that it names, or the only one that its clauses hold."""
    if reply.type != GoalType.TEXT:
        return None
    held = [n for clause in sorted(set(reply.clauses)) for n in material.held.get(clause, ())]
    if reply.string is not None and reply.string not in held:
        choice = f"name one of {held}" if held else "they hold none: give null"
        raise ReplyError(f"string {reply.string} is not in the clauses {reply.clauses}: {choice}")
    if reply.string is None and len(held) > 1:
        raise ReplyError(f"the clauses {reply.clauses} hold the strings {held}: name one, and make a goal for each")
    chosen = reply.string or (held[0] if held else None)
    return material.brief[slice(*material.strings[chosen])][:200] if chosen else None


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
