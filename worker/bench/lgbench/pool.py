"""The goal pool: what can be asked for, by category and subcategory, as data files beside this module.

Themes name the things and strings of a subcategory; goals.json the words that every subcategory shares.
All of it is inside what the sketch studio can draw and check; a test draws each item.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Annotated

from pydantic import Field

from director.types import GoalType, Value
from worker.bench.lgbench.records import Modality

SHARES: dict[Modality, dict[GoalType, float]] = {
    "t2i": {
        GoalType.ADD_OBJECT: 0.318,
        GoalType.TEXT: 0.168,
        GoalType.EFFECT: 0.166,
        GoalType.COLOR: 0.118,
        GoalType.LIGHTING: 0.115,
        GoalType.COMPOSITION: 0.114,
    },
    "i2i": {
        GoalType.ADD_OBJECT: 0.068,
        GoalType.TEXT: 0.175,
        GoalType.EFFECT: 0.344,
        GoalType.COLOR: 0.215,
        GoalType.LIGHTING: 0.158,
        GoalType.COMPOSITION: 0.040,
    },
}
"""The type mix that LGBench's page states, for 18.0 and 11.2 goals a task."""


class Theme(Value):
    """One subcategory: an opening sentence that asks for nothing, things in the singular, strings to set."""

    opening: str
    things: tuple[str, ...]
    headlines: tuple[str, ...]
    lines: tuple[str, ...]


class Rule(Value):
    """A goal that concerns the whole picture. `text` has slots; `percent` is the range of its amount.

    `tag` names what it is, for `against` and `strains` in the pool; `crowd` is how many things a task
    may have (fewest, most) for it; `once` rules come up in a task at most once,
    `only` in tasks of that modality.
    """

    tag: str
    text: str
    percent: tuple[int, int] | None = None
    crowd: tuple[int, int] | None = None
    once: bool = False
    only: Modality | None = None


class Pool(Value):
    """What can be sampled, and what narrows it.

    `places`: for each part of the picture the ways to use it. `relations`: by where the anchor stands,
    what may be said of a thing beside it. `pale`: things that are never left in their own colour.
    `against`: tags that can't both come true. `strains`: tags that pull against each other, and can.
    """

    levels: tuple[tuple[int, str], ...]
    numbers: tuple[str, ...]
    tints: tuple[str, ...]
    sizes: tuple[str, ...]
    pale: tuple[str, ...]
    places: tuple[tuple[tuple[str, ...], ...], ...]
    relations: dict[str, tuple[str, ...]]
    styles: tuple[str, ...]
    text_places: tuple[str, ...]
    effect: tuple[Rule, ...]
    color: tuple[Rule, ...]
    lighting: tuple[Rule, ...]
    composition: tuple[Rule, ...]
    palettes: tuple[str, ...]
    backgrounds: tuple[str, ...]
    casts: tuple[str, ...]
    sides: tuple[str, ...]
    tones: tuple[str, ...]
    clears: tuple[str, ...]
    thing_color: tuple[Rule, ...]
    thing_lighting: tuple[Rule, ...]
    thing_composition: tuple[Rule, ...]
    against: tuple[tuple[str, str], ...]
    strains: tuple[tuple[str, str], ...]
    themes: Annotated[dict[str, dict[str, Theme]], Field(min_length=1)]

    def rules(self, kind: GoalType) -> tuple[Rule, ...]:
        """What can be asked of the whole picture."""
        return getattr(self, kind.value)

    def thing_rules(self, kind: GoalType) -> tuple[Rule, ...]:
        """What can be asked of one thing that is there already."""
        return getattr(self, f"thing_{kind.value}", ())

    def level(self, percent: int) -> str:
        """The word for an amount: 45 is moderate."""
        return next(word for most, word in self.levels if percent <= most)


@cache
def pool() -> Pool:
    """The built-in pool."""
    folder = files("worker.bench.lgbench") / "pool"
    goals = json.loads((folder / "goals.json").read_text("utf-8"))
    return Pool.model_validate({**goals, "themes": json.loads((folder / "themes.json").read_text("utf-8"))})


def plural(thing: str) -> str:
    """Several of a thing of the pool: "cherry" -> "cherries", "stack of books" -> "stacks of books"."""
    first, of, rest = thing.partition(" of ")
    if of:
        return f"{plural(first)} of {rest}"
    if thing.endswith("y") and thing[-2] not in "aeiou":
        return thing[:-1] + "ies"
    if thing.endswith("leaf"):
        return thing[:-1] + "ves"
    return thing + ("es" if thing.endswith(("s", "x", "ch", "sh")) else "s")
