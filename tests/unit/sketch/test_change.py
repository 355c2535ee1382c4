"""A change of a picture that the sketch drew: the lamp goes, the headline is red, and the rest stays."""

from director.continuing import changed
from director.loop import direct
from director.seats import ExtractRequest
from director.state import State
from director.types import Brief, Continues, Goal, GoalType, LoopSettings, Outcome, Verdict
from tests.unit.sketch.host import STUDIO, SketchContext

TEXT = "A brass lamp on the left. A green chair on the right. Set 'HARBOUR' across the top in white."
SETTINGS = LoopSettings(editor="perfect", candidates=1, width=320, height=320)


def test_the_lamp_goes_and_the_chair_stays() -> None:
    context = SketchContext()
    before = State.of(direct(Brief(text=TEXT), SETTINGS, 3, STUDIO, context))
    assert before.best
    assert before.counts.met == before.counts.total == 3
    brief = changed(before, before.best, "The lamp goes. The headline 'HARBOUR' is red.", "changed")
    after = State.of(direct(brief, SETTINGS, 4, STUDIO, context))
    wishes = [goal.wish for goal in after.goals]
    assert wishes == ["A green chair on the right", "absent: The lamp goes", "The headline 'HARBOUR' is red"]
    assert (after.counts.met, after.best != before.best) == (3, True)
    assert all(event.base == before.best for event in after.trajectory.events[:3] if event.kind == "planned")


def test_a_colour_takes_the_place_of_that_thing_s_colour_alone() -> None:
    texts = ("A red boat on the left", "A blue boat", "A boat", "The lamp is yellow", "The boat is green")
    kept = tuple(Goal(id=f"k{n}", text=text, type=GoalType.COLOR) for n, text in enumerate(texts, 1))
    verdicts = tuple(
        Verdict(goal=goal.id, outcome=Outcome.MET, score=1, confidence=1, evidence="", by="test") for goal in kept
    )
    brief = Brief(text="The boat is blue.", source="ab" * 32, continues=Continues(goals=kept, verdicts=verdicts))
    [wanted] = STUDIO.planner.extract(ExtractRequest(brief=brief), SketchContext()).goals
    assert wanted.conflicts == ("k1", "k5")
