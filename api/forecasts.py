"""When batches will have ended, and how many cards a night takes: simulated from what the ledger measured."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from statistics import fmean
from typing import NamedTuple

from api.forecast_schemas import BatchEta, Planning, PlanOut
from api.planned import ask_of, plan_out
from api.problems import invalid
from director.errors import StoreError
from tasks.batch.forecast.census import world_of
from tasks.batch.forecast.eta import Eta, forecast
from tasks.batch.forecast.plan import plan
from tasks.batch.shelf import Shelf
from tasks.batch.terms import ModelTerms, parsed_windows
from tasks.batch.types import Batch, BatchStatus, Standing
from tasks.batch.windows import instants
from tasks.ledger.ledger import Ledger
from tasks.ledger.types import Record
from tasks.settings import Settings
from tasks.store import Corrupt, NotFound
from tasks.store.plain import Item

KEEP_S = 20.0
"""A forecast is made again after so long: it takes a third of a second."""
PATIENCE_S = 10.0
"""Nobody waits longer for one, and for that of a job a fifth: then what was said before is said again, or nothing."""
SOON = "it is being worked out: ask again in a moment"
_SHARE, _SAVED_S = 0.25, 4.0
"""Of a core, for single jobs of which many may ask; and what may be saved of it."""
_RUNS_OF_MANY = 20
_MOST_KEPT = 1000
_LATE = "likely: with --by briefs draw less; fewer briefs, more cards or a later time help, too"
_LATE_BY = "likely, even with one picture a brief: fewer briefs, more cards or a later time help"
_FARTHEST_S = 366 * 86_400  # of a plan
_SAMPLE = 200  # pictures whose bytes are looked at
_SPENT = "its budget is likely to be spent before it has ended: --budget of `visiondirector batch patch` raises it"
_SHUT = "certain: its windows do not open before then; a later time or another window helps"
Make = Callable[[Sequence[str]], Mapping[str, BatchEta]]
"""Forecasts by id; those that have none are left out."""


class _Kept(NamedTuple):
    """`made` by the clock; `order`: the last order of the batch then. Another one makes it old."""

    made: float
    eta: BatchEta | None
    order: int


class Forecasts:
    """`settings` know the models' prices. `pictures` lists stored pictures, in the order of their hashes: the first
    ones are a sample of all. One thread makes forecasts, one after the other.
    """

    def __init__(
        self, ledger: Ledger, shelf: Shelf, settings: Settings, pictures: Callable[[], Iterable[Item]],
        clock: Callable[[], float] = time.monotonic, patience_s: float = PATIENCE_S,
    ) -> None:  # fmt: skip
        self._ledger, self._shelf, self._pictures, self._clock = ledger, shelf, pictures, clock
        self._settings, self._patience_s = settings, patience_s
        self._kept: dict[str, _Kept] = {}
        self._maker, self._turn = ThreadPoolExecutor(1, "forecast"), threading.Lock()
        self._making: Future[None] | None = None
        self._purse, self._paid = _SAVED_S, clock()  # seconds of CPU, and when it was filled last

    def etas(self, standings: Sequence[Standing]) -> Mapping[str, BatchEta | None]:
        """Of those that go on; None where nobody knows. One simulation for all that are not known. Those of which
        nothing is known yet are left out: also where the ledger, which told of the batches, does not answer now."""
        going = {one.batch: one.order for one in standings if one.status is BatchStatus.OPEN or one.counts.running}
        spent = {one.batch: one.spent.money for one in standings}
        with suppress(StoreError):
            self._made(going, lambda ids: self._simulated(ids, spent), self._patience_s)
        kept = self._kept  # another thread may begin a new one
        by_id = {one.batch: one for one in standings}
        return {id: _against_deadline(kept[id].eta, by_id[id], time.time()) for id in going if id in kept}

    def of_job(self, record: Record, doing: str) -> tuple[BatchEta | None, str]:
        """When a job that goes on will have ended; or None, and why that is not known. `doing` is what it does now."""
        if record.cancel or record.paused:
            return None, doing
        self._made({record.job: 0}, lambda _: self._simulated_job(record), self._patience_s / 5, self._may_pay)
        kept = self._kept.get(record.job)
        if kept is None:
            return None, SOON
        return kept.eta, "" if kept.eta else doing

    def _made(
        self, wanted: Mapping[str, int], make: Make, patience_s: float, may: Callable[[], bool] = lambda: True
    ) -> None:
        """Let what is old be made anew, unless that takes too long. `wanted` has the last order of each. Raises what
        `make` does."""
        end = time.monotonic() + patience_s
        while old := self._old(wanted):
            with self._turn:
                if self._making is None or self._making.done():
                    if not may():
                        return
                    self._making = self._maker.submit(self._make, old, make)
                making = self._making
            try:
                making.result(max(0.0, end - time.monotonic()))
            except TimeoutError:
                return

    def _old(self, wanted: Mapping[str, int]) -> Mapping[str, int]:
        kept, now = self._kept, self._clock()
        return {
            id: order
            for id, order in wanted.items()
            if id not in kept or now - kept[id].made > KEEP_S or kept[id].order < order
        }

    def _make(self, orders: Mapping[str, int], make: Make) -> None:
        found, now = make([*orders]), self._clock()
        kept = self._kept if len(self._kept) <= _MOST_KEPT else {}
        self._kept = kept | {id: _Kept(now, found.get(id), order) for id, order in orders.items()}

    def _simulated(self, ids: Sequence[str], spent: Mapping[str, float]) -> Mapping[str, BatchEta]:
        world = world_of(self._ledger, self._batches(ids))
        runs = {} if len(ids) == 1 else {"runs": _RUNS_OF_MANY}
        found = forecast(world, set(ids), int(ids[0][:8], 16), **runs)
        return {id: self._out(eta, world.now, spent[id]) for id, eta in found.items()}

    def _simulated_job(self, record: Record) -> Mapping[str, BatchEta]:
        began = time.thread_time()
        world = world_of(self._ledger, self._batches([record.batch] if record.batch else ()), record.job)
        found = forecast(world, {record.job}, int(record.job[:8], 16), _RUNS_OF_MANY)
        self._purse -= time.thread_time() - began
        price, cost = self._settings.models.get(record.model, ModelTerms()), record.cost
        spent = cost.renders * price.render + cost.gpu_ms * price.gpu_hour / 3_600_000
        return {id: self._out(eta, world.now, spent) for id, eta in found.items()}

    def _batches(self, ids: Iterable[str]) -> Mapping[str, Batch]:
        batches = dict[str, Batch]()
        for id in ids:
            with suppress(Corrupt, NotFound):
                batches[id] = self._shelf.load_batch(id)
        return batches

    def _may_pay(self) -> bool:
        """Whether the CPU that single jobs may take is not used up."""
        now = self._clock()
        self._purse = min(_SAVED_S, self._purse + _SHARE * (now - self._paid))
        self._paid = now
        return self._purse > 0

    def _out(self, eta: Eta, now: float, spent: float) -> BatchEta:
        money = spent + eta.money if eta.money or spent else None
        return BatchEta(
            p10=now + eta.p10, p50=now + eta.p50, p90=now + eta.p90, limits=eta.limits,
            knows_little_of=list(eta.knows_little_of), money=money,
            currency=self._settings.currency if money is not None else "",
        )  # fmt: skip

    # --- plan -------------------------------------------------------------------------------------

    def plan(self, asked: Planning, owner: str) -> PlanOut:
        """Behind what is at work and waits now. Raises Problem 422, StoreError, and Wiped."""
        world = world_of(self._ledger, {})
        if asked.by <= world.now:
            raise invalid("by", "is a time that has passed", "write one to come, in seconds since the epoch")
        if asked.by - world.now > _FARTHEST_S:  # each hour of it is simulated
            raise invalid("by", "is more than a year away", "name a time within a year")
        ask = ask_of(asked, owner, world.now)
        found = plan(world, ask, seed=1, fixed=asked.cards or 0)
        told = plan_out(found, asked, world.now, ask.sort in world.measured, self._picture_bytes())
        terms = self._settings.models.get(asked.editor, ModelTerms())
        if not terms.gpu_hour and not terms.render:
            return told
        money = told.gpu_hours * terms.gpu_hour + told.renders * terms.render
        priced = {"card_price": terms.gpu_hour or None, "money": money, "currency": self._settings.currency}
        return told.model_copy(update=priced)

    def _picture_bytes(self) -> float | None:
        """Of those that are stored; None: there is none, or storage is out of reach."""
        with suppress(StoreError):
            sizes = [item.size for item in islice(self._pictures(), _SAMPLE)]
            return fmean(sizes) if sizes else None
        return None


def _against_deadline(eta: BatchEta | None, standing: Standing, now: float) -> BatchEta | None:
    terms = standing.terms
    if not eta or not terms.deadline or standing.late or eta.p50 <= terms.deadline:
        return eta
    shut = terms.windows and not instants(
        parsed_windows(terms.windows), round(1000 * now), round(1000 * terms.deadline)
    )
    return eta.model_copy(update={"late": _SHUT if shut else _LATE_BY if terms.by else _LATE})


def why_unknown(standing: Standing, eta: BatchEta | None) -> str:
    """Of a batch that goes on, and that nothing bars: "" where nobody knows."""
    going = standing.status is BatchStatus.OPEN and standing.counts.waiting + standing.counts.running > 0
    return _SPENT if going and not eta and standing.terms.budget else ""
