"""The goal-level reward: one number for how well a picture serves its goals."""

from collections.abc import Sequence

from director.history import Standing
from director.types import Goal, Outcome


def coverage(goals: Sequence[Goal], standing: Standing) -> float:
    """Share of the goals' weight that is met, in [0, 1]; unsure and unasked goals are not met."""
    total = sum(goal.weight for goal in goals)
    met = sum(g.weight for g in goals if g.id in standing and standing[g.id].outcome is Outcome.MET)
    return round(met / total, 4) if total else 0.0


def alignment(goals: Sequence[Goal], standing: Standing) -> float | None:
    """Share of the *judged* weight that is met; None when nothing could be judged.

    "Could not judge" is not zero: unsure goals leave both sides of the fraction.
    """
    judged = [g for g in goals if g.id in standing and standing[g.id].outcome is not Outcome.UNSURE]
    return coverage(judged, standing) if judged else None
