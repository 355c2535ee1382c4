"""How well could anybody tell? `python -m tests.perf.forecast_bound [--nights N] [--seed N] [--keep FOLDER]`.

The nights of tests/perf/forecast.py, and the forecast's own simulator, which is told what nobody can know: the rates of
this night. What is still to be drawn (each step, each job, each outage, each batch that comes) has other dice. For

rates    all rates: steps (but no drift of their times), how renders of jobs are distributed, outages, how often and how
         large others' batches are
renders  the same, but for the renders of the batch's own jobs: those are as likely as what was seen of them makes
         them, by Bayes' rule, among the distributions from which these nights are drawn

it prints what `off` is in tests/perf/forecast.py, and its bias.
"""

import logging
import math
import statistics
import sys
from collections.abc import Sequence
from functools import lru_cache
from random import Random

from tasks.batch.forecast.eta import HORIZON_S
from tasks.batch.forecast.learn import EDITOR, SEATS, Belief, Outage, Visits, losses
from tasks.batch.forecast.simulate import simulate
from tasks.batch.forecast.world import Load, Sort, World
from tests.perf.forecast_nights import LAST, ROUNDS, SHARES, Moment, Rates, Told, Varied, arguments, kept

_RUNS, _SHAPES, _JOBS = 30, 200, 4000
Chances = Sequence[float]
"""That a job has ended after 1, 2, … renders."""


def off(told: Told, moment: Moment, knows_renders: bool) -> float:
    """(median - end) of the whole time."""
    rates, dice = Rates.drawn(told.seed), Random(told.seed)
    own = next(load for load in moment.world.loads if load.batch == told.batch)
    work = rates.work()
    able, weights = ([renders_of(work)], [1.0]) if knows_renders else likely(own, work.strange)
    ends = list[float]()
    for _ in range(_RUNS):
        (renders,) = dice.choices(able, weights)
        belief = known(moment, rates, told.batch, renders, dice)
        run = simulate(moment.world, belief, [told.batch], HORIZON_S, dice)
        ends.append(run.ends.get(told.batch, HORIZON_S))
    return (moment.at + statistics.median(ends) - told.took_s) / told.took_s


def known(moment: Moment, rates: Rates, batch: str, renders: Chances, dice: Random) -> Belief:
    world, now = moment.world, rates.begins_s + moment.at
    others = [n / 5 for n in range(1, 6)]
    sort = world.loads[0].sort
    away = list[list[float]]()
    for pool in world.pools:
        gone = losses(pool.log, world.now).open
        together = [_still_away(since, rates, dice) for since in gone[:: pool.each]]
        away.append([together[n // pool.each] for n in range(len(gone))])
    return Belief(
        visits={each: _visits(world, each, rates.work(), dice) for each in {load.sort for load in world.loads}},
        rounds=[renders if load.batch == batch else others for load in world.loads],
        away=away,
        outages=[each for n in range(len(world.pools)) for each in _to_come(world, n, len(away[n]), rates, now, dice)],
        comers=[(at, load, others) for at, load in _comers(sort, rates, now, dice)],
    )


def _visits(world: World, sort: Sort, work: Varied, dice: Random) -> Visits:
    drawn: dict[int, list[float]] = {}
    for kind in ("plan", "select", "verify", "render"):
        pool = world.pool_of(EDITOR + sort.model if kind == "render" else SEATS[kind])
        assert pool is not None
        sums = drawn.setdefault(pool, [0.0] * _SHAPES)
        for n in range(_SHAPES):
            sums[n] += work.drawn_s(kind, dice)
    return Visits([*drawn.items()])


def _length(rates: Rates, dice: Random) -> float:
    return rates.lasts_s * dice.lognormvariate(0, 0.7)


def _still_away(since: float, rates: Rates, dice: Random) -> float:
    lengths = (_length(rates, dice) - since for _ in range(50))
    return next((left for left in lengths if left > 0), since * dice.expovariate(1.0))


def _to_come(world: World, n: int, away: int, rates: Rates, now: float, dice: Random) -> list[Outage]:
    pool, found, at = world.pools[n], list[Outage](), 0.0
    machines = math.ceil((pool.servers + away) / pool.each)
    while machines and (at := at + dice.expovariate(machines / rates.between_s)) < LAST - now:
        found.append(Outage(at, n, pool.each, _length(rates, dice)))
    return found


def _comers(sort: Sort, rates: Rates, now: float, dice: Random) -> list[tuple[float, Load]]:
    found, at = list[tuple[float, Load]](), 0.0
    while (at := at + dice.expovariate(rates.rate)) < LAST - now:
        weight, items = dice.choice((1.0, 1.0, 2.0)), dice.randint(3, rates.most)
        load = Load("", f"owner-{dice.randint(0, 4)}", sort, items, weight=weight, score=math.inf)
        found.append((at, load))
    return found


# --- renders of a job -----------------------------------------------------------------------------


def renders_of(work: Varied) -> Chances:
    jobs = [f"job {n}" for n in range(_JOBS)]
    work.ours.update(jobs)
    found = [work.rounds(job) for job in jobs]
    return [sum(each <= n for each in found) / _JOBS for n in range(1, ROUNDS)] + [1.0]


def likely(own: Load, strange: bool) -> tuple[list[Chances], list[float]]:
    """The distributions that a night may have, and how likely each is after what has ended and what still flies."""
    able, logs = list[Chances](), list[float]()
    for chances, weight in _able(strange):
        at = [0.0, *chances]
        log = math.log(weight)
        for done in own.done:
            last = min(done.renders, ROUNDS)  # more where an outage had one drawn again
            log += math.log(max(1e-12, at[last] - at[last - 1]))
        for job in own.flying:
            log += math.log(max(1e-12, 1 - at[min(job.survived, ROUNDS - 1)]))
        able.append(chances)
        logs.append(log)
    return able, [math.exp(log - max(logs)) for log in logs]


@lru_cache
def _able(strange: bool) -> list[tuple[Chances, float]]:
    """As Varied draws them: half of the nights each kind, and its number evenly."""
    goes_on = [0.4 + 0.4 * (n + 0.5) / 9 for n in range(9)]
    if strange:
        rare = [1 - (n + 1) ** -1.2 for n in range(1, ROUNDS)]
        never_few = [
            [0.0, 0.0, *_up([math.comb(3, n) * on**n * (1 - on) ** (3 - n) for n in range(4)])] for on in goes_on
        ]
        return [([*rare, 1.0], 9.0), *((_full(each), 1.0) for each in never_few)]
    geometric = [[1 - on**n for n in range(1, ROUNDS)] for on in goes_on]
    even = [[min(1.0, n / most) for n in range(1, ROUNDS)] for most in range(2, 9)]
    return [*((_full(each), 9 / 7) for each in even), *((_full(each), 1.0) for each in geometric)]


def _up(parts: Sequence[float]) -> list[float]:
    return [sum(parts[: n + 1]) for n in range(len(parts))]


def _full(chances: Sequence[float]) -> Chances:
    return [*chances, *[1.0] * (ROUNDS - len(chances))]


def main() -> int:
    parsed = arguments("forecast_bound", "How well could anybody?")
    logging.disable(logging.WARNING)
    rows: dict[tuple[str, float], list[float]] = {}
    for seed in range(parsed.seed, parsed.seed + parsed.nights):
        told = kept(seed, parsed.keep)
        for moment in told.moments:
            for name, knows in (("rates", True), ("renders", False)):
                rows.setdefault((name, moment.share), []).append(off(told, moment, knows))
    for share in SHARES:
        for name in ("rates", "renders"):
            found = rows[name, share]
            far, bias = statistics.median(map(abs, found)), statistics.median(found)
            print(f"{share:<5.0%} {name:<8} {len(found)} nights: off {far:.1%}, bias {bias:+.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
