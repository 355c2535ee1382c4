"""What the lists of jobs and batches show: searched, sorted and counted among the newest, never among all.

In the order of time a page reads only what it shows. A search or another order looks at a window of the newest; behind
it the next window begins, as another page of the list.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from api.batch_schemas import BatchFilter, BatchSummary
from api.pages.parts import fits
from api.pages.views import BatchesView, JobsView
from api.routes import AppState
from api.schemas import OLDER, JobFilter, JobList, JobSummary
from tasks.batch.types import Standing
from tasks.jobs import JobStatus
from tasks.store import Corrupt, NotFound

PAGE, WINDOW = 48, 500
"""Jobs on a page, and jobs that a search or an order looks at."""
BRIEFS = 200
"""Briefs that a search reads: each lies in storage."""
TILES, BATCHES = 24, 200
"""Batches on a page, and batches that it is made of."""
_LOOKS = 5  # calls for one page, where most jobs belong to batches
_OF_A_BATCH = 200  # jobs in one call
_READERS = 8


class Jobs(NamedTuple):
    """The jobs of a page, how many fit in the window, how many were looked at, and where the next window begins."""

    jobs: Sequence[JobSummary]
    fit: int
    looked: int
    following: str | None


class Tiles(NamedTuple):
    """The same of batches. `standings` are all that fit."""

    batches: Sequence[BatchSummary]
    standings: Sequence[Standing]
    looked: int
    following: str | None


NO_TILES = Tiles((), (), 0, None)


def find_jobs(state: AppState, view: JobsView, owner: str | None) -> Jobs:
    """Raises Problem 404 for the jobs of a batch that there is not. A search reads briefs from storage, too."""
    kept, looked, cursor = list[JobSummary](), 0, view.cursor or None
    for _ in range(_LOOKS):
        part = _part(state, view, owner, PAGE - len(kept) if view.plain else WINDOW - looked, cursor)
        looked += len(part.jobs)
        kept += part.jobs if view.batch or view.words else [job for job in part.jobs if not job.batch]
        cursor = part.next
        # What is behind lies in storage, which may hang: the page has a link to it.
        if not cursor or (len(kept) >= PAGE if view.plain else looked >= WINDOW):
            break
        if kept and cursor.startswith(OLDER):
            break
    if view.words:
        kept = list(_with_words(state, kept, view.words))
    if view.plain:
        return Jobs(kept, len(kept), looked, cursor)
    kept.sort(key=_JOB_KEYS[view.sort])
    return Jobs(kept[(view.page - 1) * PAGE : view.page * PAGE], len(kept), looked, cursor)


def _part(state: AppState, view: JobsView, owner: str | None, most: int, cursor: str | None) -> JobList:
    filters = JobFilter(status=list(view.statuses), label=list(view.labels), batch=view.batch or None, cursor=cursor)
    if view.batch:
        wanted = filters.model_copy(update={"limit": min(most, _OF_A_BATCH)})
        return state.batches.jobs(owner, wanted)
    query = filters.query(owner)
    return state.service.list(query, most, cursor) if query else JobList(jobs=[], next=None)


def _with_words(state: AppState, jobs: Sequence[JobSummary], words: str) -> Iterator[JobSummary]:
    """Those that say the words in what lists show of them, or in their brief: of some, as each is one read."""
    said = {job.id: _said(job) for job in jobs}
    rest = [job for job in jobs if not fits(words, said[job.id])]
    with ThreadPoolExecutor(_READERS, "briefs") as readers:
        found = readers.map(partial(_brief, state), rest[:BRIEFS])
        briefs = {job.id: brief for job, brief in zip(rest, found, strict=False)}
    return (job for job in jobs if fits(words, (*said[job.id], briefs.get(job.id, ""))))


def _said(job: JobSummary) -> tuple[str, ...]:
    return (job.title, job.id, job.owner, *job.labels, job.batch.custom_id if job.batch else "")


def _brief(state: AppState, job: JobSummary) -> str:
    with suppress(NotFound, Corrupt):  # a lost brief must not hide the other jobs
        return state.service.archive.load_job(job.id, round(1000 * job.created)).brief.text
    return ""


def _met(job: JobSummary) -> float:
    return job.goals.met / job.goals.total if job.goals.total else 0.0


_JOB_KEYS: dict[str, Callable[[JobSummary], Any]] = {
    "newest": lambda job: -job.created,
    "worst": lambda job: (job.status is not JobStatus.FAILED, not job.goals.total, _met(job), -job.created),
    "best": lambda job: (not job.goals.total, -_met(job), -job.goals.met, -job.created),
}


def find_batches(state: AppState, view: BatchesView, owner: str | None) -> Tiles:
    """Of the newest that the ledger knows or, where it knows none, of the newest that storage lists."""
    filters = BatchFilter(
        status=list(view.statuses), label=list(view.labels), limit=BATCHES, cursor=view.cursor or None
    )
    listed, following = state.batches.standings(owner, filters)
    if not listed and following:
        listed, following = state.batches.standings(owner, filters.model_copy(update={"cursor": following}))
    fit = [one for one in listed if fits(view.words, (one.title, one.batch, one.owner, *one.labels))]
    if view.sort == "soonest":
        etas = {one.id: one.eta.p50 for one in state.batches.summaries(fit) if one.eta}
        fit.sort(key=lambda one: etas.get(one.batch, float("inf")))
    elif view.sort != "newest":
        fit.sort(key=_BATCH_KEYS[view.sort])
    shown = fit[(view.page - 1) * TILES : view.page * TILES]
    return Tiles(state.batches.summaries(shown), fit, len(listed), following)


def one_batch(state: AppState, owner: str | None, id: str) -> Tiles:
    """Raises Problem 404."""
    one = state.batches.standing(state.batches.find(owner, id))
    return Tiles(state.batches.summaries([one]), [one], 1, None)


def _done(one: Standing) -> float:
    return one.counts.done / one.total


_BATCH_KEYS: dict[str, Callable[[Standing], Any]] = {
    "worst": lambda one: (not one.counts.ended, -one.counts.failed / one.total, _done(one), -one.created),
    "best": lambda one: (-_done(one), -one.created),
}
