"""`watch`: follow jobs to their end, one by its events, several as a table with one row each."""

import argparse
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from pydantic import ValidationError
from rich.console import RenderableType
from rich.live import Live

from api.cli import files, transcript
from api.cli.console import INTERRUPTED, SATISFIED, SHORT, Console
from api.cli.live import JobView, LiveJob
from api.cli.many import JobRow, JobTable
from api.client import Event, Job, Unavailable
from director.transcript import Line, Transcript, unread_line
from director.types import Brief, LoopSettings, Trajectory

PAUSE = 1.0
"""Seconds between two requests for the list of jobs."""
OUTAGES = 60
"""The number of requests in a row that may fail. The client tries each for about eight seconds."""


def watch(args: argparse.Namespace, console: Console) -> int:
    return follow(console, [console.find(id) for id in args.ids], Path(args.output), args.metadata)


def follow(console: Console, jobs: Sequence[Job], folder: Path, metadata: bool = True) -> int:
    """Show what happens until all jobs have ended, and save their results. Gives the exit code.

    Ctrl-C ends the command only: the jobs keep running.
    """
    try:
        if len(jobs) == 1:
            return _follow_one(console, jobs[0], folder, metadata)
        return _follow_several(console, jobs, folder, metadata)
    except KeyboardInterrupt:
        console.screen.note(_how_to_resume(jobs))
        return INTERRUPTED


def _how_to_resume(jobs: Sequence[Job]) -> str:
    if len(jobs) > 4:
        return "\nthe jobs go on: see `visiondirector list`"
    ids = " ".join(job.id[:8] for job in jobs)
    goes, it = ("the job goes on", "it") if len(jobs) == 1 else ("the jobs go on", "them")
    return f"\n{goes}: look again with `visiondirector watch {ids}`, stop {it} with `visiondirector cancel {ids}`"


# --- one job ----------------------------------------------------------------------------------


def _follow_one(console: Console, job: Job, folder: Path, metadata: bool) -> int:
    view = JobView(job, _without_events(console, job), since=time.monotonic())
    done = _draw_live(console, view) if console.screen.is_live else _print_events(console, view)
    path = files.save(console, done, folder, metadata)
    console.screen.line(Line("saved", str(path), "bold") if path else Line("no picture", "none was drawn", "bold"))
    console.screen.data({"job": done.id, "saved": str(path) if path else None})
    return SATISFIED if done.satisfied else SHORT


def _without_events(console: Console, job: Job) -> Trajectory:
    """The trajectory without its events, which the stream brings."""
    record = {**console.client.trajectory(job.id), "events": ()}
    try:
        return Trajectory.model_validate(record)
    except ValidationError:
        # A newer service may have settings that this version does not know. They are not shown here.
        return Trajectory(brief=Brief(text=job.title or "?"), settings=LoopSettings.model_validate({}), seed=0)


def _print_events(console: Console, view: JobView) -> Job:
    """As lines, or as JSON lines."""
    brief, screen = view.trajectory.brief, console.screen
    events = Transcript(brief.goals, brief.continues)
    screen.line(*transcript.ends_lines(view.job))

    def on_event(event: Event) -> None:
        screen.data({"job": view.job.id, "id": event.id, "event": event.kind, "data": event.data})
        if event.kind != "end":
            screen.line(transcript.event_line(events, event))
        if event.kind == "extracted":
            unread = view.with_event(event, time.monotonic()).unread
            screen.line(*(unread_line(each.text, each.reason) for each in unread))

    def on_doing(doing: str) -> None:
        screen.data({"job": view.job.id, "event": "progress", "data": {"doing": doing}})
        screen.line(transcript.progress_line(doing))

    done = console.client.wait(view.job.id, on_event=on_event, on_doing=on_doing)
    screen.line(*transcript.summary_lines(done))
    return done


def _draw_live(console: Console, view: JobView) -> Job:
    """As a live view; its last state stays on the screen."""
    live_job = LiveJob(view)

    def on_event(event: Event) -> None:
        view = live_job.view.with_event(event, time.monotonic())
        if event.kind == "decided":
            view = _with_cost(console, view)
        live_job.view = view

    def on_doing(doing: str) -> None:
        live_job.view = live_job.view.with_progress(doing, time.monotonic())

    with _live(console, live_job):
        done = console.client.wait(view.job.id, on_event=on_event, on_doing=on_doing)
        live_job.view = live_job.view.with_job(done)
    return done


def _with_cost(console: Console, view: JobView) -> JobView:
    """With the job's current cost, once a round: events do not carry it."""
    try:
        return view.with_job(console.client.job(view.job.id))
    except Unavailable:
        return view


# --- several ----------------------------------------------------------------------------------


def _follow_several(console: Console, jobs: Sequence[Job], folder: Path, metadata: bool) -> int:
    table = JobTable({job.id: JobRow(job, time.monotonic()) for job in jobs})
    lost = 0
    with _live(console, table) if console.screen.is_live else nullcontext():
        # A short job may have ended before this began.
        worst = _taken(console, table, [job for job in jobs if job.ended], folder, metadata)
        while table.active:
            try:
                current, lost = _current(console, table), 0
            except Unavailable as error:
                # A job may be watched for a night: an outage of some minutes must not end the command.
                current, lost = [], lost + 1
                if lost > OUTAGES:
                    raise
                console.screen.note(f"{error}: trying again")
            worst = max(worst, _taken(console, table, current, folder, metadata))
            if table.active:
                console.sleep(PAUSE)
    return worst


def _taken(console: Console, table: JobTable, current: Sequence[Job], folder: Path, metadata: bool) -> int:
    """Into the table, and of those that have ended the pictures. Gives the exit code that they ask for."""
    worst = SATISFIED
    for job in current:
        table.update(job, time.monotonic())
        if job.ended:
            _save_ended(console, job, folder, metadata)
            worst = max(worst, SATISFIED if job.satisfied else SHORT)
    return worst


def _current(console: Console, table: JobTable) -> list[Job]:
    """The active jobs as they stand now, from one list instead of one request for each."""
    wanted = {job.id for job in table.active}
    found: dict[str, Job] = {}
    for job in console.client.jobs(created_after=min(job.created for job in table.active), page=200):
        if job.id in wanted:
            found[job.id] = job
        if len(found) == len(wanted):
            break
    # A job that was deleted meanwhile raises NotFound, which ends the command: its end is unknown.
    return [found.get(id) or console.client.job(id) for id in sorted(wanted)]


def _save_ended(console: Console, job: Job, folder: Path, metadata: bool) -> None:
    path = files.save(console, job, folder, metadata)
    console.screen.line(transcript.ended_line(job, str(path or "")))
    console.screen.data({"job": job.id, "event": "end", "data": job.model_dump(mode="json", by_alias=True)})
    console.screen.data({"job": job.id, "saved": str(path) if path else None})


def _live(console: Console, what: RenderableType) -> Live:
    return Live(what, console=console.screen.output, refresh_per_second=8)
