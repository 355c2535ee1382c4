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

import numpy as np

from director.types import GoalType, Outcome, Region
from tasks.settings import Settings
from worker.bench.command import write_json
from worker.bench.lgbench.compose import RANGES, compose
from worker.bench.lgbench.pool import pool
from worker.bench.lgbench.records import Record
from worker.bench.lgbench.write import write
from worker.bench.local import cores, one_thread
from worker.sketch import draw
from worker.sketch.comp import Comp, Placed
from worker.sketch.draw import PixelBox
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
    parser.add_argument("--size", type=int, default=_SIZE, help="pixels a side")
    parser.add_argument("--json", type=Path, help="also write the result, every wrong verdict included, to this file")


def run(args: argparse.Namespace, settings: Settings) -> int:
    result = measured(args.scenes, args.seed, args.size, lambda line: print(line, file=sys.stderr))
    write_json(args.json, result)
    print(table(result))
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
        there = bool(asked) and all(_there(comp, plan, d) for d in asked)
        rows.append(Seen(record.id, goal.type, goal.text, there, verdict.outcome, verdict.evidence))
    return rows


def _plan(wanted: Sequence[Drawable], dice: str) -> Iterator[Drawable]:
    for drawable in wanted:
        right = rng("drawn", dice, drawable.key).random() < _DRAWN
        if done := drawable if right else spoiled(drawable, _SPOILER):
            yield done


def _there(comp: Comp, plan: Sequence[Drawable], d: Drawable) -> bool:
    """Whether the comp holds a drawable as it was asked for, by where its boxes are."""
    if d.kind == "layout":
        return _LAID_OUT[d.name](comp, d)
    if d.name == "of":
        return any(bool(np.abs(t.rgb - draw.colour(d.colours[0])).max() < 1) for t in _of(comp, d.anchor))
    if d not in plan:
        return False
    if d.kind == "thing":
        own = [t for t in _of(comp, d.name) if _as_asked(comp, t, d)]
        return len(own) >= 2 if d.count == 0 else len(own) >= 1 if d.count == 1 else len(own) == d.count
    if d.kind == "text":
        return any(text.string == d.string and _inside(comp, box, d.region, 0.06) for text, _, box in comp.type)
    return not d.anchor or bool(_of(comp, d.anchor))


def _of(comp: Comp, noun: str) -> list[Placed]:
    return [thing for thing in comp.things if thing.noun == noun]


def _as_asked(comp: Comp, thing: Placed, d: Drawable) -> bool:
    anchors = _of(comp, d.anchor) if d.relation in _BESIDE else []
    beside = not anchors or any(_BESIDE[d.relation](thing.box, a.box) for a in anchors)
    return beside and _inside(comp, thing.box, d.region, 0.04) and _tall(comp, thing.box, d.height)


_BESIDE: dict[str, Callable[[PixelBox, PixelBox], bool]] = {
    "left": lambda t, a: t[0] + t[2] < a[0] + a[2],
    "right": lambda t, a: t[0] + t[2] > a[0] + a[2],
    "above": lambda t, a: t[1] + t[3] < a[1] + a[3],
    "on": lambda t, a: t[1] + t[3] < a[1] + a[3],
    "below": lambda t, a: t[1] + t[3] > a[1] + a[3],
}


def _tall(comp: Comp, box: PixelBox, height: float | None) -> bool:
    """Stated heights within a third, as the verifier has it; words such as "large" only have to stand out."""
    share = (box[3] - box[1]) / comp.height
    if height is None or height <= 0.2:
        return True
    if height in (0.3, 0.4):
        return max(share, (box[2] - box[0]) / comp.width) > 0.12
    return 0.66 < share / height < 1.4


def _centre(comp: Comp, box: PixelBox) -> tuple[float, float]:
    return (box[0] + box[2]) / 2 / comp.width, (box[1] + box[3]) / 2 / comp.height


def _inside(comp: Comp, box: PixelBox, region: Region | None, slack: float) -> bool:
    x, y = _centre(comp, box)
    return region is None or (
        region.x0 - slack <= x <= region.x1 + slack and region.y0 - slack <= y <= region.y1 + slack
    )


def _margins(comp: Comp, _: Drawable) -> bool:
    edge = 0.085 * comp.unit
    boxes = [thing.box for thing in comp.things]
    return all(
        b[0] >= edge and b[1] >= edge and b[2] <= comp.width - edge and b[3] <= comp.height - edge for b in boxes
    )


def _clear(comp: Comp, d: Drawable) -> bool:
    area = d.region or Region(x0=0, y0=0, x1=1, y1=0.35)
    return not any(_inside(comp, thing.box, area, -0.02) for thing in comp.things)


def _symmetry(comp: Comp, _: Drawable) -> bool:
    spots = [_centre(comp, thing.box) for thing in comp.things]
    paired = sum(any(abs(1 - x - u) < 0.09 and abs(y - v) < 0.15 for u, v in spots) for x, y in spots)
    return bool(spots) and paired >= 0.7 * len(spots)


def _diagonal(comp: Comp, _: Drawable) -> bool:
    spots = np.array([_centre(comp, thing.box) for thing in comp.things])
    return len(spots) >= 3 and abs(float(np.corrcoef(spots.T)[0, 1])) > 0.6


def _third(comp: Comp, _: Drawable) -> bool:
    boxes = [thing.box for thing in comp.things]
    x = _centre(comp, max(boxes, key=lambda b: (b[2] - b[0]) * (b[3] - b[1])))[0] if boxes else 0.5
    return min(abs(x - 1 / 3), abs(x - 2 / 3)) < 0.09


def _place(comp: Comp, d: Drawable) -> bool:
    return any(_inside(comp, t.box, d.region, 0.04) and _tall(comp, t.box, d.height) for t in _of(comp, d.anchor))


_LAID_OUT: dict[str, Callable[[Comp, Drawable], bool]] = {
    "margins": _margins,
    "clear": _clear,
    "symmetry": _symmetry,
    "diagonal": _diagonal,
    "third": _third,
    "place": _place,
}
