"""A model's goals, made into goals of the brief: what is only advice is mended, what makes no sense is refused.

Strict reading names all that is wrong at once. Of a reply that stays wrong, the other reading keeps what it can.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationError, WithJsonSchema

from director.kinds import SCOPES
from director.prompts.absence import forbids
from director.prompts.clauses import Clause
from director.prompts.headlines import insisted
from director.prompts.vlm import Box, Percent, Reply, ReplyError, all_of, region_of
from director.types import MAX_GOALS, Goal, GoalId, GoalType, Region, Scope

MOST_CLAUSES = 4
"""Of one goal: what more sentences ask for is more than one thing."""
_LONGEST = 400
"""Characters of a goal of several clauses. One clause may be longer: the model can't choose less."""
_WHOLE = 3
"""A brief of so many clauses is not one goal."""
_TWICE = 2
"""Goals that are the same; a model that writes more goes round in a circle."""
_OFTEN = 3
"""Goals that name one clause, beside one for each of its strings."""

# A grammar holds it to the positions that there may be; else `_known` drops what is none.
_Position = Annotated[int, WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_GOALS})]
_Positions = Annotated[list[_Position], Field(json_schema_extra={"maxItems": 8})]


class GoalReply(Reply):
    clauses: Annotated[list[int], Field(min_length=1)]
    type: Literal["add_object", "text", "effect", "color", "lighting", "composition"]
    string: Annotated[int, Field(ge=1)] | None = None
    absent: bool | None = None
    scope: Scope
    region: Box | None
    count: Annotated[int, Field(ge=0, le=100)] | None
    parents: _Positions
    conflicts: _Positions
    must_have: bool
    feasibility: Percent
    replaces: _Positions = Field(default_factory=list[int])


@dataclass(frozen=True)
class Material:
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
    kept: Sequence[GoalId] = ()
    """Goals of the picture that a brief goes on from, in the order in which they are shown."""

    def strings_in(self, numbers: Sequence[int]) -> list[int]:
        return [n for clause in numbers for n in self.held.get(clause, ())]


class _Draft(NamedTuple):
    """One goal to be made: the place in the reply, neighbouring clauses, and the number of its string."""

    position: int
    clauses: tuple[int, ...]
    string: int | None
    region: Region | None
    reply: GoalReply


def read(
    found: Sequence[GoalReply], material: Material, before: int, repairs: Counter[str], strict: bool = True
) -> tuple[Goal, ...]:
    """The goals of a reply, numbered behind the `before` earlier ones. Strict: raises ReplyError that says all."""
    drafts, problems = _drafts(found, material, repairs)
    problems += _loops(drafts, material)
    if strict and problems:
        raise ReplyError(all_of(problems))
    kept = _once(drafts, material, repairs)
    ids = {draft.position: f"g{before + n:02d}" for n, draft in reversed([*enumerate(kept, 1)])}
    made = [_goal(f"g{before + n:02d}", draft, ids, material, repairs) for n, draft in enumerate(kept, 1)]
    return insisted([*_in_order(made, repairs)])


# --- sense and nonsense -------------------------------------------------------------------------


def _drafts(found: Sequence[GoalReply], material: Material, repairs: Counter[str]) -> tuple[list[_Draft], list[str]]:
    """What to make of each goal, and what is wrong with those that are left out."""
    drafts: list[_Draft] = []
    problems: list[str] = []
    for position, goal in enumerate(found, 1):
        wrong = [*_nonsense(goal, material)]
        region = None
        try:
            region = region_of(goal.region, repairs)
        except ReplyError as error:
            wrong.append(str(error))
        problems += [f"goal {position}: {each}" for each in wrong]
        if not wrong:
            drafts += _runs(position, goal, region, material, repairs)
    return drafts, problems


def _nonsense(goal: GoalReply, material: Material) -> Iterator[str]:
    wanted, known = sorted(set(goal.clauses)), material.clauses
    if unknown := [n for n in wanted if n not in known]:
        first, last = min(known, default=1), max(known, default=0)
        yield f"there is no clause {unknown[0]}; the clauses are {first} to {last}"
        return
    if material.whole and len(wanted) == len(known) >= _WHOLE:
        yield f"the clauses {wanted} are the whole brief: give each thing that it asks for a goal of its own"
    elif len(wanted) > MOST_CLAUSES or any(_too_long(run, material) for run in _neighbours(wanted)):
        yield f"the clauses {wanted} are too long for one goal: split them"
    if goal.count == 0 and not goal.absent:
        yield "a count of 0 asks for nothing: give null, or say that it is absent"
    yield from _strings(goal, material)


def _too_long(run: Sequence[int], material: Material) -> bool:
    return len(run) > 1 and material.clauses[run[-1]].end - material.clauses[run[0]].start > _LONGEST


def _strings(goal: GoalReply, material: Material) -> Iterator[str]:
    """A text goal names a string that its clauses hold; with only one there is no need to."""
    if goal.type != GoalType.TEXT:
        return
    held = material.strings_in(sorted(set(goal.clauses)))
    if goal.string is not None and goal.string not in held:
        choice = f"name one of {held}" if held else "they hold none: give null"
        yield f"string {goal.string} is not in the clauses {goal.clauses}: {choice}"
    if goal.string is None and len(held) > 1:
        yield f"the clauses {goal.clauses} hold the strings {held}: name one, and make a goal for each"


def _neighbours(numbers: Sequence[int]) -> list[tuple[int, ...]]:
    """Sorted numbers in runs without a gap."""
    runs: list[tuple[int, ...]] = []
    for n in numbers:
        if runs and runs[-1][-1] == n - 1:
            runs[-1] = (*runs[-1], n)
        else:
            runs.append((n,))
    return runs


def _runs(
    position: int, goal: GoalReply, region: Region | None, material: Material, repairs: Counter[str]
) -> Iterator[_Draft]:
    """One draft for each run of neighbouring clauses; a text goal keeps those with its string."""
    runs = _neighbours(sorted(set(goal.clauses)))
    repairs["clauses"] += len(runs) > 1
    for run in runs:
        held = material.strings_in(run) if goal.type == GoalType.TEXT else []
        if goal.string is None or goal.string in held or goal.type != GoalType.TEXT:
            string = goal.string if goal.string in held else (held[0] if held else None)
            yield _Draft(position, run, string, region, goal)


_Sense = tuple[tuple[int, ...], str, int | None, bool]


def _same(draft: _Draft) -> _Sense:
    """What makes two goals one: their words, their type, and whether it must be there."""
    return draft.clauses, draft.reply.type, draft.string, bool(draft.reply.absent)


def _loops(drafts: Sequence[_Draft], material: Material) -> Iterator[str]:
    for (run, kind, *_), times in Counter(map(_same, drafts)).items():
        if times > _TWICE:
            yield f"the clauses {list(run)} stand {times} times as {kind}: name each thing once"
    for clause, times in _uses(drafts).items():
        if times > _OFTEN + len(material.held.get(clause, ())):
            yield f"clause {clause} stands in {times} goals: name each thing once"


def _uses(drafts: Sequence[_Draft]) -> Counter[int]:
    return Counter(clause for draft in drafts for clause in draft.clauses)


def _once(drafts: Sequence[_Draft], material: Material, repairs: Counter[str]) -> list[_Draft]:
    """Without those that say the same again, and no more than there may be."""
    seen: set[_Sense] = set()
    uses = Counter[int]()
    kept: list[_Draft] = []
    for draft in drafts:
        often = any(uses[n] >= _OFTEN + len(material.held.get(n, ())) for n in draft.clauses)
        if _same(draft) in seen or often or len(kept) == material.most:
            repairs["twice"] += 1
            continue
        seen.add(_same(draft))
        uses.update(draft.clauses)
        kept.append(draft)
    return kept


# --- goals --------------------------------------------------------------------------------------


def _goal(own: str, draft: _Draft, ids: Mapping[int, str], material: Material, repairs: Counter[str]) -> Goal:
    reply = draft.reply
    text = material.brief[material.clauses[draft.clauses[0]].start : material.clauses[draft.clauses[-1]].end]
    absent = forbids(text) if reply.absent is None else reply.absent
    return Goal(
        id=own,
        text=text,
        type=reply.type,
        scope=reply.scope,
        string=material.brief[slice(*material.strings[draft.string])] if draft.string else None,
        count=None if absent else reply.count,
        absent=absent,
        region=draft.region,
        parents=_known("parents", reply.parents, ids, own, repairs),
        conflicts=(
            *_known("conflicts", reply.conflicts, ids, own, repairs),
            *_known("replaces", reply.replaces, dict(enumerate(material.kept, 1)), own, repairs),
        ),
        must_have=reply.must_have,
        feasibility=reply.feasibility / 100,
    )


def _known(
    what: str, positions: Sequence[int], ids: Mapping[int, str], own: str, repairs: Counter[str]
) -> tuple[str, ...]:
    """The ids of other goals, by their positions in the reply; what is none is dropped."""
    named = [ids[n] for n in positions if n in ids and ids[n] != own]
    repairs[what] += len(positions) - len(named)
    return tuple(dict.fromkeys(named))


def _in_order(made: Sequence[Goal], repairs: Counter[str]) -> Iterator[Goal]:
    """Goals that wait for each other in a circle would never be tried: the first of them waits no longer."""
    waiting = {goal.id: set(goal.parents) for goal in made}
    dropped: dict[str, set[str]] = {}
    while waiting:
        free = [own for own, parents in waiting.items() if not parents & waiting.keys()]
        if not free:
            first = min(waiting)
            dropped[first] = waiting[first] & waiting.keys()
            free = [first]
        for own in free:
            del waiting[own]
    for goal in made:
        lost = dropped.get(goal.id, set[str]())
        repairs["parents"] += len(lost)
        yield goal.model_copy(update={"parents": tuple(p for p in goal.parents if p not in lost)}) if lost else goal


# --- what is kept of a refused reply ------------------------------------------------------------

_PLAIN: Mapping[str, Any] = {
    "string": None, "absent": None, "region": None, "count": None, "parents": [], "conflicts": [], "must_have": False,
    "feasibility": 70,
}  # fmt: skip
"""In place of what can't be read."""


def tamed(raw: Mapping[str, Any], material: Material, repairs: Counter[str]) -> Iterator[GoalReply]:
    """The goals, none or several, that code makes of one that a model wrote."""
    goal = _lenient(raw, repairs)
    numbers = [n for n in sorted(set(goal.clauses)) if n in material.clauses] if goal else []
    if goal is None or not numbers:
        repairs["dropped"] += 1
        return
    goal = goal.model_copy(update={"clauses": numbers})
    wrong = [*_nonsense(goal, material)]
    try:
        region_of(goal.region, Counter())
    except ReplyError:
        goal = goal.model_copy(update={"region": None})
        repairs["region"] += 1
    if not wrong:
        yield goal
        return
    repairs["split"] += 1
    count = goal.count or None
    for n in numbers:
        strings = material.held.get(n, ()) if goal.type == GoalType.TEXT else ()
        named = [goal.string] if goal.string in strings else [*strings]
        for string in named or [None]:
            yield goal.model_copy(update={"clauses": [n], "count": count, "string": string})


def _lenient(raw: Mapping[str, Any], repairs: Counter[str]) -> GoalReply | None:
    """A goal with plain values for what can't be read; None when it is not even said what it is."""
    known = {name: value for name, value in raw.items() if name in GoalReply.model_fields}
    plain = {**_PLAIN, "scope": SCOPES.get(str(raw.get("type")), Scope.LOCAL)}
    try:
        return GoalReply.model_validate({**plain, **known})
    except ValidationError as error:
        bad = {str(each["loc"][0]) for each in error.errors(include_url=False)}
    try:
        goal = GoalReply.model_validate({**plain, **{name: known[name] for name in known.keys() - bad}})
    except ValidationError:
        return None
    repairs["fields"] += len(bad)
    return goal


def by_code(clause: int, material: Material) -> Iterator[GoalReply]:
    """The goals of a clause that no model has read: one for each string to be set, else one thing to be drawn."""
    strings = material.held.get(clause, ())
    kind = GoalType.TEXT if strings else GoalType.ADD_OBJECT
    for string in strings or [None]:
        fields = {**_PLAIN, "clauses": [clause], "type": kind.value, "scope": SCOPES.get(kind, Scope.LOCAL)}
        yield GoalReply.model_validate({**fields, "string": string})
