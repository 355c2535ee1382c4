"""How many cards it takes: the same simulation, with one card more or less. A card is an editor's process."""

import math
from dataclasses import dataclass, replace
from random import Random
from statistics import fmean

from tasks.batch.forecast.eta import RUNS, limit, little, quantile
from tasks.batch.forecast.learn import EDITOR, SEATS, believe
from tasks.batch.forecast.simulate import Run, simulate
from tasks.batch.forecast.world import WANTED, Load, Measured, Pool, Sort, World

ENOUGH = 0.8
"""The chance of being done in time that a plan asks for."""
MOST_CARDS = 1024
_PLAN = "plan"
_LIKE = 0.3  # jobs with so many goals more or less say how many renders it takes
_NO_GAIN = 0.97


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

    `busy_hours` are of cards at work, `card_hours` of all cards until the end; `renders` are steps of an editor.
    """

    cards: int | None
    around: tuple[Cards, ...]
    limits: str
    busy_hours: float
    card_hours: float
    renders: float
    knows_little_of: tuple[str, ...]


def plan(world: World, ask: Ask, seed: int, fixed: int = 0, runs: int = RUNS) -> Plan:
    """Behind what is at work and waits in the world, as its owner's share lets it. `fixed`: just so many cards."""
    return _Planner(world, ask, seed, runs).plan(fixed)


class _Planner:
    def __init__(self, world: World, ask: Ask, seed: int, runs: int) -> None:
        self._ask, self._seed, self._runs = ask, seed, runs
        measured = world.measured.get(ask.sort, Measured())
        alike = [done for done in measured.done if abs(done.goals - ask.goals) <= _LIKE * ask.goals]
        self._alike = len(alike) if ask.goals else len(measured.done)
        done = alike if ask.goals and len(alike) >= WANTED / 2 else measured.done
        self._load = Load(
            _PLAN, ask.owner, ask.sort, ask.briefs, done=done, most_renders=ask.most_renders, score=math.inf
        )
        self._world = replace(world, loads=[*world.loads, self._load])
        self._found: dict[int, tuple[Cards, list[Run]]] = {}

    def plan(self, fixed: int) -> Plan:
        cards = fixed or self._least()
        shown = cards or max(self._found)
        around = tuple(self._of(n) for n in (shown - 1, shown, shown + 1) if n > 0)
        told, runs = self._found[shown]
        world, pool = self._with(shown)
        seconds = fmean(run.busy[pool] for run in runs)
        each = [fmean(self._visit(world, pool, n)) for n in range(8)]
        return Plan(
            cards=cards, around=around, limits=told.limits, busy_hours=seconds / 3600,
            card_hours=shown * told.p50 / 3600, renders=seconds / fmean(each), knows_little_of=self._little(),
        )  # fmt: skip

    def _visit(self, world: World, pool: int, n: int) -> list[float]:
        belief = believe(world, 1.0, Random(self._seed + n))
        return [belief.visits[self._ask.sort].mean(pool)]

    def _little(self) -> tuple[str, ...]:
        found = [words for words in little(self._world, [self._load]) if "items have ended" not in words]
        if self._alike < WANTED / 2:
            goals = f" with about {self._ask.goals} goals" if self._ask.goals else ""
            found.append(f"{self._alike} jobs{goals} have ended; {WANTED // 2} needed")
        return tuple(found)

    # --- how many? --------------------------------------------------------------------------------

    def _least(self) -> int | None:
        """The least number of cards that is enough; None: more do not help."""
        low, high = 0, 1
        while (now := self._of(high)).chance < ENOUGH:
            if high >= MOST_CARDS or (low and now.p50 > _NO_GAIN * self._of(low).p50):
                return None
            low, high = high, min(MOST_CARDS, max(high + 1, min(2 * high, math.ceil(high * now.p90 / self._ask.by_s))))
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._of(middle).chance >= ENOUGH else (middle, high)
        return high

    def _of(self, cards: int) -> Cards:
        if cards not in self._found:
            self._found[cards] = self._simulated(cards)
        return self._found[cards][0]

    def _simulated(self, cards: int) -> tuple[Cards, list[Run]]:
        """The same dice for each number, so that one card more is never worse by chance."""
        world, _ = self._with(cards)
        longest = 60 * self._ask.by_s
        runs = list[Run]()
        for n in range(self._runs):
            belief = believe(world, 3 * self._ask.by_s, Random(self._seed + 7919 * n))
            runs.append(simulate(world, belief, [_PLAN], longest, Random(self._seed + n)))
        ends = sorted(run.ends.get(_PLAN, longest) for run in runs)
        limits = [limit(world, run) for run in runs]
        chance = sum(end <= self._ask.by_s for end in ends) / len(ends)
        most = max(set(limits), key=limits.count) or self._unserved() or "the last briefs"
        return Cards(cards, chance, quantile(ends, 0.5), quantile(ends, 0.9), most), runs

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


def _without_absent(pool: Pool) -> list[tuple[float, int]]:
    """Its log, as if those who are away now had come back: a plan says how many there are."""
    full = max((number for _, number in pool.log), default=0)
    return [*pool.log, (pool.log[-1][0] + 1, full)] if pool.log and pool.log[-1][1] < full else [*pool.log]


def assumed(ask: Ask, render_s: float | None, thinkers: int, now: float) -> World:
    """A world of which nothing was measured, but what a profile says of a render."""
    times = {"render": [render_s]} if render_s else {}
    seats = tuple(sorted(set(SEATS.values())))
    return World(now, [Pool(seats, thinkers)], [], {ask.sort: Measured(times)})
