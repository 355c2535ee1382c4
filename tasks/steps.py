"""Run one step of one job: claim, load, perform, save, commit, hint the next.

`run_step` is the only place where a job moves on. Whatever message led here, and however often,
the ledger decides; whatever dies on the way, the step is run again from the last snapshot and only
one of the tries is committed.
"""

import contextvars
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from director.errors import RULES, Actor, BriefError, Cancelled, DirectorError, SeatError, StoreError
from director.loop import advance, begin, next_step, perform, priced_out
from director.seats import Request, Studio
from director.types import Reply, Stopped, StopReason, Trajectory
from tasks.attempt import Attempt, error_json, log_attempt
from tasks.entries import first_step, next_of, queue_of, status_of
from tasks.finishing import Pictures
from tasks.jobs import Job, JobStatus, batch_of
from tasks.ledger.ledger import Ledger
from tasks.ledger.types import (
    NO_MESSAGE,
    Claim,
    CommitResult,
    FailResult,
    Hint,
    HintMessage,
    Next,
    Refusal,
    Renewal,
    RewindResult,
)
from tasks.logs import fields, working
from tasks.rewind import BRING_BACK, check_belongs, way_back
from tasks.settings import Settings
from tasks.store import Archive, Corrupt, Images, Newer, NotFound
from tasks.summary import NO_GOALS, GoalSummary

log = logging.getLogger(__name__)


class StepEnd(StrEnum):
    """How a hint ended, when nothing went wrong."""

    COMMITTED = "committed"
    DRAWN = "drawn: it is stored and committed beside the next one"
    REFUSED = "another worker was faster, or the job changed meanwhile"
    UNKNOWN = Refusal.UNKNOWN.value
    ENDED = Refusal.ENDED.value
    STALE = Refusal.STALE.value
    LEASED = Refusal.LEASED.value
    EARLY = Refusal.EARLY.value
    REWOUND = "an object was lost: the job goes back to the step that makes it"
    RESTING = Refusal.RESTING.value
    HELD = Refusal.HELD.value
    PARKED = Refusal.PARKED.value


class StepTooLong(SeatError):
    """A step outlived `max_step_s` of its kind; its process was killed."""


@dataclass(frozen=True)
class Host:
    """What `run_step` needs of the process it runs in."""

    settings: Settings
    ledger: Ledger
    archive: Archive
    images: Images
    studio: Studio
    send: Callable[[Hint], None]
    message: Callable[[Hint], HintMessage] = lambda hint: NO_MESSAGE  # for the commit, which then sends the hint
    worker: str = ""  # Celery's name of the program that this process belongs to; "": named after the machine
    observe: "Callable[[Attempt], None]" = lambda attempt: None  # counts what each try of a step was
    stand_back: Callable[[], None] = lambda: None  # the worker takes no other message, until the ledger lets it
    encoders: Executor | None = None  # where PNGs are made; None: in the thread that draws
    die: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGKILL)

    @property
    def name(self) -> str:
        """What the ledger knows its worker by."""
        return self.worker or self.settings.host


Rest = Callable[[], StepEnd]
"""What is left of a step; it tells how the step ended, and raises as `run_step` does."""


def run_step(host: Host, job_id: str, n: int, leave: Callable[[Rest], None] | None = None) -> StepEnd:
    """Run step `n` of the job if it is still to be run.

    Raises the step's error (SeatError, BriefError, StoreError) after it was recorded, so that the
    task that called shows as failed. With `leave`, a render returns when it is drawn: the rest of it, for which its
    lease lives on, is given to `leave`.
    """
    try:
        claim = host.ledger.claim(job_id, n, host.name)
    except StoreError as unreachable:
        log.warning("not claimed, to be hinted again: %s", unreachable, extra=fields(job=job_id, step=n))
        raise
    if isinstance(claim, Refusal):
        if claim is Refusal.RESTING:
            host.stand_back()
        return StepEnd(claim.value)
    with working(threads=True, job=job_id, step=n, nonce=claim.nonce), ExitStack() as held:
        log.info("step began", extra=fields(kind=claim.kind, attempt=claim.attempt, died=claim.last_death or None))
        lease = held.enter_context(Lease(host, claim, Attempt(claim)))
        held.enter_context(_giving_back(host, lease.attempt))
        replied = _replied(host, lease)
        if isinstance(replied, StepEnd):
            return replied
        if leave and replied.reply.kind == "rendered":
            leave(partial(_end, held.pop_all(), host, lease, replied))
            return StepEnd.DRAWN
        return _stored(host, lease, replied)


@dataclass(frozen=True)
class Replied:
    """A reply that is not yet part of what is stored of the job."""

    job: Job
    trajectory: Trajectory
    reply: Reply


@contextmanager
def _giving_back(host: Host, attempt: Attempt) -> Generator[None]:
    try:
        yield
    except DirectorError as error:
        if attempt.refused is None:  # otherwise the ledger was told
            _give_back(host, attempt, error)
        raise


def _replied(host: Host, lease: "Lease") -> Replied | StepEnd:
    """What the seat answers to what is due, or how the step ended without it."""
    claim, attempt = lease.claim, lease.attempt
    if claim.cancel:
        return _cancel(host, attempt)
    job, trajectory = None, None
    try:
        job = host.archive.load_job(claim.job, claim.created_ms)
        trajectory = _load(host, claim, job)
        request = next_step(trajectory)
        attempt.queue = queue_of(request) if request else ""
        reply = _reply(host, lease, job, trajectory, request)
    except Newer:
        raise  # whole, and no matter of this job
    except (NotFound, Corrupt) as lost:
        return _go_back(host, attempt, job, trajectory, lost)
    if reply is None:
        return StepEnd.REFUSED
    attempt.renders = len(reply.candidates) if reply.kind == "rendered" else 0
    return Replied(job, trajectory, reply)


def _end(held: ExitStack, host: Host, lease: "Lease", replied: Replied) -> StepEnd:
    with held:
        return _stored(host, lease, replied)


def _stored(host: Host, lease: "Lease", replied: Replied) -> StepEnd:
    """Store the pictures and the snapshot with the reply, commit, hint the next step."""
    claim, attempt = lease.claim, lease.attempt
    job, reply = replied.job, replied.reply
    lease.images.wait()
    after = advance(replied.trajectory, reply)
    ordered = reply.kind == "stopped"
    performed = not ordered and not (reply.kind == "planned" and reply.final)
    then = next_of(after)
    hint = then.hint(job.id, claim.n + 1, job.brief.name, claim.priority, batch_of(job)) if then else None
    message = host.message(hint) if hint else NO_MESSAGE
    result = _commit(host, attempt, after, then, message, acknowledge=ordered, performed=performed)
    if result is CommitResult.CANCEL:
        # The cancel came while the step finished: keep its work, and stop behind it.
        after = advance(after, Stopped(reason=StopReason.CANCELLED, why=_CANCELLED))
        result = _commit(host, attempt, after, None, NO_MESSAGE, acknowledge=True, performed=performed)
    if result is CommitResult.REFUSED:
        return StepEnd.REFUSED
    attempt.outcome, attempt.after = "committed", after
    if after.stop:
        _has_ended(host, claim)
    elif hint and not message:
        host.send(hint)
    return StepEnd.COMMITTED


_CANCELLED = "cancelled by its owner"


def _load(host: Host, claim: Claim, job: Job) -> Trajectory:
    if not claim.snapshot:
        return begin(job.brief, job.settings, job.seed)
    snapshot = host.archive.load_snapshot(claim.snapshot, claim.snapshot_sha256)
    check_belongs(job, claim.snapshot, snapshot)
    return snapshot.trajectory


def _cancel(host: Host, attempt: Attempt) -> StepEnd:
    """End a cancelled job with what can be read of it, down to nothing."""
    claim, archive = attempt.claim, host.archive
    before, after = _newest_whole(host, claim)
    key, status, reason = "", JobStatus.CANCELLED, StopReason.CANCELLED.value
    if after:
        after = advance(after, Stopped(reason=StopReason.CANCELLED, why=_CANCELLED))
        n = archive.load_snapshot(before).n + 1 if before else 0
        key = archive.save_snapshot(claim.job, n, claim.nonce, before, None, after)
        status, reason = status_of(after.stop), after.stop.reason.value if after.stop else reason
    summary = GoalSummary.of(after) if after else NO_GOALS
    result = host.ledger.commit(
        claim.job, claim.n, claim.nonce, key, None, status, reason,
        acknowledge_cancel=True, summary=summary, cost=attempt.cost(), performed=False,
        sha256=archive.sha256_of(key) if key else "",
    )  # fmt: skip
    if result is not CommitResult.OK:
        return StepEnd.REFUSED
    attempt.outcome, attempt.after = "committed", after
    _has_ended(host, claim)
    return StepEnd.COMMITTED


def _has_ended(host: Host, claim: Claim) -> None:
    """Some stay marked live: a child of a batch until its result is stored, what its owner is told of until that is."""
    if not claim.batch and not host.ledger.run("is_told_of", claim.job):
        host.archive.unmark_live(claim.job)


def _newest_whole(host: Host, claim: Claim) -> tuple[str, Trajectory | None]:
    """The snapshot that the claim names, else the newest that is whole, else the job as it was submitted."""
    archive = host.archive
    try:
        if claim.snapshot:
            return claim.snapshot, archive.load_snapshot(claim.snapshot, claim.snapshot_sha256).trajectory
    except Newer:
        raise
    except (NotFound, Corrupt) as lost:
        log.warning("cancelled without its newest snapshot: %s", lost)
        if key := archive.latest(claim.job, lost=lost.key):
            return key, archive.load_snapshot(key).trajectory
    try:
        job = archive.load_job(claim.job, claim.created_ms)
    except Newer:
        raise
    except (NotFound, Corrupt) as lost:
        log.warning("cancelled without anything of it: %s", lost)
        return "", None
    return "", begin(job.brief, job.settings, job.seed)


def _go_back(
    host: Host, attempt: Attempt, job: Job | None, trajectory: Trajectory | None, lost: NotFound | Corrupt
) -> StepEnd:
    """An object that the step needs is lost: rewind the job, once, to the step that makes it. Raises if none does."""
    claim, archive, result = attempt.claim, host.archive, None
    again = archive.controls(claim.job, "rewind-")
    way = way_back(archive, job, claim.n, trajectory, lost.key) if job and not again else None
    error = type(lost)(lost.message, BRING_BACK, lost.key)
    error.actor = Actor.OPERATOR
    told = {"lost": lost.key, "from": claim.n, "to": way.to if way else None}
    if way and job:
        # Before the ledger: after a wipe nothing of what is void may count.
        archive.save_control(claim.job, "rewind", claim.nonce, {**told, "void": way.void, "at": claim.now_ms / 1000})
        then = next_of(way.trajectory) if way.trajectory else first_step(job)
        summary = GoalSummary.of(way.trajectory or begin(job.brief, job.settings, job.seed))
        result = host.ledger.rewind(
            claim.job, claim.n, claim.nonce, way.to, way.snapshot, then, summary, error_json(error), attempt.cost(),
            sha256=archive.sha256_of(way.snapshot) if way.snapshot else "",
        )  # fmt: skip
        if result is RewindResult.REWOUND and then:
            log.warning("rewound to step %d: %s", way.to, lost)
            attempt.outcome, attempt.notes = "rewound", {"rewound": told}
            host.send(then.hint(job.id, way.to, job.brief.name, claim.priority, batch_of(job)))
            return StepEnd.REWOUND
        archive.forget_control(claim.job, "rewind", claim.nonce)
    else:
        nowhere = (None, "", None, NO_GOALS)
        result = host.ledger.rewind(claim.job, claim.n, claim.nonce, *nowhere, error_json(error), attempt.cost())
    if result is not RewindResult.DEAD:
        return StepEnd.REFUSED
    attempt.outcome, attempt.error, attempt.refused = "failed", error, FailResult.DEAD
    raise error from lost


def _reply(host: Host, lease: "Lease", job: Job, trajectory: Trajectory, request: Request | None) -> Reply | None:
    """The seat's answer, or the end that was ordered instead; None when the lease was lost."""
    limit = job.settings.max_seconds
    # By the ledger's clock, which all workers share.
    if limit is not None and lease.claim.now_ms / 1000 - job.created > limit:
        return Stopped(reason=StopReason.BUDGET, why=f"the {limit:g} seconds are used")
    if ended := priced_out(trajectory, lease.claim.price):
        return ended
    if request is None:
        # A terminal snapshot whose commit was lost in a wipe: commit it again as it is.
        return trajectory.stop
    try:
        return perform(request, host.studio, lease)
    except BriefError as unusable:
        # No other attempt can mend what the user wrote.
        return Stopped(reason=StopReason.FAILED, why=str(unusable))
    except SeatError as refused:
        if not RULES[refused.actor].final:
            raise
        return Stopped(reason=StopReason.FAILED, why=f"{refused.boundary}: {refused}")
    except Cancelled:
        return Stopped(reason=StopReason.CANCELLED, why=_CANCELLED) if lease.cancel else None


def _commit(
    host: Host, attempt: Attempt, after: Trajectory, then: Next | None, message: HintMessage,
    acknowledge: bool, performed: bool,
) -> CommitResult:  # fmt: skip
    claim = attempt.claim
    key = host.archive.save_snapshot(claim.job, claim.n, claim.nonce, claim.snapshot, then, after)
    return host.ledger.commit(
        claim.job, claim.n, claim.nonce, key, then,
        status=status_of(after.stop),
        stop=after.stop.reason.value if after.stop else "",
        acknowledge_cancel=acknowledge,
        summary=GoalSummary.of(after),
        cost=attempt.cost(),
        performed=performed,
        sha256=host.archive.sha256_of(key),
        message=message,
    )  # fmt: skip


def _give_back(host: Host, attempt: Attempt, error: DirectorError) -> None:
    """Record a failure: the ledger decides who is charged and what is held. It may tell this worker to stand back."""
    claim, attempt.error = attempt.claim, error
    if attempt.outcome != "committed":  # it may fail behind its commit
        attempt.outcome = "failed"
    delay = backoff_ms(host.settings, 1 if isinstance(error, StoreError) else claim.attempt)
    # A newer worker can do the step: it waits for one, as for storage that is away.
    actor = Actor.OUTAGE if isinstance(error, Newer) else error.actor
    # With the ledger out of reach too, the lease dies by itself and the step is hinted again.
    # The dead letter of a job that failed for good is filed by the reconciler.
    with suppress(StoreError):
        attempt.refused = host.ledger.fail(
            claim.job, claim.n, claim.nonce, error_json(error), actor, host.name,
            retry_after_ms=math.ceil(1000 * error.retry_after_s), delay_ms=delay, cost=attempt.cost(),
        )  # fmt: skip
        # Before the message is acknowledged, so that this worker takes no other one.
        if isinstance(error, SeatError) and not host.ledger.standing(host.name).may_work:
            host.stand_back()


def backoff_ms(settings: Settings, attempt: int) -> int:
    """Milliseconds before the next attempt: doubling from the base, up to the cap."""
    doublings = min(attempt - 1, 30)  # a step that waited for an outage to end has many tries behind it
    return int(1000 * min(settings.retry_cap_s, settings.retry_base_s * 2**doublings))


class Lease:
    """Keeps a claim alive from a thread, and is the Context that the seat talks to meanwhile.

    The same thread stores the attempt record when the step has ended, so that the next step need
    not wait for it.
    """

    def __init__(self, host: Host, claim: Claim, attempt: Attempt) -> None:
        self.images = Pictures(host.images, host.encoders)
        self.claim = claim
        self.attempt = attempt
        self.cancel = False
        self._lost = False
        self._host = host
        self._record: dict[str, Any] = {}
        self._ending = threading.Lock()
        self._done = threading.Event()
        # With the context of this thread, so that its lines too carry job, step and nonce.
        live = contextvars.copy_context().run
        self._thread = threading.Thread(target=live, args=(self._live,), name=f"lease-{claim.job}-{claim.n}")

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # Not joined: a renewal that hangs on a dead Redis must not hold up the next step.
        if error and not isinstance(error, DirectorError):
            self.attempt.outcome = "broke"
            log.error("the step broke: a defect of this program", exc_info=error)
        self._end()
        self._done.set()

    def progress(self, message: str, done: int, total: int) -> None:
        self.attempt.progress = f"{message} {done}/{total}"
        log.debug("%s", self.attempt.progress)

    def count(self, name: str, amount: int) -> None:
        self.attempt.counts[name] = self.attempt.counts.get(name, 0) + amount

    def keep(self, name: str, data: bytes) -> None:
        self.attempt.kept.setdefault(name, []).append(self._host.archive.save_blob(data))

    def check(self) -> None:
        if self.cancel:
            raise Cancelled(_CANCELLED)
        if self._lost:
            raise Cancelled("the lease of this step was lost to another worker")

    def _live(self) -> None:
        self._keep()
        self._store_attempt()

    def _store_attempt(self) -> None:
        claim, archive = self.claim, self._host.archive
        try:
            if self.attempt.outcome == "committed" and (hole := archive.hole(claim.job, claim.n)):
                log.warning("the snapshots of these steps are lost, and nothing needs them: %s", hole)
                self._record["hole"] = hole
            archive.save_attempt(claim.job, claim.n, claim.nonce, self._record)
        except StoreError as unreachable:
            # It loses a number, not work: the step itself is committed, or will be repeated.
            log.warning("attempt record not stored: %s", unreachable)

    def _keep(self) -> None:
        settings, claim = self._host.settings, self.claim
        limit = settings.max_step_s[claim.kind]
        end = time.monotonic() + limit
        while not self._done.wait(settings.renew_every_s):
            if time.monotonic() > end:
                self._kill(limit)
                return
            try:
                self._heed(self._host.ledger.renew(claim.job, claim.n, claim.nonce))
            except StoreError as unreachable:
                log.warning("lease not renewed, working on: %s", unreachable)

    def _heed(self, renewal: Renewal) -> None:
        self.cancel = self.cancel or renewal is Renewal.CANCEL
        self._lost = renewal is Renewal.LOST

    def _kill(self, limit: float) -> None:
        # A hung CUDA call can't be interrupted from Python: the child goes, the pool replaces it.
        if self._done.is_set():
            return
        message = f"the {self.claim.kind} step ran longer than its {limit:g} s and was killed"
        _give_back(self._host, self.attempt, StepTooLong(message, "raise max_step_s or look at the model server"))
        if self._end():  # else it came to its end meanwhile, and this process may be at its next step
            self._store_attempt()
            self._host.die()

    def _end(self) -> bool:
        """The try is over: fix its record, count it, tell it (True). Once: it may end by itself while it is killed."""
        attempt = self.attempt
        with self._ending:
            if self._record:
                return False
            self._record = attempt.record(self._host.settings.host)
        self._host.observe(attempt)
        log_attempt(attempt)
        return True
