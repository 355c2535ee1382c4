"""Point estimates with 95 % intervals: percentile bootstrap over tasks, paired where arms share them."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from statistics import fmean
from typing import Any, NamedTuple

RESAMPLES = 2000
SHARE = 0.95

Parts = Mapping[str, tuple[float, float]]
"""Metric -> (part, whole) of one task."""
Draw = Callable[[Sequence[float]], tuple[float, ...]]


class Estimate(NamedTuple):
    """`value` with the ends of its interval, over `tasks` tasks."""

    value: float
    low: float
    high: float
    tasks: int


class Metric(NamedTuple):
    """What is estimated: the rate of its parts to its wholes, or the plain mean of other metrics.

    `share` metrics are printed in percent.
    """

    name: str
    label: str
    share: bool = True
    mean_of: tuple[str, ...] = ()


def draws(tasks: int, resamples: int = RESAMPLES, seed: int = 0) -> list[Draw]:
    """`resamples` ways to draw `tasks` of `tasks` with replacement, always the same."""
    if tasks < 2:
        return []
    source = random.Random(seed)
    indices = range(tasks)
    return [itemgetter(*source.choices(indices, k=tasks)) for _ in range(resamples)]


def clustered_draws(groups: Sequence[int], resamples: int = RESAMPLES, seed: int = 0) -> list[Draw]:
    """Ways to draw groups with replacement, and of each group drawn its tasks; task i belongs to `groups[i]`."""
    source = random.Random(seed)
    members = [[i for i, group in enumerate(groups) if group == each] for each in dict.fromkeys(groups)]

    def drawn() -> list[int]:
        return [i for own in source.choices(members, k=len(members)) for i in source.choices(own, k=len(own))]

    # Two places at least: itemgetter of one would give no tuple.
    return [itemgetter(*drawn()) for _ in range(resamples)] if len(groups) > 1 else []


def estimate(tasks: Sequence[Parts], metric: Metric, drawn: Iterable[Draw]) -> Estimate | None:
    """The rate over all tasks; None when there is nothing to score. `drawn` fits the number of tasks."""
    rate = _rate(tasks, metric)
    value = rate(None)
    if value is None:
        return None
    judged = sum(any(_at(task, name)[1] for name in metric.mean_of or (metric.name,)) for task in tasks)
    return _interval(value, [rate(draw) for draw in drawn], judged)


def difference(
    ours: Sequence[Parts], theirs: Sequence[Parts], metric: Metric, drawn: Iterable[Draw]
) -> Estimate | None:
    """Ours less theirs, over the same tasks in the same order: each resample draws the same tasks of both."""
    a, b = _rate(ours, metric), _rate(theirs, metric)

    def gap(draw: Draw | None) -> float | None:
        x, y = a(draw), b(draw)
        return None if x is None or y is None else x - y

    value = gap(None)
    return None if value is None else _interval(value, [gap(draw) for draw in drawn], len(ours))


def ratio(ours: Sequence[Parts], theirs: Sequence[Parts], metric: Metric, drawn: Iterable[Draw]) -> Estimate | None:
    """Ours over theirs, paired as in `difference`; None where theirs is nothing."""
    a, b = _rate(ours, metric), _rate(theirs, metric)

    def quotient(draw: Draw | None) -> float | None:
        x, y = a(draw), b(draw)
        return x / y if x is not None and y else None

    value = quotient(None)
    return None if value is None else _interval(value, [quotient(draw) for draw in drawn], len(ours))


def ends(found: Estimate | None) -> list[float] | None:
    """The interval, if there is one: a single task says nothing of how far another would be from it."""
    return [found.low, found.high] if found and found.tasks > 1 else None


def comparison(ours: Mapping[str, Parts], theirs: Mapping[str, Parts], names: Sequence[str]) -> dict[str, Any] | None:
    """Ours less theirs, as the plain mean of the figures `names`, over the cases that both have; None without any."""
    shared = [case for case in ours if case in theirs]
    present = tuple(name for name in names if any(name in ours[case] for case in shared))
    metric = Metric("overall", "overall", mean_of=present)
    pairs = [ours[case] for case in shared], [theirs[case] for case in shared]
    found = difference(*pairs, metric, draws(len(shared))) if shared else None
    return found and {"difference": found.value, "ci": ends(found), "pairs": len(shared)}


def summed(rows: Iterable[Parts]) -> dict[str, tuple[float, float]]:
    """The rows of one task (its seeds) as one: parts and wholes added up."""
    total: dict[str, tuple[float, float]] = {}
    for row in rows:
        for name, (part, whole) in row.items():
            before = total.get(name, (0.0, 0.0))
            total[name] = before[0] + part, before[1] + whole
    return total


def _rate(tasks: Sequence[Parts], metric: Metric) -> Callable[[Draw | None], float | None]:
    names = metric.mean_of or (metric.name,)
    columns = [[[_at(task, name)[part] for task in tasks] for part in (0, 1)] for name in names]

    def rate(draw: Draw | None) -> float | None:
        values: list[float] = []
        for parts, wholes in columns:
            whole = sum(draw(wholes) if draw else wholes)
            if not whole:
                return None
            values.append(sum(draw(parts) if draw else parts) / whole)
        return values[0] if len(values) == 1 else fmean(values)

    return rate


def _at(task: Parts, name: str) -> tuple[float, float]:
    return task.get(name, (0.0, 0.0))


def _interval(value: float, resampled: Iterable[float | None], tasks: int) -> Estimate:
    found = sorted(each for each in resampled if each is not None)
    if not found:
        return Estimate(round(value, 4), round(value, 4), round(value, 4), tasks)
    cut = int(len(found) * (1 - SHARE) / 2)
    return Estimate(round(value, 4), round(found[cut], 4), round(found[-cut - 1], 4), tasks)
