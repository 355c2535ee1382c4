"""The metrics of the API: requests, readiness, and the state of the ledger. They need a token with the scope operate.

No label takes an unbounded value: users choose the names of editor models, and so of queues.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from api.night_metrics import NightCollector
from api.routes import ApiState, SomeCaller
from director.errors import StoreError
from tasks.ledger.ledger import Ledger
from tasks.ledger.types import Hold, QueueDepth, SickWorker
from tasks.tokens import Scope

MOST_QUEUES = 20
"""Of the queues without a worker so many have a label of their own, the fullest first; the others are `other`."""
OTHER = "other"

router = APIRouter()
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


@router.get("/metrics", include_in_schema=False)
def metrics(state: ApiState, caller: SomeCaller, request: Request) -> Response:
    """For Prometheus."""
    caller.check(Scope.OPERATE)
    registry = CollectorRegistry()
    registry.register(request.app.state.requests.seconds)
    registry.register(LedgerCollector(state.service.ledger, state.checks))
    registry.register(NightCollector(state.service.ledger, state.night_eta.last_known))
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), media_type=content_type)


class RequestMetrics:
    """Counts requests by route, never by path: paths hold ids."""

    def __init__(self) -> None:
        self.seconds = Histogram(
            "visiondirector_api_seconds", "Seconds until the answer started (an event stream continues after that)",
            ["method", "route", "status"], buckets=_BUCKETS, registry=None,
        )  # fmt: skip

    def observe(self, scope: Mapping[str, Any], status: int, seconds: float) -> None:
        route: str = getattr(scope.get("route"), "path_format", "none")
        method = scope["method"] if scope["method"] in _METHODS else OTHER
        self.seconds.labels(method, route, status).observe(seconds)


class LedgerCollector(Collector):
    """The state of queues and dead letters, read from the ledger at each scrape by a few short scripts.

    While the ledger is out of reach only readiness is exported: an unknown number is not zero.
    """

    def __init__(self, ledger: Ledger, checks: Mapping[str, Callable[[], bool]]) -> None:
        self._ledger = ledger
        self._checks = checks

    def collect(self) -> Iterable[Metric]:
        ready = {part: float(check()) for part, check in self._checks.items()}
        yield _gauge("ready", "1 while this part answers the API, else 0", "part", ready)
        try:
            serving, depths, tallies = self._ledger.served(), self._ledger.depths(), self._ledger.tallies()
            holds, sick, broken = self._ledger.holds(), self._ledger.sick_workers(), self._ledger.broken()
        except StoreError:
            return
        yield from _queues(bounded(depths, serving), serving, tallies.dead)
        yield from _health(holds, sick)
        yield from _records(broken, sum(tallies.set_aside.values()))
        for name, about, numbers in (
            ("lease_deaths", "Workers whose lease expired during a step", tallies.lease_deaths),
            ("dead_letters", "Jobs that failed after their last attempt", tallies.dead_letters),
        ):
            # A series starts at 0: rate() would miss the first event otherwise.
            counted = {**dict.fromkeys(serving, 0), **_largest(numbers)}
            yield _filled(CounterMetricFamily(f"visiondirector_{name}", about, labels=["queue"]), counted)


def _queues(depths: list[QueueDepth], serving: Mapping[str, list[str]], dead: int) -> Iterable[Metric]:
    columns: dict[str, tuple[str, Callable[[QueueDepth], float]]] = {
        "waiting": ("Jobs that wait for a worker", lambda depth: depth.waiting),
        "leased": ("Jobs that a worker holds", lambda depth: depth.leased),
        "delayed": ("Jobs that wait before another try", lambda depth: depth.delayed),
        "unhinted": ("Jobs that wait and have no message in the broker yet", lambda depth: depth.unhinted),
        "oldest_hint_seconds": ("Age of the oldest message of a waiting job", lambda depth: depth.oldest_ms / 1000),
        "workers": ("Workers that serve the queue", lambda depth: len(serving.get(depth.queue, ()))),
    }
    for name, (about, number) in columns.items():
        yield _gauge(f"queue_{name}", about, "queue", {depth.queue: number(depth) for depth in depths})
    seats: dict[str, set[str]] = {}  # an editor that serves two models counts once
    for queue, workers in serving.items():
        seats.setdefault(queue.partition(".")[0], set()).update(workers)
    sizes = {seat: len(workers) for seat, workers in sorted(seats.items())}
    yield _gauge("workers", "Worker programs that serve a seat", "seat", sizes)
    standing = {
        "queued": sum(depth.waiting + depth.delayed for depth in depths),
        "running": sum(depth.leased for depth in depths),
        "failed": dead,
    }
    yield _gauge("jobs", "Jobs that have not ended, and dead letters", "status", standing)


def _health(holds: Sequence[Hold], sick: Iterable[SickWorker]) -> Iterable[Metric]:
    """What is held and who is in quarantine. A queue or a worker comes here only when a worker of ours failed."""
    about = "Jobs that wait on a queue whose server or model is away"
    held = GaugeMetricFamily("visiondirector_queue_held", about, labels=["queue", "actor"])
    for hold in holds[:MOST_QUEUES]:
        held.add_metric([hold.queue, hold.actor.value], hold.waiting)
    yield held
    out = [one.worker for one in sick if one.quarantined_ms]
    yield GaugeMetricFamily("visiondirector_workers_quarantined", "Workers that take no steps", value=len(out))
    named = dict.fromkeys(out[:MOST_QUEUES], 1)
    yield _gauge("worker_quarantined", "1 for a worker that takes no steps", "worker", named)


def _records(broken: Sequence[str], set_aside: int) -> Iterable[Metric]:
    """Jobs whose record in the ledger could not be used. Mostly the reconciler enters them again at once."""
    about = "Jobs whose record was set aside and that are not entered again"
    yield GaugeMetricFamily("visiondirector_records_broken", about, value=len(broken))
    about = "Records of jobs that could not be used and were set aside"
    yield CounterMetricFamily("visiondirector_records_set_aside", about, value=set_aside)


def _gauge(name: str, about: str, label: str, values: Mapping[str, float]) -> Metric:
    return _filled(GaugeMetricFamily(f"visiondirector_{name}", about, labels=[label]), values)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[str, float]) -> Metric:
    """The family with a series for each value of its one label."""
    for label, value in values.items():
        family.add_metric([label], value)
    return family


def bounded(depths: Iterable[QueueDepth], serving: Mapping[str, object]) -> list[QueueDepth]:
    """Every queue with a worker, the fullest queues without one, and the sum of the others."""
    known = {depth.queue: depth for depth in depths}
    served = [known.get(queue) or QueueDepth(queue=queue, waiting=0, leased=0) for queue in sorted(serving)]
    unserved = [depth for depth in known.values() if depth.queue not in serving and _jobs_on(depth)]
    unserved.sort(key=lambda depth: (-_jobs_on(depth), depth.queue))
    rest = unserved[MOST_QUEUES:]
    if not rest:
        return [*served, *unserved]
    sums = {name: sum(getattr(depth, name) for depth in rest) for name in ("waiting", "leased", "delayed", "unhinted")}
    other = QueueDepth(queue=OTHER, oldest_ms=max(depth.oldest_ms for depth in rest), **sums)
    return [*served, *unserved[:MOST_QUEUES], other]


def _jobs_on(depth: QueueDepth) -> int:
    return depth.waiting + depth.leased + depth.delayed


def _largest(numbers: Mapping[str, int]) -> dict[str, int]:
    ordered = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(number for _, number in ordered[MOST_QUEUES:])
    return dict(ordered[:MOST_QUEUES]) | ({OTHER: rest} if rest else {})
