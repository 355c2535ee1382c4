"""What a brief rules out, on the sketch: found in the brief, never drawn, looked for, taken away."""

import pytest

from director.seats import ExtractRequest, PlanRequest, VerifyRequest
from director.types import Brief, Goal, Mode, Outcome
from tests.unit.sketch.host import STUDIO, SketchContext, drawn
from worker.sketch.language import parse

CAR = Goal(id="car", text="No blue car, thanks", absent=True)
SIGN = Goal(id="sign", text='Remove the text "OPEN"', type="text", string="OPEN", absent=True)
MET, MISSED, UNSURE = Outcome.MET, Outcome.MISSED, Outcome.UNSURE


def goals(text: str) -> tuple[Goal, ...]:
    return STUDIO.planner.extract(ExtractRequest(brief=Brief(text=text)), SketchContext()).goals


@pytest.mark.parametrize(
    ("text", "wanted", "absent"),
    [
        ('A red cup. Remove the words "SALE" from the window.', ["A red cup"], ["SALE"]),
        ('A red cup. Our old sign said "Half price". Please don\'t print it!', ["A red cup"], ["Half price"]),
        ('A red cup. Our old sign said "Half price", by the way.', ["A red cup"], []),
        ("A red cup. Do you want a dog on the left?", ["A red cup"], []),
        ("A red cup, no dogs.", ["A red cup"], ["no dogs"]),
        ("Could you add a red kite on the left?", ["Could you add a red kite on the left?"], []),
        ("A red cup. No chaos, please.", ["A red cup"], []),
        ("„Markt“ oben. Keine Personen abbilden!", ["Markt"], ["Keine Personen abbilden!"]),
        ("上面写「夏日」。不要出现人物。", ["夏日"], ["不要出现人物"]),
    ],
)
def test_negative_wishes_become_goals_of_absence(text: str, wanted: list[str], absent: list[str]) -> None:
    found = goals(text)
    assert [goal.string or goal.text for goal in found if not goal.absent] == wanted
    assert [goal.string or goal.text for goal in found if goal.absent] == absent


@pytest.mark.parametrize(
    "text", ["There is no blue car.", "A quiet street with no rain", 'There is no text "OPEN".', "Without an umbrella"]
)
def test_they_are_nothing_to_draw(text: str) -> None:
    assert not [each for each in parse(text) if each.verb == "add" and each.kind != "layout"]


def test_a_new_picture_is_without_them() -> None:
    kite = Goal(id="kite", text="a red kite")
    png = drawn("A red kite.\nThere is no blue car.")[0]
    assert seen(png, kite, CAR, SIGN) == [MET, MET, MET]


def seen(png: bytes, *asked: Goal) -> list[Outcome]:
    context = SketchContext()
    request = VerifyRequest(image=context.images.put(png), goals=asked)
    return [verdict.outcome for verdict in STUDIO.verifier.verify(request, context).verdicts]


def test_they_are_looked_for_and_edits_take_them_away() -> None:
    red = Goal(id="red", text="a red car")
    (before,) = drawn('Add a red car on the left.\nAdd a blue car on the right.\nSet the text "OPEN" at the top.')
    assert seen(before, red, CAR, SIGN) == [MET, MISSED, MISSED]
    assert seen(drawn("Remove the blue car.", base=before)[0], red, CAR, SIGN) == [MET, MET, MISSED]
    assert seen(drawn('Remove the text "OPEN".', base=before)[0], red, CAR, SIGN) == [MET, MISSED, MET]


def test_what_nobody_can_look_for_is_not_known_to_be_away() -> None:
    (png,) = drawn('A red cup.\nSet the text "OPEN" at the top.')
    people = Goal(id="a", text="No people, no teapots", absent=True)
    like = Goal(id="b", text='No "OPNE"', type="text", string="OPNE", absent=True)
    other = Goal(id="c", text='No "営業中"', type="text", string="営業中", absent=True)
    rain = Goal(id="d", text="no rain", absent=True)
    assert seen(png, people, like, other, rain) == [UNSURE, UNSURE, UNSURE, MET]


def test_the_planner_says_that_it_is_not_there_or_to_remove_it() -> None:
    request = PlanRequest(brief=Brief(text="x"), mode=Mode.STAGED, whole=True, targets=(CAR, SIGN))
    first = STUDIO.planner.plan(request, SketchContext()).action.instruction
    assert first.splitlines()[1:] == ["There is no blue car.", 'There is no text "OPEN".']
    edit = request.model_copy(update={"whole": False, "base": "0" * 64})
    said = STUDIO.planner.plan(edit, SketchContext()).action.instruction
    assert said.splitlines() == ["Remove blue car.", 'Remove the text "OPEN".']
    assert {each.verb for each in parse(first) + parse(said)} == {"remove"}
