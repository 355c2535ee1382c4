"""What the next round is for: which goals, from which picture, whole or as an edit.

Global before local, parents before children, conflicts apart, one or two goals an edit; what
failed waits behind what was not tried yet, and is given up after `TRIES` edits.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from director import wide
from director.state import Round, Standing, State, coverage
from director.types import MAX_GOALS, ActionKind, Goal, GoalId, ImageHash, Mode, Outcome, Scope

TRIES = 3
"""Edits that a goal gets before it is given up."""
_FEW = 4  # goals in an edit that is aimed at them, where edits are of few
_REGENERATE_BELOW = 0.5
_RANK = {Scope.GLOBAL: 0, Scope.LAYOUT: 0, Scope.LOCAL: 1, Scope.TEXT: 2}
_GLOBAL, _LOCAL = (Scope.GLOBAL, Scope.LAYOUT), (Scope.LOCAL, Scope.TEXT)


@dataclass(frozen=True)
class Opening:
    """The next round: `whole` asks for a complete picture, `everything` for all of the brief in it."""

    whole: bool
    everything: bool
    targets: tuple[Goal, ...]
    base: ImageHash | None
    why: str


def opening(state: State) -> Opening | None:
    """The next round, or None when nothing that is missing can be tried any more."""
    if not state.rounds:
        return first(state, state.mode)
    batch = _batch(state)
    if not batch:
        return None
    if _wants_new_scene(state):
        return new_scene(state, "a global goal resists editing: draw the scene again")
    if back := _back_to_anchor(state, batch):
        return back
    return Opening(False, False, batch, state.best, "edit what is missing")


def pays(state: State, found: Opening, price: float) -> bool:
    """Whether the round promises as many goals as its renders cost at this price, or tries a must-have."""
    if not price or not state.rounds:
        return True
    batch = _batch(state)
    return any(goal.must_have for goal in batch) or wide.expected(state, batch) >= price * grid(state, found.base)


def grid(state: State, base: ImageHash | None) -> int:
    """N of a round that starts from this picture."""
    most, few = state.settings.candidates, state.settings.edit_candidates
    return min(most, few) if few and base else most


def _batch(state: State) -> tuple[Goal, ...]:
    settings = state.settings
    if settings.edits == "wide":
        return widest(state, wide.width(state))
    if settings.edits == "alike":
        return _alike(state, settings.batch)
    return next_batch(state.goals, state.standing, state.rounds, settings.batch)


def first(state: State, mode: Mode | None) -> Opening:
    """The first round of a job that is drawn in this mode."""
    goals, settings, source = state.goals, state.settings, state.trajectory.brief.source
    if state.trajectory.brief.continues:
        return _first_change(state, mode)
    if mode is Mode.ONE_SHOT:
        return Opening(True, True, apart(goals), source, "everything at once")
    if source:
        batch = next_batch(goals, {}, [], settings.batch)
        return Opening(False, False, batch, source, "the first edits of the source")
    first = scene(goals, (settings.rounds - 1) * settings.batch // 2)
    if not first and not settings.reprompt:  # the brief's own words say no scene: the goal that comes first is one
        first = (min(goals, key=_order),)
    return Opening(True, False, first, None, "the scene first")


def new_scene(state: State, why: str) -> Opening:
    """A new picture with everything."""
    return Opening(True, True, apart(state.goals), None, why)


def _first_change(state: State, mode: Mode | None) -> Opening:
    """What the picture lacks, in one edit of it or one after the other; what it has is not said again."""
    missing = [goal for goal in state.wanted if _outcome(goal, state.standing) is Outcome.MISSED]
    if mode is Mode.ONE_SHOT:
        return Opening(False, False, apart(missing), state.best, "the whole change at once")
    batch = next_batch(state.goals, state.standing, [], state.settings.batch)
    return Opening(False, False, batch or apart(missing)[:1], state.best, "the first edits of the change")


def scene(goals: Sequence[Goal], left_for_edits: int) -> tuple[Goal, ...]:
    """The goals of a staged first picture: all but the `left_for_edits` last ones to be scheduled.

    Half of the edits that the rounds allow stay free for repairs. What is left out is local and
    not absent, and nothing that stays has a parent that is left out.
    """
    ranked = sorted(goals, key=_order)
    late = [g for g in ranked if _RANK[g.scope] > 0 and not (g.must_have or g.absent)][::-1][:left_for_edits]
    kept = [g for g in ranked if g not in late]
    by_id = {goal.id: goal for goal in goals}
    missing = {p for goal in kept for p in goal.parents} - {g.id for g in kept}
    return apart([*kept, *(by_id[p] for p in sorted(missing))])


def apart(goals: Sequence[Goal]) -> tuple[Goal, ...]:
    """Without the less important of any two conflicting goals, in the order of their ids."""
    kept: list[Goal] = []
    for goal in sorted(goals, key=lambda g: (not g.must_have, -g.weight, g.id)):
        if not any(clash(goal, other) for other in kept):
            kept.append(goal)
    return tuple(sorted(kept, key=lambda g: g.id))


def clash(one: Goal, other: Goal) -> bool:
    """True when the two must not share an instruction."""
    return other.id in one.conflicts or one.id in other.conflicts


def next_batch(goals: Sequence[Goal], standing: Standing, past: Sequence[Round], size: int) -> tuple[Goal, ...]:
    """One to `size` missing goals for an edit; empty when all that is missing was given up.

    A goal that failed before goes alone: saying less at once is what helps it.
    """
    failed = {goal.id: failures(goal.id, past) for goal in goals}
    open_goals = _open_goals(goals, standing, failed)
    waiting = {g.id for g in goals if _outcome(g, standing) is Outcome.MISSED}
    batch = _ready(open_goals, waiting)[:1]
    if not batch or failed[batch[0].id]:
        return tuple(batch)
    for goal in open_goals:
        if len(batch) < size and not failed[goal.id] and _joins(goal, batch, waiting):
            batch.append(goal)
    return tuple(batch)


def _open_goals(goals: Sequence[Goal], standing: Standing, failed: Mapping[GoalId, int]) -> list[Goal]:
    """What is missing and may still be tried, the next one first."""
    met = [g for g in goals if _outcome(g, standing) is Outcome.MET]
    wanted = [g for g in goals if _wanted(g, standing) and failed[g.id] < TRIES]
    free = [g for g in wanted if not any(clash(g, other) for other in met)]
    return sorted(free, key=lambda g: (failed[g.id], *_order(g)))


def _ready(open_goals: list[Goal], waiting: set[GoalId]) -> list[Goal]:
    """Those whose parents are met; all of them where they wait for each other in a circle."""
    return [g for g in open_goals if not waiting.intersection(g.parents)] or open_goals


def _alike(state: State, size: int) -> tuple[Goal, ...]:
    """What is missing of one reach: what a must-have is among, else what promises more.

    A goal of the whole picture moves or recolours what an edit does not name. So it costs only its own edit.
    """
    groups = [widest(state, size, reach) for reach in (_LOCAL, _GLOBAL)]
    return max(groups, key=lambda batch: (any(goal.must_have for goal in batch), wide.expected(state, batch)))


def widest(state: State, size: int, reach: Collection[Scope] = tuple(Scope)) -> tuple[Goal, ...]:
    """One to `size` missing goals of this reach, whether or not they failed before; the next one first."""
    goals, standing = state.goals, state.standing
    failed = {goal.id: tries(goal.id, state) for goal in goals}
    open_goals = _open_goals(goals, standing, failed)
    waiting = {g.id for g in goals if _outcome(g, standing) is Outcome.MISSED}
    ready = _ready(open_goals, waiting)
    open_goals = [goal for goal in open_goals if goal.scope in reach]
    batch = [goal for goal in open_goals if goal in ready][:1]
    for goal in open_goals:
        if len(batch) < size and goal not in batch and _fits(goal, batch, waiting):
            batch.append(goal)
    return tuple(batch)


def _joins(goal: Goal, batch: Sequence[Goal], waiting: set[GoalId]) -> bool:
    """Whether one instruction can hold this goal too: alike in reach, free of conflicts, its parents met or in it."""
    alike = (_RANK[goal.scope] > 0) == (_RANK[batch[0].scope] > 0)
    return goal not in batch and alike and _fits(goal, batch, waiting)


def _fits(goal: Goal, batch: Sequence[Goal], waiting: set[GoalId]) -> bool:
    parents_there = waiting.intersection(goal.parents) <= {g.id for g in batch}
    return parents_there and not any(clash(goal, other) for other in batch)


def tries(goal: GoalId, state: State) -> int:
    """How many failed edits named this goal, wide ones too where edits are wide."""
    return failures(goal, state.rounds, _FEW if state.settings.edits == "few" else MAX_GOALS)


def failures(goal: GoalId, past: Sequence[Round], most: int = _FEW) -> int:
    """How many failed edits named this goal. An edit of more than `most` goals does not count."""
    return sum(goal in each.planned.action.targets and goal not in each.gained for each in past if _aimed(each, most))


def _aimed(each: Round, most: int) -> bool:
    few = len(each.planned.action.targets) <= most
    return few and each.decided is not None and each.planned.action.kind is ActionKind.EDIT


def _order(goal: Goal) -> tuple[bool, int, float, str]:
    return (not goal.must_have, _RANK[goal.scope], -goal.weight, goal.id)


def _outcome(goal: Goal, standing: Standing) -> Outcome:
    return standing[goal.id].outcome if goal.id in standing else Outcome.MISSED


def _wanted(goal: Goal, standing: Standing) -> bool:
    # An unsure goal can't be seen to improve, so only a must-have is worth a render.
    outcome = _outcome(goal, standing)
    return outcome is Outcome.MISSED or (outcome is Outcome.UNSURE and goal.must_have)


def _wants_new_scene(state: State) -> bool:
    """A global goal that an edit already failed to bring, in a picture that has little to lose; once a job."""
    goals, standing, past = state.goals, state.standing, state.rounds
    drawn_again = any(each.planned.action.kind is ActionKind.GENERATE for each in past[1:])
    resists = any(_RANK[g.scope] == 0 and _wanted(g, standing) and tries(g.id, state) for g in goals)
    little_to_lose = coverage(goals, standing) < _REGENERATE_BELOW
    return state.trajectory.brief.source is None and not drawn_again and resists and little_to_lose


def _back_to_anchor(state: State, batch: tuple[Goal, ...]) -> Opening | None:
    """After k chained edits: all that they brought, said once more, to the picture they started from.

    Chained edits decay; one merged edit of the anchor has a single edit's damage (EditThinker,
    arXiv 2512.05965). Tried once for each chain length, since a rejected try would only repeat.
    """
    every = state.settings.anchor_after
    chained = state.anchor.chained
    return merged(state, batch) if every and chained % every == 0 else None


def merged(state: State, batch: tuple[Goal, ...]) -> Opening | None:
    """All that the edits since the anchor brought and this batch, for the anchor; None where that says nothing new."""
    start, chained = state.anchor
    if not start or chained == 0 or state.rounds[-1].planned.base == start:
        return None
    at_start = _met_at(start, state.rounds)
    if start == state.trajectory.brief.source:
        at_start |= state.kept
    brought = [g for g in state.goals if _outcome(g, state.standing) is Outcome.MET and g.id not in at_start]
    why = f"{chained} edits in a row: once more from the anchor"
    return Opening(True, False, apart([*brought, *batch]), start, why)


def _met_at(image: ImageHash, past: Sequence[Round]) -> set[GoalId]:
    for each in past:
        if each.decided and each.decided.image == image:
            return {g for g, v in each.standing(image).items() if v.outcome is Outcome.MET}
    return set()
