"""A ledger under test: its clock can be moved, and it can be wiped."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from redis import Redis

from tasks.ledger.memory_ledger import MemoryLedger
from tasks.ledger.redis_ledger import RedisLedger
from tasks.ledger.types import Claim, Entry, Ledger, Limits, Next
from tasks.settings import Settings

LIMITS = Limits(lease_ttl_ms=10_000, seat_attempts=3, lease_deaths=3)
PLAN = Next(queue="planner", kind="plan")
RENDER = Next(queue="editor.flux", kind="render")


@dataclass
class Bench:
    """`advance` moves the ledger's clock by milliseconds."""

    ledger: Ledger
    advance: Callable[[int], None]
    wipe: Callable[[], None]

    def open(self) -> None:
        """Rebuild from nothing."""
        assert self.ledger.lock_rebuild("bench", 60_000)
        self.ledger.open_epoch("bench")

    def submit(self, job: str = "job-1", **facts: object) -> None:
        assert self.ledger.create(entry(job, **facts))

    def claimed(self, n: int = 0, job: str = "job-1", holder: str = "host-1") -> Claim:
        claim = self.ledger.claim(job, n, holder)
        assert isinstance(claim, Claim), claim
        return claim


def entry(job: str = "job-1", **facts: object) -> Entry:
    defaults = {"owner": "alice", "title": "A red / 'blüe' \"sign\"", "created_ms": 1_000, "priority": 6, "next": PLAN}
    return Entry.model_validate({"job": job, **defaults, **facts})


def memory_bench() -> Bench:
    offset = [0]

    def advance(ms: int) -> None:
        offset[0] += ms

    ledger = MemoryLedger(LIMITS, clock=lambda: int(time.time() * 1000) + offset[0])
    return Bench(ledger, advance, ledger.wipe)


@contextmanager
def redis_bench(url: str) -> Iterator[Bench]:
    """On a server that others use too: the keys have a prefix of their own."""
    settings = Settings(ledger_url=url, lease_ttl_s=10, seat_attempts=3, lease_deaths=3)
    prefix = f"test-{secrets.token_hex(8)}:"
    with RedisLedger(settings, prefix) as ledger, Redis.from_url(url, decode_responses=True) as redis:

        def advance(ms: int) -> None:
            ledger.clock_offset_ms += ms

        def wipe() -> None:
            for key in redis.scan_iter(f"{prefix}*", count=1000):
                redis.delete(key)

        try:
            yield Bench(ledger, advance, wipe)
        finally:
            wipe()
