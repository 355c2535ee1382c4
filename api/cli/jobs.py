"""Commands about jobs that exist: show, list, fetch, report, cancel, pause, resume, patch, requeue, delete."""

import argparse
import re
import sys
import webbrowser
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table
from rich.text import Text

from api.cli import files, transcript
from api.cli.console import SATISFIED, SHORT, Console
from api.cli.many import goals
from api.cli.words import Cut
from api.client import Goal, Job
from director.errors import BriefError
from director.transcript import Line, plain

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def show(args: argparse.Namespace, console: Console) -> int:
    for id in args.ids:
        job = console.find(id)
        rows = console.client.goals(job.id)
        console.screen.job(job, verdicts=[row.model_dump(mode="json") for row in rows])
        first, *rest = transcript.summary_lines(job)
        console.screen.line(first)
        if console.screen.is_live and rows:
            console.screen.show(_goal_table(rows))
        else:
            console.screen.line(*transcript.goal_lines(rows))
        console.screen.line(*transcript.told_lines(job))
        # After the goals, so that it is still on the screen when many goals have scrolled away.
        console.screen.line(*rest)
    return SATISFIED


def _goal_table(rows: list[Goal]) -> Table:
    table = Table.grid(padding=(0, 1), expand=False)
    table.add_column(no_wrap=True)
    table.add_column(ratio=3)
    table.add_column(ratio=2, style="dim")
    for row in rows:
        sign, style = transcript.MARKS.get(row.outcome, transcript.MARKS[""])
        table.add_row(
            Text(f"{sign} {plain(row.outcome, 12) or 'not seen'}", style=style),
            Text(plain(row.wish, 1000)),
            Text(plain(row.evidence, 300)),
        )
    return table


def list_jobs(args: argparse.Namespace, console: Console) -> int:
    most = None if args.all else max(args.limit, 0)
    page = 200 if most is None else min(max(most, 1), 200)
    found, left_out = list[Job](), False
    for each in console.client.job_pages(args.status, args.label, args.since, page=page):
        found += each.jobs
        if most is not None and len(found) >= most:
            left_out = len(found) > most or each.next is not None
            break
    found = found[:most]
    for job in found:
        console.screen.job(job)
    if console.screen.is_live:
        console.screen.show(_job_table(found, console.screen.output.width) if found else Text("no jobs", style="dim"))
    else:
        for job in found:
            console.screen.text(_tab_separated(job))
    if left_out:
        console.screen.note(f"the newest {most} are listed: --all lists the older ones, too, -n N lists N")
    return SATISFIED


def _job_table(jobs: list[Job], width: int) -> Table:
    """On a narrow terminal without ages and bars."""
    wide = width >= 64
    table = Table.grid(padding=(0, 2), expand=True)
    for ratio in (None, *((None,) if wide else ()), None, None, 1):
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=ratio)
    for job in jobs:
        title = Text(plain(job.title))
        for label in job.labels:
            title.append(f"  #{plain(label, 64)}", style="cyan")
        age = [Text(transcript.age(job.created), style="dim")] if wide else []
        state = Text(transcript.state(job), style=transcript.style(job))
        table.add_row(Text(job.id[:8]), *age, state, goals(job.goals, 12 if wide else 0), Cut(title))
    return table


def _tab_separated(job: Job) -> str:
    """One job with tabs between its fields: id, created, status, stop, goals, labels, title."""
    created = datetime.fromtimestamp(job.created, UTC).isoformat(timespec="seconds")
    met = f"{job.goals.met}/{job.goals.total}"
    return "\t".join([job.id, created, job.status, job.stop, met, ",".join(job.labels), plain(job.title, 120)])


def parse_time(text: str) -> float:
    """Seconds since the epoch of 90m, 12h, 3d or 2w ago, or of an ISO date or time (local, unless it says so)."""
    if found := re.fullmatch(r"(\d{1,6})([mhdw])", text):
        return datetime.now(UTC).timestamp() - int(found[1]) * _UNITS[found[2]]
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 90m, 12h, 3d, 2w or 2026-11-23") from None


def fetch(args: argparse.Namespace, console: Console) -> int:
    code = SATISFIED
    for id in args.ids:
        job, folder = console.find(id), Path(args.output)
        path = files.save(console, job, folder, args.metadata)
        if not job.ended:
            fetched = "the best picture so far" if path else "no picture is drawn yet"
            wait = f"`visiondirector watch {job.id[:8]}` waits for the end"
            console.screen.line(Line("not ended", f"{fetched}; {wait}", "yellow"))
        elif not path:
            console.screen.line(Line("no picture", "none was drawn", "yellow"))
        saved = [*([path] if path else []), folder / f"{files.stem(job)}.json"]
        if args.report:
            page = folder / f"{files.stem(job)}.html"
            files.write(page, console.client.report(job.id))
            saved.append(page)
        console.screen.line(*(Line("saved", str(each)) for each in saved))
        console.screen.data({"job": job.id, "saved": [str(each) for each in saved]})
        code = code if path else SHORT
    return code


def report(args: argparse.Namespace, console: Console) -> int:
    job = console.find(args.id)
    page = console.client.report(job.id)
    if args.output == "-" and not args.open:
        sys.stdout.buffer.write(page)
        return SATISFIED
    path = Path(args.output) if args.output and args.output != "-" else Path(f"{files.stem(job)}.html")
    files.write(path, page)
    console.screen.line(Line("saved", str(path), "bold"))
    console.screen.data({"job": job.id, "saved": str(path)})
    if args.open and not webbrowser.open(path.resolve().as_uri()):
        console.screen.note(f"no browser could be started: open the file {path}")
    return SATISFIED


def order(args: argparse.Namespace, console: Console) -> int:
    """`cancel`, `pause`, `resume`, `patch` and `requeue`."""
    client = console.client
    orders: dict[str, Callable[[str], Job]] = {
        "cancel": client.cancel, "pause": client.pause, "resume": client.resume, "requeue": client.requeue,
        "patch": lambda id: client.prioritise(id, args.priority),
    }  # fmt: skip
    for id in args.ids:
        job = orders[args.command](console.full_id(id))
        console.screen.job(job)
        console.screen.line(Line(job.status, f"{job.id[:8]}  {plain(job.doing or job.stop)}  {plain(job.title)}"))
    return SATISFIED


def pick(args: argparse.Namespace, console: Console) -> int:
    if bool(args.candidate) == args.undo:
        raise BriefError("a pick names a candidate, or takes the last one back", "give 2.3, or --undo", "pick")
    id = console.full_id(args.id)
    if args.undo:
        job = console.client.undo_pick(id)
    elif named := re.fullmatch(r"([1-9]\d{0,2})\.([1-9]\d{0,2})", args.candidate):
        job = console.client.pick(id, int(named[1]), int(named[2]))
    else:
        raise BriefError(f"{args.candidate!r} is no candidate", "write ROUND.CANDIDATE, e.g. 2.3", "pick")
    console.screen.job(job)
    said = transcript.picked_line(job) or Line("picked", "nothing: what the loop ended with is delivered")
    console.screen.line(said)
    return SATISFIED


def delete(args: argparse.Namespace, console: Console) -> int:
    for id in args.ids:
        found = console.full_id(id)
        console.client.delete(found)
        console.screen.line(Line("deleted", found))
        console.screen.data({"job": found, "deleted": True})
    return SATISFIED
