"""What a batch is made of.

A batch is an ordered set of items. An item is a line in object storage until its turn; then it is a job, the item's
child. When the child has ended, its result is a line in object storage and the job leaves the ledger.

Each try of an item is a *take*, counted from 0. Each job of an item is a *generation*: a take that goes on with a
failed job has that job's generation, a take that begins another job has the next one.
"""

import uuid
from collections.abc import Collection
from enum import StrEnum
from operator import not_
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from director.types import Brief, ImageHash, LoopSettings, ModelName, Seed, Share, Value
from tasks.batch.terms import NO_TERMS, Spent, Terms
from tasks.jobs import MAX_LABELS, Job, JobId, JobStatus, Label, Place, implied_seed
from tasks.submission import SettingsIn
from tasks.summary import NO_COST, Cost

MAX_LINE = 262_144
"""Bytes of a line of a manifest."""
MAX_ITEMS = 1_000_000
MAX_COMBOS = 10_000
MAX_MODELS = 64
"""Editors' models in one batch."""
MAX_TAKES = 90
"""Tries of one item: they are kept as one printable character."""
PART = 1000
"""Lines of a stored part."""
PRIORITY = 9
"""Of a batch that names none: behind what people wait for."""

BatchId = JobId
CustomId = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,128}$")]
_NAMESPACE = uuid.UUID("0b1a64f4-52a4-5c0e-8d5c-52f4f9f6f2a1")


class ItemStatus(StrEnum):
    """Where an item stands. The ledger keeps a letter for each; see LETTERS."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"  # every goal is met
    UNMET = "unmet"  # ended by itself with goals that are not met
    FAILED = "failed"
    CANCELLED = "cancelled"


LETTERS = {
    "w": ItemStatus.WAITING,
    "p": ItemStatus.WAITING,  # picked: its job is being made
    "f": ItemStatus.RUNNING,
    "d": ItemStatus.DONE,
    "u": ItemStatus.UNMET,
    "x": ItemStatus.FAILED,
    "c": ItemStatus.CANCELLED,  # before its turn
    "k": ItemStatus.CANCELLED,  # after that
}


RETRIED = frozenset({ItemStatus.FAILED, ItemStatus.UNMET, ItemStatus.CANCELLED})
"""What can be tried again."""


def letters_of(statuses: Collection[ItemStatus]) -> str:
    """The letters of items that stand so."""
    return "".join(letter for letter, status in LETTERS.items() if status in statuses)


class BatchStatus(StrEnum):
    OPEN = "open"
    PAUSED = "paused"
    CANCELLED = "cancelled"  # no item waits; what is left of it ends
    ENDED = "ended"


class Combo(Value):
    """One point of a matrix: what it sets. Without a matrix a batch has one, which sets nothing."""

    name: str = ""  # "seed=1,editor=a"
    settings: dict[str, Any] = Field(default_factory=dict[str, Any])
    seed: Seed | None = None

    def named(self, custom_id: str) -> str:
        """The custom_id of an item, from that of its line."""
        return f"{custom_id}@{self.name}" if self.name else custom_id


class Span(Value):
    """The items that one editor's model draws: the lines of a folder, each with `combos`, from index `first` on.

    A matrix of editors has a span for each of them over one folder of lines; otherwise each has a folder of its own.
    """

    model: ModelName
    folder: Annotated[int, Field(ge=0)]
    first: Annotated[int, Field(ge=0)]
    lines: Annotated[int, Field(ge=1)]
    combos: tuple[int, ...] = (0,)

    @property
    def items(self) -> int:
        return self.lines * len(self.combos)


class Batch(Value):
    """What `batches/<id>/batch.json` holds: written once, when all lines are stored.

    `settings` hold for every item that does not set them itself. `created` is in seconds since the epoch;
    `body_sha256` tells a repeated batch from another one under the same key.
    """

    contract: Literal[1] = 1
    id: BatchId
    owner: str
    title: Annotated[str, Field(max_length=120)] = ""
    labels: Annotated[tuple[Label, ...], Field(max_length=MAX_LABELS)] = ()
    priority: Annotated[int, Field(ge=0, le=9)] = PRIORITY
    settings: dict[str, Any] = Field(default_factory=dict[str, Any])
    combos: Annotated[tuple[Combo, ...], Field(min_length=1, max_length=MAX_COMBOS)] = (Combo(),)
    spans: Annotated[tuple[Span, ...], Field(min_length=1, max_length=MAX_MODELS * 16)]
    created: float
    body_sha256: str = ""
    most: Annotated[int, Field(ge=1)] | None = None  # children in flight; None: as many as the editors take
    weight: Annotated[float, Field(gt=0)] = 1.0  # its owner's share of the editors
    terms: Annotated[Terms, Field(exclude_if=lambda terms: terms == NO_TERMS)] = NO_TERMS
    alike: Annotated[bool, Field(exclude_if=not_)] = False  # some of its names differ by case only

    @property
    def total(self) -> int:
        return sum(span.items for span in self.spans)

    @property
    def lines(self) -> int:
        return sum({span.folder: span.lines for span in self.spans}.values())

    def at(self, index: int) -> "Position":
        """Where item `index` is stored. Raises IndexError."""
        for span in self.spans:
            if 0 <= index - span.first < span.items:
                row, combo = divmod(index - span.first, len(span.combos))
                return Position(span.folder, row, span.combos[combo])
        raise IndexError(index)

    def custom_id(self, index: int, of_line: str) -> str:
        """The custom_id of item `index`, whose line has the other one. Raises IndexError."""
        return self.combos[self.at(index).combo].named(of_line)

    def index(self, position: "Position") -> int:
        """The other way round. Raises IndexError."""
        for span in self.spans:
            if span.folder == position.folder and position.row < span.lines and position.combo in span.combos:
                return span.first + position.row * len(span.combos) + span.combos.index(position.combo)
        raise IndexError(position)


class Position(NamedTuple):
    """The folder, the row in it, and the combo of an item."""

    folder: int
    row: int
    combo: int


class Item(Value):
    """A line of `batches/<id>/items/…`: what one line of the manifest asks for. `line` is its number there, from 1."""

    custom_id: CustomId
    line: int
    brief: Brief
    settings: dict[str, Any] = Field(default_factory=dict[str, Any])
    seed: Seed | None = None
    labels: Annotated[tuple[Label, ...], Field(max_length=MAX_LABELS)] = ()


class Result(Value):
    """A line of `batches/<id>/results/…`: how a take of an item ended.

    Of one item the line with the highest take is the current one. `order` is the number of the last order of the batch
    that came before the end.
    """

    batch: BatchId
    index: Annotated[int, Field(ge=0)]
    take: Annotated[int, Field(ge=0, le=MAX_TAKES)] = 0
    generation: Annotated[int, Field(ge=0, le=MAX_TAKES)] = 0
    custom_id: str
    job: JobId | None = None  # None: cancelled before its turn
    title: str = ""
    status: ItemStatus
    stop: str = ""
    met: int = 0
    total: int = 0
    coverage: Share | None = None
    rounds: int = 0
    renders: int = 0
    image: ImageHash | None = None
    error: str = ""
    cost: Cost = NO_COST
    created: float = 0.0
    ended: float = 0.0
    order: int = 0


class End(BaseModel):
    """What counts of a Result where there are a million of them: reading this takes half the time."""

    model_config = ConfigDict(frozen=True)

    batch: str
    index: Annotated[int, Field(ge=0)]
    take: Annotated[int, Field(ge=0, le=MAX_TAKES)] = 0
    generation: Annotated[int, Field(ge=0, le=MAX_TAKES)] = 0
    job: str | None = None
    status: ItemStatus
    cost: Cost = NO_COST
    ended: float = 0.0
    order: int = 0


OrderKind = Literal["pause", "resume", "cancel", "retry", "patch", "first"]


class Order(Value):
    """What somebody asked of a batch: `batches/<id>/control/<number>-<kind>.json`.

    `items` are indices, () all of them; `first` lets them go before the others of the batch. `what` says which a retry
    takes, `rounds` how many more rounds an unmet one gets. The last five are of a patch; `terms` are the fields that it
    changes.
    """

    number: int
    kind: OrderKind
    at_ms: int
    items: tuple[int, ...] = ()
    what: tuple[ItemStatus, ...] = ()
    rounds: Annotated[int, Field(ge=1, le=20)] | None = None
    priority: Annotated[int, Field(ge=0, le=9)] | None = None
    front: bool = False
    most: Annotated[int, Field(ge=0)] | None = None  # 0: no cap
    title: str | None = None
    terms: Annotated[dict[str, Any], Field(exclude_if=lambda terms: not terms)] = Field(default_factory=dict[str, Any])


class Counts(Value):
    """How many items stand where."""

    waiting: int = 0
    running: int = 0
    done: int = 0
    unmet: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def ended(self) -> int:
        return self.done + self.unmet + self.failed + self.cancelled


class Standing(Value):
    """How a batch stands. `order` is the number of the last order; `ended` 0.0: it has not.

    `spent` counts what its jobs in flight used, too; `late` is when it was told that the deadline has passed, 0.0: not.
    `price` is how many goals a render of the next items must promise; None: as many as their settings say.
    """

    batch: BatchId
    owner: str
    title: str
    labels: tuple[str, ...] = ()
    priority: int
    status: BatchStatus
    counts: Counts
    total: int
    most: int | None = None
    order: int = 0
    cost: Cost = NO_COST
    created: float
    ended: float = 0.0
    terms: Terms = NO_TERMS
    spent: Spent = Spent()
    late: float = 0.0
    price: float | None = None

    @property
    def cost_so_far(self) -> Cost:
        """`cost` is of the stored results; with the renders and the GPU time of what is in flight, too."""
        renders, gpu_ms = max(self.cost.renders, self.spent.renders), round(1000 * self.spent.gpu_s)
        return self.cost.model_copy(update={"renders": renders, "gpu_ms": max(self.cost.gpu_ms, gpu_ms)})


def batch_id(owner: str, key: str) -> str:
    """The id of the batch that `owner` sends under `key`."""
    return str(uuid.uuid5(_NAMESPACE, f"{owner}\n{key}"))


def child_id(batch: str, index: int, generation: int) -> str:
    """The id of a job of an item: whoever makes it, and however often, it is the same job."""
    return str(uuid.uuid5(_NAMESPACE, f"{batch}\n{index}\n{generation}"))


def job_of(batch: Batch, item: Item, place: Place, created: float) -> Job:
    """The job of an item's first generation, with a seed from its id if none is given."""
    combo = batch.combos[batch.at(place.index).combo]
    id = child_id(batch.id, place.index, place.generation)
    seed = next((seed for seed in (combo.seed, item.seed) if seed is not None), implied_seed(id))
    title = item.brief.title or item.custom_id
    brief = item.brief.model_copy(update={"title": (f"{title} · {combo.name}" if combo.name else title)[:120]})
    return Job(
        id=id,
        owner=batch.owner,
        brief=brief,
        settings=merged_settings(batch, item, combo),
        seed=seed,
        priority=batch.priority,
        labels=tuple(dict.fromkeys((*batch.labels, *item.labels)))[:MAX_LABELS],
        created=created,
        batch=place,
    )


def merged_settings(batch: Batch, item: Item, combo: Combo) -> LoopSettings:
    """The batch's, then the line's, then the matrix' settings. Raises ValidationError."""
    return SettingsIn.model_validate({**batch.settings, **item.settings, **combo.settings}).plain()


def status_of_item(status: JobStatus, stop: str) -> ItemStatus:
    """How an item stands whose job stands so; batch.lua has the same rule."""
    match status:
        case JobStatus.DONE:
            return ItemStatus.DONE if stop == "satisfied" else ItemStatus.UNMET
        case JobStatus.FAILED:
            return ItemStatus.FAILED
        case JobStatus.CANCELLED:
            return ItemStatus.CANCELLED
        case _:
            return ItemStatus.RUNNING
