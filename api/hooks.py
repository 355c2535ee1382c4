"""Hooks: addresses that are told what becomes of an owner's batches and jobs (tasks/notices)."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from api.problems import Problem, invalid
from api.routes import ApiState, Writer, body_of, read_body
from api.schemas import read_model
from director.errors import BriefError
from director.types import Value
from tasks.notices.hooks import Hooks
from tasks.notices.types import BATCH_EVENTS, CHOICE, Event, Hook
from tasks.store import NotFound

MAX_BYTES = 20_000

router = APIRouter(prefix="/v1/hooks")


class HookIn(Value):
    """`url` is https://… or mailto:…; `events` are the batch's, or those named; `job.ended` is told of each job."""

    url: Annotated[str, Field(min_length=1, max_length=1000)]
    events: Annotated[tuple[Event, ...], Field(min_length=1, max_length=len(Event))] = BATCH_EVENTS


class HookOut(Value):
    """`off` says why nothing is sent any more. `waiting` counts notices that will be tried, at `next_try` the first of
    them, and `dead` those that were given up; `error` is what went wrong at `failed`, the last time that one of these
    was tried. `secret` signs what is sent (Standard Webhooks); it is shown once, null later."""

    id: str
    url: str
    events: tuple[Event, ...]
    created: float
    off: str
    waiting: int
    next_try: float | None
    dead: int
    error: str
    failed: float | None
    secret: str | None = None


class HookList(Value):
    hooks: list[HookOut]


class Tried(Value):
    """What came of a test: the receiver's status (0: none), and what went wrong ("": nothing)."""

    ok: bool
    status: int
    error: str


class Replayed(Value):
    """How many notices are tried now: those that were given up, and those that waited."""

    notices: int


@router.post("", status_code=201, response_model=HookOut, openapi_extra=body_of("application/json", {}))
async def add(request: Request, state: ApiState, caller: Writer) -> Response:
    """Be told of your batches, or of each job. The answer holds the secret that signs each notice: keep it."""
    wanted = read_model(HookIn, await read_body(request, MAX_BYTES, "body"))
    made = await run_in_threadpool(_add, state.hooks, caller.owner, wanted)
    headers = {"Location": f"/v1/hooks/{made.id}"}
    return Response(made.model_dump_json(), 201, headers, media_type="application/json")


def _add(hooks: Hooks, owner: str, wanted: HookIn) -> HookOut:
    if Event.TEST in wanted.events:
        raise invalid("events", f"{Event.TEST} can't be asked for", f"name some of {', '.join(CHOICE)}")
    try:
        hook = hooks.add(owner, wanted.url, wanted.events)
    except BriefError as error:
        raise invalid(error.field, error.message, error.fix) from None
    return _out(hooks, hook, shown=True)


@router.get("", response_model=HookList)
def hooks(state: ApiState, caller: Writer) -> HookList:
    """Yours, the oldest first."""
    return HookList(hooks=[_out(state.hooks, hook) for hook in state.hooks.shelf.hooks(caller.owner)])


@router.delete("/{id}", status_code=204)
def remove(state: ApiState, caller: Writer, id: str) -> None:
    """Tell it nothing more; what waits for it is dropped."""
    state.hooks.remove(_find(state.hooks, caller.owner, id))


@router.post("/{id}/rotate", response_model=HookOut)
def rotate(state: ApiState, caller: Writer, id: str) -> HookOut:
    """Give it another secret. Notices are signed with both for a day."""
    try:
        changed = state.hooks.rotate(_find(state.hooks, caller.owner, id))
    except NotFound:
        raise _unknown(id) from None
    return _out(state.hooks, changed, shown=True)


@router.post("/{id}/test", response_model=Tried)
def test(state: ApiState, caller: Writer, id: str) -> Tried:
    """Send it a notice now, and see what it answers."""
    outcome = state.hooks.test(_find(state.hooks, caller.owner, id))
    return Tried(ok=outcome.ok, status=outcome.status, error=outcome.why)


@router.post("/{id}/replay", response_model=Replayed)
def replay(state: ApiState, caller: Writer, id: str) -> Replayed:
    """Send now what waits, and what was given up. A hook that was off is on again."""
    return Replayed(notices=state.hooks.replay(_find(state.hooks, caller.owner, id)))


def _find(hooks: Hooks, owner: str, id: str) -> Hook:
    found = hooks.shelf.find_hook(owner, id) if id.isalnum() and id.isascii() else None
    if not found:
        raise _unknown(id)
    return found


def _unknown(id: str) -> Problem:
    return Problem(404, "unknown-hook", "Unknown hook", f"There is no hook {id[:64]!r}.")


def _out(hooks: Hooks, hook: Hook, shown: bool = False) -> HookOut:
    return HookOut(
        id=hook.id, url=hook.url, events=hook.events, created=hook.created, off=hook.off,
        **hooks.untold(hook).model_dump(), secret=hook.secrets[0].key if shown else None,
    )  # fmt: skip
