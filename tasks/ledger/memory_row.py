"""A job in the memory ledger."""

from dataclasses import dataclass

from tasks.jobs import JobStatus
from tasks.ledger.types import Cursor, Hint, Query
from tasks.summary import NO_COST, Cost, GoalSummary


@dataclass
class Row:
    """What is known of a job: the fields of its Record, and those of its lease and last commit."""

    job: str
    owner: str
    title: str
    created_ms: int
    priority: int
    step: int
    snapshot: str
    queue: str
    kind: str
    status: JobStatus
    stop: str
    cancel: bool
    error: str
    letter: str
    labels: tuple[str, ...]
    facts: GoalSummary
    cost: Cost
    ended_ms: int
    seat_failures: int = 0
    lease_deaths: int = 0
    not_before_ms: int = 0
    hinted_ms: int = 0
    holder: str = ""
    nonce: str = ""
    lease_ms: int = 0
    attempts: int = 0
    died: bool = False
    last_commit: tuple[int, str] | None = None
    charged: str = ""  # nonce of the attempt whose cost was added last

    def holds(self, n: int, nonce: str) -> bool:
        return bool(nonce) and self.nonce == nonce and self.step == n

    def free(self) -> None:
        self.nonce = self.holder = ""
        self.lease_ms = 0

    def wait(self, queue: str, hinted_ms: int, not_before_ms: int = 0) -> None:
        self.free()
        self.status, self.queue = JobStatus.QUEUED, queue
        self.hinted_ms, self.not_before_ms = hinted_ms, not_before_ms

    def reset_counters(self) -> None:
        self.seat_failures = self.lease_deaths = self.attempts = 0
        self.died = False

    def bury(self, letter: str, ended_ms: int) -> None:
        self.free()
        self.status, self.letter, self.not_before_ms, self.ended_ms = JobStatus.FAILED, letter, 0, ended_ms

    def charge(self, nonce: str, cost: Cost, wasted: int) -> None:
        if cost != NO_COST and nonce not in ("", self.charged):
            self.cost += cost + Cost(wasted_attempts=wasted)
            self.charged = nonce

    @property
    def place(self) -> Cursor:
        return Cursor(self.created_ms, self.job)

    def matches(self, query: Query) -> bool:
        """Owner and times; the rest of the query looks at what changes."""
        after, before = query.after_ms, query.before_ms
        return (
            query.owner in (None, self.owner)
            and (after is None or self.created_ms >= after)
            and (before is None or self.created_ms < before)
        )

    def hint(self) -> Hint:
        return Hint(
            job=self.job, n=self.step, queue=self.queue, kind=self.kind, title=self.title, priority=self.priority
        )
