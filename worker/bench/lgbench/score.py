"""LGBench's scores: goals met, tasks done, and the ways to count what was doubtful.

"Unsure" is counted as missed in the headline and left out beside it; verdicts below a confidence of 0.81
(arXiv 2512.19243) are dropped in one figure and counted as missed in another, because the paper does not
say which; the soft figure is the mean probability that a goal is met.
"""

from collections.abc import Sequence

from director.types import GoalType, Outcome, Verdict
from worker.bench.cases import Case, Row, Run, row_of
from worker.bench.statistics import Metric

CONFIDENT = 0.81
DONE = 0.8
"""Share of a task's goals with which it has succeeded."""

METRICS = (
    Metric("goal_completion", "goals met"),
    Metric("tasks_80", "tasks ≥ 80 %"),
    Metric("tasks_partial", "partial"),
    Metric("tasks_none", "none"),
    Metric("judged", "goals met, unsure left out"),
    Metric("unsure", "unsure"),
    Metric("soft", "soft"),
    Metric("confident", "goals met, confidence < 0.81 dropped"),
    Metric("confident_of_all", "goals met, confidence < 0.81 missed"),
    Metric("filtered", "confidence < 0.81"),
)
TYPES = tuple(Metric(kind.value, kind.value) for kind in GoalType)


TABLES = {"": METRICS[:4], "By type of goal": TYPES, "Other ways to count what is doubtful": METRICS[4:]}


def row(case: Case, run: Run, verdicts: Sequence[Verdict]) -> Row:
    """One run against the annotated goals. `verdicts` stand in the order of the case's goals."""
    parts = score(case, verdicts)
    detail: tuple[dict[str, str | float | None], ...] = tuple(
        {"goal": goal.id, "type": goal.type, "outcome": v.outcome.value, "score": v.score, "confidence": v.confidence}
        for goal, v in zip(case.goals, verdicts, strict=True)
    )
    return row_of(run, case, parts=parts, detail=detail)


def failed(case: Case, run: Run, error: str) -> Row:
    """A run without a picture, or a picture that could not be judged: it is in no figure, and counted."""
    return row_of(run, case, error=error)


def score(case: Case, verdicts: Sequence[Verdict]) -> dict[str, tuple[float, float]]:
    """The parts of each metric. Raises ValueError when the verdicts are not those of the case's goals."""
    if [verdict.goal for verdict in verdicts] != [goal.id for goal in case.goals]:
        raise ValueError(f"the verdicts are not those of the goals of {case.id}")
    total = float(len(verdicts))
    met = [verdict.outcome is Outcome.MET for verdict in verdicts]
    unsure = sum(verdict.outcome is Outcome.UNSURE for verdict in verdicts)
    sure = [verdict.confidence >= CONFIDENT for verdict in verdicts]
    sure_met = float(sum(m and s for m, s in zip(met, sure, strict=True)))
    share = sum(met) / total
    parts = {
        "goal_completion": (float(sum(met)), total),
        "tasks_80": (float(share >= DONE), 1.0),
        "tasks_partial": (float(0 < share < DONE), 1.0),
        "tasks_none": (float(share == 0), 1.0),
        "judged": (float(sum(met)), total - unsure),
        "unsure": (float(unsure), total),
        "soft": (sum(verdict.score for verdict in verdicts), total),
        "confident": (sure_met, float(sum(sure))),
        "confident_of_all": (sure_met, total),
        "filtered": (total - sum(sure), total),
    }
    for kind in GoalType:
        of_kind = [m for m, goal in zip(met, case.goals, strict=True) if goal.type == kind.value]
        parts[kind.value] = float(sum(of_kind)), float(len(of_kind))
    return parts
