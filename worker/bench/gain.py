"""`bench gain`: what the loop gains over its own one shot, on the same briefs, seeds and editor.

The verifier that scores is the one inside the loop, and on the sketch studio the pictures are
simulated: both are said in the table.
"""

import argparse
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from typing import Any

from director import history
from director.intake import loop_settings, read_brief
from director.rewards import coverage
from tasks.settings import Settings
from tasks.store import FolderStore, Images
from worker import local
from worker.studio import open_studio

SEEDS = (1, 2, 3)
ARMS = ("one-shot", "ours")
_SIZE = {"width": 384, "height": 384}
_RESAMPLES = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="flux-krea", help="editor model")
    parser.add_argument("--json", type=Path, help="also write the result to this file")


def run(args: argparse.Namespace, settings: Settings) -> int:
    result = gain(args.profile, settings, tell=lambda line: print(line, file=sys.stderr))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(gain_table(result))
    return 0


def sample_briefs() -> list[str]:
    """The prose of the fixed briefs, in their order."""
    folder = files("worker") / "samples" / "gain"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".json"))
    return [read_brief((folder / name).read_bytes()).text for name in names]


def gain(profile: str, process: Settings, tell: Callable[[str], None]) -> dict[str, Any]:
    """Run the fixed briefs x seeds with both arms. Coverages and gains are shares in [0, 1]."""
    folder = files("worker") / "samples" / "gain"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".json"))
    tasks = [(name, seed, arm, profile, process) for name in names for seed in SEEDS for arm in ARMS]
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        for row in pool.map(_one, *zip(*tasks, strict=True)):
            rows.append(row)
            if len(rows) % 10 == 0:
                tell(f"{len(rows)} of {len(tasks)} runs")
    means = {
        (name, arm): fmean(row["coverage"] for row in rows if (row["brief"], row["arm"]) == (name, arm))
        for name in names
        for arm in ARMS
    }
    gains = [means[name, "ours"] - means[name, "one-shot"] for name in names]
    low, high = bootstrap(gains)
    return {
        "editor": f"sketch/{profile} (simulated)",
        "grader": "sketch-verifier, the same as inside the loop",
        "briefs": len(names),
        "seeds": len(SEEDS),
        "gain": round(fmean(gains), 4),
        "gain_ci": [round(low, 4), round(high, 4)],
        "arms": {arm: _arm([row for row in rows if row["arm"] == arm]) for arm in ARMS},
        "runs": rows,
    }


def _one(name: str, seed: int, arm: str, profile: str, process: Settings) -> dict[str, Any]:
    data = (files("worker") / "samples" / "gain" / name).read_bytes()
    settings = loop_settings({"editor": profile, **_SIZE}, arm)
    with ExitStack() as resources, tempfile.TemporaryDirectory() as folder:
        studio = open_studio(process, resources)
        brief = read_brief(data, annotated=True)
        done = local.run(brief, settings, seed, studio, Images(FolderStore(Path(folder))))
    used = history.usage(done)
    return {
        "brief": name,
        "seed": seed,
        "arm": arm,
        "coverage": coverage(history.goals(done), history.standing(done)),
        "stop": done.stop.reason.value if done.stop else "",
        **used.model_dump(),
    }


def _arm(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    counts = ("coverage", "rounds", "renders", "planner_calls", "judge_calls", "verifier_calls")
    return {
        **{key: round(fmean(row[key] for row in rows), 4) for key in counts},
        "tasks_80": round(fmean(row["coverage"] >= 0.8 for row in rows), 4),
    }


def bootstrap(values: Sequence[float], share: float = 0.95) -> tuple[float, float]:
    """Percentile interval of the mean of `values` (one for each brief, seeds averaged before)."""
    source = random.Random(0)
    means = sorted(fmean(source.choices(values, k=len(values))) for _ in range(_RESAMPLES))
    cut = int(_RESAMPLES * (1 - share) / 2)
    return means[cut], means[-cut - 1]


def gain_table(result: dict[str, Any]) -> str:
    """The result as text, with what it was measured on."""
    low, high = result["gain_ci"]
    head = f"{'arm':<10}{'goals met':>10}{'tasks >= 80 %':>15}{'rounds':>8}{'renders':>9}{'verifier calls':>16}"
    lines = [
        f"{arm:<10}{row['coverage']:>10.1%}{row['tasks_80']:>15.1%}{row['rounds']:>8.2f}"
        f"{row['renders']:>9.2f}{row['verifier_calls']:>16.2f}"
        for arm, row in result["arms"].items()
    ]
    what = f"{result['briefs']} briefs x {result['seeds']} seeds, {result['editor']}; grader: {result['grader']}"
    verdict = f"gain {result['gain']:+.1%} of goals, 95 % interval {low:+.1%} to {high:+.1%} (bootstrap over briefs)"
    return "\n".join([what, head, *lines, verdict])
