"""The bodies and parameters of the API, beside the types of `director.types`."""

import hashlib
import json
from operator import not_
from typing import Annotated, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.client import models
from api.forecast_schemas import BatchEta
from api.problems import from_pydantic, invalid
from director.cautions import Caution
from director.errors import BriefError
from director.reading import Unread
from director.report import Trouble
from director.state import GoalCounts
from director.types import Brief, Continues, Goal, LoopSettings, Region, Seed, Value, Verdict
from tasks.jobs import MAX_LABELS, Job, JobId, JobStatus, Label, implied_seed, job_id
from tasks.ledger.types import Query
from tasks.store import Pick
from tasks.submission import BriefIn, SettingsIn, parsed
from tasks.summary import Cost as Counted

OLDER = "ended-"
"""Before a place in a list of jobs that lie in storage only."""
CURSOR = r"^(ended-)?\d{1,15}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
M = TypeVar("M", bound=BaseModel)
Seconds = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]


def read_model(model: type[M], body: bytes) -> M:
    """Raises Problem 400 for what is no JSON object, and 422 that names the field."""
    try:
        return model.model_validate(parsed(body, "body"))
    except BriefError as error:
        raise invalid(error.field, error.message, error.fix, 400) from None
    except ValidationError as error:
        raise from_pydantic(error.errors(include_url=False), {(): model}) from None


class Submission(Value):
    """The body of POST /v1/jobs. With `continues` the brief is only what is to change of that job's picture."""

    brief: BriefIn
    settings: SettingsIn = Field(default_factory=lambda: SettingsIn.model_validate({}))
    seed: Seed | None = None
    priority: Annotated[int, Field(ge=0, le=9, description="0 goes first")] = 6
    labels: Annotated[tuple[Label, ...], Field(max_length=MAX_LABELS, description="words to find it by")] = ()
    continues: Annotated[
        JobId | None,
        Field(description="a job of yours that has ended: go on from its picture, and keep what that meets"),
    ] = None

    @classmethod
    def parse(cls, body: bytes) -> tuple[Self, str]:
        """The submission, and the sha256 by which a repeated body is recognised."""
        try:
            raw = parsed(body, "body")
        except BriefError as error:
            raise invalid(error.field, error.message, error.fix, 400) from None
        try:
            read = cls.model_validate(raw)
        except ValidationError as error:
            raise from_pydantic(error.errors(include_url=False), _MODELS) from None
        canonical = json.dumps(raw, sort_keys=True, separators=(",", ":"))
        return read, hashlib.sha256(canonical.encode()).hexdigest()

    def job(self, owner: str, key: str, created: float, body_sha256: str) -> Job:
        """The job of this submission. Without a seed it gets one from its id."""
        id_ = job_id(owner, key)
        return Job(
            id=id_,
            owner=owner,
            brief=Brief.model_validate(self.brief.model_dump()),
            settings=self.settings.plain(),
            seed=implied_seed(id_) if self.seed is None else self.seed,
            priority=self.priority,
            labels=tuple(dict.fromkeys(self.labels)),
            created=created,
            body_sha256=body_sha256,
        )


_MODELS: dict[tuple[str, ...], type[BaseModel]] = {
    (): Submission,
    ("brief",): BriefIn,
    ("brief", "goals"): Goal,
    ("brief", "goals", "region"): Region,
    ("brief", "continues"): Continues,
    ("brief", "continues", "goals"): Goal,
    ("brief", "continues", "verdicts"): Verdict,
    ("settings",): SettingsIn,
}


class GoalCount(GoalCounts):
    """Goals by their standing on the best picture. Those not looked at yet are in `total` only."""

    model_config = ConfigDict(extra="ignore")


class Cost(models.Cost):
    """What all attempts took, wasted ones included. A worker that died took its numbers with it.

    `gpu_seconds` is the time in which editors drew on a GPU; VLM servers are shared, and count in calls and tokens.
    An attempt is wasted when it failed, or another one's outcome counts.
    """

    @classmethod
    def of(cls, counted: Counted) -> Self:
        plain = counted.model_dump(exclude={"ms", "gpu_ms"})
        return cls(seconds=counted.ms / 1000, gpu_seconds=counted.gpu_ms / 1000, **plain)


class JobError(Trouble):
    """Where it failed, what was said, what a person can do, and who has to act.

    `actor` is user (the brief must change), seat (a reply or a picture was no good), operator (a key, a name, weights)
    or outage (something does not answer); null where that is not known. `resource` is what failed, if jobs share it.
    """

    resource: str = ""


class JobPatch(BaseModel):
    """What changes of a job that was sent."""

    model_config = ConfigDict(extra="forbid")

    priority: Annotated[int, Field(ge=0, le=9, strict=True, description="0 goes first")]

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Raises Problem 422 that names the field."""
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            raise from_pydantic(error.errors(include_url=False), {(): cls}) from None


class BatchPlace(BaseModel):
    """The batch that a job belongs to, and its item there."""

    id: str
    custom_id: str


class JobSummary(BaseModel):
    """A job as lists show it. `doing` says what happens now, or what it waits for; "" once it has ended.

    `coverage` is the share of the goals' weight that is met, null before the first picture was accepted.
    `created` and `ended` are seconds since the epoch.
    """

    id: str
    owner: str
    title: str
    status: JobStatus
    stop: str
    step: int
    doing: str
    labels: list[str]
    priority: int
    paused: bool
    batch: BatchPlace | None
    goals: GoalCount
    coverage: float | None
    rounds: int
    renders: int
    cost: Cost
    error: JobError | None
    created: float
    ended: float | None
    links: dict[str, str]


class JobFilter(BaseModel):
    """Which jobs to list. Times are seconds since the epoch."""

    model_config = ConfigDict(extra="forbid")

    status: Annotated[list[JobStatus], Field(max_length=5, description="any of these")] = []
    label: Annotated[list[Label], Field(max_length=MAX_LABELS, description="all of these")] = []
    owner: Annotated[str | None, Field(max_length=200, description="for operators; others see their own only")] = None
    created_after: Annotated[Seconds | None, Field(description="or at that very time")] = None
    created_before: Seconds | None = None
    batch: Annotated[
        JobId | None, Field(description="the jobs of this batch that are in flight or ended a moment ago, by index")
    ] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Annotated[str | None, Field(pattern=CURSOR, description="`next` of the page before")] = None

    def query(self, reach: str | None) -> Query | None:
        """`reach`: the owner whose jobs the caller may see, None: of all owners. Gives None when nothing can match."""
        if reach is not None and self.owner not in (None, reach):
            return None
        return Query(
            owner=self.owner if reach is None else reach,
            statuses=frozenset(self.status),
            labels=tuple(self.label),
            after_ms=_milliseconds(self.created_after),
            before_ms=_milliseconds(self.created_before),
        )


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


class BriefOut(BaseModel):
    """The brief as it was sent; its goals are in the trajectory."""

    text: str
    title: str
    source: str | None


class Picked(BaseModel):
    """What a person picked in place of the loop's choice: round and candidate as in the report.

    `goals` are the verdicts on that very picture; of one that nobody looked at only `total` is known. `at` is in
    seconds since the epoch.
    """

    round: int
    candidate: int
    image: str
    goals: GoalCount
    at: float

    @classmethod
    def of(cls, pick: Pick | None) -> Self | None:
        """None where nothing was picked, or that was undone."""
        if not pick or not pick.image:
            return None
        goals = GoalCount(**dict(pick.goals))
        return cls(round=pick.round, candidate=pick.candidate, image=pick.image, goals=goals, at=pick.at)


class Envelope(JobSummary):
    """A job as its owner sees it, with what was asked for. `settings` are all of them, defaults filled in.

    `unread` are the words of the brief that became no goal; until the goals are known those that no planner is asked
    about. `warnings` say what is likely not meant; nothing is refused for them. `picked` is there where a person picked
    another candidate: then that is delivered. `eta` is when a job will have ended that goes on, as of a batch; null in
    answers to orders, and where it is not known: then `eta_unknown` says why.
    """

    brief: BriefOut
    settings: LoopSettings
    seed: int
    unread: list[Unread]
    warnings: list[Caution]
    eta: BatchEta | None = None
    eta_unknown: str = ""
    picked: Annotated[Picked | None, Field(exclude_if=not_)] = None


class JobList(BaseModel):
    """The newest first. A page may be short, even empty: only `next` null is the end.

    Of a batch most items have no job at a time; `links` says where all are listed.
    """

    jobs: list[JobSummary]
    next: str | None
    links: Annotated[dict[str, str], Field(exclude_if=not_)] = {}


class Attempt(BaseModel):
    """One try of a step. `counts` are the seat's own; `blobs` name what was said and answered.

    `hole` lists steps whose snapshots are lost and not needed; `rewound` says which object was lost, and to which step
    the job went back for it.
    """

    n: int
    nonce: str
    kind: str
    attempt: int
    host: str = ""
    started: float
    seconds: float
    renders: int = 0
    committed: bool
    progress: str = ""
    counts: dict[str, int] = {}
    blobs: dict[str, list[str]] = {}
    error: JobError | None = None
    hole: list[int] = []
    rewound: dict[str, str | int | None] | None = None


class Attempts(BaseModel):
    """Every attempt that left a record, by step, and their sum. `unreadable` names records that are left out."""

    attempts: list[Attempt]
    unreadable: list[str] = []
    cost: Cost


class Uploaded(models.Uploaded):
    """A stored picture: its hash is what `brief.source` takes."""
