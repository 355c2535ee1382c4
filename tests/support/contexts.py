"""What a seat may ask of its host, in this process: pictures in memory, and a Context that may remember."""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from director.errors import Cancelled
from director.seats import Images, Raster
from tasks.store import raster_of


class MemoryImages:
    """Pictures in a dict."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}

    def get(self, image: str) -> bytes:
        return self.stored[image]

    def put(self, png: bytes) -> str:
        key = hashlib.sha256(png).hexdigest()
        self.stored[key] = png
        return key

    def raster(self, image: str) -> Raster:
        return raster_of(self.stored[image])

    def put_raster(self, raster: Raster, encode: Callable[[], bytes]) -> str:
        return self.put(encode())


@dataclass
class PlainContext:
    """Forgets what it is told."""

    images: Images = field(default_factory=MemoryImages)
    cancelled: bool = False

    def progress(self, message: str, done: int, total: int) -> None:
        assert message
        assert 0 <= done <= total

    def count(self, name: str, amount: int) -> None:
        pass

    def keep(self, name: str, data: bytes) -> None:
        pass

    def check(self) -> None:
        if self.cancelled:
            raise Cancelled("cancelled by the test")


@dataclass
class RecordingContext(PlainContext):
    """Remembers what a seat counted, kept and said. `cancel_at` cancels at that call of `check`, counted from 1."""

    cancel_at: int | None = None
    checks: int = 0
    counts: Counter[str] = field(default_factory=Counter[str])
    kept: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])
    said: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])

    def progress(self, message: str, done: int, total: int) -> None:
        super().progress(message, done, total)
        self.said.append((message, done, total))

    def count(self, name: str, amount: int) -> None:
        self.counts[name] += amount

    def keep(self, name: str, data: bytes) -> None:
        self.kept.append((name, data))

    def check(self) -> None:
        self.checks += 1
        self.cancelled = self.cancelled or self.checks == self.cancel_at
        super().check()

    def exchanges(self, name: str) -> list[dict[str, Any]]:
        """What was kept under a name, line by line."""
        return [json.loads(line) for kept, data in self.kept if kept == name for line in data.splitlines()]


def plain_png(colour: str, width: int = 64, height: int = 64, mode: str = "RGB") -> bytes:
    """A picture of one colour."""
    buffer = io.BytesIO()
    Image.new(mode, (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()
