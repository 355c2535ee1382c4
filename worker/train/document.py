"""`docs/training.md` and its plots, from the folder of a run: `visiondirector-worker train document`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from worker.bench import plots

_HEAD = """# Training the policy that chooses

Written by `make train`; do not edit. **Every number below is of a simulated world**: the sketch studio draws, misses and
judges without weights. They show that training works and what it finds there; they say nothing of a model's pictures.

A job with `decide: planner` asks before each round which option of the menu to take (`director/menu.py`). A small
policy (a transformer of 125,000 parameters, `worker/policy`) can answer. It reads how many rounds are left, what the last
round brought and, for each missing goal, its type and how often an edit failed; it reads no words and no pixels.
`visiondirector-worker train` makes one:

- `train sft` lets the paper's `all` play, and teaches the policy what it chose, with a prior that stays soft.
- `train grpo` lets the policy play in groups of 8, and climbs the paper's objective (`worker/train/objective.py`). The
  reward is 5 × the share of annotated goals that the picture shows, by a judge that is not the loop's verifier, less
  a price for each render and round. A run that is killed goes on where it was, and ends with the same weights.
  The policy that did best on validation tasks in validation worlds is kept.
- `train eval` sets it beside its teacher (`all`), option 0 (`ours`) and one fixed choice, in worlds that nothing was chosen by.
- `train export` writes the file that a profile names: `"policy": "planner.policy"`. Serving it takes numpy, no torch.
"""
_COLUMNS = (
    ("coverage", "goals met, %", 100, ".1f"),
    ("tasks_80", "tasks ≥ 80 %", 100, ".0f"),
    ("renders", "renders", 1, ".2f"),
    ("rounds", "rounds", 1, ".2f"),
    ("edits", "edits", 1, ".2f"),
    ("vlm_calls", "VLM calls", 1, ".1f"),
    ("less all", "less all, points", 100, "+.1f"),
    ("less ours", "less ours, points", 100, "+.1f"),
)


def write(run: Path, docs: Path) -> Path:
    """The page and its plots, from what `sft`, `grpo` and `eval` left in the folder of the run."""
    told: dict[str, Any] = json.loads((run / "grpo.json").read_text("utf-8"))
    found: dict[str, Any] = json.loads((run / "eval.json").read_text("utf-8"))
    (docs / "training").mkdir(parents=True, exist_ok=True)
    _curves(told, docs / "training" / "curve.png")
    parts = [_HEAD, _run(told), "![curves](training/curve.png)\n"]
    for place in ("lists", "pixels"):
        if place in found:
            parts.append(_table(place, found[place]))
    parts += [_verdict(found), _sweep(found["sweep"]), _own_words(docs)]
    page = docs / "training.md"
    page.write_text("\n".join(parts), encoding="utf-8")
    return page


def _run(told: dict[str, Any]) -> str:
    how, best = told["settings"], told["best"]
    teacher = told["validated"][0]
    price = how["price"]
    lines = [
        f"## The run (simulated)\n\n{how['steps']} steps of {how['tasks']} tasks × {how['group']} rollouts from seed "
        f"{how['seed']}; clip {how['clip']}, β {how['beta']}, {price['render']} for a render, {price['round']} for a round; "
        f"edits of crowding {', '.join(f'{c:g}' for c in how['crowding'])} in turn.",
        f"On {how['validate_tasks']} validation tasks the teacher meets {100 * teacher['coverage']:.1f} % with "
        f"{teacher['renders']:.1f} renders; step {best['step']}, which was kept, {100 * best['coverage']:.1f} % with "
        f"{best['renders']:.1f} renders in {best['rounds']:.1f} rounds (the teacher: {teacher['rounds']:.1f}).\n",
    ]
    return "\n".join(lines)


def _curves(told: dict[str, Any], path: Path) -> None:
    curve, ahead = told["curve"], told["validated"][1:]
    figure, axes = plots.blank("GRPO on the sketch studio (simulated)", "step", "goals met, %")
    steps = [row["step"] for row in curve]
    axes.plot(steps, _smooth([100 * row["coverage"] for row in curve]), color="tab:blue", lw=1, label="training, mean of 10")
    axes.plot([v["step"] for v in ahead], [100 * v["coverage"] for v in ahead], "o-", color="tab:blue", label="validation")
    axes.axhline(100 * told["validated"][0]["coverage"], color="grey", ls="--", lw=1, label="teacher, validation")
    right = axes.twinx()
    right.set_ylabel("renders a task")
    right.set_ylim(bottom=0, top=20)
    right.plot(steps, _smooth([row["renders"] for row in curve]), color="tab:red", lw=1, label="renders, training")
    right.plot([v["step"] for v in ahead], [v["renders"] for v in ahead], "s-", color="tab:red", label="renders, validation")
    figure.legend(fontsize=7, loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _smooth(values: Sequence[float], width: int = 10) -> list[float]:
    return [sum(values[max(0, n - width + 1) : n + 1]) / min(n + 1, width) for n in range(len(values))]


def _table(place: str, found: dict[str, Any]) -> str:
    where = {"lists": "without pixels: a picture is the list of what came out right", "pixels": "in pixels of 384"}[place]
    head = [
        f"## In {found['worlds']} worlds that nothing was chosen by (simulated, {where})\n",
        f"{found['tasks']} tasks; 95 % intervals by bootstrap over worlds and tasks, differences paired.\n",
        f"| arm | {' | '.join(label for _, label, _, _ in _COLUMNS)} |",
        f"|---|{'---:|' * len(_COLUMNS)}",
    ]
    rows = [
        f"| {row['arm']} | {' | '.join(_cell(row.get(name), scale, form) for name, _, scale, form in _COLUMNS)} |"
        for row in found["rows"]
    ]
    return "\n".join([*head, *rows, ""])


def _cell(value: list[float] | None, scale: float, form: str) -> str:
    if not value:
        return "–"
    first, *ends = (format(scale * each, form) for each in value)
    return f"{first} ({' to '.join(ends)})" if ends else first


def _verdict(found: dict[str, Any]) -> str:
    lines = ["## Is it shown? (simulated)\n"]
    for place in ("lists", "pixels"):
        if place not in found:
            continue
        rows = {row["arm"]: row for row in found[place]["rows"]}
        grpo = rows["GRPO"]
        value, low, high = (100 * each for each in grpo["less all"])
        steps = grpo["rounds of the teacher's"]
        holds = "shown" if steps <= 0.74 and low >= -1 else "not shown"
        lines.append(
            f"- {place}, {found[place]['tasks']} tasks: rounds {steps:.2f} of the teacher's (asked: 0.74 at most), coverage "
            f"{value:+.1f} points ({low:+.1f} to {high:+.1f}; asked: −1 at least): {holds}. Renders "
            f"{grpo['renders'][0]:.1f} against {rows['all']['renders'][0]:.1f} (all) and {rows['ours']['renders'][0]:.1f} (ours)."
        )
    return "\n".join([*lines, ""])


def _sweep(swept: Sequence[dict[str, Any]]) -> str:
    names = [row["arm"] for row in swept[0]["rows"] if row["arm"] != "all"]
    lines = [
        "## If edits crowd (simulated, without pixels)\n",
        f"An edit gets harder by c with each doubling of what it names. Points less `all`, and renders; {swept[0]['tasks']} "
        "tasks in 8 worlds.\n",
        f"| c | all, % | {' | '.join(names)} |",
        f"|---:|---:|{'---:|' * len(names)}",
    ]
    for each in swept:
        rows = {row["arm"]: row for row in each["rows"]}
        cells = [f"{_cell(rows[n]['less all'], 100, '+.1f')}, {rows[n]['renders'][0]:.1f}" for n in names]
        teacher = rows["all"]
        lines.append(
            f"| {each['crowding']:g} | {100 * teacher['coverage'][0]:.1f}, {teacher['renders'][0]:.1f} | {' | '.join(cells)} |"
        )
    return "\n".join([*lines, ""])


def _own_words(docs: Path) -> str:
    """What people wrote about it, kept beside the plots."""
    path = docs / "training" / "notes.md"
    return path.read_text("utf-8") if path.is_file() else ""
