"""The routes of the desk."""

import time
from collections.abc import Callable, Sequence
from heapq import nsmallest
from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.forms import SentForm, form_token
from api.gallery import THUMB_WIDTH, Places, Told
from api.pages.answers import HEADERS, PageRoute, page
from api.pages.desk import ORDERS, batch_page
from api.pages.finding import find_batches
from api.pages.own import own_terms
from api.pages.parts import MAX_PAGES, MAX_WORDS, fits
from api.pages.tiles import COVER, batches_page
from api.pages.views import BatchesView, BatchView
from api.problems import Problem, invalid
from api.routes import ApiState, AppState, Owner, SomeCaller
from api.schemas import CURSOR
from director.report.gallery import Card
from tasks.batch.types import Batch, BatchStatus, ItemStatus
from tasks.jobs import MAX_LABELS, Label
from tasks.store.thumbnails import at_least

desk = APIRouter(route_class=PageRoute)
PAGE = 60
REFRESH_SECONDS, IDLE_SECONDS = 15, 60
Words = Annotated[str, Query(max_length=MAX_WORDS)]
PageNumber = Annotated[int, Query(alias="page", ge=1, le=MAX_PAGES)]


@desk.get("/batches", include_in_schema=False)
def batches(
    state: ApiState,
    caller: SomeCaller,
    owner: Owner,
    status: Annotated[list[BatchStatus], Query(max_length=4, default_factory=list)],
    label: Annotated[list[Label], Query(max_length=MAX_LABELS, default_factory=list)],
    cursor: Annotated[str, Query(pattern=f"{CURSOR}|^$")] = "",
    words: Words = "",
    sort: Literal["newest", "worst", "best", "soonest"] = "newest",
    page_number: PageNumber = 1,
    refresh: Literal["on", "off"] = "on",
) -> Response:
    """The newest first, each with its pictures."""
    view = BatchesView(words.strip(), sort, page_number, refresh == "on", tuple(status), tuple(label), cursor)
    found = find_batches(state, view, owner)
    active = any(one.counts.running for one in found.standings)
    every = (REFRESH_SECONDS if active else IDLE_SECONDS) if view.refresh else 0
    content = batches_page(found, view, time.time(), every, own_terms(state, caller))
    return page(content, refresh=every, forms=True)


@desk.get("/batches/{id}", include_in_schema=False)
def batch(
    request: Request,
    state: ApiState,
    caller: SomeCaller,
    owner: Owner,
    id: str,
    words: Words = "",
    show: Literal["", "unmet", "failed", "done", "cancelled", "picked"] = "",
    sort: Literal["worst", "best", "name", "newest"] = "worst",
    page_number: PageNumber = 1,
    refresh: Literal["on", "off"] = "on",
    ask: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """The batch as cards: what has ended, by what is missed, with search, filter and orders."""
    found = state.batches.find(owner, id)
    view = BatchView(words.strip(), sort, page_number, refresh == "on", id, show, ask)
    shown, total = _shown(state, found, view)
    envelope = state.batches.envelope(found)
    every = REFRESH_SECONDS if view.refresh and not ask and envelope.status is not BatchStatus.ENDED else 0
    token = form_token(request) if caller.may_order else None
    pages = -(-total // PAGE)
    return page(batch_page(envelope, shown, total, pages, view, token, time.time(), every), refresh=every, forms=True)


@desk.get("/batches/{id}/cover/{n}", include_in_schema=False)
def cover(
    state: ApiState,
    owner: Owner,
    id: str,
    n: Annotated[int, Path(ge=0, lt=COVER)],
    width: Annotated[int, Query(ge=1, le=1024)] = THUMB_WIDTH,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """One of the pictures that stand for a batch; those of a small one stand for more than one place."""
    found = list(islice(state.batches.first_pictures(state.batches.find(owner, id).id), COVER))
    if not found:
        raise Problem(404, "no-picture-yet", "There is no picture yet", "No item of this batch has drawn one so far.")
    image, small = found[n % len(found)], at_least(width)
    tag = f'"{image}-{small}"'
    headers = {**HEADERS, "ETag": tag, "Cache-Control": "private, max-age=60"}
    if if_none_match and tag in if_none_match:
        return Response(status_code=304, headers=headers)
    return Response(state.thumbnails.get(image, small), media_type="image/webp", headers=headers)


def _shown(state: AppState, batch: Batch, view: BatchView) -> tuple[Sequence[Card], int]:
    """The cards of this page, and how many items fit the view. Only these cards read storage for each item."""
    key = _KEYS[view.sort]
    total, kept, most = 0, list[Told](), view.page * PAGE
    for told in state.batches.results(batch):
        if not _fits(told, view.show, view.words):
            continue
        total += 1
        kept.append(told)
        if len(kept) >= 2 * most + PAGE:
            kept = nsmallest(most, kept, key=key)
    chosen = nsmallest(most, kept, key=key)[most - PAGE :]
    return list(state.cards.of(chosen, Places(_picture, _thumb, _report))), total


def _fits(told: Told, show: str, words: str) -> bool:
    shown = not show or (bool(told["picked"]) if show == "picked" else told["status"] == show)
    return shown and (not words or fits(words, (told["custom_id"], told["title"], told["error"])))


def _badness(told: Told) -> tuple[int, float, str]:
    name = told["custom_id"]
    return Card(name, "", told["status"], told["met"], told["total"]).badness


_KEYS: dict[str, Callable[[Told], Any]] = {
    "worst": _badness,
    "best": lambda told: (-_badness(told)[0], -_badness(told)[1], told["custom_id"]),
    "name": lambda told: told["custom_id"],
    "newest": lambda told: -(told["ended"] or 0),
}


def _picture(told: Told) -> str:
    return f"/v1/jobs/{told['job']}/images/{told['image']}"


def _thumb(told: Told) -> str:
    return f"{_picture(told)}?width={THUMB_WIDTH}"


def _report(told: Told) -> str:
    return f"/v1/jobs/{told['job']}/report"


@desk.post("/batches/{id}/orders", include_in_schema=False)
def order(state: ApiState, form: SentForm, id: str) -> Response:
    """A button of the page."""
    reach = form.caller.reach
    match form.fields.get("order", ""):
        case "pause" | "resume" | "cancel" as kind:
            state.batches.order(reach, id, kind)
        case "retry":
            state.batches.order(reach, id, "retry", what=(ItemStatus.FAILED, ItemStatus.UNMET))
        case "back":
            state.batches.order(reach, id, "retry", what=(ItemStatus.CANCELLED,))
        case "front":
            state.batches.order(reach, id, "patch", front=True)
        case _:
            raise invalid("order", "is none of the page's", f"choose from {', '.join(ORDERS)}")
    return RedirectResponse(f"/batches/{id}", 303)
