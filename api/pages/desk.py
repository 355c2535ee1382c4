"""The desk: batches with their totals, and each batch as cards with the orders that people give it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from api.batch_schemas import BatchEnvelope, BatchSummary
from api.forms import TOKEN
from api.gallery import counted
from director.report import document
from director.report.gallery import Card, card
from director.report.html import NOTHING, Html, fill_from, html, join
from director.report.marks import duration
from director.report.page import bar, moment
from director.report.status import refreshing
from director.transcript import count
from tasks.batch.types import BatchStatus, Counts

ORDERS = {
    "pause": "Pause",
    "resume": "Resume",
    "retry": "Try again what failed or missed goals",
    "front": "Move to the front",
    "cancel": "Cancel what is left",
}
SORTS = {"worst": "worst first", "best": "best first", "name": "by name", "newest": "newest first"}
SHOWN = {"": "all", "unmet": "goals missed", "failed": "failed", "done": "all met", "cancelled": "cancelled",
         "picked": "picked by hand"}  # fmt: skip
_STATES = {
    BatchStatus.OPEN: ("running", "open"),
    BatchStatus.PAUSED: ("waiting", "paused"),
    BatchStatus.CANCELLED: ("unseen", "cancelled"),
    BatchStatus.ENDED: ("met", "ended"),
}


@dataclass(frozen=True)
class DeskView:
    """What of a batch is shown, as its address has it."""

    batch: str
    words: str = ""
    show: str = ""
    sort: str = "worst"
    page: int = 1
    refresh: bool = True

    def path(self, **changed: object) -> str:
        new = DeskView(**{**self.__dict__, **changed})  # pyright: ignore[reportArgumentType]
        pairs = {"words": new.words, "show": new.show, "sort": new.sort if new.sort != "worst" else ""}
        pairs |= {"page": str(new.page) if new.page > 1 else "", "refresh": "" if new.refresh else "off"}
        query = urlencode({name: value for name, value in pairs.items() if value})
        return f"/batches/{new.batch}" + (f"?{query}" if query else "")


def batches_page(batches: Sequence[BatchSummary], covers: Mapping[str, str], following: str | None) -> str:
    """`covers` are the references of pictures, by batch."""
    older = html('<a href="$to" rel="next">Older</a>', to=f"/batches?cursor={following}") if following else NOTHING
    tiles = join((_tile(batch, covers.get(batch.id, "")) for batch in batches), "\n")
    empty = html(
        '<section class="empty"><p>Send a folder of briefs as one batch:</p>'
        "<pre><code>visiondirector batch submit briefs</code></pre></section>"
    )
    body = fill_from("api.pages", "batches", tiles=tiles if batches else NOTHING, empty=NOTHING if batches else empty,
                     older=older)  # fmt: skip
    return document("Batches", body)


def _tile(batch: BatchSummary, cover: str) -> Html:
    state, words = _state(batch)
    picture = html('<img src="$src" alt="" loading="lazy" decoding="async">', src=cover) if cover else NOTHING
    return fill_from(
        "api.pages",
        "tile",
        to=f"/batches/{batch.id}",
        picture=picture or html('<span class="none">nothing drawn yet</span>'),
        title=batch.title or f"Batch of {count(batch.total, 'item')}",
        state=state,
        words=words,
        waits=batch.waits,
        bar=progress(batch.counts),
        totals=f"{batch.counts.ended:,} of {batch.total:,} ended: {counted(batch.counts)}",
        when=moment(batch.created),
        id=batch.id[:8],
    )


def _state(batch: BatchSummary) -> tuple[str, str]:
    """Class and words; one that ended short of its goals is no green one."""
    short = batch.status is BatchStatus.ENDED and batch.counts.done < batch.total
    return ("unsure", "ended") if short else _STATES[batch.status]


def progress(counts: Counts) -> Html:
    """Items: done, with unmet goals, failed, and the rest."""
    rest = counts.waiting + counts.running + counts.cancelled
    parts = [("met", counts.done), ("unsure", counts.unmet), ("missed", counts.failed), ("unseen", rest)]
    return bar(parts, counted(counts) or "no items")


def batch_page(
    batch: BatchEnvelope, cards: Sequence[Card], found: int, pages: int, view: DeskView, token: str | None, every: int
) -> str:
    """`found` items fit the view; `token` None: the caller may give no orders."""
    state, words = _state(batch)
    title = batch.title or f"Batch of {count(batch.total, 'item')}"
    body = fill_from(
        "api.pages",
        "batch",
        title=title,
        state=state,
        words=words,
        waits=batch.waits,
        bar=progress(batch.counts),
        totals=f"{batch.counts.ended:,} of {batch.total:,} ended: {counted(batch.counts)}",
        cost=_cost(batch),
        drawing=_drawing(batch),
        orders=_orders(batch, token) if token else NOTHING,
        archive=f"/v1/batches/{batch.id}/archive.zip",
        table=f"/v1/batches/{batch.id}/results?format=csv",
        jobs=f"/jobs?batch={batch.id}",
        action=f"/batches/{batch.id}",
        query=view.words,
        shows=_options(SHOWN, view.show),
        sorts=_options(SORTS, view.sort),
        found=f"{found:,} of {batch.counts.ended:,} that have ended",
        cards=join((card(each) for each in cards), "\n"),
        before=_turn("Before", view.page - 1, pages, view),
        behind=_turn("More", view.page + 1, pages, view),
        refresh=NOTHING
        if batch.status is BatchStatus.ENDED
        else refreshing(every, view.path(refresh=not view.refresh)),
    )
    return document(title, body, forms=True)


def _turn(words: str, page: int, pages: int, view: DeskView) -> Html:
    if not 1 <= page <= pages:
        return NOTHING
    return html('<a href="$to">$words</a>', to=view.path(page=page), words=words)


def _options(names: Mapping[str, str], chosen: str) -> Html:
    return join(
        html('<option value="$value"$on>$words</option>', value=value, words=words,
             on=html(" selected") if value == chosen else NOTHING)
        for value, words in names.items()
    )  # fmt: skip


def _cost(batch: BatchEnvelope) -> str:
    cost = batch.cost
    parts = [count(cost.renders, "picture")] if cost.renders else []
    parts += [f"{duration(cost.gpu_seconds)} of GPU"] if cost.gpu_seconds else []
    if eta := batch.eta:
        parts.append(f"ends about {moment(eta.p50)}, in nine of ten nights by {moment(eta.p90)}")
    return ", ".join(parts)


def _drawing(batch: BatchEnvelope) -> Html:
    if not batch.drawing:
        return NOTHING
    lines = join(
        html('<li><a href="$to" dir="auto">$name</a> <bdi>$doing</bdi></li>',
             to=f"/v1/jobs/{each.job}/report", name=each.custom_id, doing=each.doing)
        for each in batch.drawing
    )  # fmt: skip
    said = f"{batch.counts.running:,} at work"
    return html('<details class="small"><summary>$said</summary><ul>$lines</ul></details>', said=said, lines=lines)


def _orders(batch: BatchEnvelope, token: str) -> Html:
    """Those that can do something now."""
    counts, active = batch.counts, batch.status in {BatchStatus.OPEN, BatchStatus.PAUSED}
    left = counts.waiting + counts.running > 0
    fits = {
        "pause": batch.status is BatchStatus.OPEN and left,
        "resume": batch.status is BatchStatus.PAUSED,
        "retry": counts.failed + counts.unmet > 0,
        "front": active and counts.waiting > 0,
        "cancel": active and left,
    }
    buttons = join(
        html('<button class="act" name="order" value="$name">$words</button>', name=name, words=words)
        for name, words in ORDERS.items()
        if fits[name]
    )
    if not buttons:
        return NOTHING
    return html(
        '<form class="orders" method="post" action="/batches/$id/orders"><input type="hidden" name="$field" '
        'value="$token">$buttons</form>',
        id=batch.id, field=TOKEN, token=token, buttons=buttons,
    )  # fmt: skip
