"""How many cards it takes: the same simulation, with one card more or less. A card is an editor's process."""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from statistics import fmean
from typing import NamedTuple

from director.errors import BriefError
from tasks.batch.forecast.eta import RUNS, limit, little, quantile
from tasks.batch.forecast.learn import EDITOR, SEATS, believe
from tasks.batch.forecast.small import Small
from tasks.batch.forecast.world import DAY_S, WANTED, Load, Measured, Pool, Sort, World

ENOUGH = 0.8
"""The chance of being done in time that a plan asks for."""
_HARDLY, _SURELY = 0.1, 0.95  # chances that bound a number which nobody can know well
MOST_CARDS = 1024
_PLAN = "plan"
_LIKE = 0.3  # jobs with so many goals more or less say how many renders it takes
_NO_GAIN = 0.97
_ROUGH, _SMOOTH = 15, 40  # runs, while a number is looked for, and where ends are drawn through
_LONG_S, _OF_LONG = 4 * DAY_S, 20  # from so long on so many runs are enough: what comes by chance evens out
_UNITS, _FEWEST = 400, 4  # jobs, or some that go as one, in a run; and cards


@dataclass(frozen=True)
class Ask:
    """So many briefs of this sort, with about so many goals each (0: not said), within so many seconds."""

    briefs: int
    goals: int
    sort: Sort
    by_s: float
    most_renders: int = 12
    owner: str = ""


@dataclass(frozen=True)
class Cards:
    """What so many cards bring: the chance to be done in time, and when (seconds from now)."""

    cards: int
    chance: float
    p50: float
    p90: float
    limits: str


@dataclass(frozen=True)
class Plan:
    """`cards` None: more cards do not help, see `limits`. `around` are one card less, so many, and one more.

    With fewer than `least` about one of ten nights or less is in time, with `safe` about 19 of 20 are. None: more cards
    do not help to that, or the cards were `fixed`.
    `busy_hours` are of cards at work, `card_hours` of all cards until the end; `renders` are steps of an editor.
    """

    cards: int | None
    least: int | None
    safe: int | None
    around: tuple[Cards, ...]
    limits: str
    busy_hours: float
    card_hours: float
    renders: float
    knows_little_of: tuple[str, ...]


def plan(world: World, ask: Ask, seed: int, fixed: int = 0, runs: int = RUNS) -> Plan:
    """Behind what is at work and waits in the world, as its owner's share lets it. `fixed`: just so many cards.

    Raises BriefError where it takes more cards than a plan knows.
    """
    return _Planner(world, ask, seed, runs).plan(fixed)


class _Planner:
    """It looks for a number with few runs, and near it with all of them.

    The same dice for each number of cards, so that one card more is seldom worse by chance.
    """

    def __init__(self, world: World, ask: Ask, seed: int, runs: int) -> None:
        self._ask, self._seed, self._runs = ask, seed, runs if ask.by_s < _LONG_S else min(runs, _OF_LONG)
        measured = world.measured.get(ask.sort, Measured())
        alike = [done for done in measured.done if abs(done.goals - ask.goals) <= _LIKE * ask.goals]
        self._alike = len(alike) if ask.goals else len(measured.done)
        done = alike if ask.goals and len(alike) >= WANTED / 2 else measured.done
        self._load = Load(
            _PLAN, ask.owner, ask.sort, ask.briefs, done=done, most_renders=ask.most_renders, score=math.inf
        )
        self._world = replace(world, loads=[*world.loads, self._load])
        self._longest = 60 * ask.by_s
        self._found: dict[int, list[_Run]] = {}

    def plan(self, fixed: int) -> Plan:
        renders, seconds = self._work()
        cards, base = (fixed, fixed) if fixed else self._least(seconds)
        shown = cards or base
        of = self._through(base) if self._parts(base) > 1 else self._of
        around = tuple(of(n) for n in (shown - 1, shown, shown + 1) if n > 0)
        told = of(shown)
        least, safe = self._range(cards) if cards and not fixed else (None, None)
        if least and not safe:  # what was simulated goes before what is reckoned of it
            safe = next((one.cards for one in around if cards and one.cards >= cards and one.chance >= _SURELY), None)
        return Plan(
            cards=cards, least=least, safe=safe, around=around, limits=told.limits, busy_hours=seconds / 3600,
            card_hours=shown * told.p50 / 3600, renders=renders, knows_little_of=self._little(),
        )  # fmt: skip

    def _work(self) -> tuple[float, float]:
        """All renders, and what they take of the cards."""
        world, pool = self._with(1)
        beliefs = [believe(world, 1.0, Random(self._seed + n)) for n in range(_ROUGH)]
        each = [1 + sum(1 - chance for chance in belief.rounds[-1]) for belief in beliefs]
        draws = [belief.visits[self._ask.sort].mean(pool) for belief in beliefs]
        work = fmean(renders * draw for renders, draw in zip(each, draws, strict=True))
        return self._ask.briefs * fmean(each), self._ask.briefs * work

    def _little(self) -> tuple[str, ...]:
        found = [words for words in little(self._world, [self._load]) if "items have ended" not in words]
        if self._alike < WANTED / 2:
            goals = f" with about {self._ask.goals} goals" if self._ask.goals else ""
            found.append(f"{self._alike} jobs{goals} have ended; {WANTED // 2} needed")
        return tuple(found)

    # --- how many? --------------------------------------------------------------------------------

    def _least(self, seconds: float) -> tuple[int | None, int]:
        """The least number of cards that is enough (None: more do not help), and one near it that was simulated."""
        least = math.ceil(seconds / self._ask.by_s)
        if least > MOST_CARDS:
            raise BriefError(
                f"{self._ask.briefs:,} briefs take {least:,} cards at least until then; a plan knows {MOST_CARDS:,}",
                "name a later time, or fewer briefs", "by",
            )  # fmt: skip
        near, helps = self._near(max(1, least))
        if not helps:
            return None, near
        if self._parts(near) > 1:
            return _first(self._through(near), 2 * near, ENOUGH), near
        found = self._least_from(near)
        return found, found or near

    def _near(self, cards: int) -> tuple[int, bool]:
        """A number that is about enough, by few runs; and whether more cards helped on the way."""
        before = 0
        while True:
            end = self._end(cards, _ROUGH)
            if before and end > self._ask.by_s and end > _NO_GAIN * self._end(before, _ROUGH):
                return cards, False
            better = min(MOST_CARDS, 2 * cards, max(1, round(cards * end / self._ask.by_s)))
            if better <= 1.25 * cards:
                return better, True
            before, cards = cards, better

    def _end(self, cards: int, runs: int) -> float:
        return quantile(self._ends(cards, runs), ENOUGH)

    def _least_from(self, cards: int) -> int | None:
        low, high, step = 0, cards, 1
        while self._of(high).chance < ENOUGH:
            helped = self._of(high).p50 <= _NO_GAIN * self._of(cards).p50
            if high >= MOST_CARDS or (high > 1.25 * cards and not helped):
                return None
            low, high, step = high, min(MOST_CARDS, high + step), 2 * step
        while not low and high > step and self._of(high - step).chance >= ENOUGH:
            high, step = high - step, 2 * step
        low = max(low, high - step)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._of(middle).chance >= ENOUGH else (middle, high)
        return high

    def _range(self, cards: int) -> tuple[int | None, int | None]:
        """By how much longer or shorter fewer and more take: so no further numbers are simulated."""
        of = self._through(cards)
        least, safe = (_first(of, 3 * cards + 1, chance) for chance in (_HARDLY, _SURELY))
        return min(cards, least or cards), safe and max(cards, safe)

    # --- what a number of cards brings ------------------------------------------------------------

    def _of(self, cards: int) -> Cards:
        return self._cards(cards, self._ends(cards, self._runs), cards)

    def _through(self, base: int) -> "_Of":
        """Of many cards one more is less than chance tells: so ends are those of `base`, by the slope of their
        logarithms over that of cards."""
        more = base + math.ceil(base / 4)
        slope = math.log(self._end(base, _ROUGH) / self._end(more, _ROUGH)) / math.log(more / base)
        ends = self._ends(base, min(self._runs, _SMOOTH))
        return lambda cards: self._cards(cards, [end * (base / cards) ** max(0.0, slope) for end in ends], base)

    def _cards(self, cards: int, ends: Sequence[float], base: int) -> Cards:
        limits = [run.limits for run in self._simulated(base, len(ends))]
        chance = sum(end <= self._ask.by_s for end in ends) / len(ends)
        most = max(set(limits), key=limits.count) or self._unserved() or "the last briefs"
        return Cards(cards, chance, quantile(ends, 0.5), quantile(ends, 0.9), most)

    def _ends(self, cards: int, runs: int) -> list[float]:
        return sorted(run.end for run in self._simulated(cards, runs))

    def _simulated(self, cards: int, runs: int) -> Sequence["_Run"]:
        found = self._found.setdefault(cards, [])
        if len(found) < runs:
            world, _ = self._with(cards)
            small = Small.of(world, self._parts(cards))
            for n in range(len(found), runs):
                dice = Random(self._seed + n)
                run = small.simulate([_PLAN], 3 * self._ask.by_s, self._longest, self._seed + 7919 * n, dice)
                found.append(_Run(run.ends.get(_PLAN, self._longest), limit(small.world, run, {self._ask.sort.model})))
        return found[:runs]

    def _parts(self, cards: int) -> float:
        """Into how many parts a world with so many cards is cut, so that a run is not of too many units."""
        turns = 4 * (1.5 * cards + 2)  # simulate.py begins a part of what waits at each
        units = min(self._ask.briefs, turns * (1 + math.log(max(1.0, self._ask.briefs / turns))))
        few = max(_FEWEST, int(cards * _UNITS / units))
        return cards / few if units > _UNITS and few < cards else 1.0

    def _unserved(self) -> str:
        """Seats that no worker serves."""
        missing = [seat for seat in sorted(set(SEATS.values())) if self._world.pool_of(seat) is None]
        return f"that no worker serves {', '.join(missing)}" if missing else ""

    def _with(self, cards: int) -> tuple[World, int]:
        """The world with so many cards for the model, and the index of their pool."""
        queue = EDITOR + self._ask.sort.model
        pools = [*self._world.pools]
        pool = self._world.pool_of(queue)
        if pool is None:
            pool = len(pools)
            pools.append(Pool((queue,), cards))
        else:
            pools[pool] = replace(pools[pool], servers=cards, each=1, log=_without_absent(pools[pool]))
        return replace(self._world, pools=pools), pool


_Of = Callable[[int], Cards]
"""What so many cards bring."""


def _first(of: _Of, below: int, chance: float) -> int | None:
    """The least number of cards that has this chance; None: none below that."""
    found = bisect_left(range(1, below), True, key=lambda n: of(n).chance >= chance) + 1
    return found if found < below else None


class _Run(NamedTuple):
    end: float
    limits: str


def _without_absent(pool: Pool) -> list[tuple[float, int]]:
    """Its log, as if those who are away now had come back: a plan says how many there are."""
    full = max((number for _, number in pool.log), default=0)
    return [*pool.log, (pool.log[-1][0] + 1, full)] if pool.log and pool.log[-1][1] < full else [*pool.log]


def assumed(ask: Ask, render_s: float | None, thinkers: int, now: float) -> World:
    """A world of which nothing was measured, but what a profile says of a render."""
    times = {"render": [render_s]} if render_s else {}
    seats = tuple(sorted(set(SEATS.values())))
    return World(now, [Pool(seats, thinkers)], [], {ask.sort: Measured(times)})
