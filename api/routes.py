"""The routes of version 1: thin translations between HTTP and `Service`.

A handler that blocks on ledger or storage is a plain function, so that it runs in a thread.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from fastapi.sse import EventSourceResponse

from api.auth import Authenticator, Caller
from api.events import EventId, EventStreams
from api.problems import invalid
from api.schemas import Attempts, Envelope, JobFilter, JobList, JobPatch, Uploaded
from api.service import Service
from api.waiting import JobWaiter, preference_applied, preferred_wait
from tasks.jobs import ACTIVE
from tasks.store import Thumbnails
from tasks.store.png_metadata import with_metadata
from tasks.tokens import Scope

MAX_JSON_BYTES = 1_000_000


@dataclass(frozen=True)
class AppState:
    """What the routes use. `checks` tell by name whether a backend answers."""

    service: Service
    streams: EventStreams
    waiter: JobWaiter
    thumbnails: Thumbnails
    authenticator: Authenticator
    checks: Mapping[str, Callable[[], bool]]
    image_metadata: bool


def _state(request: Request) -> AppState:
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


Owner = Annotated[str | None, Depends(_owner)]
"""The owner whose jobs the caller may see; None: of all owners."""
Writer = Annotated[Caller, _with(Scope.WRITE)]
Orderer = Annotated[Caller, _with(Scope.WRITE, Scope.OPERATE)]


async def _json_body(request: Request, caller: Writer) -> bytes:
    # `caller` comes first, so that the body of an unknown caller is not read.
    return await _read(request, MAX_JSON_BYTES, "body")


async def _order_body(request: Request, caller: Orderer) -> bytes:
    return await _read(request, MAX_JSON_BYTES, "body")


async def _image_body(request: Request, caller: Writer) -> bytes:
    return await _read(request, caller.max_image_bytes, "image")


async def _read(request: Request, most: int, field: str) -> bytes:
    """The whole body. Raises Problem 413 as soon as it is known to be too large."""
    too_large = invalid(field, f"must have at most {most} bytes", "send less", 413)
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > most:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise too_large
    return bytes(body)


def _body(media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}


Prefer = Annotated[list[str] | None, Header(description="wait=N: answer when the job has ended, or after N seconds")]

router = APIRouter(prefix="/v1")
health = APIRouter()


@router.post(
    "/jobs",
    status_code=202,
    response_model=Envelope,
    openapi_extra=_body("application/json", {}),  # api/docs.py has the schema
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

    With `Prefer: wait=N` the answer comes when the job has ended, with 200, or after N seconds.
    """
    envelope, new = await run_in_threadpool(state.service.submit, caller, body, idempotency_key)
    headers = {"Location": envelope.links["self"]}
    if seconds := preferred_wait(prefer):
        envelope = await state.waiter.until_ended(request, caller.owner, envelope.id, seconds)
        headers |= preference_applied(seconds)
    return _envelope(envelope, 202 if new and envelope.status in ACTIVE else 200, headers)


@router.get("/jobs", response_model=JobList)
def jobs(state: ApiState, owner: Owner, filters: Annotated[JobFilter, Query()]) -> JobList:
    """The newest jobs first. All filters must hold; `next` is the `cursor` of the page that follows."""
    query = filters.query(owner)
    return state.service.list(query, filters.limit, filters.cursor) if query else JobList(jobs=[], next=None)


@router.get("/jobs/{id}", response_model=Envelope)
async def show(request: Request, state: ApiState, owner: Owner, id: str, prefer: Prefer = None) -> Response:
    """The job. With `Prefer: wait=N` the answer comes when the job has ended, or after N seconds."""
    if seconds := preferred_wait(prefer):
        envelope = await state.waiter.until_ended(request, owner, id, seconds)
        return _envelope(envelope, headers=preference_applied(seconds))
    return _envelope(await run_in_threadpool(state.service.show, owner, id))


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
    openapi_extra=_body("application/json", {}),  # api/docs.py has the schema
)
async def patch(state: ApiState, caller: Orderer, id: str, body: Annotated[bytes, Depends(_order_body)]) -> Response:
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
    """The best picture so far, as PNG. With `metadata` the file holds the brief, the settings and the seed.

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
    openapi_extra=_body("application/octet-stream", {"type": "string", "format": "binary"}),
)
def upload(state: ApiState, caller: Writer, body: Annotated[bytes, Depends(_image_body)]) -> Uploaded:
    """Store a picture to start from: PNG, JPEG, WebP, GIF, TIFF or AVIF, and of several frames the first.

    It is stored as plain PNG pixels in sRGB, converted from its own colour profile, and yours to name in briefs.
    """
    return state.service.upload(caller, body)


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
