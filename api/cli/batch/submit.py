"""`visiondirector batch submit`: read everything, complain about everything, then send pictures and lines."""

import argparse
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from api.cli import transcript
from api.cli.batch import terms
from api.cli.batch.entries import Complaint, Entry, Names, Place, Places
from api.cli.batch.manifest import Manifest
from api.cli.batch.watch import follow
from api.cli.console import SATISFIED, Console
from api.client import BadRequest, Batch, FieldError
from director import intake
from director.errors import BriefError
from director.transcript import Line, count, plain, warning_line
from tasks.files import read_named

MOST_TOLD = 100
_MAX_PICTURE = 200_000_000
_RANGE = re.compile(r"(-?\d{1,18})\.\.(-?\d{1,18})")
_MAX_VALUES = 10_000


def submit(args: argparse.Namespace, console: Console) -> int:
    manifest = Manifest([Path(name) for name in args.files], args.goals)
    places, pictures = _checked(manifest)
    header = _header(args, manifest)
    sources = _upload(console, pictures)
    _say(console, f"sending {count(len(places), 'brief')}" + (f", {len(pictures)} with a picture" if pictures else ""))
    try:
        made = console.client.submit_batch(
            _lines(manifest, sources), header, args.key, on_pause=lambda why: _say(console, f"waiting: {why}")
        )
    except BadRequest as error:
        raise _placed(error, places) from error
    except KeyboardInterrupt:
        _say(console, "\nnothing starts before all is sent: the same command goes on where it was")
        raise
    _print_submitted(console, made, places)
    if not args.watch:
        return SATISFIED
    return follow(console, made.id, Path(args.output) if args.output else None, args.metadata)


def _say(console: Console, text: str) -> None:
    console.screen.note(text)


def _checked(manifest: Manifest) -> tuple[Places, dict[Path, Place]]:
    """Where each entry came from, and which pictures they name. Raises BriefError that lists all complaints."""
    places, pictures = Places(), dict[Path, Place]()
    told, number = list[str](), 0
    with Names() as names:
        for found in manifest.entries():
            wrong = found if isinstance(found, Complaint) else names.double(found)
            if wrong:
                number += 1
                told += [plain(str(wrong), 500)] if number <= MOST_TOLD else []
            elif isinstance(found, Entry):
                places.add(found.place)
                if found.picture:
                    pictures.setdefault(found.picture, found.place)
    if number:
        raise _refused(told, number)
    if not len(places):
        raise BriefError("there is no brief in what you named", "write one into each line", "FILE")
    return places, pictures


def _refused(told: list[str], number: int) -> BriefError:
    more = [f"… and {number - len(told)} more"] if number > len(told) else []
    return BriefError("\n".join([*told, *more, f"{count(number, 'error')}: nothing was sent"]), field="FILE")


def _header(args: argparse.Namespace, manifest: Manifest) -> dict[str, Any]:
    """What holds for all briefs: the options over what the first line of a JSONL file says."""
    given = manifest.header
    if not isinstance(given.get("settings", {}), dict) or not isinstance(given.get("title", ""), str):
        raise BriefError("settings or title of the first line are no object and no words", "mend the line", "FILE")
    header = {
        "title": (args.title or given.get("title") or _title(manifest.paths[0]))[:120],
        "labels": args.label or given.get("labels"),
        "priority": given.get("priority") if args.priority is None else args.priority,
        "settings": {**given.get("settings", {}), **intake.assignments(args.set)},
        "matrix": matrix(args.matrix) or given.get("matrix"),
        "max_in_flight": args.max_in_flight or given.get("max_in_flight"),
        **terms.given(args),
    }
    rest = {name: value for name, value in given.items() if name not in header}
    return {**rest, **{name: value for name, value in header.items() if value not in (None, {}, [], ())}}


def _title(path: Path) -> str:
    return path.resolve().name if path.is_dir() else path.stem


def matrix(words: list[str]) -> dict[str, list[Any]]:
    """`seed=1..4` and `editor=a,b` as lists of values."""
    found: dict[str, list[Any]] = {}
    for word in words:
        name, equals, values = word.partition("=")
        if not equals or not name or not values:
            raise BriefError(f"{word!r} is no row of a matrix", "write seed=1..4 or editor=a,b", "--matrix")
        if span := _RANGE.fullmatch(values):
            first, last = int(span[1]), int(span[2])
            if not 0 <= last - first < _MAX_VALUES:
                raise BriefError(f"{word!r} has no values, or too many", "write seed=1..4", "--matrix")
            found[name] = list(range(first, last + 1))
        else:
            found[name] = [intake.assignments([f"{name}={value}"])[name] for value in values.split(",")]
    return found


def _upload(console: Console, pictures: Mapping[Path, Place]) -> dict[Path, str]:
    """The hashes of the pictures in the service; what several briefs start from is sent once."""
    sent, sources = dict[bytes, str](), dict[Path, str]()
    for path, place in pictures.items():
        data = read_named(path, "source", _MAX_PICTURE)
        digest = hashlib.sha256(data).digest()
        if digest not in sent:
            try:
                sent[digest] = console.client.upload(data).image
            except BadRequest as error:
                told = "; ".join(f"{field.message} ({field.fix})" for field in error.fields) or error.message
                raise BriefError(f"{place}: the picture {path.name} can't be used: {told}", field="source") from error
        sources[path] = sent[digest]
    return sources


def _lines(manifest: Manifest, sources: Mapping[Path, str]) -> Iterator[bytes]:
    for found in manifest.entries():
        if isinstance(found, Complaint) or (found.picture and found.picture not in sources):
            raise BriefError(f"{found.place}: it was changed while it was read", "send the batch again", "FILE")
        line = dict(found.line)
        if found.picture:
            line["brief"] = {**line["brief"], "source": sources[found.picture]}
        yield json.dumps(line, separators=(",", ":")).encode() + b"\n"


def _placed(error: BadRequest, places: Places) -> BriefError | BadRequest:
    """What the service says of lines, said of the files that they came from."""
    if all(field.line is None for field in error.fields):
        return error
    return _refused([plain(_told(field, places), 500) for field in error.fields], len(error.fields))


def _told(field: FieldError, places: Places) -> str:
    return f"{_place(field.line or 1, places)}: {field.model_copy(update={'line': None})}"


def _place(line: int, places: Places) -> str:
    """Where line number `line` of what was sent came from. The first is the header, which is made of options."""
    number = line - 2
    return str(places[number]) if 0 <= number < len(places) else "the options"


def _print_submitted(console: Console, made: Batch, places: Places) -> None:
    screen = console.screen
    verb = "sent before" if made.repeated else "submitted"
    screen.line(Line(verb, f"{made.id}  {plain(made.title)}: {count(made.total, 'picture')} to draw", "bold"))
    screen.line(*terms.late_lines(made))
    for told in made.warnings:
        first = f"{_place(told.lines[0], places)}: " if told.lines else ""
        more = f", and {count(told.count - 1, 'brief')} more like it" if told.count > 1 else ""
        screen.line(warning_line(first + told.message + more, told.fix))
    if made.waits.startswith(transcript.NOBODY):
        screen.line(transcript.progress_line(made.waits))
    screen.data(made.model_dump(mode="json", by_alias=True))
