"""`visiondirector submit`: brief files, or the metadata of a result, as new jobs."""

import argparse
import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from api.cli import transcript
from api.cli.console import SATISFIED, Console, is_id
from api.cli.follow import follow
from api.client import BadRequest, Job, TooMany
from director import intake
from director.errors import BriefError
from director.transcript import Line, plain
from tasks.files import read_named
from tasks.png_metadata import read_png_metadata

MAX_FILE = 200_000_000
MAX_TITLE = 120
PAUSE = 5.0
"""Seconds, where the service does not say how long to wait."""


@dataclass(frozen=True)
class JobRequest:
    """A job to submit. `name` is the file that it comes from, `expects` the hash of the source that made it before."""

    name: str
    brief: Mapping[str, Any]
    settings: Mapping[str, Any]
    seed: int | None
    expects: str | None = None
    continues: str | None = None


def submit(args: argparse.Namespace, console: Console) -> int:
    """All files are read before the first is sent: a typo in the last name submits nothing."""
    if args.change is not None:
        requests = [_read_change(args, console)]
    else:
        requests = [_read_metadata(args)] if args.again else _read_briefs(args, console)
    if args.key and len(requests) > 1:
        raise BriefError("one --key stands for one job", "submit the files one by one", field="--key")
    quiet = args.watch and console.screen.is_live and len(requests) == 1  # the live view shows the same
    source = console.client.upload(read_named(Path(args.source), "--source", MAX_FILE)).image if args.source else None
    jobs: list[Job] = []
    try:
        for request, key in zip(requests, _keys(args, requests, source), strict=True):
            so_far = f"{len(jobs)} of {len(requests)} are sent"
            jobs.append(_send_patiently(args, console, request, source, key, so_far))
            if not quiet:
                _print_submitted(console, jobs[-1], follows=args.watch and len(requests) == 1)
    finally:
        if len(requests) > 1:
            _print_sum(console, requests, jobs)
    return follow(console, jobs, Path(args.output), args.metadata) if args.watch else SATISFIED


def _keys(args: argparse.Namespace, requests: Sequence[JobRequest], source: str | None) -> list[str]:
    """A key for each request: the same command of several files gives the same jobs, so that a second run after a
    break-off doubles nothing. The same file named twice is two jobs. One file alone has a key of its own each time.
    """
    if len(requests) == 1 or args.new:
        return [args.key or str(uuid.uuid4()) for _ in requests]
    seen, keys = Counter[str](), list[str]()
    for request in requests:
        said = [request.brief, request.settings, request.seed, source, args.priority, sorted(args.label)]
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
        seen[digest] += 1
        keys.append(f"{digest[:48]}-{seen[digest]}")
    return keys


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
        brief = intake.read_brief(data, with_goals, named_json=name.lower().endswith(".json"))
    except BriefError as error:
        raise BriefError(f"{name}: {error.message}", error.fix, field=name) from error
    stem = "" if name == "-" else Path(name).stem
    named = (title or brief.title or stem)[:MAX_TITLE]
    return brief.model_copy(update={"title": named}).model_dump(mode="json", exclude_defaults=True)


def _read_change(args: argparse.Namespace, console: Console) -> JobRequest:
    """What is to change of a job's picture."""
    if not args.again:
        raise BriefError("a change is one of a job's picture", "name the job with --from JOB", "--change")
    if args.files or args.strategy or args.goals or args.source:
        raise BriefError("picture and goals come from the job", "leave files, --source and --goals out", "--change")
    if not args.change.strip():
        raise BriefError("it is empty", 'say what is to change: --change "the lamp goes"', "--change")
    brief = {"text": args.change, **({"title": args.title[:MAX_TITLE]} if args.title else {})}
    id = console.full_id(args.again)
    return JobRequest(args.again, brief, intake.assignments(args.set), args.seed, continues=id)


def _read_metadata(args: argparse.Namespace) -> JobRequest:
    """What the PNG says made it; --set, --seed, --title and --source change it."""
    if args.files or args.strategy or args.goals:
        raise BriefError(
            "brief, goals and strategy come from the picture", "leave them out, or leave --from out", "--from"
        )
    if is_id(args.again):
        fix = 'say what is to change of its picture: --change "the lamp goes"; or name a PNG'
        raise BriefError(f"{args.again} is a job", fix, "--from")
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


def _send_patiently(
    args: argparse.Namespace, console: Console, request: JobRequest, source: str | None, key: str, so_far: str
) -> Job:
    """While the token has as many jobs under way as it may have, wait as long as the service says."""
    while True:
        try:
            return _send(args, console, request, source, key)
        except TooMany as error:
            pause = error.retry_after or PAUSE
            console.screen.note(f"{error.message} ({so_far}): trying again in {pause:.0f} s")
            console.sleep(pause)


def _send(args: argparse.Namespace, console: Console, request: JobRequest, source: str | None, key: str) -> Job:
    brief = {**request.brief, **({"source": source} if source else {})}
    if source and request.expects and source != request.expects:
        console.screen.note(
            f"{args.source} is another picture than {request.name} was made from: the result will differ"
        )
    try:
        return console.client.submit(
            brief, request.settings, request.seed, key, priority=args.priority, labels=args.label,
            continues=request.continues,
        )  # fmt: skip
    except BadRequest as error:
        if request.expects and not source and any(field.field == "brief.source" for field in error.fields):
            what = f"{request.name} was made from picture {request.expects[:12]}…"
            why = f"{what}, which the service does not have, or not for this token"
            raise BriefError(why, "give that picture with --source", "--from") from error
        raise


def _print_submitted(console: Console, job: Job, follows: bool) -> None:
    verb = "sent before" if job.repeated else "submitted"
    console.screen.line(Line(verb, f"{job.id}  {plain(job.title)}", "bold"))
    # Who follows one job is told what was not read when its goals are known.
    console.screen.line(*transcript.told_lines(job.model_copy(update={"unread": ()}) if follows else job))
    if job.doing.startswith(transcript.NOBODY):
        console.screen.line(transcript.progress_line(job.doing))
    console.screen.job(job)


def _print_sum(console: Console, requests: Sequence[JobRequest], jobs: Sequence[Job]) -> None:
    """What was sent, also where the rest was not."""
    again = sum(job.repeated for job in jobs)
    if left := len(requests) - len(jobs):
        first = plain(requests[len(jobs)].name)
        console.screen.note(f"{len(jobs)} of {len(requests)} are sent, {first} is the first of {left} that are not")
        console.screen.note("the same command sends the rest, and none twice")
    elif again:
        console.screen.note(f"{again} of {len(jobs)} were sent before, with the same options: --new draws them again")
