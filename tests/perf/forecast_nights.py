"""Nights on which the forecast is tried: no two alike in steps, rounds, machines, outages, windows and others' batches.

Each rate is drawn anew for a night, from the ranges that are written here; tasks/batch/forecast knows none of them. It
was tuned on seeds from TUNED on, on the odd ones up to 117, and on 5001 to 5079. Of the nights below TUNED, every other
one is `strange`: its steps, rounds and hours are of kinds that do not occur from TUNED on.
"""

import argparse
import math
import pickle
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from tasks.batch.forecast.census import world_of
from tasks.batch.forecast.world import World
from tasks.batch.terms import Terms
from tasks.batch.types import Batch
from tasks.ledger.types import Claim
from tests.perf.stage import MODEL, Stage, stage
from tests.support.nights import Cycles, Night

TUNED = 100_000
HOUR = 3600.0
LAST = 30 * HOUR  # until then machines fail and batches come
ROUNDS = 12
SHARES = (0.05, 0.25, 0.5)


@dataclass(frozen=True)
class Moment:
    """What the ledger told when it was asked, so long after the batch began."""

    share: float
    at: float
    world: World


@dataclass(frozen=True)
class Told:
    """One night. `took_s` is from the begin of the batch to its end."""

    seed: int
    batch: str
    took_s: float
    moments: list[Moment]


def night(seed: int) -> Told:
    """One night, looked at three times."""
    with trial(seed) as tried:
        moments = list[Moment]()

        def over() -> bool:
            if len(moments) < len(SHARES) and tried.batch and tried.ended >= SHARES[len(moments)] * tried.briefs:
                world = world_of(tried.made.ledger, {tried.batch.id: tried.batch})
                moments.append(Moment(SHARES[len(moments)], tried.made.clock.s - tried.begins_s, world))
            return tried.ended == tried.briefs

        tried.ahead.run(over)
        assert tried.batch
        return Told(seed, tried.batch.id, tried.end_s - tried.begins_s, moments)


def arguments(module: str, about: str) -> argparse.Namespace:
    """Which nights are asked for on the command line."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.perf.{module}", description=about)
    parser.add_argument("--nights", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep nights there, and take those that are kept")
    return parser.parse_args()


def kept(seed: int, folder: Path | None) -> Told:
    """The night as it is kept there, or made now."""
    file = folder / f"{seed}.pickle" if folder else None
    if file and file.exists():
        return pickle.loads(file.read_bytes())  # of an earlier run of this command
    told = night(seed)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pickle.dumps(told))
    return told


def between(dice: Random, low: float, high: float) -> float:
    """Each magnitude is as likely."""
    return math.exp(dice.uniform(math.log(low), math.log(high)))


@dataclass
class Varied(Cycles):
    """Rounds and times of a night of its own."""

    strange: bool = False
    render_s: float = 30.0
    own: str = ""  # the batch whose briefs are not like those of others
    ours: set[str] = field(default_factory=set[str])
    night_began: Callable[[], float] = lambda: 0.0

    def __post_init__(self) -> None:
        dice = Random(f"work {self.seed}")
        self.other_s = between(dice, 2, 20)
        self.sigma, self.tail, self.times = dice.uniform(0.1, 0.6), dice.uniform(0, 0.05), dice.uniform(2, 8)
        self.most_rounds, self.goes_on = dice.randint(2, 8), dice.uniform(0.4, 0.8)
        self.kind = dice.choice(("rare and many", "never few") if self.strange else ("even", "geometric"))
        self.drift = dice.uniform(-0.05, 0.05) if self.strange else 0.0  # of an hour: cards get hot, a VLM is shared

    def rounds(self, job: str) -> int:
        dice = Random(f"{self.seed}/{job}")
        match self.kind if job in self.ours else "others":
            case "even":
                return dice.randint(1, self.most_rounds)
            case "rare and many":
                return min(ROUNDS, int(dice.paretovariate(1.2)))
            case "never few":
                return min(ROUNDS, 3 + sum(dice.random() < self.goes_on for _ in range(3)))
            case "others":
                return dice.randint(1, 5)
            case _:
                return min(ROUNDS, 1 + int(math.log(1 - dice.random()) / math.log(self.goes_on)))

    def seconds(self, claim: Claim) -> float:
        if claim.batch == self.own:
            self.ours.add(claim.job)
        dice = Random(f"{self.seed}/{claim.job}/{claim.n}")
        # Else a night whose steps grow longer faster than its work grows less would have no end.
        drifts_s = min(self.night_began(), LAST)
        return math.exp(self.drift * drifts_s / HOUR) * self.drawn_s(claim.kind, dice)

    def drawn_s(self, kind: str, dice: Random) -> float:
        middle = self.render_s if kind == "render" else self.other_s
        if self.strange:  # the tail is in each step, and none has a mean that many measurements tell well
            return min(20 * middle, 0.6 * middle * dice.paretovariate(1.8))
        drawn = middle * dice.lognormvariate(0, self.sigma)
        return drawn * self.times if dice.random() < self.tail else drawn


@dataclass
class Trial:
    """One night. The batch begins at `begins_s`; before, others used the same machines."""

    made: Stage
    ahead: Night
    briefs: int
    begins_s: float
    batch: Batch | None = None
    ended: int = 0
    end_s: float = 0.0

    def one_ended(self, claim: Claim) -> None:
        if self.batch and claim.batch == self.batch.id:
            self.ended, self.end_s = self.ended + 1, self.made.clock.s


class Coming(NamedTuple):
    """A batch of others."""

    at: float
    key: str
    items: int
    owner: str
    weight: float


@dataclass(frozen=True)
class Rates:
    """What a night is drawn from, and what came of it: seconds of the night.

    `between_s` is from one outage of a machine to its next, `rate` of others' batches a second, `most` their items.
    """

    seed: int
    drawers: int
    thinkers: int
    briefs: int
    render_s: float
    begins_s: float
    shut: tuple[float, float, str] | None  # closes, opens, at_close
    between_s: float
    lasts_s: float
    outages: list[tuple[int, float, float]]  # program, from when, how long
    most: int
    rate: float
    others: list[Coming]

    @classmethod
    def drawn(cls, seed: int) -> "Rates":
        dice = Random(f"night {seed}")
        drawers, briefs = dice.randint(1, 8), round(between(dice, 80, 200))
        # Most batches take one hour to ten, if machines stay and nobody else comes.
        render_s = min(300.0, max(10.0, between(dice, 1, 10) * HOUR * drawers / (3 * briefs)))
        thinkers, begins_s = dice.randint(2, 12), dice.uniform(1, 5) * HOUR
        shut = _shut(begins_s, dice)
        between_s, lasts_s = between(dice, 3, 60) * HOUR, between(dice, 3, 40) * 60
        outages = [*_outages(drawers + 1, between_s, lasts_s, dice)]
        most, per_s = dice.randint(10, 60), drawers / (3 * render_s)  # briefs that the editors draw, about
        rate = min(1 / HOUR, max(0.05 / HOUR, dice.uniform(0, 0.5) * per_s / (most / 2)))
        others = [*_others(rate, most, dice)]
        return cls(
            seed, drawers, thinkers, briefs, render_s, begins_s, shut, between_s, lasts_s, outages, most, rate, others
        )

    def work(self) -> Varied:
        return Varied(self.seed, strange=self.seed < TUNED and self.seed % 2 == 0, render_s=self.render_s)


def _shut(begins_s: float, dice: Random) -> tuple[float, float, str] | None:
    """In a quarter of the nights a window closes while the batch is drawn, and opens again."""
    closes = begins_s + dice.uniform(0.3, 2) * HOUR
    opens, at_close, windowed = closes + dice.uniform(0.5, 3) * HOUR, dice.choice(("finish", "hold")), dice.random()
    return None if windowed > 0.25 else (closes, opens, at_close)


def _outages(programs: int, between_s: float, lasts_s: float, dice: Random) -> Generator[tuple[int, float, float]]:
    """All machines are alike in how often they go, and for how long."""
    for program in range(programs):
        at = dice.expovariate(1 / between_s)
        while at < LAST:
            yield program, at, lasts_s * dice.lognormvariate(0, 0.7)
            at += dice.expovariate(1 / between_s)


def _others(rate: float, most: int, dice: Random) -> Generator[Coming]:
    """Some batches are there from the first, others come: they take up to half of the editors, on average."""
    for n in range(dice.randint(0, 2)):
        yield Coming(0.0, f"before-{n}", dice.randint(5, 20), f"owner-{n}", 1.0)
    at, n = dice.expovariate(rate), 0
    while at < LAST:
        weight = dice.choice((1.0, 1.0, 2.0))
        yield Coming(at, f"later-{n}", dice.randint(3, most), f"owner-{dice.randint(0, 4)}", weight)
        at, n = at + dice.expovariate(rate), n + 1


@contextmanager
def trial(seed: int) -> Generator[Trial]:
    rates = Rates.drawn(seed)
    with stage(seed) as made:
        work = rates.work()
        ahead = made.night(rates.drawers, rates.thinkers, work, idle_pass_s=240, tick_s=5, keep_spans=False)
        night = Trial(made, ahead, rates.briefs, rates.begins_s)
        ahead.ended = night.one_ended
        work.night_began = lambda: made.clock.s - night.begins_s
        terms = _terms(made, rates.shut)
        if terms.windows:
            ahead.a_pass = _with_hints(made, ahead.a_pass)
        for program, at, seconds in rates.outages:
            ahead.lose(ahead.programs[program], at, seconds)
        for other in rates.others:
            _let_come(made, ahead, other)

        def begin() -> None:
            night.batch = start(made, "night", night.briefs, "alice", terms=terms)
            work.own = night.batch.id
            ahead.changed()

        ahead.at(night.begins_s, begin)
        yield night


def _with_hints(made: Stage, a_pass: Callable[[], None]) -> Callable[[], None]:
    """The hints of what a shut window stopped are lost: send them again, as tasks/reconcile.py does."""

    def passing() -> None:
        a_pass()
        for depth in made.ledger.depths():
            lost = depth.waiting - made.broker.length(depth.queue)
            for hint in made.ledger.overdue(depth.queue, 60_000, lost) if lost > 0 else ():
                made.broker.put(hint)

    return passing


def start(made: Stage, key: str, items: int, owner: str, **about: Any) -> Batch:
    return made.start(key, items, owner, settings={"editor": MODEL, "candidates": 1, "rounds": ROUNDS}, **about)


def _let_come(made: Stage, ahead: Night, other: Coming) -> None:
    def come() -> None:
        start(made, other.key, other.items, other.owner, weight=other.weight)
        ahead.changed()

    if other.at:
        ahead.at(other.at, come)
    else:
        come()


def _terms(made: Stage, shut: tuple[float, float, str] | None) -> Terms:
    if shut is None:
        return Terms()
    closes, opens, at_close = shut
    words = "-".join(f"{datetime.fromtimestamp(made.clock.start / 1000 + at, UTC):%H:%M}" for at in (opens, closes))
    return Terms.model_validate({"windows": (f"{words} UTC",), "at_close": at_close})
