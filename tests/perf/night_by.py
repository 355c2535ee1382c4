"""Nights that must end by a time: `python -m tests.perf.night_by [--nights N] [--seed N]`.

The price of a render is moved by tasks/batch/pacing.py, against the best price that a whole night could have had, found
by trying many. Everything else is simulated: editors, other seats, what a render brings. Nights differ in editors,
briefs, times, how hard the briefs are and how much time there is; in a third of them editors are lost, or another owner
takes a share of them for a while. Prints a table.
"""

import argparse
import heapq
import math
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tasks.batch import pacing
from tasks.batch.pacing import LEAST, MOST, Pace, Seen

PRICES = [LEAST * (MOST / LEAST) ** (n / 29) for n in range(30)]
_ROUNDS = 8
_LOOK_S = 5.0


@dataclass(frozen=True)
class Night:
    """`away`: from and to when (shares of the time that there is) so many editors draw for others, or are down."""

    seed: int
    editors: int
    briefs: int
    render_s: float
    others_s: float
    goals: tuple[int, int]
    first: float  # share of its goals that a first picture meets
    later: float  # chance of a missed goal in the next render
    wears_off: float
    away: tuple[float, float, int]
    known: bool  # the ledger knows what items of the model take
    time_s: float = 0.0


@dataclass
class Run:
    goals: int = 0
    ended_s: float = 0.0
    prices: list[float] = field(default_factory=list[float])


@dataclass
class _Item:
    number: int
    price: float
    missed: int
    round: int = 0
    took_s: float = 0.0


class _Simulation:
    def __init__(self, night: Night, price: Callable[["_Simulation"], float], stop_at_deadline: bool) -> None:
        self.night, self.price, self.s = night, price, 0.0
        self.free, self.waiting, self.flying, self.ended, self.took_s = night.editors, night.briefs, 0, 0, 0.0
        self.queue: deque[_Item] = deque()  # before the editors; what goes on stands before what begins
        self.run = Run()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number, self._began, self._cut = 0, 0, stop_at_deadline
        self.away = 0

    def at(self, s: float, act: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (s, self._number, act))

    def go(self) -> Run:
        first, last, editors = self.night.away
        if editors and self.night.time_s:
            self.at(first * self.night.time_s, lambda: self._lose(editors))
            self.at(last * self.night.time_s, lambda: self._lose(-editors))
        self._serve()
        while self._events and self.ended < self.night.briefs:
            self.s, _, act = heapq.heappop(self._events)
            act()
            self._serve()
        self.run.ended_s = self.s
        return self.run

    def _lose(self, editors: int) -> None:
        self.away += editors

    def _serve(self) -> None:
        most = self.night.editors + math.ceil(self.night.editors * self.night.others_s / self.night.render_s) + 2
        while self.waiting and self.flying < most:
            dice = Random(f"{self.night.seed}/{self._began}")
            item = _Item(self._began, self.price(self), dice.randint(*self.night.goals))
            self._began, self.waiting, self.flying = self._began + 1, self.waiting - 1, self.flying + 1
            self.run.prices.append(item.price)
            self.at(self.s + self.night.others_s * dice.uniform(0.5, 1.5), lambda item=item: self.queue.append(item))
        while self.queue and self.free - self.away > 0:
            item = self.queue.popleft()
            self.free -= 1
            dice = Random(f"{self.night.seed}/{item.number}/{item.round}")
            seconds = self.night.render_s * dice.lognormvariate(0, 0.25) * (4 if dice.random() < 0.02 else 1)
            self.at(self.s + seconds, lambda item=item, seconds=seconds: self._drawn(item, seconds))

    def _drawn(self, item: _Item, seconds: float) -> None:
        self.free += 1
        item.took_s += seconds
        dice = Random(f"{self.night.seed}/{item.number}/{item.round}/gain")
        hard = Random(f"{self.night.seed}/{item.number}/hard").uniform(0.6, 1.4)
        chance = self._chance(item.round) * hard
        gained = sum(dice.random() < chance for _ in range(item.missed))
        item.missed -= gained
        self.run.goals += gained
        item.round += 1
        promised = item.missed * self._chance(item.round)
        if not item.missed or item.round >= _ROUNDS or promised < max(item.price, self.price(self)):
            self.ended, self.flying, self.took_s = self.ended + 1, self.flying - 1, self.took_s + item.took_s
        else:
            self.at(self.s + self.night.others_s * dice.uniform(0.5, 1.5), lambda: self.queue.appendleft(item))

    def _chance(self, number: int) -> float:
        return self.night.first if number == 0 else self.night.later * self.night.wears_off ** (number - 1)


@dataclass
class _Paced:
    """The dispatcher's part: it looks every few seconds."""

    pace: Pace | None = None

    def __call__(self, simulation: _Simulation) -> float:
        night = simulation.night
        seen = Seen(
            now_s=simulation.s, left_s=night.time_s - simulation.s, waiting=simulation.waiting,
            running=simulation.flying, ended=simulation.ended, took_s=simulation.took_s,
            editors=night.editors - simulation.away, item_s=3.0 * night.render_s if night.known else None,
        )  # fmt: skip
        if self.pace is None:
            self.pace = pacing.begin(seen)
        elif simulation.s >= self.pace.now_s + _LOOK_S:
            self.pace = pacing.step(self.pace, seen)
        return pacing.told(self.pace)


def fixed(night: Night, price: float) -> Run:
    return _Simulation(night, lambda _: price, False).go()


def paced(night: Night) -> Run:
    return _Simulation(night, _Paced(), False).go()


def drawn(seed: int) -> Night:
    """A night by chance; its time is such that all its briefs would need more of it, most often."""
    dice = Random(seed)
    editors = dice.choice((1, 2, 4, 8))
    away = dice.random() < 1 / 3
    share = dice.uniform(0.2, 0.6)
    night = Night(
        seed=seed, editors=editors, briefs=dice.randint(80, 400), render_s=dice.uniform(10, 60),
        others_s=dice.uniform(4, 40), goals=dice.choice(((4, 8), (8, 18), (15, 18))), first=dice.uniform(0.4, 0.75),
        later=dice.uniform(0.15, 0.45), wears_off=dice.uniform(0.6, 0.95),
        away=(share, share + 0.2, max(1, editors // 2) if editors > 1 and away else 0), known=dice.random() < 0.5,
    )  # fmt: skip
    whole = fixed(night, LEAST).ended_s
    return Night(**{**vars(night), "time_s": whole * dice.uniform(0.35, 1.1)})


def measure(seed: int) -> tuple[bool, bool, float, float]:
    """Whether the night can end in time, whether it did, its goals against those of the best price, the time left."""
    night = drawn(seed)
    runs = [fixed(night, price) for price in PRICES]
    in_time = [run for run in runs if run.ended_s <= night.time_s]
    if not in_time:
        return False, False, 0.0, 0.0
    best, found = max(run.goals for run in in_time), paced(night)
    return True, found.ended_s <= night.time_s, found.goals / best, 1 - found.ended_s / night.time_s


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.perf.night_by", description=__doc__)
    parser.add_argument("--nights", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rows = [row for seed in range(args.seed, args.seed + args.nights) if (row := measure(seed))[0]]
    shares = sorted(row[2] for row in rows)
    print(f"nights that can end in time: {len(rows)} of {args.nights}")
    print(f"ended in time: {sum(row[1] for row in rows) / len(rows):.1%}")
    print(f"goals, of the best price's: mean {statistics.mean(shares):.1%}, median {statistics.median(shares):.1%}")
    print(f"at least 95 %: {sum(share >= 0.95 for share in shares) / len(rows):.1%}; the least {shares[0]:.1%}")
    print(f"time left over: median {statistics.median(row[3] for row in rows):.1%}")
    late = sorted(row[3] for row in rows if not row[1])
    print("late by:", [f"{-each:.1%}" for each in late])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
