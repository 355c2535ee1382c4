"""A batch as a page: its totals, its items as cards, and the orders that people give it."""

from collections.abc import Sequence

from api.batch_schemas import BatchEnvelope
from api.pages.buttons import Buttons, form
from api.pages.listing import cost_words
from api.pages.parts import chips, ends, figures, search, turns
from api.pages.tiles import progress, state_of
from api.pages.views import ITEM_SORTS, BatchView
from director.report import document
from director.report.gallery import Card, card
from director.report.html import NOTHING, Html, fill_from, html, join
from director.report.page import moment
from director.report.status import refreshing
from director.transcript import count
from tasks.batch.types import BatchStatus

ORDERS = {
    "pause": "Pause",
    "resume": "Resume",
    "retry": "Try again what failed or missed goals",
    "back": "Bring back what was cancelled",
    "front": "Move to the front",
    "cancel": "Cancel what is left",
}
_CANCEL = (
    "{left} of {total} have not ended: those at work end after their present step, the others never begin. What was "
    "drawn stays, and cancelled items can be brought back."
)
_SHOWN = {"": "All", "unmet": "Not all met", "failed": "Failed", "done": "All met", "cancelled": "Cancelled",
          "picked": "Picked by hand"}  # fmt: skip


def batch_page(
    batch: BatchEnvelope,
    cards: Sequence[Card],
    found: int,
    pages: int,
    view: BatchView,
    token: str | None,
    now: float,
    every: int,
) -> str:
    """`found` items fit the view; `token` None: the caller may give no orders."""
    state, words = state_of(batch)
    title = batch.title or f"Batch of {count(batch.total, 'item')}"
    body = fill_from(
        "api.pages",
        "batch",
        title=title,
        state=state,
        words=words,
        waits=batch.waits.removeprefix(f"{words}: "),
        bar=progress(batch.counts),
        totals=_totals(batch),
        ends=ends(batch, now),
        terms=_terms(batch),
        drawing=_drawing(batch),
        orders=form(_buttons(batch, view), token) if token else NOTHING,
        archive=f"/v1/batches/{batch.id}/archive.zip",
        table=f"/v1/batches/{batch.id}/results?format=csv",
        jobs=html('<a href="/jobs?batch=$id">Jobs in flight</a>', id=batch.id) if batch.counts.running else NOTHING,
        search=search(f"/batches/{batch.id}", view.kept, view.words, ITEM_SORTS, view.sort, "item, title, error"),
        shows=chips((words, view.but(show=name, ask="").path, view.show == name) for name, words in _SHOWN.items()),
        found=f"{found:,} of {count(batch.counts.ended, 'item')} that ended"
        if batch.counts.ended
        else "No item has ended yet.",
        cards=html('<ul class="cards">$cards</ul>', cards=join((card(each) for each in cards), "\n"))
        if cards
        else NOTHING,
        turns=turns(view.page, pages, lambda page: view.but(page=page).path),
        refresh=NOTHING
        if batch.status is BatchStatus.ENDED
        else refreshing(every, view.but(refresh=not view.refresh, page=view.page).path),
    )  # fmt: skip
    return document(title, body, forms=True)


def _totals(batch: BatchEnvelope) -> Html:
    counts, cost = batch.counts, cost_words(batch.cost)
    numbers = [(f"{counts.ended:,} of {batch.total:,}", "ended")]
    numbers += [(f"{number:,}", name) for name, number in counts.model_dump().items() if number]
    about = html('<p class="small">$cost</p>', cost=cost) if cost else NOTHING
    return html('<ul class="figures">$numbers</ul>$about', numbers=figures(numbers), about=about)


def _terms(batch: BatchEnvelope) -> Html:
    """What holds it: windows, deadline and budget."""
    terms, said = batch.terms, list[str]()
    if terms.windows:
        held = ", held when they close" if terms.at_close == "hold" else ""
        said.append(f"drawn {', '.join(terms.windows)}{held}")
    if terms.deadline:
        said.append(f"due {moment(terms.deadline)}" + (", late" if terms.late else ""))
    if terms.budget:
        said.append(f"{terms.budget.share:.0%} of the budget spent")
    words = "; ".join(said)
    return html('<p class="small">$said</p>', said=words[:1].upper() + words[1:]) if said else NOTHING


def _drawing(batch: BatchEnvelope) -> Html:
    if not batch.drawing:
        return NOTHING
    lines = join(
        html('<li><a href="$to" dir="auto">$name</a> <bdi>$doing</bdi></li>',
             to=f"/v1/jobs/{each.job}/report", name=each.custom_id, doing=each.doing)
        for each in batch.drawing
    )  # fmt: skip
    said = f"{batch.counts.running:,} begun"
    return html('<details class="small"><summary>$said</summary><ul>$lines</ul></details>', said=said, lines=lines)


def _buttons(batch: BatchEnvelope, view: BatchView) -> Buttons:
    """Those that can do something now."""
    counts, active = batch.counts, batch.status in {BatchStatus.OPEN, BatchStatus.PAUSED}
    left = counts.waiting + counts.running
    works = {
        "pause": batch.status is BatchStatus.OPEN and left > 0,
        "resume": batch.status is BatchStatus.PAUSED,
        "retry": counts.failed + counts.unmet > 0,
        "back": counts.cancelled > 0,
        "front": active and counts.waiting > 0,
        "cancel": active and left > 0,
    }
    return Buttons(
        to=f"/batches/{batch.id}/orders",
        words={name: words for name, words in ORDERS.items() if works[name]},
        asks={"cancel": _CANCEL.format(left=f"{left:,}", total=f"{batch.total:,}")},
        asked=view.ask,
        ask=lambda name: view.but(ask=name, page=view.page).path,
    )  # fmt: skip
