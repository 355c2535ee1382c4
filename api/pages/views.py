"""What each page of the desk shows, as its address has it: every view can be bookmarked."""

from dataclasses import dataclass, replace
from typing import Any, Self

from api.pages.parts import Pairs, address
from tasks.batch.types import BatchStatus
from tasks.jobs import JobStatus

AT_WORK = (JobStatus.QUEUED, JobStatus.RUNNING)
JOB_SORTS = {"newest": "newest first", "worst": "worst first", "best": "most goals met"}
BATCH_SORTS = {**JOB_SORTS, "soonest": "ends soonest"}
ITEM_SORTS = {"worst": "worst first", "best": "best first", "name": "by name", "newest": "newest first"}


@dataclass(frozen=True)
class _View:
    words: str = ""
    sort: str = "newest"
    page: int = 1
    refresh: bool = True

    def but(self, **changed: Any) -> Self:
        """This view with some values changed; what narrows it anew begins at its first page."""
        return replace(self, **{"page": 1, **changed})

    def _pairs(self, usual: str = "newest") -> Pairs:
        sort = self.sort if self.sort != usual else ""
        page = str(self.page) if self.page > 1 else ""
        return [("words", self.words), ("sort", sort), ("page", page), ("refresh", "" if self.refresh else "off")]


@dataclass(frozen=True)
class JobsView(_View):
    """`batch`: the jobs of that batch only. `cursor` is where the window begins."""

    statuses: tuple[JobStatus, ...] = ()
    labels: tuple[str, ...] = ()
    cursor: str = ""
    batch: str = ""

    @property
    def plain(self) -> bool:
        """In the order of time, nothing is looked at but what is shown."""
        return not self.words and self.sort == "newest"

    @property
    def batches(self) -> bool:
        """It shows batches before the jobs: each in place of its own jobs."""
        first = not self.batch and not self.cursor and self.page == 1 and self.sort == "newest"
        return first and (not self.statuses or set(self.statuses) == set(AT_WORK))

    @property
    def kept(self) -> Pairs:
        """What a search leaves as it is."""
        pairs = [("status", status.value) for status in self.statuses] + [("label", label) for label in self.labels]
        return [*pairs, ("batch", self.batch)]

    @property
    def path(self) -> str:
        return address("/jobs", [*self.kept, ("cursor", self.cursor), *self._pairs()])


@dataclass(frozen=True)
class BatchesView(_View):
    """All batches. `cursor` is where the window begins."""

    statuses: tuple[BatchStatus, ...] = ()
    labels: tuple[str, ...] = ()
    cursor: str = ""

    @property
    def kept(self) -> Pairs:
        return [("status", each.value) for each in self.statuses] + [("label", label) for label in self.labels]

    @property
    def path(self) -> str:
        return address("/batches", [*self.kept, ("cursor", self.cursor), *self._pairs()])


@dataclass(frozen=True)
class BatchView(_View):
    """One batch. `ask` names an order that the page asks about once more."""

    batch: str = ""
    show: str = ""
    sort: str = "worst"
    ask: str = ""

    @property
    def kept(self) -> Pairs:
        return [("show", self.show)]

    @property
    def path(self) -> str:
        pairs = [*self.kept, *self._pairs("worst"), ("ask", self.ask)]
        return address(f"/batches/{self.batch}", pairs)
