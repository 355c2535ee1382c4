"""The word lists beside this module: nouns, colours, and the cues (patterns) for everything else."""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple


class Noun(NamedTuple):
    """`place`: ground, sky, hang, any or over. `scale`: size beside a cup. `code`: its glyph, if any."""

    code: str
    place: str
    colour: str
    scale: float
    words: list[str]


@cache
def lexicon(name: str) -> dict[str, Any]:
    return json.loads((files("worker.sketch") / "words" / f"{name}.json").read_text("utf-8"))


_CASED = ("caps", "terms", "cue", "stop", "lettered", "fact")


@cache
def nouns() -> dict[str, Noun]:
    return {name: Noun(**noun) for name, noun in lexicon("nouns").items()}


def colours() -> dict[str, str]:
    """Colour words and their values, as "#rrggbb"."""
    return lexicon("colours")


def pattern(name: str) -> re.Pattern[str]:
    """A pattern of the cues; strings are found by their capitals, so theirs mind case."""
    return re.compile(lexicon("cues")["patterns"][name], 0 if name in _CASED else re.IGNORECASE)
