"""A benchmark's result: what was measured on what, a row for each arm, the controls beside it.

JSON for machines, Markdown for people; both say who drew, who judged and what could not be judged.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from pydantic import Field

from director.types import Value
from worker.bench.cases import Row
from worker.bench.statistics import (
    Draw,
    Estimate,
    Metric,
    Parts,
    clustered_draws,
    difference,
    draws,
    estimate,
    ratio,
    summed,
)

COSTS = (
    Metric("rounds", "rounds", share=False),
    Metric("renders", "renders", share=False),
    Metric("denoising_steps", "denoising steps", share=False),
    Metric("vlm_calls", "VLM calls", share=False),
    Metric("prompt_tokens", "prompt tokens", share=False),
    Metric("completion_tokens", "completion tokens", share=False),
    Metric("seconds", "seconds", share=False),
)
"""Means a task. Seconds are those of the process that ran it, beside whatever else the machine did."""


class Arms(NamedTuple):
    """The rows of one arm by task, in the order of the tasks; rows of several seeds are added up."""

    name: str
    tasks: dict[str, Parts]
    failed: tuple[str, ...]


class Report(Value):
    """`rows`: for each arm its figures and their intervals. `facts` is the record of what they were measured on.

    `differences` and `ratios` are paired: both arms on the same tasks. `notes` are what a reader must know;
    `unscored` what could not be judged, by arm.
    """

    benchmark: str
    facts: dict[str, str]
    rows: tuple[dict[str, Any], ...]
    differences: tuple[dict[str, Any], ...] = ()
    ratios: tuple[dict[str, Any], ...] = ()
    controls: tuple[str, ...] = ()
    unscored: dict[str, str] = Field(default_factory=dict[str, str])
    notes: tuple[str, ...] = ()
    labels: dict[str, str] = Field(default_factory=dict[str, str])


class Column(NamedTuple):
    """A figure of each row: its name there, what it is called, what it is multiplied with, how it is written."""

    name: str
    label: str
    scale: float
    form: str

    def written(self, value: float) -> str:
        return format(self.scale * value, self.form)


def report(
    benchmark: str,
    record: dict[str, str],
    rows: Iterable[Row],
    metrics: Sequence[Metric],
    controls: Sequence[str] = (),
    against: str = "",
    notes: Sequence[str] = (),
    clusters: Mapping[str, int] | None = None,
    ratios: Sequence[Metric] = (),
) -> Report:
    """Estimates for each arm, and paired differences of the first metric from the arm `against` and each control.

    Arms stand in the order of their first row. `clusters`: the cluster of each case, where cases are not independent.
    `ratios`: metrics of which each arm's share of `against` is told.
    """
    drawn = partial(_draws, clusters=clusters)
    arms = by_arm(rows)
    shown = (*metrics, *COSTS)
    pairs = _pairs(arms, controls, (against, *controls))
    return Report(
        benchmark=benchmark,
        facts=record,
        rows=tuple(_row(arm, shown, drawn(list(arm.tasks))) for arm in arms),
        differences=tuple(_compared(pairs, metrics[:1], "difference", difference, drawn)),
        ratios=tuple(_compared([p for p in pairs if p[1].name == against], ratios, "ratio", ratio, drawn)),
        controls=tuple(controls),
        unscored={
            arm.name: f"{len(arm.failed)} runs failed: {', '.join(arm.failed[:5])}" for arm in arms if arm.failed
        },
        notes=tuple(notes),
        labels={metric.name: metric.label for metric in shown},
    )


def by_arm(rows: Iterable[Row]) -> list[Arms]:
    """Rows sorted out: for each arm its tasks in the order of the rows, and what failed (in no figure)."""
    names: dict[str, dict[str, list[Parts]]] = {}
    failed: dict[str, list[str]] = {}
    for row in rows:
        tasks = names.setdefault(row.arm, {})
        if row.error:
            failed.setdefault(row.arm, []).append(row.case)
        else:
            cost = {**row.run.cost.model_dump(), "vlm_calls": row.run.cost.vlm_calls}
            # What was not measured has no part.
            costs = {name: (float(value), 1.0) for name, value in cost.items() if value is not None}
            tasks.setdefault(row.case, []).append({**row.parts, **costs})
    return [
        Arms(name, {case: summed(each) for case, each in tasks.items()}, tuple(failed.get(name, ())))
        for name, tasks in names.items()
    ]


def _draws(cases: Sequence[str], clusters: Mapping[str, int] | None) -> list[Draw]:
    return clustered_draws([clusters[case] for case in cases]) if clusters else draws(len(cases))


def _row(arm: Arms, metrics: Sequence[Metric], drawn: Sequence[Draw]) -> dict[str, Any]:
    tasks = list(arm.tasks.values())
    row: dict[str, Any] = {"strategy": arm.name, "tasks": len(tasks)}
    for metric in metrics:
        if found := estimate(tasks, metric, drawn):
            row[metric.name] = found.value
            row[f"{metric.name}_ci"] = [found.low, found.high]
    return row


def _pairs(arms: Sequence[Arms], controls: Sequence[str], against: Sequence[str]) -> list[tuple[Arms, Arms]]:
    """Each arm that is no control, with each other of `against`."""
    tried = [arm for arm in arms if arm.name not in controls]
    return [(ours, theirs) for theirs in arms if theirs.name in against for ours in tried if ours is not theirs]


_Compare = Callable[[list[Parts], list[Parts], Metric, list[Draw]], Estimate | None]


def _compared(
    pairs: Iterable[tuple[Arms, Arms]],
    metrics: Sequence[Metric],
    name: str,
    compare: _Compare,
    drawn: Callable[[list[str]], list[Draw]],
) -> Iterator[dict[str, Any]]:
    """Comparisons of each pair over the tasks that both have, filed under `name`."""
    for ours, theirs in pairs:
        shared = [case for case in ours.tasks if case in theirs.tasks]
        both = [ours.tasks[case] for case in shared], [theirs.tasks[case] for case in shared]
        told = {"strategy": ours.name, "against": theirs.name, "tasks": len(shared)}
        for metric in metrics:
            if found := compare(*both, metric, drawn(shared)):
                yield {**told, "metric": metric.name, name: found.value, f"{name}_ci": [found.low, found.high]}


def read_report(told: Mapping[str, Any]) -> Report:
    """The report in the JSON of a benchmark, which may hold more."""
    return Report.model_validate({name: told[name] for name in Report.model_fields if name in told})


# --- for people -----------------------------------------------------------------------------------


def column_table(head: str, columns: Sequence[Column], rows: Iterable[tuple[str, Iterable[str]]]) -> list[str]:
    """Lines of Markdown: what each row is, then its figures."""
    return [
        _cells([head, *(column.label for column in columns)]),
        f"|---|{'---:|' * len(columns)}",
        *(_cells([name, *figures]) for name, figures in rows),
    ]


def markdown(found: Report, tables: Mapping[str, Sequence[Metric]]) -> str:
    """The report as Markdown: what it was measured on, a table for each title, costs, differences, what to know."""
    lines = [f"## {found.benchmark}", "", *(f"- {name}: {value}" for name, value in found.facts.items())]
    for title, metrics in {**tables, "Cost: means a task": COSTS}.items():
        lines += _table(found, title, [metric for metric in metrics if any(metric.name in row for row in found.rows)])
    lines += _comparisons(found, tables)
    if found.unscored or found.notes:
        lines += ["", *(f"- not scored, {arm}: {what}" for arm, what in found.unscored.items())]
        lines += [f"- {note}" for note in found.notes]
    return "\n".join([*lines, "", f"Shares are in percent. Intervals are 95 %, by bootstrap over {_over(found)}.", ""])


def _comparisons(found: Report, tables: Mapping[str, Sequence[Metric]]) -> list[str]:
    if not found.differences:
        return []
    shares = {metric.name for metrics in tables.values() for metric in metrics if metric.share}
    lines = ["", "Paired over the same tasks:", ""]
    lines += [_difference(gap, found.labels[gap["metric"]], gap["metric"] in shares) for gap in found.differences]
    return lines + [_ratio(each, found.labels[each["metric"]]) for each in found.ratios]


def _over(found: Report) -> str:
    return "worlds and tasks" if "worlds" in found.facts else "tasks"


def _table(found: Report, title: str, metrics: Sequence[Metric]) -> list[str]:
    if not metrics:
        return []
    head = ["strategy", "tasks", *(metric.label for metric in metrics)]
    lines = ["", *([title, ""] if title else []), _cells(head), _cells(["---"] + ["---:"] * (len(head) - 1))]
    for row in found.rows:
        name = row["strategy"] + (" (control)" if row["strategy"] in found.controls else "")
        lines.append(
            _cells([name, str(row["tasks"]), *(_figure(row, metric.name, metric.share) for metric in metrics)])
        )
    return lines


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _figure(row: dict[str, Any], name: str, share: bool) -> str:
    if name not in row:
        return "–"
    low, high = row[f"{name}_ci"]
    return f"{_number(row[name], share)} ({_number(low, share)} to {_number(high, share)})"


def _number(value: float, share: bool) -> str:
    return f"{100 * value:.1f}" if share else f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


def _difference(gap: dict[str, Any], label: str, share: bool) -> str:
    low, high = gap["difference_ci"]
    scale, unit = (100, " points") if share else (1, "")
    said = f"{scale * gap['difference']:+.1f}{unit} ({scale * low:+.1f} to {scale * high:+.1f})"
    return f"- {gap['strategy']} less {gap['against']}: {label} {said}"


def _ratio(found: dict[str, Any], label: str) -> str:
    low, high = found["ratio_ci"]
    said = f"{found['ratio']:.2f} of {found['against']}'s ({low:.2f} to {high:.2f})"
    return f"- {found['strategy']}: {label} {said}"
