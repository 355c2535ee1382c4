"""A host over the twins: `run_step` in this process, hints in a list. No server, no sleep."""

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from director.seats import Studio
from director.types import Brief, LoopSettings
from tasks.ledger.memory_ledger import MemoryLedger
from tasks.ledger.types import Hint, Ledger
from tasks.settings import Settings
from tasks.steps import Host, StepEnd, run_step
from tasks.store import Archive, FolderStore, Images
from tests.support.queue import submit


@dataclass
class Bench:
    """Twins of ledger and storage, and the hints that were sent."""

    ledger: Ledger
    archive: Archive
    images: Images
    settings: Settings
    hints: deque[Hint] = field(default_factory=deque[Hint])

    def host(self, studio: Studio, die: object = None) -> Host:
        def died() -> None:
            raise AssertionError("the step wanted to kill its process")

        return Host(
            settings=self.settings,
            ledger=self.ledger,
            archive=self.archive,
            images=self.images,
            studio=studio,
            send=self.hints.append,
            die=die or died,  # pyright: ignore[reportArgumentType]
        )

    def submit(self, brief: Brief, settings: LoopSettings, seed: int = 7, created: float | None = None) -> str:
        return submit(self.ledger, self.archive, brief, settings, self.hints.append, seed, created)

    def drain(self, host: Host) -> list[StepEnd]:
        """Run hints until none is left."""
        ends: list[StepEnd] = []
        while self.hints:
            hint = self.hints.popleft()
            ends.append(run_step(host, hint.job, hint.n))
        return ends


def make_bench(folder: Path, ledger: Ledger | None = None, **settings: object) -> Bench:
    """A fresh bench; `settings` are fields of Settings."""
    made = Settings.model_validate({"host": "bench", "renew_every_s": 0.01, **settings})
    store = FolderStore(folder)
    fresh = ledger or MemoryLedger(made.limits)
    if ledger is None:
        fresh.lock_rebuild("bench", 1000)
        fresh.open_epoch("bench")
    return Bench(fresh, Archive(store), Images(store), made)
