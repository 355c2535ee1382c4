"""The routes of batches: many briefs as one object, sent as lines of JSON.

The lines are read as they come, in threads, and never all kept.
"""

from collections.abc import AsyncIterator, Iterator
from itertools import chain, islice
from typing import Annotated, Literal, TypeVar

from anyio import CancelScope, move_on_after
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from api.auth import Caller
from api.batch_schemas import (
    BatchEnvelope,
    BatchFilter,
    BatchList,
    Cancelling,
    ItemFilter,
    ItemList,
    Patching,
    Received,
    Retrying,
)
from api.batch_service import Arrival, json_line
from api.problems import Problem, invalid
from api.routes import ApiState, Orderer, Owner, Writer, body_of, read_body
from api.schemas import read_model
from tasks.batch.tables import csv_lines
from tasks.batch.types import Batch, ItemStatus, OrderKind

CHUNK = 256 * 1024
MAX_ORDER_BYTES = 16_000_000
"""Of an order that names its items."""
IDLE_S = 20.0
"""A sender that is silent for so long has gone; what it sent is kept."""
NDJSON, CSV = "application/x-ndjson", "text/csv"
_LINES_AT_ONCE = 1000
M = TypeVar("M", bound=BaseModel)

router = APIRouter(prefix="/v1/batches")


@router.post("", status_code=202, response_model=BatchEnvelope, openapi_extra=body_of(NDJSON, {"type": "string"}))
async def create(
    request: Request,
    state: ApiState,
    caller: Writer,
    idempotency_key: Annotated[str | None, Header()] = None,
    upload_offset: Annotated[int, Header(ge=0, le=10**12, description="bytes that were received before")] = 0,
) -> Response:
    """Start a batch. Each line is a brief as JSON: {"custom_id", "brief", "settings", "seed", "labels"}; only `brief`
    must be there. The first line may be {"batch": {"title", "labels", "priority", "settings", "matrix",
    "max_in_flight", "windows", "at_close", "deadline", "by", "spread", "budget"}}, for all of them; `matrix` draws each
    line with every combination of its values.

    The lines are read as they come. Every error is named with its line, and nothing starts until there is none. The
    same Idempotency-Key and lines give the same batch again, with 200. An upload that broke off goes on with the same
    key and `Upload-Offset`, where GET /v1/batches/uploads/{key} says.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise invalid("Content-Encoding", "is not understood", "send the lines uncompressed")
    arrival = await run_in_threadpool(state.batches.begin, caller, idempotency_key, upload_offset)
    try:
        made, new = await _received(request, arrival)
    finally:
        with CancelScope(shield=True):
            await run_in_threadpool(arrival.close)
    headers = {"Location": made.links["self"]}
    return Response(made.model_dump_json(), 202 if new else 200, headers, media_type="application/json")


async def _received(request: Request, arrival: Arrival) -> tuple[BatchEnvelope, bool]:
    """Feed the body to the arrival, and finish it when the body is whole."""
    try:
        async for chunk in _chunks(request):
            await run_in_threadpool(arrival.feed, chunk)
    except (ClientDisconnect, TimeoutError) as error:
        with CancelScope(shield=True):
            await run_in_threadpool(arrival.break_off)
        raise Problem(
            408, "timeout", "No more lines came", "What came is kept: go on with the same Idempotency-Key."
        ) from error
    return await run_in_threadpool(arrival.finish)


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces of about CHUNK bytes. Raises ClientDisconnect and TimeoutError, with all that came told."""
    stream, gathered = aiter(request.stream()), bytearray()
    while True:
        piece: bytes | None = None
        try:
            with move_on_after(IDLE_S) as idle:
                piece = await anext(stream)
        except (StopAsyncIteration, ClientDisconnect) as end:
            if gathered:
                yield bytes(gathered)
            if isinstance(end, ClientDisconnect):
                raise
            return
        gathered += piece or b""
        if len(gathered) >= CHUNK or (idle.cancelled_caught and gathered):
            yield bytes(gathered)
            gathered.clear()
        if idle.cancelled_caught:
            raise TimeoutError


@router.get("/uploads/{key:path}", response_model=Received)
def received(state: ApiState, caller: Writer, key: str) -> Received:
    """How far an upload under this Idempotency-Key came before it broke off."""
    return state.batches.received(caller, key)


@router.get("", response_model=BatchList)
def batches(state: ApiState, owner: Owner, filters: Annotated[BatchFilter, Query()]) -> BatchList:
    """The newest batches first. All filters must hold; `next` is the `cursor` of the page that follows."""
    return state.batches.list(owner, filters)


@router.get("/{id}", response_model=BatchEnvelope)
def show(state: ApiState, owner: Owner, id: str) -> BatchEnvelope:
    """The batch: how its items stand, what is drawn now, and why it waits."""
    return state.batches.show(owner, id)


@router.get("/{id}/items", response_model=ItemList)
def items(state: ApiState, owner: Owner, id: str, filters: Annotated[ItemFilter, Query()]) -> ItemList:
    """Where the items stand, by index. `next` is the `cursor` of the page that follows."""
    return state.batches.items(state.batches.find(owner, id), filters)


@router.get("/{id}/results", response_class=Response)
def results(
    state: ApiState,
    owner: Owner,
    id: str,
    every: Annotated[bool, Query(alias="all", description="every take of an item, not the current one only")] = False,
    format: Annotated[Literal["jsonl", "csv"] | None, Query(description="a table in place of lines of JSON")] = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """How items ended, one line of JSON each, as they are read from storage: the current result of each item that has
    ended, or with `all` that of every take. `format=csv`, or `Accept: text/csv`, gives a table."""
    found = state.batches.results(state.batches.find(owner, id), every)
    as_csv = format == "csv" if format else accept.startswith(CSV)
    lines = (line.encode() for line in csv_lines(found)) if as_csv else map(json_line, found)
    first = list(islice(lines, _LINES_AT_ONCE))  # what goes wrong at once is answered as a problem
    vary = {"Vary": "Accept"}
    return StreamingResponse(_pieces(chain(first, lines)), media_type=CSV if as_csv else NDJSON, headers=vary)


def _pieces(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Some lines at a time: each piece costs a change of threads."""
    while some := b"".join(islice(lines, _LINES_AT_ONCE)):
        yield some


# --- orders -------------------------------------------------------------------------------------


async def _order_body(request: Request, caller: Orderer) -> bytes:
    # `caller` comes first, so that the body of an unknown caller is not read.
    return await read_body(request, MAX_ORDER_BYTES, "body")


OrderBody = Annotated[bytes, Depends(_order_body)]


@router.post("/{id}/pause", response_model=BatchEnvelope)
def pause(state: ApiState, caller: Orderer, id: str) -> BatchEnvelope:
    """Begin no more items, and let those in flight wait after their present step."""
    return _ordered(state, caller, id, "pause")


@router.post("/{id}/resume", response_model=BatchEnvelope)
def resume(state: ApiState, caller: Orderer, id: str) -> BatchEnvelope:
    """Go on after a pause."""
    return _ordered(state, caller, id, "resume")


@router.post("/{id}/cancel", response_model=BatchEnvelope, openapi_extra=body_of("application/json", {}, False))
def cancel(state: ApiState, caller: Orderer, id: str, body: OrderBody) -> BatchEnvelope:
    """Cancel the items that have not ended: those that wait at once, those in flight after their present step. `items`
    names some by their custom_ids; without any it is the whole batch."""
    given = _read(Cancelling, body)
    return _ordered(state, caller, id, "cancel", given.items)


@router.post("/{id}/retry", response_model=BatchEnvelope, openapi_extra=body_of("application/json", {}, False))
def retry(state: ApiState, caller: Orderer, id: str, body: OrderBody) -> BatchEnvelope:
    """Take items up again. Nothing that was drawn is thrown away, and earlier results are kept."""
    given = _read(Retrying, body)
    if given.rounds and "unmet" not in given.what:
        raise invalid("rounds", "is for unmet items", 'add "unmet" to what')
    what = tuple(ItemStatus(status) for status in given.what)
    return _ordered(state, caller, id, "retry", given.items, what=what, rounds=given.rounds)


@router.patch("/{id}", response_model=BatchEnvelope, openapi_extra=body_of("application/json", {}))
def patch(state: ApiState, caller: Orderer, id: str, body: OrderBody) -> BatchEnvelope:
    """Change the title, the order in which batches are drawn, the cap on items in flight, or when and how much. With
    `front` and `items` those of them that wait are the next of the batch."""
    given = _read(Patching, body)
    if not given.model_fields_set:
        raise invalid("body", "changes nothing", f"name what to change: {', '.join(Patching.model_fields)}")
    if given.items:
        if given.model_fields_set != {"front", "items"} or not given.front:
            raise invalid("items", "are for front alone", 'send {"front": true, "items": […]}, and the rest by itself')
        return state.batches.envelope(state.batches.put_first(caller.reach, id, given.items))
    changes = given.model_dump(include={"title", "priority", "front"})
    terms = state.batches.terms_of(given, "")
    return _ordered(state, caller, id, "patch", most=given.max_in_flight, terms=terms, **changes)


def _ordered(
    state: ApiState, caller: Caller, id: str, kind: OrderKind, items: list[str] | None = None, **what: object
) -> BatchEnvelope:
    batch: Batch = state.batches.order(caller.reach, id, kind, items or (), **what)
    return state.batches.envelope(batch)


def _read(model: type[M], body: bytes) -> M:
    """The body of an order; none says what its defaults say."""
    return read_model(model, body if body.strip() else b"{}")
