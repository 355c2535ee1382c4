"""What a verdict certifies is there: the roof that a cat sits on, and no lettering beside the only string."""

import pytest

from director.seats import VerifyRequest
from director.types import Brief, Goal, Outcome
from tests.unit.sketch.host import STUDIO, SketchContext, drawn
from worker.sketch.grounds import Ground, grounds
from worker.sketch.planner import extracted

MET, MISSED, UNSURE = Outcome.MET, Outcome.MISSED, Outcome.UNSURE


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A cat sits on the roof.", [Ground("roof", "", True)]),
        ("a cup on the edge of the table", [Ground("table", "", True)]),
        ("a dog under the old piano on the left", [Ground("old piano", "piano", False)]),
        ("a fox at the garden gate, waving", [Ground("garden gate", "", False)]),
        ("a pumpkin next to the ear of corn", [Ground("ear of corn", "corn", False)]),
        ("A lantern hangs from the ceiling", [Ground("ceiling", "", False)]),
        ("a cat in the wicker basket", [Ground("wicker basket", "basket", False)]),
        ("A red boat lies in the harbour", []),
        ("a cat in front of the garden gate", [Ground("garden gate", "", False)]),
        ("a blue apple on the right", []),
        ("a horse in the upper left, painted by the artist", []),
        ("an owl on a dark background in the centre of the picture", []),
        ('a cat, and "ON THE ROOF" along the bottom', []),
    ],
)
def test_where_a_thing_is_said_to_stand(text: str, found: list[Ground]) -> None:
    assert list(grounds(text)) == found


def test_a_thing_is_not_certified_where_what_it_stands_by_is_not_seen() -> None:
    (png,) = drawn("A cat sits in the upper left.\nA piano stands in the lower right.")
    cat, roof, ladder, piano, dog, by = seen(
        png,
        "a cat",
        "A cat sits on the roof",
        "a cat on the ladder",
        "a cat sits on the piano",
        "a dog on the roof",
        "a cat near the piano",
    )
    assert (cat[0], roof[0], ladder[0], piano[0], dog[0], by[0]) == (MET, UNSURE, UNSURE, MISSED, MISSED, MET)
    assert "cannot look for the roof" in roof[1]
    assert "no ladder to judge its place by" in ladder[1]


ONLY = ("No text other than 'OPEN'.", 'The only text is "OPEN".', "Kein Text außer „OPEN“.")


def test_the_only_string_is_missed_beside_other_lettering() -> None:
    (one,) = drawn('A red kite on the left.\nSet the text "OPEN" at the top.')
    (two,) = drawn('A red kite on the left.\nSet the text "OPEN" at the top.\nSet "MARKET DAY" at the bottom.')
    both, none = 'No text other than "OPEN" and "MARKET DAY".', "No text, please."
    assert [outcome for outcome, _ in seen(one, *ONLY, both, none)] == [MET, MET, MET, MISSED, MISSED]
    assert [outcome for outcome, _ in seen(two, *ONLY, both, none)] == [MISSED, MISSED, MISSED, MET, MISSED]
    assert "other lettering at the bottom" in seen(two, ONLY[0])[0][1]


def test_no_lettering_at_all_is_seen() -> None:
    (png,) = drawn("A red kite on the left.")
    wishes = ("No text, please.", "文字なし。", "ohne Text", "No red text.")
    assert [outcome for outcome, _ in seen(png, *wishes)] == [MET, MET, MET, UNSURE]


def seen(png: bytes, *texts: str) -> list[tuple[Outcome, str]]:
    context = SketchContext()
    goals = tuple(goal(f"g{n}", text) for n, text in enumerate(texts))
    request = VerifyRequest(image=context.images.put(png), goals=goals)
    return [(found.outcome, found.evidence) for found in STUDIO.verifier.verify(request, context).verdicts]


def goal(name: str, text: str) -> Goal:
    (found,) = extracted(Brief(text=text)) or [Goal(id=name, text=text)]
    return found.model_copy(update={"id": name})
