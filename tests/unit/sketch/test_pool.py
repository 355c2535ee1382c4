"""The goal pool stays inside what the sketch can draw: each item, drawn without misses, is seen to be there."""

import re
from collections.abc import Iterator, Sequence
from itertools import cycle

import pytest

from director.types import Outcome
from tests.unit.sketch.host import drawn, outcomes
from worker.bench.lgbench.pool import Rule, pool

POOL = pool()
THEMES = [theme for inner in POOL.themes.values() for theme in inner.values()]
SIZE = (384, 384)
SCENE = ("Add a red apple in the lower left", "Add a teal teapot in the lower right", "Add a purple owl on the left")


def missed(*goals: str, beside: tuple[str, ...] = ()) -> list[str]:
    """Which of the goals a picture of all of them does not show."""
    (png,) = drawn(". ".join((*beside, *goals)) + ".", size=SIZE)
    return [goal for goal, seen in zip(goals, outcomes(png, *goals), strict=True) if seen is not Outcome.MET]


def filled(rule: Rule) -> Iterator[str]:
    """The rule with each of its choices once, at both ends of its amount."""
    words = {
        "palette": POOL.palettes, "background": POOL.backgrounds, "cast": POOL.casts, "side": POOL.sides,
        "tone": POOL.tones, "clear": POOL.clears, "tint": POOL.tints,
    }  # fmt: skip
    slots = {slot: choices for slot, choices in words.items() if f"{{{slot}}}" in rule.text}
    for n in range(max([2 if rule.percent else 1, *map(len, slots.values())])):
        percent = rule.percent[n % 2] if rule.percent else 0
        chosen = {slot: choices[n % len(choices)] for slot, choices in slots.items()}
        said = rule.text.format(percent=percent, level=POOL.level(percent), thing="teapot", **chosen)
        yield said[0].upper() + said[1:]


RULES = (*POOL.effect, *POOL.color, *POOL.lighting, *POOL.composition)
ABOUT = (*POOL.thing_color, *POOL.thing_lighting, *POOL.thing_composition)


@pytest.mark.parametrize("goal", sorted({goal for rule in RULES for goal in filled(rule)}))
def test_a_rule_for_the_whole_picture(goal: str):
    loose = tuple(thing.split(" in ")[0].split(" on ")[0] for thing in SCENE)
    assert not missed(goal, beside=loose)


@pytest.mark.parametrize("goal", sorted({goal for rule in ABOUT for goal in filled(rule)}))
def test_a_rule_for_one_thing(goal: str):
    assert not missed(goal, beside=("Add a teapot", "Add a yellow duck"))


def test_each_thing():
    things = sorted({thing for theme in THEMES for thing in theme.things})
    unseen = missed_of_all([f"Add a purple {thing} {{}}" for thing in things], "on the left", "on the right")
    # A shape that is hard to see in one colour is seen in another: what no picture shows is outside.
    alone = [re.sub(r".* purple (.*) on the .*", r"Add an orange \1 in the centre", goal) for goal in unseen]
    assert not [goal for goal in alone if missed(goal)]


@pytest.mark.parametrize("style", POOL.styles)
def test_each_string(style: str):
    heads = style == POOL.styles[0]
    strings = [string for theme in THEMES for string in (theme.headlines if heads else theme.lines)]
    words = [f"Include the text '{string}' {style} {{}}" for string in strings]
    assert not missed_of_all(words, "across the top", "along the bottom edge")


def missed_of_all(words: Sequence[str], *places: str) -> list[str]:
    """Which of the goals are missed, with as many in a picture as there are places."""
    goals = [said.format(place) for said, place in zip(words, cycle(places), strict=False)]
    return [goal for n in range(0, len(goals), len(places)) for goal in missed(*goals[n : n + len(places)])]
