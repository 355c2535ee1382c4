"""Following jobs to their end: one as its events come, several as a table with a row each."""

import argparse
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from pydantic import ValidationError
from rich.console import RenderableType
from rich.live import Live

from api import narrate
from api.cli import files
from api.cli.desk import INTERRUPTED, SATISFIED, SHORT, Desk
from api.cli.find import find
from api.cli.live import Painting, View
from api.cli.many import Row, Rows
from api.client import Event, Job, Unavailable
from director.transcript import Line, Transcript
from director.types import Brief, LoopSettings, Trajectory

PAUSE = 1.0
"""Seconds between two looks at a list of jobs."""
OUTAGES = 60
"""Looks in a row that the service may leave unanswered. Each is tried for some eight seconds."""


def watch(args: argparse.Namespace, desk: Desk) -> int:
    return follow(desk, [find(desk.client, id) for id in args.ids], Path(args.output), args.metadata)


def follow(desk: Desk, jobs: Sequence[Job], folder: Path, metadata: bool = True) -> int:
    """Tell what happens until all have ended, and save what they leave; gives the exit code.

    Ctrl-C leaves the jobs running, and says so.
    """
    try:
        if len(jobs) == 1:
            return _one(desk, jobs[0], folder, metadata)
        return _several(desk, jobs, folder, metadata)
    except KeyboardInterrupt:
        desk.screen.note(_goes_on(jobs))
        return INTERRUPTED


def _goes_on(jobs: Sequence[Job]) -> str:
    if len(jobs) > 4:
        return "\nthe jobs go on: see `visiondirector list`"
    ids = " ".join(job.id[:8] for job in jobs)
    goes, it = ("the job goes on", "it") if len(jobs) == 1 else ("the jobs go on", "them")
    return f"\n{goes}: look again with `visiondirector watch {ids}`, stop {it} with `visiondirector cancel {ids}`"


# --- one job ----------------------------------------------------------------------------------


def _one(desk: Desk, job: Job, folder: Path, metadata: bool) -> int:
    begun = View(job, _beginning(desk, job), since=time.monotonic())
    done = _painted(desk, begun) if desk.screen.is_live else _told(desk, begun)
    path = files.save(desk, done, folder, metadata)
    desk.screen.line(Line("saved", str(path) if path else "no picture: none was drawn", "bold"))
    desk.screen.data({"job": done.id, "saved": str(path) if path else None})
    return SATISFIED if done.satisfied else SHORT


def _beginning(desk: Desk, job: Job) -> Trajectory:
    """The trajectory without its events: they come by the stream."""
    record = {**desk.client.trajectory(job.id), "events": ()}
    try:
        return Trajectory.model_validate(record)
    except ValidationError:
        # A newer service may know settings that this version doesn't; they are only context here.
        return Trajectory(brief=Brief(text=job.title or "?"), settings=LoopSettings.model_validate({}), seed=0)


def _told(desk: Desk, begun: View) -> Job:
    """As lines, or as JSON lines."""
    transcript, screen = Transcript(begun.trajectory.brief.goals), desk.screen

    def tell(event: Event) -> None:
        screen.data({"job": begun.job.id, "id": event.id, "event": event.kind, "data": event.data})
        if event.kind != "end":
            screen.line(narrate.told(transcript, event))

    def tell_doing(doing: str) -> None:
        screen.data({"job": begun.job.id, "event": "progress", "data": {"doing": doing}})
        screen.line(narrate.progress(doing))

    done = desk.client.wait(begun.job.id, on_event=tell, on_doing=tell_doing)
    for line in narrate.summary(done):
        screen.line(line)
    return done


def _painted(desk: Desk, begun: View) -> Job:
    """As a picture that changes; its last state stays on the screen."""
    painting = Painting(begun)

    def tell(event: Event) -> None:
        view = painting.view.told(event, time.monotonic())
        if event.kind == "decided":
            view = _with_cost(desk, view)
        painting.view = view

    def tell_doing(doing: str) -> None:
        painting.view = painting.view.told_doing(doing, time.monotonic())

    with _live(desk, painting):
        done = desk.client.wait(begun.job.id, on_event=tell, on_doing=tell_doing)
        painting.view = painting.view.at(done)
    return done


def _with_cost(desk: Desk, view: View) -> View:
    """The job's own numbers, once a round: events don't carry what attempts took."""
    try:
        return view.at(desk.client.job(view.job.id))
    except Unavailable:
        return view


# --- several ----------------------------------------------------------------------------------


def _several(desk: Desk, jobs: Sequence[Job], folder: Path, metadata: bool) -> int:
    rows = Rows({job.id: Row(job, time.monotonic()) for job in jobs})
    worst, lost = SATISFIED, 0
    with _live(desk, rows) if desk.screen.is_live else nullcontext():
        while rows.active:
            try:
                news, lost = _news(desk, rows), 0
            except Unavailable as error:
                # Watched overnight: an outage of minutes is no reason to stop.
                news, lost = [], lost + 1
                if lost > OUTAGES:
                    raise
                desk.screen.note(f"{error}: trying again")
            for job in news:
                rows.see(job, time.monotonic())
                if job.ended:
                    _settle(desk, job, folder, metadata)
                    worst = max(worst, SATISFIED if job.satisfied else SHORT)
            if rows.active:
                desk.sleep(PAUSE)
    return worst


def _news(desk: Desk, rows: Rows) -> list[Job]:
    """The active jobs as they stand now, all by one list: the service is not asked once for each."""
    wanted = {job.id for job in rows.active}
    found: dict[str, Job] = {}
    for job in desk.client.jobs(created_after=min(job.created for job in rows.active), page=200):
        if job.id in wanted:
            found[job.id] = job
        if len(found) == len(wanted):
            break
    # One that was removed meanwhile raises NotFound, which ends the command: nobody knows how it ended.
    return [found.get(id) or desk.client.job(id) for id in sorted(wanted)]


def _settle(desk: Desk, job: Job, folder: Path, metadata: bool) -> None:
    path = files.save(desk, job, folder, metadata)
    desk.screen.line(narrate.ended(job, str(path or "")))
    desk.screen.data({"job": job.id, "event": "end", "data": job.model_dump(mode="json", by_alias=True)})
    desk.screen.data({"job": job.id, "saved": str(path) if path else None})


def _live(desk: Desk, what: RenderableType) -> Live:
    return Live(what, console=desk.screen.console, refresh_per_second=8)
