"""What the commands of benchmarks share: their options, the folder that a `Runner` fills, what they tell people."""

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from director.errors import BriefError
from director.intake import assignments, loop_settings
from director.strategies import STRATEGIES
from director.transcript import plain
from director.types import Seed
from tasks.files import write_whole
from worker.bench.cases import Arm, Case, Run, Runner, Work, works
from worker.bench.record import record_of
from worker.bench.run_log import described, open_log

# --- options ------------------------------------------------------------------------------------


def add_loop_arguments(parser: argparse.ArgumentParser) -> None:
    """Of a benchmark that runs its cases one way."""
    parser.add_argument("--strategy", default="ours", help=f"one of {', '.join(STRATEGIES)}")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the loop")
    parser.add_argument("--seed", type=int, default=0, help="of the first picture of each case; others count up")
    add_run_arguments(parser)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, help="processes; default: all cores on the sketch studio, else one")
    parser.add_argument("--no-grade", action="store_true", help="collect pictures; say how to grade them")


def check_options(args: argparse.Namespace, *counts: str) -> None:
    """What would else fail after hours. Raises BriefError for counts below 1, seeds, and a --json without a folder."""
    for name in (*counts, "limit", "workers"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise BriefError(f"{value} is too few", "give 1 or more", f"--{name.replace('_', '-')}")
    if not 0 <= args.seed < 2**62:
        raise BriefError(f"{args.seed} is no seed", "give a whole number from 0", "--seed")
    if args.json and not args.json.absolute().parent.is_dir():
        raise BriefError(f"there is no folder {args.json.parent}", "make it first", "--json")


# --- running ------------------------------------------------------------------------------------


def draw(
    cases: Iterable[Case],
    seeds: Sequence[Seed],
    place: Callable[[Work], str],
    args: argparse.Namespace,
    runner: Runner,
    what: str,
) -> tuple[list[Run], dict[str, Any]]:
    """Every case the way that `add_loop_arguments` says, into the folder of the run: the runs, and their record.

    Raises BriefError for a setting that can't be, and as `collect` does.
    """
    settings = loop_settings({**runner.fixed, **assignments(args.set)}, args.strategy)
    arm = Arm(name=args.strategy, settings=settings)
    runs = list(collect(works(cases, [arm], seeds), args.output, place, runner, args.seed, what))
    return runs, record_of(runs, runner.studio, arm)


def collect(
    asked: Sequence[Work],
    folder: Path,
    place: Callable[[Work], str],
    runner: Runner,
    seed: Seed,
    what: str,
) -> Iterator[Run]:
    """Each piece of work as a Run whose picture lies in its `place` below the folder; what is filed is not run again.

    A run that failed is tried again by the next call. `what` is the word for the works when people are told how far
    it is. Raises BriefError when the folder was filled with other settings, or with pictures counted up from another
    `seed`.
    """
    told = Teller(what, len(asked), runner.tells_each)
    with open_log(folder / "runs.jsonl", Run, described(asked, runner.studio, seed)) as log:
        due = {work.key: work for work in asked}
        done = 0
        for work in asked:
            found = log.get(work.key, work.case.digest())
            # The picture too: what somebody deleted is drawn again.
            if found and (not found.picture or (folder / found.picture).is_file()):
                del due[work.key]
                told(done := done + 1, found)
                yield found
        for run, png in runner.run(list(due.values())) if due else ():
            picture = place(due[run.key]) if png else None
            if png and picture:
                write_whole(folder / picture, png)
            filed = run.model_copy(update={"picture": picture})
            log.add(filed)
            told(done := done + 1, filed)
            yield filed


class Teller:
    """Says on stderr how far it is: at every twentieth part and at the end, or, with `each`, of every run."""

    def __init__(self, what: str, total: int, each: bool = False) -> None:
        self._what, self._total, self._each = what, total, each
        self._told = -1

    def __call__(self, done: int, run: Run | None = None) -> None:
        part = 20 * done // max(self._total, 1)
        if run and self._each:
            end = plain(run.error, 500) or run.stop
            print(f"{done} of {self._total}  {run.case} ({run.arm}) {end}", file=sys.stderr)
        elif part != self._told:
            self._told = part
            print(f"{self._what}: {done} of {self._total}", file=sys.stderr)


# --- ending -------------------------------------------------------------------------------------


def tell_how(verb: str, name: str, words: Sequence[str], limit: int | None) -> None:
    """The command that grades or judges the pictures of a folder."""
    told = shlex.join([*words, *(["--limit", str(limit)] if limit else [])])
    print(f"{verb} where a worker is installed: visiondirector-worker bench {name} {told}", file=sys.stderr)


def write_json(path: Path | None, result: Mapping[str, Any]) -> None:
    if path:
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
