"""The bodies and parameters of batches over HTTP. A batch and its items: tasks/batch/types.py."""

from operator import not_
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.forecast_schemas import BatchEta
from api.schemas import CURSOR, Cost, GoalCount
from tasks.batch.terms import AtClose, TermsIn
from tasks.batch.types import BatchStatus, Counts, ItemStatus
from tasks.batch.upload import Warned
from tasks.jobs import MAX_LABELS, Label

INDEX = r"^\d{1,9}$"
MAX_NAMED = 100_000


class BudgetShown(BaseModel):
    """Limits, null for none, and what was spent of each; `share` is the largest share of a limit that is spent."""

    renders: int | None
    gpu_seconds: float | None
    money: float | None
    currency: str
    spent_renders: int
    spent_gpu_seconds: float
    spent_money: float
    share: float


class TermsShown(BaseModel):
    """When and how much. `deadline` is in seconds since the epoch; `late`: it has passed, or had when the batch ended.

    `by`: the deadline also sets `price`: how many goals a render of the next items must promise (null: as many as their
    settings say). `budget` is null for none.
    """

    windows: list[str]
    at_close: AtClose
    deadline: float | None
    late: bool
    by: bool
    price: float | None
    spread: bool
    budget: BudgetShown | None


class BatchSummary(BaseModel):
    """A batch as lists show it. `waits` says why nothing of it is begun; "" while something is, or nothing waits.

    `eta` is when it will have ended; null while it does not go on, nobody serves it, or nobody knows: `eta_unknown`
    says why where neither `waits` nor `status` does.

    `counts` are its items: done have every goal met, unmet ended by themselves with a goal that is not. `cost` counts
    stored results, and renders and GPU seconds of what is in flight, too. `created` and `ended` are seconds since the
    epoch; a retry lets an ended batch go on.
    """

    id: str
    owner: str
    title: str
    labels: list[str]
    priority: int
    status: BatchStatus
    counts: Counts
    total: int
    waits: str
    eta: BatchEta | None
    eta_unknown: str
    max_in_flight: int | None
    terms: TermsShown
    cost: Cost
    created: float
    ended: float | None
    links: dict[str, str]


class Drawing(BaseModel):
    """An item whose job is in flight."""

    custom_id: str
    job: str
    doing: str
    goals: GoalCount


class BatchEnvelope(BatchSummary):
    """A batch as its owner sees it. `drawing` are at most twenty of the items in flight.

    `warnings` say what is likely not meant, in the answer to the lines only: by kind, with how many lines are
    concerned of the first `looked_at`, and the first of them.
    """

    drawing: list[Drawing]
    warnings: list[Warned] = []
    looked_at: int = 0


class BatchList(BaseModel):
    """The newest first. A page may be short, even empty: only `next` null is the end."""

    batches: list[BatchSummary]
    next: str | None


class BatchFilter(BaseModel):
    """Which batches to list."""

    model_config = ConfigDict(extra="forbid")

    status: Annotated[list[BatchStatus], Field(max_length=4, description="any of these")] = []
    label: Annotated[list[Label], Field(max_length=MAX_LABELS, description="all of these")] = []
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Annotated[str | None, Field(pattern=CURSOR, description="`next` of the page before")] = None


class BatchItem(BaseModel):
    """`job` is null before its turn. `take` counts its tries, from 0."""

    custom_id: str
    index: int
    status: ItemStatus
    job: str | None
    take: int


class ItemList(BaseModel):
    """Items by index. A page may be short, even empty: only `next` null is the end."""

    items: list[BatchItem]
    next: str | None


class ItemFilter(BaseModel):
    """Which items to list."""

    model_config = ConfigDict(extra="forbid")

    status: Annotated[list[ItemStatus], Field(max_length=6, description="any of these")] = []
    limit: Annotated[int, Field(ge=1, le=1000)] = 200
    cursor: Annotated[str | None, Field(pattern=INDEX, description="`next` of the page before")] = None


class ItemResult(BaseModel):
    """How a take of an item ended: one line of the results. The newest take of an item is its current result.

    `job` is null for an item that was cancelled before its turn; `image` is the picture that is delivered, at
    /v1/jobs/{job}/images/{image}. `met` of `total` goals are met by what the loop ended with. Where a person picked
    another candidate, `picked` says which ("2.3": round 2, candidate 3). `changed` is when that was done or undone
    last, else `ended`. `file` names its files where names of the batch differ by case only; else its custom_id does.
    `error` says why it failed, `fix` what a person can do, `actor` who has to act, as of a job.
    """

    custom_id: str
    index: int
    take: int
    generation: int
    status: ItemStatus
    job: str | None
    title: str
    stop: str
    met: int
    total: int
    coverage: float | None
    rounds: int
    renders: int
    image: str | None
    error: str
    fix: Annotated[str, Field(exclude_if=not_)] = ""
    actor: Annotated[str | None, Field(exclude_if=not_)] = None
    cost: Cost
    created: float | None
    ended: float | None
    picked: str = ""
    changed: float | None = None
    file: Annotated[str, Field(exclude_if=not_)] = ""


class Received(BaseModel):
    """How far an upload came: `bytes` and `lines` that need not come again, and the chained hash of these lines.

    The hash starts empty; with each line that is not empty it becomes sha256(hash before + line), where a line has no
    white space at its ends, and no byte order mark. `batch` is the batch, once the upload was complete: then the hash
    is of all lines, and nothing need be sent.
    """

    bytes: int
    lines: int
    sha256: str
    batch: str | None


_Name = Annotated[str, Field(min_length=1, max_length=2000)]
"""Of an item: the custom_id of its line, and behind it what a matrix sets."""
_Items = Annotated[
    list[_Name] | None, Field(min_length=1, max_length=MAX_NAMED, description="custom_ids; left out: all items")
]


class Cancelling(BaseModel):
    """Which items to cancel."""

    model_config = ConfigDict(extra="forbid")

    items: _Items = None


class Retrying(BaseModel):
    """Which items to take up again. Failed ones go on at the step that failed, unmet ones from their final picture,
    cancelled ones from where they were."""

    model_config = ConfigDict(extra="forbid")

    what: Annotated[list[Literal["failed", "unmet", "cancelled"]], Field(min_length=1, max_length=3)] = ["failed"]
    items: _Items = None
    rounds: Annotated[int | None, Field(ge=1, le=20, description="rounds more for each unmet item")] = None


class Patching(TermsIn):
    """What to change. `front` lets it go before all batches of its owner, or with `items` these before the others of
    the batch; `max_in_flight` 0 takes the cap away, null the windows, the deadline or the budget."""

    title: Annotated[str | None, Field(max_length=120)] = None
    priority: Annotated[int | None, Field(ge=0, le=9, strict=True, description="0 goes first")] = None
    front: bool = False
    items: _Items = None
    max_in_flight: Annotated[int | None, Field(ge=0, le=1_000_000)] = None
