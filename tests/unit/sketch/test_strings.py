"""Strings that nobody put in quotation marks: what they follow, and what they look like."""

import pytest

from director.types import Brief, GoalType
from worker.sketch.planner import extracted
from worker.sketch.strings import strings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("then the price, from 24 €, which should be the biggest figure", "from 24 €"),
        ("and at the foot of the panel Tel. 040 555 0122", "Tel. 040 555 0122"),
        ("on the right Call 0800 555 077 in the same face but smaller", "Call 0800 555 077"),
        ("in small figures, Bookings: call 555-0199", "Bookings: call 555-0199"),
        ("at the bottom of the stack Gates 6 PM – 50¢ in a slab typewriter face", "Gates 6 PM – 50¢"),
        ("we place NOW: 500 ml for $2.49 as the only line of retail information", "NOW: 500 ml for $2.49"),
        ("the claim 100% WOOL", "100% WOOL"),
        ("The main line, They came back., goes in plain white type", "They came back."),
        ("below it, in a modest italic, Spring harvest, and a rule", "Spring harvest"),
        ("Put the name of the show, What the River Kept, in a light serif", "What the River Kept"),
        ("author: Ines Marlow, small", "Ines Marlow"),
        ("goes Tom carried one lamp, two pears and no map", "Tom carried one lamp, two pears and no map"),
        ("more at shop.example.org in the corner", "shop.example.org"),
    ],
)
def test_a_string_is_whole(text: str, said: str) -> None:
    assert strings(text)[0][0] == said


@pytest.mark.parametrize(
    "text",
    [
        "In the foreground lies a red apple",
        "We have a budget of 4,000 € for it",
        "Hold the saturation at 65%",
        "A 24 x 36 poster with a kite",
        "Morning light from the left, at about 30%",
        "Make the sky darker, in #0A1931 (PANTONE 296 C)",
        "The door in RAL 3020, the frame in HKS 43 K",
        "Format DIN A3 hoch, 3 mm Anschnitt",
        "Send it as PDF and PNG, CMYK, 300 DPI",
    ],
)
def test_what_is_no_lettering_is_no_string(text: str) -> None:
    assert strings(text) == ()


def test_each_string_of_a_clause_is_a_goal_of_its_own() -> None:
    text = "Under it write The Copper Choir in condensed letters, bottom left Fri 5 June, bottom right Free entry."
    goals = extracted(Brief(text=text))
    assert [goal.string for goal in goals] == ["The Copper Choir", "Fri 5 June", "Free entry"]


def test_what_stands_in_front_of_a_colon_is_a_wish_of_its_own() -> None:
    text = "The type is stacked in an asymmetrical block on the right: COPPER CHOIR in jumping capitals."
    goals = extracted(Brief(text=text))
    assert [goal.type for goal in goals] == [GoalType.COMPOSITION.value, GoalType.TEXT.value]


def test_a_long_string_is_kept_whole() -> None:
    said = "It was the kind of summer that the old ferrymen still talk about " * 8
    (goal,) = extracted(Brief(text=f"At the foot stands “{said.strip()}”."))
    assert goal.string == said.strip()


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("Swap the grey floor for wet asphalt", GoalType.ADD_OBJECT),
        ("let the jacket be a clear signal orange", GoalType.COLOR),
        ("The moon, full and pale, hangs behind the tower", GoalType.ADD_OBJECT),
        ("opposite it, on the left, three glass marbles in a loose pile", GoalType.ADD_OBJECT),
    ],
)
def test_wishes_without_the_usual_verbs(text: str, wish: GoalType) -> None:
    assert [goal.type for goal in extracted(Brief(text=text))] == [wish.value]


@pytest.mark.parametrize(
    "text",
    ["Flyer for our night market, to be handed out at ferry stops.", "Square label for a tea importer, to be printed."],
)
def test_what_the_piece_is_for_asks_for_nothing(text: str) -> None:
    goals = extracted(Brief(text=f"{text} A red kite hangs on the left."))
    assert [goal.text for goal in goals] == ["A red kite hangs on the left"]
