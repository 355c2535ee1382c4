"""`visiondirector submit`: brief files, or the metadata of a result, as new jobs."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api import narrate
from api.briefs import MAX_TITLE, read_brief
from api.cli.desk import SATISFIED, Desk
from api.cli.follow import follow
from api.client import BadRequest, Job
from director.errors import BriefError
from director.intake import assignments
from director.transcript import Line, plain

MAX_PNG = 200_000_000


@dataclass(frozen=True)
class Wish:
    """One job to be asked for. `name` is the file that it comes from, `expects` the source that made it before."""

    name: str
    brief: Mapping[str, Any]
    settings: Mapping[str, Any]
    seed: int | None
    expects: str | None = None


def submit(args: argparse.Namespace, desk: Desk) -> int:
    """All files are read before the first is sent: a typo in the last name submits nothing."""
    wishes = [_again(args)] if args.again else _wishes(args, desk)
    if args.key and len(wishes) > 1:
        raise BriefError("one --key stands for one job", "submit the files one by one", field="--key")
    quiet = args.watch and desk.screen.is_live and len(wishes) == 1  # the live view says it all
    source = desk.client.upload(_read(args.source, "--source")).image if args.source else None
    jobs: list[Job] = []
    for wish in wishes:
        jobs.append(_send(args, desk, wish, source))
        if not quiet:
            _say(desk, jobs[-1])
    return follow(desk, jobs, Path(args.output), args.metadata) if args.watch else SATISFIED


def _wishes(args: argparse.Namespace, desk: Desk) -> list[Wish]:
    if not args.files:
        raise BriefError("there is no brief", "name a file, - for standard input, or --from PNG", "FILE")
    settings = assignments(args.set)
    if args.strategy:
        settings["strategy"] = args.strategy
    return [
        Wish(name, read_brief(name, desk.stdin, args.goals, args.title), settings, args.seed) for name in args.files
    ]


def _again(args: argparse.Namespace) -> Wish:
    """What the PNG says made it; --set, --seed, --title and --source change it."""
    if args.files or args.strategy or args.goals:
        raise BriefError(
            "brief, goals and strategy come from the picture", "leave them out, or leave --from out", "--from"
        )
    from tasks.store.png_metadata import read_png_metadata  # Pillow is only needed here

    png = _read(args.again, "--from")
    try:
        imprint = read_png_metadata(png)
    except BriefError as error:
        raise BriefError(f"{args.again}: {error.message}", error.fix, "--from") from error
    brief = imprint.brief.model_copy(update={"title": (args.title or imprint.brief.title)[:MAX_TITLE]})
    settings = {**imprint.settings.model_dump(mode="json"), **assignments(args.set)}
    seed = imprint.seed if args.seed is None else args.seed
    sent = brief.model_dump(mode="json", exclude_defaults=True)
    return Wish(args.again, sent, settings, seed, expects=brief.source)


def _send(args: argparse.Namespace, desk: Desk, wish: Wish, source: str | None) -> Job:
    brief = {**wish.brief, **({"source": source} if source else {})}
    if source and wish.expects and source != wish.expects:
        desk.screen.note(f"{args.source} is another picture than {wish.name} was made from: the result will differ")
    try:
        return desk.client.submit(brief, wish.settings, wish.seed, args.key, priority=args.priority, labels=args.label)
    except BadRequest as error:
        if wish.expects and not source and any(field.field == "brief.source" for field in error.fields):
            what = f"{wish.name} was made from picture {wish.expects[:12]}…"
            why = f"{what}, which the service does not have, or not for this token"
            raise BriefError(why, "give that picture with --source", "--from") from error
        raise


def _say(desk: Desk, job: Job) -> None:
    desk.screen.line(Line("submitted", f"{job.id}  {plain(job.title)}", "bold"))
    if job.doing.startswith(narrate.NOBODY):
        desk.screen.line(narrate.progress(job.doing))
    desk.screen.job(job)


def _read(name: str, option: str) -> bytes:
    path = Path(name)
    try:
        if path.stat().st_size > MAX_PNG:
            raise BriefError(f"{name}: it has more than {MAX_PNG:,} bytes", "name a smaller file", option)
        return path.read_bytes()
    except OSError as error:
        raise BriefError(f"{name}: {error.strerror}", "name a readable file", option) from error
