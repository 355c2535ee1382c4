"""Batches as tiles: a contact sheet of each, how its items stand, and when it will have ended."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from api.batch_schemas import BatchSummary
from api.gallery import counted
from api.pages.finding import TILES, Tiles
from api.pages.parts import age, chips, ends, figures, labels, only_labelled, search, turns, windows
from api.pages.views import BATCH_SORTS, BatchesView
from director.report import document
from director.report.html import NOTHING, Html, fill_from, html, join
from director.report.page import bar
from director.report.status import refreshing
from director.transcript import count
from tasks.batch.types import BatchStatus, Counts

COVER = 4
"""Pictures that stand for a batch."""
_NO_PICTURE = ("nothing drawn yet", "the first are at work")
_SHOWN: Mapping[str, tuple[BatchStatus, ...]] = {
    "All": (),
    "Open": (BatchStatus.OPEN,),
    "Paused": (BatchStatus.PAUSED,),
    "Ended": (BatchStatus.ENDED,),
    "Cancelled": (BatchStatus.CANCELLED,),
}
_STATES = {
    BatchStatus.OPEN: ("running", "open"),
    BatchStatus.PAUSED: ("waiting", "paused"),
    BatchStatus.CANCELLED: ("unseen", "cancelled"),
    BatchStatus.ENDED: ("met", "ended"),
}


def batches_page(found: Tiles, view: BatchesView, now: float, refresh: int, own: Html = NOTHING) -> str:
    several = len({one.owner for one in found.standings}) > 1

    def labelled(name: str) -> str:
        return BatchesView(labels=(name,), statuses=view.statuses, refresh=view.refresh).path

    tiles = [tile(batch, labelled, now, several) for batch in found.batches]
    body = fill_from(
        "api.pages",
        "batches",
        filters=chips((name, view.but(statuses=which, cursor="").path, set(view.statuses) == set(which))
                      for name, which in _SHOWN.items()),
        totals=_totals(found) if found.standings else NOTHING,
        own=own,
        search=search("/batches", view.kept, view.words, BATCH_SORTS, view.sort, "title, label, owner, id"),
        notes=_notes(found, view),
        tiles=html('<ul class="cards">$tiles</ul>', tiles=join(tiles, "\n")) if tiles else NOTHING,
        empty=NOTHING if tiles else _empty(found, view),
        turns=turns(view.page, -(-len(found.standings) // TILES), lambda page: view.but(page=page).path),
        windows=windows(
            view.but(cursor="").path if view.cursor else "",
            view.but(cursor=found.following).path if found.following else "",
        ),
        refresh=refreshing(refresh, view.but(refresh=not view.refresh, page=view.page).path),
    )  # fmt: skip
    return document("Batches", body, forms=True)


def _totals(found: Tiles) -> Html:
    """Of all batches that fit, also those on other pages."""
    counts = [one.counts for one in found.standings]
    ended, items = sum(one.ended for one in counts), sum(one.total for one in found.standings)
    numbers = [
        (f"{len(found.standings):,}", "batches" if len(found.standings) > 1 else "batch"),
        (f"{ended:,} of {items:,}", "items ended"),
        (f"{sum(one.done for one in counts):,}", "with every goal met"),
        (f"{sum(one.running for one in counts):,}", "at work"),
        (f"{failed:,}", "failed") if (failed := sum(one.failed for one in counts)) else ("", ""),
    ]
    return html(
        '<ul class="figures" aria-label="The batches of this list">$numbers</ul>',
        numbers=figures(pair for pair in numbers if pair[0]),
    )


def _notes(found: Tiles, view: BatchesView) -> Html:
    notes: list[Html] = []
    if view.labels:
        notes.append(only_labelled(view.labels, view.but(labels=(), cursor="").path))
    if found.following or view.cursor:
        window = f"{found.looked:,} older batches" if view.cursor else f"the newest {found.looked:,} batches"
        notes.append(html("Searched, sorted and counted: $window.", window=window))
    return join(html('<p class="note">$note</p>', note=note) for note in notes)


def _empty(found: Tiles, view: BatchesView) -> Html:
    if view.words or view.statuses or view.labels or view.cursor:
        return html('<p class="note">There is no such batch. <a href="/batches">All batches</a></p>')
    return html(
        '<section class="empty"><p>Send a folder of briefs as one batch:</p>'
        "<pre><code>visiondirector batch submit briefs</code></pre></section>"
    )


def tile(batch: BatchSummary, labelled: Callable[[str], str], now: float, with_owner: bool) -> Html:
    """`labelled` gives the address of the list with one label."""
    state, words = state_of(batch)
    return fill_from(
        "api.pages",
        "tile",
        to=f"/batches/{batch.id}",
        picture=_cover(batch),
        title=batch.title or f"Batch of {count(batch.total, 'item')}",
        state=state,
        words=f"batch {words}",
        waits=batch.waits.removeprefix(f"{words}: "),
        bar=progress(batch.counts),
        totals=f"{batch.counts.ended:,} of {batch.total:,} ended: {counted(batch.counts)}",
        ends=ends(batch, now),
        iso=datetime.fromtimestamp(batch.created, UTC).isoformat(timespec="seconds"),
        age=age(now - batch.created),
        id=batch.id[:8],
        labels=labels(batch.labels, labelled),
        owner=html("of <bdi>$owner</bdi>", owner=batch.owner) if with_owner else NOTHING,
    )


def _cover(batch: BatchSummary) -> Html:
    """A contact sheet, or one picture. The pictures lie in storage, which may hang: the browser asks for them."""
    drawn = batch.counts.done + batch.counts.unmet
    if not drawn:
        return html('<span class="none">$said</span>', said=_NO_PICTURE[batch.counts.running > 0])
    many = drawn >= COVER
    pictures = join(
        html(
            '<img src="/batches/$id/cover/$n?width=$width" alt="" loading="lazy" decoding="async">',
            id=batch.id, n=n, width=256 if many else 512,
        )
        for n in range(COVER if many else 1)
    )  # fmt: skip
    return html('<span class="sheet">$pictures</span>', pictures=pictures) if many else pictures


def state_of(batch: BatchSummary) -> tuple[str, str]:
    """Class and words; one that ended short of its goals is no green one."""
    short = batch.status is BatchStatus.ENDED and batch.counts.done < batch.total
    return ("unsure", "ended") if short else _STATES[batch.status]


def progress(counts: Counts) -> Html:
    """Items: done, with unmet goals, failed, and the rest."""
    rest = counts.waiting + counts.running + counts.cancelled
    parts = [("met", counts.done), ("unsure", counts.unmet), ("missed", counts.failed), ("unseen", rest)]
    return bar(parts, counted(counts) or "no items")
