"""How a batch stands, from what is stored of it alone: its results, and its orders between them."""

from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from tasks.batch.shelf import Shelf
from tasks.batch.types import (
    MAX_TAKES,
    RETRIED,
    Batch,
    BatchStatus,
    Counts,
    End,
    ItemStatus,
    Order,
    Result,
    Standing,
    letters_of,
)
from tasks.summary import Cost

_FIRST = 33  # a number is kept as the character that is so far behind this one: see takes: in batch.lua
_LETTERS = {ItemStatus.DONE: b"d", ItemStatus.UNMET: b"u", ItemStatus.FAILED: b"x"}
E = TypeVar("E", End, Result)


class Recalled(NamedTuple):
    """A batch as it stood; `states` and `takes` in the form of tasks/ledger/lua/batch.lua, "" when all items wait.

    `spent` are renders and GPU ms of jobs that have ended, by model; `retried` is the number of the last order that let
    items wait again; `first` are waiting items that go before the others, in that order.
    """

    standing: Standing
    states: str = ""
    takes: str = ""
    spent: tuple[tuple[str, int, int], ...] = ()
    retried: int = 0
    first: tuple[int, ...] = ()


def standing_of(batch: Batch) -> Standing:
    """How a batch stands that has just come."""
    return Standing(
        batch=batch.id, owner=batch.owner, title=batch.title, labels=batch.labels, priority=batch.priority,
        status=BatchStatus.OPEN, counts=Counts(waiting=batch.total), total=batch.total, most=batch.most,
        created=batch.created, terms=batch.terms,
    )  # fmt: skip


def recall(shelf: Shelf, batch: Batch, keep: Callable[[], None] = lambda: None) -> Recalled:
    """How it stands by storage. An item whose job is in flight counts as waiting, or as cancelled if it is to be.

    `keep` is called again and again meanwhile.
    """
    replay = _Replay(batch)
    for end in Newest(batch.total).seen_first(shelf.ends(batch.id, keep)):
        replay.take_in(end)
    for order in shelf.orders(batch.id):
        keep()
        replay.results_before(order.number)
        replay.obey(order)
    return _as_it_ended(replay.end(), shelf.summary(batch.id))


def _as_it_ended(found: Recalled, summary: Standing | None) -> Recalled:
    """One that had ended, and of which nothing was ordered since, ended when its summary says, late or not."""
    if not summary or summary.order != found.standing.order or "w" in found.states or not found.states:
        return found
    told = {"ended": summary.ended, "late": summary.late}
    return found._replace(standing=found.standing.model_copy(update=told))


def try_of(takes: bytes | bytearray, index: int) -> tuple[int, int]:
    """Take and generation of an item, from `takes` of a batch or of a part of its items."""
    chars = takes[4 * index : 4 * index + 2]
    return (chars[0] - _FIRST, chars[1] - _FIRST) if len(chars) == 2 and chars[0] else (0, 0)


def cancelled_since(orders: Iterable[Order], index: int, order: int) -> bool:
    """True when an order later than `order` cancels this item."""
    return any(
        found.kind == "cancel" and found.number > order and (not found.items or index in found.items)
        for found in orders
    )


class Newest:
    """Which result of each item counts: that of its last take. Ten bytes an item."""

    def __init__(self, total: int) -> None:
        self._takes = array("b", bytes(total))
        self._ended = array("d", bytes(8 * total))

    def seen_first(self, results: Iterable[E]) -> Iterable[E]:
        """Those that were not seen before, and are no older than what was seen of the item."""
        for result in results:
            if 0 <= result.index < len(self._takes) and self._key(result.index) < (result.take, result.ended):
                self._takes[result.index], self._ended[result.index] = result.take, result.ended
                yield result

    def overtake(self, index: int, take: int) -> None:
        """A later take of the item was cancelled before its turn: no result that is stored counts."""
        if take > self._takes[index]:
            self._takes[index] = take

    def is_newest(self, result: End | Result) -> bool:
        """Whether it counts, of all that were seen. The first to ask is told so; who asks again is told no."""
        if self._key(result.index) != (result.take, result.ended):
            return False
        self._ended[result.index] = -1.0
        return True

    def _key(self, index: int) -> tuple[int, float]:
        return self._takes[index], self._ended[index]


@dataclass
class _Replay:
    batch: Batch
    states: bytearray = field(init=False)
    takes: bytearray = field(default_factory=bytearray)
    retried: int = 0
    first: tuple[int, ...] = ()
    ended: bytearray = field(init=False)  # of each item the last take that ended for good, and one
    later: dict[int, "array[int]"] = field(default_factory=lambda: defaultdict(lambda: array("q")))

    def __post_init__(self) -> None:
        self.states = bytearray(b"w") * self.batch.total
        self.ended = bytearray(self.batch.total)
        self.standing = standing_of(self.batch)
        self.cost = dict.fromkeys(Cost.model_fields, 0)
        self.spent = _Spending(self.batch)

    def take_in(self, end: End) -> None:
        if self.ended[end.index] == end.take + 1:
            return  # told again by a ledger that came back from a copy; what was ordered since holds
        if end.status is not ItemStatus.FAILED:  # that may go on under the same take
            self.ended[end.index] = end.take + 1
        letter = _LETTERS.get(end.status, b"k" if end.job else b"c")[0]
        packed = end.index << 32 | end.take << 16 | end.generation << 8 | letter
        self.later[end.order].append(packed)
        for name in end.cost.model_fields_set:
            self.cost[name] += getattr(end.cost, name)
        self.spent.add(end)

    def results_before(self, number: int | None) -> None:
        """Let the items end whose end came before that order; None: all."""
        for order in sorted(order for order in self.later if number is None or order < number):
            for packed in self.later.pop(order):
                index, take, generation = packed >> 32, packed >> 16 & 255, packed >> 8 & 255
                self.states[index] = packed & 255
                if take:
                    self._set_try(index, take, generation, 0, "s")

    def obey(self, order: Order) -> None:
        """As apply_order.lua does."""
        acts: dict[str, Callable[[Order], None]] = {
            "pause": lambda _: self._become(BatchStatus.PAUSED, BatchStatus.OPEN),
            "resume": lambda _: self._become(BatchStatus.OPEN, BatchStatus.PAUSED),
            "cancel": self._cancel,
            "retry": self._retry,
            "patch": self._patch,
            "first": self._put_first,
        }
        acts[order.kind](order)
        self.standing = self.standing.model_copy(update={"order": order.number})

    def end(self) -> Recalled:
        self.results_before(None)
        standing = self.standing.model_copy(update={"cost": Cost(**self.cost)})
        takes = self.takes.decode("latin-1")
        first = tuple(index for index in self.first if self._letter(index) == "w")
        return Recalled(standing, self.states.decode(), takes, self.spent.by_model(), self.retried, first)

    def _become(self, status: BatchStatus, before: BatchStatus) -> None:
        if self.standing.status is before:
            self.standing = self.standing.model_copy(update={"status": status})

    def _cancel(self, order: Order) -> None:
        if order.items:
            for index in order.items:
                if self._letter(index) == "w":
                    self.states[index] = ord("c")
        elif b"w" in self.states:  # else it had ended
            self.states = self.states.replace(b"w", b"c")
            self.standing = self.standing.model_copy(update={"status": BatchStatus.CANCELLED})

    def _retry(self, order: Order) -> None:
        letters = letters_of(RETRIED & set(order.what))
        found = False
        for index in order.items or range(self.batch.total):
            letter = self._letter(index)
            take, generation = try_of(self.takes, index)
            if letter and letter in letters and take < MAX_TAKES:
                mode = {"x": "r", "c": "s"}.get(letter, "u")
                more, goes_on = (order.rounds or 0, 1) if mode == "u" else (0, 0)
                self._set_try(index, take + 1, generation + goes_on, more, mode)
                self.states[index], found = ord("w"), True
        if found:
            self.retried = order.number
            self._become(BatchStatus.OPEN, BatchStatus.CANCELLED)

    def _patch(self, order: Order) -> None:
        told = {"title": order.title, "priority": order.priority}
        change: dict[str, object] = {name: value for name, value in told.items() if value is not None}
        if order.most is not None:
            change["most"] = order.most or None
        if order.terms:
            change["terms"] = self.standing.terms.changed(order.terms)
        self.standing = self.standing.model_copy(update=change)

    def _put_first(self, order: Order) -> None:
        self.first = (*order.items, *(index for index in self.first if index not in set(order.items)))

    def _letter(self, index: int) -> str:
        """Empty outside the batch."""
        return self.states[index : index + 1].decode()

    def _set_try(self, index: int, take: int, generation: int, rounds: int, mode: str) -> None:
        if not self.takes:
            self.takes = bytearray(4 * self.batch.total)
        self.takes[4 * index : 4 * index + 4] = bytes((_FIRST + take, _FIRST + generation, _FIRST + rounds, ord(mode)))


class _Spending:
    """What the jobs of ended items used. A job that failed and went on tells all of it again when it ends."""

    def __init__(self, batch: Batch) -> None:
        self._firsts = [span.first for span in batch.spans]
        self._models = [span.model for span in batch.spans]
        self._sums: dict[str, list[int]] = {model: [0, 0] for model in self._models}
        self._failed: dict[int, tuple[int, int, int]] = {}

    def add(self, end: End) -> None:
        renders, gpu_ms = end.cost.renders, end.cost.gpu_ms
        generation, *before = self._failed.get(end.index, (-1, 0, 0))
        told = before if generation == end.generation else (0, 0)
        sums = self._sums[self._models[bisect_right(self._firsts, end.index) - 1]]
        sums[0] += renders - told[0]
        sums[1] += gpu_ms - told[1]
        if end.status is ItemStatus.FAILED:
            self._failed[end.index] = end.generation, renders, gpu_ms

    def by_model(self) -> tuple[tuple[str, int, int], ...]:
        return tuple((model, renders, gpu_ms) for model, (renders, gpu_ms) in self._sums.items())
