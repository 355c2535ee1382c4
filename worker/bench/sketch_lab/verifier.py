"""What the sketch verifier sees against what was really drawn, by type of goal.

Scenes are composed LGBench tasks. Each drawable is drawn as asked with a chance of 70 %, else wrong or
not at all, as a miss model would; what then stands on the page is known from the comp, not from its pixels.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from director.types import GoalType, Outcome
from tasks.settings import Settings
from worker.bench.command import write_json
from worker.bench.lgbench.compose import RANGES, compose
from worker.bench.lgbench.pool import pool
from worker.bench.lgbench.records import Record
from worker.bench.lgbench.write import write
from worker.bench.local import cores, one_thread
from worker.bench.sketch_lab import damage
from worker.bench.sketch_lab.truth import shows
from worker.sketch import draw
from worker.sketch.language import Drawable, parse
from worker.sketch.misses import rng, spoiled
from worker.sketch.passes import generated
from worker.sketch.segment import Segments
from worker.sketch.verifier import judged

_DRAWN = 0.7
_SPOILER = "flux-krea"
_SIZE = 384


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scenes", type=int, default=200, help="composed scenes of 14 to 22 goals")
    parser.add_argument("--seed", type=int, default=1, help="of the scenes, and of what is drawn wrong in them")
    parser.add_argument("--damage", type=int, metavar="N", help="plant N damages instead: are wrong ones certified?")
    parser.add_argument("--size", type=int, default=_SIZE, help="pixels a side")
    parser.add_argument("--json", type=Path, help="also write the result, every wrong verdict included, to this file")


def run(args: argparse.Namespace, settings: Settings) -> int:
    tell = partial(print, file=sys.stderr)
    if args.damage:
        found = damage.measured(args.damage, args.seed, args.size, tell)
        shown = damage.table(found)
    else:
        found = measured(args.scenes, args.seed, args.size, tell)
        shown = table(found)
    write_json(args.json, found)
    print(shown)
    return 0


class Seen(NamedTuple):
    """One goal of one scene: whether it is really there, and what the verifier says."""

    scene: int
    type: str
    goal: str
    there: bool
    outcome: Outcome
    evidence: str


def measured(scenes: int, seed: int, size: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Precision and recall of "met" (unsure counts as not met) and the share of unsure, in [0, 1]."""
    records = compose(pool(), scenes, RANGES["t2i"], seed, "t2i", write)
    rows: list[Seen] = []
    with ProcessPoolExecutor(max_workers=cores(), initializer=one_thread) as workers:
        for done, found in enumerate(workers.map(partial(seen, seed=seed, size=size), records), 1):
            rows += found
            if done % 50 == 0:
                tell(f"{done} of {scenes} scenes")
    wrong = [row for row in rows if (row.outcome is Outcome.MET) != row.there]
    return {
        "verifier": "sketch-verifier, on simulated pictures",
        "scenes": scenes,
        "seed": seed,
        "size": size,
        "all": rates(rows),
        "types": {kind.value: rates([row for row in rows if row.type == kind]) for kind in GoalType},
        "wrong": [row._asdict() for row in wrong],
    }


def rates(rows: Sequence[Seen]) -> dict[str, float | int | None]:
    met = [row for row in rows if row.outcome is Outcome.MET]
    there = [row for row in rows if row.there]
    hits = sum(row.there for row in met)
    return {
        "goals": len(rows),
        "there": len(there),
        "precision": round(hits / len(met), 4) if met else None,
        "recall": round(hits / len(there), 4) if there else None,
        "unsure": round(sum(row.outcome is Outcome.UNSURE for row in rows) / max(len(rows), 1), 4),
    }


def table(result: dict[str, Any]) -> str:
    lines = [
        f"{result['scenes']} scenes of seed {result['seed']} at {result['size']} px; {result['verifier']}",
        f"{'type':<13}{'goals':>7}{'there':>7}{'precision':>11}{'recall':>8}{'unsure':>8}",
    ]
    for name, row in (*result["types"].items(), ("all", result["all"])):
        rate = "".join(f"{'-' if row[key] is None else f'{row[key]:.3f}':>{wide}}" for key, wide in _COLUMNS)
        lines.append(f"{name:<13}{row['goals']:>7}{row['there']:>7}{rate}")
    return "\n".join(lines)


_COLUMNS = (("precision", 11), ("recall", 8), ("unsure", 8))

# --- one scene ----------------------------------------------------------------------------------


def seen(record: Record, seed: int, size: int) -> list[Seen]:
    """Draws a task and judges each of its goals."""
    goals = record.goal_values()
    wanted = parse("\n".join(f"{goal.text}." for goal in goals))
    plan = tuple(_plan(wanted, f"{seed}/{record.id}"))
    comp = generated(plan, size, size, rng("scene", seed, record.id))
    segments = Segments(draw.from_png(draw.to_png(comp.canvas)))
    rows: list[Seen] = []
    for goal in goals:
        verdict = judged(segments, goal, "sketch-verifier")
        asked = parse(goal.text)
        there = bool(asked) and all(shows(comp, plan, d) for d in asked)
        rows.append(Seen(record.id, goal.type, goal.text, there, verdict.outcome, verdict.evidence))
    return rows


def _plan(wanted: Sequence[Drawable], dice: str) -> Iterator[Drawable]:
    for drawable in wanted:
        right = rng("drawn", dice, drawable.key).random() < _DRAWN
        if done := drawable if right else spoiled(drawable, _SPOILER):
            yield done
