"""Finds an exact string in a text that writes it with other typography, and writes it back as it stands.

Models change quotation marks, apostrophes, dashes, spaces and normal forms without noticing. Letters,
their case and their accents stay: a misspelt string is not found.
"""

import re
import unicodedata
from collections.abc import Iterator

_APOSTROPHES = dict.fromkeys("‘’‚‛′ʼʹ`´＇", "'")
_DOUBLES = dict.fromkeys("“”„‟″«»＂〝〞", '"')
_DASHES = dict.fromkeys("‐‑‒–—―−﹘﹣－⁃", "-")
_SAME = str.maketrans({**_APOSTROPHES, **_DOUBLES, **_DASHES, "⁄": "/", "∕": "/", "×": "x"})
_PAIRS = (('"', '"'), ("“", "”"), ("«", "»"), ("「", "」"), ("'", "'"))
_OPENING = "\"'“‘„‚«‹「『`»"
_CLOSING = "\"'”’“‘»›」』`«"


def restored(text: str, string: str) -> str | None:
    """`text` with `string` letter for letter wherever it was written with other typography, or None without any.

    Quotation marks around it that stand in the string, too, are replaced: else it would seem to end early.
    """
    if string in text:
        return text
    folded, places = _folded(text)
    wanted = _folded(string)[0].strip()
    spans = [(places[m.start()], places[m.end()]) for m in _whole(wanted).finditer(folded)] if wanted else []
    for start, end in reversed(spans):
        text = _written(text, start, end, string)
    return text if spans else None


def _whole(wanted: str) -> re.Pattern[str]:
    """`wanted` where no letter or digit goes on before or behind it, in scripts that put spaces between words."""
    before = r"(?<![^\W_])" if _spaced(wanted[0]) else ""
    behind = r"(?![^\W_])" if _spaced(wanted[-1]) else ""
    return re.compile(before + re.escape(wanted) + behind)


def _spaced(char: str) -> bool:
    return char.isdigit() or (char.isalpha() and char.lower() != char.upper())


def _folded(text: str) -> tuple[str, list[int]]:
    """The folded text, and where each of its characters begins in `text`; one place more, for the end."""
    letters: list[str] = []
    places: list[int] = []
    for start, cluster in _clusters(text):
        for char in unicodedata.normalize("NFKC", cluster.translate(_SAME)).translate(_SAME):
            last = letters[-1] if letters else ""
            if unicodedata.category(char) == "Cf" or (char.isspace() and last in (" ", "-")) or char == last == "-":
                continue
            if char == "-" and last == " ":
                letters[-1] = char  # no space around a dash
                continue
            letters.append(" " if char.isspace() else char)
            places.append(start)
    return "".join(letters), [*places, len(text)]


def _clusters(text: str) -> Iterator[tuple[int, str]]:
    """Each character with the marks that combine with it, so that a normal form can be computed piece by piece."""
    start = 0
    for n in range(1, len(text) + 1):
        if n == len(text) or not _joins(text[n]):
            yield start, text[start:n]
            start = n


def _joins(char: str) -> bool:
    """A combining mark, or a vowel or final of a Hangul syllable that is written in parts."""
    return bool(unicodedata.combining(char)) or "\u1160" <= char <= "\u11ff" or unicodedata.category(char) == "Mc"


def _written(text: str, start: int, end: int, string: str) -> str:
    while end > start and (text[end - 1].isspace() or unicodedata.category(text[end - 1]) == "Cf"):
        end -= 1
    while start < end and text[start].isspace():
        start += 1
    left, right = text[start - 1 : start], text[end : end + 1]
    if left and right and left in _OPENING and right in _CLOSING and (left in string or right in string):
        opens, closes = next(((a, b) for a, b in _PAIRS if a not in string and b not in string), (left, right))
        return text[: start - 1] + opens + string + closes + text[end + 1 :]
    return text[:start] + string + text[end:]
