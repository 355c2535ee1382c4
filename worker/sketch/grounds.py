"""Where a thing is said to stand, by words: on, under or beside something that must be there, too.

A relation to a noun that can be drawn, such as "left of the cup", is part of a drawable and checked with it. What is
here is the rest: other relations ("on the piano"), and what the sketch has no picture of ("on the roof").
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from worker.sketch.checks import Finding, anchors_for, found
from worker.sketch.language import Drawable, noun_of
from worker.sketch.lexicon import pattern
from worker.sketch.segment import Segments, Thing
from worker.sketch.strings import masked


class Ground(NamedTuple):
    """`words` as the text has them, the `noun` of the lexicon if it has one, and whether something stands on it."""

    words: str
    noun: str
    on: bool


def grounded(segments: Segments, text: str, wanted: Sequence[Drawable]) -> list[Finding]:
    """A finding for each ground of the things in `wanted` that isn't there, can't be looked for or bears none."""
    things = [each for each in wanted if each.kind == "thing"]
    checked = {name for each in wanted for name in (each.name, each.anchor) if name}
    asked = [ground for ground in grounds(text) if ground.noun not in checked] if things else []
    return [finding for ground in asked if (finding := _finding(segments, ground, things))]


def _finding(segments: Segments, ground: Ground, things: Sequence[Drawable]) -> Finding | None:
    if not ground.noun:
        return Finding(None, f"cannot look for the {ground.words}, where it is asked for")
    there = anchors_for(segments, ground.noun)
    if not there:
        return Finding(None, f"no {ground.words} to judge its place by")
    on_it = [_rests(own, each) for thing in things for own in found(segments, thing.name) for each in there]
    return Finding(0.1, f"not on the {ground.words}") if ground.on and on_it and not any(on_it) else None


def _rests(thing: Thing, ground: Thing) -> bool:
    """Its middle is above the other one's and not beside it, and its foot reaches it but for a gap."""
    level = ground.box[0] <= thing.centre[0] <= ground.box[2] and thing.centre[1] < ground.centre[1]
    return level and thing.box[3] > ground.box[1] - _GAP


_GAP = 0.05
"""Of the picture's height."""


@lru_cache(maxsize=2048)
def grounds(text: str) -> tuple[Ground, ...]:
    """In their order. Parts of the picture ("the left", "the background") and what every sketch has are none; nor is
    a scene: "in the harbour" says where all of it is.
    """
    return tuple(_grounds(text))


def _grounds(text: str) -> Iterator[Ground]:
    for match in pattern("stands_by").finditer(masked(text)):
        said = " ".join(match["ground"].lower().split())
        noun, relation = noun_of(said), match[0].lower()
        if not pattern("picture_part").search(said) and (noun or not _SCENE.match(relation)):
            yield Ground(said, noun, relation.startswith(("on", "upon", "atop")))


_SCENE = re.compile(r"in (?!front\b)")
