"""What is believed of a world in one run: drawn anew for each, so that the runs differ by what is not known.

Times of steps are drawn from those that were measured (bootstrap), with few of them from a prior, too. How often a job
goes on after a render is a hazard by the number of renders: so jobs in flight count for what they have survived, and
that short jobs end first misleads nobody. Outages and other owners' batches come as often as they came so far.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from random import Random
from statistics import fmean

from tasks.batch.forecast.world import DAY_S, WANTED, Arrival, Done, Load, Measured, Pool, Sort, World

SEATS = {"extract": "planner", "plan": "planner", "select": "judge", "verify": "verifier"}
"""The queue of each kind of step that no editor does."""
EDITOR = "editor."
_RENDER_S = 15.0  # of a megapixel
_PRIOR_S = {"extract": 6.0, "plan": 4.0, "select": 4.0, "verify": 5.0}
_PRIOR_STEPS = {"extract": 0.3, "plan": 0.9, "select": 1.0, "verify": 1.0}  # for each render
_SPREAD, _UNKNOWN = 0.5, 0.6  # of the logarithm: of single times, and of a mean that nobody measured
_SHAPES = 64  # rounds that are drawn beforehand
_DRIFT = 0.06  # of the logarithm: what all steps of a night may take longer than those that were measured
_PULL = 1.5  # at most so many jobs of other batches count beside a batch's own
# Curves of hazards: logarithms of odds lie around that of a third; and how many jobs pull a single one to its curve.
_LEVEL, _WIDE, _ALIKE = -math.log(2), (-2.0, -1.0, 0.0, 1.0, 2.0), (1.0, 4.0)
_OUTAGE_S, _MIDDLE, _LENGTHS = 600.0, 1.0, 0.8  # the middle of lengths, how unsure its logarithm is, and of one length
_EACH_S, _PRIOR_OUTAGES, _OTHERS = DAY_S, 0.5, 1.0  # a machine goes once a day, as if half an outage was seen
_MOST_OUTAGES, _MOST_COMERS = 1000, 200
# As if half a batch had come, of eight a day; half a stranger among those who came, with about so many items.
_FEW_COME, _COME_A_DAY, _STRANGERS, _ITEMS = 0.5, 8.0, 0.5, 15
Weights = defaultdict[int, float]


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
    rounds = [ended_after(load, world.measured.get(load.sort), dice) for load in world.loads]
    drift = math.exp(dice.gauss(0, _DRIFT))
    visits = {sort: visits_of(world, sort, drift, dice) for sort in {load.sort: None for load in world.loads}}
    comers = _comers(world, horizon_s, dice)
    # Outages come last: so all else is the same of each number of machines.
    lost = [losses(pool.log, world.now) for pool in world.pools]
    troubles = troubled(world.pools, lost, dice)
    away, outages = list[list[float]](), list[Outage]()
    for n, (pool, trouble) in enumerate(zip(world.pools, troubles, strict=True)):
        together = [trouble.still_away(since, dice) for since in lost[n].open[:: pool.each]]
        away.append([together[k // pool.each] for k in range(len(lost[n].open))])
    for n, (pool, trouble) in enumerate(zip(world.pools, troubles, strict=True)):
        outages += trouble.to_come(n, pool, pool.servers + len(away[n]), horizon_s, dice)
    return Belief(visits, rounds, away, outages, comers)


# --- steps --------------------------------------------------------------------------------------


def visits_of(world: World, sort: Sort, drift: float, dice: Random) -> Visits:
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
            sums[n] += drift * sum(times[int(dice.random() * len(times))] for _ in range(whole))
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
    """The chance that a job has ended after 1, 2, … renders; the last is 1.

    The chances behind each render lie around a curve over renders: drawn is one, as likely as what was seen makes it.
    """
    ends, alive = defaultdict[int, float](float), defaultdict[int, float](float)
    _count(load.done, 1.0, ends, alive)
    if measured and len(measured.done) > len(load.done):
        _count(measured.done, min(1.0, _PULL / len(measured.done)), ends, alive)
    for job in load.flying:
        for n in range(1, job.survived + 1):
            alive[n] += 1
    likely = _likely(tuple((n, ends[n], alive[n] - ends[n]) for n in sorted(alive) if n < load.most_renders))
    (curve,) = dice.choices(_CURVES, likely)
    chances, left = list[float](), 1.0
    for n in range(1, load.most_renders):
        hazard = dice.betavariate(*curve.of(n, ends[n], alive[n] - ends[n]))
        left *= 1 - hazard
        chances.append(1 - left)
    return [*chances, 1.0]


@dataclass(frozen=True)
class _Curve:
    """A hazard whose odds are a power of the number of renders; how far from it single ones lie, in jobs (`alike`).

    J. D. Singer, J. B. Willett, It's About Time (1993), https://doi.org/10.3102/10769986018002155.
    """

    level: float  # the logarithm of its odds behind two renders
    slope: float
    alike: float

    def of(self, n: int, ended: float, went_on: float) -> tuple[float, float]:
        """What a Beta is made of, for the hazard behind n renders: so many jobs ended there, so many did not."""
        ends = self.alike / (1 + math.exp(-self.level - self.slope * math.log(n / 2)))
        return ends + ended, self.alike - ends + max(0.0, went_on)

    @property
    def prior(self) -> float:
        """The logarithm of it: as if a job ended behind each third render, however many it has behind it."""
        return -((self.level - _LEVEL) ** 2 + self.slope**2) / 2


_CURVES = [_Curve(_LEVEL + level, slope, alike) for level in _WIDE for slope in _WIDE for alike in _ALIKE]


@lru_cache(maxsize=256)  # each draw of a forecast asks the same
def _likely(seen: Sequence[tuple[int, float, float]]) -> Sequence[float]:
    """Of each curve: by how many jobs ended and went on behind each render (a Beta-binomial of each)."""
    logs = [
        curve.prior + sum(_log_beta(*curve.of(n, *jobs)) - _log_beta(*curve.of(n, 0, 0)) for n, *jobs in seen)
        for curve in _CURVES
    ]
    return [math.exp(log - max(logs)) for log in logs]


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _count(done: Iterable[Done], weight: float, ends: Weights, alive: Weights) -> None:
    for each in done:
        ends[each.renders] += weight
        for n in range(1, each.renders + 1):
            alive[n] += weight


# --- outages --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Losses:
    """Processes that went away in the last day: how many at once, for how long, and for how long some are away now."""

    seconds: float  # of processes, that were watched
    sizes: Sequence[int]
    lasted: Sequence[float]
    open: Sequence[float]


@dataclass(frozen=True)
class Trouble:
    """What one draw believes of the machines: how often one goes, and for how long (a logarithm's middle)."""

    each_s: float  # of a machine
    middle: float

    def to_come(self, n: int, pool: Pool, processes: int, horizon_s: float, dice: Random) -> list[Outage]:
        found, at, machines = list[Outage](), 0.0, math.ceil(processes / pool.each)
        while machines and len(found) < _MOST_OUTAGES:
            at += dice.expovariate(machines / self.each_s)
            if at >= horizon_s:
                break
            found.append(Outage(at, n, pool.each, self.length(dice)))
        return found

    def still_away(self, since: float, dice: Random) -> float:
        """How much longer a process stays away that has been for so long."""
        for _ in range(20):
            if (length := self.length(dice)) > since:
                return length - since
        return since * dice.expovariate(1.0)

    def length(self, dice: Random) -> float:
        return math.exp(dice.gauss(self.middle, _LENGTHS))


def troubled(pools: Sequence[Pool], lost: Sequence[Losses], dice: Random) -> Sequence[Trouble]:
    """Of each pool. What its machines did counts most, and those of others a little: all stand in one house."""
    gone = [sum(each.sizes) / pool.each for pool, each in zip(pools, lost, strict=True)]
    watched = [each.seconds / pool.each for pool, each in zip(pools, lost, strict=True)]
    lengths = [
        math.log(max(1.0, seconds))
        for pool, each in zip(pools, lost, strict=True)
        for seconds in each.lasted[:: pool.each]
    ]
    # The middle of lengths, as a normal with a normal prior gives it.
    weight = len(lengths) / _LENGTHS**2 + 1 / _MIDDLE**2
    mean = (sum(lengths) / _LENGTHS**2 + math.log(_OUTAGE_S) / _MIDDLE**2) / weight
    middle = dice.gauss(mean, math.sqrt(1 / weight))
    found = list[Trouble]()
    for n in range(len(pools)):
        all_gone, all_watched = _PRIOR_OUTAGES + sum(gone), _PRIOR_OUTAGES * _EACH_S + sum(watched)
        share = min(1.0, _OTHERS / all_gone)  # so that all of it weighs no more than _OTHERS outages
        rate = dice.gammavariate(gone[n] + share * all_gone, 1 / (watched[n] + share * all_watched))
        found.append(Trouble(1 / max(rate, 1e-12), middle))
    return found


def losses(log: Sequence[tuple[float, int]], now: float) -> Losses:
    """A process that comes is the one that went first."""
    sizes, lasted, gone = list[int](), list[float](), list[float]()
    before = [number for at, number in log if at <= now - DAY_S][-1:]
    watched = [*((now - DAY_S, number) for number in before), *(entry for entry in log if entry[0] > now - DAY_S)]
    for (_, before), (at, after) in pairwise(watched):
        if after < before:
            sizes.append(before - after)
            gone += [at] * (before - after)
        for _ in range(after - before):
            if gone:
                lasted.append(at - gone.pop(0))
    lately = [now - at for at in gone if now - at < DAY_S / 4]
    seconds = sum((end - at) * number for (at, number), (end, _) in pairwise([*watched, (now, 0)]))
    return Losses(seconds, sizes, lasted, lately)


# --- other owners ---------------------------------------------------------------------------------


def _comers(world: World, horizon_s: float, dice: Random) -> list[tuple[float, Load, Sequence[float]]]:
    """Batches that may come, as often and as large as others did."""
    if not world.loads:
        return []
    since = _watched_since(world)
    came_since = sum(came.created > since + 1 for came in world.arrivals)
    rate = dice.gammavariate(came_since + _FEW_COME, 1 / (world.now - since + _FEW_COME * DAY_S / _COME_A_DAY))
    like = dice.choice(world.loads)
    load = Load("", "", like.sort, 0, score=math.inf)
    rounds = ended_after(load, world.measured.get(like.sort), dice)
    found, at = list[tuple[float, Load, Sequence[float]]](), dice.expovariate(rate)
    while at < horizon_s and len(found) < _MOST_COMERS:
        owner, items = _comer(world.arrivals, dice)
        found.append((at, replace(load, owner=owner, waiting=items), rounds))
        at += dice.expovariate(rate)
    return found


def _comer(arrivals: Sequence[Arrival], dice: Random) -> tuple[str, int]:
    """Whose, and how large: as one that came, or somebody whom nobody has seen."""
    if dice.random() * (len(arrivals) + _STRANGERS) < len(arrivals):
        came = dice.choice(arrivals)
        return came.owner, came.items
    return "?", max(1, round(dice.lognormvariate(math.log(_ITEMS), 1.0)))


def _watched_since(world: World) -> float:
    """Since when batches were seen to come: for a day, unless the ledger is younger."""
    begins = [pool.log[0][0] for pool in world.pools if pool.log]
    return max(world.now - DAY_S, min((*begins, *(came.created for came in world.arrivals), world.now)))
