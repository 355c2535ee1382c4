"""`visiondirector-worker compose`: LGBench-like tasks from the goal pool, with source pictures for i2i."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from director.errors import BriefError
from director.seats import RenderRequest
from director.types import Action, ActionKind
from worker.bench.lgbench.compose import RANGES, compose
from worker.bench.lgbench.pool import pool
from worker.bench.lgbench.records import SOURCE, Modality, Record, dumped
from worker.bench.lgbench.write import write

_SIZE = 512


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", type=int, default=100, help="how many")
    parser.add_argument("--goals", metavar="LOW-HIGH", help="goals a task (default: 14-22, or 8-14 for i2i)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same files")
    parser.add_argument("--modality", choices=["t2i", "i2i"], default="t2i", help="i2i: edits of a picture drawn first")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for t2i_<tasks>.json and the pictures")


def run(args: argparse.Namespace) -> int:
    """Compose, write the records, draw the sources. Raises BriefError for what can't be composed."""
    if args.tasks < 1:
        raise BriefError(f"{args.tasks} tasks", "ask for one or more", "--tasks")
    goals = goal_range(args.goals, args.modality)
    path, records = write_tasks(args.output, args.tasks, goals, args.seed, args.modality)
    print(f"{path}: {len(records)} tasks, {sum(len(record.goals) for record in records)} goals")
    return 0


def goal_range(text: str | None, modality: Modality) -> tuple[int, int]:
    """ "8-30" as (8, 30), "18" as (18, 18); the usual range when nothing is said."""
    if not text:
        return RANGES[modality]
    low, dash, high = text.partition("-")
    if not (low.isdigit() and (high.isdigit() or not dash)):
        raise BriefError(f"{text!r} is no range", "write LOW-HIGH, such as 8-30", "--goals")
    return int(low), int(high or low)


def write_tasks(
    folder: Path, tasks: int, goals: tuple[int, int], seed: int, modality: Modality
) -> tuple[Path, list[Record]]:
    """Composed tasks in a file of the folder, with the pictures that i2i tasks start from."""
    records = list(compose(pool(), tasks, goals, seed, modality, write))
    folder.mkdir(parents=True, exist_ok=True)
    _draw_sources(records, folder)
    # Last, so that records without their pictures are never found.
    path = folder / f"{modality}_{tasks}.json"
    path.write_text(dumped(records), encoding="utf-8")
    return path, records


def _draw_sources(records: Iterable[Record], folder: Path) -> None:
    """Their source sentences, drawn by the sketch that misses nothing."""
    from worker.bench.local import Pictures
    from worker.local import LocalContext
    from worker.sketch.editor import SketchEditor

    for record in records:
        target = folder / SOURCE.format(record.id)
        if record.modality != "i2i" or not record.source or target.is_file():
            continue
        context = LocalContext(Pictures())
        action = Action(kind=ActionKind.GENERATE, instruction=record.source, targets=())
        request = RenderRequest(model="perfect", action=action, seeds=(record.id,), width=_SIZE, height=_SIZE)
        drawn = SketchEditor().render(request, context).candidates[0].image
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(context.images.get(drawn))
