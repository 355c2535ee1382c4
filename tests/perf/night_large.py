"""A night of a million items: what Redis and the dispatcher keep, and how long picks and orders take. See night.py."""

import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tasks.batch.recall import Recalled, standing_of
from tasks.batch.types import Batch, ItemStatus
from tasks.store import FolderStore
from tests.perf.stage import MODEL, Stage, stage
from tests.support.nights import Cycles

PICKS, FEW = 200, 10_000
DRAWERS, OTHERS = 42, 32
"""About 64 in flight."""
_STEPS = 2  # of an item: a plan and a render


class ForgetfulStore(FolderStore):
    """A folder, but jobs are kept in memory, and until they are not live: a million files are not what is measured."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._jobs: dict[str, dict[str, bytes]] = {}

    def put(self, key: str, data: bytes) -> None:
        if job := _job_of(key):
            self._jobs.setdefault(job, {})[key] = data
        else:
            super().put(key, data)

    def get(self, key: str) -> bytes:
        job = _job_of(key)
        return self._jobs[job][key] if job else super().get(key)

    def list(self, prefix: str, after: str = "") -> list[str]:
        if job := _job_of(prefix):
            return sorted(key for key in self._jobs.get(job, ()) if key.startswith(prefix) and key > after)
        return super().list(prefix, after)

    def delete(self, key: str) -> None:
        if job := _job_of(key):
            self._jobs.pop(job, None)
        else:
            super().delete(key)


def _job_of(key: str) -> str:
    room, _, rest = key.partition("/")
    return rest.partition("/")[0] if room in ("jobs", "live") else ""


def large(seed: int, items: int, batches: int, drawn: int) -> dict[str, Any]:
    """`drawn` of so many items are drawn by a night, each batch of another owner; then orders."""
    row: dict[str, Any] = {"items": items, "batches": batches}
    with stage(seed, ForgetfulStore) as made:
        few = _few(made, batches)
        before = picks_ms(made)
        for batch in few:
            made.batches.order(batch.id, "cancel")
        _close(made)
        began = time.perf_counter()
        many = [made.start(f"b{n}", items // batches, f"owner-{n}") for n in range(batches)]
        row |= {"begun_in_s": time.perf_counter() - began}
        now = picks_ms(made)
        row |= {f"four_picks_ms_of_{FEW}": before, "four_picks_ms": now, "ratio": now / before}
        row |= _night(made, drawn, len(many))
        row |= {"four_picks_ms_after": picks_ms(made)}
        row |= _orders(made, many)
        row |= {"redis_peak_MB": _redis_mb(made, "used_memory_peak")}
    return row


def _few(made: Stage, batches: int) -> list[Batch]:
    each = max(1, FEW // batches)
    return [made.start(f"few{n}", each, f"owner-{n}") for n in range(batches)]


def _close(made: Stage) -> None:
    for part in made.dispatcher.parts():
        part()
    made.batches_made.clear()


def picks_ms(made: Stage) -> float:
    """The median of four picks in one call; they are put back."""
    taken = list[float]()
    for _ in range(PICKS):
        began = time.perf_counter()
        picks = made.batches.ledger.pick(MODEL, 4, 30_000)
        taken.append(1000 * (time.perf_counter() - began))
        assert len(picks) == 4
        for pick in picks:
            made.batches.ledger.put_back(pick)
    return statistics.median(taken)


def _night(made: Stage, drawn: int, batches: int) -> dict[str, Any]:
    process, ended, most = psutil.Process(), 0, 0
    rss: list[float] = []

    def one(_: object) -> None:
        nonlocal ended
        ended += 1

    def over() -> bool:
        nonlocal most
        if ended >= len(rss) * drawn // 4:
            gc.collect()
            rss.append(process.memory_info().rss / 1e6)
            print(f"  {ended:,} of {drawn:,} drawn, {batches} batches, {rss[-1]:.0f} MB", flush=True)
        most = max(most, made.batches.ledger.lanes([MODEL])[0].flying)
        return ended >= drawn

    began, start = time.perf_counter(), made.clock.s
    work = Cycles(made.seed, last=_STEPS, pace=0.25)
    made.night(DRAWERS, OTHERS, work, ended=one, keep_spans=False).run(over)
    return {
        "drawn": ended, "night_h": (made.clock.s - start) / 3600, "real_s": time.perf_counter() - began,
        "in_flight_most": most, "redis_MB_after": _redis_mb(made, "used_memory"),
        "dispatcher_MB": " ".join(f"{mb:.0f}" for mb in rss),
    }  # fmt: skip


def _orders(made: Stage, many: list[Batch]) -> dict[str, Any]:
    def each(kind: Any, **what: object) -> float:
        return _seconds(lambda: [made.batches.order(batch.id, kind, **what) for batch in many])

    row = {"pause_all_s": each("pause"), "resume_all_s": each("resume"), "cancel_all_s": each("cancel")}
    failed = min(100_000, len(many) * many[0].total)
    batch = made.stored("failed", failed, "alice")
    made.shelf.put_batch(batch)
    made.batches.ledger.add(batch, Recalled(standing_of(batch), "x" * failed))
    retried = _seconds(lambda: made.batches.order(batch.id, "retry", what=(ItemStatus.FAILED,)))
    return {**row, "retried": made.waiting(batch), "retry_s": retried}


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _redis_mb(made: Stage, what: str) -> float:
    return int(made.redis.info("memory")[what]) / 1e6
