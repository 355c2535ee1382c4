"""Decides whether a brief is drawn from one instruction (one shot) or in stages."""

import math
from collections.abc import Sequence

from director.types import Brief, Gated, Goal, LoopSettings, Mode, Scope

_TOP, _MIDDLE, _WIDTH = 0.96, 22.0, 3.1
"""The paper's share of one-shot plans by number of goals (96 % at 1, 78 at 18, 48 at 22, 8 at 30),
fitted by 0.96 / (1 + exp((n - 22) / 3.1)); within 4 points of each published value."""
_SMALL_AREA = 0.35


def one_shot_chance(goals: Sequence[Goal], edits_picture: bool) -> float:
    """Chance in [0, 1] that one instruction is the right plan.

    The paper's curve over the number of goals, moved by the mean feasibility (0.7 is neutral) and,
    when a picture is edited, by whether the affected area is small.
    """
    if not goals:
        return _TOP
    x = (_MIDDLE - len(goals)) / _WIDTH
    x += 4.0 * (sum(goal.feasibility for goal in goals) / len(goals) - 0.7)
    if edits_picture:
        x += 1.0 if affected_area(goals) <= _SMALL_AREA else -1.0
    return round(_TOP / (1.0 + math.exp(-x)), 4)


def affected_area(goals: Sequence[Goal]) -> float:
    """Share of the picture that the goals reach: 1.0 as soon as one of them has no region."""
    regions = [goal.region for goal in goals if goal.scope in (Scope.LOCAL, Scope.TEXT)]
    if len(regions) < len(goals) or None in regions:
        return 1.0
    return min(1.0, sum(region.area for region in regions if region))


def gate(brief: Brief, goals: Sequence[Goal], settings: LoopSettings) -> Gated:
    """Decide the mode of a job, with the reason in words."""
    if settings.gate != "auto":
        return Gated(mode=Mode(settings.gate), why="asked for by the settings")
    chance = one_shot_chance(goals, brief.source is not None)
    mode = Mode.ONE_SHOT if chance >= 0.5 else Mode.STAGED
    return Gated(mode=mode, why=f"{len(goals)} goals: one-shot chance {chance:.2f}")
