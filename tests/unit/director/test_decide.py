"""The tables over verdicts, cell by cell."""

import pytest

from director import decide
from director.decide import TRANSITIONS, Effect
from director.state import alignment, coverage
from director.types import LoopSettings, Outcome, Preservation, StopReason, Verdict
from tests.support.scripted_studio import SCORE, goals_of

MET, MISSED, UNSURE = Outcome.MET, Outcome.MISSED, Outcome.UNSURE


def verdict(goal: str, outcome: Outcome, score: float | None = None) -> Verdict:
    value = SCORE[outcome.value] if score is None else score
    return Verdict(goal=goal, outcome=outcome, score=value, confidence=1, by="test")


def standing(**outcomes: Outcome) -> dict[str, Verdict]:
    return {goal: verdict(goal, outcome) for goal, outcome in outcomes.items()}


def test_the_table_has_every_cell():
    assert set(TRANSITIONS) == {(before, after) for before in (None, *Outcome) for after in Outcome}


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        (MET, MISSED, Effect.LOSS),
        (MET, UNSURE, Effect.DOUBT),
        (MISSED, MET, Effect.GAIN),
        (MISSED, UNSURE, Effect.NEUTRAL),
        (UNSURE, MET, Effect.GAIN),
        (UNSURE, MISSED, Effect.NEUTRAL),
        (None, MET, Effect.GAIN),
    ],
)
def test_transitions(before: Outcome | None, after: Outcome, effect: Effect):
    was = verdict("a", before) if before else None
    assert decide.effect(was, verdict("a", after), margin=0.1) is effect


@pytest.mark.parametrize(("fall", "effect"), [(0.1, Effect.NEUTRAL), (0.11, Effect.LOSS)])
def test_the_margin_is_inclusive(fall: float, effect: Effect):
    assert decide.effect(verdict("a", MET, 0.6), verdict("a", MISSED, 0.6 - fall), 0.1) is effect


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        ({"a": MET, "b": MET}, StopReason.SATISFIED),
        ({"a": MET, "b": UNSURE}, StopReason.UNVERIFIED),
        ({"a": UNSURE, "b": UNSURE}, StopReason.UNVERIFIED),
        ({"a": MET, "b": MISSED}, None),
        ({"a": UNSURE, "b": MISSED}, None),
        ({"a": MET}, None),
    ],
)
def test_stops(outcomes: dict[str, Outcome], reason: StopReason | None):
    found = decide.goal_stop(goals_of("a", "b"), standing(**outcomes), LoopSettings())
    assert (found[0] if found else None) is reason


def test_unsure_is_not_met_for_a_threshold():
    goals = goals_of("a", "b", "c")
    settings = LoopSettings(stop_at=0.6)
    assert decide.goal_stop(goals, standing(a=MET, b=UNSURE, c=MISSED), settings) is None
    found = decide.goal_stop(goals, standing(a=MET, b=MET, c=MISSED), settings)
    assert found and found[0] is StopReason.SATISFIED


def test_unsure_goals_leave_both_sides_of_the_alignment():
    goals = goals_of("a", "b", "c", "d")
    seen = standing(a=MET, b=MISSED, c=UNSURE)
    assert alignment(goals, seen) == 0.5
    assert coverage(goals, seen) == 0.25
    assert alignment(goals, standing(a=UNSURE)) is None


def test_weights_count():
    goals = (*goals_of("a", weight=3.0), *goals_of("b"))
    assert coverage(goals, standing(a=MET, b=MISSED)) == 0.75


def test_an_edit_that_spoils_the_rest_is_rolled_back():
    goals, settings = goals_of("a", "b"), LoopSettings(max_changed=0.02)
    before, after = standing(a=MET, b=MISSED), standing(a=MET, b=MET)
    still, moved = (Preservation(min_ssim=0.9, p999_delta_e=1.0, changed_share=share) for share in (0.02, 0.03))
    assert decide.judge(goals, before, after, settings, still).accepted
    assert decide.judge(goals, before, after, settings, None).accepted
    refused = decide.judge(goals, before, after, settings, moved)
    assert not refused.accepted
    assert "3% of the picture changed" in refused.why


def test_alignment_rolls_back_when_nothing_can_be_judged_any_more():
    settings = LoopSettings(accept="alignment")
    goals = goals_of("a", "b")
    before = standing(a=MET, b=MISSED)
    assert not decide.judge(goals, before, standing(a=UNSURE, b=UNSURE), settings).accepted
    assert decide.judge(goals, standing(a=UNSURE, b=UNSURE), before, settings).accepted


@pytest.mark.parametrize(
    ("before", "after", "accepted"),
    [
        ({"a": MET, "b": MISSED}, {"a": MET, "b": MISSED}, False),
        ({"a": MET, "b": MISSED}, {"a": MISSED, "b": MET}, False),
        ({"a": MISSED, "b": MISSED}, {"a": MISSED, "b": MISSED}, False),
        ({"a": UNSURE, "b": UNSURE}, {"a": UNSURE, "b": UNSURE}, False),
        ({"a": MET, "b": UNSURE}, {"a": MET, "b": MET}, True),
        ({"a": MET, "b": MISSED}, {"a": MET, "b": MET}, True),
    ],
)
def test_a_tie_keeps_the_earlier_picture(before: dict[str, Outcome], after: dict[str, Outcome], accepted: bool):
    goals, settings = goals_of("a", "b"), LoopSettings(accept="alignment")
    assert decide.judge(goals, None, standing(**before), settings).accepted
    judgement = decide.judge(goals, standing(**before), standing(**after), settings)
    assert judgement.accepted is accepted
    assert judgement.why.startswith("rolled back: alignment") is not accepted
    as_in_the_paper = LoopSettings(accept="alignment-or-tie")
    assert decide.judge(goals, standing(**before), standing(**after), as_in_the_paper).accepted


def test_even_where_a_tie_is_enough_a_must_have_is_not_lost_for_one_and_less_is_rolled_back():
    goals = goals_of("a", "b")
    musts = (goals[0].model_copy(update={"must_have": True}), goals[1])
    settings, before = LoopSettings(accept="alignment-or-tie"), standing(a=MET, b=MISSED)
    assert decide.judge(musts, before, standing(a=MISSED, b=MET), settings).why == "rolled back: lost a"
    assert not decide.judge(goals, before, standing(a=MISSED, b=MISSED), settings).accepted
