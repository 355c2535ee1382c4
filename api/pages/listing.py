"""The list of jobs as a page: status, goals and cost of each, with a link to its report."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from api.batch_schemas import BatchSummary
from api.schemas import Cost, JobList, JobSummary
from director.report import document
from director.report.html import NOTHING, Html, fill_from, html, join
from director.report.marks import duration
from director.report.page import bar, tally
from director.report.status import refreshing
from director.transcript import count
from tasks.batch.types import BatchStatus, Counts
from tasks.jobs import JobStatus

_VIEWS: dict[str, tuple[JobStatus, ...]] = {
    "All": (),
    "At work": (JobStatus.QUEUED, JobStatus.RUNNING),
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

_BATCHES = {
    BatchStatus.OPEN: ("running", "open"),
    BatchStatus.PAUSED: ("waiting", "paused"),
    BatchStatus.CANCELLED: ("unseen", "cancelled"),
    BatchStatus.ENDED: ("met", "ended"),
}

_THUMBNAIL = '<img src="$src/images/best?width=512" alt="" width="240" loading="lazy" decoding="async">'


@dataclass(frozen=True)
class ListView:
    """The filters and the page of the list, as its address has them."""

    statuses: tuple[JobStatus, ...] = ()
    labels: tuple[str, ...] = ()
    cursor: str = ""
    refresh: bool = True
    batch: str = ""

    @property
    def batches(self) -> bool:
        """It shows batches before the jobs: each in place of its own jobs."""
        at_work = set(self.statuses) == set(_VIEWS["At work"])
        return not self.batch and not self.cursor and (not self.statuses or at_work)

    def path(self, **changed: object) -> str:
        """The address of this view with some values changed."""
        new = ListView(**{**self.__dict__, **changed})  # pyright: ignore[reportArgumentType]
        pairs = [("status", status.value) for status in new.statuses] + [("label", label) for label in new.labels]
        pairs += [("batch", new.batch)] if new.batch else []
        pairs += [("cursor", new.cursor)] if new.cursor else []
        pairs += [] if new.refresh else [("refresh", "off")]
        return f"/jobs?{urlencode(pairs)}" if pairs else "/jobs"


def jobs_page(
    found: JobList, batches: Sequence[BatchSummary], view: ListView, now: float, service_url: str, refresh: int
) -> str:
    """`service_url` is shown for copying; `now` is in seconds since the epoch."""
    body = fill_from(
        "api.pages",
        "jobs",
        filters=join(_filter(view, name, statuses) for name, statuses in _VIEWS.items()),
        labels=_labels(view),
        list=_list(found, batches, view, now, service_url),
        newest=html('<a href="$to">Newest</a>', to=view.path(cursor="")) if view.cursor else NOTHING,
        older=html('<a href="$to" rel="next">Older</a>', to=view.path(cursor=found.next)) if found.next else NOTHING,
        refresh=refreshing(refresh, view.path(refresh=not view.refresh)),
    )
    return document("Jobs", body)


def _filter(view: ListView, name: str, statuses: tuple[JobStatus, ...]) -> Html:
    current = html(' aria-current="page"') if set(view.statuses) == set(statuses) else NOTHING
    to = view.path(statuses=statuses, cursor="")
    return html('<li><a href="$to"$current>$name</a></li>', to=to, current=current, name=name)


def _labels(view: ListView) -> Html:
    if view.batch:
        return html(
            '<p class="note">Only what is in flight of this batch, or ended a moment ago. '
            '<a href="$results">All results</a> <a href="/jobs">All jobs</a></p>',
            results=f"/v1/batches/{view.batch}/results",
        )  # fmt: skip
    if not view.labels:
        return NOTHING
    named = ", ".join(view.labels)
    return html(
        '<p class="note">Only with the label $named. <a href="$all">All labels</a></p>',
        named=named, all=view.path(labels=(), cursor=""),
    )  # fmt: skip


def _list(found: JobList, batches: Sequence[BatchSummary], view: ListView, now: float, service_url: str) -> Html:
    if found.jobs or batches:
        several = len({*(job.owner for job in found.jobs), *(batch.owner for batch in batches)}) > 1
        rows = [_batch_row(batch, view, now, with_owner=several) for batch in batches]
        rows += [_row(job, view, now, with_owner=several) for job in found.jobs]
        return fill_from("api.pages", "list", rows=join(rows, "\n"))
    if found.next:
        return html('<p class="note">None among these; there may be older ones.</p>')
    if view.statuses or view.labels or view.cursor:
        return html('<p class="note">There is no such job. <a href="/jobs">All jobs</a></p>')
    return fill_from("api.pages", "empty", service_url=service_url)


def _batch_row(batch: BatchSummary, view: ListView, now: float, with_owner: bool) -> Html:
    state, words = _BATCHES[batch.status]
    counts = batch.counts
    flying = f"{counts.running} in flight" if counts.running else ""
    return fill_from(
        "api.pages",
        "job",
        thumbnail=NOTHING,
        report=f"/batches/{batch.id}",
        title=batch.title or f"Batch of {count(batch.total, 'item')}",
        short=batch.id[:8],
        labels=_label_links(batch.labels, view),
        owner=html("of $owner", owner=batch.owner) if with_owner else NOTHING,
        state=state,
        status=f"batch {words}",
        doing=batch.waits or flying,
        bar=_batch_bar(counts),
        goals=f"{counts.done} of {batch.total} done" + (f", {counts.failed} failed" if counts.failed else ""),
        cost=_cost(batch.cost),
        iso=datetime.fromtimestamp(batch.created, UTC).isoformat(timespec="seconds"),
        age=_age(now - batch.created),
    )


def _batch_bar(counts: Counts) -> Html:
    """Items: done, with unmet goals, failed, and the rest."""
    rest = counts.waiting + counts.running + counts.cancelled
    parts = [("met", counts.done), ("unsure", counts.unmet), ("missed", counts.failed), ("unseen", rest)]
    said = ", ".join(f"{number} {name}" for name, number in counts.model_dump().items() if number)
    return bar(parts, said)


def _label_links(labels: Sequence[str], view: ListView) -> Html:
    every = ListView(refresh=view.refresh, statuses=view.statuses)
    return join(
        (html('<a href="$to">$label</a>', to=every.path(labels=(label,)), label=label) for label in labels), " "
    )


def _row(job: JobSummary, view: ListView, now: float, with_owner: bool) -> Html:
    state, words = _STATES.get(job.status) or _STOPS.get(job.stop, ("unseen", job.stop))
    goals = job.goals
    return fill_from(
        "api.pages",
        "job",
        thumbnail=html(_THUMBNAIL, src=job.links["self"]) if job.renders else NOTHING,
        report=job.links["report"],
        title=job.title,
        short=job.id[:8],
        labels=_label_links(job.labels, view),
        owner=html("of $owner", owner=job.owner) if with_owner else NOTHING,
        state=state,
        status=words,
        doing=job.doing or (f"{job.error.boundary}: {job.error.message}"[:160] if job.error else ""),
        bar=tally(goals) if goals.total else NOTHING,
        goals=f"{goals.met} of {goals.total} met" if goals.total else "brief not read yet",
        cost=_cost(job.cost, job),
        iso=datetime.fromtimestamp(job.created, UTC).isoformat(timespec="seconds"),
        age=_age(now - job.created),
    )  # fmt: skip


def _age(seconds: float) -> str:
    """The age in its largest unit."""
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return f"{count(int(seconds // length), unit)} ago"
    return "just now"


def _cost(cost: Cost, job: JobSummary | None = None) -> str:
    """Rounds, pictures and time of work, with the wasted attempts."""
    parts = [count(job.rounds, "round"), count(job.renders, "picture")] if job and job.rounds else []
    parts += [count(cost.renders, "picture")] if cost.renders and not job else []
    parts += [f"{duration(cost.seconds)} of work"] if cost.attempts else []
    parts += [f"{duration(cost.gpu_seconds)} of GPU"] if cost.gpu_seconds else []
    parts += [f"{cost.wasted_attempts} wasted"] if cost.wasted_attempts else []
    return ", ".join(parts) or "nothing yet"
