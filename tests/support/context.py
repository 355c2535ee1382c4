"""A Context that remembers: pictures in a folder store, and what a seat counted, kept and said."""

from dataclasses import dataclass, field
from pathlib import Path

from director.errors import Cancelled
from tasks.store import FolderStore, Images


@dataclass
class SeatContext:
    """`cancel_at` cancels at that call of `check`, counted from 1."""

    images: Images
    cancel_at: int | None = None
    checks: int = 0
    counts: dict[str, int] = field(default_factory=dict[str, int])
    kept: dict[str, list[bytes]] = field(default_factory=dict[str, list[bytes]])
    said: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])

    def progress(self, message: str, done: int, total: int) -> None:
        self.said.append((message, done, total))

    def count(self, name: str, amount: int) -> None:
        self.counts[name] = self.counts.get(name, 0) + amount

    def keep(self, name: str, data: bytes) -> None:
        self.kept.setdefault(name, []).append(data)

    def check(self) -> None:
        self.checks += 1
        if self.checks == self.cancel_at:
            raise Cancelled("cancelled by its owner")


def make_context(folder: Path, cancel_at: int | None = None) -> SeatContext:
    return SeatContext(Images(FolderStore(folder)), cancel_at)
