"""The gate beside the paper's curve: how often composed briefs of so many goals are planned in one shot."""

from collections.abc import Iterator
from functools import cache
from itertools import count, islice
from typing import Any

from director.errors import BriefError
from director.gate import gate
from director.types import Brief, LoopSettings, Mode
from worker.bench.lgbench.compose import compose
from worker.bench.lgbench.pool import pool
from worker.bench.lgbench.write import write
from worker.bench.plots import PAPER_GATE
from worker.sketch.planner import extracted

_TASKS = 20


@cache
def gate_curve(seed: int) -> tuple[dict[str, Any], ...]:
    """A point for each number of goals that the paper states; the goals are those that the sketch planner finds."""
    points: list[dict[str, Any]] = []
    for goals, paper in PAPER_GATE.items():
        briefs = [Brief(text=text) for text in islice(_texts(goals, seed), _TASKS)]
        modes = [gate(brief, extracted(brief), LoopSettings.model_validate({})).mode for brief in briefs]
        share = sum(mode is Mode.ONE_SHOT for mode in modes) / len(modes)
        points.append({"goals": goals, "one_shot": round(share, 3), "paper": paper, "tasks": _TASKS})
    return tuple(points)


def _texts(goals: int, seed: int) -> Iterator[str]:
    """Composed briefs of just so many goals. A theme that has fewer is passed over."""
    for number in count():
        try:
            yield next(compose(pool(), 1, (goals, goals), seed * 10_000 + number, "t2i", write)).prompt
        except BriefError:
            continue
