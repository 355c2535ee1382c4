"""A Context that remembers what a seat counted and kept, and pictures to look at."""

import io
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from tests.support.scripted_studio import PlainContext


@dataclass
class RecordingContext(PlainContext):
    counts: Counter[str] = field(default_factory=Counter[str])
    kept: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])

    def count(self, name: str, amount: int) -> None:
        self.counts[name] += amount

    def keep(self, name: str, data: bytes) -> None:
        self.kept.append((name, data))

    def exchanges(self, name: str) -> list[dict[str, Any]]:
        """What was kept under a name, line by line."""
        return [json.loads(line) for kept, data in self.kept if kept == name for line in data.splitlines()]


def plain_png(colour: str, width: int = 64, height: int = 64, mode: str = "RGB") -> bytes:
    """A picture of one colour."""
    buffer = io.BytesIO()
    Image.new(mode, (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()
