"""Keeps ledger, messages and object storage in agreement: run one or more of these beside the workers.

Each pass: rebuild the ledger if it was wiped; free leases that died; send lost hints again, and probes of what is
held; send canaries; file dead letters; and every minute compare storage with the ledger. Whatever is out of reach is
logged and tried again in the next pass.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from director.errors import StoreError
from tasks import orders
from tasks.entries import EDITOR, entry_after, new_entry
from tasks.jobs import TERMINAL, Job, JobStatus
from tasks.ledger.ledger import Ledger
from tasks.ledger.types import Entered, Entry, Hint, Query, Record
from tasks.logs import fields
from tasks.rewind import belongs
from tasks.settings import Settings
from tasks.store import Archive, Control, Corrupt
from tasks.store.archive import Folder, job_key
from tasks.summary import Cost, end_of
from tasks.watch import UNWATCHED, Watch

log = logging.getLogger(__name__)

LOCK_TTL_MS = 30_000
_KEEP_LOCK_S = 5.0
_READERS = 8  # jobs that are read at once in a rebuild: the time goes into waiting for S3
_COMPARE_S = 1.0  # a pass, so that the rest of it is not held up
_COSTS_S = _INDEX_S = 1.0  # a pass
_IN_FLIGHT = Query(statuses=frozenset({JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.FAILED}))
_MOST_HINTS = 1000  # a queue and pass


class BatchWork(Protocol):
    """What is done for batches: tasks/batch/dispatch.py."""

    def parts(self) -> Sequence[Callable[[], None]]: ...

    def audit(self) -> None: ...

    def restore(self, holder: str, keep: Callable[[], None]) -> None: ...

    def ordered(self, entry: Entry) -> Entry: ...

    def has_ended(self) -> bool: ...


@dataclass
class Reconciler:
    """`send` tells workers that a step waits; `queue_length` counts the messages that wait on a queue; `send_canary`
    lets a quarantined worker try its models.

    The first two raise StoreError when the broker is out of reach.
    """

    ledger: Ledger
    archive: Archive
    settings: Settings
    send: Callable[[Hint], None]
    queue_length: Callable[[str], int]
    watch: Watch = UNWATCHED
    send_canary: Callable[[str, Sequence[str]], None] = lambda worker, models: None
    batches: BatchWork | None = None
    chores: Sequence[Callable[[], None]] = ()  # more that each pass does: tasks/nightly.py, tasks/space.py
    _holder: str = field(default_factory=lambda: secrets.token_hex(16))
    _kept: float = 0.0  # when the rebuild lock was taken last
    _missing: set[str] = field(default_factory=set[str])
    _next_audit: float = 0.0
    _doubtful: set[str] = field(default_factory=set[str])  # not compared with storage yet
    _server: str = ""
    _marked: bool = False
    _index_at: str | None = "0"  # where the index goes on; None: it is whole

    def run(self, stop: threading.Event) -> None:
        """Pass after pass until `stop` is set."""
        while not stop.is_set():
            self.watch.passed(self.once())
            stop.wait(self.settings.reconcile_every_s)

    def once(self) -> bool:
        """One pass; False when a part of it could not be done now."""
        if not self._tried(self._ensure_epoch):
            return False
        if not self._marked:
            self._marked = self._tried(self.archive.mark)
        done = [self._tried(part) for part in self._parts()]
        if time.monotonic() >= self._next_audit:
            self._next_audit = time.monotonic() + self.settings.audit_every_s
            done.append(self._tried(self.audit))
        return all(done)

    def _parts(self) -> Sequence[Callable[[], None]]:
        parts = (self.compare, self.reap, self.rehint, self.give_up_waiting, self.file_dead_letters, self.mend)
        parts = (*parts, self.send_canaries, self.restore_costs, self.index)
        return *parts, *(self.batches.parts() if self.batches else ()), *self.chores

    def _tried(self, part: Callable[[], object]) -> bool:
        try:
            part()
        except StoreError as unreachable:
            log.warning("%s put off: %s", getattr(part, "__name__", part), unreachable)
            return False
        return True

    # --- after a wipe -----------------------------------------------------------------------------

    def _ensure_epoch(self) -> None:
        if self.ledger.epoch() is None and not self.rebuild():
            raise StoreError("another process rebuilds the ledger")

    def rebuild(self) -> bool:
        """Fill an empty ledger from object storage and open it. False: another process is at it, or was.

        It may break off anywhere: jobs that are in the ledger already are left as they are.
        """
        self._kept = time.monotonic()
        if not self.ledger.lock_rebuild(self._holder, LOCK_TTL_MS):
            return False
        live = self.archive.live()
        known = self.ledger.known(live)
        log.warning("rebuilding the ledger: %d live jobs, %d of them restored before", len(live), len(known))
        if self.batches:
            self.batches.restore(self._holder, self._keep_lock)
        with ThreadPoolExecutor(_READERS, "rebuild") as readers:
            for entry in readers.map(self._entry, [job for job in live if job not in known]):
                self._keep_lock()
                if entry:
                    self._restore(entry)
        older_batches = self.batches is not None and self.batches.has_ended()
        epoch = self.ledger.open_epoch(self._holder, self.archive.ended.any(), older_batches)
        log.warning("the ledger serves again, epoch %s", epoch)
        return True

    def _keep_lock(self) -> None:
        """Call it at least every LOCK_TTL_MS; it asks the ledger now and then."""
        now = time.monotonic()
        if now - self._kept > _KEEP_LOCK_S:
            if not self.ledger.lock_rebuild(self._holder, LOCK_TTL_MS):
                raise StoreError("the rebuild lock was lost")
            self._kept = now

    def _restore(self, entry: Entry) -> None:
        entry = self.batches.ordered(entry) if self.batches else entry
        self.ledger.restore(entry, self._holder)
        if entry.next is None and not entry.place and not self.ledger.run("is_told_of", entry.job):
            self.archive.unmark_live(entry.job)

    def restore_costs(self) -> None:
        """Add what jobs cost before a rebuild, which did not wait for it; some of them each pass."""
        end = time.monotonic() + _COSTS_S
        with ThreadPoolExecutor(_READERS, "costs") as readers:
            while time.monotonic() < end and (jobs := self.ledger.uncosted(4 * _READERS)):
                for job, costs in zip(jobs, readers.map(self.archive.costs, jobs), strict=True):
                    self.ledger.restore_cost(job, costs)

    def _entry(self, job: str) -> Entry | None:
        """What storage says of a job; a job that can't be read must not keep the others from running."""
        try:
            entry = entry_of(self.archive, job, with_cost=False)
        except Corrupt as broken:
            log.error("can't be restored: %s", broken, extra=fields(job=job))
            return None
        if entry is None:
            self._without_job(job)
        return entry

    def _without_job(self, job: str) -> None:
        if self.archive.left_over(job) and not self.archive.was_deleted(job):
            log.error("can't be restored: there is no %s", job_key(job), extra=fields(job=job))
            return
        # job.json is written before the mark and deleted before it: somebody began to delete it.
        log.warning("marked live and has no job.json: no longer marked", extra=fields(job=job))
        self.archive.unmark_live(job)

    # --- after a copy came back -----------------------------------------------------------------------

    def compare(self) -> None:
        """Bring jobs that the ledger remembers as they once were to where storage has them; a part of them each pass.

        A server that was started again, or a promoted replica, may have forgotten the last seconds, and a copy hours.
        """
        server = self.ledger.unsettled()
        if server is None:
            return
        if server != self._server:
            self._doubtful = self._in_doubt()
            live = self.archive.live()
            self._missing = set(live) - self.ledger.known(live).keys()  # submitted since: entered by the next audit
            self._server, self._next_audit = server, 0.0
            log.warning("the ledger's server started again: comparing %d jobs with storage", len(self._doubtful))
        end = time.monotonic() + _COMPARE_S
        with ThreadPoolExecutor(_READERS, "compare") as readers:
            while self._doubtful and time.monotonic() < end:
                some = sorted(self._doubtful)[: 4 * _READERS]
                settled = [job for job, done in zip(some, readers.map(self._compare, some), strict=True) if done]
                self._doubtful.difference_update(settled)
                if not settled:
                    return  # all of these are leased: their workers will have told by the next pass
        if not self._doubtful:
            self.ledger.settled(server)
            log.warning("the ledger agrees with storage again")

    def _in_doubt(self) -> set[str]:
        """What is in flight by the ledger, and what was deleted and is in it again."""
        found, behind = set[str](), None
        while True:
            page = self.ledger.jobs(_IN_FLIGHT, 200, behind)
            found |= {record.job for record in page.records}
            if (behind := page.following) is None:
                return found | self.ledger.known(self.archive.deleted()).keys()

    def _compare(self, job: str) -> bool:
        """False when somebody holds the job's lease: to be compared again."""
        record = self.ledger.get(job)
        if record is None:
            return True
        about = fields(job=job, step=record.step, status=record.status.value)
        if self.archive.was_deleted(job, record.created_ms):
            log.warning("was deleted, and is again", extra=about)
            return self.ledger.drop(job)
        try:
            entry = None if record.stop else entry_of(self.archive, job, with_cost=False)
        except Corrupt as broken:
            log.error("can't be compared: %s", broken, extra=about)
            return True
        if entry and _is_ahead(entry, record, self.archive):
            log.warning("stands at step %d (%s) in storage: restored", entry.step, entry.status, extra=about)
            if not self.ledger.replace(entry, record.step):
                return False
            if entry.next is None and not entry.place:
                self.archive.unmark_live(job)
        elif entry:
            self._order_again(entry, record)
        return True

    def _order_again(self, entry: Entry, record: Record) -> None:
        """Repeat the orders that the ledger has forgotten."""
        for hint in orders.order_again(self.ledger, entry, record):
            self.send(hint)
        if entry.cancel and not record.cancel and (hint := self.ledger.cancel(entry.job)):
            log.warning("was cancelled before", extra=fields(job=entry.job, step=record.step))
            self.send(hint)

    def index(self) -> None:
        """List every job by label and standing, once after the start, a part of them each pass: an older program that
        wrote to the ledger knew no such lists."""
        end = time.monotonic() + _INDEX_S
        while self._index_at is not None and time.monotonic() < end:
            cursor = self.ledger.index(self._index_at)
            self._index_at = None if cursor == "0" else cursor

    # --- every pass ---------------------------------------------------------------------------------

    def reap(self) -> None:
        """Free the leases that died, and tell other workers."""
        for record in self.ledger.reap():
            about = fields(job=record.job, step=record.step, queue=record.queue, status=record.status.value)
            log.warning("lease died: %s", record.error, extra=about)
            if record.status is JobStatus.QUEUED:
                self.send(record.hint)

    def rehint(self) -> None:
        """Send hints again where more jobs wait on a queue than messages do.

        At most the difference, oldest first, so that 500 jobs that wait for one GPU are not hinted
        over and over. Messages that a worker holds unacknowledged are not counted: a dead worker's
        stay there.
        """
        oldest_ms = int(self.settings.hint_age_s * 1000)
        for depth in self.ledger.depths():
            if not depth.waiting:
                continue
            lost = min(depth.waiting - self.queue_length(depth.queue), _MOST_HINTS)
            hints = self.ledger.overdue(depth.queue, oldest_ms, lost) if lost > 0 else []
            for hint in hints:
                self.send(hint)
                log.info("hint sent again", extra=fields(job=hint.job, step=hint.n, queue=hint.queue))
            if hints:
                self.watch.resent(depth.queue, len(hints))

    def give_up_waiting(self) -> None:
        """Make dead letters of jobs that waited too long for something that stayed away."""
        if given_up := self.ledger.expire_held(int(self.settings.hold_s * 1000)):
            log.error("gave up %d jobs: what they need was away too long", given_up)

    def send_canaries(self) -> None:
        """Let quarantined editors that are due draw a small picture."""
        due = self.ledger.canaries_due()
        served = self.ledger.served() if due else {}
        for worker in due:
            queues = [queue for queue, workers in served.items() if worker in workers and queue.startswith(EDITOR)]
            if queues:
                models = [queue.removeprefix(EDITOR) for queue in queues]
                self.send_canary(worker, models)
                log.info("canary sent", extra=fields(worker=worker))

    def file_dead_letters(self) -> None:
        """Write the dead letters of jobs that became FAILED, so that they outlive the ledger."""
        for record in self.ledger.dead_letters():
            log.error("dead letter: %s", record.error, extra=fields(job=record.job, step=record.step))
            about = {"n": record.step, "error": record.error, "at": record.ended_ms / 1000}
            self.archive.save_control(record.job, "dead", record.dead_letter, about)
            self.ledger.file_dead_letter(record.job, record.dead_letter)

    def mend(self) -> None:
        """Enter the jobs again whose record in the ledger could not be read."""
        for job in self.ledger.broken():
            self._adopt(job)

    def audit(self) -> None:
        """Compare storage and ledger: finish submits that broke off, and ends whose mark stayed."""
        live = self.archive.live()
        known = self.ledger.known(live)
        for job, status in known.items():
            if status in TERMINAL and self._has_stopped(job, status):
                self.archive.unmark_live(job)
        missing = {job for job in live if job not in known}
        # Only those that were missing in the last audit too: a submit may be between storage and ledger now.
        for job in sorted(missing & self._missing):
            self._adopt(job)
        self._missing = missing
        if self._index_at is None and not self.ledger.indexed():  # wiped since
            self._index_at = "0"
        if self.batches:
            self.batches.audit()
        self.list_ended()

    def list_ended(self) -> None:
        """Have storage list what has ended, and then let the ledger forget it. One reconciler at a time."""
        if not self.ledger.run("lock", "ended", self._holder, LOCK_TTL_MS):
            return
        end = time.monotonic() + LOCK_TTL_MS / 2000
        while time.monotonic() < end and (records := self.ledger.unlisted()):
            self.archive.ended.add(records)
            gone = set(self.ledger.listed([record.job for record in records]))
            for record in records:
                if record.job in gone:  # deleted while it was listed
                    self.archive.ended.drop(record.owner, record.created_ms, record.job)
        # What is not listed yet stays: it is the newest.
        while time.monotonic() < end:
            if not self.ledger.forget(int(self.settings.keep_ended_s * 1000), self.settings.keep_ended):
                return

    def _has_stopped(self, job: str, status: JobStatus) -> bool:
        # A dead letter stays live: its trajectory goes on once it is requeued. So does a child until its result lies
        # in storage.
        record = self.ledger.get(job)
        return record is not None and not record.batch and (status is not JobStatus.FAILED or record.stop != "")

    def _adopt(self, job: str) -> None:
        entry = self._entry(job)
        if not entry:
            return
        entered = self.ledger.enter(entry)
        if entered is Entered.UNWANTED:  # its result is stored, or its item was cancelled
            self.archive.unmark_live(job)
        elif entered is Entered.CREATED:
            log.warning("was in storage only and is now in the ledger", extra=fields(job=job))
            record = self.ledger.get(job)
            if record and record.status is JobStatus.QUEUED:
                self.send(record.hint)


def entry_of(archive: Archive, job_id: str, with_cost: bool = True) -> Entry | None:
    """What the ledger should know of a job, from storage alone; None: no such job.

    Without its cost it takes a LIST, and a GET of job.json and of the newest snapshot: the cost is one GET an attempt.
    Raises Corrupt, and StoreError when storage is out of reach.
    """
    job = archive.find_job(job_id)
    if job is None:
        return None
    folder = archive.folder(job_id)
    controls = archive.controls(job_id, folder=folder)
    rewound = next((control.nonce for control in controls if control.kind == "rewind"), "")
    entry = _standing(archive, job, folder).model_copy(update={"rewound": rewound})
    if with_cost or entry.next is None:
        # What can't be read is a number lost; the job must not be.
        attempts = archive.attempts(job_id)
        entry = entry.model_copy(update={"cost": Cost.total(attempts), "ended_ms": int(1000 * end_of(attempts))})
    else:
        entry = entry.model_copy(update={"cost_later": True})
    return entry if entry.next is None else _ordered(entry, controls)


def _standing(archive: Archive, job: Job, folder: Folder) -> Entry:
    """Where the newest whole snapshot leaves the job."""
    found = archive.newest(job.id, fits=lambda snapshot: belongs(job, snapshot), folder=folder)
    if found is None:
        return new_entry(job)
    key, snapshot = found
    stop = snapshot.trajectory.stop
    if (stop is None) == (snapshot.next is None):
        raise Corrupt(f"{key} must either go on or have stopped")
    entry = entry_after(job, key, snapshot.n, snapshot.trajectory, snapshot.next)
    # From now on it is held to what it is now.
    return entry.model_copy(update={"snapshot_sha256": archive.sha256_of(key)})


def _ordered(entry: Entry, controls: list[Control]) -> Entry:
    """The entry with what was ordered: a cancel holds until a snapshot acknowledges it, a dead letter until
    its requeue. A dead letter about an earlier step is void: the step was done after all."""
    answered = {control.nonce for control in controls if control.kind == "requeue"}
    cancelled = any(control.kind == "cancel" for control in controls)
    entry = orders.ordered(entry, controls).model_copy(update={"cancel": cancelled})
    for control in controls:
        dead = control.kind == "dead" and control.nonce not in answered
        if dead and control.record.get("n", entry.step) == entry.step:
            error, ended_ms = str(control.record.get("error", "")), int(1000 * control.record.get("at", 0))
            told = {"dead_letter": control.nonce, "error": error, "ended_ms": ended_ms}
            return entry.model_copy(update={"status": JobStatus.FAILED, **told})
    return entry


def _is_ahead(entry: Entry, record: Record, archive: Archive) -> bool:
    """True when storage knows more of the job than the ledger."""
    if entry.created_ms != record.created_ms or entry.step > record.step:
        return True
    if entry.rewound != record.rewound:
        return entry.rewound != ""
    if entry.step < record.step or (entry.status is JobStatus.FAILED) == (record.status is JobStatus.FAILED):
        return False
    if entry.status is JobStatus.FAILED:
        return True
    # Its dead letter may not be filed yet; what was requeued is queued again.
    requeues = archive.controls(record.job, "requeue-")
    return any(requeue.nonce == record.dead_letter for requeue in requeues)


def requeue(ledger: Ledger, archive: Archive, record: Record) -> Hint | None:
    """Bring a dead letter back, for good: the order is stored first. Gives the hint to send; None: not FAILED.

    One that has left the ledger is entered again.
    """
    if record.status is JobStatus.FAILED and record.dead_letter:
        archive.save_control(record.job, "requeue", record.dead_letter, {"n": record.step})
    if (hint := ledger.requeue(record.job)) or ledger.get(record.job):
        return hint
    archive.mark_live(record.job)
    entry = entry_of(archive, record.job, with_cost=False)
    return entry.hint if entry and entry.next and ledger.create(entry) else None
