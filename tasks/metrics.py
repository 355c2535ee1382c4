"""What workers and the reconciler count for Prometheus. The API exports what the ledger knows (api/metrics.py).

A worker's children count into memory-mapped files of their own, which survive them; its parent adds them up when
it is scraped. For that PROMETHEUS_MULTIPROC_DIR must be set before this module is imported (`worker.cli` does).
No label takes a value from users: queues are those that workers serve.
"""

import math
from collections.abc import Iterable, Mapping
from os import register_at_fork

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from director.errors import Actor
from director.seats import STEP_KINDS
from director.state import State
from director.types import Trajectory
from tasks.attempt import Attempt
from tasks.entries import status_of
from tasks.notices.courier import OUTCOMES
from tasks.retention import Swept
from tasks.settings import BadSettings, Settings
from tasks.space import Look
from tasks.watch import Watch

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 450, 600, 900, 1800)


class StepMeter:
    """Counts every try of a step. Safe before a fork: each child counts for itself."""

    def __init__(self, registry: CollectorRegistry, max_step_s: Mapping[str, float]) -> None:
        self._seconds = Histogram(
            "visiondirector_step_seconds", "Seconds of a try of a step, by how it ended",
            ["kind", "end"], buckets=BUCKETS, registry=registry,
        )  # fmt: skip
        self._failures = Counter(
            "visiondirector_step_failures", "Tries that failed: where, who has to act, and what became of the step",
            ["kind", "boundary", "actor", "then"], registry=registry,
        )  # fmt: skip
        self._renders = Counter("visiondirector_renders", "Pictures drawn", ["queue"], registry=registry)
        self._gpu = Counter(
            "visiondirector_gpu_seconds", "Seconds in which an editor drew on its GPU", registry=registry
        )
        self._work = Counter(
            "visiondirector_seat_work", "What seats count: denoising steps, tokens, calls", ["what"], registry=registry
        )
        self._ended = Counter(
            "visiondirector_jobs_ended", "Jobs by how they ended", ["status", "stop"], registry=registry
        )
        self._goals = Counter("visiondirector_goals", "Goals of ended jobs", ["outcome"], registry=registry)
        longest = Gauge(
            "visiondirector_max_step_seconds", "A step that runs longer is killed",
            ["kind"], multiprocess_mode="max", registry=registry,
        )  # fmt: skip
        for kind, seconds in max_step_s.items():
            longest.labels(kind).set(seconds)
            # A series that is there before its first event: rate() would miss that otherwise.
            for actor in (Actor.SEAT, Actor.OPERATOR, Actor.OUTAGE):
                self._failures.labels(kind, STEP_KINDS[kind].seat.value, actor.value, "retry")
            self._failures.labels(kind, "store", Actor.OUTAGE.value, "retry")

    def observe(self, attempt: Attempt) -> None:
        kind = attempt.claim.kind
        self._seconds.labels(kind, attempt.outcome).observe(attempt.seconds or 0)
        if attempt.error:
            then = attempt.refused.value if attempt.refused else "untold"
            self._failures.labels(kind, attempt.error.boundary, attempt.error.actor.value, then).inc()
        if attempt.renders:
            self._renders.labels(attempt.queue).inc(attempt.renders)
        for what, amount in attempt.counts.items():
            if what == "gpu_ms":
                self._gpu.inc(amount / 1000)
            else:
                self._work.labels(what).inc(amount)
        if attempt.after and attempt.after.stop:
            self._end(attempt.after)

    def _end(self, trajectory: Trajectory) -> None:
        stop = trajectory.stop
        assert stop, "it has ended"
        self._ended.labels(status_of(stop).value, stop.reason.value).inc()
        for outcome, goals in State.of(trajectory).counts.model_dump(exclude={"total"}).items():
            self._goals.labels(outcome).inc(goals)


class ReconcilerMeter(Watch):
    """Counts what the reconciler does, and says how much room there is."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._hints = Counter(
            "visiondirector_hints_resent", "Lost hints that were sent again", ["queue"], registry=registry
        )
        self._passes = Counter("visiondirector_reconciler_passes", "Passes, and whether all of it could be done",
                               ["whole"], registry=registry)  # fmt: skip
        for whole in ("yes", "no"):
            self._passes.labels(whole)
        self._notices = Counter(
            "visiondirector_notices", "Tries of deliveries to hooks: told, again (to be tried again), dead (given up)",
            ["outcome"], registry=registry,
        )  # fmt: skip
        for outcome in OUTCOMES:
            self._notices.labels(outcome)
        self._dead = Gauge(
            "visiondirector_notices_dead", "Deliveries that were given up and wait for a replay", registry=registry
        )
        self._sweeps = Counter(
            "visiondirector_gc_runs", "Nightly gc, and whether it came to its end", ["whole"], registry=registry
        )
        self._removed = Counter(
            "visiondirector_gc_removed", "Objects that the nightly gc removed", ["what"], registry=registry
        )
        self._removed_bytes = Counter("visiondirector_gc_bytes", "Bytes that it removed", registry=registry)
        about = "Room on a disk, in Redis or in the bucket: as far as it can be known"
        self._free = Gauge("visiondirector_space_free_bytes", f"{about}; free", ["of"], registry=registry)
        self._total = Gauge("visiondirector_space_bytes", f"{about}; in all", ["of"], registry=registry)
        self._needed = Gauge(
            "visiondirector_space_needed_bytes", "What the batches at work are likely to store; NaN: not known yet",
            registry=registry,
        )  # fmt: skip

    def passed(self, whole: bool) -> None:
        self._passes.labels("yes" if whole else "no").inc()

    def resent(self, queue: str, hints: int) -> None:
        self._hints.labels(queue).inc(hints)

    def noticed(self, outcome: str) -> None:
        self._notices.labels(outcome).inc()

    def dead_notices(self, number: int) -> None:
        self._dead.set(number)

    def swept(self, swept: Swept | None) -> None:
        self._sweeps.labels("yes" if swept else "no").inc()
        if swept:
            counts = {
                "jobs": len(swept.jobs), "batches": len(swept.batches), "pictures": swept.images, "blobs": swept.blobs,
                "notices": swept.notices,
            }  # fmt: skip
            for what, number in counts.items():
                self._removed.labels(what).inc(number)
            self._removed_bytes.inc(swept.bytes)

    def looked(self, look: Look) -> None:
        for space in look.spaces:
            self._free.labels(space.of).set(space.free)
            self._total.labels(space.of).set(space.total)
        self._needed.set(math.nan if look.needed is None else look.needed)


class WorkerMemory(Collector):
    """Resident bytes of this process and its children: what an operator's memory limit looks at."""

    def collect(self) -> Iterable[Metric]:
        own = psutil.Process()
        total = own.memory_info().rss
        for child in own.children(recursive=True):
            try:
                total += child.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        yield GaugeMetricFamily("visiondirector_worker_memory_bytes", "Resident memory, children included", value=total)


def serve(registry: CollectorRegistry, settings: Settings, port: int) -> None:
    """Answer scrapes of `registry` from a thread, for as long as this process lives. Raises BadSettings."""
    try:
        server, _ = start_http_server(port, settings.metrics_host, registry)
    except OSError as error:
        where = f"{settings.metrics_host}:{port}"
        raise BadSettings(f"metrics_port: can't listen on {where}: {error.strerror}", "choose a free port") from error
    # A child that outlives its parent for a moment must not keep the port from the next parent.
    register_at_fork(after_in_child=server.socket.close)


def serve_children(folder: str, settings: Settings, port: int) -> None:
    """Answer scrapes with the sum of what the children counted in `folder`."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)
    registry.register(WorkerMemory())
    serve(registry, settings, port)
