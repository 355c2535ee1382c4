"""The word and the sign of each verdict, so that nobody has to see a colour."""

from collections.abc import Sequence
from typing import NamedTuple

from director.types import Outcome, Verdict


class Mark(NamedTuple):
    """`name` is a class of style.css."""

    name: str
    sign: str
    word: str


MARKS = {
    Outcome.MET: Mark("met", "\N{CHECK MARK}", "met"),
    Outcome.MISSED: Mark("missed", "\N{MULTIPLICATION X}", "missed"),
    Outcome.UNSURE: Mark("unsure", "?", "unsure"),
}
UNSEEN = Mark("unseen", "\N{MIDDLE DOT}", "not looked at")


def mark_of(verdict: Verdict | None) -> Mark:
    return MARKS[verdict.outcome] if verdict else UNSEEN


def listed(words: Sequence[str]) -> str:
    """One, two and three."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def duration(value: float) -> str:
    """A duration for people: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if value < 9.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 5400:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
