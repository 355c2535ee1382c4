"""Who owns which step. A Celery message is only a hint; this decides.

A job stands at step `n`: the number of the step to run next. Running it needs a *claim*, which
gives a lease (a few seconds, renewed while the step runs) and a nonce (random, 128 bits). Only
`commit` with that step and nonce moves the job on. Times are milliseconds of the server's clock.

`RedisLedger` (tasks/ledger/redis_ledger.py) is the real one; `MemoryLedger` (tasks/ledger/memory_ledger.py) its
twin. Both pass tests/contracts/test_ledger.py. Every method raises StoreError when the server is
out of reach. Those that would answer wrongly from an empty memory (create, get, jobs, claim, commit,
reap, cancel, requeue, overdue, dead_letters, forget, admit, remove) raise `Wiped` while the epoch is gone.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from pydantic import Field

from director.errors import StoreError
from director.types import Value
from tasks.jobs import TERMINAL, JobStatus
from tasks.summary import NO_COST, NO_GOALS, Cost, GoalSummary

CONTROL = "control"
"""The queue of cancelled jobs that nobody holds: its workers only commit the cancelled trajectory."""

REMOVING_MS = 600_000
"""A deletion that takes longer has died; what it left is swept up later (tasks/retention.py)."""


class Wiped(StoreError):
    """The ledger lost its memory; it serves again after the rebuild from object storage."""


class Removing(StoreError):
    """A job of this id is being deleted; in a moment the id is free again."""


@dataclass(frozen=True)
class Limits:
    """How long a lease lives, and how often a step may go wrong before its job is a dead letter."""

    lease_ttl_ms: int = 10_000
    seat_attempts: int = 3
    lease_deaths: int = 10


class Next(Value):
    """Where the following step runs. `kind` is the step's kind: extract, plan, render, select, verify."""

    queue: str
    kind: str


class Entry(Value):
    """What creates a job in the ledger, at submit (step 0) or at a rebuild (step n, its snapshot)."""

    job: str
    owner: str
    title: str
    created_ms: int
    priority: int
    step: int = 0
    snapshot: str = ""  # key of the snapshot after step - 1
    next: Next | None = None  # None: already ended
    status: JobStatus = JobStatus.QUEUED
    stop: str = ""
    cancel: bool = False
    error: str = ""
    letter: str = ""  # FAILED only: nonce of the attempt that was the last one allowed
    labels: tuple[str, ...] = ()
    facts: GoalSummary = NO_GOALS
    cost: Cost = NO_COST
    ended_ms: int = 0  # ended only; 0: now


class Hint(Value):
    """A message to send: step `n` of `job` waits on `queue`."""

    job: str
    n: int
    queue: str
    kind: str
    title: str
    priority: int


class Record(Value):
    """What the ledger knows of a job now."""

    job: str
    owner: str
    title: str
    created_ms: int
    priority: int
    status: JobStatus
    step: int
    queue: str
    kind: str
    snapshot: str
    stop: str
    cancel: bool
    error: str  # the last recorded failure as JSON {boundary, message, fix}, "" if none
    seat_failures: int
    lease_deaths: int
    not_before_ms: int
    hinted_ms: int
    holder: str  # host of the live lease, "" if none
    letter: str  # FAILED only: names the control objects `dead-<letter>` and `requeue-<letter>`
    labels: tuple[str, ...] = ()
    facts: GoalSummary = NO_GOALS  # as of the snapshot
    cost: Cost = NO_COST  # of the attempts that came back; a worker that died took its numbers with it
    ended_ms: int = 0  # 0: active

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL

    @property
    def hint(self) -> Hint:
        """The message that its present step waits for."""
        return Hint(
            job=self.job, n=self.step, queue=self.queue, kind=self.kind, title=self.title, priority=self.priority
        )


class Query(Value):
    """Which jobs to list. Times are of their creation: `after_ms` or later, and before `before_ms`."""

    owner: str | None = None  # None: everybody's
    statuses: frozenset[JobStatus] = frozenset()  # empty: any
    labels: tuple[str, ...] = ()  # all of these
    after_ms: int | None = None
    before_ms: int | None = None


EVERY = Query()


class Cursor(NamedTuple):
    """The place behind a job in a list that goes from new to old."""

    created_ms: int
    job: str


class Page(NamedTuple):
    """`following` is where the list goes on, None at its end. A page of few matches may be short, even empty."""

    records: list[Record]
    following: Cursor | None


class Claim(Value):
    """The right to run step `n`, until the lease dies."""

    job: str
    n: int
    nonce: str
    kind: str
    snapshot: str
    created_ms: int
    cancel: bool
    attempt: int  # 1 for the first try of this step
    last_death: bool  # the holder before this one died


class Refusal(StrEnum):
    """Why a hint ends here. All are normal; none is an error."""

    UNKNOWN = "unknown job"
    ENDED = "the job has ended"
    STALE = "the job stands at another step"
    LEASED = "somebody else runs this step"
    EARLY = "the step waits before its next attempt"


class Renewal(StrEnum):
    FINE = "fine"
    CANCEL = "cancel"  # still yours, but cancel was asked for
    LOST = "not yours"
    UNKNOWN = "unknown job"  # wiped: finish and save; the commit will be refused


class CommitResult(StrEnum):
    OK = "ok"  # applied, now or by an earlier call whose answer was lost
    REFUSED = "refused"  # another holder, another step or an unknown job
    CANCEL = "cancel"  # cancel came first: commit a cancelled trajectory instead


class FailResult(StrEnum):
    RETRY = "retry"
    DEAD = "dead"
    REFUSED = "refused"


class QueueDepth(Value):
    """Jobs on a queue: due without a live lease, being worked on, and waiting for their `not_before`."""

    queue: str
    waiting: int
    leased: int
    delayed: int = 0
    unhinted: int = 0  # of those that wait: nobody was told yet
    oldest_ms: int = 0  # how long ago the oldest hint of those that wait was sent; 0: none


class Tallies(Value):
    """What operators watch; by queue, since the ledger began (a wipe starts again)."""

    dead: int = 0  # dead letters that stand now
    lease_deaths: dict[str, int] = Field(default_factory=dict)
    dead_letters: dict[str, int] = Field(default_factory=dict)


def check_ending(following: Next | None, status: JobStatus) -> None:
    """Raise ValueError unless the job either goes on (`following`) or ends with a terminal status."""
    if (following is None) != (status in TERMINAL):
        raise ValueError(f"a commit gives a following step or a terminal status, not {following!r} with {status}")


class Ledger(Protocol):
    def admit(self, owner: str, job: str, most: int, ttl_ms: int) -> bool:
        """May `owner` have this job too? At most `most` at once are active or, for `ttl_ms`, admitted.

        True for one that is active or admitted already.
        """
        ...

    def create(self, entry: Entry) -> bool:
        """Insert the job if it is absent (True). Its hint counts as sent now. Raises Removing."""
        ...

    def get(self, job: str) -> Record | None: ...

    def jobs(self, query: Query = EVERY, limit: int = 100, behind: Cursor | None = None) -> Page:
        """The newest first; those with the same time by falling id."""
        ...

    def claim(self, job: str, n: int, holder: str) -> Claim | Refusal:
        """Take step n. An expired lease found here counts as a lease death."""
        ...

    def renew(self, job: str, n: int, nonce: str) -> Renewal: ...

    def commit(
        self, job: str, n: int, nonce: str, snapshot: str, following: Next | None,
        status: JobStatus = JobStatus.QUEUED, stop: str = "", acknowledge_cancel: bool = False,
        facts: GoalSummary = NO_GOALS, cost: Cost = NO_COST,
    ) -> CommitResult:  # fmt: skip
        """Step n is done and its snapshot stored. `following` None ends the job with `status` and `stop`.

        `facts` replace those of the step before; `cost` is added, once for each nonce. So it is for a
        commit that is refused: then it counts as wasted.

        When cancel was asked for, only a commit that acknowledges it (a cancelled trajectory) applies.
        A commit resets the attempt counters and the error. A lease that ran out may still commit as
        long as nobody reaped or reclaimed it. The hint for the following step counts as sent now.
        """
        ...

    def fail(
        self, job: str, n: int, nonce: str, error: str, counts: bool, delay_ms: int, cost: Cost = NO_COST
    ) -> FailResult:
        """Give step n back after a failure, to be retried no sooner than `delay_ms` from now.

        `cost` is added as wasted, once for each nonce, whatever the answer.

        `counts` charges a seat attempt; the last one allowed makes the job FAILED. A job that was
        asked to cancel goes to `control` at once instead of being retried or FAILED.
        """
        ...

    def reap(self) -> list[Record]:
        """Free leases that died and give their jobs; the hints of those still QUEUED count as sent now.

        A job past its lease-death cap becomes FAILED; one that was asked to cancel goes to `control`.
        """
        ...

    def cancel(self, job: str) -> Hint | None:
        """Ask for cancel. Without a live lease the step moves to the `control` queue: gives that hint.

        None: the holder will learn it when it renews, or the job has ended, or is unknown.
        """
        ...

    def requeue(self, job: str) -> Hint | None:
        """Bring a FAILED job back to QUEUED at the step where it died; counters start again. None: not FAILED."""
        ...

    def depths(self) -> list[QueueDepth]: ...

    def tallies(self) -> Tallies: ...

    def overdue(self, queue: str, older_than_ms: int, limit: int) -> list[Hint]:
        """Waiting steps whose hint is older than that and whose `not_before` has passed, oldest first.

        Their hints count as sent now. After a failure the hint counts as never sent.
        """
        ...

    def announce(self, worker: str, queues: list[str], ttl_ms: int) -> None:
        """This worker serves these queues until `ttl_ms` from now (0: it says goodbye)."""
        ...

    def served(self) -> dict[str, list[str]]:
        """Queue -> workers that serve it now."""
        ...

    def remove(self, job: str) -> bool:
        """Drop a job for good, unless it is active (False). True too when it is unknown.

        While its objects are deleted nobody can create it again: until `removed`, or for REMOVING_MS.
        """
        ...

    def removed(self, job: str) -> None:
        """The job's objects are gone: its id is free again."""
        ...

    # --- house-keeping, by the reconciler -------------------------------------------------------

    def known(self, jobs: list[str]) -> dict[str, JobStatus]:
        """The status of those of `jobs` that are in the ledger. Never raises Wiped."""
        ...

    def dead_letters(self, limit: int = 100) -> list[Record]:
        """Jobs that became FAILED and whose letter is not filed yet."""
        ...

    def file_letter(self, job: str, letter: str) -> None:
        """The dead letter is in object storage."""
        ...

    def forget(self, older_than_ms: int, limit: int = 100) -> int:
        """Drop jobs whose trajectory ended more than that long ago; how many. Dead letters stay; S3 keeps all."""
        ...

    # --- after a wipe -------------------------------------------------------------------------

    def epoch(self) -> str | None:
        """None: this ledger was wiped (or is new) and must be rebuilt. Never raises Wiped."""
        ...

    def lock_rebuild(self, holder: str, ttl_ms: int) -> bool:
        """True for one holder at a time; the same holder may call again to keep it. False too when an epoch is open."""
        ...

    def restore(self, entry: Entry, holder: str) -> bool:
        """Insert if absent, while there is no epoch. Hints of restored jobs count as never sent.

        Raises StoreError if `holder` lost the lock or the epoch is open.
        """
        ...

    def open_epoch(self, holder: str) -> str:
        """The rebuild is complete: serve again. Raises StoreError if `holder` lost the lock."""
        ...
