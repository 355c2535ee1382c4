"""`visiondirector bench`: its options, and the worker's process that runs the benchmark.

The benchmarks are in `worker/bench`, which `api` never imports.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

from api.cli.console import Command, Console
from api.cli.endpoint import CHECKOUT, find_endpoint
from api.client.client import TOKEN_NAME, URL_NAME
from director.errors import BriefError
from director.types import STRATEGIES

RUNNER = "worker.bench.service"
_OWN = {"command", "call", "url", "token", "json"}
"""Arguments that are not handed over."""


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
    # A judge needs weights or a key of its own: the command that judges is printed instead.
    made.set_defaults(no_grade=True)


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _call(name: str) -> Command:
    def call(args: argparse.Namespace, console: Console) -> int:
        if importlib.util.find_spec("worker") is None:
            raise BriefError(
                "there is no worker beside this command to run benchmarks",
                "install VisionDirector from a checkout (make setup), or use its image",
                "bench",
            )
        url, token = find_endpoint(args, os.environ, CHECKOUT)
        # -P: nothing in the current folder is taken for a module of ours.
        command = [sys.executable, "-P", "-m", RUNNER, *handed(name, args)]
        environment = {**os.environ, URL_NAME: url, TOKEN_NAME: token or ""}
        return subprocess.run(command, env=environment, check=False).returncode

    return call


def handed(name: str, args: argparse.Namespace) -> list[str]:
    """The words of a command line again, for the worker's process."""
    words = [name]
    for option, value in vars(args).items():
        flag = f"--{option.replace('_', '-')}"
        if option in _OWN or value is None or value is False:
            continue
        if value is True:
            words.append(flag)
        elif option == "tasks":
            words.append(str(value.absolute()))  # the report names it
        else:
            words += [f"{flag}={each}" for each in (cast(list[str], value) if isinstance(value, list) else [value])]
    return words
