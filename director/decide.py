"""Accept or roll back, go on or stop: tables over verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from director.state import Standing, alignment, coverage
from director.types import AcceptRule, Goal, GoalId, LoopSettings, Outcome, Preservation, StopReason, Verdict


class Effect(StrEnum):
    GAIN = "gain"
    LOSS = "loss"
    NEUTRAL = "neutral"
    DOUBT = "doubt"  # ask again once; then a loss for a must-have, else neutral


_MET, _MISSED, _UNSURE = Outcome.MET, Outcome.MISSED, Outcome.UNSURE

TRANSITIONS: dict[tuple[Outcome | None, Outcome], Effect] = {
    (None, _MET): Effect.GAIN,
    (None, _MISSED): Effect.NEUTRAL,
    (None, _UNSURE): Effect.NEUTRAL,
    (_MET, _MET): Effect.NEUTRAL,
    (_MET, _MISSED): Effect.LOSS,
    (_MET, _UNSURE): Effect.DOUBT,
    (_MISSED, _MET): Effect.GAIN,
    (_MISSED, _MISSED): Effect.NEUTRAL,
    (_MISSED, _UNSURE): Effect.NEUTRAL,
    (_UNSURE, _MET): Effect.GAIN,
    (_UNSURE, _MISSED): Effect.NEUTRAL,
    (_UNSURE, _UNSURE): Effect.NEUTRAL,
}
"""What it means for a goal to go from one outcome (None: never asked) to another."""

STOPS: dict[tuple[bool, bool], StopReason | None] = {
    (False, False): StopReason.SATISFIED,
    (False, True): StopReason.UNVERIFIED,
    (True, False): None,
    (True, True): None,
}
"""(anything missed, anything unsure) -> why to stop, None to go on."""


@dataclass(frozen=True)
class Judgement:
    """Whether a picture replaces the best one."""

    accepted: bool
    gained: tuple[GoalId, ...]
    lost: tuple[GoalId, ...]
    why: str


def effect(before: Verdict | None, after: Verdict, margin: float) -> Effect:
    """The table, with the margin: a met goal is lost only if its score fell by more than `margin`."""
    found = TRANSITIONS[before.outcome if before else None, after.outcome]
    if found is Effect.LOSS and before and before.score - after.score <= margin:
        return Effect.NEUTRAL
    return found


def doubtful(before: Standing, after: Standing, margin: float) -> list[GoalId]:
    """Goals that went from met to unsure: to be asked once more."""
    return [g for g, v in after.items() if effect(before.get(g), v, margin) is Effect.DOUBT]


def judge(
    goals: Sequence[Goal],
    before: Standing | None,
    after: Standing,
    settings: LoopSettings,
    preserved: Preservation | None = None,
    ties: bool = False,
) -> Judgement:
    """Compare a picture with the best so far. `before` is None when there is no best yet.

    `after` holds verdicts for every goal, carried over where the edit could not reach; `preserved`
    is what was measured of an edit outside its region. Goals alone would pass an edit that met them
    and spoilt the rest. With `ties` a picture that is as good replaces the best: it was drawn in full.
    """
    gained, lost = _changes(goals, before or {}, after, settings.margin)
    if before is None:
        accepted, why = True, "the first picture"
    elif not settings.rollback:
        accepted, why = True, "rollback is off"
    elif broken := _broken(goals, lost, settings, preserved):
        accepted, why = False, f"rolled back: {broken}"
    else:
        match settings.accept:
            case AcceptRule.ALIGNMENT | AcceptRule.ALIGNMENT_OR_TIE:
                accepted, why = _by_alignment(goals, before, after, ties, settings.accept)
            case AcceptRule.NO_LOSS:
                accepted, why = _by_changes(gained, lost, ties)
    return Judgement(accepted, gained, lost, why)


def _changes(
    goals: Sequence[Goal], before: Standing, after: Standing, margin: float
) -> tuple[tuple[GoalId, ...], tuple[GoalId, ...]]:
    """Goals gained, goals lost. A must-have that stays in doubt is lost."""
    effects = {g.id: effect(before.get(g.id), after[g.id], margin) for g in goals if g.id in after}
    musts = {goal.id for goal in goals if goal.must_have}
    gained = tuple(sorted(g for g, e in effects.items() if e is Effect.GAIN))
    lost = tuple(sorted(g for g, e in effects.items() if e is Effect.LOSS or (e is Effect.DOUBT and g in musts)))
    return gained, lost


def _broken(
    goals: Sequence[Goal], lost: Sequence[GoalId], settings: LoopSettings, preserved: Preservation | None
) -> str:
    """What no accept rule allows; "" when nothing is wrong."""
    if preserved and preserved.changed_share > settings.max_changed:
        return f"{preserved.changed_share:.0%} of the picture changed where nothing was asked"
    given_up = sorted(goal.id for goal in goals if goal.must_have and goal.id in lost)
    return f"lost {', '.join(given_up)}" if given_up else ""


def _by_alignment(
    goals: Sequence[Goal], before: Standing, after: Standing, ties: bool, rule: AcceptRule
) -> tuple[bool, str]:
    """Alignment must rise; at the same alignment, the weight that is met. Who wins a tie is a matter of `rule`."""
    was, now = alignment(goals, before), alignment(goals, after)
    if was == now:
        was_met, is_met = coverage(goals, before), coverage(goals, after)
        gains = is_met > was_met or (ties and is_met == was_met) or rule is AcceptRule.ALIGNMENT_OR_TIE
    else:
        gains = was is None or (now is not None and now > was)
    words = f"alignment {_number(was)} to {_number(now)}"
    return gains, words if gains else f"rolled back: {words}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def _by_changes(gained: Sequence[GoalId], lost: Sequence[GoalId], ties: bool) -> tuple[bool, str]:
    if lost:
        return False, f"rolled back: lost {', '.join(lost)}"
    if not gained:
        return (True, "nothing lost") if ties else (False, "rolled back: nothing gained")
    return True, f"gained {', '.join(gained)}, lost nothing"


def enough(targets: Sequence[Goal], after: Standing, settings: LoopSettings) -> bool:
    """Adaptive N: do the candidates so far serve this instruction well enough?"""
    return coverage(targets, after) >= settings.enough


def goal_stop(goals: Sequence[Goal], standing: Standing, settings: LoopSettings) -> tuple[StopReason, str] | None:
    """Is the picture good enough to stop?"""
    outcomes = [standing[g.id].outcome if g.id in standing else _MISSED for g in goals]
    if reason := STOPS[_MISSED in outcomes, _UNSURE in outcomes]:
        unsure = outcomes.count(_UNSURE)
        return reason, f"{unsure} goals could not be judged, the rest is met" if unsure else "every goal is met"
    share = coverage(goals, standing)
    musts_met = all(o is _MET for g, o in zip(goals, outcomes, strict=True) if g.must_have)
    if settings.stop_at < 1 and share >= settings.stop_at and musts_met:
        return StopReason.SATISFIED, f"{share:.0%} of the goals' weight is met; {settings.stop_at:.0%} was asked for"
    return None
