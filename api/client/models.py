"""What the service answers. Unknown fields are ignored, so that an older client reads a newer service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

ACTIVE = ("queued", "running")


class GoalCount(BaseModel):
    """Goals by their standing on the best picture. Those not looked at yet are in `total` only."""

    met: int = 0
    missed: int = 0
    unsure: int = 0
    total: int = 0


class Goal(BaseModel):
    """One goal, and how it stands on the best picture.

    `absent` says that it must not be there. `outcome` is met, missed, unsure, or "" for a goal that was
    not looked at yet. `score` is the probability that it is met, in [0, 1]; `evidence` is what was seen.
    """

    id: str
    type: str
    text: str
    absent: bool = False
    outcome: str = ""
    score: float | None = None
    evidence: str = ""

    @property
    def wish(self) -> str:
        """Its words, which alone may say the contrary of what is meant by a goal of absence."""
        return f"absent: {self.text}" if self.absent else self.text


class Cost(BaseModel):
    """The sum over all attempts of all steps, wasted ones included. `seconds` is the time that steps took."""

    seconds: float = 0
    gpu_seconds: float = 0
    renders: int = 0
    denoising_steps: int = 0
    vlm_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    attempts: int = 0
    wasted_attempts: int = 0


class JobError(BaseModel):
    """Where a job failed, what was said, what a person can do, and who has to act.

    `actor` is user, seat, operator or outage, and None where the service does not say. `resource` is what failed, if
    other jobs need it too.
    """

    boundary: str
    message: str
    fix: str = ""
    actor: str | None = None
    resource: str = ""


class BriefSent(BaseModel):
    """The brief as the service keeps it; `source` is the hash of the picture that it starts from."""

    text: str = ""
    title: str = ""
    source: str | None = None


class Unread(BaseModel):
    """Words of the brief that became no goal, and why: "heading", "quoted mail", "signature", "became no goal"."""

    text: str
    reason: str


class Warned(BaseModel):
    """What is likely not meant. `kind` is no-source, contradiction or editor-not-served, at most one of each."""

    kind: str
    message: str
    fix: str = ""

    def __str__(self) -> str:
        return self.message + (f" ({self.fix})" if self.fix else "")


class Picked(BaseModel):
    """What a person picked in place of the loop's choice. `goals` are the verdicts on that very picture."""

    round: int
    candidate: int
    image: str
    goals: GoalCount = GoalCount()
    at: float = 0.0

    def __str__(self) -> str:
        return f"{self.round}.{self.candidate}"


class Eta(BaseModel):
    """When a job or a batch will have ended, in seconds since the epoch.

    Of ten nights one is earlier than `p10`, and one later than `p90`. `limits` is what it waits for most,
    `knows_little_of` what was measured too seldom. `money` is about what all of it will have cost; None: no prices.
    `late` says that a batch is likely to miss its deadline, and what would help.
    """

    p10: float
    p50: float
    p90: float
    limits: str = ""
    knows_little_of: tuple[str, ...] = ()
    money: float | None = None
    currency: str = ""
    late: str = ""


class Job(BaseModel):
    """A job. `status` is queued, running, done, cancelled or failed; `stop` says why it ended. A job is running
    from its first step on; `doing` says what it does or waits for.

    `coverage` is the share of the goals' weight that is met, None before the first picture was
    accepted. Times are seconds since the epoch. `brief`, `settings` and `seed` are None in lists,
    and `unread` and `warnings` empty. Before the goals are known, `unread` holds what no planner is asked about.
    `repeated`: the submit that gave it made no new job, its key was known. `picked` is None in lists, too, and where
    the loop's own choice is delivered. `eta` is told of a job that is asked for alone and goes on; where it is None
    `eta_unknown` may say why.
    """

    id: str
    owner: str = ""
    title: str = ""
    status: str
    stop: str = ""
    step: int = 0
    doing: str = ""
    labels: tuple[str, ...] = ()
    priority: int | None = None
    paused: bool = False
    goals: GoalCount = GoalCount()
    coverage: float | None = None
    rounds: int = 0
    renders: int = 0
    cost: Cost | None = None
    error: JobError | None = None
    created: float = 0.0
    ended_at: float | None = Field(default=None, alias="ended")
    brief: BriefSent | None = None
    settings: dict[str, Any] | None = None
    seed: int | None = None
    unread: tuple[Unread, ...] = ()
    warnings: tuple[Warned, ...] = ()
    picked: Picked | None = None
    eta: Eta | None = None
    eta_unknown: str = ""
    links: dict[str, str] = {}
    repeated: bool = Field(default=False, exclude=True)

    @property
    def ended(self) -> bool:
        return self.status not in ACTIVE

    @property
    def satisfied(self) -> bool:
        """Every goal that was asked for is met."""
        return self.stop == "satisfied"


class JobPage(BaseModel):
    """One page of a list; `next` names the one after it."""

    jobs: tuple[Job, ...] = ()
    next: str | None = None


class Attempt(BaseModel):
    """One try of one step. `committed` is False for work that was lost or failed."""

    n: int = 0
    kind: str = ""
    attempt: int = 1
    host: str = ""
    started: float = 0.0
    seconds: float = 0.0
    renders: int = 0
    committed: bool = False
    counts: dict[str, float] = {}
    error: JobError | None = None


class Attempts(BaseModel):
    """What every try took, and their sum."""

    attempts: tuple[Attempt, ...] = ()
    cost: Cost = Cost()


class Uploaded(BaseModel):
    """A stored picture: `image` is what a brief's `source` takes."""

    image: str
    width: int
    height: int


@dataclass(frozen=True)
class Event:
    """One event of a job. `id` is what `Client.events(after=…)` takes; the last event's kind is `end`.

    An `end` without an id belongs to a job that failed before its first step was done.
    """

    id: str
    kind: str
    data: dict[str, Any]


class HeldQueue(BaseModel):
    """A queue whose jobs wait for what it needs; one of them tries now and then."""

    queue: str
    actor: str = ""
    why: str = ""
    fix: str = ""
    resource: str = ""
    since: float
    next_try: float = 0
    tries: int = 0
    waiting: int = 0


class SickWorker(BaseModel):
    """A worker whose last steps failed; `quarantined` is since when it takes none."""

    worker: str
    why: str = ""
    failures: int = 0
    quarantined: float | None = None
    next_canary: float | None = None
    by_hand: bool = False


class Machines(BaseModel):
    """All workers that serve, with their queues; what is held; who is sick."""

    workers: dict[str, list[str]] = {}
    held: list[HeldQueue] = []
    sick: list[SickWorker] = []
