"""Pictures for a benchmark of another's format: each case through the loop, in this process and its children."""

import argparse
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from director.errors import BriefError, DirectorError, SeatError
from director.intake import assignments, loop_settings
from director.seats import Studio
from director.state import State
from director.types import STRATEGIES
from tasks.files import write_whole
from tasks.settings import Settings, load_settings
from tasks.store import clean_upload, image_hash
from worker.bench.cases import Arm, Cost, Key, Run, Work, run_of
from worker.bench.cores import one_thread
from worker.bench.folder import described
from worker.bench.run_log import open_log
from worker.local import LocalContext
from worker.local import run as run_loop
from worker.profiles import load_profile
from worker.profiles import names as profile_names
from worker.profiles.servers import servers_running
from worker.studio import SKETCH, editor_models, open_studio

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def add_loop_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile", help="editor model, such as flux-krea; or what fills all seats: a studio's name, or a .json"
    )
    parser.add_argument("--strategy", default="ours", help=f"one of {', '.join(STRATEGIES)}")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the loop")
    parser.add_argument("--seed", type=int, default=0, help="of the first picture of each case; others count up")
    parser.add_argument("--workers", type=int, help="processes; default: all cores on the sketch studio, else one")


def chosen(args: argparse.Namespace, settings: Settings) -> tuple[Settings, Arm]:
    """Who fills the seats and the loop's settings, as the command line says. Raises BriefError that names the word."""
    settings, editor = resolve_studio(args.profile, settings)
    values = {**editor, **assignments(args.set)}
    return settings, Arm(name=args.strategy, settings=loop_settings(values, args.strategy))


def resolve_studio(profile: str | None, settings: Settings) -> tuple[Settings, dict[str, Any]]:
    """The settings with the seats of a studio, and the loop's `editor` where an editor was named instead."""
    if not profile:
        return settings, {}
    if profile in profile_names() or profile.endswith(".json"):
        return load_settings(**load_profile(profile, settings).settings(os.environ)), {}
    if profile not in (models := editor_models(settings)):
        known = f"editors: {', '.join(models)}; studios: {', '.join(profile_names())}"
        raise BriefError(f"there is no editor or studio {profile!r}", known, "--profile")
    return settings, {"editor": profile}


@dataclass(frozen=True)
class Place:
    """Where pictures go. `name` gives a piece of work's, below `folder`."""

    folder: Path
    name: Callable[[Work], str]


def run_cases(works: Sequence[Work], place: Place, settings: Settings, workers: int | None, seed: int) -> Iterator[Run]:
    """Each piece of work as a Run whose picture lies in its place; what is filed there is not run again.

    A seat that fails leaves a Run with its error, which the next call tries again. Raises BriefError when the folder
    was filled with other settings, or with pictures counted up from another `seed`.
    """
    facts = described(works, settings.studio, seed)
    with open_log(place.folder / "runs.jsonl", Run, facts) as log, ExitStack() as resources:
        due: list[Work] = []
        for work in works:
            found = log.get(Key(work.case.id, work.arm.name, work.seed), work.case.digest())
            # The picture too: what somebody deleted is drawn again.
            if found and (not found.picture or (place.folder / found.picture).is_file()):
                yield found
            else:
                due.append(work)
        if due:
            resources.enter_context(servers_running(settings, place.folder / "log"))
        by_key = {Key(work.case.id, work.arm.name, work.seed): work for work in due}
        for drawn, png in _each(due, settings, workers):
            picture = place.name(by_key[drawn.key]) if png else None
            if png and picture:
                write_whole(place.folder / picture, png)
            run = drawn.model_copy(update={"picture": picture})
            log.add(run)
            yield run


_Drawn = tuple[Run, bytes | None]
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def _each(works: Sequence[Work], settings: Settings, workers: int | None) -> Iterator[_Drawn]:
    return spread(_one, works, settings, workers)


def spread(
    call: Callable[[_Item, Settings, Studio], _Result], items: Sequence[_Item], settings: Settings, workers: int | None
) -> Iterator[_Result]:
    """`call` of each item with an open studio, over processes (one: this one), each result as it comes."""
    number = min(workers or (os.cpu_count() or 1 if settings.studio == SKETCH else 1), len(items))
    if number <= 1:
        with ExitStack() as resources:
            studio = open_studio(settings, resources)
            yield from (call(item, settings, studio) for item in items)
        return
    # Spawned: a child forked beside threads may hang.
    with ProcessPoolExecutor(number, get_context("spawn"), _start_child, (os.getpid(),)) as pool:
        futures = [pool.submit(_in_child, call, item, settings) for item in items]
        try:
            for each in as_completed(futures):
                yield each.result()
        except BrokenProcessPool as error:
            raise DirectorError(
                "a process that ran cases was killed",
                "run the same command again, with fewer --workers if it was memory",
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_opened: list[Studio] = []
"""The studio of a child process, opened at its first case and kept."""


def _in_child(call: Callable[[_Item, Settings, Studio], _Result], item: _Item, settings: Settings) -> _Result:
    if not _opened:
        _opened.append(open_studio(settings, ExitStack()))
        if settings.studio == SKETCH:
            one_thread()
    return call(item, settings, _opened[0])


def _start_child(parent: int) -> None:
    """Ctrl-C is the parent's to heed; and a child of a killed run would wait for work for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class Pictures:
    """The pictures of one run, in memory: only the last is kept, the others would be gigabytes."""

    def __init__(self) -> None:
        self._pngs: dict[str, bytes] = {}

    def get(self, image: str) -> bytes:
        return self._pngs[image]

    def put(self, png: bytes) -> str:
        image = image_hash(png)
        self._pngs[image] = png
        return image


def _one(work: Work, settings: Settings, studio: Studio) -> _Drawn:
    images = Pictures()
    context = LocalContext(images)
    start = time.monotonic()
    brief = work.case.brief
    try:
        if work.case.source:
            png = clean_upload(work.case.source.read_bytes(), settings.max_image_bytes, settings.max_image_pixels)
            brief = brief.model_copy(update={"source": images.put(png)})
        done = run_loop(brief, work.arm.settings, work.seed, studio, images, context=context)
    except (SeatError, BriefError) as error:
        case, arm, seed = work.case, work.arm.name, work.seed
        return Run(case=case.id, arm=arm, seed=seed, task=case.digest(), error=str(error)[:500]), None
    final = State.of(done).deliverable
    run = run_of(work, done, None, context.counts, time.monotonic() - start)
    return run, images.get(final) if final else None


# --- what both reports say ------------------------------------------------------------------------


class Teller:
    """Says on stderr how far it is: at every twentieth part, and at the end."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._told = -1

    def __call__(self, done: int) -> None:
        part = 20 * done // max(self._total, 1)
        if part != self._told:
            self._told = part
            print(f"{self._what}: {done} of {self._total}", file=sys.stderr)


def filed_facts(folder: Path) -> dict[str, Any]:
    """Who drew the pictures of a folder that a run or a service filled; that it is not known of any other."""
    if not (folder / "runs.jsonl").is_file():
        return {"editor": "not known: pictures made elsewhere"}
    with open_log(folder / "runs.jsonl", Run, {}) as log:
        runs = log.values()
        arm = f"arms.{runs[0].arm}." if runs else ""
        values = {k.removeprefix(arm): v for k, v in log.settings.items() if arm and k.startswith(arm)}
        studio = str(log.settings.get("studio"))
    if not values:
        return {"editor": "not known: nothing is filed of these pictures"}
    return facts(runs, studio, Arm(name=runs[0].arm, settings=loop_settings(values)))


def facts(runs: Sequence[Run], studio: str, arm: Arm) -> dict[str, Any]:
    """Who drew, how, and what it cost. `studio` says what fills the seats."""
    seats = sorted({name for run in runs for name in run.by})
    drawn = any(name.startswith("editor=sketch-") for name in seats)
    simulated = " (simulated)" if drawn or studio == SKETCH else ""
    return {
        "editor": f"{studio}/{arm.settings.editor}{simulated}",
        "strategy": arm.name,
        "settings": arm.settings.model_dump(mode="json"),
        "seats": seats,
        "cost": {name: _total(runs, name) for name in Cost.model_fields},
        "pictures": sum(run.picture is not None for run in runs),
        "failed": sorted(f"{run.case} (seed {run.seed}): {run.error}" for run in runs if run.error),
    }


def _total(runs: Sequence[Run], name: str) -> float | None:
    known = [value for run in runs if (value := getattr(run.cost, name)) is not None]
    return round(sum(known), 3) if known else None


def cost_lines(result: Mapping[str, Any]) -> list[str]:
    """Nothing for figures that come from a file."""
    if "cost" not in result:
        return []
    cost = ", ".join(
        f"{value:g} {name.replace('_', ' ')}" for name, value in result["cost"].items() if value is not None
    )
    lines = [f"{result['pictures']} pictures by {result['strategy']} ({'; '.join(result['seats'])}): {cost}"]
    if result["failed"]:
        lines.append(
            f"{len(result['failed'])} could not be drawn; the same command tries them again: {result['failed'][0]}"
        )
    return lines


def interval_text(ends: Sequence[float] | None, form: str) -> str:
    """The ends of an interval in a format such as ".1%"; a dash where one case gives none."""
    return f"{ends[0]:{form}} to {ends[1]:{form}}" if ends else "–"


def control_lines(result: Mapping[str, Any]) -> list[str]:
    """The difference to the control, or that there is none."""
    if not (control := result.get("control")):
        return ["control: none (--control FILE, such as the same editor with --strategy one-shot)"]
    interval = interval_text(control["ci"], "+.4f")
    return [
        f"less the control ({control['file']}): {control['difference']:+.4f}, "
        f"95 % interval {interval}, paired over {control['pairs']}"
    ]


def check_options(args: argparse.Namespace, *counts: str) -> None:
    """What would else fail after hours. Raises BriefError for counts below 1, seeds, and a --json without a folder."""
    for name in (*counts, "limit", "workers"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise BriefError(f"{value} is too few", "give 1 or more", f"--{name.replace('_', '-')}")
    if not 0 <= args.seed < 2**62:
        raise BriefError(f"{args.seed} is no seed", "give a whole number from 0", "--seed")
    if args.json and not args.json.absolute().parent.is_dir():
        raise BriefError(f"there is no folder {args.json.parent}", "make it first", "--json")


def write_json(path: Path | None, result: Mapping[str, Any]) -> None:
    if path:
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
