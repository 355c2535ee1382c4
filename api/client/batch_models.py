"""What the service answers about batches. Unknown fields are ignored, as in `models`."""

from __future__ import annotations

from operator import not_
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from .models import Cost, Eta, GoalCount, Warned


class ItemCounts(BaseModel):
    """Items by where they stand: `done` met every goal, `unmet` ended short of that."""

    waiting: int = 0
    running: int = 0
    done: int = 0
    unmet: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def ended(self) -> int:
        return self.done + self.unmet + self.failed + self.cancelled


class Drawing(BaseModel):
    """An item whose job runs now."""

    custom_id: str
    job: str = ""
    doing: str = ""
    goals: GoalCount = GoalCount()


class BatchWarning(Warned):
    """What is likely not meant, in how many lines, and in which first."""

    count: int = 1
    lines: tuple[int, ...] = ()


class BatchBudget(BaseModel):
    """Limits, None for none, and what was spent of each; `share` is the largest share of a limit that is spent."""

    renders: int | None = None
    gpu_seconds: float | None = None
    money: float | None = None
    currency: str = ""
    spent_renders: int = 0
    spent_gpu_seconds: float = 0.0
    spent_money: float = 0.0
    share: float = 0.0


class OwnerBudget(BatchBudget):
    """A budget of each day or month (`per`) of `zone`; the present one ends at `until`, in seconds since the epoch.

    What is `left` is None where there is no limit. `state` is open, "nothing new" from nine tenths on, or held.
    """

    per: str = "month"
    zone: str = "UTC"
    until: float = 0.0
    left_renders: int | None = None
    left_gpu_seconds: float | None = None
    left_money: float | None = None
    state: str = "open"


class Me(BaseModel):
    """The owner of the token, and what holds for all that it draws. `open`: its windows let something begin now, and
    until `changes`; else that is when they open (None: not within two weeks). `budget` None: there is none."""

    owner: str
    scopes: tuple[str, ...] = ()
    max_in_flight: int = 0
    windows: tuple[str, ...] = ()
    at_close: str = "finish"
    open: bool = True
    changes: float | None = None
    budget: OwnerBudget | None = None


class BatchTerms(BaseModel):
    """When and how much. `deadline` is in seconds since the epoch; `late`: it has passed, or had when all ended.

    `by`: the deadline sets how many goals a render of the next items must promise: `price`.
    """

    windows: tuple[str, ...] = ()
    at_close: str = "finish"
    deadline: float | None = None
    late: bool = False
    by: bool = False
    price: float | None = None
    spread: bool = False
    budget: BatchBudget | None = None


class CardsChance(BaseModel):
    """With so many cards: the chance to have ended in time, and when."""

    cards: int
    chance: float
    p50: float
    p90: float
    limits: str = ""


class Plan(BaseModel):
    """How many cards a night takes; `cards` None: more do not help. `measured` False: times are guesses.

    With fewer than `least` it is late in nine of ten simulated nights, with `safe` in time in 19 of 20; None: more do
    not help to that.
    """

    briefs: int
    goals: int = 0
    by: float
    editor: str = ""
    cards: int | None
    least: int | None = None
    safe: int | None = None
    around: tuple[CardsChance, ...] = ()
    limits: str = ""
    gpu_hours: float = 0.0
    card_hours: float = 0.0
    renders: int = 0
    disk_bytes: int = 0
    measured: bool = False
    card_price: float | None = None
    money: float | None = None
    currency: str = ""
    knows_little_of: tuple[str, ...] = ()


class Batch(BaseModel):
    """Many briefs under one id. `status` is open, paused, cancelled or ended.

    `waits` says why nothing is drawn, "" while something is. `ended_at` is None until every item has ended. `drawing`
    are some of the items in flight, empty in lists. `warnings` are of the submit: what is likely not meant, by kind.
    """

    id: str
    owner: str = ""
    title: str = ""
    labels: tuple[str, ...] = ()
    priority: int | None = None
    status: str
    counts: ItemCounts = ItemCounts()
    total: int = 0
    waits: str = ""
    eta: Eta | None = None
    eta_unknown: str = ""
    cost: Cost | None = None
    created: float = 0.0
    ended_at: float | None = Field(default=None, alias="ended")
    max_in_flight: int | None = None
    terms: BatchTerms = BatchTerms()
    drawing: tuple[Drawing, ...] = ()
    warnings: tuple[BatchWarning, ...] = ()
    links: dict[str, str] = {}
    repeated: bool = Field(default=False, exclude=True)

    @property
    def ended(self) -> bool:
        """Every item has ended."""
        return self.counts.ended >= self.total

    @property
    def satisfied(self) -> bool:
        """Every goal of every item is met."""
        return self.counts.done >= self.total


class BatchPage(BaseModel):
    """One page of a list; `next` names the one after it."""

    batches: tuple[Batch, ...] = ()
    next: str | None = None


class BatchItem(BaseModel):
    """Where an item stands. `take` counts its tries from 0; `job` is None before its turn."""

    custom_id: str
    index: int
    status: str
    job: str | None = None
    take: int = 0


class ItemPage(BaseModel):
    items: tuple[BatchItem, ...] = ()
    next: str | None = None


class BatchResult(BaseModel):
    """How a take of an item ended: done, unmet, failed or cancelled. `image` is the hash of the picture that is
    delivered: where a person picked another candidate, `picked` says which ("2.3"), and `changed` when. `file` names
    its files where names of its batch differ by case only. Of one that failed `error` says why, `fix` what a person can
    do, and `actor` who has to act (user, seat, operator, outage).

    Fields that a newer service adds are kept, so that what is written down is what was sent.
    """

    model_config = ConfigDict(extra="allow")

    custom_id: str
    index: int
    take: int = 0
    generation: int = 0
    job: str | None = None
    title: str = ""
    status: str
    stop: str = ""
    met: int = 0
    total: int = 0
    coverage: float | None = None
    rounds: int = 0
    renders: int = 0
    image: str | None = None
    error: str = ""
    fix: Annotated[str, Field(exclude_if=not_)] = ""
    actor: Annotated[str | None, Field(exclude_if=not_)] = None
    created: float | None = None
    ended: float | None = None
    picked: str = ""
    changed: float | None = None
    file: Annotated[str, Field(exclude_if=not_)] = ""

    @property
    def moment(self) -> float:
        """Since when its picture is what it is, in seconds since the epoch."""
        return self.changed or self.ended or 0.0


class Received(BaseModel):
    """How much of an interrupted upload the service has: whole lines, and their chain hash."""

    bytes: int = 0
    lines: int = 0
    sha256: str = ""
