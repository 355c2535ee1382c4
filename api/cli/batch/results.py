"""The results of a batch: as JSONL or CSV, and their pictures as files."""

import argparse
import io
import json
import os
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from api.cli import files
from api.cli.batch.find import full_id
from api.cli.batch.manifest import BRIEFS
from api.cli.batch.prints import PNG, Form
from api.cli.console import SATISFIED, SHORT, Console
from api.client import BatchResult, NotFound
from director.errors import BriefError
from director.transcript import Line, count
from tasks.batch.tables import csv_lines
from tasks.files import drop, file_stem, own_part

_CLOCK_S = 0.01  # of the time of a file, where a file system does not keep whole seconds, or every other one


class Out(Protocol):
    def write(self, text: str, /) -> object: ...


def results(args: argparse.Namespace, console: Console) -> int:
    """To standard output, or with -o into a folder; with --images the pictures, too, those that are there excepted."""
    if args.images and args.all:
        raise BriefError("--images saves the picture of each item's newest take", "leave --all out", "--all")
    id = full_id(console, args.batch)
    folder = Path(args.output) if args.output else Path() if args.images else None
    told = console.client.batch_results(id, args.all)
    if folder is None:
        _write(told, sys.stdout if console.screen.as_json else console.screen.output.file, args.csv)
        return SATISFIED
    path = folder / f"results.{'csv' if args.csv else 'jsonl'}"
    saved = Pictures(console, folder, args.metadata)
    with whole(path) as file:
        _write(saved.passing(told) if args.images else told, file, args.csv)
    console.screen.line(*saved.lines(), Line("saved", str(path), "bold"))
    console.screen.data({"batch": id, "saved": str(path), "pictures": saved.fetched, "kept": saved.kept})
    return SHORT if saved.missing else SATISFIED


def _write(told: Iterable[BatchResult], out: Out, as_csv: bool) -> None:
    if not as_csv:
        for result in told:
            out.write(json_line(result))
        return
    for line in csv_lines(result.model_dump() for result in told):
        out.write(line)


def json_line(result: BatchResult) -> str:
    return json.dumps(result.model_dump(mode="json")) + "\n"  # ASCII: no character of it ends a line


@contextmanager
def whole(path: Path) -> Generator[io.TextIOBase]:
    """A file that replaces `path` when all is written. Raises BriefError that names the path."""
    part = own_part(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise files.unwritable(path, error) from error
    finally:
        drop(part)


class Pictures:
    """Saves the picture of each result as `<custom_id>.png`, or in another form.

    A file carries the time at which its result ended, or another candidate was picked: so a second run knows which
    files are current, and fetches the picture of a later take anew.
    """

    def __init__(self, console: Console, folder: Path, metadata: bool, form: Form = PNG) -> None:
        self._console = console
        self._folder = folder
        self._metadata = metadata
        self._form = form
        self.fetched = self.kept = self.missing = 0

    def passing(self, told: Iterable[BatchResult]) -> Iterator[BatchResult]:
        for result in told:
            self.save(result)
            yield result

    def new_of(self, told: Iterable[BatchResult]) -> Iterator[Path]:
        """The paths of pictures that an earlier call did not fetch."""
        self.kept, self.missing = -self.fetched, 0
        for result in told:
            if path := self.save(result):
                yield path

    def save(self, result: BatchResult) -> Path | None:
        """The path of a picture that was fetched now; None if it was there, or there is none."""
        if not result.image or not result.job:
            self.missing += 1
            return None
        path = self._folder / f"{stem_of(result)}.{self._form.ending}"
        if is_current(path, result):
            self.kept += 1
            return None
        _keep_source(path)
        try:
            files.write(path, self._form.made(self._console.client.image(result.job, self._metadata)))
        except NotFound:
            self.missing += 1
            return None
        os.utime(path, (result.moment, result.moment))
        self.fetched += 1
        self._console.screen.data({"custom_id": result.custom_id, "status": result.status, "saved": str(path)})
        return path

    def lines(self) -> list[Line]:
        lines = [Line("pictures", f"{count(self.fetched, 'picture')} saved in {self._folder}")] if self.fetched else []
        lines += (
            [Line("kept", f"{count(self.kept, 'picture')} that {'was' if self.kept == 1 else 'were'} there")]
            if self.kept
            else []
        )
        lines += [Line("no picture", f"of {count(self.missing, 'item')}", "yellow")] if self.missing else []
        return lines


def stem_of(result: BatchResult) -> str:
    """The name of its files, whatever the service says."""
    return file_stem(result.file or result.custom_id)


def _keep_source(path: Path) -> None:
    """Raises BriefError where the picture would become what a brief starts from, or take the place of that."""
    for brief in (path.with_name(path.stem + ending) for ending in BRIEFS):
        if brief.is_file():
            raise BriefError(
                f"{path}: a picture beside {brief.name} is what this brief starts from", "choose another folder", "-o"
            )


def is_current(path: Path, result: BatchResult) -> bool:
    """A file that was saved of this very result, and of no earlier one."""
    if not path.is_file():
        return False
    kept, moment = path.stat().st_mtime, result.moment
    return abs(kept - moment) < _CLOCK_S or kept in (moment // 1, moment // 2 * 2)
