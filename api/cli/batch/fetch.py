"""`visiondirector batch fetch`: the pictures of a batch in a folder, or all of it in one ZIP file.

A fetch that is broken off goes on with the next one. Every file is whole or absent.
"""

import argparse
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx

from api.cli import files
from api.cli.batch.find import full_id
from api.cli.batch.prints import form_of
from api.cli.batch.results import Pictures, is_current, json_line, stem_of, whole
from api.cli.console import SATISFIED, SHORT, Console
from api.client import ApiError, BatchResult, NotFound, Unavailable
from director.errors import BriefError
from director.transcript import Line, count
from tasks.batch.tables import csv_lines
from tasks.files import drop, own_part

TRIES = 4
"""Of an archive, which begins anew each time."""
THUMB_WIDTH = 512


def fetch(args: argparse.Namespace, console: Console) -> int:
    if args.zip:
        return _archive(args, console)
    form, folder = form_of(args), Path(args.folder)
    id = full_id(console, args.batch)
    saved = Pictures(console, folder, args.metadata, form)
    beside = _Beside(console, folder, thumbs=args.gallery, reports=args.report)
    with ExitStack() as tables:
        lines, table = (tables.enter_context(whole(folder / f"results.{kind}")) for kind in ("jsonl", "csv"))

        def passing(result: BatchResult) -> BatchResult:
            saved.save(result)
            beside.save(result)
            lines.write(json_line(result))
            return result

        for row in csv_lines(passing(result).model_dump() for result in console.client.batch_results(id)):
            table.write(row)
    told = [Line("saved", str(folder / "results.csv"))]
    if args.gallery:
        page = folder / "index.html"
        files.write(page, console.client.batch_gallery(id, form.ending, args.report))
        told.append(Line("gallery", str(page), "bold"))
    console.screen.line(*saved.lines(), *told)
    console.screen.data({"batch": id, "saved": str(folder), "pictures": saved.fetched, "kept": saved.kept})
    return SHORT if _left(console, id) or saved.missing else SATISFIED


def _left(console: Console, id: str) -> int:
    """How many of its items have not ended, which is told: half a night must not pass for a whole one."""
    batch = console.client.batch(id)
    left = batch.total - batch.counts.ended
    if left:
        told = f"{left:,} of {count(batch.total, 'item')} have not ended: the same command fetches them later"
        console.screen.line(Line("left", told, "yellow"))
    return left


@dataclass
class _Beside:
    """What a gallery shows beside the pictures: thumbnails, and reports where they are wanted."""

    console: Console
    folder: Path
    thumbs: bool
    reports: bool

    def save(self, result: BatchResult) -> None:
        stem, job = stem_of(result), result.job
        if not job:
            return
        client = self.console.client
        if self.reports:
            self._keep(self.folder / "reports" / f"{stem}.html", result, lambda: client.report(job))
        if self.thumbs and (image := result.image):
            path = self.folder / "thumbs" / f"{stem}.webp"
            self._keep(path, result, lambda: client.picture(job, image, THUMB_WIDTH))

    def _keep(self, path: Path, result: BatchResult, ask: Callable[[], bytes]) -> None:
        if is_current(path, result):
            return
        try:
            files.write(path, ask())
        except NotFound:
            return
        os.utime(path, (result.moment, result.moment))


# --- one file -----------------------------------------------------------------------------------


def _archive(args: argparse.Namespace, console: Console) -> int:
    if args.jpeg or args.pdf or args.gallery or args.folder != ".":
        raise BriefError("an archive is one file, with PNG pictures and a gallery", "give --zip FILE alone", "--zip")
    id, path = full_id(console, args.batch), Path(args.zip)
    for tried in range(1, TRIES + 1):
        try:
            _stream(console, id, path, args.report)
            break
        except (httpx.TransportError, Unavailable) as error:
            if tried == TRIES:
                raise (
                    error if isinstance(error, ApiError) else Unavailable(f"the archive broke off: {error}")
                ) from error
            console.screen.note(f"the archive broke off ({error}): it begins anew")
            console.sleep(2.0**tried)
    console.screen.line(Line("saved", str(path), "bold"))
    console.screen.data({"batch": id, "saved": str(path)})
    return SHORT if _left(console, id) else SATISFIED


def _stream(console: Console, id: str, path: Path, reports: bool) -> None:
    part = own_part(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            for piece in console.client.batch_archive(id, reports):
                file.write(piece)
        part.replace(path)
    except OSError as error:
        raise files.unwritable(path, error, "--zip") from error
    finally:
        drop(part)
