"""`run_step` in this process: the ledger in process, storage in a folder, hints in a list. No server, no sleep."""

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from director.seats import Studio
from director.types import Brief, LoopSettings
from tasks.ledger.ledger import Ledger
from tasks.ledger.types import Hint
from tasks.settings import Settings
from tasks.steps import Host, StepEnd, run_step
from tasks.store import Archive, FolderStore, Images
from tests.support.ledgers import in_process
from tests.support.queue import submit


@dataclass
class StepRig:
    """Ledger and storage, and the hints that were sent."""

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


def make_step_rig(folder: Path, **settings: object) -> StepRig:
    """A fresh one; `settings` are fields of Settings."""
    made = Settings.model_validate({"host": "bench", "renew_every_s": 0.01, **settings})
    store, rig = FolderStore(folder), in_process(made.limits)
    rig.open()
    return StepRig(rig.ledger, Archive(store), Images(store), made)
