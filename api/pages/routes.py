"""The pages that people open in a browser."""

import time
from typing import Annotated, Literal

from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from api.forms import form_token
from api.pages.answers import HEADERS, PageRoute, page
from api.pages.finding import NO_TILES, Tiles, find_batches, find_jobs, one_batch
from api.pages.job_orders import controls
from api.pages.listing import jobs_page
from api.pages.own import own_terms
from api.pages.parts import MAX_PAGES, MAX_WORDS, times
from api.pages.views import BatchesView, JobsView
from api.problems import Problem
from api.reports import run_info
from api.routes import ApiState, AppState, Owner, SomeCaller
from api.schemas import CURSOR
from director.state import State
from tasks.batch.types import BatchStatus
from tasks.jobs import ACTIVE, MAX_LABELS, JobId, JobStatus, Label
from tasks.ledger.totals import totals
from tasks.ledger.types import Record
from tasks.reports import linked, standalone
from tasks.store.thumbnails import at_least

REFRESH_SECONDS, IDLE_SECONDS = 10, 60
BEST = "best"

pages = APIRouter(route_class=PageRoute)


@pages.get("/", include_in_schema=False)
def home() -> RedirectResponse:
    return RedirectResponse("/jobs")


@pages.get("/jobs", include_in_schema=False)
async def jobs(
    request: Request,
    state: ApiState,
    caller: SomeCaller,
    owner: Owner,
    status: Annotated[list[JobStatus], Query(max_length=5, default_factory=list)],
    label: Annotated[list[Label], Query(max_length=MAX_LABELS, default_factory=list)],
    cursor: Annotated[str, Query(pattern=f"{CURSOR}|^$")] = "",
    refresh: Literal["on", "off"] = "on",
    batch: Annotated[JobId | None, Query()] = None,
    words: Annotated[str, Query(max_length=MAX_WORDS)] = "",
    sort: Literal["newest", "worst", "best"] = "newest",
    page_number: Annotated[int, Query(alias="page", ge=1, le=MAX_PAGES)] = 1,
) -> Response:
    """The newest jobs first. The page reloads itself, more often while a job is active.

    A batch stands there in place of its jobs, which have a page of their own.
    """
    view = JobsView(words.strip(), sort, page_number, refresh == "on", tuple(status), tuple(label), cursor, batch or "")
    tiles = await to_thread.run_sync(_tiles, state, view, owner, limiter=state.ledger_threads)
    if batch or view.words:  # these need storage, which may hang
        found = await run_in_threadpool(find_jobs, state, view, owner)
    else:
        found = await to_thread.run_sync(find_jobs, state, view, owner, limiter=state.ledger_threads)
    known = await to_thread.run_sync(totals, state.service.ledger, owner, limiter=state.ledger_threads)
    own = await to_thread.run_sync(own_terms, state, caller, limiter=state.ledger_threads)
    active = any(job.status in ACTIVE for job in found.jobs) or any(one.counts.running for one in tiles.batches)
    every = (REFRESH_SECONDS if active else IDLE_SECONDS) if view.refresh else 0
    service_url = str(request.base_url).rstrip("/")
    content = jobs_page(found, tiles, known, view, time.time(), service_url, every, own)
    return page(content, refresh=every, forms=True)


def _tiles(state: AppState, view: JobsView, owner: str | None) -> Tiles:
    """The batch whose jobs the page shows, or those that stand before the jobs."""
    if view.batch:
        return one_batch(state, owner, view.batch)
    if not view.batches:
        return NO_TILES
    statuses = (BatchStatus.OPEN, BatchStatus.PAUSED) if view.statuses else ()
    return find_batches(state, BatchesView(words=view.words, statuses=statuses, labels=view.labels), owner)


@pages.get("/v1/jobs/{id}/report", response_class=HTMLResponse)
def report(
    request: Request,
    state: ApiState,
    caller: SomeCaller,
    owner: Owner,
    id: str,
    standalone_file: Annotated[bool, Query(alias="standalone", description="as a file that needs no server")] = False,
    refresh: Literal["on", "off"] = "on",
    ask: Annotated[str, Query(max_length=20, include_in_schema=False)] = "",
) -> Response:
    """What the job did, as one page for people, with buttons for whoever may give orders. The page reloads itself until
    the job has ended."""
    service = state.service
    found = service.find(owner, id)
    trajectory, run = service.trajectory(found), run_info(service, found)
    if standalone_file:
        answer = page(standalone(trajectory, state.thumbnails, run))
        answer.headers["Content-Disposition"] = f'attachment; filename="{id}.html"'
        return answer
    every = REFRESH_SECONDS if run.doing and refresh == "on" and not ask else 0
    path = f"/v1/jobs/{id}"
    other = f"{path}/report?refresh=off" if every else f"{path}/report"
    run = run.model_copy(
        update={"refresh": every, "other": other, "home": "/jobs", "ends": _ends(state, found, run.doing)}
    )
    buttons = controls(found, bool(run.picked), form_token(request), ask) if caller.may_order else None
    shown = linked(trajectory, state.thumbnails, lambda image: f"{path}/images/{image}", run, buttons)
    return page(shown, refresh=every, forms=buttons is not None)


def _ends(state: AppState, found: Record, doing: str) -> str:
    if found.ended:
        return ""
    eta, unknown = state.forecasts.of_job(found, doing)
    if eta:
        first, about, last = times(eta, time.time())
        return f"Ends about {about} ({first} to {last} UTC)."
    return "" if unknown == doing else f"When it ends is not known: {unknown}."


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
