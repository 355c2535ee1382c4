"""GenEval without weights: a detector and a classifier that say what they are told. The one stand-in for models here:
the real ones need gigabytes, and what is tested is what is made of their answers."""

import hashlib
import json
from collections.abc import Callable, Sequence

from worker.bench.geneval.scoring import COLOURS, Colour, Detection, Found


def metadata(*prompts: tuple[str, str]) -> str:
    """Lines of evaluation_metadata.jsonl for (tag, class)."""
    records = [
        {"tag": tag, "include": [{"class": name, "count": 1}], "prompt": f"a photo of a {name}"}
        for tag, name in prompts
    ]
    return "".join(json.dumps(each) + "\n" for each in records)


class ScriptedDetector:
    """Asks `say` of each picture. `seen` counts the pictures."""

    def __init__(self, say: Callable[[bytes, Sequence[str]], Found], name: str = "scripted") -> None:
        self.name = name
        self.seen = 0
        self._say = say

    def detect(self, png: bytes, classes: Sequence[str]) -> Found:
        self.seen += 1
        return self._say(png, classes)


class ScriptedColours:
    """A colour that hangs on the picture's bytes alone."""

    name = "scripted"

    def colours(self, png: bytes, kind: str, objects: Sequence[Detection]) -> Sequence[Colour]:
        return [COLOURS[_number(png) % len(COLOURS)] for _ in objects]


def coin(png: bytes, classes: Sequence[str]) -> Found:
    """Half of all pictures hold what was asked for: which, hangs on their bytes."""
    return {name: [Detection(0, 0, 9, 9, 0.95)] for name in classes} if _number(png) % 2 else {}


def _number(png: bytes) -> int:
    return hashlib.sha256(png).digest()[0]
