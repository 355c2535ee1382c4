"""Following jobs to their end: one as its events come, several as a table with a row each."""

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
from api.cli.find import find
from api.cli.live import Painting, View
from api.cli.many import Row, Rows
from api.client import Event, Job, Unavailable
from director.transcript import Line, Narrator
from director.types import Brief, LoopSettings, Trajectory

PAUSE = 1.0
"""Seconds between two looks at a list of jobs."""
OUTAGES = 60
"""Looks in a row that the service may leave unanswered. Each is tried for some eight seconds."""


def watch(args: argparse.Namespace, console: Console) -> int:
    return follow(console, [find(console.client, id) for id in args.ids], Path(args.output), args.metadata)


def follow(console: Console, jobs: Sequence[Job], folder: Path, metadata: bool = True) -> int:
    """Tell what happens until all have ended, and save what they leave; gives the exit code.

    Ctrl-C leaves the jobs running, and says so.
    """
    try:
        if len(jobs) == 1:
            return _one(console, jobs[0], folder, metadata)
        return _several(console, jobs, folder, metadata)
    except KeyboardInterrupt:
        console.screen.note(_goes_on(jobs))
        return INTERRUPTED


def _goes_on(jobs: Sequence[Job]) -> str:
    if len(jobs) > 4:
        return "\nthe jobs go on: see `visiondirector list`"
    ids = " ".join(job.id[:8] for job in jobs)
    goes, it = ("the job goes on", "it") if len(jobs) == 1 else ("the jobs go on", "them")
    return f"\n{goes}: look again with `visiondirector watch {ids}`, stop {it} with `visiondirector cancel {ids}`"


# --- one job ----------------------------------------------------------------------------------


def _one(console: Console, job: Job, folder: Path, metadata: bool) -> int:
    begun = View(job, _beginning(console, job), since=time.monotonic())
    done = _painted(console, begun) if console.screen.is_live else _told(console, begun)
    path = files.save(console, done, folder, metadata)
    console.screen.line(Line("saved", str(path) if path else "no picture: none was drawn", "bold"))
    console.screen.data({"job": done.id, "saved": str(path) if path else None})
    return SATISFIED if done.satisfied else SHORT


def _beginning(console: Console, job: Job) -> Trajectory:
    """The trajectory without its events: they come by the stream."""
    record = {**console.client.trajectory(job.id), "events": ()}
    try:
        return Trajectory.model_validate(record)
    except ValidationError:
        # A newer service may know settings that this version doesn't; they are only context here.
        return Trajectory(brief=Brief(text=job.title or "?"), settings=LoopSettings.model_validate({}), seed=0)


def _told(console: Console, begun: View) -> Job:
    """As lines, or as JSON lines."""
    narrator, screen = Narrator(begun.trajectory.brief.goals), console.screen

    def tell(event: Event) -> None:
        screen.data({"job": begun.job.id, "id": event.id, "event": event.kind, "data": event.data})
        if event.kind != "end":
            screen.line(transcript.event_line(narrator, event))

    def tell_doing(doing: str) -> None:
        screen.data({"job": begun.job.id, "event": "progress", "data": {"doing": doing}})
        screen.line(transcript.progress_line(doing))

    done = console.client.wait(begun.job.id, on_event=tell, on_doing=tell_doing)
    for line in transcript.summary_lines(done):
        screen.line(line)
    return done


def _painted(console: Console, begun: View) -> Job:
    """As a picture that changes; its last state stays on the screen."""
    painting = Painting(begun)

    def tell(event: Event) -> None:
        view = painting.view.told(event, time.monotonic())
        if event.kind == "decided":
            view = _with_cost(console, view)
        painting.view = view

    def tell_doing(doing: str) -> None:
        painting.view = painting.view.told_doing(doing, time.monotonic())

    with _live(console, painting):
        done = console.client.wait(begun.job.id, on_event=tell, on_doing=tell_doing)
        painting.view = painting.view.at(done)
    return done


def _with_cost(console: Console, view: View) -> View:
    """The job's own numbers, once a round: events don't carry what attempts took."""
    try:
        return view.at(console.client.job(view.job.id))
    except Unavailable:
        return view


# --- several ----------------------------------------------------------------------------------


def _several(console: Console, jobs: Sequence[Job], folder: Path, metadata: bool) -> int:
    rows = Rows({job.id: Row(job, time.monotonic()) for job in jobs})
    worst, lost = SATISFIED, 0
    with _live(console, rows) if console.screen.is_live else nullcontext():
        while rows.active:
            try:
                news, lost = _news(console, rows), 0
            except Unavailable as error:
                # Watched overnight: an outage of minutes is no reason to stop.
                news, lost = [], lost + 1
                if lost > OUTAGES:
                    raise
                console.screen.note(f"{error}: trying again")
            for job in news:
                rows.see(job, time.monotonic())
                if job.ended:
                    _settle(console, job, folder, metadata)
                    worst = max(worst, SATISFIED if job.satisfied else SHORT)
            if rows.active:
                console.sleep(PAUSE)
    return worst


def _news(console: Console, rows: Rows) -> list[Job]:
    """The active jobs as they stand now, all by one list: the service is not asked once for each."""
    wanted = {job.id for job in rows.active}
    found: dict[str, Job] = {}
    for job in console.client.jobs(created_after=min(job.created for job in rows.active), page=200):
        if job.id in wanted:
            found[job.id] = job
        if len(found) == len(wanted):
            break
    # One that was removed meanwhile raises NotFound, which ends the command: nobody knows how it ended.
    return [found.get(id) or console.client.job(id) for id in sorted(wanted)]


def _settle(console: Console, job: Job, folder: Path, metadata: bool) -> None:
    path = files.save(console, job, folder, metadata)
    console.screen.line(transcript.ended_line(job, str(path or "")))
    console.screen.data({"job": job.id, "event": "end", "data": job.model_dump(mode="json", by_alias=True)})
    console.screen.data({"job": job.id, "saved": str(path) if path else None})


def _live(console: Console, what: RenderableType) -> Live:
    return Live(what, console=console.screen.output, refresh_per_second=8)
