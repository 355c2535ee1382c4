"""Is a plan right? `python -m tests.perf.plan [--nights N] [--seed N] [--replays N]`.

A plan's n is right where n cards end the batch in time with the chance that was asked for (80 %), and n - 1 do not. The
chance of a number of cards is the share of replays of the real dispatcher that end in time: all begin from the same
history, from then on with that many cards and with other dice for steps, rounds, outages and others' batches, at the
rates of the night. A replay stops at the deadline, and a number of cards is settled as soon as no further replay could
turn it. The briefs of the batch are like those of others: a plan knows no more of them. Every other night has
steps with tails that the forecast was not tuned on.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from tasks.batch.forecast.census import world_of
from tasks.batch.forecast.plan import ENOUGH, Ask, Plan, plan
from tasks.batch.forecast.world import Sort
from tests.perf.forecast_nights import HOUR, ROUNDS, Varied, between, start
from tests.perf.stage import MODEL, Stage, stage
from tests.support.nights import Night

_SORT = Sort(MODEL, "0x0x1")
_LONG_S = 1e7
_MOST_MORE = 3


@dataclass(frozen=True)
class Rates:
    """Of a night; times are seconds. `each_s` is between two outages of a machine, `come_s` between two batches."""

    seed: int
    editors: int  # before
    thinkers: int
    briefs: int
    render_s: float
    history_s: float
    by_s: float
    each_s: float
    lasts_s: float
    come_s: float
    items: int

    @classmethod
    def drawn(cls, seed: int) -> "Rates":
        dice = Random(f"plan {seed}")
        editors, briefs, render_s = dice.randint(1, 6), round(between(dice, 40, 120)), between(dice, 40, 150)
        items, needed = dice.randint(5, 30), dice.uniform(1.5, 6.5)
        return cls(
            seed=seed, editors=editors, thinkers=dice.randint(4, 16), briefs=briefs, render_s=render_s,
            history_s=dice.uniform(1, 3) * HOUR, by_s=briefs * 3.6 * render_s / needed + 8 * (render_s + 30),
            each_s=between(dice, 3, 60) * HOUR, lasts_s=between(dice, 3, 40) * 60,
            come_s=max(HOUR, 3 * items * render_s / editors / dice.uniform(0.05, 0.5)), items=items,
        )  # fmt: skip


@contextmanager
def night(rates: Rates, cards: int = 0, replay: int = 0) -> Generator[tuple[Stage, Night]]:
    """`cards`: so many editors from the end of the history on; 0: as before."""
    begins_s, cards = rates.history_s, cards or rates.editors
    with stage(rates.seed) as made:
        work = Varied(rates.seed, strange=rates.seed % 2 == 0, render_s=rates.render_s)
        ahead = made.night(
            max(rates.editors, cards), rates.thinkers, work, idle_pass_s=240, tick_s=5, keep_spans=False
        )  # fmt: skip
        for n, program in enumerate(ahead.programs[:-1]):
            if n >= rates.editors:
                ahead.lose(program, 0.0, begins_s)
            if n >= cards:
                ahead.lose(program, begins_s, _LONG_S)
        for n, program in enumerate(ahead.programs):
            for at, dice in moments(rates, replay, f"outage {n}", rates.each_s):
                ahead.lose(program, at, rates.lasts_s * dice.lognormvariate(0, 0.7))
        for at, dice in moments(rates, replay, "others", rates.come_s):
            key, items, owner = f"{at}", dice.randint(1, 2 * rates.items), f"owner-{dice.randint(0, 4)}"
            ahead.at(at, coming(made, ahead, key, items, owner))
        begin(made, ahead, "first", 10, "owner-0")
        yield made, ahead


def coming(made: Stage, ahead: Night, key: str, items: int, owner: str) -> Callable[[], None]:
    def come() -> None:
        begin(made, ahead, key, items, owner)

    return come


def begin(made: Stage, ahead: Night, key: str, items: int, owner: str) -> str:
    batch = start(made, key, items, owner)
    ahead.changed()
    return batch.id


def moments(rates: Rates, replay: int, what: str, each_s: float) -> Generator[tuple[float, Random]]:
    """Of the history always the same, from its end on those of the replay."""
    for dice, at, end in (
        (Random(f"{rates.seed} {what}"), 0.0, rates.history_s),
        (Random(f"{rates.seed} {what} {replay}"), rates.history_s, rates.history_s + rates.by_s),
    ):
        while (at := at + dice.expovariate(1 / each_s)) < end:
            yield at, dice


def planned(rates: Rates) -> Plan:
    with night(rates) as (made, ahead):
        ahead.run(lambda: made.clock.s >= rates.history_s)
        world = world_of(made.ledger, {})
        ask = Ask(rates.briefs, 0, next(iter(world.measured), _SORT), rates.by_s, ROUNDS, "alice")
        return plan(world, ask, rates.seed)


def ends_in_time(rates: Rates, cards: int, replay: int) -> bool:
    with night(rates, cards, replay) as (made, ahead):
        ended, batch = 0, ""

        def come() -> None:
            nonlocal batch
            batch = begin(made, ahead, f"night {replay}", rates.briefs, "alice")

        def one_ended(claim_batch: str) -> None:
            nonlocal ended
            ended += claim_batch == batch

        ahead.ended = lambda claim: one_ended(claim.batch)
        ahead.at(rates.history_s, come)
        ahead.run(lambda: ended == rates.briefs or made.clock.s > rates.history_s + rates.by_s)
        return ended == rates.briefs


def is_enough(rates: Rates, cards: int, replays: int) -> bool:
    wanted, good, bad = ENOUGH * replays, 0, 0
    while good < wanted and bad <= replays - wanted:
        if ends_in_time(rates, cards, good + bad + 1):
            good += 1
        else:
            bad += 1
    return good >= wanted


def least(rates: Rates, cards: int, replays: int) -> int:
    """The least number of cards that is enough, looked for from this one on; it goes up by _MOST_MORE at most."""
    if is_enough(rates, cards, replays):
        while cards > 1 and is_enough(rates, cards - 1, replays):
            cards -= 1
        return cards
    return next((n for n in range(cards + 1, cards + _MOST_MORE) if is_enough(rates, n, replays)), cards + _MOST_MORE)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.perf.plan", description="Is a plan right?")
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replays", type=int, default=10)
    parsed = parser.parse_args()
    logging.disable(logging.WARNING)
    off = list[int]()
    for seed in range(parsed.seed, parsed.seed + parsed.nights):
        rates = Rates.drawn(seed)
        made = planned(rates)
        if made.cards is None:
            print(f"{seed}: more cards do not help: {made.limits} limits", flush=True)
            continue
        needed = least(rates, made.cards, parsed.replays)
        off.append(made.cards - needed)
        told = f"{made.cards} cards for {rates.briefs} briefs in {rates.by_s / HOUR:.1f} h"
        print(f"{seed}: {told}; {needed} needed in {parsed.replays} replays each", flush=True)
    if off:
        shares = [sum(low <= each <= high for each in off) / len(off) for low, high in ((0, 0), (-1, 1), (0, 99))]
        print(f"{len(off)} plans: n is right in {shares[0]:.0%}, by one card at most off in {shares[1]:.0%}", end="")
        print(f", enough in {shares[2]:.0%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
