"""The strings that a text wants set in type: quoted ones exactly, verbatim ones by their looks."""

import re
from collections.abc import Iterator

from director.prompts.quotes import quotations
from worker.sketch.lexicon import pattern

_CAPS = pattern("caps")
_CUE = pattern("cue")
_STOP = pattern("stop")
_LETTERED, _FACT = pattern("lettered"), pattern("fact")
_TERMS = pattern("terms")
"""Capitals that are words of the trade, or a colour by its number in a catalogue ("PANTONE 296 C")."""


def strings(text: str) -> tuple[tuple[str, int], ...]:
    """Each string to set and where it ends in `text`: quoted ones, else capitals, else what follows a cue.

    Else what is said to be in letters of some kind, or is only ever lettered: a price, a telephone number, an address.
    """
    quoted = quotations(text)
    if quoted:
        return tuple((text[a:b], b) for a, b in quoted)
    caps = [m for m in _CAPS.finditer(text) if _shouts(m[0], m.start()) and not _is_part(text, m)]
    if caps:
        return tuple(_extended(text, m[0], m.end()) for m in caps)
    return tuple(_cued(text)) or _by_looks(text)


def _cued(text: str) -> Iterator[tuple[str, int]]:
    """What follows each cue, up to where the brief speaks of something else."""
    done = 0
    for cue in _CUE.finditer(text):
        end = _end(text, cue.end())
        if cue.start() >= done and 2 <= end - cue.end() <= 80:
            yield text[cue.end() : end].strip(" ,"), end
            done = end


def _end(text: str, start: int) -> int:
    """Where a string that begins at `start` ends; a full stop in front of a comma is its own ("Open., in white")."""
    stop = _STOP.search(text, start)
    if not stop:
        return len(text)
    words = text[start : stop.start()].split()
    if stop[0] == "," and len(words) >= 3 and words[-1].islower() and _LIST.match(text, stop.start()):
        return len(text)
    return stop.start() + (stop[0] == ".,")


_LIST = re.compile(r"(?:,\s+[^,;:]+)*,?\s+(?:and|or|&)\s+[\w'’ ]+$")
"""The rest of a list that a string ends with: "One apple, two maps and no fear"."""


def _extended(text: str, said: str, end: int) -> tuple[str, int]:
    """Capitals, and what a colon behind them tells in figures: "NEW: 330 ml for $1.99"."""
    stop = _STOP.search(text, end)
    more = text[end : stop.start() if stop else len(text)]
    if (said.endswith(":") or more.startswith(":")) and any(c.isdigit() for c in more) and len(more) <= 60:
        return (said + more).strip(" ,"), end + len(more)
    return said.rstrip(",:;."), end


def _by_looks(text: str) -> tuple[tuple[str, int], ...]:
    lettered = next((m for m in _LETTERED.finditer(text) if _names_something(m[0], m.start())), None)
    if lettered:
        return ((lettered[0], lettered.end()),)
    if _MONEY_TALK.search(text):
        return ()
    return tuple((m[0].strip(), m.end()) for m in _FACT.finditer(text))[:1]


_MONEY_TALK = re.compile(r"\b(?:budget|fee|salary|cost(?:s|ed)?|spend|spent|invoice|pay)\b", re.IGNORECASE)


def _names_something(words: str, start: int) -> bool:
    """More than the first word of a sentence, which has a capital of its own."""
    return len(words) <= 80 and (start > 0 or any(c.isdigit() for c in words)) and any(c.isupper() for c in words)


def _shouts(said: str, start: int) -> bool:
    letters = [c for c in said if c.isalpha()]
    return len(letters) >= 3 and not _TERMS.fullmatch(said) and (" " in said or len(letters) >= 4 or start > 0)


def _is_part(text: str, found: re.Match[str]) -> bool:
    """Of a colour ("#FFE") or of a file's name ("FINAL_2.png")."""
    return text[: found.start()].endswith(("#", "_")) or text[found.end() :].startswith("_")


def masked(text: str) -> str:
    """`text` with its strings blanked, so that words in type are not taken for things to draw."""
    for string, end in strings(text):
        start = text.rfind(string, 0, end + 2)
        text = text[:start] + " " * len(string) + text[start + len(string) :]
    return text
