"""`docs/training.md` and its plots, from the folder of a run: `visiondirector-worker train document`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from worker.bench import plots
from worker.bench.tables import Column, column_table
from worker.train.evaluate import OPTION_0, TEACHER, TRAINED

_HEAD = """# Training the policy that chooses

Written by `make train`; do not edit. **Every number below is of a simulated world**: the sketch studio draws, misses
and judges without weights. They show that training works and what it finds there, and nothing of a model's pictures.

A job with `decide: planner` asks before each round which option of the menu to take (`director/menu.py`). A small
policy, a transformer of 125,000 weights (`worker/policy`), can answer. It reads how many rounds are left, what the
last round brought and, for each missing goal, its type and how often an edit failed; it reads no words of the brief
and no pixels. `visiondirector-worker train` makes one:

- `sft`: the paper's `all` plays, and the policy learns what it chose, with a prior that stays soft.
- `grpo`: the policy plays in groups, and climbs the paper's objective (`worker/train/objective.py`). The reward is
  5 × the share of annotated goals that the picture shows, by a judge that is not the loop's verifier, less a price for
  each render and round. A run that is killed goes on where it was, and ends with the same weights. The policy that did
  best on validation tasks, in worlds of their own, is kept.
- `eval`: beside its teacher (`all`), the schedule (`ours`) and one fixed choice, where nothing was chosen by results.
- `export`: the file that a profile names as its `policy`. Serving it takes numpy, no torch.
- `language`: GRPO of a language model by TRL, with the same jobs, objective and reward.
"""
_LESS_ALL = Column(f"less {TEACHER}", "less all, points", 100, "+.1f")
_COLUMNS = (
    Column("coverage", "goals met, %", 100, ".1f"),
    Column("tasks_80", "tasks ≥ 80 %", 100, ".0f"),
    Column("renders", "renders", 1, ".2f"),
    Column("rounds", "rounds", 1, ".2f"),
    Column("edits", "edits", 1, ".2f"),
    Column("vlm_calls", "VLM calls", 1, ".1f"),
    _LESS_ALL,
    Column("less ours", "less ours, points", 100, "+.1f"),
)


def write(run: Path, docs: Path) -> Path:
    """The page and its plots, from what `sft`, `grpo` and `eval` left in the folder of the run."""
    told: dict[str, Any] = json.loads((run / "grpo.json").read_text("utf-8"))
    found: dict[str, Any] = json.loads((run / "eval.json").read_text("utf-8"))
    (docs / "training").mkdir(parents=True, exist_ok=True)
    _curves(told, docs / "training" / "curve.png")
    parts = [_HEAD, _run(told), "![curves](training/curve.png)\n"]
    parts += [_table(place, found[place]) for place in ("lists", "pixels") if place in found]
    parts += [_verdict(found), *([_sweep(found["sweep"])] if "sweep" in found else []), _own_words(docs)]
    page = docs / "training.md"
    page.write_text("\n".join(parts), encoding="utf-8")
    return page


def _run(told: dict[str, Any]) -> str:
    how, best, teacher = told["settings"], told["best"], told["validated"][0]
    price, crowding = how["price"], ", ".join(f"{c:g}" for c in how["crowding"])

    def said(row: dict[str, Any]) -> str:
        return f"{100 * row['coverage']:.1f} % with {row['renders']:.1f} renders in {row['rounds']:.1f} rounds"

    lines = (
        "## The run (simulated)\n",
        f"{how['steps']} steps of {how['tasks']} tasks × {how['group']} rollouts from seed {how['seed']}; clip",
        f"{how['clip']}, β {how['beta']}; rate {how['rate']}; a render costs {price['render']} of the reward, a round",
        f"{price['round']}, from step {how['free']} on more each step, all of it after {how['warm']} more;",
        f"worlds where edits crowd by {crowding}, in turn. On {how['validate_tasks']} validation tasks (simulated) the",
        f"teacher meets {said(teacher)}; step {best['step']}, which was kept, {said(best)}.\n",
    )
    return "\n".join(lines)


def _curves(told: dict[str, Any], path: Path) -> None:
    curve, ahead = told["curve"], told["validated"][1:]
    figure, axes = plots.blank("GRPO on the sketch studio (simulated)", "step", "goals met, %")
    steps = [row["step"] for row in curve]
    axes.plot(
        steps, _smooth([100 * row["coverage"] for row in curve]), color="tab:blue", lw=1, label="training, mean of 10"
    )
    axes.plot(
        [v["step"] for v in ahead], [100 * v["coverage"] for v in ahead], "o-", color="tab:blue", label="validation"
    )
    axes.axhline(100 * told["validated"][0]["coverage"], color="grey", ls="--", lw=1, label="teacher, validation")
    right = axes.twinx()
    right.set_ylabel("renders a task")
    right.set_ylim(bottom=0, top=26)
    right.plot(steps, _smooth([row["renders"] for row in curve]), color="tab:red", lw=1, label="renders, training")
    right.plot(
        [v["step"] for v in ahead], [v["renders"] for v in ahead], "s-", color="tab:red", label="renders, validation"
    )
    figure.legend(fontsize=7, loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _smooth(values: Sequence[float], width: int = 10) -> list[float]:
    return [sum(values[max(0, n - width + 1) : n + 1]) / min(n + 1, width) for n in range(len(values))]


def _table(place: str, found: dict[str, Any]) -> str:
    where = {"lists": "without pixels: a picture is the list of what came out right", "pixels": "in pixels of 384"}[
        place
    ]
    head = [
        f"## In {found['worlds']} worlds that nothing was chosen by (simulated, {where})\n",
        f"{found['tasks']} tasks; 95 % intervals by bootstrap over worlds and tasks, differences paired.\n",
    ]
    rows = ((row["arm"], (_cell(row.get(each.name), each) for each in _COLUMNS)) for row in found["rows"])
    return "\n".join([*head, *column_table("arm", _COLUMNS, rows), ""])


def _cell(value: list[float] | None, column: Column) -> str:
    if not value:
        return "–"
    first, *ends = map(column.written, value)
    return f"{first} ({' to '.join(ends)})" if ends else first


def _verdict(found: dict[str, Any]) -> str:
    lines = ["## Is it shown? (simulated)\n"]
    lines += [_shown(place, found[place]) for place in ("lists", "pixels") if place in found]
    return "\n".join([*lines, ""])


def _shown(place: str, found: dict[str, Any]) -> str:
    rows = {row["arm"]: row for row in found["rows"]}
    value, low, high = (100 * each for each in rows[TRAINED][_LESS_ALL.name])
    steps = rows[TRAINED]["rounds of the teacher's"]
    renders = [f"{rows[name]['renders'][0]:.1f}" for name in (TRAINED, TEACHER, OPTION_0)]
    holds = "shown" if steps <= 0.74 and low >= -1 else "not shown"
    return (
        f"- On {found['tasks']} simulated tasks, {place}: rounds {steps:.2f} of the teacher's (asked: at most 0.74),\n"
        f"  coverage {value:+.1f} points ({low:+.1f} to {high:+.1f}; asked: at least −1): **{holds}**. Renders\n"
        f"  {renders[0]}, the teacher {renders[1]}, the schedule (`ours`) {renders[2]}."
    )


def _sweep(swept: Sequence[dict[str, Any]]) -> str:
    names = [row["arm"] for row in swept[0]["rows"] if row["arm"] != TEACHER]
    lines = [
        "## If edits crowd (simulated, without pixels)\n",
        "An edit gets harder by c with each doubling of what it names. In each cell: points less `all`, and renders;",
        f"{swept[0]['tasks']} simulated tasks in {swept[0]['worlds']} worlds.\n",
        f"| c | all, % | {' | '.join(names)} |",
        f"|---:|---:|{'---:|' * len(names)}",
    ]
    for each in swept:
        rows = {row["arm"]: row for row in each["rows"]}
        cells = [f"{_cell(rows[n][_LESS_ALL.name], _LESS_ALL)}, {rows[n]['renders'][0]:.1f}" for n in names]
        teacher = f"{100 * rows[TEACHER]['coverage'][0]:.1f}, {rows[TEACHER]['renders'][0]:.1f}"
        lines.append(f"| {each['crowding']:g} | {teacher} | {' | '.join(cells)} |")
    lost = [(n, f"{e['crowding']:g}") for e in swept for n in names for r in e["rows"] if r["arm"] == n and _loses(r)]
    told = ", ".join(f"{name} at c = {crowding}" for name, crowding in lost) or "none"
    return "\n".join([*lines, "", f"Worse than `all` by more than chance (simulated): {told}.", ""])


def _loses(row: dict[str, Any]) -> bool:
    return row[_LESS_ALL.name][-1] < 0


def _own_words(docs: Path) -> str:
    """What people wrote about it, kept beside the plots."""
    path = docs / "training" / "notes.md"
    return path.read_text("utf-8") if path.is_file() else ""
