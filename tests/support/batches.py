"""Batches under test: a ledger, storage in a folder, the reconciler with its dispatcher, and a worker that plays.

Passes, steps and drawing take a few milliseconds each, by the ledger's clock.
"""

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from director.errors import SeatError
from director.types import Brief
from tasks.batch.batches import Batches
from tasks.batch.dispatch import Dispatcher
from tasks.batch.shelf import NAMES, Shelf, shard_of
from tasks.batch.types import PART, Batch, Combo, Item, Result, Span, Standing, batch_id
from tasks.ledger.types import Hint
from tasks.reconcile import Reconciler
from tasks.settings import Settings
from tasks.steps import Host, run_step
from tasks.store import Archive, FolderStore, Images
from tests.support.ledgers import LedgerRig
from tests.support.scripted_studio import goals_of, play

log = logging.getLogger(__name__)

MODEL = "sketch"
QUICK = {"candidates": 1, "rounds": 1, "editor": MODEL, "gate": "one-shot"}


@dataclass
class BatchRig:
    """`outcomes` are what the pictures of a title's jobs meet, by title: traits of the scripted studio."""

    rig: LedgerRig
    folder: Path
    outcomes: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    hints: deque[Hint] = field(default_factory=deque[Hint])
    drawn: list[str] = field(default_factory=list[str])  # titles, one for each render
    editors: int = 1
    model: str = MODEL

    def __post_init__(self) -> None:
        self.store = FolderStore(self.folder)
        self.archive, self.images, self.shelf = Archive(self.store), Images(self.store), Shelf(self.store)
        self.settings = Settings(host="test", hint_age_s=3, keep_ended_s=100, report_every_s=0.001, seat_attempts=1)
        self.ledger = self.rig.ledger
        self.batches = Batches(self.ledger, self.shelf, self.archive, self.hints.append)
        self.reconciler = self.another()

    def another(self) -> Reconciler:
        """As a second machine runs it."""
        self.dispatcher = Dispatcher(self.batches, self.ledger, self.archive, self.settings, self.hints.append)
        return Reconciler(
            self.ledger, self.archive, self.settings, send=self.hints.append,
            queue_length=lambda queue: sum(hint.queue == queue for hint in self.hints), batches=self.dispatcher,
        )  # fmt: skip

    def serve(self) -> None:
        """Workers say which queues they serve."""
        for number in range(self.editors):
            self.ledger.announce(f"editor-{number}@test", [f"editor.{self.model}"], 3_600_000)

    def forget(self) -> None:
        """The ledger is empty, and every program is new: nothing is remembered but what is stored."""
        self.rig.wipe()
        self.hints.clear()
        self.shelf = self.batches.shelf = Shelf(self.store)
        self.reconciler = self.another()
        self.passes()
        self.serve()

    def passes(self, times: int = 1) -> None:
        """The reconciler's."""
        for _ in range(times):
            assert self.reconciler.once()
            self.rig.advance(20)

    def work(self, most: int = 100_000) -> int:
        """Run hinted steps, at most so many; how many were."""
        done = 0
        while self.hints and done < most:
            self.step(self.hints.popleft())
            done += 1
        return done

    def step(self, hint: Hint) -> None:
        try:
            run_step(self._host(hint), hint.job, hint.n)
        except SeatError as failed:  # a worker's task would show it
            log.info("failed: %s", failed)
        self.rig.advance(5)

    def finish(self, passes: int = 200) -> None:
        """Passes and steps until nothing is left to do."""
        for _ in range(passes):
            self.passes()
            if self.work():
                continue
            if not any(standing.counts.running for standing in self.batches.listed(None, 100)):
                self.passes(2)
                if not self.hints:
                    return
            self.rig.advance(500)  # what failed waits a second or two before its next try
        raise AssertionError("there is always something left")

    def _host(self, hint: Hint) -> Host:
        traits = self.outcomes.get(hint.title, {"a": "met"})

        def script() -> Iterator[Mapping[str, Any]]:
            while True:
                self.rig.advance(10)
                self.drawn.append(hint.title)
                if "fails" in traits:
                    raise SeatError("no good")
                yield traits

        studio = play()
        studio.script = script()
        return Host(
            settings=self.settings, ledger=self.ledger, archive=self.archive, images=self.images,
            studio=studio.studio(), send=self.hints.append, worker="editor-0@test",
        )  # fmt: skip

    # --- batches ----------------------------------------------------------------------------------

    def start(self, key: str = "b", items: int = 3, owner: str = "alice", **about: Any) -> Batch:
        """A batch of `items` lines a0, a1, ... which is begun."""
        batch = self.stored(key, items, owner, **about)
        assert self.batches.start(batch)
        return batch

    def stored(self, key: str, items: int, owner: str = "alice", seeds: tuple[int, ...] = (), **about: Any) -> Batch:
        """Its lines are in storage, and it has not begun."""
        id = batch_id(owner, key)
        combos = tuple(Combo(name=f"seed={seed}", seed=seed) for seed in seeds) or (Combo(),)
        span = Span(model=self.model, folder=0, first=0, lines=items, combos=tuple(range(len(combos))))
        values = {
            "id": id, "owner": owner, "title": key, "settings": {**QUICK, "editor": self.model}, "combos": combos,
            "spans": (span,), "created": 1000.0, **about,
        }  # fmt: skip
        batch = Batch.model_validate(values)
        self.store_lines(id, items)
        return batch

    def store_lines(self, id: str, items: int) -> None:
        lines = [Item(custom_id=f"a{n}", line=n + 1, brief=brief_of(n)) for n in range(items)]
        for part, some in enumerate(_parts(lines)):
            self.shelf.put_part(id, 0, part, some)
        shards: dict[int, list[tuple[str, int, int]]] = {shard: [] for shard in range(max(1, items // NAMES))}
        for row, item in enumerate(lines):
            shards[shard_of(item.custom_id, items)].append((item.custom_id, 0, row))
        for shard, names in shards.items():
            self.shelf.put_names(id, shard, names)

    def standing(self, batch: Batch) -> Standing:
        found = self.batches.standing(batch.id)
        assert found
        return found

    def results(self, batch: Batch, every: bool = False) -> dict[str, Result]:
        found = list(self.batches.results(batch, every))
        by_name = {result.custom_id: result for result in found}
        assert every or len(by_name) == len(found), "an item has two current results"
        return by_name


def _parts(lines: list[Item]) -> Iterator[list[Item]]:
    for start in range(0, len(lines), PART):
        yield lines[start : start + PART]


def brief_of(n: int) -> Brief:
    return Brief(text=f"A poster, number {n}. " * 3, title=f"t{n}", goals=goals_of("a"))
