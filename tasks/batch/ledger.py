"""What the ledger knows of batches. See tasks/ledger/lua/batch.lua for its keys, and tasks/batch for who uses it.

Each operation is one Lua script, as in tasks/ledger/ledger.py.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from director.errors import StoreError
from tasks.batch.recall import Recalled, standing_of, try_of
from tasks.batch.terms import NO_TERMS, Spent, Terms, ledger_fields, terms_in
from tasks.batch.types import (
    LETTERS,
    RETRIED,
    Batch,
    BatchStatus,
    Counts,
    ItemStatus,
    Order,
    Standing,
    letters_of,
)
from tasks.ledger.ledger import Ledger
from tasks.ledger.rows import hint_of, or_empty
from tasks.ledger.types import Cursor, Hint, Record
from tasks.summary import Cost

_LOOK = 20_000  # items that one call looks at
_LAPSED = 100


@dataclass(frozen=True)
class Pick:
    """An item whose turn it is, leased to the caller until its job is entered. `mode`: see takes: in batch.lua."""

    lane: str
    batch: str
    index: int
    take: int
    generation: int
    rounds: int
    mode: str
    order: int
    price: float | None = None  # of a render, where the batch has one


class Lane(NamedTuple):
    """An editor's model as the dispatcher sees it. Times are ms, None where nothing was measured yet."""

    picked: int
    flying: int
    step_ms: float | None  # an editor's step
    other_ms: float | None  # with the other seats beside each of these, waits included
    brief_ms: float | None  # of editors, for a whole job
    owners: int  # who have something to pick
    queued: int = 0  # jobs that wait for other seats or are being made, whatever their model
    thinking: int = 0  # steps of other seats that run


@dataclass(frozen=True)
class ItemState:
    """Where an item stands. `drawn`: it has a job."""

    index: int
    status: ItemStatus
    take: int
    generation: int
    job: str  # "": not in the ledger
    drawn: bool

    @property
    def waits(self) -> bool:
        return self.status is ItemStatus.WAITING


class BatchLedger:
    """The ledger's batches. Raises as the ledger does: StoreError, and Wiped while there is no epoch."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._run = ledger.run

    # --- batches ----------------------------------------------------------------------------------

    def add(self, batch: Batch, recalled: Recalled | None = None) -> bool:
        """Insert it if it is absent (True): all its items wait, or stand as storage says."""
        return self._add(batch, "create", "", recalled or Recalled(standing_of(batch))) == "created"

    def restore(self, batch: Batch, recalled: Recalled, holder: str) -> bool:
        """Insert it if it is absent, while there is no epoch. Raises StoreError if `holder` lost the rebuild lock."""
        reply = self._add(batch, "restore", holder, recalled)
        if reply == "unlocked":
            raise StoreError(f"{holder} does not hold the rebuild lock")
        return reply == "created"

    def _add(self, batch: Batch, mode: str, holder: str, recalled: Recalled) -> str:
        standing, states, takes, spent, retried, first = recalled
        spans = json.dumps([[span.model, span.first, span.items] for span in batch.spans])
        about = (batch.id, batch.owner, standing.title, json.dumps(batch.labels), standing.priority)
        counts = (int(batch.created * 1000), spans, batch.total, standing.most or 0, str(batch.weight))
        cost = json.dumps(standing.cost.model_dump())
        state = standing.status.value
        moments = (round(1000 * standing.ended), round(1000 * standing.late))
        how = (state, standing.order, *moments, retried, states, takes, cost, json.dumps(spent), json.dumps(first))
        terms = _flat(ledger_fields(standing.terms, Terms.model_fields, int(time.time() * 1000)))
        return str(self._run("add_batch", mode, holder, *about, *counts, *how, *terms))

    def standing(self, batch: str) -> Standing | None:
        """None: the ledger does not know it, or not any more."""
        flat: list[str] = self._run("standing_of_batch", batch)
        return _standing(batch, flat) if flat else None

    def listed(self, owner: str | None, limit: int, behind: Cursor | None = None) -> list[Standing]:
        """The newest first; those of the same time by falling id."""
        rows: list[Any] = self._run("list_batches", owner or "", *(behind or ("", "")), limit)
        return [_standing(batch, flat) for batch, flat in rows]

    def has_older(self) -> bool:
        """Storage lists ended batches that the ledger has forgotten."""
        return self._ledger.has_older(batches=True)

    def known(self, batches: Sequence[str]) -> set[str]:
        """Those of them that the ledger knows."""
        return set(self._run("known_batches", *batches)) if batches else set()

    def items(
        self, batch: str, status: ItemStatus | None, first: int, limit: int
    ) -> tuple[list[ItemState], int | None]:
        """Those from index `first` on, and where the list goes on; None at its end. It may be short, even empty."""
        letters = letters_of((status,)) if status else ""
        found: list[Any] = self._run("items_of_batch", batch, first, letters, limit, _LOOK)
        rows = [
            ItemState(int(index), LETTERS[letter], int(take), int(generation), job, letter in "fduxk")
            for index, letter, take, generation, job in found[1:]
        ]
        return rows, int(found[0]) if found[0] != "" else None

    def never_drawn(self, batch: str, total: int) -> Iterator[tuple[int, int, int]]:
        """Index, take and generation of the items that were cancelled before their turn."""
        for first in range(0, total, _LOOK):
            states, takes = self._run("states_of_batch", batch, first, _LOOK)
            tries = takes.encode()
            at = states.find("c")
            while at >= 0:
                yield first + at, *try_of(tries, at)
                at = states.find("c", at + 1)

    def children(self, batch: str, first: int, limit: int) -> tuple[list[Record], int | None]:
        """The jobs of its items in the ledger, from index `first` on, and where the list goes on; None at its end."""
        following, *flats = self._run("children_of_batch", batch, first, limit)
        return self._ledger.records(flats), int(following) if following != "" else None

    def apply(self, batch: str, order: Order) -> list[Hint] | None:
        """Do what was ordered; the hints of cancelled children. None: it was done before."""
        letters = letters_of(RETRIED & set(order.what))
        reply: Any = self._run(
            "apply_order", batch, order.number, order.kind, json.dumps(order.items), letters, order.rounds or 0,
            or_empty(order.priority), int(order.front), or_empty(order.most), order.title or "",
            *_flat(ledger_fields(NO_TERMS.changed(order.terms), order.terms, order.at_ms)),
        )  # fmt: skip
        if reply == "unknown":
            raise StoreError(f"the ledger does not know batch {batch}")
        return None if reply == "old" else [hint_of(flat) for flat in reply]

    def lock(self, name: str, holder: str, ttl_ms: int = 30_000) -> bool:
        """True for one holder at a time, until `unlock` or for that long."""
        return bool(self._run("lock", name, holder, ttl_ms))

    def unlock(self, name: str, holder: str) -> None:
        self._run("unlock", name, holder)

    # --- dispatch ---------------------------------------------------------------------------------

    def lanes(self, lanes: Sequence[str]) -> list[Lane]:
        """How these lanes stand, in order. A lane is a model's name, with `!` behind it for urgent batches."""
        rows: list[Any] = self._run("lanes", *lanes) if lanes else []
        return [
            Lane(int(picked), int(flying), _number(step), _number(other), _number(brief), *map(int, counts))
            for picked, flying, step, other, brief, *counts in rows
        ]

    def pick(self, lane: str, count: int, lease_ms: int) -> list[Pick]:
        """The next items, leased."""
        rows: list[Any] = self._run("pick", lane, count, lease_ms) if count > 0 else []
        return [
            Pick(lane, batch, int(index), int(take), int(generation), int(rounds), mode, int(order), _number(price))
            for batch, index, take, generation, rounds, mode, order, price in rows
        ]

    def put_back(self, pick: Pick) -> None:
        """No job is made of it now: it waits again."""
        self._run("put_back", pick.lane, pick.batch, pick.index, pick.take)

    def spoil(self, pick: Pick) -> None:
        """No job can be made of it: its result, which says so, is stored."""
        self._run("spoil", pick.lane, pick.batch, pick.index, pick.take)

    def give_back(self) -> int:
        """Picks whose lease ran out wait again; how many."""
        return int(self._run("give_back", _LAPSED))

    def unreported(self, most: int, age_ms: int) -> list[Record]:
        """Children that have ended and whose result is not stored, once it is time to store them."""
        return self._ledger.records(self._run("unreported", most, age_ms))

    def reported(self, records: Sequence[Record]) -> list[str]:
        """The results of these children are stored. Gives those that left the ledger; the others went on."""
        flat = [str(value) for record in records for value in (record.job, record.ended_ms)]
        return list(self._run("reported", *flat)) if flat else []

    def closing(self) -> list[str]:
        """Batches that have ended and whose summary is not stored."""
        return sorted(self._run("closing"))

    def close(self, batch: str) -> Standing | None:
        """The batch has ended: how it stands. None: something of it waits again."""
        flat: list[str] = self._run("close_batch", batch)
        return _standing(batch, flat) if flat else None

    def closed(self, batch: str) -> None:
        """Its summary is stored."""
        self._run("closed_batch", batch)

    def forget(self, older_than_ms: int, limit: int = 20) -> int:
        """Drop batches that ended more than that long ago; how many."""
        return int(self._run("forget_batches", older_than_ms, limit))


def _standing(batch: str, flat: Sequence[str]) -> Standing:
    row = dict(zip(flat[::2], flat[1::2], strict=True))
    counts: dict[str, int] = {}
    for letter, status in LETTERS.items():
        counts[status.value] = counts.get(status.value, 0) + int(row.get(f"n_{letter}", 0))
    ended_ms = int(row["ended_ms"])
    status = BatchStatus.ENDED if ended_ms and row["state"] != "cancelled" else BatchStatus(row["state"])
    cost: dict[str, Any] = {name: row.get(f"cost_{name}", 0) for name in Cost.model_fields}
    return Standing(
        batch=batch, owner=row["owner"], title=row["title"], labels=tuple(json.loads(row["labels"])),
        priority=int(row["priority"]), status=status, counts=Counts.model_validate(counts), total=int(row["total"]),
        most=int(row["most"]) or None, order=int(row["order"]), cost=Cost.model_validate(cost),
        created=int(row["created_ms"]) / 1000, ended=ended_ms / 1000, terms=terms_in(row),
        spent=Spent.of(*(row.get(f"spent_{unit}") for unit in ("renders", "gpu_ms", "money"))),
        late=int(row.get("late_ms", 0)) / 1000, price=_number(row.get("price", "")),
    )  # fmt: skip


def _flat(fields: Mapping[str, str]) -> list[str]:
    return [word for pair in fields.items() for word in pair]


def _number(word: str) -> float | None:
    return float(word) if word else None
