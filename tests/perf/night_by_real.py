"""Nights that must end by a time, on the real dispatcher: `python -m tests.perf.night_by_real [--nights N] [--seed N]`.

As tests/perf/night_by.py, but ledger, scripts, dispatcher and the price in each job are real, on a real Redis under a
simulated clock; steps and what renders bring are simulated. Prints whether the batch ended in time, and how many goals
it met of those of the best fixed price that ends in time.
"""

import argparse
import logging
import sys
from dataclasses import dataclass, field
from random import Random
from statistics import fmean
from typing import Any, Self

from tasks.batch.terms import Terms
from tasks.batch.types import batch_id, child_id
from tasks.ledger.ledger import Ledger
from tasks.ledger.types import Claim, CommitResult, Hint
from tasks.store import Archive
from tests.perf.stage import MODEL, stage
from tests.support.nights import KINDS, Cycles

_ROUNDS = 8
_PACE = 3.0  # times as long as in other simulated nights
_BUSY, _TAIL_S = 0.98, 60.0  # of the editors: so a night at one price ended, to within 2 % (three tried)
_FIRST = 0.6  # share of its goals that a first picture meets
_PRICES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.2, 1.5, 1.8, 2.2, 2.6, 3.2, 4.0)


@dataclass
class _Brief:
    """How far a job is: goals that are still missed behind so many renders. `price` is that of its own settings."""

    dice: Random
    price: float
    later: float  # chance of a missed goal in the second render
    goals: int
    missed: int
    renders: int = 0
    over: bool = False

    @classmethod
    def of(cls, seed: int, job: str, price: float) -> Self:
        dice = Random(f"{seed}/{job}/goals")
        goals, later = dice.randint(8, 18), dice.uniform(0.15, 0.45)
        return cls(dice, price, later, goals, goals)

    @property
    def chance(self) -> float:
        return self.later * 0.8 ** (self.renders - 1) if self.renders else _FIRST

    def verified(self) -> None:
        self.missed -= sum(self.dice.random() < self.chance for _ in range(self.missed))
        self.renders += 1
        self.over = not self.missed or self.renders == _ROUNDS or self.dear(self.price)

    def dear(self, price: float) -> bool:
        return self.renders > 0 and self.missed * self.chance < price


@dataclass
class Priced(Cycles):
    """A job stops where its next render promises fewer goals than its price, or than that of its batch now."""

    archive: Archive | None = None
    briefs: dict[str, _Brief] = field(default_factory=dict[str, _Brief])

    def rounds(self, job: str) -> int:
        brief = self._brief(job)
        return brief.renders if brief.over else _ROUNDS

    def seconds(self, claim: Claim) -> float:
        return 0.0 if self._ends(claim) else super().seconds(claim)

    def commit(self, ledger: Ledger, claim: Claim) -> tuple[CommitResult, Hint | None]:
        brief = self._brief(claim.job)
        if claim.kind == "verify":
            brief.verified()
        brief.over = brief.over or self._ends(claim)
        return super().commit(ledger, claim)

    @property
    def met(self) -> int:
        return sum(brief.goals - brief.missed for brief in self.briefs.values())

    def _ends(self, claim: Claim) -> bool:
        """As in tasks/steps.py: before it plans another round."""
        return claim.kind == "plan" and self._brief(claim.job).dear(claim.price)

    def _brief(self, job: str) -> _Brief:
        if job not in self.briefs:
            stored = self.archive.find_job(job) if self.archive else None
            self.briefs[job] = _Brief.of(self.seed, job, stored.settings.price_of_render if stored else 0.0)
        return self.briefs[job]


@dataclass(frozen=True)
class Ended:
    """`took_s` and goals of a whole night."""

    took_s: float
    goals: int
    price: float | None


def night(seed: int, briefs: int, editors: int, by_s: float | None = None, price: float = 0.0) -> Ended:
    """All briefs at this price; or at the one that the dispatcher sets so that it ends within `by_s`."""
    with stage(seed) as made:
        ended = 0

        def one_ended(claim: Claim) -> None:
            nonlocal ended
            ended += 1

        work = Priced(seed, pace=_PACE, archive=made.archive)
        terms = Terms(deadline=made.clock.ms / 1000 + by_s, by=True) if by_s else Terms()
        settings: dict[str, Any] = {"editor": MODEL, "candidates": 1, "rounds": _ROUNDS, "price_of_render": price}
        made.redis.config_set("appendonly", "no")
        batch = made.start("night", briefs, settings=settings, terms=terms)
        ahead = made.night(editors, 2 * editors, work, ended=one_ended, keep_spans=False, tick_s=5, idle_pass_s=60)
        last: list[float | None] = [None]

        def over() -> bool:
            standing = made.batches.standing(batch.id) if by_s and ended % 10 == 0 else None
            last[0] = standing.price if standing else last[0]
            return ended == briefs

        ahead.run(over)
        return Ended(made.clock.s, work.met, last[0])


@dataclass(frozen=True)
class Row:
    """`share` is of the goals that the best fixed price brings, `used` of the time; `can`: some price is in time."""

    share: float
    used: float
    price: float | None
    can: bool


def measure(seed: int) -> Row:
    """A night that can end in time: how it did, and how many goals against those of the best fixed price that does.

    What jobs draw and meet at a fixed price is known beforehand, and about when they all have ended. Whether a night
    that ended late could have ended in time is tried, at that price.
    """
    dice = Random(f"by {seed}")
    briefs, editors = dice.randint(80, 140), dice.randint(1, 5)
    plans = [planned(seed, briefs, price) for price in _PRICES]
    editor_s = plans[-1].took_s + dice.uniform(0.15, 0.9) * (plans[0].took_s - plans[-1].took_s)
    best = max((plan for plan in plans if plan.took_s <= editor_s), key=lambda plan: plan.goals)
    by_s = editor_s / (_BUSY * editors) + _TAIL_S
    paced = night(seed, briefs, editors, by_s)
    can = paced.took_s <= by_s or night(seed, briefs, editors, price=best.price or 0.0).took_s <= by_s
    return Row(paced.goals / best.goals, paced.took_s / by_s, paced.price, can)


def planned(seed: int, briefs: int, price: float) -> Ended:
    """What all briefs bring at this price; `took_s` is of the editors."""
    work, took_s = Priced(seed, pace=_PACE), 0.0
    for n in range(briefs):
        job = child_id(batch_id("alice", "night"), n, 0)
        work.briefs[job] = brief = _Brief.of(seed, job, price)
        while not brief.over:
            took_s += work.takes(job, len(KINDS) * brief.renders + 1, "render")
            brief.verified()
    return Ended(took_s, work.met, price)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.perf.night_by_real", description="Does --by keep its time?")
    parser.add_argument("--nights", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parsed = parser.parse_args()
    logging.disable(logging.WARNING)
    rows = list[Row]()
    for seed in range(parsed.seed, parsed.seed + parsed.nights):
        row = measure(seed)
        rows += [row] if row.can else []
        price = "none" if row.price is None else f"{row.price:.2f}"
        told = f"{row.share:.1%} of the goals in {row.used:.1%} of the time; last price {price}"
        print(f"{seed}: {told}{'' if row.can else '; no price ends it in time'}", flush=True)
    in_time, goals = fmean(row.used <= 1 for row in rows), fmean(row.share for row in rows)
    enough, least = fmean(row.share >= 0.95 for row in rows), min(row.share for row in rows)
    print(f"{len(rows)} simulated nights that can end in time: {in_time:.1%} did, with {goals:.1%} of the best fixed")
    print(f"price's goals on average, in {enough:.1%} of nights with at least 95 %; the least {least:.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
