"""`visiondirector submit`: brief files, or the metadata of a result, as new jobs."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from api.cli import transcript
from api.cli.console import SATISFIED, Console
from api.cli.follow import follow
from api.client import BadRequest, Job
from director import intake
from director.errors import BriefError
from director.transcript import Line, plain
from tasks.files import read_named

MAX_FILE = 200_000_000
MAX_TITLE = 120


@dataclass(frozen=True)
class JobRequest:
    """A job to submit. `name` is the file that it comes from, `expects` the hash of the source that made it before."""

    name: str
    brief: Mapping[str, Any]
    settings: Mapping[str, Any]
    seed: int | None
    expects: str | None = None


def submit(args: argparse.Namespace, console: Console) -> int:
    """All files are read before the first is sent: a typo in the last name submits nothing."""
    requests = [_read_metadata(args)] if args.again else _read_briefs(args, console)
    if args.key and len(requests) > 1:
        raise BriefError("one --key stands for one job", "submit the files one by one", field="--key")
    quiet = args.watch and console.screen.is_live and len(requests) == 1  # the live view shows the same
    source = console.client.upload(read_named(Path(args.source), "--source", MAX_FILE)).image if args.source else None
    jobs: list[Job] = []
    for request in requests:
        jobs.append(_send(args, console, request, source))
        if not quiet:
            _print_submitted(console, jobs[-1], follows=args.watch and len(requests) == 1)
    return follow(console, jobs, Path(args.output), args.metadata) if args.watch else SATISFIED


def _read_briefs(args: argparse.Namespace, console: Console) -> list[JobRequest]:
    if not args.files:
        raise BriefError("there is no brief", "name a file, - for standard input, or --from PNG", "FILE")
    settings = intake.assignments(args.set)
    if args.strategy:
        settings["strategy"] = args.strategy
    return [
        JobRequest(name, _read_brief(name, console.stdin, args.goals, args.title), settings, args.seed)
        for name in args.files
    ]


def _read_brief(name: str, stdin: BinaryIO, with_goals: bool, title: str) -> dict[str, Any]:
    """The brief in file `name` ("-" is standard input), in the form of the API. Its BriefErrors name the file."""
    data = stdin.read() if name == "-" else read_named(Path(name), name, MAX_FILE)
    try:
        brief = intake.read_brief(data, annotated=with_goals)
    except BriefError as error:
        raise BriefError(f"{name}: {error.message}", error.fix, field=name) from error
    stem = "" if name == "-" else Path(name).stem
    named = (title or brief.title or stem)[:MAX_TITLE]
    return brief.model_copy(update={"title": named}).model_dump(mode="json", exclude_defaults=True)


def _read_metadata(args: argparse.Namespace) -> JobRequest:
    """What the PNG says made it; --set, --seed, --title and --source change it."""
    if args.files or args.strategy or args.goals:
        raise BriefError(
            "brief, goals and strategy come from the picture", "leave them out, or leave --from out", "--from"
        )
    from tasks.store.png_metadata import read_png_metadata  # Pillow is only needed here

    png = read_named(Path(args.again), "--from", MAX_FILE)
    try:
        found = read_png_metadata(png)
    except BriefError as error:
        raise BriefError(f"{args.again}: {error.message}", error.fix, "--from") from error
    brief = found.brief.model_copy(update={"title": (args.title or found.brief.title)[:MAX_TITLE]})
    settings = {**found.settings.model_dump(mode="json"), **intake.assignments(args.set)}
    seed = found.seed if args.seed is None else args.seed
    sent = brief.model_dump(mode="json", exclude_defaults=True)
    return JobRequest(args.again, sent, settings, seed, expects=brief.source)


def _send(args: argparse.Namespace, console: Console, request: JobRequest, source: str | None) -> Job:
    brief = {**request.brief, **({"source": source} if source else {})}
    if source and request.expects and source != request.expects:
        console.screen.note(
            f"{args.source} is another picture than {request.name} was made from: the result will differ"
        )
    try:
        return console.client.submit(
            brief, request.settings, request.seed, args.key, priority=args.priority, labels=args.label
        )
    except BadRequest as error:
        if request.expects and not source and any(field.field == "brief.source" for field in error.fields):
            what = f"{request.name} was made from picture {request.expects[:12]}…"
            why = f"{what}, which the service does not have, or not for this token"
            raise BriefError(why, "give that picture with --source", "--from") from error
        raise


def _print_submitted(console: Console, job: Job, follows: bool) -> None:
    console.screen.line(Line("submitted", f"{job.id}  {plain(job.title)}", "bold"))
    # Who follows one job is told what was not read when its goals are known.
    console.screen.line(*transcript.told_lines(job.model_copy(update={"unread": ()}) if follows else job))
    if job.doing.startswith(transcript.NOBODY):
        console.screen.line(transcript.progress_line(job.doing))
    console.screen.job(job)
