"""A large world in small: a part of the jobs on the same part of the processes ends when all of them do.

By the law of large numbers that costs little truth where each process has many jobs to do. What was measured stays as
it is; what cannot be divided is made slower or faster instead, so that each pool can do as much as its part.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from tasks.batch.forecast.learn import Belief, Visits, believe
from tasks.batch.forecast.simulate import Run, simulate
from tasks.batch.forecast.world import Load, Used, World


@dataclass(frozen=True)
class Small:
    """One part of `parts` of a world; with 1.0 the world itself. `slower`: of each pool, seconds here for one there."""

    world: World
    parts: float
    slower: Sequence[float]

    @classmethod
    def of(cls, world: World, parts: float) -> "Small":
        if parts <= 1:
            return cls(world, 1.0, [1.0] * len(world.pools))
        numbers = [max(1, round(pool.servers / parts)) if pool.servers else 0 for pool in world.pools]
        slower = [n * parts / pool.servers if n else 1.0 for n, pool in zip(numbers, world.pools, strict=True)]
        pools = [replace(pool, servers=n) for n, pool in zip(numbers, world.pools, strict=True)]
        purses = [replace(one, limits=_part(one.limits, parts), used=_part(one.used, parts)) for one in world.purses]
        return cls(replace(world, pools=pools, purses=purses), parts, slower)

    def simulate(self, wanted: Sequence[str], horizon_s: float, longest_s: float, seed: int, dice: Random) -> Run:
        """As `simulate` of the whole, by what one draw believes of it."""
        belief = believe(self.world, horizon_s, Random(seed))
        if self.parts == 1:
            return simulate(self.world, belief, wanted, longest_s, dice)
        loads = [self._less(load) for load in self.world.loads]
        run = simulate(replace(self.world, loads=loads), self._believed(belief), wanted, longest_s, dice)
        busy = [seconds * self.parts / slow for seconds, slow in zip(run.busy, self.slower, strict=True)]
        return replace(run, busy=busy, used=[(batch, _part(used, 1 / self.parts)) for batch, used in run.used])

    def _less(self, load: Load) -> Load:
        flying = [load.flying[n] for n in self._some(len(load.flying))]
        waiting, most = round(load.waiting / self.parts), math.ceil(load.most / self.parts)
        return replace(load, waiting=waiting, flying=flying, most=most)

    def _believed(self, belief: Belief) -> Belief:
        dice = Random(0)
        visits = {
            sort: Visits([(n, [self.slower[n] * seconds for seconds in drawn]) for n, drawn in each.of_round])
            for sort, each in belief.visits.items()
        }
        few = [(at, load, int(load.waiting / self.parts + dice.random()), rounds) for at, load, rounds in belief.comers]
        comers = [(at, replace(load, waiting=items), rounds) for at, load, items, rounds in few if items]
        away = [[each[n] for n in self._some(len(each))] for each in belief.away]
        return replace(belief, visits=visits, away=away, comers=comers)

    def _some(self, number: int) -> list[int]:
        """Indices of one part of so many."""
        return [int(n * self.parts) for n in range(int(number / self.parts))]


def _part(used: Used, parts: float) -> Used:
    return Used(*(amount / parts for amount in used))
