"""Is a plan right? `python -m tests.perf.plan [--nights N] [--seed N] [--replays N] [--keep FOLDER]`.

A plan's n is right where n cards end the batch in time with the chance that was asked for (80 %), and n - 1 do not. The
chance of a number of cards is the share of replays of the real dispatcher that end in time: all go on from the same
moment, with that many cards and with other dice for steps, rounds, outages and others' batches, at the rates of the
night. A replay stops at the deadline, and a number of cards is settled as soon as no further replay could turn it; half
of the replays of n - 1, n and n + 1 are made in any case, and held against the chances that the plan told. The briefs
of the batch are like those of others: a plan knows no more of them. Every other night has steps with tails that the
forecast was not tuned on.
"""

import argparse
import json
import logging
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from random import Random
from resource import RUSAGE_CHILDREN, getrusage
from statistics import fmean

from tasks.batch.forecast.census import world_of
from tasks.batch.forecast.plan import ENOUGH, Ask, plan
from tasks.batch.forecast.world import Sort, World
from tasks.ledger.types import Claim
from tasks.store import FolderStore
from tests.perf.forecast_nights import HOUR, ROUNDS, Varied, between, start
from tests.perf.stage import MODEL, Stage, stage
from tests.support.nights import Night, editors

_SORT = Sort(MODEL, "0x0x1")
_LONG_S = 1e7
_MOST_MORE = 3
_LATE = 3
_BANDS = (0.0, 0.4, 0.6, 0.8, 0.9, 1.0)


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


@dataclass(frozen=True)
class Judged:
    """`off` is n less the least n that is enough; `chances` are (told, held) of n - 1, n and n + 1.

    `within`: the least n that is enough is one of those that were told with it.
    """

    off: int
    within: bool
    chances: Sequence[tuple[float, float]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.perf.plan", description="Is a plan right?")
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replays", type=int, default=10)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep replays there, and take those that are kept")
    parsed = parser.parse_args()
    logging.disable(logging.WARNING)
    if parsed.keep:
        parsed.keep.mkdir(parents=True, exist_ok=True)
    print(f"{parsed.nights} simulated nights from seed {parsed.seed}; load {os.getloadavg()[0]:.0f}", flush=True)
    began, judged = _cpu_s(), list[Judged]()
    for seed in range(parsed.seed, parsed.seed + parsed.nights):
        if one := judge(seed, parsed.replays, parsed.keep):
            judged.append(one)
    print(
        f"{(_cpu_s() - began) / parsed.nights:.0f} s of CPU a night, that of Redis too; load {os.getloadavg()[0]:.0f}"
    )
    print("\n".join(summed(judged)))
    return 0


def _cpu_s() -> float:
    children = getrusage(RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def judge(seed: int, replays: int, folder: Path | None) -> Judged | None:
    """None: more cards do not help."""
    rates, found = Rates.drawn(seed), list[Judged | None]()

    def judged(moment: "Moment") -> None:
        world = moment.world
        ask = Ask(rates.briefs, 0, next(iter(world.measured), _SORT), rates.by_s, ROUNDS, "alice")
        made = plan(world, ask, seed)
        if made.cards is None:
            print(f"{seed}: more cards do not help; what limits: {made.limits}", flush=True)
            return found.append(None)
        table = Replays(moment.ends_in_time, folder / f"{seed}.json" if folder else None)
        chances = [(one.chance, fmean(table.first(one.cards, (replays + 1) // 2))) for one in made.around]
        needed = table.least(made.cards, replays)
        within = (made.least or 0) <= needed and (made.safe is None or needed <= made.safe)
        work = f"{rates.briefs} briefs in {rates.by_s / HOUR:.1f} h"
        told = f"{made.cards} cards ({made.least} to {made.safe}) for {work}; {needed} needed"
        each = (f"{one.cards}: {a:.0%} {b:.0%}" for one, (a, b) in zip(made.around, chances, strict=True))
        print(f"{seed}: {told}; told and held {', '.join(each)}", flush=True)
        found.append(Judged(made.cards - needed, within, chances))

    at_the_end_of_history(rates, judged)
    return found[0]


def summed(judged: Sequence[Judged]) -> Generator[str]:
    if not judged:
        return
    ways = {"n is right": (0, 0), "off by one card at most": (-1, 1), "enough": (0, 999)}
    shares = (
        f"{words} in {fmean(low <= each.off <= high for each in judged):.0%}" for words, (low, high) in ways.items()
    )
    inside = fmean(each.within for each in judged)
    yield f"{len(judged)} plans: {', '.join(shares)}, from its least to its safe number in {inside:.0%}"
    told, held = (fmean(each) for each in zip(*(each.chances[-2] for each in judged), strict=True))
    yield f"its own chance: told {told:.0%}, and {held:.0%} held"
    pairs = sorted(pair for each in judged for pair in each.chances)
    for low, high in pairwise(_BANDS):
        if within := [pair for pair in pairs if low <= pair[0] < high + (high == 1)]:
            told, held = (fmean(each) for each in zip(*within, strict=True))
            yield f"told {low:.0%} to {high:.0%} of {len(within)} numbers of cards: {told:.0%}, and {held:.0%} held"


@dataclass
class Replays:
    """Whether replays ended in time, by the number of cards, in their order; kept in a file, if there is one."""

    ends_in_time: Callable[[int, int], bool]
    file: Path | None = None
    found: dict[int, list[bool]] = field(default_factory=dict[int, list[bool]])

    def __post_init__(self) -> None:
        if self.file and self.file.exists():
            self.found = {int(cards): each for cards, each in json.loads(self.file.read_text()).items()}

    def first(self, cards: int, number: int) -> Sequence[bool]:
        known = self.found.setdefault(cards, [])
        while len(known) < number:
            known.append(self.ends_in_time(cards, len(known) + 1))
            if self.file:
                self.file.write_text(json.dumps(self.found))
        return known[:number]

    def least(self, cards: int, number: int) -> int:
        """The least number of cards that is enough, looked for from this one on; it goes up by _MOST_MORE at most."""
        if self._is_enough(cards, number):
            while cards > 1 and self._is_enough(cards - 1, number):
                cards -= 1
            return cards
        more = range(cards + 1, cards + _MOST_MORE)
        return next((n for n in more if self._is_enough(n, number)), cards + _MOST_MORE)

    def _is_enough(self, cards: int, number: int) -> bool:
        """Settled as soon as no further replay could turn it."""
        wanted, good = math.ceil(ENOUGH * number), 0
        for made in range(1, number + 1):
            good = sum(self.first(cards, made))
            if good >= wanted or made - good > number - wanted:
                break
        return good >= wanted


# --- a night, and how it may go on ------------------------------------------------------------------


def at_the_end_of_history(rates: Rates, act: Callable[["Moment"], None]) -> None:
    root = list[Path]()

    def store(path: Path) -> FolderStore:
        root.append(path)
        return FolderStore(path)

    with stage(rates.seed, store) as made:
        made.redis.config_set("appendonly", "no")
        work = Varied(rates.seed, strange=rates.seed % 2 == 0, render_s=rates.render_s)
        ahead = made.night(rates.editors, rates.thinkers, work, idle_pass_s=240, tick_s=5, keep_spans=False)
        _trouble(made, ahead, rates, "", rates.history_s)
        _begin(made, ahead, "first", 10, "owner-0")
        ahead.at(rates.history_s, lambda: act(Moment(made, ahead, rates, root[0])))
        ahead.run(lambda: made.clock.s > rates.history_s)


def _trouble(made: Stage, ahead: Night, rates: Rates, what: str, until_s: float) -> None:
    """Outages and others' batches from now on, of dice by that name."""

    def moments(name: str, each_s: float) -> Generator[tuple[float, Random]]:
        dice, at = Random(f"{rates.seed} {name} {what}"), made.clock.s
        while (at := at + dice.expovariate(1 / each_s)) < until_s:
            yield at, dice

    for program in ahead.programs:
        for at, dice in moments(program.name, rates.each_s):
            ahead.lose(program, at, rates.lasts_s * dice.lognormvariate(0, 0.7))
    for at, dice in moments("others", rates.come_s):
        ahead.at(at, _coming(made, ahead, f"{at}", dice.randint(1, 2 * rates.items), f"owner-{dice.randint(0, 4)}"))


def _coming(made: Stage, ahead: Night, key: str, items: int, owner: str) -> Callable[[], None]:
    def come() -> None:
        _begin(made, ahead, key, items, owner)

    return come


def _begin(made: Stage, ahead: Night, key: str, items: int, owner: str) -> str:
    batch = start(made, key, items, owner)
    ahead.changed()
    return batch.id


class Moment:
    """From it on a night goes on often: each time in a process of its own, with ledger and storage as they were."""

    def __init__(self, made: Stage, ahead: Night, rates: Rates, root: Path) -> None:
        self._made, self._ahead, self._rates = made, ahead, rates
        self._root, self._saved = root, root.with_name("saved")
        self.world: World = world_of(made.ledger, {})
        shutil.copytree(root, self._saved)
        keys: list[str] = [*made.redis.scan_iter()]
        self._keys = [(key, made.redis.pttl(key), made.redis.dump(key) or b"") for key in keys]

    def ends_in_time(self, cards: int, replay: int) -> bool:
        child = get_context("fork").Process(target=self._replay, args=(cards, f"night {replay}"))
        child.start()
        child.join()
        assert child.exitcode in (0, _LATE), "a replay failed"
        self._restore()
        return child.exitcode == 0

    def _replay(self, cards: int, name: str) -> None:
        sys.exit(0 if self._goes_on(cards, name) else _LATE)

    def _goes_on(self, cards: int, replay: str) -> bool:
        ahead, rates, now = self._ahead, self._rates, self._made.clock.s
        ahead.programs[-1:-1] = editors(cards)[rates.editors :]
        for program in ahead.programs[cards:-1]:
            ahead.lose(program, now, _LONG_S)
        _trouble(self._made, ahead, rates, replay, now + rates.by_s)
        ended, batch = 0, _begin(self._made, ahead, replay, rates.briefs, "alice")

        def one_ended(claim: Claim) -> None:
            nonlocal ended
            ended += claim.batch == batch

        ahead.ended = one_ended
        ahead.run(lambda: ended == rates.briefs or self._made.clock.s > now + rates.by_s)
        return ended == rates.briefs

    def _restore(self) -> None:
        self._made.redis.flushdb()
        for key, ttl, value in self._keys:
            self._made.redis.restore(key, max(0, ttl), value)
        shutil.rmtree(self._root)
        shutil.copytree(self._saved, self._root)


if __name__ == "__main__":
    sys.exit(main())
