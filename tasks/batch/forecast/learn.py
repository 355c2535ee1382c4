"""What is believed of a world in one run: drawn anew for each, so that the runs differ by what is not known.

Times of steps are drawn from those that were measured (bootstrap), with few of them from a prior, too. How often a job
goes on after a render is a hazard by the number of renders: so jobs in flight count for what they have survived, and
that short jobs end first misleads nobody. Outages and other owners' batches come as often as they came so far.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from statistics import fmean

from tasks.batch.forecast.world import DAY_S, WANTED, Arrival, Done, Load, Measured, Sort, World

SEATS = {"extract": "planner", "plan": "planner", "select": "judge", "verify": "verifier"}
"""The queue of each kind of step that no editor does."""
EDITOR = "editor."
_RENDER_S = 15.0  # of a megapixel
_PRIOR_S = {"extract": 6.0, "plan": 4.0, "select": 4.0, "verify": 5.0}
_PRIOR_STEPS = {"extract": 0.3, "plan": 0.9, "select": 1.0, "verify": 1.0}  # for each render
_SPREAD, _UNKNOWN = 0.5, 0.6  # of the logarithm: of single times, and of a mean that nobody measured
_SHAPES = 64  # rounds that are drawn beforehand
_PULL = 4.0  # at most so many jobs of other batches count beside a batch's own
Weights = defaultdict[int, float]
_TIE = 0.5  # so many jobs pull the hazard behind each render to the common one
_OUTAGE_S, _GAP_S, _FEW = 900.0, DAY_S / 6, 1.0  # one in four hours, as if one was seen
_FEW_COME, _COME_A_DAY = 0.5, 4.0


@dataclass(frozen=True)
class Visits:
    """What a render and the steps around it ask of each pool, in order: (pool, seconds drawn beforehand)."""

    of_round: Sequence[tuple[int, Sequence[float]]]

    def mean(self, pool: int) -> float:
        return sum(fmean(drawn) for at, drawn in self.of_round if at == pool)


@dataclass(frozen=True)
class Outage:
    """From `at` on `servers` processes of a pool are away for so long."""

    at: float
    pool: int
    servers: int
    seconds: float


@dataclass(frozen=True)
class Belief:
    """`rounds` are the chances that a job of a load has ended after 1, 2, … renders; `away` is how much longer each
    process of a pool that is not there now stays away."""

    visits: Mapping[Sort, Visits]
    rounds: Sequence[Sequence[float]]
    away: Sequence[Sequence[float]]
    outages: Sequence[Outage]
    comers: Sequence[tuple[float, Load, Sequence[float]]]


def believe(world: World, horizon_s: float, dice: Random) -> Belief:
    """One draw. Nothing is believed of what comes after the horizon."""
    sorts = {load.sort for load in world.loads}
    rounds = [ended_after(load, world.measured.get(load.sort), dice) for load in world.loads]
    away, outages = list[list[float]](), list[Outage]()
    for n, pool in enumerate(world.pools):
        lost = losses(pool.log, world.now)
        away.append([lost.still_away(since, dice) for since in lost.open])
        outages += lost.to_come(n, pool.servers + len(lost.open), horizon_s, dice)
    visits = {sort: visits_of(world, sort, dice) for sort in sorts}
    return Belief(visits, rounds, away, outages, _comers(world, rounds, horizon_s, dice))


# --- steps --------------------------------------------------------------------------------------


def visits_of(world: World, sort: Sort, dice: Random) -> Visits:
    measured = world.measured.get(sort) or Measured()
    drawn: dict[int, list[float]] = {}
    renders = measured.steps.get("render", 0)
    for kind in (*SEATS, "render"):
        pool = world.pool_of(EDITOR + sort.model if kind == "render" else SEATS[kind])
        if pool is None:
            continue
        prior = 1.0 if kind == "render" else _PRIOR_STEPS[kind]
        each = prior if not renders else measured.steps.get(kind, 0) / renders
        times = times_of(world.measured, sort, kind, dice)
        sums = drawn.setdefault(pool, [0.0] * _SHAPES)
        for n in range(_SHAPES):
            whole = int(each) + (dice.random() < each % 1)
            sums[n] += sum(times[int(dice.random() * len(times))] for _ in range(whole))
    return Visits([*drawn.items()])


def times_of(measured: Mapping[Sort, Measured], sort: Sort, kind: str, dice: Random) -> Sequence[float]:
    """Seconds of steps, as they may really be distributed."""
    own = measured[sort].times.get(kind, ()) if sort in measured else ()
    if len(own) >= WANTED:
        return dice.choices(own, k=len(own))
    mean, spread = (fmean(own), _UNKNOWN / math.sqrt(len(own))) if own else _guess(measured, sort, kind)
    mean *= math.exp(dice.gauss(0, spread))
    scale = mean / fmean(own) if own else 1.0
    shaped = [mean * dice.lognormvariate(-_SPREAD * _SPREAD / 2, _SPREAD) for _ in range(WANTED - len(own))]
    return [*(scale * seconds for seconds in dice.choices(own, k=len(own))), *shaped] if own else shaped


def _guess(measured: Mapping[Sort, Measured], sort: Sort, kind: str) -> tuple[float, float]:
    """The mean of what nobody measured, and how unsure that is: other sizes of the model, else a prior."""
    for other, found in measured.items():
        if other.model == sort.model and (times := found.times.get(kind)):
            scale = sort.amount / other.amount if kind == "render" else 1.0
            return fmean(times) * scale, _UNKNOWN / 2
    return (_RENDER_S * sort.amount if kind == "render" else _PRIOR_S[kind]), _UNKNOWN


# --- renders of a job -----------------------------------------------------------------------------


def ended_after(load: Load, measured: Measured | None, dice: Random) -> Sequence[float]:
    """The chance that a job has ended after 1, 2, … renders; the last is 1."""
    ends, alive = defaultdict[int, float](float), defaultdict[int, float](float)
    _count(load.done, 1.0, ends, alive)
    if measured and len(measured.done) > len(load.done):
        _count(measured.done, min(1.0, _PULL / len(measured.done)), ends, alive)
    for job in load.flying:
        for n in range(1, job.survived + 1):
            alive[n] += 1
    exposed = sum(alive.values())
    common = (sum(ends.values()) + 0.9) / (exposed + 3.0)
    chances, left = list[float](), 1.0
    for n in range(1, load.most_renders):
        hazard = dice.betavariate(_TIE * common + ends[n], _TIE * (1 - common) + alive[n] - ends[n] + 1e-9)
        left *= 1 - hazard
        chances.append(1 - left)
    return [*chances, 1.0]


def _count(done: Iterable[Done], weight: float, ends: Weights, alive: Weights) -> None:
    for each in done:
        ends[each.renders] += weight
        for n in range(1, each.renders + 1):
            alive[n] += weight


# --- outages --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Losses:
    """Processes that went away in the last day: how many at once, for how long, and for how long some are away now."""

    seconds: float  # that were watched
    sizes: Sequence[int]
    lasted: Sequence[float]
    open: Sequence[float]

    def to_come(self, pool: int, servers: int, horizon_s: float, dice: Random) -> list[Outage]:
        rate = dice.gammavariate(len(self.sizes) + _FEW, 1 / (self.seconds + _FEW * _GAP_S))
        found, at = list[Outage](), dice.expovariate(rate) if rate > 1e-9 else math.inf
        while at < horizon_s and servers and len(found) < 1000:
            size = dice.choice(self.sizes) if self.sizes else servers if dice.random() < 0.3 else 1
            found.append(Outage(at, pool, min(size, servers), self._length(dice)))
            at += dice.expovariate(rate)
        return found

    def still_away(self, since: float, dice: Random) -> float:
        """How much longer a process stays away that has been for so long."""
        for _ in range(10):
            if (length := self._length(dice)) > since:
                return length - since
        return since * dice.expovariate(1.0)

    def _length(self, dice: Random) -> float:
        if self.lasted and dice.random() < len(self.lasted) / (len(self.lasted) + 1):
            return dice.choice(self.lasted)
        middle = fmean(self.lasted) if self.lasted else _OUTAGE_S
        return middle * dice.lognormvariate(0, 0.8)


def losses(log: Sequence[tuple[float, int]], now: float) -> Losses:
    """A process that comes is the one that went first."""
    sizes, lasted, gone = list[int](), list[float](), list[float]()
    watched = [entry for entry in log if entry[0] > now - DAY_S]
    for (_, before), (at, after) in pairwise(watched):
        if after < before:
            sizes.append(before - after)
            gone += [at] * (before - after)
        for _ in range(after - before):
            if gone:
                lasted.append(at - gone.pop(0))
    lately = [now - at for at in gone if now - at < DAY_S / 4]
    return Losses(now - watched[0][0] if watched else 0.0, sizes, lasted, lately)


# --- other owners ---------------------------------------------------------------------------------


def _comers(
    world: World, rounds: Sequence[Sequence[float]], horizon_s: float, dice: Random
) -> list[tuple[float, Load, Sequence[float]]]:
    """Batches that may come, as often and as large as others did."""
    if not world.arrivals or not world.loads:
        return []
    since = _watched_since(world)
    came_since = sum(came.created > since + 1 for came in world.arrivals)
    rate = dice.gammavariate(came_since + _FEW_COME, 1 / (world.now - since + _FEW_COME * DAY_S / _COME_A_DAY))
    found, at = list[tuple[float, Load, Sequence[float]]](), dice.expovariate(rate)
    like = int(dice.random() * len(world.loads))
    while at < horizon_s and len(found) < 200:
        came: Arrival = dice.choice(world.arrivals)
        sort = world.loads[like].sort
        found.append((at, Load("", came.owner, sort, came.items, score=math.inf), rounds[like]))
        at += dice.expovariate(rate)
    return found


def _watched_since(world: World) -> float:
    """Since when batches were seen to come: for a day, unless the ledger is younger."""
    begins = [pool.log[0][0] for pool in world.pools if pool.log]
    return max(world.now - DAY_S, min((*begins, *(came.created for came in world.arrivals))))
