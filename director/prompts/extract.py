"""From a brief to goals. Code numbers the clauses and the VLM picks numbers, so no paraphrase can slip in."""

import json
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from director.prompts.clauses import Clause, clauses, split
from director.prompts.goals import MOST_CLAUSES, GoalReply, Material, by_code, read, tamed
from director.prompts.quotes import quotations
from director.prompts.skipped import HEADING
from director.prompts.vlm import Form, Reply, ReplyError, form, objects, parse
from director.seats import ExtractRequest
from director.types import MAX_GOALS, Goal


class _Goals(Reply):
    goals: list[GoalReply]


_PART = 40
"""Clauses that are asked about at once: the goals of more would not fit one reply."""

_SPARE = 4
"""Goals of a part beyond two for a clause and one for a string: a model that asks for more goes round in circles."""

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
    material = material_of(request, part)
    images = (request.brief.source,) if request.brief.source else ()
    lines = "\n".join(numbered(material))
    if continues := request.brief.continues:
        kept = "\n".join(f"{n}. {goal.wish}" for n, goal in enumerate(continues.goals, 1))
        return form("extract_change", images, _schema(material), clauses=lines, kept=kept)
    return form("extract", images, _schema(material), clauses=lines)


def material_of(request: ExtractRequest, part: range | None = None) -> Material:
    """What can be picked from a part of the brief, or from all of it."""
    brief = request.brief.text
    found = clauses(brief)
    here = {clause.id: clause for clause in found if part is None or clause.id in part}
    strings: dict[int, tuple[int, int]] = {}
    held: dict[int, list[int]] = {}
    for n, (clause, span) in enumerate(_strings(brief, found), 1):
        if clause in here:
            strings[n] = span
            held.setdefault(clause, []).append(n)
    share = max(1, MAX_GOALS * len(here) // max(1, len(found)))
    most = min(share, _SPARE + 2 * len(here) + len(strings))
    kept = [goal.id for goal in request.brief.continues.goals] if request.brief.continues else []
    return Material(brief, here, strings, held, most, len(here) == len(found), len(found) in {0, *here}, kept)


def _strings(brief: str, found: Sequence[Clause]) -> Iterator[tuple[int, tuple[int, int]]]:
    """The quotations of the brief that lie in a clause, in order, each behind the clause's number."""
    starts = [clause.start for clause in found]
    for start, end in quotations(brief):
        n = bisect(starts, start) - 1
        if n >= 0 and end <= found[n].end:
            yield found[n].id, (start, end)


def numbered(material: Material) -> Iterator[str]:
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


def _schema(material: Material) -> dict[str, Any]:
    """The reply's schema for these clauses and strings: under a grammar no other number can be picked."""
    schema = _Goals.model_json_schema()
    schema["properties"]["goals"] |= {"minItems": int(material.whole), "maxItems": material.most}
    goal = schema["$defs"]["GoalReply"]
    goal["properties"]["clauses"] |= {"maxItems": MOST_CLAUSES}
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
    if material.kept:
        goal["properties"]["replaces"]["items"] |= {"maximum": len(material.kept)}
        goal["properties"]["replaces"].pop("default", None)
        goal["required"].append("replaces")
    else:
        del goal["properties"]["replaces"]
    goal["properties"]["absent"] = {"type": "boolean"}
    goal["required"].append("absent")
    return schema


def goals(
    reply: str,
    request: ExtractRequest,
    part: range | None = None,
    before: Sequence[Goal] = (),
    repairs: Counter[str] | None = None,
) -> tuple[Goal, ...]:
    """The goals of a reply, their text cut verbatim from the brief, numbered from those `before`.

    Advisory fields that don't fit are mended, and counted in `repairs`. Raises ReplyError for what makes no sense.
    """
    material = material_of(request, part)
    found = parse(_Goals, reply).goals
    least = 1 if material.ends and not before else 0
    if not least <= len(found) <= material.most:
        raise ReplyError(f"there are {len(found)} goals: give {least} to {material.most}")
    mended = Counter[str]()
    made = read(found, material, len(before), mended)
    if repairs is not None:
        repairs.update(mended)
    return made


def salvaged(
    reply: str,
    cut: bool,
    request: ExtractRequest,
    part: range | None,
    before: Sequence[Goal],
    repairs: Counter[str],
) -> tuple[Goal, ...]:
    """What of a refused reply makes sense, mended by code. Raises ReplyError when nothing does.

    Of a reply that was cut off the whole goals count, and the clauses behind the last of them become goals by code.
    """
    material = material_of(request, part)
    mended = Counter[str]()
    kept = [goal for raw in _raw(reply, cut) for goal in tamed(raw, material, mended)]
    if not kept:
        raise ReplyError("nothing of the reply can be used")
    if cut:
        last = max(n for goal in kept for n in goal.clauses)
        missing = [n for n in material.clauses if n > last]
        kept += [goal for n in missing for goal in by_code(n, material)]
        mended["by_code"] += len(missing)
    made = read(kept, material, len(before), mended, strict=False)
    repairs.update(mended)
    return made


def _raw(reply: str, cut: bool) -> Iterator[dict[str, Any]]:
    """The goals of a reply, unread. A list that is closed in a reply that was cut off was a draft."""
    for text in objects(reply):
        found: dict[str, Any] = json.loads(text)
        if "clauses" in found:
            yield found
        elif not cut and isinstance(found.get("goals"), list):
            yield from (goal for goal in found["goals"] if isinstance(goal, dict))
