"""Plots of a report as SVG, the same bytes each time: bars by goal type, gate, completion against renders."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from director.errors import BriefError
from director.types import GoalType, Mode
from worker.bench.cases import Row
from worker.bench.tables import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAPER_GATE = {1: 0.96, 5: 0.93, 10: 0.90, 15: 0.85, 18: 0.78, 22: 0.48, 26: 0.22, 30: 0.08}
"""Share of one-shot plans by number of goals, as published (arXiv 2512.19243)."""


def draw_all(folder: Path, found: Report, rows: Sequence[Row]) -> list[Path]:
    """All plots that the rows have something for. Raises BriefError without matplotlib."""
    drawn = [
        ("goals-by-type", by_type(found)),
        ("completion-against-renders", against_renders(found)),
        ("gate", gate_curve(rows)),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    return [save(figure, folder / f"{name}.svg", caption(found)) for name, figure in drawn if figure]


def caption(found: Report) -> str:
    """What stands under each plot: who drew and who graded."""
    return f"editor: {found.facts.get('editor', '')}; grader: {found.facts.get('grader', '')}"


def blank(title: str, x: str, y: str) -> "tuple[Figure, Axes]":
    """An empty figure. Raises BriefError when matplotlib is not installed."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BriefError("matplotlib is not installed", "pip install '.[bench]', or --no-plots", "plots") from error
    # Ids of an SVG come from the salt and not from chance.
    mpl.rcParams.update({"svg.hashsalt": "visiondirector", "svg.fonttype": "none"})
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: "Figure", path: Path, below: str) -> Path:
    figure.text(0.01, -0.02, below, fontsize=7, color="dimgrey", va="top")
    figure.savefig(path, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    return path


def by_type(found: Report) -> "Figure | None":
    """Bars of goals met by type, one colour an arm, with their intervals."""
    kinds = [kind.value for kind in GoalType if any(kind.value in row for row in found.rows)]
    if not kinds:
        return None
    figure, axes = blank("Goals met by type", "", "share of goals")
    width = 0.8 / len(found.rows)
    for n, row in enumerate(found.rows):
        places = [k + (n - (len(found.rows) - 1) / 2) * width for k, kind in enumerate(kinds) if kind in row]
        values = [row[kind] for kind in kinds if kind in row]
        axes.bar(places, values, width, label=row["strategy"], yerr=_whiskers(row, kinds), error_kw={"lw": 0.8})
    axes.set_xticks(range(len(kinds)), kinds)
    axes.set_ylim(0, 1)
    figure.legend(fontsize=8, loc="outside right upper")
    return figure


def _whiskers(row: dict[str, Any], names: Sequence[str]) -> list[list[float]]:
    there = [name for name in names if name in row]
    return [
        [max(0.0, row[name] - row[f"{name}_ci"][0]) for name in there],
        [max(0.0, row[f"{name}_ci"][1] - row[name]) for name in there],
    ]


def against_renders(found: Report, name: str = "goal_completion") -> "Figure | None":
    """What each arm reaches against what it draws for it."""
    rows = [row for row in found.rows if name in row and "renders" in row]
    if not rows:
        return None
    label = found.labels.get(name, name)
    figure, axes = blank("Goals met against pictures rendered", "renders a task", label)
    for row in rows:
        axes.errorbar(
            row["renders"], row[name], xerr=_whiskers(row, ["renders"]), yerr=_whiskers(row, [name]), fmt="o", capsize=2
        )
        axes.annotate(row["strategy"], (row["renders"], row[name]), (6, 4), textcoords="offset points", fontsize=8)
    axes.set_xlim(left=0)
    if label.endswith("%"):
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}")
    return figure


def gate_curve(rows: Sequence[Row]) -> "Figure | None":
    """Share of one-shot plans by number of goals found, beside the paper's, for arms whose gate decides."""
    arms = {row.arm for row in rows if row.run.mode == Mode.STAGED.value}
    runs = [row.run for row in rows if row.arm in arms and row.run.mode]
    if not runs:
        return None
    counts = sorted({run.found for run in runs})
    shares = [fmean(run.mode == Mode.ONE_SHOT.value for run in runs if run.found == count) for count in counts]
    figure, axes = gate_figure(counts, shares, ", ".join(sorted(arms)))
    axes.set_ylim(-0.02, 1.02)
    return figure


def gate_figure(counts: Sequence[int], shares: Sequence[float], label: str) -> "tuple[Figure, Axes]":
    """The share of one-shot plans by number of goals, beside the published one."""
    figure, axes = blank("Gate: planned in one shot", "goals", "share of plans")
    axes.plot(list(PAPER_GATE), list(PAPER_GATE.values()), "o--", color="grey", label="published")
    axes.plot(counts, shares, "o-", label=label)
    axes.legend(fontsize=8)
    return figure, axes
