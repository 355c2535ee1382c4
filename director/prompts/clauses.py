"""Splits a brief into numbered clauses, each an exact slice of the brief.

A goal is then "clause 7", so that no paraphrase can slip in: code splits, a planner picks. Nothing is
cut inside a quoted string, an abbreviation, a number or a time. One pass, linear in the text.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

MAX_QUOTE = 240
"""Longest quoted string, in characters: an apostrophe that nobody closes must not swallow the brief."""


@dataclass(frozen=True)
class Clause:
    """`text == brief[start:end]`, without the white space and separators around it."""

    id: int
    text: str
    start: int
    end: int


def clauses(text: str) -> tuple[Clause, ...]:
    """The clauses of `text` in order, numbered from 1."""
    quoted = _quoted(text)
    cuts = [0, *(cut for cut in _cuts(text) if not quoted[cut - 1]), len(text)]
    spans = [_trim(text, start, end) for start, end in pairwise(cuts)]
    kept = _whole([(start, end) for start, end in spans if any(c.isalnum() for c in text[start:end])], text)
    return tuple(Clause(i, text[start:end], start, end) for i, (start, end) in enumerate(kept, 1))


_PAIRS = {'"': '"', "“": "”", "„": "“”", "«": "»", "‘": "’", "'": "'", "‹": "›"}


def quotations(text: str) -> tuple[tuple[int, int], ...]:
    """The spans inside quotation marks, as (start, end) without the marks; never across a line."""
    spans: list[tuple[int, int]] = []
    i = 0
    while i < len(text):
        closing = _PAIRS.get(text[i], "")
        end = _closing(text, i, closing) if closing and not _apostrophe(text, i) else -1
        if end > 0:
            spans.append((i + 1, end))
            i = end
        i += 1
    return tuple(spans)


def _closing(text: str, start: int, marks: str) -> int:
    """Where the quotation that opens at `start` closes, or -1."""
    stop = text.find("\n", start + 1, start + MAX_QUOTE)
    stop = stop if stop > 0 else min(len(text), start + MAX_QUOTE)
    for j in range(start + 2, stop):
        single = text[j] in "'’"
        if text[j] in marks and not (single and text[j + 1 : j + 2].isalnum()):
            return j
    return -1


def _apostrophe(text: str, i: int) -> bool:
    return text[i] in "'‘" and (text[i - 1 : i].isalnum() or not text[i + 1 : i + 2].strip())


def _quoted(text: str) -> bytearray:
    """One flag for each character: inside quotation marks."""
    flags = bytearray(len(text) + 1)
    for start, end in quotations(text):
        flags[start:end] = b"\1" * (end - start)
    return flags


_ABBREVIATION = re.compile(
    r"\b(?:e\.g|i\.e|etc|approx|ca|cf|vs|no|nr|st|dr|mr|mrs|ms|prof|fig|vol|tel|min|max|inc|ltd|a\.m|p\.m|z\.b)\.$"
    r"|(?<![\w'’])[a-z]\.$",
    re.IGNORECASE,
)
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
_SENTENCE = r"[.!?…]+[\"'”’)\]»]*(?=\s|$)"
_CUT = re.compile(
    rf"(?P<stop>{_SENTENCE})|(?P<line>\n+|;|\s[–—]\s(?=[a-z])|[•▪◦]|<[^<>\n]{{0,80}}>)"
    rf"|(?P<comma>,)(?=\s+(?:{'|'.join(_STARTERS.split())})\b)"
    rf"|(?P<and>\s)(?=(?:and|while|but)\s+(?:{'|'.join(_AFTER_AND.split())})\b)",
    re.IGNORECASE,
)


def _cuts(text: str) -> list[int]:
    """Where a clause ends, before looking at quotation marks."""
    found: list[int] = []
    for match in _CUT.finditer(text):
        if match["stop"] and not _ends_sentence(text, match.start(), match.end()):
            continue
        found.append(match.end())
    return found


def _ends_sentence(text: str, start: int, end: int) -> bool:
    if text[start] == "." and end - start == 1 and _ABBREVIATION.search(text, max(0, start - 12), end):
        return False
    following = text[end : end + 12].lstrip()
    return not following or not following[0].islower()


_LEAD = re.compile(
    r"(?:and |but |then )?(?:at|in|on|above|below|under|beneath|behind|beside|over|across|along|around|against"
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


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without white space and separators; its last full stop belongs to nobody."""
    while start < end and (text[start].isspace() or text[start] in ",;–—-•▪◦*>"):
        start += 1
    while end > start and (text[end - 1].isspace() or text[end - 1] in ",;–—<"):
        end -= 1
    if end - start > 1 and text[end - 1] == "." and not _ABBREVIATION.search(text, max(start, end - 12), end):
        end -= 1
    return start, end
