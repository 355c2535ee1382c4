"""The arms of a strategy table: what was asked for, and the controls that belong beside it."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from director.intake import loop_settings
from director.strategies import STRATEGIES
from worker.bench.cases import Arm, Run

CONTROLS = ("one-shot", "best-of-4")
MOST = 16
"""Candidates that the loop's settings allow."""


def arms(wanted: Sequence[str], controls: bool, values: Mapping[str, Any]) -> list[Arm]:
    """The controls and the wanted strategies, with `values` over each. Raises BriefError that names the setting."""
    names = dict.fromkeys((*(CONTROLS if controls else ()), *wanted))
    return [Arm(name=name, settings=loop_settings(values, name)) for name in names]


def equal_renders(runs: Iterable[Run], values: Mapping[str, Any]) -> Arm | None:
    """Best of K with K equal to what `ours` rendered for a task; None where a control says the same already."""
    k = min(MOST, round(mean_renders(runs)))
    if k in (0, 1, 4):
        return None
    return Arm(name=f"best-of-{k}", settings=loop_settings({**STRATEGIES["best-of-4"], "candidates": k, **values}))


def mean_renders(runs: Iterable[Run], arm: str = "ours") -> float:
    """Pictures that an arm rendered for a task; 0 when there is nothing of it."""
    spent = [run.cost.renders for run in runs if run.arm == arm and not run.error]
    return fmean(spent) if spent else 0.0
