"""When batches will have ended: the same world and seed give the same answer."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tasks.batch.forecast.learn import EDITOR, SEATS, believe
from tasks.batch.forecast.simulate import Run, simulate
from tasks.batch.forecast.world import WANTED, Load, Measured, Pool, World

RUNS = 60
MOST_EVENTS, LEAST_RUNS = 300_000, 5
"""A batch of many nights takes a second or more for each run: with so many events, no more runs are made than these."""
HORIZON_S = 30 * 86_400.0
_FULL = 0.75  # of a pool's time: below that nobody limits, but the last jobs or a cap


@dataclass(frozen=True)
class Eta:
    """Seconds from now. `limits` names what the batch waits for most, `money` is about what its rest will cost."""

    p10: float
    p50: float
    p90: float
    limits: str
    knows_little_of: tuple[str, ...]
    money: float = 0.0


def forecast(
    world: World, wanted: Collection[str], seed: int, runs: int = RUNS, most_events: int = MOST_EVENTS
) -> Mapping[str, Eta]:
    """Of each wanted batch, or job that is asked about. What has not ended within a month in half of the runs is left
    out."""
    ends: defaultdict[str, list[float]] = defaultdict(list)
    money: defaultdict[str, float] = defaultdict(float)
    models = {batch: _models(world, batch) for batch in wanted}
    limits = {each: Counter[str]() for each in models.values()}
    dice, events, made = Random(seed), 0, 0
    while made < runs and (events < most_events or made < LEAST_RUNS):
        belief = believe(world, HORIZON_S / 10, dice)
        run = simulate(world, belief, wanted, HORIZON_S, dice)
        made, events = made + 1, events + run.events
        for each, counts in limits.items():
            counts[limit(world, run, each)] += 1
        for batch, at in run.ends.items():
            ends[batch].append(at)
        for batch, used in run.used:
            money[batch] += used.money
    found = dict[str, Eta]()
    for batch, all_of_it in ends.items():
        if 2 * len(all_of_it) > made:
            p10, p50, p90 = (quantile(sorted(all_of_it), share) for share in (0.1, 0.5, 0.9))
            loads = [load for load in world.loads if load.batch == batch]
            said = _said(loads, limits[models[batch]].most_common(1)[0][0])
            found[batch] = Eta(p10, p50, p90, said, little(world, loads), money[batch] / made)
    return found


def quantile(ordered: Sequence[float], share: float) -> float:
    """So that one more draw lies below it with this chance (Weibull's plotting positions)."""
    at = min(max(share * (len(ordered) + 1) - 1, 0.0), len(ordered) - 1.0)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def _models(world: World, batch: str) -> frozenset[str]:
    return frozenset(load.sort.model for load in world.loads if load.batch == batch)


def limit(world: World, run: Run, models: Collection[str]) -> str:
    """Of the pools that jobs of these models need, the one that was busiest; "" where none was busy."""
    needed = [n for n, pool in enumerate(world.pools) if _name_of(pool, models)]
    busy = [(run.busy[n] / (max(1, world.pools[n].servers) * run.span), n) for n in needed]
    most, n = max(busy, default=(0.0, -1))
    return _name_of(world.pools[n], models) if most >= _FULL else ""


def _name_of(pool: Pool, models: Collection[str]) -> str:
    """As who draws with these models knows it; "" where it does not serve them."""
    editors = [model for queue in pool.queues if (model := queue.removeprefix(EDITOR)) != queue and model in models]
    seats = [queue for queue in pool.queues if queue in SEATS.values()]
    more = [f"{len(editors) - 2} other models"] if len(editors) > 3 else editors[2:]
    words = ["editors of " + ", ".join([*editors[:2], *more])] if editors else []
    return " and ".join([*words, *([", ".join(seats)] if seats else [])])


def _said(loads: Sequence[Load], pool: str) -> str:
    if pool:
        return pool
    if any(load.alone for load in loads):
        return "its own steps"
    return "its cap of items in flight" if any(load.most for load in loads) else "the last items"


def little(world: World, loads: Sequence[Load]) -> tuple[str, ...]:
    """What was measured less than WANTED times, in words."""
    found: list[str] = []
    for sort in {load.sort: None for load in loads}:
        times = world.measured.get(sort, Measured()).times
        for kind in ("render", *SEATS):
            number = len(times.get(kind, ()))
            if number < WANTED and (kind == "render" or (number and world.pool_of(SEATS[kind]) is not None)):
                found.append(f"{number} {kind} steps of {sort} measured; {WANTED} needed")
    ended = sum(len(load.done) for load in loads)
    if ended < WANTED / 2 and not any(load.alone for load in loads):
        found.append(f"{ended} of its items have ended; {WANTED // 2} needed")
    return tuple(found)
