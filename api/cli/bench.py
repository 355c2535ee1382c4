"""`visiondirector bench`: the words of the command; `api.bench` does the work and is imported when it is named."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from api.cli.console import Command, Console
from director.types import STRATEGIES


def add_arguments(bench: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    names: Any = bench.add_subparsers(metavar="NAME", required=True)
    for add, about in (
        (_lgbench, "long briefs, goal by goal, graded beside their controls"),
        (_geneval, "GenEval's prompts, in its official folder layout"),
        (_imgedit, "ImgEdit's basic edits of its source pictures"),
    ):
        name = add.__name__.removeprefix("_")
        made = names.add_parser(name, parents=[common], help=about)
        made.add_argument("--label", default=name, metavar="WORD", help=f"of all jobs (default: {name})")
        made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of every job")
        made.add_argument("--limit", type=_count, metavar="N", help="a trial: the first N of each kind only")
        made.add_argument(
            "-o", "--output", type=Path, required=True, help="folder of the run; the same one goes on with it"
        )
        add(made)
        made.set_defaults(call=_call(name))


def _lgbench(made: argparse.ArgumentParser) -> None:
    made.add_argument("tasks", type=Path, help="LGBench file, or a folder of them")
    made.add_argument("--modality", choices=["t2i", "i2i"], help="only these tasks")
    made.add_argument("--strategy", action="append", help="repeat for several (default: ours)")
    made.add_argument("--no-controls", action="store_true", help="leave out one shot, best of 4 and best of K")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--grader", help="profile whose verifier grades (default: the studio's own)")
    made.add_argument("--no-grade", action="store_true", help="collect pictures; say how to grade them")


def _geneval(made: argparse.ArgumentParser) -> None:
    made.add_argument("--metadata", type=Path, required=True, help="GenEval's evaluation_metadata.jsonl")
    made.add_argument("--samples", type=_count, default=4, help="pictures of each prompt (official: 4)")
    _one_arm(made)


def _imgedit(made: argparse.ArgumentParser) -> None:
    made.add_argument("--edits", type=Path, required=True, help="ImgEdit's basic_edit.json")
    made.add_argument("--originals", type=Path, required=True, help="folder of the source pictures")
    _one_arm(made)


def _one_arm(made: argparse.ArgumentParser) -> None:
    made.add_argument("--strategy", choices=list(STRATEGIES), default="ours", help="default: ours")
    made.add_argument("--seed", type=int, default=0, help="of the first picture; others count up")


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _call(name: str) -> Command:
    def call(args: argparse.Namespace, console: Console) -> int:
        from worker.bench import service as bench

        run: Callable[..., int] = getattr(bench, name)
        return run(args, console.client, console.screen.note)

    return call
