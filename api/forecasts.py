"""When batches will have ended, and how many cards a night takes: simulated from what the ledger measured."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from statistics import fmean

from api.forecast_schemas import BatchEta, CardsChance, Planning, PlanOut
from director.errors import StoreError
from director.types import LoopSettings
from tasks.batch.forecast.census import world_of
from tasks.batch.forecast.eta import Eta, forecast
from tasks.batch.forecast.plan import Ask, Plan, plan
from tasks.batch.forecast.world import Sort
from tasks.batch.shelf import Shelf
from tasks.batch.types import BatchStatus, Standing
from tasks.entries import size_of
from tasks.ledger.ledger import Ledger
from tasks.store import Corrupt, NotFound
from tasks.store.plain import Item

KEEP_S = 20.0
"""A forecast is made again after so long: it takes a third of a second."""
_RUNS_OF_MANY = 20
_MOST_KEPT = 1000
_SAMPLE = 200  # pictures whose bytes are looked at
_BYTES_OF_PIXEL = 1.5  # of a PNG, where none is stored yet
_STEP_BYTES = 25_000  # a snapshot and what is written beside it
_STEPS_OF_RENDER = 4


class Forecasts:
    """`pictures` lists stored pictures, in the order of their hashes: the first ones are a sample of all."""

    def __init__(
        self, ledger: Ledger, shelf: Shelf, pictures: Callable[[], Iterable[Item]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._ledger, self._shelf, self._pictures, self._clock = ledger, shelf, pictures, clock
        self._kept: dict[str, tuple[float, BatchEta | None]] = {}
        self._busy = threading.Lock()

    def etas(self, standings: Sequence[Standing]) -> Mapping[str, BatchEta | None]:
        """Of those that go on; None where nobody knows. One simulation for all that are not known."""
        going = [one.batch for one in standings if one.status is BatchStatus.OPEN or one.counts.running]
        with self._busy:
            now = self._clock()
            old = [id for id in going if id not in self._kept or now - self._kept[id][0] > KEEP_S]
            if old:
                found = self._simulated(old)
                if len(self._kept) > _MOST_KEPT:
                    self._kept.clear()
                self._kept |= {id: (now, found.get(id)) for id in old}
            return {id: self._kept[id][1] for id in going if id in self._kept}

    def _simulated(self, ids: Sequence[str]) -> Mapping[str, BatchEta]:
        batches = {}
        for id in ids:
            with suppress(Corrupt, NotFound):
                batches[id] = self._shelf.load_batch(id)
        world = world_of(self._ledger, batches)
        runs = {} if len(ids) == 1 else {"runs": _RUNS_OF_MANY}
        found = forecast(world, set(batches), int(ids[0][:8], 16), **runs)
        return {id: _out(eta, world.now) for id, eta in found.items()}

    # --- plan -------------------------------------------------------------------------------------

    def plan(self, asked: Planning, owner: str) -> PlanOut:
        """Behind what is at work and waits now. Raises StoreError, and Wiped."""
        settings = asked.settings()
        world = world_of(self._ledger, {})
        sort = Sort(settings.editor, size_of(settings))
        most = settings.rounds * (2 if settings.adaptive and settings.candidates > 2 else 1)
        ask = Ask(asked.briefs, asked.goals, sort, max(1.0, asked.by - world.now), most, owner)
        measured = world.measured.get(sort)
        found = plan(world, ask, seed=1, fixed=asked.cards or 0)
        return plan_out(found, asked, settings, world.now, measured is not None, self._bytes_of(settings))

    def _bytes_of(self, settings: LoopSettings) -> float:
        """Of a picture, by those that are stored."""
        with suppress(StoreError):
            if sizes := [item.size for item in islice(self._pictures(), _SAMPLE)]:
                return fmean(sizes)
        return settings.width * settings.height * _BYTES_OF_PIXEL


def plan_out(
    found: Plan, asked: Planning, settings: LoopSettings, now: float, measured: bool, picture_bytes: float
) -> PlanOut:
    pictures = found.renders * settings.candidates / (2 if settings.adaptive and settings.candidates > 2 else 1)
    disk = pictures * picture_bytes + found.renders * _STEPS_OF_RENDER * _STEP_BYTES
    return PlanOut(
        briefs=asked.briefs, goals=asked.goals, by=asked.by, editor=settings.editor, cards=found.cards,
        around=[
            CardsChance(cards=one.cards, chance=one.chance, p50=now + one.p50, p90=now + one.p90, limits=one.limits)
            for one in found.around
        ],
        limits=found.limits, gpu_hours=found.busy_hours, card_hours=found.card_hours, renders=round(pictures),
        disk_bytes=round(disk), measured=measured, knows_little_of=list(found.knows_little_of),
    )  # fmt: skip


def _out(eta: Eta, now: float) -> BatchEta:
    return BatchEta(
        p10=now + eta.p10, p50=now + eta.p50, p90=now + eta.p90, limits=eta.limits,
        knows_little_of=list(eta.knows_little_of),
    )  # fmt: skip
