"""The metrics of nights: how batches stand, what budgets are used, when it will have ended, what hooks were not told.

Owners and models are those of the settings, so labels are bounded.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.forecasts import KEEP_S, Forecasts
from director.errors import DirectorError, StoreError
from tasks.batch.ledger import BatchLedger
from tasks.batch.night import NightState, night_of
from tasks.ledger.ledger import Ledger

_BATCHES = 50  # the newest, of which a forecast is made
_OLD_S = 10 * KEEP_S


class NightEta:
    """When the last of the batches at work is likely to end. It never waits: storage may hang, and scrapes must not."""

    def __init__(self, ledger: Ledger, forecasts: Forecasts, clock: Callable[[], float] = time.monotonic) -> None:
        self._batches, self._forecasts, self._clock = BatchLedger(ledger), forecasts, clock
        self._found: float | None = None
        self._at = -_OLD_S
        self._making: threading.Thread | None = None

    def last_known(self) -> float | None:
        """Seconds since the epoch, of half of the simulated nights; None: nothing is at work, or nobody knows."""
        now = self._clock()
        if now - self._at > KEEP_S and not (self._making and self._making.is_alive()):
            self._making = threading.Thread(target=self._make, name="eta", daemon=True)
            self._making.start()
        return self._found if now - self._at <= _OLD_S else None

    def wait(self) -> None:
        """Until the forecast that is being made is there."""
        if self._making:
            self._making.join()

    def _make(self) -> None:
        try:
            known = self._forecasts.etas(self._batches.listed(None, _BATCHES))
        except DirectorError:
            return
        self._found = max((eta.p50 for eta in known.values() if eta), default=None)
        self._at = self._clock()


class NightCollector(Collector):
    """Read from the ledger at each scrape; nothing while that is out of reach: an unknown number is not zero."""

    def __init__(self, ledger: Ledger, eta: Callable[[], float | None]) -> None:
        self._ledger, self._eta = ledger, eta

    def collect(self) -> Iterable[Metric]:
        try:
            night = night_of(self._ledger)
        except StoreError:
            return
        yield _labelled("batches", "Batches at work, by how they stand", ["standing"], _rows(night.batches))
        yield _plain("batches_late", "Batches at work whose deadline has passed", night.late)
        yield _plain("batch_items_left", "Items of batches that have not ended", night.left)
        ended = CounterMetricFamily(
            "visiondirector_batch_items_ended", "Items that ended and had a job", labels=["outcome"]
        )
        for outcome, number in night.items.items():
            ended.add_metric([outcome], number)
        yield ended
        yield from _budgets(night)
        windows = [((window.kind, window.name), float(window.open)) for window in night.windows]
        yield _labelled("window_open", "1 while the windows of an owner or model are open", ["kind", "name"], windows)
        yield _plain("notices_untold", "Deliveries to hooks that have not ended", night.untold)
        if (eta := self._eta()) is not None:
            yield _plain("night_eta_timestamp", "When the last batch at work is likely to end (p50)", eta)


def _budgets(night: NightState) -> Iterable[Metric]:
    about = "The largest share of a batch's budget that is used, of batches at work"
    if night.budget is not None:
        yield _plain("batch_budget_used_ratio", about, night.budget)
    owners = [((used.owner,), used.share) for used in night.owners]
    yield _labelled("owner_budget_used_ratio", "The share of an owner's budget that is used", ["owner"], owners)


def _rows(numbers: Mapping[str, int]) -> list[tuple[tuple[str, ...], float]]:
    return [((name,), number) for name, number in numbers.items()]


def _plain(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"visiondirector_{name}", about, value=value)


def _labelled(name: str, about: str, labels: list[str], rows: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    family = GaugeMetricFamily(f"visiondirector_{name}", about, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family
