import pytest

from director.errors import BriefError
from director.seats import ExtractRequest, Failure, PlanRequest
from director.types import Brief, Goal, Mode, Region, Scope
from tests.unit.sketch.host import STUDIO, SketchContext
from worker.sketch.language import parse

BRIEF = Brief(
    text=(
        "A poster for a small café, where nobody rushes you out. One large cream cup stands in the middle of the "
        "frame; thin steam rises from the cup. To the left of the cup a ginger cat is asleep. Set "
        "FIRST PRESS COFFEE in bold capitals across the top, and put Open Tue–Sun in small letters along the bottom "
        "edge. A palette of rust and cream. Soft daylight from the left. Film grain, about 15%. The feeling is a first "
        "cold morning."
    )
)


def test_goals_are_verbatim_typed_and_numbered() -> None:
    goals = STUDIO.planner.extract(ExtractRequest(brief=BRIEF), SketchContext()).goals
    assert [goal.id for goal in goals] == [f"g{n:02d}" for n in range(1, len(goals) + 1)]
    assert all(goal.text in BRIEF.text for goal in goals)
    types = [goal.type for goal in goals]
    assert types == ["add_object", "effect", "add_object", "text", "text", "color", "lighting", "effect"]
    assert [goal.string for goal in goals if goal.string] == ["FIRST PRESS COFFEE", "Open Tue–Sun"]
    steam, cat = goals[1], goals[2]
    assert steam.parents == cat.parents == (goals[0].id,)
    assert goals[3].scope is Scope.TEXT
    assert goals[3].region


def test_night_and_high_key_are_in_conflict() -> None:
    brief = Brief(text="A low-key night scene with a cat. A bright and airy, high-key scene with a dog.")
    night, day = STUDIO.planner.extract(ExtractRequest(brief=brief), SketchContext()).goals
    assert night.conflicts == (day.id,)
    assert day.conflicts == (night.id,)


@pytest.mark.parametrize("text", ["Hello there, how are you today?", "…", "Make it feel like nobody is watching."])
def test_a_brief_that_asks_for_nothing(text: str) -> None:
    with pytest.raises(BriefError, match="name things"):
        STUDIO.planner.extract(ExtractRequest(brief=Brief(text=text)), SketchContext())


GOALS = (
    Goal(id="a", text="Add a red kite on the left", region=Region(x0=0, y0=0, x1=0.4, y1=0.5)),
    Goal(id="b", text="Include the text 'HELLO' at the top", type="text", scope=Scope.TEXT, string="HELLO"),
)


def plan(**more: object) -> PlanRequest:
    values: dict[str, object] = {"brief": BRIEF, "mode": Mode.STAGED, "whole": True, "targets": GOALS, **more}
    return PlanRequest.model_validate(values)


def test_one_instruction_names_all_targets_so_that_the_editor_understands() -> None:
    action = STUDIO.planner.plan(plan(), SketchContext()).action
    assert action.targets == ("a", "b")
    assert action.region is None
    assert {d.key for d in parse(action.instruction)} >= {d.key for goal in GOALS for d in parse(goal.text)}


def test_a_local_miss_is_edited_inside_a_generous_mask() -> None:
    request = plan(whole=False, base="0" * 64, targets=GOALS[:1])
    planned = STUDIO.planner.plan(request, SketchContext())
    assert planned.base == request.base
    assert planned.action.region
    assert planned.action.region.x1 > 0.4
    assert (
        STUDIO.planner.plan(
            plan(whole=False, base="0" * 64, targets=GOALS[:1], masks=False), SketchContext()
        ).action.region
        is None
    )
    assert STUDIO.planner.plan(plan(whole=False, base="0" * 64, targets=GOALS), SketchContext()).action.region is None


def test_after_a_failure_it_says_it_differently_and_means_the_same() -> None:
    first = STUDIO.planner.plan(plan(), SketchContext()).action.instruction
    failures = (Failure(instruction=first, goals=("a", "b")),)
    second = STUDIO.planner.plan(plan(failures=failures), SketchContext()).action.instruction
    assert first != second
    assert {d.key for d in parse(first)} == {d.key for d in parse(second)}


def test_what_an_opening_announces_is_asked_for() -> None:
    brief = Brief(text="An ad for our lemonade: a bottle with two lemons beside it. A calm mood.")
    found = STUDIO.planner.extract(ExtractRequest(brief=brief), SketchContext()).goals
    assert [goal.text for goal in found] == ["a bottle with two lemons beside it"]


@pytest.mark.parametrize(
    ("text", "strings"),
    [
        ('Set "TOP" above, "Middle, here" below it, and "FOOT" at the bottom.', ["TOP", "Middle, here", "FOOT"]),
        ("上面写「夏日」、“集市”，下面写『免费』。", ["夏日", "集市", "免费"]),
        ("Oben „Markt am Fluss“, unten »Ab 9 Uhr, kein Eintritt«.", ["Markt am Fluss", "Ab 9 Uhr, kein Eintritt"]),
        ("Write 'Kids' Corner, 5 o'clock' on the left.", ["Kids' Corner, 5 o'clock"]),
    ],
)
def test_every_string_of_a_clause_is_a_goal_and_stays_itself_in_the_instruction(text: str, strings: list[str]) -> None:
    goals = STUDIO.planner.extract(ExtractRequest(brief=Brief(text=text)), SketchContext()).goals
    assert [goal.string for goal in goals] == strings
    instruction = STUDIO.planner.plan(plan(targets=goals), SketchContext()).action.instruction
    assert [drawable.string for drawable in parse(instruction)] == strings
