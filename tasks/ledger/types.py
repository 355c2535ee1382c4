"""The types of the ledger's questions and answers. Read `tasks/ledger/ledger.py` first.

Times are milliseconds of the server's clock.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pydantic import Field

from director.errors import Actor, DirectorError, StoreError
from director.types import Value
from tasks.jobs import TERMINAL, JobStatus, Place
from tasks.summary import NO_COST, NO_GOALS, Cost, GoalSummary

CONTROL = "control"
"""The queue of cancelled jobs that nobody holds: its workers only commit the cancelled trajectory."""

REMOVING_MS = 600_000
"""A deletion that takes longer has died; what it left is swept up later (tasks/retention.py)."""


class Wiped(StoreError):
    """The ledger lost its memory; it serves again after the rebuild from object storage."""


class Removing(StoreError):
    """A job of this id is being deleted; in a moment the id is free again."""


BODY_MS = 600_000
"""A submit that takes longer has died; by then storage knows what it asked for."""


class OtherBody(DirectorError):
    """Another request was sent under this id."""


@dataclass(frozen=True)
class Limits:
    """How long a lease lives, how often a step may go wrong before its job is a dead letter, and who rests how long."""

    lease_ttl_ms: int = 10_000
    seat_attempts: int = 3
    lease_deaths: int = 10
    rest_ms: int = 5_000  # how long an editor rests after a failure; doubles
    pause_ms: int = 1_000  # before the next try of what is held; doubles
    pause_cap_ms: int = 60_000  # the longest of both
    canary_ms: int = 60_000  # until a quarantined worker tries a canary; then 5 times, then 30 times that
    sick_after: int = 3  # failures in a row, on two jobs or more, that make an editor sick


class Next(Value):
    """Where the following step runs. `kind` is the step's kind: extract, plan, render, select, verify."""

    queue: str
    kind: str

    def hint(self, job: str, n: int, title: str, priority: int, batch: str = "") -> "Hint":
        """The message that step `n` of `job` waits here."""
        return Hint(job=job, n=n, queue=self.queue, kind=self.kind, title=title, priority=priority, batch=batch)


class Hint(Value):
    """A message to send: step `n` of `job` waits on `queue`. The scripts give these fields in this order."""

    job: str
    n: int
    queue: str
    kind: str
    title: str
    priority: int
    batch: str = ""  # for people; "": of none


HintMessage = tuple[str, ...]
"""The message of a hint, for a script to write: Redis commands of three words each (command, key, value)."""

NO_MESSAGE: HintMessage = ()
"""The caller sends the hint itself."""


class Entry(Value):
    """What creates a job in the ledger, at submit (step 0) or at a rebuild (step n, its snapshot)."""

    job: str
    owner: str
    title: str
    created_ms: int
    priority: int
    step: int = 0
    snapshot: str = ""  # key of the snapshot after step - 1
    snapshot_sha256: str = ""  # of its bytes; "": not known
    next: Next | None = None  # None: already ended
    status: JobStatus = JobStatus.QUEUED
    stop: str = ""
    cancel: bool = False
    rewound: str = ""  # nonce of the try that went back because an object was lost; "": none did
    error: str = ""
    dead_letter: str = ""  # FAILED only: nonce of the attempt that was the last one allowed
    labels: tuple[str, ...] = ()
    summary: GoalSummary = NO_GOALS
    cost: Cost = NO_COST
    cost_later: bool = False  # `restore_cost` will add what its attempts before this took
    ended_ms: int = 0  # ended only; 0: now
    model: str = ""  # of its editor
    size: str = ""  # what decides, beside the model, how long a step takes: size_of; "": not told
    paused: bool = False
    pause_order: int = 0  # number of the last pause or resume; 0: none
    priority_order: int = 0  # of the last order that set the priority
    place: Place | None = None  # in its batch

    @property
    def hint(self) -> Hint:
        """The message that starts it; for an entry that has not ended."""
        assert self.next, "a job that has ended waits for nothing"
        batch = self.place.batch if self.place else ""
        return self.next.hint(self.job, self.step, self.title, self.priority, batch)


class Entered(StrEnum):
    """What became of an entry."""

    CREATED = "created"
    PRESENT = "present"
    UNWANTED = "unwanted"  # the batch's item has another take now, or has ended


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
    error: str  # the last recorded failure as JSON {boundary, message, fix, actor, resource}, "" if none
    seat_failures: int
    lease_deaths: int
    not_before_ms: int
    hinted_ms: int
    holder: str  # worker of the live lease, "" if none
    rewound: str = ""  # nonce of the try that went back because an object was lost
    snapshot_sha256: str = ""  # of the snapshot's bytes; "": not known
    dead_letter: str  # FAILED only: names the control objects `dead-<dead_letter>` and `requeue-<dead_letter>`
    labels: tuple[str, ...] = ()
    summary: GoalSummary = NO_GOALS  # as of the snapshot
    cost: Cost = NO_COST  # of the attempts that came back; a worker that died took its numbers with it
    ended_ms: int = 0  # 0: active
    model: str = ""
    paused: bool = False  # by itself; its batch may be paused, too
    parked: bool = False  # it waits until nothing stops it
    deferred: bool = False  # it has a picture, and waits until each item of its batch has one
    pause_order: int = 0  # number of the last pause or resume
    priority_order: int = 0
    batch: str = ""  # "": of none
    item: int = 0  # its index in the batch
    take: int = 0
    generation: int = 0
    custom_id: str = ""
    under: int = 0  # number of the batch's last order when it ended

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL

    @property
    def shown(self) -> JobStatus:
        """The status that people see: a job that waits between two steps is running."""
        return JobStatus.RUNNING if self.status is JobStatus.QUEUED and self.step else self.status

    @property
    def hint(self) -> Hint:
        """The message that its present step waits for."""
        return Next(queue=self.queue, kind=self.kind).hint(self.job, self.step, self.title, self.priority, self.batch)


class Query(Value):
    """Which jobs to list. `statuses` are those that people see (`Record.shown`). Times are of their creation:
    `after_ms` or later, and before `before_ms`."""

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


class Keeping(NamedTuple):
    """How a server keeps what it is told."""

    policy: str  # what it drops when its memory is full; "" where it does not tell
    appends: bool  # it writes each change to a file

    @property
    def evicts(self) -> bool:
        """True when it may drop jobs."""
        return self.policy not in {"", "noeviction"}

    @property
    def warning(self) -> str:
        return "" if self.appends else "it keeps no append-only file: each restart forgets the last changes"


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
    snapshot_sha256: str  # of the snapshot's bytes; "": not known
    now_ms: int  # the server's clock, which decides what time is up
    batch: str = ""  # "": of none
    priority: int = 6  # now: it may be patched
    price: float = 0.0  # of a render, in goals: what its batch asks now, so that it ends in time


class Refusal(StrEnum):
    """Why a hint ends here. All are normal; none is an error."""

    UNKNOWN = "unknown job"
    ENDED = "the job has ended"
    STALE = "the job stands at another step"
    LEASED = "somebody else runs this step"
    EARLY = "the step waits before its next attempt"
    RESTING = "this worker rests after failures"
    HELD = "its queue is held until what it needs works again"
    PARKED = "it is paused, or a window or a budget stops it"


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


class RewindResult(StrEnum):
    REWOUND = "rewound"
    DEAD = "dead"  # nothing can make the object again, or the job went back once before
    CANCEL = "cancel"  # cancel was asked for: it waits on `control`
    REFUSED = "refused"


class QueueDepth(Value):
    """Jobs on a queue: due without a live lease, being worked on, and waiting for their `not_before`."""

    queue: str
    waiting: int
    leased: int
    delayed: int = 0
    unhinted: int = 0  # of those that wait: no hint was sent yet
    oldest_ms: int = 0  # how long ago the oldest hint of those that wait was sent; 0: none


class Tallies(Value):
    """What operators watch; by queue, since the ledger began (a wipe starts again)."""

    dead: int = 0  # dead letters that stand now
    lease_deaths: dict[str, int] = Field(default_factory=dict)
    dead_letters: dict[str, int] = Field(default_factory=dict)
    set_aside: dict[str, int] = Field(default_factory=dict)  # records that could not be used: "all"


class Hold(Value):
    """A queue whose jobs wait: something that it needs does not answer or has to be mended. One job at a time tries."""

    queue: str
    since_ms: int
    actor: Actor
    why: str
    fix: str = ""
    resource: str = ""
    tries: int
    next_ms: int  # when the next may try
    waiting: int  # jobs


class Standing(NamedTuple):
    """May a worker take steps now? `rest_ms`: so long it must not."""

    rest_ms: int
    quarantined: bool

    @property
    def may_work(self) -> bool:
        return not self.quarantined and self.rest_ms <= 0


class SickWorker(Value):
    """A worker whose last steps failed, or that was quarantined."""

    worker: str
    why: str = ""
    failures: int = 0  # in a row
    rest_until_ms: int = 0
    quarantined_ms: int = 0  # when; 0: it is not
    canary_ms: int = 0  # when its next canary is due
    manual: bool = False  # by an operator: no canary, only `restore` ends it
