"""The routes of version 1: thin translations between HTTP and `Service`.

A handler that blocks on ledger or storage is a plain function, so that it runs in a thread.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, cast

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from fastapi.sse import EventSourceResponse
from starlette.requests import ClientDisconnect

from api.auth import Authenticator, Caller
from api.batch_service import BatchService
from api.continuing import gone_on
from api.events import EventId, EventStreams
from api.forecasts import Forecasts
from api.gallery import Cards
from api.night_metrics import NightEta
from api.owners import Me, Owners
from api.problems import invalid
from api.schemas import Attempts, Envelope, JobFilter, JobList, JobPatch, Uploaded
from api.service import Service
from api.uploads import Uploads
from api.waiting import JobWaiter, preference_applied, preferred_wait
from tasks.jobs import ACTIVE
from tasks.ledger.types import Query as LedgerQuery
from tasks.notices.hooks import Hooks
from tasks.png_metadata import with_metadata
from tasks.store import Thumbnails
from tasks.tokens import Scope

MAX_JSON_BYTES = 1_000_000
_LEDGER_THREADS = 8


@dataclass(frozen=True)
class AppState:
    """What the routes use. `checks` tell by name whether a backend answers."""

    service: Service
    batches: BatchService
    forecasts: Forecasts
    night_eta: NightEta
    streams: EventStreams
    waiter: JobWaiter
    uploads: Uploads
    thumbnails: Thumbnails
    cards: Cards
    hooks: Hooks
    owners: Owners
    authenticator: Authenticator
    checks: Mapping[str, Callable[[], bool]]
    image_metadata: bool
    ledger_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_LEDGER_THREADS))


# A dependency that is no coroutine would wait for one of the threads that a hanging storage uses up.
async def _state(request: Request) -> AppState:
    return cast(AppState, request.app.state.api)


ApiState = Annotated[AppState, Depends(_state)]


async def _caller(request: Request, state: ApiState) -> Caller:
    return state.authenticator.caller(request)


SomeCaller = Annotated[Caller, Depends(_caller)]


async def _owner(caller: SomeCaller) -> str | None:
    caller.check(Scope.READ, Scope.OPERATE)
    return caller.reach


def _with(*scopes: Scope) -> Any:
    async def allowed(caller: SomeCaller) -> Caller:
        caller.check(*scopes)
        return caller

    return Depends(allowed)


async def listed(state: AppState, query: LedgerQuery | None, limit: int, cursor: str | None) -> JobList:
    """A page of jobs. The ledger alone answers, in threads that a hanging storage can't use up."""
    if query is None:
        return JobList(jobs=[], next=None)
    return await to_thread.run_sync(state.service.list, query, limit, cursor, limiter=state.ledger_threads)


Owner = Annotated[str | None, Depends(_owner)]
"""The owner whose jobs the caller may see; None: of all owners."""
Writer = Annotated[Caller, _with(Scope.WRITE)]
Orderer = Annotated[Caller, _with(Scope.WRITE, Scope.OPERATE)]


async def _json_body(request: Request, caller: Writer) -> bytes:
    # `caller` comes first, so that the body of an unknown caller is not read.
    return await read_body(request, MAX_JSON_BYTES, "body")


async def order_body(request: Request, caller: Orderer) -> bytes:
    return await read_body(request, MAX_JSON_BYTES, "body")


async def read_body(request: Request, most: int, field: str) -> bytes:
    """The whole body. Raises Problem 413 as soon as it is known to be too large."""
    too_large = invalid(field, f"must have at most {most} bytes", "send less", 413)
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > most:
        raise too_large
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise too_large
    except ClientDisconnect as left:  # nobody reads the answer
        raise invalid(field, "ended before it was whole", "send it again", 400) from left
    return bytes(body)


def body_of(media_type: str, schema: dict[str, Any], required: bool = True) -> dict[str, Any]:
    """The body of a request, for the OpenAPI document."""
    return {"requestBody": {"required": required, "content": {media_type: {"schema": schema}}}}


Prefer = Annotated[list[str] | None, Header(description="wait=N: answer when the job has ended, or after N seconds")]

router = APIRouter(prefix="/v1")
health = APIRouter()


@router.get("/me", response_model=Me)
def me(state: ApiState, caller: SomeCaller) -> Me:
    """Who the token is, and of the owner's windows and budget how they stand."""
    return state.owners.of(caller)


@router.post(
    "/jobs",
    status_code=202,
    response_model=Envelope,
    openapi_extra=body_of("application/json", {}),  # api/docs.py has the schema
)
async def submit(
    request: Request,
    state: ApiState,
    caller: Writer,
    body: Annotated[bytes, Depends(_json_body)],
    idempotency_key: Annotated[str | None, Header()] = None,
    prefer: Prefer = None,
) -> Response:
    """Start a job. The same Idempotency-Key and body give the same job again, with 200.

    With `continues` it starts from the picture of a job that has ended, and the text says only what is to change: what
    that picture meets is kept, unless the change contradicts it.

    With `Prefer: wait=N` the answer comes when the job has ended, with 200, or after N seconds.
    """
    envelope, new = await run_in_threadpool(state.service.submit, caller, body, idempotency_key, gone_on)
    headers = {"Location": envelope.links["self"]}
    if seconds := preferred_wait(prefer):
        envelope = await state.waiter.until_ended(request, caller.owner, envelope.id, seconds)
        headers |= preference_applied(seconds)
    return _envelope(envelope, 202 if new and envelope.status in ACTIVE else 200, headers)


@router.get("/jobs", response_model=JobList)
async def jobs(state: ApiState, owner: Owner, filters: Annotated[JobFilter, Query()]) -> JobList:
    """The newest jobs first. All filters must hold; `next` is the `cursor` of the page that follows."""
    if filters.batch:
        return await to_thread.run_sync(state.batches.jobs, owner, filters)
    return await listed(state, filters.query(owner), filters.limit, filters.cursor)


@router.get("/jobs/{id}", response_model=Envelope)
async def show(request: Request, state: ApiState, owner: Owner, id: str, prefer: Prefer = None) -> Response:
    """The job, and when it will have ended. With `Prefer: wait=N` the answer comes when the job has ended, or after N
    seconds."""
    headers = dict[str, str]()
    if seconds := preferred_wait(prefer):
        await state.waiter.until_ended(request, owner, id, seconds)
        headers = preference_applied(seconds)
    return _envelope(await run_in_threadpool(_with_eta, state, owner, id), headers=headers)


def _with_eta(state: AppState, owner: str | None, id: str) -> Envelope:
    record = state.service.find(owner, id)
    envelope = state.service.envelope(record)
    if record.ended:
        return envelope
    eta, unknown = state.forecasts.of_job(record, envelope.doing)
    return envelope.model_copy(update={"eta": eta, "eta_unknown": unknown})


@router.delete("/jobs/{id}", status_code=204)
def delete(state: ApiState, caller: Writer, id: str) -> None:
    """Delete a job that has ended, with its brief, prompts and replies. The next sweep (`visiondirector gc`) removes
    the pictures that no other job uses."""
    state.service.delete(caller, id)


@router.post("/jobs/{id}/cancel", status_code=202, response_model=Envelope)
def cancel(state: ApiState, caller: Orderer, id: str) -> Response:
    """Ask the job to stop. An ended job stays as it is, with 200."""
    envelope = state.service.cancel(caller, id)
    return _envelope(envelope, 202 if envelope.status in ACTIVE else 200)


@router.post("/jobs/{id}/pause", status_code=202, response_model=Envelope)
def pause(state: ApiState, caller: Orderer, id: str) -> Response:
    """Let the job wait, behind the step that runs now, until it is resumed. Its `max_seconds` run on meanwhile."""
    return _envelope(state.service.order(caller, id, "pause"), 202)


@router.post("/jobs/{id}/resume", status_code=202, response_model=Envelope)
def resume(state: ApiState, caller: Orderer, id: str) -> Response:
    """Let a paused job go on."""
    return _envelope(state.service.order(caller, id, "resume"), 202)


@router.patch(
    "/jobs/{id}",
    response_model=Envelope,
    openapi_extra=body_of("application/json", {}),  # api/docs.py has the schema
)
async def patch(state: ApiState, caller: Orderer, id: str, body: Annotated[bytes, Depends(order_body)]) -> Response:
    """Change the job's priority. A higher one counts at once, a lower one from the job's next step on."""
    await run_in_threadpool(state.service.find, caller.reach, id)  # of an unknown job nobody is told more
    order = partial(state.service.order, priority=JobPatch.parse(body).priority)
    return _envelope(await run_in_threadpool(order, caller, id, "priority"))


@router.post("/jobs/{id}/requeue", status_code=202, response_model=Envelope)
def requeue(state: ApiState, caller: Orderer, id: str) -> Response:
    """Continue a job whose step failed too often, at that step."""
    return _envelope(state.service.requeue(caller, id), 202)


@router.get("/jobs/{id}/attempts", response_model=Attempts)
def attempts(state: ApiState, owner: Owner, id: str) -> Attempts:
    """The cost and the end of each attempt of each step."""
    return state.service.attempts(owner, id)


@router.get("/jobs/{id}/trajectory")
def trajectory(state: ApiState, owner: Owner, id: str) -> Response:
    """All that the loop did so far."""
    found = state.service.find(owner, id)
    return Response(state.service.trajectory(found).model_dump_json(), media_type="application/json")


@router.get("/jobs/{id}/image", response_class=Response)
def image(
    state: ApiState, owner: Owner, id: str, metadata: bool = True, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """What is delivered, as PNG: the best picture so far, or what was picked. With `metadata` the file holds the
    brief, the settings and the seed.

    The ETag is the hash of the picture, followed by a hash of the metadata, if any.
    """
    picture, text = state.service.picture(owner, id)
    with_text = metadata and state.image_metadata
    etag = f'"{picture}-{sha256(text.encode()).hexdigest()[:16]}"' if with_text else f'"{picture}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if if_none_match and etag in if_none_match:
        return Response(status_code=304, headers=headers)
    png = state.service.images.get(picture)
    return Response(with_metadata(png, text) if with_text else png, media_type="image/png", headers=headers)


@router.get("/jobs/{id}/events", response_class=Response)
async def events(
    state: ApiState, owner: Owner, id: str, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Server-sent events: each event of the loop as it happens, then `end`. Last-Event-ID resumes the stream."""
    after = EventId.parse(last_event_id) if last_event_id else None
    found = await run_in_threadpool(state.service.find, owner, id)
    if after and await run_in_threadpool(state.streams.is_over, found, after):
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return EventSourceResponse(state.streams.read(owner, id, after), headers=headers)


@router.put(
    "/images",
    response_model=Uploaded,
    openapi_extra=body_of("application/octet-stream", {"type": "string", "format": "binary"}),
)
async def upload(request: Request, state: ApiState, caller: Writer) -> Uploaded:
    """Store a picture to start from: PNG, JPEG, WebP, GIF, TIFF or AVIF, and of several frames the first.

    It is stored as plain PNG pixels in sRGB, converted from its own colour profile, and yours to name in briefs.
    """
    return await state.uploads.take(caller, lambda: read_body(request, caller.max_image_bytes, "image"))


@health.get("/healthz")
async def healthz() -> dict[str, str]:
    """This process answers."""
    return {"status": "ok"}


@health.get("/readyz")
def readyz(state: ApiState) -> JSONResponse:
    """Ledger and storage take writes and the broker answers, too; 503 when something does not."""
    answers = {name: check() for name, check in state.checks.items()}
    ready = all(answers.values())
    lines = {name: "ok" if fine else "does not answer" for name, fine in answers.items()}
    return JSONResponse({"status": "ok" if ready else "not ready", **lines}, 200 if ready else 503)


def _envelope(envelope: Envelope, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(envelope.model_dump_json(), status, headers, media_type="application/json")
