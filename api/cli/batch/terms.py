"""Options that say when a batch may be drawn, and how much: windows, deadline, budget."""

import argparse
import math
import os
import re
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from api.cli import transcript
from api.client import Batch
from director.errors import BriefError
from director.transcript import Line, warning_line

NAMES = ("window", "at_close", "deadline", "by", "spread", "budget")
_ENDS_IN_CLOCK = re.compile(r".*\d{1,2}:\d{2}\s*")
_DATE_AND_OFFSET = re.compile(r"\s*\d{4}-.*[:\d][+-]\d{2}:?\d{2}\s*")
_LOCAL_TIME = Path("/etc/localtime")
_NONE = "none"


def add(parser: argparse.ArgumentParser, taken_away: bool = False) -> None:
    """`taken_away`: a patch may also take one away, with the word none."""
    none = "; none: at any time" if taken_away else ""
    parser.add_argument(
        "--window", action="append", metavar="WHEN",
        help=f"begin items only then, e.g. '22:00-07:00 Europe/Zurich' or 'mon-fri 22:00-07:00'; repeat{none}",
    )  # fmt: skip
    about = "when its windows close, finish what was begun (the default) or hold it"
    parser.add_argument("--at-close", choices=["finish", "hold"], help=about)
    none = "; none: no deadline" if taken_away else ""
    about = f"e.g. '07:00', '07:00 Europe/Zurich' or 2026-11-29T07:00+01:00: it is told when it is late{none}"
    parser.add_argument("--deadline", metavar="TIME", help=about)
    about = "a deadline that is kept: what a goal may cost is set so that the whole batch is done by then"
    parser.add_argument("--by", metavar="TIME", help=about)
    about = "each brief gets its first picture before any gets a better one"
    parser.add_argument("--spread", action=argparse.BooleanOptionalAction, default=None, help=about)
    none = "; none: no limit" if taken_away else ""
    about = f"renders=400, gpu=2h or eur=20; repeat. Nothing new begins from nine tenths, at the limit it is held{none}"
    parser.add_argument("--budget", action="append", metavar="UNIT=LIMIT", help=about)


def given(args: argparse.Namespace) -> dict[str, Any]:
    """What the options say, as the service takes it. Raises BriefError."""
    found: dict[str, Any] = {"at_close": args.at_close, "spread": args.spread}
    if args.deadline is not None and args.by is not None:
        raise BriefError("--by is a deadline, too", "give one of the two", "--by")
    if args.window:
        found["windows"] = [] if args.window == [_NONE] else [_with_zone(word, "--window") for word in args.window]
    if args.budget:
        found["budget"] = {} if args.budget == [_NONE] else budget(args.budget)
    found = {name: value for name, value in found.items() if value is not None}
    for name in ("deadline", "by"):
        if (word := getattr(args, name)) is not None:
            found[name] = None if word == _NONE else _with_zone(word, f"--{name}")
    return found


def budget(words: list[str]) -> dict[str, Any]:
    """`renders=400`, `gpu=2h`, `eur=20` as an object."""
    found: dict[str, Any] = {}
    for word in words:
        unit, equals, limit = word.partition("=")
        if not equals or not unit or not limit:
            raise BriefError(f"{word!r} is no budget", "write renders=400, gpu=2h or eur=20", "--budget")
        if unit.lower() in found:
            raise BriefError(f"{unit.lower()} has two budgets", "give each unit once", "--budget")
        found[unit.lower()] = limit if unit.lower() == "gpu" else _amount(limit)
    return found


def _amount(words: str) -> float:
    try:
        if math.isfinite(amount := float(words)):
            return amount
    except ValueError:
        pass
    raise BriefError(f"{words!r} is no number", "write renders=400, gpu=2h or eur=20", "--budget")


def _with_zone(words: str, option: str) -> str:
    """The time with this machine's zone, where it names none."""
    if not _ENDS_IN_CLOCK.fullmatch(words) or _DATE_AND_OFFSET.fullmatch(words):
        return words
    if zone := local_zone():
        return f"{words.strip()} {zone}"
    raise BriefError(f"{words!r} names no time zone", f"write {words.strip()} Europe/Zurich", option)


def late_lines(batch: Batch) -> list[Line]:
    """What to say of a deadline that was over when it was given, or that can't be kept."""
    if batch.status == "ended":
        return []
    option = "--by" if batch.terms.by else "--deadline"
    if batch.terms.late:
        return [warning_line("its deadline has passed", f"visiondirector batch patch {batch.id[:8]} {option} 07:00")]
    return transcript.late_lines(batch.eta) if batch.eta else []


def local_zone() -> str:
    """The name of this machine's time zone; "" if it does not say."""
    names = [os.environ.get("TZ", "").removeprefix(":")]
    if _LOCAL_TIME.is_symlink():
        names.append(str(_LOCAL_TIME.resolve()).partition("zoneinfo/")[2])
    return next((name for name in names if name and name in available_timezones()), "")
