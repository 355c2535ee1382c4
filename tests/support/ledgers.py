"""A ledger under test: it can be wiped, and its clock be told. In process the same scripts run as on a server."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from fakeredis import FakeRedis, FakeServer
from redis import Redis

from tasks.ledger.ledger import Ledger, connect
from tasks.ledger.types import Claim, Entry, Limits, Next

LIMITS = Limits(lease_ttl_ms=10_000, seat_attempts=3, lease_deaths=3)
PLAN = Next(queue="planner", kind="plan")
RENDER = Next(queue="editor.flux", kind="render")


@dataclass
class LedgerRig:
    """A ledger and the Redis below it, which other rigs may share: only keys of the ledger's prefix are touched.

    The ledger's clock stands still until `advance` moves it: no test depends on how fast its machine is.
    """

    ledger: Ledger
    redis: "Redis"
    server: FakeServer | None = None

    def __post_init__(self) -> None:
        self.ledger.now_ms = round(1000 * time.time())

    def open(self) -> None:
        """Rebuild from nothing."""
        assert self.ledger.lock_rebuild("rig", 60_000)
        self.ledger.open_epoch("rig")

    def wipe(self) -> None:
        if keys := list(self.redis.scan_iter(f"{self.ledger.prefix}*", count=1000)):
            self.redis.delete(*keys)

    def dump(self) -> dict[str, bytes]:
        """A copy of all keys, for `load`."""
        keys = [str(key) for key in self.redis.scan_iter(f"{self.ledger.prefix}*", count=1000)]
        return {key: cast("bytes", self._raw().dump(key)) for key in keys}

    def load(self, copy: dict[str, bytes]) -> None:
        for key, value in copy.items():
            self._raw().restore(key, 0, value)

    def _raw(self) -> "Redis":
        """What `dump` gives is no text."""
        if isinstance(self.redis, FakeRedis):
            return cast("Redis", FakeRedis(server=self.server))
        where = self.redis.connection_pool.connection_kwargs
        return Redis(host=where["host"], port=where["port"], db=where.get("db", 0))

    def advance(self, ms: int) -> None:
        """Move the ledger's clock."""
        self.ledger.now_ms += ms

    def submit(self, job: str = "job-1", **fields: object) -> None:
        assert self.ledger.create(entry(job, **fields))

    def claimed(self, n: int = 0, job: str = "job-1", holder: str = "host-1") -> Claim:
        claim = self.ledger.claim(job, n, holder)
        assert isinstance(claim, Claim), claim
        return claim


def entry(job: str = "job-1", **fields: object) -> Entry:
    defaults = {"owner": "alice", "title": "A red / 'blüe' \"sign\"", "created_ms": 1_000, "priority": 6, "next": PLAN}
    return Entry.model_validate({"job": job, **defaults, **fields})


def patient(url: str) -> "Redis":
    """A client that waits for a server on a machine that has much else to do."""
    return connect(url, timeout_s=60)


def in_process(limits: Limits = LIMITS) -> LedgerRig:
    """New and without an epoch, on a Redis in this process."""
    server = FakeServer()
    redis = cast("Redis", FakeRedis(server=server, decode_responses=True))
    return LedgerRig(Ledger(redis, limits), redis, server)


@contextmanager
def on_server(url: str) -> Iterator[LedgerRig]:
    """New and without an epoch, on a server that others use too: the keys have a prefix of their own."""
    redis = patient(url)
    with Ledger(redis, LIMITS, f"test-{secrets.token_hex(8)}:") as ledger:
        rig = LedgerRig(ledger, redis)
        try:
            yield rig
        finally:
            rig.wipe()
