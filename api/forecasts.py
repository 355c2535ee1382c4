"""When batches will have ended, and how many cards a night takes: simulated from what the ledger measured."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from statistics import fmean

from api.forecast_schemas import BatchEta, Planning, PlanOut
from api.planned import ask_of, plan_out
from api.problems import invalid
from director.errors import StoreError
from tasks.batch.forecast.census import world_of
from tasks.batch.forecast.eta import Eta, forecast
from tasks.batch.forecast.plan import plan
from tasks.batch.shelf import Shelf
from tasks.batch.terms import ModelTerms
from tasks.batch.types import Batch, BatchStatus, Standing
from tasks.ledger.ledger import Ledger
from tasks.settings import Settings
from tasks.store import Corrupt, NotFound
from tasks.store.plain import Item

KEEP_S = 20.0
"""A forecast is made again after so long: it takes a third of a second."""
_RUNS_OF_MANY = 20
_MOST_KEPT = 1000
_FARTHEST_S = 366 * 86_400  # of a plan
_SAMPLE = 200  # pictures whose bytes are looked at


class Forecasts:
    """`settings` know the models' prices. `pictures` lists stored pictures, in the order of their hashes: the first
    ones are a sample of all.
    """

    def __init__(
        self, ledger: Ledger, shelf: Shelf, settings: Settings, pictures: Callable[[], Iterable[Item]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._ledger, self._shelf, self._pictures, self._clock = ledger, shelf, pictures, clock
        self._settings = settings
        self._kept: dict[str, tuple[float, BatchEta | None]] = {}
        self._busy = threading.Lock()

    def etas(self, standings: Sequence[Standing]) -> Mapping[str, BatchEta | None]:
        """Of those that go on; None where nobody knows. One simulation for all that are not known."""
        going = [one.batch for one in standings if one.status is BatchStatus.OPEN or one.counts.running]
        with self._busy:
            now = self._clock()
            old = [id for id in going if id not in self._kept or now - self._kept[id][0] > KEEP_S]
            if old:
                found = self._simulated(old, {one.batch: one.spent.money for one in standings})
                if len(self._kept) > _MOST_KEPT:
                    self._kept.clear()
                self._kept |= {id: (now, found.get(id)) for id in old}
            return {id: self._kept[id][1] for id in going if id in self._kept}

    def _simulated(self, ids: Sequence[str], spent: Mapping[str, float]) -> Mapping[str, BatchEta]:
        batches = dict[str, Batch]()
        for id in ids:
            with suppress(Corrupt, NotFound):
                batches[id] = self._shelf.load_batch(id)
        world = world_of(self._ledger, batches)
        runs = {} if len(ids) == 1 else {"runs": _RUNS_OF_MANY}
        found = forecast(world, set(batches), int(ids[0][:8], 16), **runs)
        return {id: self._out(eta, world.now, spent[id]) for id, eta in found.items()}

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
