"""The sketch's planner: clauses that ask for something become goals; goals become instructions."""

import re
from collections.abc import Iterator
from functools import cache, reduce
from itertools import pairwise

from director.errors import BriefError
from director.prompts.absence import alone, items, only_mentions, parts, points_back, worded
from director.prompts.clauses import Clause, clauses
from director.prompts.headlines import insisted
from director.prompts.quotes import quotations, quotes
from director.seats import Context, ExtractRequest, PlanRequest
from director.types import MAX_GOALS, Action, ActionKind, Brief, Extracted, Goal, GoalType, Planned, Region, Scope
from worker.sketch.language import parse, region_of
from worker.sketch.lexicon import lexicon
from worker.sketch.strings import masked, strings

_BY = "sketch-planner"


class SketchPlanner:
    """Finds goals by lexicon and words instructions in plain sentences that the sketch editor parses."""

    def extract(self, request: ExtractRequest, context: Context) -> Extracted:
        context.check()
        goals = extracted(request.brief)
        if not goals:
            raise BriefError(
                "the sketch finds nothing in the brief that asks for something to be seen",
                "name things, strings, colours, light or effects, such as: Add a red kite on the left",
                "text",
            )
        if continues := request.brief.continues:
            goals = tuple(_against(goal, continues.goals) for goal in goals)
        context.progress("sketch reads the brief", len(goals), len(goals))
        return Extracted(goals=goals, by=_BY)

    def plan(self, request: PlanRequest, context: Context) -> Planned:
        context.check()
        attempt = sum(bool({g.id for g in request.targets} & set(f.goals)) for f in request.failures)
        lines = [_worded(goal, attempt, request.action) for goal in request.targets]
        opening = _OPENINGS[attempt % len(_OPENINGS)] if request.action is ActionKind.GENERATE and request.whole else ""
        action = Action(
            kind=request.action,
            instruction="\n".join([opening, *lines]).strip()[:19_000],
            targets=tuple(goal.id for goal in request.targets),
            region=_mask(request),
        )
        return Planned(action=action, base=request.base, by=_BY)


# --- extract ------------------------------------------------------------------------------------


def extracted(brief: Brief) -> tuple[Goal, ...]:
    """Every clause that asks for something or rules it out, as it stands in the brief, with its type."""
    goals: list[Goal] = []
    for text, absent in _wishes(brief.text):
        kind = type_of(text) or (GoalType.ADD_OBJECT if absent else None)
        if kind and len(goals) < MAX_GOALS:
            goals.append(_goal(f"g{len(goals) + 1:02d}", text, kind, goals, absent))
    return _conflicted(insisted(goals))


def _wishes(brief: str) -> Iterator[tuple[str, bool]]:
    """What may become a goal, and whether it must be absent; what is only mentioned asks for nothing."""
    found = [*_joined(brief)]
    for n, clause in enumerate(found):
        words = masked(clause.text)
        taken_back = bool(strings(clause.text)) and any(points_back(masked(c.text)) for c in found[n + 1 : n + 2])
        asks = not only_mentions(words)
        for start, end, negative in parts(clause.text, words):
            text, absent = clause.text[start:end].strip(" ,;:，、；：،"), negative or (taken_back and not asks)
            if _rules_out(text) if absent else asks:
                yield from ((piece, absent) for piece in _pieces(text))


def _joined(brief: str) -> Iterator[Clause]:
    """The clauses; a string to set that goes on behind a comma is whole again ("goes One apple, two maps")."""
    held: Clause | None = None
    for clause in clauses(brief):
        if held and _goes_on(brief, held, clause):
            held = Clause(held.id, brief[held.start : clause.end], held.start, clause.end)
            continue
        if held:
            yield held
        held = clause
    if held:
        yield held


def _goes_on(brief: str, held: Clause, clause: Clause) -> bool:
    said = strings(held.text)
    open_end = bool(said) and said[-1][1] == len(held.text) and not quotations(held.text)
    between = brief[held.end : clause.start]
    words = said[-1][0].split() if said else []
    prose = len(words) >= 3 and words[-1].islower()
    return open_end and prose and between in (", ", " ") and type_of(clause.text) is None and not _leads_on(clause.text)


def _leads_on(text: str) -> bool:
    """The clause says more of the picture: a place, or how something is set."""
    return bool(re.match(r"(?:in|on|at|under|below|above|with|set|as|so|while)\b", text)) or region_of(text) is not None


def _rules_out(text: str) -> bool:
    """It names something that could be seen, and not only a mood or what was spoken of before."""
    says = bool(strings(text)) or not points_back(text)
    return says and any(not _cue("abstract").search(item) for item in items(text))


def _pieces(text: str) -> list[str]:
    """A clause, cut so that no piece holds two strings to set, nor a wish of another kind in front of a colon."""
    if headed := _headed(text):
        return headed
    if alone(text):
        return [text]  # each of its strings is among all that may be lettered
    marks = quotes(text)
    gaps = [(end, len(text)) for _, end in strings(text)[:-1]]
    if marks:
        gaps = [(one.closes, other.opens) for one, other in pairwise(marks)]
    edges = [0]
    for end, following in gaps:
        found = re.search(r"[,;，、；،]| and | with ", text[end:following])
        edges.append(end + found.end() if found else end)
    pieces = [text[start:end].strip(" ,;，、；،") for start, end in pairwise([*edges, len(text)])]
    return [piece for piece in pieces if piece]


def _headed(text: str) -> list[str]:
    """The pieces of a clause with a wish of another kind, or what only opens a brief, in front of a colon; or none."""
    if found := _HEAD.match(text):
        head, rest = found[1], text[found.end() :]
        if strings(rest) and not strings(head) and type_of(head) not in (None, GoalType.ADD_OBJECT):
            return [head, *_pieces(rest)]
    opener, colon, rest = text.partition(": ")
    opens = bool(colon) and bool(_cue("opener").search(opener)) and not quotations(opener)
    # "An ad for our lemonade: a bottle with two lemons beside it"
    return _pieces(rest) if opens and type_of(rest) and not strings(rest) else []


_HEAD = re.compile(r"((?:[^\s:]+\s+){4,}[^\s:]+):\s+")


def _goal(name: str, text: str, kind: GoalType, before: list[Goal], absent: bool) -> Goal:
    drawables = parse(text)
    said = strings(text)
    anchors = {d.anchor for d in drawables if d.anchor and not absent}
    parents = tuple(g.id for g in before if anchors & _things(g))[:3]
    region = next((d.region for d in drawables if d.region), None) or region_of(masked(text))
    return Goal(
        id=name,
        text=text,
        type=kind,
        scope=_scope(kind, text),
        string=said[0][0] if kind is GoalType.TEXT and said else None,
        absent=absent,
        region=region,
        parents=parents,
        feasibility=0.35 if not (drawables or absent) else 0.6 if kind is GoalType.TEXT else 0.7,
    )


def _things(goal: Goal) -> set[str]:
    """What it puts into the picture."""
    return {d.name for d in parse(goal.text) if d.kind == "thing" and not goal.absent}


def _scope(kind: GoalType, text: str) -> Scope:
    if kind in (GoalType.TEXT, GoalType.COMPOSITION):
        return Scope.TEXT if kind is GoalType.TEXT else Scope.LAYOUT
    local = any(d.anchor or d.kind == "thing" or d.name == "of" for d in parse(text)) or kind is GoalType.ADD_OBJECT
    return Scope.LOCAL if local else Scope.GLOBAL


_WEIGHTS = {GoalType.LIGHTING: 1.2, GoalType.EFFECT: 1.3, GoalType.COLOR: 1.25, GoalType.COMPOSITION: 1.2}


_DRAWN = {
    "effect": GoalType.EFFECT,
    "light": GoalType.LIGHTING,
    "colour": GoalType.COLOR,
    "layout": GoalType.COMPOSITION,
}


@cache
def _cue(name: str) -> re.Pattern[str]:
    return re.compile(lexicon("cues")["types"][name], re.IGNORECASE)


def type_of(text: str) -> GoalType | None:
    """What a clause asks for, or None when it asks for nothing that could be seen."""
    if strings(text):
        return GoalType.TEXT
    scores = {kind: weight * len(_cue(kind.value).findall(text)) for kind, weight in _WEIGHTS.items()}
    drawables = parse(text)
    things = [d for d in drawables if d.kind == "thing" and d.name != "steam"]
    present = bool(_cue("present").search(text))
    scores[GoalType.ADD_OBJECT] = 1.22 * len(things[:2]) + (1.0 if present else 0.0)
    if any(d.name == "of" for d in drawables):
        scores[GoalType.COLOR] += 1.5
    if any(d.kind == "layout" for d in drawables):
        scores[GoalType.COMPOSITION] += 1.3
    for drawable in drawables:
        # No cue names it, and still it can be drawn: "a thin dark frame around the picture".
        if kind := _DRAWN.get(drawable.kind):
            scores[kind] = max(scores[kind], 1.0)
    best = max(scores, key=lambda kind: scores[kind])
    return None if scores[best] < 1 or _idle(text, best, scores[best], bool(drawables)) else best


def _idle(text: str, kind: GoalType, score: float, drawn: bool) -> bool:
    """Talk about the job or the mood rather than about the picture."""
    about_job = bool(_cue("artefact").search(text)) and not drawn and kind is GoalType.ADD_OBJECT
    return bool(_cue("opener").search(text)) or (score < 2.6 and (bool(_cue("mood").search(text)) or about_job))


_OPPOSED = {"dark", "bright"}


def _conflicted(goals: tuple[Goal, ...]) -> tuple[Goal, ...]:
    """Marks goals that rule each other out: night and high key."""
    asked = {goal.id: parse(goal.text) if not goal.absent else () for goal in goals}
    sides = {own: _OPPOSED & {d.name for d in each if d.kind in ("light", "colour")} for own, each in asked.items()}

    def against(a: Goal, b: Goal) -> bool:
        one, other = sides[a.id], sides[b.id]
        return a.id != b.id and len(one) == 1 and bool(other) and one | other == _OPPOSED

    return tuple(
        goal.model_copy(update={"conflicts": tuple(o.id for o in goals if against(goal, o))}) for goal in goals
    )


def _against(goal: Goal, kept: tuple[Goal, ...]) -> Goal:
    """With the goals of the picture, of the same thing or the same words, that it takes the place of."""
    subjects = _subjects(goal)
    same = tuple(other.id for other in kept if subjects & _subjects(other) or _recolours(goal, other))
    return goal.model_copy(update={"conflicts": (*goal.conflicts, *same)})


def _subjects(goal: Goal) -> set[tuple[str, str, str]]:
    """What its drawables are, and what they are said of: the colour of a boat is not that of a lamp."""
    return {(d.kind, d.string or d.name, d.anchor if d.name in ("of", "place") else "") for d in parse(goal.text)}


def _recolours(goal: Goal, other: Goal) -> bool:
    """Whether it gives another colour to a thing that the other one asks for."""
    new = {d.anchor: d.colours for d in parse(goal.text) if (d.kind, d.name) == ("colour", "of")}
    things = (d for d in parse(other.text) if d.kind == "thing" and d.colours)
    return any(thing.colours != new.get(thing.name, thing.colours) for thing in things)


# --- plan ---------------------------------------------------------------------------------------

_OPENINGS = (
    "A designer's comp, cleanly composed:",
    "One clear comp, everything in its place:",
    "A calm comp; show exactly this:",
)
_AGAIN = ("", ", clearly visible", ", exactly as said", ", plain to see")
_AGAIN_GONE = ("", ", all of it", ", entirely", ", wherever it stands")
_LEADS = ("Add", "Place", "Put", "Draw")


def _worded(goal: Goal, attempt: int, action: ActionKind) -> str:
    """A goal as one plain sentence; other words on every attempt, its string always in quotation marks."""
    text = goal.text.strip().rstrip(".;,")
    if goal.absent:
        text = worded(goal, edit=action is ActionKind.EDIT)
    elif goal.string:
        if goal.string not in (text[start:end] for start, end in quotations(text)):
            mark = '"' if "'" in goal.string else "'"
            text = text.replace(goal.string, f"{mark}{goal.string}{mark}", 1)
        verb = ("Set the text", "Letter the words", "Write the line", "Typeset")[attempt % 4]
        lead = r"^(?:include|add|set|put)(?: the)?(?: text| words| line)? (?=['\"“])"
        text = re.sub(lead, f"{verb} ", text, flags=re.IGNORECASE)
    elif goal.type == GoalType.ADD_OBJECT.value:
        text = re.sub(r"^(?:add|place|put|draw)\b", _LEADS[attempt % 4], text, flags=re.IGNORECASE)
    if attempt:
        text += (_AGAIN_GONE if goal.absent else _AGAIN)[attempt % 4]
    return f"{text}."


_MARGIN = 0.12


def _mask(request: PlanRequest) -> Region | None:
    """A generous box around local targets; None when a target is global, unplaced or most of the picture."""
    if not request.masks or request.whole or not request.base:
        return None
    regions = [goal.region for goal in request.targets if goal.scope in (Scope.LOCAL, Scope.TEXT)]
    if len(regions) < len(request.targets) or any(region is None for region in regions):
        return None
    box = reduce(Region.union, [region for region in regions if region])
    x0, y0 = max(0.0, box.x0 - _MARGIN), max(0.0, box.y0 - _MARGIN)
    grown = Region(x0=x0, y0=y0, x1=min(1.0, box.x1 + _MARGIN), y1=min(1.0, box.y1 + _MARGIN))
    return grown if grown.area < 0.7 else None
