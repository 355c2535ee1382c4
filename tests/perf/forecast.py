"""Is the forecast true? `python -m tests.perf.forecast [NIGHTS] [--seed N] [--plan NIGHTS]`.

Nights of the real dispatcher under a simulated clock (tests/support/nights.py), no two alike in steps, rounds,
machines, outages and other owners' batches. Each is asked for its end when 5, 25 and 50 % of its briefs have ended. The
forecast was tuned on seeds from 100,000 on; of the nights that are reported half have step times and rounds of kinds
that do not occur there (`strange`). Writes out/bench/forecast.json.
"""

import argparse
import json
import logging
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tasks.batch.forecast.census import world_of
from tasks.batch.forecast.eta import forecast
from tasks.batch.types import Batch
from tasks.ledger.types import Claim
from tests.perf.stage import Stage, stage
from tests.support.nights import Cycles, Night

OUT = Path("out/bench/forecast.json")
SHARES = (0.05, 0.25, 0.5)
TUNED = 100_000
HOUR = 3600.0


@dataclass
class Varied(Cycles):
    """Rounds and times of a night of its own."""

    strange: bool = False
    own: str = ""  # the batch whose briefs are not like those of others
    ours: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        dice = Random(f"work {self.seed}")
        self.render_s, self.other_s = dice.uniform(20, 60), dice.uniform(2, 12)
        self.sigma, self.tail, self.times = dice.uniform(0.15, 0.5), dice.uniform(0, 0.04), dice.uniform(2, 6)
        self.most_rounds, self.goes_on = dice.randint(2, 8), dice.uniform(0.4, 0.8)
        self.kind = dice.choice(("pareto", "two humps") if self.strange else ("even", "geometric"))

    def rounds(self, job: str) -> int:
        dice = Random(f"{self.seed}/{job}")
        match self.kind if job in self.ours else "others":
            case "even":
                return dice.randint(1, self.most_rounds)
            case "two humps":
                return self.most_rounds if dice.random() < 0.3 else dice.randint(1, 2)
            case "others":
                return dice.randint(1, 5)
            case _:
                return min(12, 1 + int(math.log(1 - dice.random()) / math.log(self.goes_on)))

    def seconds(self, claim: Claim) -> float:
        if claim.batch == self.own:
            self.ours.add(claim.job)
        dice = Random(f"{self.seed}/{claim.job}/{claim.n}")
        middle = self.render_s if claim.kind == "render" else self.other_s
        if self.strange:  # the tail is in each step, and none has a mean that many measurements tell well
            return min(20 * middle, 0.6 * middle * dice.paretovariate(1.8))
        drawn = middle * dice.lognormvariate(0, self.sigma)
        return drawn * self.times if dice.random() < self.tail else drawn


@dataclass
class Asked:
    """At `share` of the briefs: what was said, and what came; seconds of the night."""

    share: float
    at: float
    p10: float
    p50: float
    p90: float
    limits: str
    cpu_s: float
    end: float = 0.0

    @property
    def covered(self) -> bool:
        return self.p10 <= self.end <= self.p90

    @property
    def off(self) -> float:
        """Of what was left then."""
        return (self.p50 - self.end) / (self.end - self.at)


def night(seed: int, day_s: float) -> list[Asked]:
    """One night, asked three times. For so long before it others used the same machines."""
    strange = seed < TUNED and seed % 2 == 0
    dice = Random(f"night {seed}")
    with stage(seed) as made:
        asked, ended, end = list[Asked](), 0, 0.0
        briefs = dice.randint(100, 130)
        batch: Batch | None = None

        def one_ended(claim: Claim) -> None:
            nonlocal ended, end
            if batch and claim.batch == batch.id:
                ended, end = ended + 1, made.clock.s

        def begin() -> None:
            nonlocal batch
            batch = start(made, "night", briefs, "alice")
            work.own = batch.id
            ahead.changed()

        work = Varied(seed, strange=strange)
        drawers, others = dice.randint(2, 6), dice.randint(2, 8)
        ahead = made.night(drawers, others, work, ended=one_ended, idle_pass_s=120, keep_spans=False)
        weather(made, ahead, dice)
        ahead.at(day_s, begin)

        def over() -> bool:
            if batch and len(asked) < len(SHARES) and ended >= SHARES[len(asked)] * briefs:
                asked.append(ask(made, batch, SHARES[len(asked)], seed))
            return ended == briefs

        ahead.run(over)
        for each in asked:
            each.end = end
        return asked


def start(made: Stage, key: str, items: int, owner: str) -> Batch:
    settings = {"editor": "night", "candidates": 1, "rounds": 12}
    return made.start(key, items, owner, settings=settings)


def ask(made: Stage, batch: Batch, share: float, seed: int) -> Asked:
    began = time.process_time()
    world = world_of(made.ledger, {batch.id: batch})
    eta = forecast(world, [batch.id], seed)[batch.id]
    at = made.clock.s
    cpu_s = time.process_time() - began
    return Asked(share, at, at + eta.p10, at + eta.p50, at + eta.p90, eta.limits, cpu_s)


def weather(made: Stage, ahead: Night, dice: Random) -> None:
    """Outages, and batches of others: some are there, some come."""
    mean_s = dice.uniform(3, 24) * HOUR  # between two outages of one machine
    lasts_s, most = dice.uniform(180, 1500), 24 * HOUR
    for program in ahead.programs:
        at = dice.expovariate(1 / mean_s)
        while at < most:
            ahead.lose(program, at, lasts_s * dice.lognormvariate(0, 0.7))
            at += dice.expovariate(1 / mean_s)
    for n in range(dice.randint(0, 2)):
        start(made, f"before-{n}", dice.randint(5, 20), f"owner-{n}")
    rate = dice.uniform(0, 0.5) / HOUR
    at, n = dice.expovariate(rate), 0
    while at < most:
        ahead.at(at, _come(made, ahead, f"later-{n}", dice.randint(5, 40), f"owner-{dice.randint(0, 4)}"))
        at, n = at + dice.expovariate(rate), n + 1


def _come(made: Stage, ahead: Night, key: str, items: int, owner: str) -> Callable[[], None]:
    def come() -> None:
        start(made, key, items, owner)
        ahead.changed()

    return come


def summed(nights: list[list[Asked]]) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for n, share in enumerate(SHARES):
        asked = [one[n] for one in nights if len(one) > n]
        rows[f"{share:.0%}"] = {
            "covered": sum(each.covered for each in asked) / len(asked),
            "too_late": sum(each.end > each.p90 for each in asked) / len(asked),
            "median_off": statistics.median(abs(each.off) for each in asked),
            "bias": statistics.median(each.off for each in asked),
            "width": statistics.median((each.p90 - each.p10) / (each.end - each.at) for each in asked),
            "cpu_ms": 1000 * statistics.median(each.cpu_s for each in asked),
        }  # fmt: skip
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.perf.forecast", description=__doc__)
    parser.add_argument("nights", nargs="?", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--day", type=float, default=2, help="hours before, in which others used the machines")
    parsed = parser.parse_args()
    logging.disable(logging.WARNING)
    nights = list[list[Asked]]()
    print(f"{parsed.nights} simulated nights from seed {parsed.seed}, load {os.getloadavg()[0]:.0f}")
    for seed in range(parsed.seed, parsed.seed + parsed.nights):
        began = time.process_time()
        nights.append(night(seed, parsed.day * HOUR))
        told = "  ".join(f"{each.off:+.0%}{'' if each.covered else '!'}" for each in nights[-1])
        hours = (nights[-1][-1].end - parsed.day * HOUR) / HOUR
        print(
            f"{seed}: {hours:.1f} h, {told}  ({nights[-1][0].limits}; {time.process_time() - began:.1f} s)", flush=True
        )
        if len(nights) % 20 == 0:
            print(json.dumps(summed(nights), indent=1), flush=True)
    result = summed(nights)
    print(json.dumps(result, indent=1))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"seed": parsed.seed, "nights": parsed.nights, "asked": result}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
