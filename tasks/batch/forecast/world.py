"""What a forecast is made of: the work that stands before us, who does it, and what was measured of both.

Times are seconds; those of a world count from its `now`, which is in seconds since the epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

WANTED = 20
"""Measurements of a thing from which on a forecast rests on them."""
DAY_S = 86_400.0
_NATIVE = 1328  # pixels of a side that the model draws best: the largest of a family


class Sort(NamedTuple):
    """What decides how long a job's steps take: `size` is that of `tasks.jobs.size_of`."""

    model: str
    size: str

    @property
    def amount(self) -> float:
        """Megapixels of a render step."""
        width, height, pictures = (int(part) for part in self.size.split("x"))
        return (width or _NATIVE) * (height or _NATIVE) * pictures / 1e6

    def __str__(self) -> str:
        return f"{self.model} at {self.size.replace('0x0x', 'its native size x')}"


class Done(NamedTuple):
    """What an ended job did: steps of an editor; and how many goals it had."""

    renders: int
    goals: int


class Flying(NamedTuple):
    """A job in flight: how many renders it has behind it, the kind of its step, and whether that runs."""

    renders: int
    kind: str
    running: bool

    @property
    def survived(self) -> int:
        """Renders after which it went on: of the last one that may not be decided."""
        return max(0, self.renders - 1) if self.kind in ("select", "verify") else self.renders


@dataclass(frozen=True)
class Measured:
    """Of jobs of one sort: seconds of the newest steps by kind, how many steps were done, and what ended jobs did."""

    times: Mapping[str, Sequence[float]] = field(default_factory=dict[str, Sequence[float]])
    steps: Mapping[str, int] = field(default_factory=dict[str, int])
    done: Sequence[Done] = ()


@dataclass(frozen=True)
class Pool:
    """Processes that serve the same queues. `log`: since when (seconds since the epoch) how many served.

    `each` of them are of one program, and go together.
    """

    queues: tuple[str, ...]
    servers: int
    log: Sequence[tuple[float, int]] = ()
    each: int = 1


@dataclass(frozen=True)
class Price:
    """What a budget counts for a job's renders: pictures of a render step, and money of a picture and of a second."""

    pictures: int = 1
    of_picture: float = 0.0
    of_second: float = 0.0

    def used(self, renders: float, gpu_s: float) -> "Used":
        pictures = renders * self.pictures
        return Used(pictures, gpu_s, pictures * self.of_picture + gpu_s * self.of_second)


class Used(NamedTuple):
    """Amounts in the units of a budget."""

    pictures: float = 0.0
    gpu_s: float = 0.0
    money: float = 0.0

    def plus(self, other: "Used") -> "Used":
        return Used(self.pictures + other.pictures, self.gpu_s + other.gpu_s, self.money + other.money)


NOTHING = Used()


@dataclass(frozen=True)
class Purse:
    """A budget, and what is used of it. Of its limits those that are 0 are none."""

    limits: Used
    used: Used

    def share(self, more: Used) -> float:
        """The largest share of a limit that is used, with so much more."""
        amounts = zip(self.used.plus(more), self.limits, strict=True)
        return max((amount / limit for amount, limit in amounts if limit), default=0.0)


Spans = Sequence[tuple[float, float]]
"""Seconds [open, close), in order."""


@dataclass(frozen=True)
class Load:
    """Jobs of one sort and batch: how many wait for their turn, and those in flight.

    `windows` are when jobs of it may begin, `runs` when those that have begun take steps; None: always. `purses` are
    indices into those of the world. `by`: until then it is to end, at the price of what its jobs may still draw.
    `alone`: it is one job, which is asked about, and `batch` is its id.
    """

    batch: str
    owner: str
    sort: Sort
    waiting: int
    flying: Sequence[Flying] = ()
    done: Sequence[Done] = ()
    most_renders: int = 40
    weight: float = 1.0
    score: float = 0.0  # smaller goes first, of one owner
    urgent: bool = False
    most: int = 0  # in flight; 0: no cap
    windows: Spans | None = None
    runs: Spans | None = None
    purses: tuple[int, ...] = ()
    price: Price = Price()
    by: float | None = None
    alone: bool = False


class Arrival(NamedTuple):
    """A batch that came, in seconds since the epoch."""

    owner: str
    created: float
    items: int


@dataclass(frozen=True)
class World:
    """All of it. `arrivals` are of the last day."""

    now: float
    pools: Sequence[Pool]
    loads: Sequence[Load]
    measured: Mapping[Sort, Measured]
    arrivals: Sequence[Arrival] = ()
    purses: Sequence[Purse] = ()

    def pool_of(self, queue: str) -> int | None:
        """The index of the pool that serves it; None: nobody does."""
        return next((n for n, pool in enumerate(self.pools) if queue in pool.queues), None)
