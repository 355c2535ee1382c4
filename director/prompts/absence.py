"""What a brief rules out ("no people", "remove the sign"), and what it only mentions: questions, and what was before.

Told by words, in the languages in which most briefs are written. Words that are not known for a negation ask for
something. `words` is the text with its exact strings blanked, as `plain` gives it: a string may say "No parking".
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from director.prompts import negations
from director.prompts.quotes import quotations
from director.types import Goal


class Part(NamedTuple):
    """`text[start:end]`, and whether it says what must not be there."""

    start: int
    end: int
    absent: bool


def plain(text: str) -> str:
    """`text` with what stands in quotation marks blanked."""
    for start, end in quotations(text):
        text = text[:start] + " " * (end - start) + text[end:]
    return text


def forbids(text: str) -> bool:
    """All of a clause says what must not be there."""
    return all(part.absent for part in parts(text))


def parts(text: str, words: str = "") -> tuple[Part, ...]:
    """A clause cut where it changes between what must be there and what must not; without such words it is one part."""
    words = words or plain(text)
    found: list[Part] = []
    for start, end in _segments(words):
        segment = words[start:end]
        absent = _is_negative(segment) or (bool(found) and _goes_on(words, found[-1], segment))
        joins = bool(found) and (found[-1].absent == absent or points_back(segment))
        found.append(Part(found.pop().start if joins else start, end, absent))
    return tuple(found)


def items(text: str) -> tuple[str, ...]:
    """What a clause rules out, one thing each, without the words that rule it out where English ones stand in front."""
    words = plain(text)
    ruled = [part for part in parts(text, words) if part.absent] or [Part(0, len(text), True)]
    cut: list[str] = []
    for part in ruled:
        start = part.start
        for mark in [*negations.ITEM.finditer(words, part.start, part.end), None]:
            cut.append(text[start : mark.start() if mark else part.end])
            start = mark.end() if mark else start
    bare = (
        negations.TAIL_EN.sub("", negations.LEAD_EN.sub("", item, count=1)).strip(" \t\n.,;:!，、。；：！")
        for item in cut
    )
    return tuple(item for item in bare if item and not negations.NOTHING.fullmatch(item))


def worded(goal: Goal, edit: bool) -> str:
    """An absent goal as an instruction in English; the brief's own words where they say it in another language."""
    if goal.string:
        mark = "'" if '"' in goal.string else '"'
        return f"{'Remove the' if edit else 'There is no'} text {mark}{goal.string}{mark}"
    things = items(goal.text)
    said = plain(goal.text)
    if not things or (forbids(goal.text) and not (negations.LEAD_EN.match(said) or negations.TAIL_EN.search(said))):
        return goal.text.strip().rstrip(".;,!。！")
    if edit:
        return f"Remove {', '.join(things)}"
    return f"There is no {', no '.join(negations.ARTICLE.sub('', thing, count=1) for thing in things)}"


def alone(text: str) -> bool:
    """The strings of a clause are all the lettering that it allows: "no text other than …"."""
    return bool(negations.ALONE.search(plain(text)))


def only_mentions(words: str) -> bool:
    """A question to the reader, or talk of what was there before: neither asks for anything."""
    asks = words.rstrip(" \t\n\"'”’»)").endswith(("?", "？", "؟"))
    return (asks and not negations.REQUEST.match(words)) or bool(negations.BEFORE.search(words))


def points_back(words: str) -> bool:
    """It rules out what was spoken of right before: "please don't put it on"."""
    return bool(negations.POINTS_BACK.search(words))


def _segments(words: str) -> Iterator[tuple[int, int]]:
    ends = (m.end() for mark in (negations.BREAK, negations.UNTIL) for m in mark.finditer(words))
    edges = sorted({0, *ends, *(m.start() for m in negations.WITHIN.finditer(words))})
    for start, end in pairwise([*edges, len(words)]):
        owned = negations.OWNED.search(words, start, end) if negations.OWNS.match(words, start, end) else None
        cuts = [owned.start()] if owned else []
        yield from pairwise([start, *cuts, end])


def _is_negative(segment: str) -> bool:
    if any(words.search(segment) for words in (negations.EXCEPT, negations.REMINDS, negations.IDIOMS)):
        return False
    leads = negations.LEAD_EN.match(segment) or negations.LEAD.match(segment)
    return bool(leads or negations.ANYWHERE.search(segment) or negations.FACTS.search(segment)) or points_back(segment)


def _goes_on(words: str, before: Part, segment: str) -> bool:
    """The list of what is ruled out has one more. "Not the blue one" is an aside and no list; "avoid:" begins one."""
    said = words[before.start : before.end].rstrip()
    colon = said.endswith((":", "："))
    ends = not negations.ANNOUNCED.search(said) if colon else negations.CLOSED.search(said)
    return before.absent and not (ends or negations.RESUMES.match(segment) or negations.ASIDE.match(said))
