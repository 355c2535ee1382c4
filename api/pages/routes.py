"""The pages that people open in a browser."""

import time
from collections.abc import Sequence
from typing import Annotated, Literal

from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from api.batch_schemas import BatchFilter, BatchSummary
from api.pages.answers import HEADERS, PageRoute, page
from api.pages.listing import ListView, jobs_page
from api.problems import Problem
from api.reports import run_info
from api.routes import ApiState, AppState, Owner, listed
from api.schemas import CURSOR, OLDER, JobFilter, JobList, JobSummary
from director.state import State
from tasks.batch.types import BatchStatus
from tasks.jobs import ACTIVE, MAX_LABELS, JobId, JobStatus, Label
from tasks.reports import linked, standalone
from tasks.store.thumbnails import at_least

REFRESH_SECONDS, IDLE_SECONDS = 10, 60
PAGE, BATCHES = 50, 20
_LOOKS = 5  # calls for one page, where most jobs belong to batches
BEST = "best"

pages = APIRouter(route_class=PageRoute)


@pages.get("/", include_in_schema=False)
def home() -> RedirectResponse:
    return RedirectResponse("/jobs")


@pages.get("/jobs", include_in_schema=False)
async def jobs(
    request: Request,
    state: ApiState,
    owner: Owner,
    status: Annotated[list[JobStatus], Query(max_length=5, default_factory=list)],
    label: Annotated[list[Label], Query(max_length=MAX_LABELS, default_factory=list)],
    cursor: Annotated[str, Query(pattern=f"{CURSOR}|^$")] = "",
    refresh: Literal["on", "off"] = "on",
    batch: Annotated[JobId | None, Query()] = None,
) -> Response:
    """The newest jobs first. The page reloads itself, more often while a job is active.

    A batch stands there in place of its jobs, which have a page of their own.
    """
    view = ListView(tuple(status), tuple(label), cursor, refresh == "on", batch or "")
    filters = JobFilter(status=status, label=label, limit=PAGE, cursor=cursor or None, batch=batch)
    batches = await to_thread.run_sync(_batches, state, view, owner, limiter=state.ledger_threads)
    if batch:
        found = await run_in_threadpool(state.batches.jobs, owner, filters)
    else:
        found = await _alone(state, filters, owner)
    active = any(job.status in ACTIVE for job in found.jobs) or any(one.counts.running for one in batches)
    every = (REFRESH_SECONDS if active else IDLE_SECONDS) if view.refresh else 0
    service_url = str(request.base_url).rstrip("/")
    return page(jobs_page(found, batches, view, time.time(), service_url, every), refresh=every)


async def _alone(state: AppState, filters: JobFilter, owner: str | None) -> JobList:
    """A page of the jobs that belong to no batch."""
    jobs, cursor = list[JobSummary](), filters.cursor
    for _ in range(_LOOKS):
        found = await listed(state, filters.query(owner), PAGE - len(jobs), cursor)
        jobs += [job for job in found.jobs if not job.batch]
        cursor = found.next
        # What is behind lies in storage, which may hang: the page has a link to it.
        if not cursor or len(jobs) == PAGE or (jobs and cursor.startswith(OLDER)):
            break
    return JobList(jobs=jobs, next=cursor)


def _batches(state: AppState, view: ListView, owner: str | None) -> Sequence[BatchSummary]:
    """The batch whose jobs the page shows, or those that stand before the jobs."""
    if view.batch:
        return [state.batches.show(owner, view.batch)]
    if not view.batches:
        return []
    status = [BatchStatus.OPEN, BatchStatus.PAUSED] if view.statuses else []
    return state.batches.list(owner, BatchFilter(status=status, label=list(view.labels), limit=BATCHES)).batches


@pages.get("/v1/jobs/{id}/report", response_class=HTMLResponse)
def report(
    state: ApiState,
    owner: Owner,
    id: str,
    standalone_file: Annotated[bool, Query(alias="standalone", description="as a file that needs no server")] = False,
    refresh: Literal["on", "off"] = "on",
) -> Response:
    """What the job did, as one page for people. The page reloads itself until the job has ended."""
    service = state.service
    found = service.find(owner, id)
    trajectory, run = service.trajectory(found), run_info(service, found)
    if standalone_file:
        answer = page(standalone(trajectory, state.thumbnails, run))
        answer.headers["Content-Disposition"] = f'attachment; filename="{id}.html"'
        return answer
    every = REFRESH_SECONDS if run.doing and refresh == "on" else 0
    path = f"/v1/jobs/{id}"
    other = f"{path}/report?refresh=off" if every else f"{path}/report"
    run = run.model_copy(update={"refresh": every, "other": other, "home": "/jobs"})
    return page(linked(trajectory, state.thumbnails, lambda image: f"{path}/images/{image}", run), refresh=every)


@pages.get(
    "/v1/jobs/{id}/images/{image}",
    response_class=Response,
    responses={200: {"content": {"image/png": {}, "image/webp": {}}}},
)
def picture(
    state: ApiState,
    owner: Owner,
    id: str,
    image: str,
    width: Annotated[int | None, Query(ge=1, le=1024, description="least width; a thumbnail as WebP")] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """A picture of the job's trajectory, as PNG; with `width` a thumbnail. `best` is what is
    delivered: the best picture so far, or what was picked."""
    found = state.service.find(owner, id)
    trajectory = State.of(state.service.trajectory(found))
    fixed = image != BEST  # of a job that has ended another picture may be picked
    image = (state.service.delivered(found, trajectory) or "") if image == BEST else image
    if image not in trajectory.pictures:
        raise Problem(404, "unknown-picture", "Unknown picture", "The job has no such picture.")
    small = at_least(width) if width else None
    tag = f'"{image}-{small}"' if small else f'"{image}"'
    headers = {**HEADERS, "ETag": tag, "Cache-Control": "private, max-age=86400" if fixed else "private, no-cache"}
    if if_none_match and tag in if_none_match:
        return Response(status_code=304, headers=headers)
    if small:
        return Response(state.thumbnails.get(image, small), media_type="image/webp", headers=headers)
    return Response(state.service.images.get(image), media_type="image/png", headers=headers)
