"""Splits a brief into numbered clauses, each an exact slice of the brief.

A goal is then "clause 7", so that no paraphrase can slip in: code splits, a planner picks. Nothing is
cut inside a quoted string, an abbreviation, a number or a time. One pass, linear in the text.
"""

import re
import unicodedata
from bisect import bisect, bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from director.prompts.lines import Line, lines
from director.prompts.quotes import quotes
from director.prompts.sentences import is_abbreviated, phrase_ends, sentence_ends
from director.prompts.skipped import GREETING, NUMBER, is_greeting, reasons

MAX_CLAUSE = 1000
"""Longest clause, in characters: the text of a goal."""


@dataclass(frozen=True)
class Clause:
    """`text == brief[start:end]`, without the white space and separators around it.

    `skipped` says why it asks for nothing ("quoted mail", "signature", "heading"); such a clause has id 0.
    """

    id: int
    text: str
    start: int
    end: int
    skipped: str = ""


def clauses(text: str) -> tuple[Clause, ...]:
    """The clauses of `text` that may ask for something, in order, numbered from 1."""
    return tuple(clause for clause in split(text) if not clause.skipped)


def left_out(text: str) -> tuple[Clause, ...]:
    """What of `text` is no clause to draw, in order, each with the reason."""
    return tuple(clause for clause in split(text) if clause.skipped)


@lru_cache(maxsize=64)
def split(text: str) -> tuple[Clause, ...]:
    """All clauses in order, also those that are skipped. Together they hold every letter and digit of `text`."""
    quoted = _quoted(text)
    cuts = [cut for cut in _cuts(text) if not quoted[cut - 1]]
    found: list[tuple[int, int, str]] = []
    rows = lines(text, quoted)
    for line, reason in zip(rows, reasons(text, rows), strict=True):
        found += _label(line)
        found += ((*span, reason) for span in _spans(text, line, reason, cuts, quoted))
    asking = [n for n, (*_, skipped) in enumerate(found) if not skipped]
    for n in asking[: min(_OPENING, len(asking) - 1)]:
        if _greets(text, *found[n][:2]):
            found[n] = (*found[n][:2], GREETING)
            break
    numbers = iter(range(1, len(found) + 1))
    return tuple(
        Clause(0 if skipped else next(numbers), text[start:end], start, end, skipped) for start, end, skipped in found
    )


_OPENING = 3
"""A greeting is among the first clauses: before it there may be a subject."""


def _label(line: Line) -> Iterator[tuple[int, int, str]]:
    if line.label and any(c.isalnum() for c in line.label):
        yield line.label_at, line.label_at + len(line.label), NUMBER


def _spans(text: str, line: Line, skipped: str, cuts: list[int], quoted: bytearray) -> Iterator[tuple[int, int]]:
    """The clauses of a line; a line that is skipped is one."""
    inner = [] if skipped else cuts[bisect(cuts, line.start) : bisect_left(cuts, line.end)]
    spans = (_trim(text, start, end) for start, end in pairwise([line.start, *inner, line.end]))
    for start, end in _whole([span for span in spans if _says_something(text[slice(*span)])], text):
        yield from _pieces(text, start, end, quoted)


def _says_something(text: str) -> bool:
    return any(c.isalnum() or c >= _EMOJI for c in text)


_EMOJI = "\U0001f000"


def _greets(text: str, start: int, end: int) -> bool:
    """A greeting is no clause when its comma follows, or it is short ("Liebe Anna," but not "Liebe ist alles.")."""
    behind = text[end - 1] + text[end : end + 1]
    short = len(text[start:end].split()) <= 2 and bool(re.search(r"[.。\s]", behind))
    return is_greeting(text[start:end]) and (short or bool(re.search(r"[,:;!，、：；！،]", behind)))


def _quoted(text: str) -> bytearray:
    """One flag for each character: from an opening mark up to its closing one."""
    flags = bytearray(len(text) + 1)
    for found in quotes(text):
        flags[found.opens : found.closes - 1] = b"\1" * (found.closes - 1 - found.opens)
    return flags


_STARTERS = (
    "a an the one two three four five six seven eight nine ten some several another its his her their each every both "
    "all with while but plus then next place put set add include write draw scatter let make keep give use hang show "
    "finish cover blur darken bring crop push pull run leave turn swap replace remove hold close string mount press "
    "fill tie frame "
    "at in on above below under beneath behind beside over across along along around against from between near inside "
    "to by down up there it we i and"
)
_AFTER_AND = (
    "a an one two three four five six seven eight nine ten on in at let put set add place keep close scatter hang write"
)
_CUT = re.compile(
    rf"(?P<mark>[;；؛፤]|\s[–—]\s(?=[a-z])|[•▪◦]|(?=[①-⑳])|<[^<>\n]{{0,80}}>)"
    rf"|(?P<comma>,)(?=\s+(?:{'|'.join(_STARTERS.split())}|drawn\s+in)\b)"
    rf"|(?P<and>\s)(?=(?:and|but)\s+(?:{'|'.join(_AFTER_AND.split())}|\w+ing\s+(?:an?|one|two|three))\b)"
    r"|(?P<subordinate>(?<!\band)(?<!\bbut)(?<!\bonly)(?<!\bjust)(?<!\bseem)(?<!\bseems)(?<!\blook)(?<!\blooks)\s)"
    r"(?=(?:while(?!\s+(?:still\b|\w+ing\b))|as\s+if|as\s+though|so\s+that|so\s+it|so\s+they|because)\s)",
    re.IGNORECASE,
)


def _cuts(text: str) -> list[int]:
    """Where a clause ends within a line, before looking at quotation marks; in order."""
    return sorted({*sentence_ends(text), *(match.end() for match in _CUT.finditer(text))})


_LEAD = re.compile(
    r"(?:and |but |then )?(?:for|at|in|on|above|below|under|beneath|behind|beside|over|across|along|around|against"
    r"|from|near|inside|down|up|to|next|far)\b",
    re.IGNORECASE,
)


def _whole(spans: list[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """Joins "On the left" to what stands there: a short place before a comma is no clause of its own."""
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        leads = bool(joined) and _leads(text, *joined[-1], start)
        joined.append((joined.pop()[0] if leads else start, end))
    return joined


def _leads(text: str, start: int, end: int, following: int) -> bool:
    between = text[end:following].strip()
    return (
        between in ("", ",") and end - start < 60 and bool(_LEAD.match(text, start)) and text[start:end].count(" ") < 5
    )


_AROUND = ",;，、；،؛|"
_BULLETS = "–—-•▪◦*>_"
_STOPS = ".。．｡।۔።։"


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without white space and separators; its last full stop belongs to nobody."""
    while start < end and (text[start].isspace() or text[start] in _AROUND or text[start] in _BULLETS):
        start += 1
    while end > start and (text[end - 1].isspace() or text[end - 1] in _AROUND or text[end - 1] in "–—<*_•▪◦"):
        end -= 1
    if end - start > 1 and text[end - 1] in _STOPS and not (text[end - 1] == "." and is_abbreviated(text, end - 1, "")):
        end -= 1
    return start, end


# --- clauses that are too long ------------------------------------------------------------------


def _pieces(text: str, start: int, end: int, quoted: bytearray) -> Iterator[tuple[int, int]]:
    """The span, cut between the phrases of scripts without stops, and where it is too long for a goal."""
    cuts = [cut for cut in phrase_ends(text, start, end) if not quoted[cut - 1]]
    for edges in pairwise([start, *cuts, end]):
        first, last = _trim(text, *edges)
        while last - first > MAX_CLAUSE:
            cut = _boundary(text, first, quoted)
            yield _trim(text, first, cut)
            first = _trim(text, cut, last)[0]
        if first < last:
            yield first, last


_BOUNDARIES = (re.compile(r"[.!?…:]\s"), re.compile(r"[,，、،:：–—]"), re.compile(r"\s"))
_LEAST = 200
"""A clause is cut behind a better boundary only if so many characters stand before it."""


def _boundary(text: str, start: int, quoted: bytearray) -> int:
    """The best place to cut the MAX_CLAUSE characters from `start`: not inside a quotation that fits."""
    stop = start + MAX_CLAUSE
    for boundary in _BOUNDARIES:
        ends = [match.end() for match in boundary.finditer(text, start, stop) if not quoted[match.end() - 1]]
        if ends and ends[-1] - start >= _LEAST:
            return ends[-1]
    opening = stop
    while opening > start and quoted[opening - 1]:
        opening -= 1
    if start < opening < stop:
        return opening
    space = max((match.end() for match in _BOUNDARIES[-1].finditer(text, start, stop)), default=start)
    if space - start >= _LEAST:
        return space
    while stop > start + 1 and unicodedata.combining(text[stop]):
        stop -= 1
    return stop
