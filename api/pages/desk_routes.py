"""The routes of the desk."""

from collections.abc import Callable, Sequence
from heapq import nsmallest
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.batch_schemas import CURSOR, BatchFilter, BatchSummary
from api.forms import SentForm, form_token
from api.gallery import THUMB_WIDTH, Places, Told
from api.pages.answers import PageRoute, page
from api.pages.desk import ORDERS, DeskView, batch_page, batches_page
from api.problems import invalid
from api.routes import ApiState, AppState, Owner, SomeCaller
from director.report import policy
from director.report.gallery import Card
from tasks.batch.types import Batch, BatchStatus, ItemStatus
from tasks.tokens import Scope

desk = APIRouter(route_class=PageRoute)
PAGE, BATCHES = 60, 30
MAX_PAGES = 200
REFRESH_SECONDS = 15


@desk.get("/batches", include_in_schema=False)
def batches(state: ApiState, owner: Owner, cursor: Annotated[str | None, Query(pattern=CURSOR)] = None) -> Response:
    """The newest first, each with a picture."""
    found = state.batches.list(owner, BatchFilter(limit=BATCHES, cursor=cursor))
    covers = {batch.id: cover for batch in found.batches if (cover := _cover(state, batch))}
    return page(batches_page(found.batches, covers, found.next))


def _cover(state: AppState, batch: BatchSummary) -> str:
    """A picture of an item that has ended, else of one at work."""
    if not batch.counts.ended and not batch.counts.running:
        return ""
    told = next((each for each in state.batches.first_results(batch.id) if each["image"]), None)
    return _thumb(told) if told else ""


@desk.get("/batches/{id}", include_in_schema=False)
def batch(
    request: Request,
    state: ApiState,
    caller: SomeCaller,
    owner: Owner,
    id: str,
    words: Annotated[str, Query(max_length=200)] = "",
    show: Literal["", "unmet", "failed", "done", "cancelled", "picked"] = "",
    sort: Literal["worst", "best", "name", "newest"] = "worst",
    page_number: Annotated[int, Query(alias="page", ge=1, le=MAX_PAGES)] = 1,
    refresh: Literal["on", "off"] = "on",
) -> Response:
    """The batch as cards: what has ended, by what is missed, with search, filter and orders."""
    found = state.batches.find(owner, id)
    view = DeskView(id, words, show, sort, page_number, refresh == "on")
    shown, total = _shown(state, found, view)
    envelope = state.batches.envelope(found)
    every = REFRESH_SECONDS if view.refresh and envelope.status is not BatchStatus.ENDED else 0
    may_order = not caller.scopes.isdisjoint({Scope.WRITE, Scope.OPERATE})
    token = form_token(request) if may_order else None
    pages = -(-total // PAGE)
    answer = page(batch_page(envelope, shown, total, pages, view, token, every), refresh=every)
    answer.headers["Content-Security-Policy"] = f"{policy(forms=True)}; frame-ancestors 'none'"
    answer.headers["Referrer-Policy"] = "same-origin"  # else a browser hides from where the form comes
    return answer


def _shown(state: AppState, batch: Batch, view: DeskView) -> tuple[Sequence[Card], int]:
    """The cards of this page, and how many items fit the view. Only these cards read storage for each item."""
    wanted, key = view.words.strip().casefold(), _KEYS[view.sort]
    total, kept, most = 0, list[Told](), view.page * PAGE
    for told in state.batches.results(batch):
        if not _fits(told, view.show, wanted):
            continue
        total += 1
        kept.append(told)
        if len(kept) >= 2 * most + PAGE:
            kept = nsmallest(most, kept, key=key)
    chosen = nsmallest(most, kept, key=key)[most - PAGE :]
    return list(state.cards.of(chosen, Places(_picture, _thumb, _report))), total


def _fits(told: Told, show: str, words: str) -> bool:
    shown = not show or (bool(told["picked"]) if show == "picked" else told["status"] == show)
    return shown and (not words or words in f"{told['custom_id']} {told['title']} {told['error']}".casefold())


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
        case "front":
            state.batches.order(reach, id, "patch", front=True)
        case _:
            raise invalid("order", "is none of the page's", f"choose from {', '.join(ORDERS)}")
    return RedirectResponse(f"/batches/{id}", 303)
