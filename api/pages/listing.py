"""The list of jobs as a page: a picture of each, how its goals stand, and what it cost."""

from collections.abc import Sequence
from datetime import UTC, datetime

from api.pages.finding import BRIEFS, PAGE, Jobs, Tiles
from api.pages.parts import age, chips, figures, labels, only_labelled, search, turns, windows
from api.pages.tiles import tile
from api.pages.views import AT_WORK, JOB_SORTS, JobsView
from api.schemas import Cost, JobSummary
from director.report import document
from director.report.html import NOTHING, Html, fill_from, html, join
from director.report.marks import duration
from director.report.page import tally
from director.report.status import refreshing
from director.transcript import count
from tasks.jobs import JobStatus
from tasks.ledger.totals import Totals

_SHOWN: dict[str, tuple[JobStatus, ...]] = {
    "All": (),
    "At work": AT_WORK,
    "Done": (JobStatus.DONE,),
    "Failed": (JobStatus.FAILED,),
    "Cancelled": (JobStatus.CANCELLED,),
}
_STOPS = {  # of a job that is done: (class, words)
    "satisfied": ("met", "satisfied"),
    "unverified": ("unsure", "not all judged"),
    "budget": ("unsure", "budget used up"),
    "stalled": ("unsure", "stalled"),
}
_STATES = {
    JobStatus.QUEUED: ("waiting", "queued"),
    JobStatus.RUNNING: ("running", "running"),
    JobStatus.FAILED: ("missed", "failed"),
    JobStatus.CANCELLED: ("unseen", "cancelled"),
}


def jobs_page(
    found: Jobs,
    tiles: Tiles,
    totals: Totals | None,
    view: JobsView,
    now: float,
    service_url: str,
    refresh: int,
    own: Html = NOTHING,
) -> str:
    """`service_url` is shown for copying; `now` is in seconds since the epoch; `own` says what holds for the caller."""
    body = fill_from(
        "api.pages",
        "jobs",
        filters=chips((name, view.but(statuses=which, cursor="").path, set(view.statuses) == set(which))
                      for name, which in _SHOWN.items()),
        totals=_totals(totals) if totals and any(totals) else NOTHING,
        own=own,
        search=search("/jobs", view.kept, view.words, JOB_SORTS, view.sort, "title, brief, label, owner, item"),
        notes=_notes(found, view),
        cards=_cards(found.jobs, tiles, view, now),
        empty=_empty(found, view, service_url) if not found.jobs and not tiles.batches else NOTHING,
        turns=turns(view.page, -(-found.fit // PAGE), lambda page: view.but(page=page).path),
        windows=windows(
            view.but(cursor="").path if view.cursor else "",
            view.but(cursor=found.following).path if found.following else "",
        ),
        refresh=refreshing(refresh, view.but(refresh=not view.refresh, page=view.page).path),
    )  # fmt: skip
    return document("Jobs", body, forms=True)


def _totals(totals: Totals) -> Html:
    """Of the whole ledger, whatever the page shows."""
    numbers = {"at work": totals.at_work, "done": totals.done, "failed": totals.failed, "cancelled": totals.cancelled}
    numbers = {words: number for words, number in numbers.items() if number}
    return html(
        '<ul class="figures" aria-label="Jobs that the ledger knows, items of batches included">$numbers</ul>',
        numbers=figures((f"{number:,}", words) for words, number in numbers.items()),
    )


def _notes(found: Jobs, view: JobsView) -> Html:
    notes: list[Html] = []
    if view.batch:
        notes.append(
            html(
                'Only what is in flight of this batch, or ended a moment ago. <a href="$batch">The batch</a> '
                '<a href="/jobs">All jobs</a>',
                batch=f"/batches/{view.batch}",
            )
        )
    if view.labels:
        notes.append(only_labelled(view.labels, view.but(labels=(), cursor="").path))
    if not view.plain:
        notes.append(_looked(found, view))
    return join(html('<p class="note">$note</p>', note=note) for note in notes)


def _looked(found: Jobs, view: JobsView) -> Html:
    """How far a search or an order looked: it says nothing of older jobs."""
    window = f"the newest {count(found.looked, 'job')}" if not view.cursor else f"{count(found.looked, 'older job')}"
    said = f"{found.fit:,} of {window}" if found.following or view.cursor else f"{count(found.fit, 'job')}"
    briefs = f" Of briefs it read {BRIEFS} at most." if view.words and found.looked > BRIEFS else ""
    clear = html(' <a href="$to">Clear</a>', to=view.but(words="", sort="newest", cursor="").path)
    more = " Older ones are behind the link below." if found.following else ""
    return html("$said.$briefs$more$clear", said=said, briefs=briefs, more=more, clear=clear)


def _empty(found: Jobs, view: JobsView, service_url: str) -> Html:
    if found.following:
        return html('<p class="note">None among these; there may be older ones.</p>')
    if view.statuses or view.labels or view.cursor or view.words or view.batch:
        return html('<p class="note">There is no such job. <a href="/jobs">All jobs</a></p>')
    return fill_from("api.pages", "empty", service_url=service_url)


def _cards(jobs: Sequence[JobSummary], tiles: Tiles, view: JobsView, now: float) -> Html:
    several = len({one.owner for one in (*jobs, *tiles.batches)}) > 1

    def labelled(name: str) -> str:
        return JobsView(labels=(name,), statuses=view.statuses, refresh=view.refresh).path

    cards = [tile(batch, labelled, now, several) for batch in tiles.batches]
    cards += [_card(job, labels(job.labels, labelled), now, several) for job in jobs]
    return html('<ul class="cards jobs">$cards</ul>', cards=join(cards, "\n")) if cards else NOTHING


def _card(job: JobSummary, labels: Html, now: float, with_owner: bool) -> Html:
    state, words = (
        ("waiting", "paused") if job.paused else _STATES.get(job.status) or _STOPS.get(job.stop, ("unseen", job.stop))
    )
    goals, at = job.goals, datetime.fromtimestamp(job.created, UTC)
    return fill_from(
        "api.pages",
        "job",
        picture=_picture(job),
        report=job.links["report"],
        title=job.title,
        state=state,
        status=words,
        doing=job.doing.removeprefix(f"{words}: ") or _trouble(job),
        bar=tally(goals) if goals.total else NOTHING,
        goals=f"{goals.met} of {count(goals.total, 'goal')} met" if goals.total else "brief not read yet",
        cost=cost_words(job.cost, job),
        iso=at.isoformat(timespec="seconds"),
        age=age(now - job.created),
        short=job.id[:8],
        labels=labels,
        owner=html("of <bdi>$owner</bdi>", owner=job.owner) if with_owner else NOTHING,
        item=html('<a href="/batches/$batch" dir="auto">$item</a>', batch=job.batch.id, item=job.batch.custom_id)
        if job.batch
        else NOTHING,
    )  # fmt: skip


def _trouble(job: JobSummary) -> str:
    return f"{job.error.boundary}: {job.error.message}"[:160] if job.error else ""


def _picture(job: JobSummary) -> Html:
    if not job.renders:
        return html(
            '<span class="none">nothing drawn</span>' if job.ended else '<span class="none">not drawn yet</span>'
        )
    return html('<img src="$src/images/best?width=512" alt="" loading="lazy" decoding="async">', src=job.links["self"])


def cost_words(cost: Cost, job: JobSummary | None = None) -> str:
    """Rounds, pictures and time of work, with the wasted attempts."""
    parts = [count(job.rounds, "round"), count(job.renders, "picture")] if job and job.rounds else []
    parts += [count(cost.renders, "picture")] if cost.renders and not job else []
    parts += [f"{duration(cost.seconds)} of work"] if cost.attempts else []
    parts += [f"{duration(cost.gpu_seconds)} of GPU"] if cost.gpu_seconds else []
    parts += [f"{cost.wasted_attempts} wasted"] if cost.wasted_attempts else []
    return ", ".join(parts)
