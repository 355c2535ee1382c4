"""A brief that goes on from a picture: what that meets is kept, guarded and not planned; only the change is drawn."""

import json

import pytest

from director.continuing import changed, tried_again
from director.loop import direct
from director.seats import ExtractRequest, PlanRequest, VerifyRequest
from director.state import State
from director.transcript import Transcript
from director.types import (
    Brief,
    Candidate,
    Decided,
    Goal,
    LoopSettings,
    Outcome,
    Rendered,
    StopReason,
    Trajectory,
    Verdict,
)
from tests.support.contexts import PlainContext
from tests.support.scripted_studio import ONE, ScriptedStudio, brief_of, goals_of, play, to_png

LAMP = Goal(id="a", text="a brass lamp on the desk")
CHAIR = Goal(id="b", text="a green chair")
SIGN = Goal(id="c", text="the headline is white", parents=("a",))
GOALS = (LAMP, CHAIR, SIGN)
STAGED = LoopSettings(candidates=1, gate="staged")


def on(studio: ScriptedStudio, brief: Brief, context: PlainContext, settings: LoopSettings = ONE) -> Trajectory:
    return direct(brief, settings, 7, studio.studio(), context)


def drawn(context: PlainContext, **traits: str) -> State:
    """A job that has ended with a picture of these traits."""
    settings = LoopSettings(candidates=1, rounds=1)
    return State.of(on(play(traits), brief_of(GOALS), context, settings))


def decisions(done: Trajectory) -> list[bool]:
    return [event.accepted for event in done.events if isinstance(event, Decided)]


def test_what_is_met_is_kept_and_only_the_change_is_planned():
    context = PlainContext()
    before = drawn(context, a="met", b="met", c="missed")
    assert before.best
    brief = changed(before, before.best, "a red kite", "desk, changed")
    assert [goal.text for goal in brief.continues.goals] == [LAMP.text, CHAIR.text] if brief.continues else False
    kite = Goal(id="g01", text="a red kite")
    studio = play({"k01": "met", "k02": "met", "g01": "met"}, goals=(kite,))
    done = on(studio, brief, context)
    assert done.stop and done.stop.reason is StopReason.SATISFIED
    [plan] = [call for call in studio.calls if isinstance(call, PlanRequest)]
    assert ([goal.id for goal in plan.targets], [goal.id for goal in plan.kept]) == (["g01"], ["k01", "k02"])
    assert (plan.base, plan.whole) == (before.best, False)
    transcript = Transcript(brief.goals, brief.continues)
    lines = [str(transcript.line(event)) for event in done.events]
    assert "goals       1 goal: a red kite; 2 goals kept" in lines
    assert "accepted    3/3 goals met  + a red kite" in lines
    [look] = [call for call in studio.calls if isinstance(call, VerifyRequest)]
    assert [goal.id for goal in look.goals] == ["k01", "k02", "g01"], "what is kept is looked at"


def test_a_change_that_loses_what_is_kept_is_rolled_back_and_the_picture_stays():
    context = PlainContext()
    before = drawn(context, a="met", b="met", c="met")
    assert before.best
    brief = changed(before, before.best, "a red kite", "")
    studio = play(*[{"k01": "missed", "k02": "missed", "k03": "missed", "g01": "met"}] * 3, goals=goals_of("g01"))
    done = on(studio, brief, context, LoopSettings(candidates=1, rounds=2))
    assert decisions(done) == [False, False]
    assert State.of(done).deliverable == before.best


def test_what_is_lost_by_the_way_is_planned_again():
    context = PlainContext()
    before = drawn(context, a="met", b="met", c="met")
    assert before.best
    brief = changed(before, before.best, "a red kite", "")
    script = {"k01": "missed", "k02": "met", "k03": "met", "g01": "met"}, {"k01": "met"}
    studio = play(*script, goals=goals_of("g01"))
    done = on(studio, brief, context)
    assert decisions(done) == [True, True]
    plans = [call for call in studio.calls if isinstance(call, PlanRequest)]
    assert [[goal.id for goal in plan.targets] for plan in plans] == [["g01"], ["k01"]]
    assert done.stop and done.stop.reason is StopReason.SATISFIED


def test_what_the_change_takes_back_is_no_longer_wanted():
    context = PlainContext()
    before = drawn(context, a="met", b="met", c="met")
    assert before.best
    brief = changed(before, before.best, "the lamp goes, the headline is red", "")
    goals = (
        Goal(id="g01", text="the lamp goes", absent=True),
        Goal(id="g02", text="the headline is red", conflicts=("k03",)),
    )
    done = on(play({"k02": "met", "g01": "met", "g02": "met"}, goals=goals), brief, context)
    state = State.of(done)
    assert [goal.id for goal in state.goals] == ["k02", "g01", "g02"]
    assert (state.counts.met, state.counts.total) == (3, 3)


def test_the_gate_counts_what_is_to_be_drawn():
    context = PlainContext()
    before = drawn(context, a="met", b="met", c="met")
    assert before.best
    studio = play({"k01": "met", "k02": "met", "k03": "met", "g01": "met"}, goals=goals_of("g01"))
    done = on(studio, changed(before, before.best, "a red kite", ""), context)
    assert "1 goals" in next(event.why for event in done.events if event.kind == "gated")


def test_staged_it_goes_one_after_the_other():
    context = PlainContext()
    before = drawn(context, a="met", b="missed", c="missed")
    assert before.best
    studio = play({"k01": "met", "g01": "met"}, {"g02": "met"}, {"g03": "met"}, goals=goals_of("g01", "g02", "g03"))
    settings = LoopSettings(candidates=1, gate="staged", batch=1)
    done = on(studio, changed(before, before.best, "three things", ""), context, settings)
    assert decisions(done) == [True, True, True]


def test_an_unmet_brief_is_tried_again_for_what_it_misses():
    context = PlainContext()
    before = drawn(context, a="met", b="missed", c="met")
    assert before.best
    brief = tried_again(before, before.best)
    assert brief and brief.continues
    assert [goal.id for goal in brief.goals] == ["b"]
    studio = play({"b": "met"})
    done = on(studio, brief, context)
    assert not [call for call in studio.calls if isinstance(call, ExtractRequest)]
    [plan] = [call for call in studio.calls if isinstance(call, PlanRequest)]
    assert [goal.id for goal in plan.targets] == ["b"]
    assert done.stop and done.stop.reason is StopReason.SATISFIED
    assert tried_again(State.of(done), State.of(done).best or "") is None, "nothing is left to try"


def test_of_a_candidate_that_nobody_looked_at_what_is_kept_is_in_doubt_and_looked_at():
    context = PlainContext()
    before = drawn(context, a="met", b="met", c="missed")
    other = context.images.put(to_png({"a": "missed", "b": "met"}))
    rounds = before.rounds[-1]
    shown = before._replace(
        rounds=(
            *before.rounds[:-1],
            rounds._replace(rendered=(Rendered(candidates=(Candidate(image=other, seed=1),), by="x"),)),
        )
    )
    brief = changed(shown, other, "a red kite", "")
    assert brief.continues
    assert {verdict.outcome for verdict in brief.continues.verdicts} == {Outcome.UNSURE}
    studio = play({"k01": "missed", "k02": "met", "g01": "met"}, {"k01": "met"}, goals=goals_of("g01"))
    done = on(studio, brief, context)
    plans = [call for call in studio.calls if isinstance(call, PlanRequest)]
    assert [goal.id for goal in plans[0].targets] == ["g01"]
    assert decisions(done)[0], "what was never there can't be lost"


def test_a_change_of_a_change_keeps_names_apart():
    context = PlainContext()
    before = drawn(context, a="met", b="met", c="met")
    assert before.best
    studio = play({"k01": "met", "k02": "met", "k03": "met", "g01": "met"}, goals=goals_of("g01"))
    once = State.of(on(studio, changed(before, before.best, "a red kite", ""), context))
    twice = changed(once, once.best or "", "a blue boat", "")
    assert twice.continues
    assert [goal.id for goal in twice.continues.goals] == ["k01", "k02", "k03", "k04"]
    assert twice.continues.goals[2].parents == ("k01",)


def test_what_is_stored_of_other_briefs_stays_as_it_was():
    stored = brief_of(GOALS).model_dump_json()
    assert "continues" not in stored
    assert Brief.model_validate_json(stored) == brief_of(GOALS)


@pytest.mark.parametrize(
    ("source", "goals", "verdicts", "complaint"),
    [
        (None, ("k01",), ("k01",), "no picture to go on from"),
        ("a" * 64, ("k01",), (), "not those of the goals"),
        ("a" * 64, ("g1",), ("g1",), "same id"),
    ],
)
def test_a_brief_that_goes_on_from_nothing_is_refused(
    source: str | None, goals: tuple[str, ...], verdicts: tuple[str, ...], complaint: str
):
    def verdict(goal: str) -> Verdict:
        return Verdict(goal=goal, outcome=Outcome.MET, score=1, confidence=1, by="test")

    fields = {"goals": goals_of(*goals), "verdicts": tuple(map(verdict, verdicts))}
    with pytest.raises(ValueError, match=complaint):
        Brief.model_validate({"text": "x", "source": source, "goals": goals_of("g1"), "continues": fields})


def test_a_trajectory_that_goes_on_is_read_back_as_it_was():
    context = PlainContext()
    before = drawn(context, a="met", b="met", c="met")
    assert before.best
    done = on(
        play({"k01": "met", "k02": "met", "k03": "met", "g01": "met"}, goals=goals_of("g01")),
        changed(before, before.best, "a red kite", ""), context,
    )  # fmt: skip
    read = Trajectory.model_validate_json(done.model_dump_json())
    assert read == done
    assert State.of(read).counts == State.of(done).counts
    assert json.loads(done.model_dump_json())["brief"]["continues"]["verdicts"]
