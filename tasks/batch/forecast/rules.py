"""When jobs of a load may begin and go on, and what they may use: what `due` of tasks/ledger/lua/batch.lua asks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tasks.batch.forecast.world import Load, Price, Purse, Sort, Spans, Used
from tasks.batch.terms import MILLION

Row = Mapping[str, str]
"""Fields of one of the three hashes that rule a job: see terms.lua."""
_NONE: Row = {}


class Rules:
    """`terms` are those of owners and models, by "owner:<name>" and "model:<name>"."""

    def __init__(self, now_ms: int, terms: Mapping[str, Row]) -> None:
        self._now_ms = now_ms
        self._terms = terms
        self._numbers: dict[str, int] = {}
        self.purses: list[Purse] = []

    def applied(self, load: Load, batch: Row, whose: str = "") -> Load:
        """The load under what is said of its batch, its owner and its model. `whose`: it is part of that batch."""
        owner = self._terms.get(f"owner:{load.owner}", _NONE)
        rows = (batch, owner, self._terms.get(f"model:{load.sort.model}", _NONE))
        spans = [self._spans(row) for row in rows]
        held = [span for span, row in zip(spans, rows, strict=True) if row.get("at_close") == "hold"]
        purses = (self._purse(f"batch:{whose or load.batch}", batch), self._purse(f"owner:{load.owner}", owner))
        deadline = batch.get("deadline_ms") if batch.get("by") == "1" else None
        return replace(
            load, windows=both(spans), runs=both(held), purses=tuple(n for n in purses if n is not None),
            price=self.price(load.sort), by=(int(deadline) - self._now_ms) / 1000 if deadline else None,
        )  # fmt: skip

    def price(self, sort: Sort) -> Price:
        row = self._terms.get(f"model:{sort.model}", _NONE)
        of_picture, of_hour = float(row.get("per_render") or 0), float(row.get("per_gpu_hour") or 0)
        return Price(int(sort.size.split("x")[2]), of_picture / MILLION, of_hour / MILLION / 3600)

    def _spans(self, row: Row) -> Spans | None:
        if not row.get("opens"):
            return None
        found = [tuple(map(int, span.split("-"))) for span in row["opens"].split()]
        return [
            ((opens - self._now_ms) / 1000, (closes - self._now_ms) / 1000)
            for opens, closes in found
            if closes > self._now_ms
        ]

    def _purse(self, name: str, row: Row) -> int | None:
        """The index of a budget; None: there is none."""
        limits = _used(row, "limit")
        if not any(limits):
            return None
        if name not in self._numbers:
            self._numbers[name] = len(self.purses)
            self.purses.append(Purse(limits, _used(row, "spent")))
        return self._numbers[name]


def _used(row: Row, what: str) -> Used:
    pictures, gpu_ms, money = (float(row.get(f"{what}_{unit}") or 0) for unit in ("renders", "gpu_ms", "money"))
    return Used(pictures, gpu_ms / 1000, money / MILLION)


def both(all_spans: Sequence[Spans | None]) -> Spans | None:
    """When all of them are open; None: always."""
    found: Spans | None = None
    for spans in all_spans:
        if spans is None:
            continue
        if found is None:
            found = spans
            continue
        pairs = [(max(a, c), min(b, d)) for a, b in found for c, d in spans]
        found = sorted(pair for pair in pairs if pair[0] < pair[1])
    return found
