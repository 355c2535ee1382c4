"""The lines of a brief without their bullets and numbers; a line that was wrapped goes on in the next."""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """`text[start:end]`, behind what stands in front of it: a bullet, a number (`label`), quotation marks of mail."""

    start: int
    end: int
    text: str
    item: bool = False
    quote: bool = False
    hashed: bool = False
    label: str = ""
    label_at: int = 0


_BREAK = re.compile(r"(?:[\n\r\v\f\x85\u2028\u2029][ \t]*)+")
_NUMBER = r"(?:\d{1,3}|[٠-٩]{1,3}|[０-９]{1,3}|[^\W\d_]|[ivxIVX]{2,4})"
_BULLET = re.compile(
    r"[ \t\u3000]*(?:"
    r"(?:[-*+•‣▪▫◦●○■□·►▶➤→✓✔✗☐☑※◆◇–—]|\[[ xX]\])[ \t\u3000]+(?:\[[ xX]\][ \t]+)?"
    rf"|(?:{_NUMBER}[.)）．]|\({_NUMBER}\)|（[^（）\s]{{1,3}}）)[ \t\u3000]+"
    r"|\d{1,3}[)）．、](?=\D)|（[一二三四五六七八九十\d]{1,3}）|[一二三四五六七八九十]{1,3}[、．.](?=\S)"
    r"|[①-⑳⑴-⒇❶-❿➀-➓⓪㈠-㈩][ \t\u3000]*|[•‣▪◦●►➤](?=\S)"
    r")"
)
_DATE = re.compile(
    r"[ \t]*\d{1,2}\.[ \t]+(?:\d|jan|feb|mär|mar|apr|mai\b|maj\b|jun|jul|aug|sep|okt|oct|nov|de[czs]"
    r"|jahrhundert|stock\b|klasse\b)",
    re.IGNORECASE,
)


def lines(text: str, quoted: Sequence[int]) -> list[Line]:
    """The lines of `text` that are not blank; none ends where `quoted` says: inside a quotation."""
    breaks = [
        match for match in _BREAK.finditer(text) if not quoted[match.start()] and not _goes_on(text, match, quoted)
    ]
    starts = [0, *(match.end() for match in breaks)]
    ends = [*(match.start() for match in breaks), len(text)]
    found = [_line(text, start, end) for start, end in zip(starts, ends, strict=True) if text[start:end].strip()]
    return [_without_initial(text, found, n) for n in range(len(found))]


def _without_initial(text: str, found: Sequence[Line], n: int) -> Line:
    """A letter with a stop ("J. Smith", "z. B.") counts a list only when the letter before or after it is near."""
    line = found[n]
    if len(line.label) != 2 or not (line.label[0].isalpha() and line.label[1] == "."):
        return line
    letters = [near.label[0] for near in (*found[max(0, n - 1) : n], *found[n + 1 : n + 2]) if near.label[1:] == "."]
    if any(abs(ord(letter) - ord(line.label[0])) == 1 or letter > _UNORDERED for letter in letters):
        return line
    return Line(line.label_at, line.end, text[line.label_at : line.end])


_UNORDERED = "\u0900"
"""From here on, scripts count their lists in another order than Unicode does."""

_WRAPPED = 56
"""A line of so many characters without an end goes on in the next, when that begins with a small letter."""


def _goes_on(text: str, gap: re.Match[str], quoted: Sequence[int]) -> bool:
    """The line break parts no clauses: the line was wrapped, or only its exact string stands on a line of its own."""
    if sum(c in "\n\v\f\x85\u2028\u2029" for c in gap[0]) > 1 or gap.start() == 0:
        return False
    before, following = text[max(0, gap.start() - 200) : gap.start()].rstrip(), text[gap.end() : gap.end() + 8]
    line = before[max(before.rfind("\n"), before.rfind("\r")) + 1 :]
    if not line:
        return False
    if quoted[gap.end()] and not following.startswith("`"):
        return line[-1] in ":：" or (len(line.split()) >= 3 and line[-1].isalpha() and not _BULLET.match(line))
    if not following[:1].islower() or _BULLET.match(following):
        return False
    closed = gap.start() > 1 and bool(quoted[gap.start() - 2])
    return closed or (len(line) >= _WRAPPED and line[-1] not in ".!?:;|")


def _line(text: str, start: int, end: int) -> Line:
    raw = text[start:end]
    if quote := re.match(r"[ \t]*(?:>[ \t]?)+", raw):
        return Line(start + quote.end(), end, raw[quote.end() :], quote=True)
    if hashes := re.match(r"[ \t]{0,3}#{1,6}[ \t]+", raw):
        return Line(start + hashes.end(), end, raw[hashes.end() :], hashed=True)
    bullet = None if _DATE.match(raw) else _BULLET.match(raw)
    if not bullet or bullet.end() == len(raw):
        return Line(start, end, raw)
    return Line(
        start + bullet.end(),
        end,
        raw[bullet.end() :],
        item=True,
        label=bullet[0].strip(),
        label_at=start + len(raw) - len(raw.lstrip()),
    )
