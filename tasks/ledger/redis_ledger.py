"""The ledger on Redis: one Lua script, and one round trip, for each operation.

The scripts are in tasks/ledger/lua; `common.lua` lists the keys. Redis runs a script as one step, so no
two workers can both claim a step, and a commit and a cancel can't both win.
"""

import secrets
from collections.abc import Callable
from importlib.resources import files
from typing import Any, Self, TypeVar, cast

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

from director.errors import StoreError
from tasks.jobs import JobStatus
from tasks.ledger.types import (
    EVERY,
    REMOVING_MS,
    Claim,
    CommitResult,
    Cursor,
    Entry,
    FailResult,
    Hint,
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
from tasks.settings import Settings
from tasks.summary import NO_COST, NO_GOALS, Cost, GoalSummary

PREFIX = "vd:"
_SCRIPTS = (
    "create", "get", "jobs", "claim", "renew", "commit", "fail", "reap", "cancel", "requeue", "depths", "overdue",
    "admit", "remove", "removed", "tallies", "announce", "served", "known", "letters", "file_letter", "forget",
    "lock_rebuild", "open_epoch",
)  # fmt: skip
_REAP_LIMIT = 200  # leases a queue and pass: bounds the time that one script holds the server
_KNOWN_LIMIT = 1000  # ids a call, for the same reason
_LOOK_LIMIT = 500  # jobs that a list looks at a call
_MOST_LOOKS = 10  # calls for one page of few matches
_DEPTH_FIELDS = ("queue", "waiting", "leased", "delayed", "unhinted", "oldest_ms")
_PLAIN_FIELDS = frozenset(Record.model_fields) - {"labels", "facts", "cost"}
_COST = "cost_"  # before the names of a cost in a job's hash

Reply = Any  # what a script gives: a word, a number or (nested) lists of words
T = TypeVar("T")


def connect(url: str, timeout_s: float = 2.0, tries: int = 3) -> "Redis":
    """A client that gives up on a silent server after about `timeout_s`, well within a lease.

    A connection that breaks, or a server that still loads, is tried `tries` times. So a script may
    run twice when an answer is lost; each is written so that this does no harm.
    """
    return Redis.from_url(  # pyright: ignore[reportUnknownMemberType]  (redis-py types its options as Unknown)
        url,
        decode_responses=True,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        health_check_interval=25,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), tries - 1, supported_errors=(RedisConnectionError,)),
    )


class RedisLedger:
    """`Ledger` on one Redis server of version 6.2 or later. Safe for threads and after a fork.

    `prefix` is that of every key. `clock_offset_ms` is added to the server's clock, so that tests
    need not wait for a lease to run out.
    """

    def __init__(
        self, settings: Settings, prefix: str = PREFIX, clock_offset_ms: int = 0, timeout_s: float = 2.0
    ) -> None:
        self.limits = settings.limits
        self.prefix = prefix
        self.clock_offset_ms = clock_offset_ms
        self._redis = connect(settings.ledger_url, timeout_s)
        folder = files("tasks.ledger") / "lua"
        common = (folder / "common.lua").read_text()
        self._scripts = {
            name: self._redis.register_script(f"{common}\n{(folder / f'{name}.lua').read_text()}") for name in _SCRIPTS
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._redis.close()

    # --- jobs -----------------------------------------------------------------------------------

    def admit(self, owner: str, job: str, most: int, ttl_ms: int) -> bool:
        return bool(self._run("admit", owner, job, most, ttl_ms))

    def create(self, entry: Entry) -> bool:
        reply = self._run("create", "create", "", *_entry_arguments(entry))
        if reply == "removing":
            raise Removing("this job is being deleted", "try again in a moment")
        return reply == "created"

    def get(self, job: str) -> Record | None:
        flat = self._run("get", job)
        return _record(flat) if flat else None

    def jobs(self, query: Query = EVERY, limit: int = 100, behind: Cursor | None = None) -> Page:
        records: list[Record] = []
        for _ in range(_MOST_LOOKS):
            cursor = behind or ("", "")
            place = (query.owner or "", _or_empty(query.after_ms), _or_empty(query.before_ms), *cursor)
            wanted = (",".join(query.statuses), *query.labels)
            (created_ms, job), *found = self._run("jobs", *place, limit - len(records), _LOOK_LIMIT, *wanted)
            records += [_record(flat) for flat in found]
            behind = Cursor(int(created_ms), job) if job else None
            if behind is None or len(records) == limit:
                break
        return Page(records, behind)

    # --- steps ----------------------------------------------------------------------------------

    def claim(self, job: str, n: int, holder: str) -> Claim | Refusal:
        nonce = secrets.token_hex(16)
        reply = self._run("claim", job, n, holder, nonce)
        if isinstance(reply, str):
            return Refusal[reply]
        _, kind, snapshot, created_ms, cancel, attempt, died = reply
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
        )

    def renew(self, job: str, n: int, nonce: str) -> Renewal:
        return Renewal[self._run("renew", job, n, nonce)]

    def commit(
        self, job: str, n: int, nonce: str, snapshot: str, following: Next | None,
        status: JobStatus = JobStatus.QUEUED, stop: str = "", acknowledge_cancel: bool = False,
        facts: GoalSummary = NO_GOALS, cost: Cost = NO_COST,
    ) -> CommitResult:  # fmt: skip
        check_ending(following, status)
        queue, kind = (following.queue, following.kind) if following else ("", "")
        told = (facts.model_dump_json(), _cost_argument(cost))
        arguments = (snapshot, queue, kind, status.value, stop, int(acknowledge_cancel), *told)
        return CommitResult[self._run("commit", job, n, nonce, *arguments)]

    def fail(
        self, job: str, n: int, nonce: str, error: str, counts: bool, delay_ms: int, cost: Cost = NO_COST
    ) -> FailResult:
        arguments = (error, int(counts), delay_ms, _cost_argument(cost))
        return FailResult[self._run("fail", job, n, nonce, *arguments)]

    # --- orders and hints -------------------------------------------------------------------------

    def reap(self) -> list[Record]:
        return [_record(flat) for flat in self._run("reap", _REAP_LIMIT)]

    def cancel(self, job: str) -> Hint | None:
        flat = self._run("cancel", job)
        return _hint(flat) if flat else None

    def requeue(self, job: str) -> Hint | None:
        flat = self._run("requeue", job)
        return _hint(flat) if flat else None

    def remove(self, job: str) -> bool:
        return bool(self._run("remove", job, REMOVING_MS))

    def removed(self, job: str) -> None:
        self._run("removed", job)

    def depths(self) -> list[QueueDepth]:
        rows = sorted(self._run("depths"))
        return [QueueDepth(**dict(zip(_DEPTH_FIELDS, row, strict=True))) for row in rows]

    def tallies(self) -> Tallies:
        dead, flat = self._run("tallies")
        found: dict[str, dict[str, int]] = {}
        for name, number in zip(flat[::2], flat[1::2], strict=True):
            what, _, queue = str(name).partition("|")
            found.setdefault(what, {})[queue] = int(number)
        return Tallies.model_validate({"dead": dead, **found})

    def overdue(self, queue: str, older_than_ms: int, limit: int) -> list[Hint]:
        return [_hint(flat) for flat in self._run("overdue", queue, older_than_ms, limit)]

    def announce(self, worker: str, queues: list[str], ttl_ms: int) -> None:
        self._run("announce", worker, ttl_ms, *queues)

    def served(self) -> dict[str, list[str]]:
        serving: dict[str, list[str]] = {}
        for member in sorted(self._run("served")):
            queue, _, worker = str(member).partition("|")
            serving.setdefault(queue, []).append(worker)
        return serving

    # --- house-keeping ----------------------------------------------------------------------------

    def known(self, jobs: list[str]) -> dict[str, JobStatus]:
        found: dict[str, JobStatus] = {}
        for start in range(0, len(jobs), _KNOWN_LIMIT):
            part = jobs[start : start + _KNOWN_LIMIT]
            found |= {
                job: JobStatus(status) for job, status in zip(part, self._run("known", *part), strict=True) if status
            }
        return found

    def dead_letters(self, limit: int = 100) -> list[Record]:
        return [_record(flat) for flat in self._run("letters", limit)]

    def file_letter(self, job: str, letter: str) -> None:
        self._run("file_letter", job, letter)

    def forget(self, older_than_ms: int, limit: int = 100) -> int:
        return int(self._run("forget", older_than_ms, limit))

    # --- after a wipe -----------------------------------------------------------------------------

    def epoch(self) -> str | None:
        return _reaching(lambda: cast("str | None", self._redis.get(f"{self.prefix}epoch")))

    def lock_rebuild(self, holder: str, ttl_ms: int) -> bool:
        return bool(self._run("lock_rebuild", holder, ttl_ms))

    def restore(self, entry: Entry, holder: str) -> bool:
        reply = self._run("create", "restore", holder, *_entry_arguments(entry))
        if reply == "unlocked":
            raise StoreError(f"{holder} does not hold the rebuild lock")
        return reply == "created"

    def open_epoch(self, holder: str) -> str:
        epoch = secrets.token_hex(16)
        if not self._run("open_epoch", holder, epoch):
            raise StoreError(f"{holder} does not hold the rebuild lock")
        return epoch

    def _run(self, script: str, *arguments: str | int) -> Reply:
        """Run a script; raise Wiped when it says so."""
        limits = self.limits
        settings = (self.clock_offset_ms, limits.lease_ttl_ms, limits.seat_attempts, limits.lease_deaths)
        reply = _reaching(lambda: self._scripts[script]([self.prefix], [*settings, *arguments]))
        if reply == "wiped":
            raise Wiped("the ledger was wiped and is not rebuilt yet", "the reconciler rebuilds it: try again")
        return reply


def broker_queue_length(broker: "Redis", queue: str, steps: tuple[int, ...] = (0, 3, 6, 9), sep: str = ":") -> int:
    """Messages in the lists that kombu keeps for `queue`, one for each priority step. Raises StoreError."""
    keys = [f"{queue}{sep}{step}" if step else queue for step in steps]

    script = "local sum = 0 for _, key in ipairs(KEYS) do sum = sum + redis.call('LLEN', key) end return sum"
    return _reaching(lambda: cast("int", broker.eval(script, len(keys), *keys)))


def _reaching(call: Callable[[], T]) -> T:
    try:
        return call()
    except RedisError as error:
        raise StoreError(f"Redis: {type(error).__name__}: {error}"[:500], "is the Redis server up?") from error


def _entry_arguments(entry: Entry) -> tuple[str | int, ...]:
    queue, kind = (entry.next.queue, entry.next.kind) if entry.next else ("", "")
    return (
        entry.job, entry.owner, entry.title, entry.created_ms, entry.priority, entry.step, entry.snapshot,
        queue, kind, entry.status.value, entry.stop, int(entry.cancel), entry.error, entry.letter,
        ",".join(entry.labels), entry.facts.model_dump_json(), _cost_argument(entry.cost), entry.ended_ms,
    )  # fmt: skip


def _cost_argument(cost: Cost) -> str:
    """Only what is to be added; most steps count little."""
    return cost.model_dump_json(exclude_defaults=True) if cost != NO_COST else ""


def _or_empty(value: int | None) -> int | str:
    return "" if value is None else value


def _record(flat: list[str]) -> Record:
    # Of a name that comes twice the later value holds: what a script shows in place of what is stored.
    row = dict(zip(flat[::2], flat[1::2], strict=True))
    shown: dict[str, Any] = {name: value for name, value in row.items() if name in _PLAIN_FIELDS}
    if labels := row.get("labels"):
        shown["labels"] = labels.split(",")
    if facts := row.get("facts"):
        shown["facts"] = GoalSummary.model_validate_json(facts)
    cost = {name.removeprefix(_COST): value for name, value in row.items() if name.startswith(_COST)}
    return Record.model_validate({**shown, "cost": cost})


def _hint(flat: list[str]) -> Hint:
    job, n, queue, kind, title, priority = flat
    return Hint(job=job, n=int(n), queue=queue, kind=kind, title=title, priority=int(priority))
