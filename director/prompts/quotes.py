"""Finds what stands in quotation marks, in the marks of all languages.

Only the outermost quotation counts. It ends within its paragraph and list item, so a mark that nobody
closes swallows nothing. One pass; from each opening mark at most `_MARKS` marks are looked at.
"""

import re
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass

MAX_QUOTE = 1200
"""Longest quotation, in characters."""

_MAX_STRAIGHT = 300
"""Longest quotation between marks that look alike, in characters: there the next one may be no pair of it."""

_MARKS = 64


@dataclass(frozen=True)
class Quotation:
    """`text[start:end]` is what stands inside, without white space around it; `opens` and `closes` are the marks."""

    opens: int
    start: int
    end: int
    closes: int


def quotations(text: str) -> tuple[tuple[int, int], ...]:
    """The spans inside quotation marks, as (start, end) without the marks; the outermost, in order."""
    return tuple((found.start, found.end) for found in quotes(text))


def quotes(text: str) -> tuple[Quotation, ...]:
    """As `quotations`, with the places of the marks."""
    return tuple(_found(text))


_STRAIGHT = '"“”„‟＂'
_SINGLE = "'‘’‚‛＇"
_STRICT = dict(zip("「『《〈｢﹁﹃〝❝❛", "」』》〉｣﹂﹄〟❞❜", strict=True))
_MARK = re.compile(rf"``|`|''|[{_STRAIGHT}{_SINGLE}″«»‹›{''.join(_STRICT)}{''.join(_STRICT.values())}〞]")
_ITEM = r"(?:[-*+•▪◦·–—>#|]|\(?\w{1,3}[.)])[ \t]"
_BARRIER = re.compile(rf"[\n\r\u2028\u2029][ \t]*(?=[\n\r\u2028\u2029]|{_ITEM})|\Z")


@dataclass(frozen=True)
class _Mark:
    at: int
    text: str

    @property
    def family(self) -> str:
        """Marks that may close each other."""
        if self.text in _STRICT or self.text in _STRICT.values():
            return "strict"
        if self.text in "«»":
            return "guillemets"
        if self.text in "‹›":
            return "small guillemets"
        if self.text[0] == "`":
            return "backticks"
        if self.text == "″":
            return "primes"
        return "double" if self.text == "''" or self.text in _STRAIGHT else "single"


def _found(text: str) -> Iterator[Quotation]:
    marks = [mark for mark in _marks(text) if not _within_word(text, mark)]
    families: dict[str, list[_Mark]] = {}
    for mark in marks:
        families.setdefault(mark.family, []).append(mark)
    places = {name: [mark.at for mark in family] for name, family in families.items()}
    barriers = [match.start() for match in _BARRIER.finditer(text)]
    done = 0
    for mark in marks:
        if mark.at < done or not _may_open(text, mark):
            continue
        limit = barriers[bisect(barriers, mark.at)] if mark.at < barriers[-1] else len(text)
        behind = bisect(places[mark.family], mark.at)
        following = families[mark.family][behind : behind + _MARKS]
        close = _closing(text, mark, [m for m in following if m.at < limit])
        if close is None:
            continue
        start, end = mark.at + len(mark.text), close.at
        done = end + len(close.text)
        inside = text[start:end]
        if not inside.strip():
            continue
        yield Quotation(
            mark.at, start + len(inside) - len(inside.lstrip()), end - len(inside) + len(inside.rstrip()), done
        )


def _marks(text: str) -> Iterator[_Mark]:
    fence = re.compile(r"`{3,}")
    fences = {match.start(): match.end() for match in fence.finditer(text)}
    skip = 0
    for match in _MARK.finditer(text):
        skip = fences.get(match.start(), skip)
        if match.start() >= skip:
            yield _Mark(match.start(), match[0].replace("〞", "〟"))


def _word(char: str) -> bool:
    """A digit or a letter of a script with capitals: there an apostrophe or an inch may touch it, not a quotation."""
    return char.isdigit() or (char.isalpha() and char.lower() != char.upper()) or char.isnumeric()


def _hebrew(char: str) -> bool:
    return "א" <= char <= "ת"


_ELISION = re.compile(r"(?<![^\W_])['‘’](?:[nN]['’]?|(?:tis|twas|til|em|cause|bout|round)|\d0s)(?!\w)")


def _within_word(text: str, mark: _Mark) -> bool:
    """An apostrophe, or the double one in a Hebrew abbreviation: no quotation mark at all."""
    before, after = _around(text, mark)
    if _hebrew(before) and _hebrew(after) and mark.text in "\"”'’":
        prefix = not _hebrew(text[mark.at - 2 : mark.at - 1]) and _hebrew(text[mark.at + 2 : mark.at + 3])
        return not (prefix and mark.text in '"”')
    if mark.family != "single" or mark.text == "‚":
        return False
    if _word(before) and _word(after):
        return True
    elided = _ELISION.match(text, mark.at) or _ELISION.match(text, max(0, mark.at - 2))
    return bool(elided and elided.start() <= mark.at < elided.end())


def _around(text: str, mark: _Mark) -> tuple[str, str]:
    after = mark.at + len(mark.text)
    return text[max(0, mark.at - 1) : mark.at], text[after : after + 1]


def _may_open(text: str, mark: _Mark) -> bool:
    before, after = _around(text, mark)
    if mark.text in _STRICT or mark.text in "„‟«‹" or (mark.text == "“" and before.isalpha()):
        return True
    if mark.family == "strict" or _word(before):
        return False
    if mark.text in "“»›":
        return bool(after)
    if mark.family == "single":
        return bool(after.strip()) and before not in ("°", "′")
    return bool(after) and before not in ("°", "′")


def _surely_opens(text: str, mark: _Mark) -> bool:
    """White space or an opening bracket in front of it, and none behind it."""
    before, after = _around(text, mark)
    return (
        (not before.strip() or before in "([{–—-/:") and bool(after.strip()) and (_letter(after) or after in "$£€#¡¿@")
    )


def _letter(char: str) -> bool:
    return char.isalnum()


def _closing(text: str, opening: _Mark, following: list[_Mark]) -> _Mark | None:
    """The mark that closes `opening`, of those of its family behind it, or None."""
    longest = MAX_QUOTE if opening.text in _PAIRED or opening.text in "“„" else _MAX_STRAIGHT
    near = [mark for mark in following if mark.at - opening.at <= longest]
    if opening.text in _PAIRED:
        return _nested(opening.text, _PAIRED[opening.text], near)
    if opening.text in "»›":
        return next((mark for mark in near if not _surely_opens(text, mark)), None)
    if opening.family in ("primes", "backticks"):
        return _next_alike(text, opening, near)
    find = _single if opening.family == "single" else _double
    return _nested_alike(text, opening, near) or find(text, opening, near)


_PAIRED = {**_STRICT, "«": "»", "‹": "›"}


def _line(text: str, opening: _Mark, closing: _Mark) -> bool:
    return "\n" not in text[opening.at : closing.at]


def _nested(opens: str, closes: str, marks: list[_Mark]) -> _Mark | None:
    depth = 1
    for mark in marks:
        depth += (mark.text == opens) - (mark.text == closes)
        if not depth:
            return mark
    return None


def _next_alike(text: str, opening: _Mark, marks: list[_Mark]) -> _Mark | None:
    """The next such mark: of backticks on the same line, of double primes one that is no inch."""
    if opening.family == "backticks":
        return next((mark for mark in marks if mark.text == opening.text and _line(text, opening, mark)), None)
    return next((mark for mark in marks if not _inches(text, mark)), None)


def _nested_alike(text: str, opening: _Mark, marks: list[_Mark]) -> _Mark | None:
    """The end of a quotation in straight marks with others inside; each mark must be plain to open or to close."""
    marks = [mark for mark in marks if mark.text == opening.text]
    if opening.text not in ('"', "'") or not (marks and _surely_opens(text, marks[0])):
        return None
    depth = 1
    for mark in marks:
        opens, (before, after) = _surely_opens(text, mark), _around(text, mark)
        if not opens and (not before.strip() or before.isdigit() or after.isalnum()):
            return None
        depth += 1 if opens else -1
        if not depth:
            return mark
    return None


_BY = re.compile(r"\s?(?:x|×|by|х|mal|sur|por|per|на)\s?\d", re.IGNORECASE)


def _double(text: str, opening: _Mark, marks: list[_Mark]) -> _Mark | None:
    """Curly marks by their pairs, then whatever stands where a quotation ends: people mix „ with \"."""
    paired = {"“": _nested("“", "”", marks), "„": _low(text, marks)}.get(opening.text)
    if paired or (opening.text == "“" and _around(text, opening)[0].isalpha()):
        return paired
    for mark in marks:
        if _surely_opens(text, mark) or mark.text == "„":
            return None
        if not _inches(text, mark) and not (
            mark.text == "“" and opening.text in "“„‟" and _word(_around(text, mark)[1])
        ):
            return mark
    return None


def _inches(text: str, mark: _Mark) -> bool:
    straight = mark.text in ('"', "''", "″") and text[mark.at - 1].isdigit()
    return straight and bool(_BY.match(text, mark.at + len(mark.text)))


def _low(text: str, marks: list[_Mark]) -> _Mark | None:
    """The end of „…“, with „…“ or “…” inside."""
    depth = 1
    for mark in marks:
        if mark.text == "„" or (mark.text == "“" and _surely_opens(text, mark)):
            depth += 1
        elif mark.text in "“”":
            depth -= 1
        elif depth == 1:
            return None if _surely_opens(text, mark) else mark
        if not depth:
            return mark
    return None


_PAST_POSSESSIVE = 80
_SENTENCE = re.compile(r"[.!?]\s+[^\W\d_a-z]")


def _single(text: str, opening: _Mark, marks: list[_Mark]) -> _Mark | None:
    """An apostrophe behind an s closes only if nothing better does in the same sentence ("the dogs' bowl")."""
    possessive: _Mark | None = None
    for mark in marks:
        if (possessive and _far(text, possessive, mark)) or _opens_anew(text, opening, mark):
            break
        before, after = _around(text, mark)
        if not before.strip() or _word(after) or _feet(text, mark):
            continue
        if not (before in "sSxXzZ" and _WORD_FOLLOWS.match(text, mark.at + 1)):
            return mark
        possessive = possessive or mark
    return possessive


_WORD_FOLLOWS = re.compile(r"\s[^\W_]")


def _far(text: str, possessive: _Mark, mark: _Mark) -> bool:
    """`mark` belongs to another sentence or to another thought than the apostrophe behind an s."""
    far = mark.at - possessive.at > _PAST_POSSESSIVE
    return far or bool(_SENTENCE.search(text, possessive.at, mark.at + 1))


def _opens_anew(text: str, opening: _Mark, mark: _Mark) -> bool:
    """The next quotation opens at `mark`, so that the one at `opening` was none or has closed."""
    return _surely_opens(text, mark) and not (mark.text in "‚‘" and opening.text == "‚")


def _feet(text: str, mark: _Mark) -> bool:
    return text[mark.at - 1].isdigit() and bool(_INCHES.match(text, mark.at + 1))


_INCHES = re.compile(r"\s?\d{1,3}(?:[\"”″]|'')")
