"""The ledger in one process: for tests, and for `direct` runs that need no server.

It behaves as tasks/ledger/redis_ledger.py does; tests/contracts runs the same suite over both, and a
model-based test compares them call by call.
"""

import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields

from director.errors import StoreError
from tasks.jobs import ACTIVE, JobStatus
from tasks.ledger.memory_row import Row
from tasks.ledger.types import (
    CONTROL,
    EVERY,
    REMOVING_MS,
    Claim,
    CommitResult,
    Cursor,
    Entry,
    FailResult,
    Hint,
    Limits,
    Next,
    Page,
    Query,
    QueueDepth,
    Record,
    Refusal,
    Removing,
    Renewal,
    Tallies,
    Wiped,
    check_ending,
)
from tasks.summary import NO_COST, NO_GOALS, Cost, GoalSummary


def _wall_ms() -> int:
    return int(time.time() * 1000)


_SHARED = [f.name for f in fields(Row) if f.name in Record.model_fields]


@dataclass
class _Memory:
    """Everything that a wipe takes away."""

    rows: dict[str, Row] = field(default_factory=dict[str, Row])
    queues: set[str] = field(default_factory=set[str])
    unfiled: set[str] = field(default_factory=set[str])
    serving: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    admitted: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    removing: dict[str, int] = field(default_factory=dict[str, int])
    deaths: Counter[str] = field(default_factory=Counter[str])
    letters: Counter[str] = field(default_factory=Counter[str])
    epoch: str | None = None
    lock: tuple[str, int] | None = None


class MemoryLedger:
    """`Ledger` in memory, safe for threads. `clock` gives milliseconds; a new one has no epoch yet."""

    def __init__(self, limits: Limits | None = None, clock: Callable[[], int] = _wall_ms) -> None:
        self.limits = limits or Limits()
        self._clock = clock
        self._mutex = threading.RLock()
        self._memory = _Memory()

    def wipe(self) -> None:
        """Forget everything, as a Redis server without its data does."""
        with self._mutex:
            self._memory = _Memory()

    # --- jobs -----------------------------------------------------------------------------------

    def admit(self, owner: str, job: str, most: int, ttl_ms: int) -> bool:
        with self._mutex:
            memory, now = self._serving(), self._clock()
            memory.admitted = {key: until for key, until in memory.admitted.items() if until > now}
            mine = {row.job for row in memory.rows.values() if row.owner == owner and row.status in ACTIVE}
            mine |= {other for (whose, other) in memory.admitted if whose == owner}
            if job not in mine and len(mine) >= most:
                return False
            if job not in mine:
                memory.admitted[owner, job] = now + ttl_ms
            return True

    def create(self, entry: Entry) -> bool:
        with self._mutex:
            if self._serving().removing.get(entry.job, 0) > self._clock():
                raise Removing("this job is being deleted", "try again in a moment")
            return self._insert(entry, hinted_ms=self._clock())

    def get(self, job: str) -> Record | None:
        with self._mutex:
            row = self._memory.rows.get(job)
            if row is None:
                self._serving()
            return self._view(row) if row else None

    def jobs(self, query: Query = EVERY, limit: int = 100, behind: Cursor | None = None) -> Page:
        with self._mutex:
            rows = [row for row in self._serving().rows.values() if row.matches(query)]
            rows = [row for row in rows if behind is None or row.place < behind]
            rows.sort(key=lambda row: row.place, reverse=True)
            found: list[Record] = []
            for n, row in enumerate(rows, 1):
                record = self._view(row)
                if record.status in (query.statuses or JobStatus) and set(query.labels) <= set(row.labels):
                    found.append(record)
                if len(found) == limit:
                    return Page(found, row.place if n < len(rows) else None)
            return Page(found, None)

    # --- steps ----------------------------------------------------------------------------------

    def claim(self, job: str, n: int, holder: str) -> Claim | Refusal:
        with self._mutex:
            row = self._serving().rows.get(job)
            if row is None:
                return Refusal.UNKNOWN
            if refusal := self._refusal(row, n):
                return refusal
            row.status, row.holder, row.nonce = JobStatus.RUNNING, holder, secrets.token_hex(16)
            row.lease_ms = self._clock() + self.limits.lease_ttl_ms
            row.attempts += 1
            return Claim(
                job=job,
                n=n,
                nonce=row.nonce,
                kind=row.kind,
                snapshot=row.snapshot,
                created_ms=row.created_ms,
                cancel=row.cancel,
                attempt=row.attempts,
                last_death=row.died,
            )

    def renew(self, job: str, n: int, nonce: str) -> Renewal:
        with self._mutex:
            row = self._memory.rows.get(job)
            if row is None:
                return Renewal.UNKNOWN
            if not row.holds(n, nonce):
                return Renewal.LOST
            row.lease_ms = self._clock() + self.limits.lease_ttl_ms
            return Renewal.CANCEL if row.cancel else Renewal.FINE

    def commit(
        self, job: str, n: int, nonce: str, snapshot: str, following: Next | None,
        status: JobStatus = JobStatus.QUEUED, stop: str = "", acknowledge_cancel: bool = False,
        facts: GoalSummary = NO_GOALS, cost: Cost = NO_COST,
    ) -> CommitResult:  # fmt: skip
        check_ending(following, status)
        with self._mutex:
            row = self._serving().rows.get(job)
            if row is None:
                return CommitResult.REFUSED
            if row.last_commit == (n, nonce):
                return CommitResult.OK
            if not row.holds(n, nonce):
                row.charge(nonce, cost, wasted=1)
                return CommitResult.REFUSED
            if row.cancel and not acknowledge_cancel:
                return CommitResult.CANCEL
            row.reset_counters()
            row.charge(nonce, cost, wasted=0)
            row.step, row.snapshot, row.error, row.last_commit = n + 1, snapshot, "", (n, nonce)
            row.facts = facts
            if following is None:
                row.free()
                row.queue, row.kind, row.status, row.stop = "", "", status, stop
                row.ended_ms = self._clock()
            else:
                row.kind = following.kind
                self._wait(row, following.queue, self._clock())
            return CommitResult.OK

    def fail(
        self, job: str, n: int, nonce: str, error: str, counts: bool, delay_ms: int, cost: Cost = NO_COST
    ) -> FailResult:
        with self._mutex:
            row = self._memory.rows.get(job)
            if row is None:
                return FailResult.REFUSED
            row.charge(nonce, cost, wasted=1)
            if not row.holds(n, nonce):
                return FailResult.REFUSED
            row.error, row.died = error, False
            if row.cancel and row.queue != CONTROL:
                self._to_control(row, 0)
                return FailResult.RETRY
            row.seat_failures += counts
            if counts and row.seat_failures >= self.limits.seat_attempts:
                self._bury(row, nonce)
                return FailResult.DEAD
            self._wait(row, row.queue, 0, self._clock() + delay_ms if delay_ms > 0 else 0)
            return FailResult.RETRY

    # --- orders and hints -------------------------------------------------------------------------

    def reap(self) -> list[Record]:
        with self._mutex:
            dead = [row for row in self._serving().rows.values() if self._is_dead(row)]
            for row in dead:
                self._lease_died(row)
            return [self._view(row) for row in dead]

    def cancel(self, job: str) -> Hint | None:
        with self._mutex:
            row = self._serving().rows.get(job)
            if row is None or row.status not in ACTIVE:
                return None
            row.cancel = True
            if row.status is JobStatus.QUEUED:
                self._to_control(row, self._clock())
            elif self._is_dead(row):
                self._lease_died(row)
            return row.hint() if row.status is JobStatus.QUEUED else None

    def requeue(self, job: str) -> Hint | None:
        with self._mutex:
            row = self._serving().rows.get(job)
            if row is None or row.status is not JobStatus.FAILED or not row.queue:
                return None
            self._memory.unfiled.discard(job)
            row.reset_counters()
            row.letter = row.error = ""
            row.ended_ms = 0
            self._wait(row, row.queue, self._clock())
            return row.hint()

    def remove(self, job: str) -> bool:
        with self._mutex:
            memory = self._serving()
            row = memory.rows.get(job)
            if row and row.status in ACTIVE:
                return False
            memory.rows.pop(job, None)
            memory.unfiled.discard(job)
            memory.removing[job] = self._clock() + REMOVING_MS
            return True

    def removed(self, job: str) -> None:
        with self._mutex:
            self._memory.removing.pop(job, None)

    def depths(self) -> list[QueueDepth]:
        with self._mutex:
            return [self._depth(queue) for queue in sorted(self._memory.queues)]

    def tallies(self) -> Tallies:
        with self._mutex:
            memory = self._memory
            # A loop that ended in failure has no queue, and is no dead letter.
            dead = sum(row.status is JobStatus.FAILED and row.queue != "" for row in memory.rows.values())
            return Tallies(dead=dead, lease_deaths=dict(memory.deaths), dead_letters=dict(memory.letters))

    def overdue(self, queue: str, older_than_ms: int, limit: int) -> list[Hint]:
        with self._mutex:
            now = self._clock()
            waiting = [row for row in self._serving().rows.values() if self._is_due(row, queue)]
            waiting = [row for row in waiting if row.hinted_ms <= now - older_than_ms]
            waiting.sort(key=lambda row: (row.hinted_ms, row.job))
            for row in waiting[:limit]:
                row.hinted_ms, row.not_before_ms = now, 0
            return [row.hint() for row in waiting[:limit]]

    def announce(self, worker: str, queues: list[str], ttl_ms: int) -> None:
        with self._mutex:
            now = self._clock()
            serving = self._memory.serving | {(queue, worker): now + ttl_ms for queue in queues}
            self._memory.serving = {key: until for key, until in serving.items() if until > now}

    def served(self) -> dict[str, list[str]]:
        with self._mutex:
            serving: dict[str, list[str]] = {}
            for (queue, worker), until in sorted(self._memory.serving.items()):
                if until > self._clock():
                    serving.setdefault(queue, []).append(worker)
            return serving

    # --- house-keeping ----------------------------------------------------------------------------

    def known(self, jobs: list[str]) -> dict[str, JobStatus]:
        with self._mutex:
            return {job: row.status for job in jobs if (row := self._memory.rows.get(job))}

    def dead_letters(self, limit: int = 100) -> list[Record]:
        with self._mutex:
            memory = self._serving()
            return [self._view(memory.rows[job]) for job in sorted(memory.unfiled)[:limit]]

    def file_letter(self, job: str, letter: str) -> None:
        with self._mutex:
            row = self._memory.rows.get(job)
            if row and row.letter == letter:
                self._memory.unfiled.discard(job)

    def forget(self, older_than_ms: int, limit: int = 100) -> int:
        with self._mutex:
            rows = self._serving().rows
            before = self._clock() - older_than_ms
            # A dead letter has ended, too, but it can be requeued.
            old = sorted((row.ended_ms, job) for job, row in rows.items() if row.ended_ms and not row.queue)
            gone = [job for ended, job in old if ended <= before][:limit]
            for job in gone:
                del rows[job]
            return len(gone)

    # --- after a wipe -----------------------------------------------------------------------------

    def epoch(self) -> str | None:
        return self._memory.epoch

    def lock_rebuild(self, holder: str, ttl_ms: int) -> bool:
        with self._mutex:
            if self._memory.epoch or self._locked_by() not in (None, holder):
                return False
            self._memory.lock = (holder, self._clock() + ttl_ms)
            return True

    def restore(self, entry: Entry, holder: str) -> bool:
        with self._mutex:
            self._check_lock(holder)
            return self._insert(entry, hinted_ms=0)

    def open_epoch(self, holder: str) -> str:
        with self._mutex:
            self._check_lock(holder)
            self._memory.epoch, self._memory.lock = secrets.token_hex(16), None
            return self._memory.epoch

    # --- shared by the operations; the mutex is held ------------------------------------------------

    def _serving(self) -> _Memory:
        if self._memory.epoch is None:
            raise Wiped("the ledger was wiped and is not rebuilt yet", "the reconciler rebuilds it: try again")
        return self._memory

    def _insert(self, entry: Entry, hinted_ms: int) -> bool:
        if entry.job in self._memory.rows:
            return False
        shared = entry.model_dump(exclude={"next"})
        queue, kind = (entry.next.queue, entry.next.kind) if entry.next else ("", "")
        shared |= {"facts": entry.facts, "cost": entry.cost}
        self._memory.admitted.pop((entry.owner, entry.job), None)
        row = self._memory.rows[entry.job] = Row(**shared, queue=queue, kind=kind)
        if entry.status not in ACTIVE:
            row.ended_ms = entry.ended_ms or self._clock()
        else:
            self._wait(row, CONTROL if entry.cancel else queue, hinted_ms)
        return True

    def _refusal(self, row: Row, n: int) -> Refusal | None:
        if row.status not in ACTIVE:
            return Refusal.ENDED
        if row.step != n:
            return Refusal.STALE
        if row.status is JobStatus.RUNNING:
            if not self._is_dead(row):
                return Refusal.LEASED
            self._lease_died(row)
            return Refusal.ENDED if row.status not in ACTIVE else None
        return Refusal.EARLY if row.not_before_ms > self._clock() else None

    def _is_dead(self, row: Row) -> bool:
        return row.status is JobStatus.RUNNING and row.lease_ms <= self._clock()

    def _is_due(self, row: Row, queue: str) -> bool:
        return row.status is JobStatus.QUEUED and row.queue == queue and row.not_before_ms <= self._clock()

    def _lease_died(self, row: Row) -> None:
        message = f"the worker on {row.holder} went silent"
        self._memory.deaths[row.queue] += 1
        row.error = json.dumps({"boundary": "lease", "message": message, "fix": ""}, separators=(",", ":"))
        if row.cancel and row.queue != CONTROL:
            self._to_control(row, self._clock())
            return
        row.lease_deaths += 1
        row.died = True
        if row.lease_deaths >= self.limits.lease_deaths:
            self._bury(row, row.nonce)
        else:
            self._wait(row, row.queue, self._clock())

    def _wait(self, row: Row, queue: str, hinted_ms: int, not_before_ms: int = 0) -> None:
        self._memory.queues.add(queue)
        row.wait(queue, hinted_ms, not_before_ms)

    def _to_control(self, row: Row, hinted_ms: int) -> None:
        row.reset_counters()
        self._wait(row, CONTROL, hinted_ms)

    def _bury(self, row: Row, letter: str) -> None:
        row.bury(letter, self._clock())
        self._memory.unfiled.add(row.job)
        self._memory.letters[row.queue] += 1

    def _view(self, row: Row) -> Record:
        shown = {name: getattr(row, name) for name in _SHARED}
        if self._is_dead(row):
            shown |= {"status": JobStatus.QUEUED, "holder": ""}
        return Record(**shown)

    def _depth(self, queue: str) -> QueueDepth:
        rows = [row for row in self._memory.rows.values() if row.queue == queue]
        queued = sum(row.status is JobStatus.QUEUED for row in rows)
        due = [row for row in rows if self._is_due(row, queue)]
        hinted = [row.hinted_ms for row in due if row.hinted_ms > 0]
        leased = sum(row.status is JobStatus.RUNNING for row in rows)
        return QueueDepth(
            queue=queue,
            waiting=len(due),
            leased=leased,
            delayed=queued - len(due),
            unhinted=len(due) - len(hinted),
            oldest_ms=max(0, self._clock() - min(hinted)) if hinted else 0,
        )

    def _locked_by(self) -> str | None:
        lock = self._memory.lock
        return lock[0] if lock and lock[1] > self._clock() else None

    def _check_lock(self, holder: str) -> None:
        if self._memory.epoch or self._locked_by() != holder:
            raise StoreError(f"{holder} does not hold the rebuild lock")
