"""The world as the ledger knows it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tasks.batch.forecast.learn import EDITOR
from tasks.batch.forecast.rules import Rules
from tasks.batch.forecast.world import Arrival, Done, Flying, Load, Measured, Pool, Sort, World
from tasks.batch.types import Batch
from tasks.jobs import size_of
from tasks.ledger.ledger import Ledger
from tasks.ledger.types import CONTROL
from tasks.submission import SettingsIn

MOST = 200
"""Batches and owners that are looked at."""
_OPEN, _PAUSED = "open", "paused"
_UNSIZED = "512x512x4"


def world_of(ledger: Ledger, batches: Mapping[str, Batch], job: str = "") -> World:
    """`batches` are those that are asked about; of others the ledger knows enough. Raises StoreError, and Wiped.

    With a `job` it is a load of its own under its id; its batch, if it has one, is among `batches`.
    """
    told = ledger.run("census", MOST, job, *batches)
    now, serving, capacity, measured, known, came, (singles, jobs), terms, asked = told
    found = {sort: each for what, *rows in measured if (sort := _sort(what)) for each in [_measured(*rows)]}
    rules = Rules(int(now), {name: _map(flat) for name, flat in terms})
    loads = list[Load]()
    for id, flat, *row in known:
        about = _map(flat)
        if about.get("state") != _PAUSED:  # what is paused may go on at any time, or never
            of_batch = _loads(id, about, row, batches.get(id), [*found])
            loads += [rules.applied(load, about) for load in of_batch]
    if asked and (alone := _alone(job, asked, {id: row for id, *row in known}, batches, rules)):
        loads.append(alone)
    return World(
        now=int(now) / 1000,
        pools=pools_of(serving, {queue: [_entry(word) for word in words] for queue, words in capacity}),
        loads=[*loads, *(rules.applied(load, {}) for load in _singles(int(singles), jobs))],
        measured=found,
        arrivals=[Arrival(owner, int(created) / 1000, int(total)) for _, owner, created, total in came],
        purses=rules.purses,
    )


def _map(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def pools_of(serving: Iterable[Sequence[str]], logs: Mapping[str, Sequence[tuple[float, int]]]) -> list[Pool]:
    """Queues that share a worker are of one pool. One whose workers are all away is one, too: it may come back."""
    workers: dict[str, int] = {}
    of_worker: dict[str, set[str]] = {}
    for member, processes in serving:
        queue, _, worker = member.partition("|")
        workers[worker] = int(processes)
        of_worker.setdefault(worker, set()).add(queue)
    groups = _joined([({queue}, set[str]()) for queue in logs] + [(of_worker[one], {one}) for one in of_worker])
    pools = list[Pool]()
    for queues, names in sorted(groups, key=lambda group: sorted(group[0])):
        if queues == {CONTROL}:
            continue
        log = max((logs.get(queue, ()) for queue in queues), key=len)
        # A held queue counts as served by nobody.
        servers = min(sum(workers[name] for name in names), log[-1][1] if log else 10**9)
        # Of workers that are all away nobody knows how many they were: editors each have one process.
        one = any(queue.startswith(EDITOR) for queue in queues)
        full = max((number for _, number in log), default=1)
        each = sum(workers[name] for name in names) // len(names) if names else 1 if one else full
        pools.append(Pool(tuple(sorted(queues)), servers, log, max(1, each)))
    return pools


_Group = tuple[set[str], set[str]]
"""Queues, and the workers that serve them."""


def _joined(parts: Iterable[_Group]) -> list[_Group]:
    """Those that have a queue in common are one. Every worker may serve `control`, so that joins none."""
    groups = list[_Group]()
    for queues, names in parts:
        same = [group for group in groups if (group[0] & queues) - {CONTROL}]
        groups = [group for group in groups if group not in same]
        groups.append((queues.union(*(group[0] for group in same)), names.union(*(group[1] for group in same))))
    return groups


def _entry(word: str) -> tuple[float, int]:
    at, _, number = word.partition("|")
    return int(at) / 1000, int(number)


def _sort(what: str) -> Sort | None:
    model, _, size = what.rpartition("|")
    return Sort(model, size) if size.count("x") == 2 else None


def _measured(steps: Sequence[str], times: Iterable[Sequence[Any]], done: Sequence[str]) -> Measured:
    counts = {kind: int(number) for kind, number in zip(steps[::2], steps[1::2], strict=True)}
    seconds = {kind: [max(1, int(ms)) / 1000 for ms in found] for kind, found in times if found}
    return Measured(seconds, counts, _done(done))


def _done(words: Iterable[str]) -> list[Done]:
    return [Done(int(renders), int(goals)) for renders, _, goals in (word.partition("|") for word in words)]


def _loads(
    id: str, about: Mapping[str, str], row: Sequence[Any], batch: Batch | None, known: Sequence[Sort]
) -> Iterable[Load]:
    """One for each model and size of a batch."""
    flying, done, score = row
    waiting = int(about.get("n_w", 0)) + int(about.get("n_p", 0)) if about.get("state") == _OPEN else 0
    spans: list[tuple[str, int, int]] = json.loads(about["spans"])
    shares = sorts_of(spans, batch, known)
    in_flight: dict[Sort, list[Flying]] = {sort: [] for sort in shares}
    for sort, at in _flying(flying):
        in_flight.setdefault(sort, []).append(at)
    left, first = waiting, next(iter(shares))
    for sort, on_the_way in reversed(in_flight.items()):
        here = left if sort == first else round(waiting * shares.get(sort, 0.0))
        left -= here
        yield Load(
            batch=id, owner=about["owner"], sort=sort, waiting=here, flying=on_the_way, done=_done(done),
            most_renders=asked_of(batch)[1] if batch else 40, weight=float(about["weight"]), score=float(score),
            urgent=about["priority"] == "0", most=int(about["most"]),
        )  # fmt: skip


def asked_of(batch: Batch) -> tuple[list[str], int]:
    """The sizes that the batch and its matrix ask for (`size_of`), and how many renders an item has at most.

    What single lines set is not read: there may be a million.
    """
    settings = [SettingsIn.model_validate({**batch.settings, **combo.settings}).plain() for combo in batch.combos[:64]]
    most = max(each.rounds * (2 if each.adaptive and each.candidates > 2 else 1) for each in settings)
    return [size_of(each) for each in settings], most


def _flying(rows: Iterable[Sequence[str]]) -> Iterable[tuple[Sort, Flying]]:
    for model, size, renders, kind, status in rows:
        yield Sort(model, size or _UNSIZED), Flying(int(renders), kind, status == "running")


def sorts_of(spans: Iterable[Sequence[Any]], batch: Batch | None, known: Sequence[Sort]) -> Mapping[Sort, float]:
    """What its items are, by share: models by its spans, sizes as the batch says, else as of the model's last jobs."""
    items: dict[str, int] = {}
    for model, _, count in spans:
        items[model] = items.get(model, 0) + int(count)
    total = sum(items.values())
    shares: dict[Sort, float] = {}
    sizes = asked_of(batch)[0] if batch else ()
    for model, count in items.items():
        own = sizes or [next((sort.size for sort in known if sort.model == model), _UNSIZED)]
        for size in own:
            shares[Sort(model, size)] = shares.get(Sort(model, size), 0.0) + count / total / len(own)
    return shares


def _alone(
    job: str, asked: Sequence[Any], known: Mapping[str, Sequence[Any]], batches: Mapping[str, Batch], rules: Rules
) -> Load | None:
    """The job that is asked about, under the terms of its batch if it has one. None: that is paused."""
    row, owner, batch = asked
    [(sort, at)] = _flying([row])
    load = Load(job, owner, sort, waiting=0, flying=[at], alone=True)
    if batch not in known:
        return rules.applied(load, {})
    flat, _, done, _ = known[batch]
    about = _map(flat)
    if about.get("state") == _PAUSED:
        return None
    most = asked_of(batches[batch])[1] if batch in batches else load.most_renders
    load = replace(load, done=_done(done), most_renders=most, weight=float(about["weight"]))
    return rules.applied(load, about, batch)


def _singles(count: int, jobs: Sequence[Sequence[str]]) -> Iterable[Load]:
    """Jobs of no batch go before all that waits."""
    sorts: dict[Sort, list[Flying]] = {}
    for sort, at in _flying(jobs):
        sorts.setdefault(sort, []).append(at)
    for sort, flying in sorts.items():
        yield Load("", "", sort, waiting=max(0, count - len(jobs)) // len(sorts), flying=flying, urgent=True)


def editors_of(world: World) -> set[str]:
    """Models that somebody serves."""
    return {
        queue.removeprefix(EDITOR)
        for pool in world.pools
        if pool.servers
        for queue in pool.queues
        if queue.startswith(EDITOR)
    }
