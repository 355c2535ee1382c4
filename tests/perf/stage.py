"""A real Redis, storage in a folder, and the real dispatcher under a simulated clock."""

import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis

from infra.servers import redis_server
from tasks.batch.batches import Batches
from tasks.batch.dispatch import Dispatcher
from tasks.batch.shelf import Shelf
from tasks.batch.types import PART, Batch, Span, batch_id
from tasks.ledger.ledger import connect
from tasks.settings import Settings
from tasks.store import Archive, FolderStore
from tasks.store.objects import Store
from tests.support.nights import Broker, Clock, Night, SimulatedLedger, Work, editors, thinkers

MODEL = "night"


@dataclass
class Stage:
    """A night's ledger, storage and dispatcher."""

    redis: "Redis"
    store: Store
    seed: int
    clock: Clock = field(default_factory=Clock)
    broker: Broker = field(default_factory=Broker)
    batches_made: list[Batch] = field(default_factory=list[Batch])

    def __post_init__(self) -> None:
        self.ledger = SimulatedLedger(self.redis, self.clock)
        self.archive, self.shelf = Archive(self.store), Shelf(self.store)
        self.settings = Settings(host="night")
        self.batches = Batches(self.ledger, self.shelf, self.archive, self.broker.put)
        self.dispatcher = self.another()

    def another(self) -> Dispatcher:
        return Dispatcher(self.batches, self.ledger, self.archive, self.settings, self.broker.put)

    def open(self) -> None:
        assert self.ledger.lock_rebuild("night", 60_000)
        self.ledger.open_epoch("night")

    def night(self, drawers: int, others: int, work: Work, **about: Any) -> Night:
        def a_pass() -> None:
            for part in self.dispatcher.parts():
                part()

        programs = [*editors(drawers), *thinkers(others)]
        return Night(self.clock, self.ledger, self.broker, programs, work, self.seed, a_pass, **about)

    def start(self, key: str, items: int, owner: str = "alice", **about: Any) -> Batch:
        """A batch that is begun; its lines are alike."""
        batch = self.stored(key, items, owner, **about)
        assert self.batches.start(batch)
        self.batches_made.append(batch)
        return batch

    def stored(self, key: str, items: int, owner: str, **about: Any) -> Batch:
        """Its lines are written as they would be stored."""
        id = batch_id(owner, key)
        for part, first in enumerate(range(0, items, PART)):
            lines = b"".join(_line(n) for n in range(first, min(items, first + PART)))
            self.shelf.put_lines(id, 0, part, lines)
        values = {
            "id": id, "owner": owner, "title": key, "settings": {"editor": MODEL, "candidates": 1},
            "spans": (Span(model=MODEL, folder=0, first=0, lines=items),), "created": self.clock.ms / 1000, **about,
        }  # fmt: skip
        return Batch.model_validate(values)

    def waiting(self, batch: Batch) -> int:
        standing = self.batches.standing(batch.id)
        return standing.counts.waiting if standing else 0


def _line(n: int) -> bytes:
    goal = b'{"id":"g1","text":"a red cup on a table"}'
    return b'{"custom_id":"a%d","line":%d,"brief":{"text":"A red cup on a table, %d.","goals":[%s]}}\n' % (
        n,
        n + 1,
        n,
        goal,
    )


@contextmanager
def stage(seed: int, store: Callable[[Path], Store] = FolderStore) -> Generator[Stage]:
    shm = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as name,
        redis_server(Path(name) / "redis", fsync="no") as server,
    ):
        redis = connect(server.url, timeout_s=120)
        try:
            made = Stage(redis, store(Path(name) / "objects"), seed)
            made.open()
            yield made
        finally:
            redis.close()
