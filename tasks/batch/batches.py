"""What the API and the dispatcher do with batches: begin one, order something, tell how it stands."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

from tasks.batch.ledger import BatchLedger, ItemState
from tasks.batch.recall import Newest, recall
from tasks.batch.shelf import Shelf
from tasks.batch.terms_ledger import TermsLedger
from tasks.batch.types import (
    PART,
    Batch,
    Item,
    ItemStatus,
    Order,
    OrderKind,
    Position,
    Result,
    Standing,
    status_of_item,
)
from tasks.ledger.ledger import Ledger
from tasks.ledger.locks import PATIENCE_S, alone
from tasks.ledger.types import Cursor, Hint, Record, Wiped
from tasks.logs import fields
from tasks.store import Archive, Corrupt

log = logging.getLogger(__name__)

_MOST_UNREPORTED = 1000


class Batches:
    """`send` tells workers that a step waits. Raises StoreError, Corrupt, and Wiped while the ledger is rebuilt."""

    def __init__(self, ledger: Ledger, shelf: Shelf, archive: Archive, send: Callable[[Hint], None]) -> None:
        self._ledger = ledger
        self.ledger = BatchLedger(ledger)
        self.terms = TermsLedger(ledger)
        self.shelf = shelf
        self.archive = archive
        self._send = send

    def start(self, batch: Batch) -> bool:
        """The items are stored: let the batch begin. False: it had begun before."""
        fresh = self.shelf.find_batch(batch.id) is None
        self.shelf.mark_live(batch.id)
        if fresh:
            self.shelf.put_batch(batch)
        self.ledger.add(batch)
        self.shelf.forget_upload(batch.id)
        return fresh

    def find(self, id: str) -> Batch | None:
        return self.shelf.find_batch(id)

    def standing(self, id: str) -> Standing | None:
        """None: there is no such batch. One that the ledger has forgotten stands as it ended."""
        if found := self.ledger.standing(id) or self.shelf.summary(id):
            return found
        if self.find(id) is None:
            return None
        raise Wiped("this batch is stored, but the ledger does not know it yet", "try again in a moment")

    def listed(self, owner: str | None, limit: int, behind: Cursor | None = None) -> list[Standing]:
        """Those that the ledger knows, the newest first."""
        return self.ledger.listed(owner, limit, behind)

    def forgotten(
        self, owner: str | None, limit: int, behind: Cursor | None = None
    ) -> tuple[list[Standing], Cursor | None]:
        """Those that have ended and that the ledger does not know, from storage, the newest first, and where the list
        goes on. It may be short, even empty."""
        found, following = self.shelf.ended.page(owner, limit, behind)
        known = self.ledger.known([standing.batch for standing in found])
        return [standing for standing in found if standing.batch not in known], following

    # --- orders -----------------------------------------------------------------------------------

    def order(self, id: str, kind: OrderKind, **what: object) -> Standing:
        """Carry out an order; `what` are fields of Order. It is stored before it is applied, and outlives a wipe.

        Raises Busy when another order of the batch takes too long, and ValidationError.
        """
        batch = self.shelf.load_batch(id)
        with self.alone(id):
            self.enter(batch)
            applied = self.catch_up(id)
            order = Order.model_validate(
                {"number": applied + 1, "kind": kind, "at_ms": int(1000 * time.time()), **what}
            )
            if kind == "retry":  # it may go on
                self.shelf.mark_live(id)
                self.shelf.forget_summary(id)
            self.shelf.put_order(id, order)
            self._apply(id, order)
            found = self.standing(id)
            assert found, "it was entered above"
            if found.ended:  # as before: a patch, or nothing was to be retried
                self.shelf.put_summary(found)
                self.shelf.unmark_live(id)
            return found

    def enter(self, batch: Batch) -> bool:
        """Bring a batch into the ledger that it has forgotten, or never heard of (True)."""
        return self.ledger.standing(batch.id) is None and self.ledger.add(batch, recall(self.shelf, batch))

    def catch_up(self, id: str) -> int:
        """Apply the orders that are stored and that the ledger does not know; the number of the last one."""
        standing = self.ledger.standing(id)
        number = standing.order if standing else 0
        for order in self.shelf.orders(id, above=number):
            log.warning("order applied again: %s", order.kind, extra=fields(batch=id))
            self._apply(id, order)
            number = order.number
        return number

    def _apply(self, id: str, order: Order) -> None:
        for hint in self.ledger.apply(id, order) or ():
            self._send(hint)

    def alone(self, id: str, patience_s: float = PATIENCE_S) -> AbstractContextManager[None]:
        """Nobody else changes the batch meanwhile. Raises Busy when somebody has for so long."""
        return alone(self._ledger, f"batch:{id}", patience_s)

    # --- items ------------------------------------------------------------------------------------

    def index_of(self, batch: Batch, custom_id: str) -> int | None:
        """The index of the item of this custom_id; None: there is none."""
        line, combo = custom_id, 0
        if batch.combos[0].name:
            line, _, name = custom_id.rpartition("@")
            names = {found.name: number for number, found in enumerate(batch.combos)}
            if name not in names:
                return None
            combo = names[name]
        place = self.shelf.row_of(batch, line)
        return None if place is None else batch.index(Position(*place, combo))

    def custom_id(self, batch: Batch, index: int) -> str:
        return batch.custom_id(index, self.item(batch, index).custom_id)

    def item(self, batch: Batch, index: int) -> Item:
        return self.shelf.item(batch.id, batch.at(index))

    def items(
        self, batch: Batch, status: ItemStatus | None, first: int, limit: int
    ) -> tuple[list[ItemState], int | None]:
        """Those from index `first` on, and where the list goes on; None at its end. It may be short, even empty."""
        self.enter(batch)
        return self.ledger.items(batch.id, status, first, limit)

    def results(self, batch: Batch, every: bool = False) -> Iterator[Result]:
        """The current result of each item that has ended, in about the order of their ends; or `every` take's.

        Those cancelled before their turn come last. Memory is ten bytes an item; what is stored is read twice.
        """
        waiting = [result_of(record) for record in self.unreported(batch.id)]

        def stored() -> Iterator[Result]:
            yield from self.shelf.results(batch.id)
            yield from waiting

        newest = Newest(batch.total)
        if every:
            yield from newest.seen_first(stored())
        else:
            for _ in newest.seen_first(stored()):
                pass
            for index, take, _ in self._cancelled_early(batch):
                newest.overtake(index, take)
            yield from (result for result in stored() if newest.is_newest(result))
        yield from self._never_drawn(batch)

    def unreported(self, id: str) -> Iterable[Record]:
        """Children that have ended and whose result is still in the ledger."""
        return [record for record in self.ledger.unreported(_MOST_UNREPORTED, 0) if record.batch == id]

    def _cancelled_early(self, batch: Batch) -> Iterator[tuple[int, int, int]]:
        """Index, take and generation of items that were cancelled before their turn, be it that of another try."""
        standing = self.standing(batch.id)
        if standing and standing.counts.cancelled:
            self.enter(batch)
            yield from self.ledger.never_drawn(batch.id, batch.total)

    def _never_drawn(self, batch: Batch) -> Iterator[Result]:
        like = Result(batch=batch.id, index=0, custom_id="", status=ItemStatus.CANCELLED, stop="cancelled")
        read, names = (-1, -1), list[tuple[str, str]]()
        for index, take, generation in self._cancelled_early(batch):
            position = batch.at(index)
            part, line = divmod(position.row, PART)
            if read != (position.folder, part):
                read, names = (position.folder, part), self.shelf.names_of(batch.id, position.folder, part)
            if line >= len(names):
                raise Corrupt(f"line {line + 1} of part {part} of batch {batch.id} is missing")
            custom_id, title = names[line]
            name = batch.combos[position.combo].named(custom_id)
            told = {"index": index, "take": take, "generation": generation, "custom_id": name, "title": title or name}
            yield like.model_copy(update=told)


def result_of(record: Record) -> Result:
    """How a child ended."""
    goals = record.summary
    return Result(
        batch=record.batch, index=record.item, take=record.take, generation=record.generation,
        custom_id=record.custom_id, job=record.job, title=record.title,
        status=status_of_item(record.status, record.stop), stop=record.stop, met=goals.met, total=goals.total,
        coverage=goals.coverage, rounds=goals.rounds, renders=goals.renders, image=goals.image,
        error=record.error or goals.failed, cost=record.cost, created=record.created_ms / 1000,
        ended=record.ended_ms / 1000, order=record.under,
    )  # fmt: skip
