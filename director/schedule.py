"""What the next round is for: which goals, from which picture, whole or as an edit.

Global before local, parents before children, conflicts apart, one or two goals an edit; what
failed waits behind what was not tried yet, and is given up after `TRIES` edits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from director import history
from director.history import Round, Standing
from director.rewards import coverage
from director.types import ActionKind, Goal, GoalId, ImageHash, Mode, Outcome, Scope, Trajectory

TRIES = 3
"""Edits that a goal gets before it is given up."""
_FEW = 4  # the largest batch that the settings allow
_REGENERATE_BELOW = 0.5
_RANK = {Scope.GLOBAL: 0, Scope.LAYOUT: 0, Scope.LOCAL: 1, Scope.TEXT: 2}


@dataclass(frozen=True)
class Opening:
    """The next round: `whole` asks for a complete picture, `everything` for all of the brief in it."""

    whole: bool
    everything: bool
    targets: tuple[Goal, ...]
    base: ImageHash | None
    why: str


def opening(trajectory: Trajectory) -> Opening | None:
    """The next round, or None when nothing that is missing can be tried any more."""
    goals, past = history.goals(trajectory), history.rounds(trajectory)
    if not past:
        return _first(trajectory, goals)
    standing = history.standing(trajectory)
    batch = next_batch(goals, standing, past, trajectory.settings.batch)
    if not batch:
        return None
    if _wants_new_scene(trajectory, goals, standing, past):
        return Opening(True, True, apart(goals), None, "a global goal resists editing: draw the scene again")
    if back := _back_to_anchor(trajectory, goals, standing, past, batch):
        return back
    return Opening(False, False, batch, history.best(trajectory), "edit what is missing")


def _first(trajectory: Trajectory, goals: Sequence[Goal]) -> Opening:
    source = trajectory.brief.source
    if history.mode(trajectory) is Mode.ONE_SHOT:
        return Opening(True, True, apart(goals), source, "everything at once")
    settings = trajectory.settings
    if source:
        batch = next_batch(goals, {}, [], settings.batch)
        return Opening(False, False, batch, source, "the first edits of the source")
    return Opening(True, False, scene(goals, (settings.rounds - 1) * settings.batch // 2), None, "the scene first")


def scene(goals: Sequence[Goal], left_for_edits: int) -> tuple[Goal, ...]:
    """The goals of a staged first picture: all but the `left_for_edits` last ones to be scheduled.

    Half of the edits that the rounds allow stay free for repairs. What is left out is local, and
    nothing that stays has a parent that is left out.
    """
    ranked = sorted(goals, key=_order)
    late = [g for g in ranked if _RANK[g.scope] > 0 and not g.must_have][::-1][:left_for_edits]
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
    met = [g for g in goals if _outcome(g, standing) is Outcome.MET]
    failed = {goal.id: failures(goal.id, past) for goal in goals}
    open_goals = sorted(
        (g for g in goals if _wanted(g, standing) and failed[g.id] < TRIES and not any(clash(g, m) for m in met)),
        key=lambda g: (failed[g.id], *_order(g)),
    )
    waiting = {g.id for g in goals if _outcome(g, standing) is Outcome.MISSED}
    ready = [g for g in open_goals if not waiting.intersection(g.parents)] or open_goals
    if not ready:
        return ()
    first = ready[0]
    batch = [first]
    for goal in open_goals if not failed[first.id] else ():
        if len(batch) == size:
            break
        parents_there = waiting.intersection(goal.parents) <= {g.id for g in batch}
        alike = _RANK[goal.scope] > 0 if _RANK[first.scope] > 0 else _RANK[goal.scope] == 0
        fresh = goal not in batch and not failed[goal.id] and not any(clash(goal, other) for other in batch)
        if fresh and parents_there and alike:
            batch.append(goal)
    return tuple(batch)


def failures(goal: GoalId, past: Sequence[Round]) -> int:
    """How many edits of a few goals were aimed at this one and did not bring it."""
    return sum(goal in each.planned.action.targets and not _worked(goal, each) for each in past if _aimed(each))


def _aimed(each: Round) -> bool:
    few = len(each.planned.action.targets) <= _FEW
    return few and each.decided is not None and each.planned.action.kind is ActionKind.EDIT


def _worked(goal: GoalId, each: Round) -> bool:
    return bool(each.decided and each.decided.accepted and goal in each.decided.gained)


def _order(goal: Goal) -> tuple[bool, int, float, str]:
    return (not goal.must_have, _RANK[goal.scope], -goal.weight, goal.id)


def _outcome(goal: Goal, standing: Standing) -> Outcome:
    return standing[goal.id].outcome if goal.id in standing else Outcome.MISSED


def _wanted(goal: Goal, standing: Standing) -> bool:
    # An unsure goal can't be seen to improve, so only a must-have is worth a render.
    outcome = _outcome(goal, standing)
    return outcome is Outcome.MISSED or (outcome is Outcome.UNSURE and goal.must_have)


def _wants_new_scene(trajectory: Trajectory, goals: Sequence[Goal], standing: Standing, past: Sequence[Round]) -> bool:
    """A global goal that an edit already failed to bring, in a picture that has little to lose; once a job."""
    drawn_again = any(each.planned.action.kind is ActionKind.GENERATE for each in past[1:])
    resists = any(_RANK[g.scope] == 0 and _wanted(g, standing) and failures(g.id, past) for g in goals)
    little_to_lose = coverage(goals, standing) < _REGENERATE_BELOW
    return trajectory.brief.source is None and not drawn_again and resists and little_to_lose


def _back_to_anchor(
    trajectory: Trajectory, goals: Sequence[Goal], standing: Standing, past: Sequence[Round], batch: tuple[Goal, ...]
) -> Opening | None:
    """After k chained edits: all that they brought, said once more, to the picture they started from.

    Chained edits decay; one merged edit of the anchor has a single edit's damage (EditThinker,
    arXiv 2512.05965). Tried once for each chain length, since a rejected try would only repeat.
    """
    every = trajectory.settings.anchor_after
    start, chained = history.anchor(trajectory)
    last = past[-1]
    if not every or not start or chained == 0 or chained % every or last.planned.base == start:
        return None
    at_start = _met_at(start, past)
    brought = [g for g in goals if _outcome(g, standing) is Outcome.MET and g.id not in at_start]
    return Opening(
        True, False, apart([*brought, *batch]), start, f"{chained} edits in a row: once more from the anchor"
    )


def _met_at(image: ImageHash, past: Sequence[Round]) -> set[GoalId]:
    for each in past:
        if each.decided and each.decided.image == image:
            return {g for g, v in each.standing(image).items() if v.outcome is Outcome.MET}
    return set()
