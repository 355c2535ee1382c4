"""The ledger decides who runs which step. A Celery message is only a hint.

A job stands at step `n`: the number of the step to run next. Running it needs a *claim*, which gives a lease (a few
seconds, renewed while the step runs) and a nonce (random, 128 bits). Only `commit` with that step and nonce moves the
job on.

Each operation is one Lua script on Redis, and one round trip. The scripts are in tasks/ledger/lua; `common.lua` lists
the keys. Redis runs a script as one step, so no two workers can both claim a step, and a commit and a cancel can't both
win.
"""

import logging
import secrets
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from redis import Redis

from director.errors import Actor, StoreError
from tasks.jobs import TERMINAL, JobStatus
from tasks.ledger.rows import cost_argument, entry_arguments, hint_of, or_empty, record_of, value_of
from tasks.ledger.server import broker_queue_length, connect, reaching, sources, told, twice
from tasks.ledger.types import (
    BODY_MS,
    EVERY,
    NO_MESSAGE,
    REMOVING_MS,
    Claim,
    CommitResult,
    Cursor,
    Entered,
    Entry,
    FailResult,
    Hint,
    HintMessage,
    Hold,
    Keeping,
    Limits,
    Next,
    OtherBody,
    Page,
    Query,
    QueueDepth,
    Record,
    Refusal,
    Removing,
    Renewal,
    RewindResult,
    SickWorker,
    Standing,
    Tallies,
    Wiped,
)
from tasks.logs import fields
from tasks.summary import NO_COST, NO_GOALS, Cost, GoalSummary

__all__ = ["PREFIX", "Ledger", "broker_queue_length", "connect"]

log = logging.getLogger(__name__)

PREFIX = "vd:"
_LIMITS = Limits()
_REAP_LIMIT = 200  # leases a queue and pass: bounds the time that one script holds the server
_KNOWN_LIMIT = 1000  # ids a call, for the same reason
_COSTS_LIMIT = 500  # attempts a call
_INDEX_LIMIT = 500  # jobs a call, about
_LOOK_LIMIT = 500  # jobs that a list looks at a call
_MOST_LOOKS = 10  # calls for one page of few matches
_DEPTH_FIELDS = ("queue", "waiting", "leased", "delayed", "unhinted", "oldest_ms")

Reply = Any  # what a script gives: a word, a number or (nested) lists of words
T = TypeVar("T")


class Ledger:
    """On one Redis server of version 6.2 or later. Safe for threads and after a fork.

    Every method raises StoreError when the server is out of reach. Those that would answer wrongly from an empty memory
    raise `Wiped` while the epoch is gone: create, get, jobs, claim, commit, reap, cancel, requeue, overdue,
    dead_letters, forget, admit, remove.

    `redis` decodes responses, and is closed with the ledger. `prefix` is that of every key. `now_ms` is the time,
    where a test says it; 0 is the server's own clock.
    """

    def __init__(self, redis: "Redis", limits: Limits = _LIMITS, prefix: str = PREFIX, now_ms: int = 0) -> None:
        self.limits = limits
        self.prefix = prefix
        self.now_ms = now_ms
        self._redis = redis
        self._scripts = {name: redis.register_script(source) for name, source in sources().items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._redis.close()

    # --- jobs -----------------------------------------------------------------------------------

    def admit(self, owner: str, job: str, most: int, ttl_ms: int, body_sha256: str = "") -> bool:
        """May `owner` have this job too? At most `most` at once are active or, for `ttl_ms`, admitted.

        True for one that is active or admitted already. For BODY_MS the id stands for the body that was admitted under
        it first: raises OtherBody for another one, so that of two that come at once only one is stored.
        """
        reply = self.run("admit", owner, job, most, ttl_ms, body_sha256, BODY_MS)
        if reply == -1:
            raise OtherBody("another request was sent under this id")
        return bool(reply)

    def create(self, entry: Entry, message: HintMessage = NO_MESSAGE) -> bool:
        """Insert the job if it is absent (True), and write `message`. Its hint counts as sent now. Raises Removing."""
        return self.enter(entry, message) is Entered.CREATED

    def enter(self, entry: Entry, message: HintMessage = NO_MESSAGE) -> Entered:
        """As `create`, and says why not."""
        reply = self.run("create", "create", "", *entry_arguments(entry), *message)
        if reply == "removing":
            raise Removing("this job is being deleted", "try again in a moment")
        return Entered(reply)

    def get(self, job: str) -> Record | None:
        """None too for a job whose record can't be read: it is set aside."""
        flat = self.run("get", job)
        return next(iter(self.records([flat])), None) if flat else None

    def jobs(self, query: Query = EVERY, limit: int = 100, behind: Cursor | None = None) -> Page:
        """The newest first; those with the same time by falling id."""
        records: list[Record] = []
        for _ in range(_MOST_LOOKS):
            cursor = behind or ("", "")
            place = (query.owner or "", or_empty(query.after_ms), or_empty(query.before_ms), *cursor)
            wanted = (",".join(query.statuses), *query.labels)
            (created_ms, job), *found = self.run("jobs", *place, limit - len(records), _LOOK_LIMIT, *wanted)
            records += self.records(found)
            behind = Cursor(int(created_ms), job) if job else None
            if behind is None or len(records) == limit:
                break
        return Page(records, behind)

    # --- steps ----------------------------------------------------------------------------------

    def claim(self, job: str, n: int, worker: str) -> Claim | Refusal:
        """Take step n. An expired lease found here counts as a lease death.

        A worker that rests takes nothing, and of a held queue only one job at a time may be tried, now and then;
        neither holds for a cancelled job on `control`.
        """
        nonce = secrets.token_hex(16)
        reply = self.run("claim", job, n, worker, nonce)
        if isinstance(reply, str):
            return Refusal[reply]
        _, kind, snapshot, created_ms, cancel, attempt, died, sha256, now_ms, batch, priority, price = reply
        return Claim(
            job=job,
            n=n,
            nonce=nonce,
            kind=kind,
            snapshot=snapshot,
            created_ms=int(created_ms),
            cancel=cancel == "1",
            attempt=int(attempt),
            last_death=died == "1",
            snapshot_sha256=sha256 or "",
            now_ms=int(now_ms),
            batch=batch,
            priority=int(priority),
            price=float(price or 0),
        )

    def renew(self, job: str, n: int, nonce: str) -> Renewal:
        return Renewal[self.run("renew", job, n, nonce)]

    def commit(
        self, job: str, n: int, nonce: str, snapshot: str, following: Next | None,
        status: JobStatus = JobStatus.QUEUED, stop: str = "", acknowledge_cancel: bool = False,
        summary: GoalSummary = NO_GOALS, cost: Cost = NO_COST, performed: bool = True, sha256: str = "",
        message: HintMessage = NO_MESSAGE,
    ) -> CommitResult:  # fmt: skip
        """Step n is done and its snapshot stored. `following` None ends the job with `status` and `stop`.

        `sha256` is of the snapshot's bytes: whoever claims the next step checks what it reads.

        `summary` replaces that of the step before; `cost` is added, once for each nonce. So it is for a
        commit that is refused: then it counts as wasted.

        `performed`: a seat did it. So what its queue needs works: a hold of the queue ends, and the worker is well.

        When cancel was asked for, only a commit that acknowledges it (a cancelled trajectory) applies.
        A commit resets the attempt counters and the error. A lease that ran out may still commit as
        long as nobody reaped or reclaimed it. The hint for the following step counts as sent now; `message` is written.

        Raises ValueError unless the job either goes on or ends with a terminal status.
        """
        if (following is None) != (status in TERMINAL):
            raise ValueError(f"a commit gives a following step or a terminal status, not {following!r} with {status}")
        queue, kind = (following.queue, following.kind) if following else ("", "")
        end = (status.value, stop, int(acknowledge_cancel))
        told = (summary.model_dump_json(), cost_argument(cost), int(performed), sha256)
        return CommitResult[self.run("commit", job, n, nonce, snapshot, queue, kind, *end, *told, *message)]

    def fail(
        self, job: str, n: int, nonce: str, error: str, actor: Actor, worker: str,
        retry_after_ms: int = 0, delay_ms: int = 0, cost: Cost = NO_COST,
    ) -> FailResult:  # fmt: skip
        """Give step n back after a failure. `cost` is added as wasted, once for each nonce, whatever the answer.

        `actor` decides. SEAT and USER charge an attempt, and the step is retried after `delay_ms`; the last attempt
        allowed makes the job FAILED. OUTAGE and OPERATOR charge nothing: if `error` names a `resource`, either the
        worker rests or the queue is held, for `retry_after_ms` at least; otherwise (storage) the step is retried after
        `delay_ms`. An editor that fails rests, and is quarantined if it goes on: see tasks/ledger/lua/holds.lua.

        A job that was asked to cancel goes to `control` at once instead of being retried or FAILED.
        """
        arguments = (error, actor.value, worker, retry_after_ms, delay_ms, cost_argument(cost))
        return FailResult[self.run("fail", job, n, nonce, *arguments)]

    def rewind(
        self, job: str, n: int, nonce: str, to: int | None, snapshot: str, following: Next | None,
        summary: GoalSummary, error: str, cost: Cost = NO_COST, sha256: str = "",
    ) -> RewindResult:  # fmt: skip
        """An object that step n needs is lost. The job goes back to step `to`, which makes it again, behind `snapshot`;
        once a job. `to` None, or a second time: it is a dead letter. Nobody is charged; the hint counts as sent now.
        """
        queue, kind = (following.queue, following.kind) if following else ("", "")
        back = ("" if to is None else to, snapshot, queue, kind, summary.model_dump_json(), sha256)
        return RewindResult[self.run("rewind", job, n, nonce, error, cost_argument(cost), *back)]

    # --- orders and hints -------------------------------------------------------------------------

    def reap(self) -> list[Record]:
        """Free leases that died and give their jobs; the hints of those still QUEUED count as sent now.

        A job past its lease-death cap becomes FAILED; one that was asked to cancel goes to `control`.
        """
        return self.records(self.run("reap", _REAP_LIMIT))

    def cancel(self, job: str) -> Hint | None:
        """Ask for cancel. Without a live lease the step moves to the `control` queue: gives that hint.

        None: the holder will learn it when it renews, or the job has ended, or is unknown.
        """
        flat = self.run("cancel", job)
        return hint_of(flat) if flat else None

    def order_number(self, job: str) -> int:
        """For an order that is to be stored: higher than those before, also after a wipe. 0: unknown job."""
        return int(self.run("number_order", job))

    def order(self, job: str, number: int, kind: str, priority: int = 0) -> Hint | None:
        """`pause`, `resume` or `priority`; gives the hint to send. Void after an order of a higher number.

        A pause acts between steps: the step that runs now is committed, and the job parked behind it.
        """
        flat = self.run("order", job, number, kind, priority)
        return hint_of(flat) if flat else None

    def requeue(self, job: str) -> Hint | None:
        """Bring a FAILED job back to QUEUED at the step where it died; counters start again. None: not FAILED."""
        flat = self.run("requeue", job)
        return hint_of(flat) if flat else None

    def remove(self, job: str) -> bool:
        """Drop a job for good, unless it is active (False). True too when it is unknown.

        While its objects are deleted nobody can create it again: until `removed`, or for REMOVING_MS.
        """
        return bool(self.run("remove", job, REMOVING_MS))

    def ready(self) -> bool:
        """It has an epoch, and takes writes: a full server still answers questions."""
        return bool(self.run("ready"))

    def keeping(self) -> Keeping:
        """How the server keeps what it is told; empty words where it does not tell."""
        memory, persistence = told(self._redis, "memory"), told(self._redis, "persistence")
        return Keeping(str(memory.get("maxmemory_policy", "")), str(persistence.get("aof_enabled", "1")) == "1")

    def removed(self, job: str) -> None:
        """The job's objects are gone: its id is free again."""
        self.run("removed", job)

    def depths(self) -> list[QueueDepth]:
        rows = sorted(self.run("depths"))
        return [QueueDepth(**dict(zip(_DEPTH_FIELDS, row, strict=True))) for row in rows]

    def tallies(self) -> Tallies:
        dead, flat = self.run("tallies")
        found: dict[str, dict[str, int]] = {}
        for name, number in zip(flat[::2], flat[1::2], strict=True):
            what, _, queue = str(name).partition("|")
            found.setdefault(what, {})[queue] = int(number)
        return Tallies.model_validate({"dead": dead, **found})

    def overdue(self, queue: str, older_than_ms: int, limit: int) -> list[Hint]:
        """Waiting steps whose hint is older than that and whose `not_before` has passed, oldest first.

        Their hints count as sent now. After a failure the hint counts as never sent. Of a held queue at most one, when
        the next try is due.
        """
        return [hint_of(flat) for flat in self.run("overdue", queue, older_than_ms, limit)]

    def announce(self, worker: str, queues: list[str], ttl_ms: int, processes: int = 1) -> Standing:
        """This worker serves these queues until `ttl_ms` from now (0: it says goodbye). Gives whether it may."""
        rest_ms, quarantined = self.run("announce", worker, ttl_ms, processes, *queues)
        return Standing(int(rest_ms), bool(quarantined))

    def served(self) -> dict[str, list[str]]:
        """Queue -> workers that serve it now."""
        serving: dict[str, list[str]] = {}
        for member in sorted(self.run("served")):
            queue, _, worker = str(member).partition("|")
            serving.setdefault(queue, []).append(worker)
        return serving

    # --- what is held, who is sick ------------------------------------------------------------------

    def holds(self) -> list[Hold]:
        """The held queues, by name."""
        rows = [(flat, {"queue": queue, "waiting": waiting}) for queue, waiting, flat in self.run("list_holds")]
        return sorted((value_of(Hold, *row) for row in rows), key=lambda hold: hold.queue)

    def expire_held(self, longest_ms: int, limit: int = 100) -> int:
        """Make dead letters of jobs that waited on a held queue for longer than that; how many."""
        return int(self.run("expire_held", longest_ms, limit, secrets.token_hex(16)))

    def standing(self, worker: str) -> Standing:
        rest_ms, quarantined = self.run("standing", worker)
        return Standing(int(rest_ms), bool(quarantined))

    def sick_workers(self) -> list[SickWorker]:
        """Workers whose last steps failed, and those in quarantine, by name."""
        rows = [(flat, {"worker": worker}) for worker, flat in self.run("list_sick")]
        return sorted((value_of(SickWorker, *row) for row in rows), key=lambda sick: sick.worker)

    def quarantine(self, worker: str, why: str) -> None:
        """The worker takes no step until `restore_worker`."""
        self.run("quarantine", worker, why)

    def restore_worker(self, worker: str) -> bool:
        """The worker is well: it may take steps. False: nothing was noted about it."""
        return bool(self.run("restore_worker", worker))

    def canaries_due(self) -> list[str]:
        """Quarantined workers that should try a canary now. Each is named once, until its next time."""
        return sorted(self.run("canaries_due"))

    def canary(self, worker: str, ok: bool, why: str = "") -> None:
        """How the canary of a worker ended: a good one ends its quarantine."""
        self.run("canary", worker, int(ok), why)

    # --- house-keeping ----------------------------------------------------------------------------

    def known(self, jobs: list[str]) -> dict[str, JobStatus]:
        """The status of those of `jobs` that are in the ledger. Never raises Wiped."""
        found: dict[str, JobStatus] = {}
        for start in range(0, len(jobs), _KNOWN_LIMIT):
            part = jobs[start : start + _KNOWN_LIMIT]
            found |= {
                job: JobStatus(status) for job, status in zip(part, self.run("known", *part), strict=True) if status
            }
        return found

    def dead_letters(self, limit: int = 100) -> list[Record]:
        """Jobs that became FAILED and whose dead letter is not filed yet."""
        return self.records(self.run("dead_letters", limit))

    def file_dead_letter(self, job: str, dead_letter: str) -> None:
        """The dead letter is in object storage."""
        self.run("file_dead_letter", job, dead_letter)

    def unlisted(self, limit: int = 100) -> list[Record]:
        """Jobs that ended and that storage does not list yet; children of batches are none of them."""
        return self.records(self.run("unlisted", limit))

    def listed(self, jobs: list[str]) -> list[str]:
        """Storage lists these; gives those that were dropped meanwhile."""
        return [str(job) for job in self.run("listed", *jobs)] if jobs else []

    def forget(self, older_than_ms: int, most: int = 10**9, limit: int = 100) -> int:
        """Drop jobs whose trajectory ended more than that long ago, and the oldest of more than `most`; how many.

        Dead letters stay; S3 keeps all.
        """
        return int(self.run("forget", older_than_ms, most, limit))

    def index(self, cursor: str = "0") -> str:
        """List some more jobs under their labels and how they stand; gives the next cursor, "0" at the end.

        Lists use this index once it is whole; until then, and of a ledger from before it, they look at every job.
        """
        return str(self.run("index", cursor, _INDEX_LIMIT))

    def indexed(self) -> bool:
        return bool(self.run("indexed"))

    def broken(self) -> list[str]:
        """The jobs whose record could not be read and was set aside, until they are entered again from storage."""
        return sorted(self.run("broken"))

    # --- after a wipe -----------------------------------------------------------------------------

    def epoch(self) -> str | None:
        """None: this ledger was wiped (or is new) and must be rebuilt. Never raises Wiped."""
        return reaching(lambda: cast("str | None", self._redis.get(f"{self.prefix}epoch")))

    def lock_rebuild(self, holder: str, ttl_ms: int) -> bool:
        """True for one holder at a time; the same holder may call again to keep it. False too when an epoch is open."""
        return bool(self.run("lock_rebuild", holder, ttl_ms))

    def restore(self, entry: Entry, holder: str) -> bool:
        """Insert if absent, while there is no epoch. Hints of restored jobs count as never sent.

        Raises StoreError if `holder` lost the lock or the epoch is open.
        """
        reply = self.run("create", "restore", holder, *entry_arguments(entry))
        if reply == "unlocked":
            raise StoreError(f"{holder} does not hold the rebuild lock")
        return reply == "created"

    def uncosted(self, limit: int = 100) -> list[str]:
        """Jobs that were restored without what they cost before: some of them, in no order."""
        return [str(job) for job in self.run("uncosted", limit)]

    def restore_cost(self, job: str, costs: Mapping[str, Cost]) -> None:
        """Add what attempts of an `uncosted` job took, by nonce, if not counted since. Safe to repeat."""
        pairs = list(costs.items())
        for start in range(0, len(pairs) or 1, _COSTS_LIMIT):
            part = pairs[start : start + _COSTS_LIMIT]
            words = [word for nonce, cost in part for word in (nonce, cost_argument(cost))]
            self.run("restore_cost", job, int(start + _COSTS_LIMIT >= len(pairs)), *words)

    def open_epoch(self, holder: str, older: bool = False, older_batches: bool = False) -> str:
        """The rebuild is complete: serve again. `older`: see has_older. Raises StoreError if `holder` lost the lock."""
        epoch = secrets.token_hex(16)
        if not self.run("open_epoch", holder, epoch, self._server(), int(older), int(older_batches)):
            raise StoreError(f"{holder} does not hold the rebuild lock")
        return epoch

    def has_older(self, batches: bool = False) -> bool:
        """Storage lists ended jobs, or `batches`, that the ledger has forgotten."""
        key = f"{self.prefix}{'older_batches' if batches else 'older'}"
        return bool(reaching(lambda: self._redis.exists(key)))

    # --- after a copy came back ---------------------------------------------------------------------

    def unsettled(self) -> str | None:
        """The server's replication id, if the jobs were not compared with storage since it has that one.

        It changes at each start of the server and when a replica is promoted: what is remembered may be some time old.
        """
        server = self._server()
        known = reaching(lambda: cast("str | None", self._redis.get(f"{self.prefix}server")))
        return server if server != (known or "") else None

    def settled(self, server: str) -> None:
        """All jobs were compared with storage."""
        self.run("settled", server)

    def replace(self, entry: Entry, step: int) -> bool:
        """Put `entry` in place of a record that stands at `step`. False: it stands elsewhere, or is leased."""
        return self.run("create", "behind", step, *entry_arguments(entry)) == "created"

    def drop(self, job: str) -> bool:
        """Drop a job, whatever its status. False: somebody holds its lease."""
        return bool(self.run("drop", job))

    def _server(self) -> str:
        """Its replication id; empty where it does not tell."""
        return str(told(self._redis, "replication").get("master_replid", ""))

    def records(self, flats: list[list[str]]) -> list[Record]:
        """Those that can be read; each of the others is set aside, so that it stops nothing but its own job."""
        records: list[Record] = []
        for flat in flats:
            try:
                records.append(record_of(flat))
            except (ValueError, KeyError) as unreadable:
                job = flat[-1]  # `view` ends with it
                log.error("a job's record can't be read and is set aside: %s", unreadable, extra=fields(job=job))
                self.run("set_aside", job)
        return records

    def run(self, script: str, *arguments: str | int) -> Reply:
        """Run a script; raise Wiped when it says so."""
        limits = self.limits
        settings = (
            self.now_ms, limits.lease_ttl_ms, limits.seat_attempts, limits.lease_deaths,
            limits.rest_ms, limits.pause_ms, limits.pause_cap_ms, limits.canary_ms, limits.sick_after,
        )  # fmt: skip
        reply = reaching(lambda: twice(lambda: self._scripts[script]([self.prefix], [*settings, *arguments])))
        if reply == "wiped":
            raise Wiped("the ledger was wiped and is not rebuilt yet", "the reconciler rebuilds it: try again")
        return reply
