"""Wide edits: all that is missing at once, half as much where that fails, an end where a render promises too little."""

from dataclasses import replace

import pytest

from director import schedule
from director.gate import gate
from director.loop import advance, direct, priced_out
from director.seats import Context, DecideRequest
from director.state import State
from director.strategies import STRATEGIES
from director.types import AcceptRule, Brief, Chosen, LoopSettings, Mode, Scope, StopReason, Trajectory
from director.wide import expected, width
from tasks.jobs import contract_of
from tests.support.contexts import PlainContext
from tests.support.scripted_studio import ScriptedStudio, Traits, brief_of, goals_of, play, run, to_png

SIX = goals_of(*"abcdef")
WIDE = LoopSettings(edits="wide", batch=64, candidates=1, patience=20)
NOTHING: list[Traits] = [{}] * 40


def done(studio: ScriptedStudio, settings: LoopSettings = WIDE, goals: object = SIX) -> Trajectory:
    return run(studio, settings, brief_of(goals))  # pyright: ignore[reportArgumentType]


def targets(trajectory: Trajectory) -> list[str]:
    return ["".join(each.planned.action.targets) for each in State.of(trajectory).rounds]


def test_an_edit_takes_all_that_is_missing_and_half_as_much_after_one_that_brought_little():
    found = done(play({"a": "met"}, *NOTHING), WIDE.model_copy(update={"rounds": 4}))
    assert targets(found) == ["abcdef", "bcdef", "bc", "d"]


def test_what_comes_keeps_it_wide():
    found = done(play({"a": "met"}, {"b": "met"}, {"c": "met"}, {"d": "met", "e": "met", "f": "met"}))
    assert targets(found) == ["abcdef", "bcdef", "cdef", "def"]
    assert found.stop and found.stop.reason is StopReason.SATISFIED


def test_a_wide_edit_is_a_try_of_each_of_its_goals_and_batch_is_the_most_it_takes():
    narrow = WIDE.model_copy(update={"batch": 2, "rounds": 20})
    found = done(play(*NOTHING), narrow, goals_of("a", "b"))
    state = State.of(found)
    assert targets(found)[:2] == ["ab", "ab"]
    assert {schedule.tries(goal.id, state) for goal in state.goals} == {schedule.TRIES}
    assert found.stop and found.stop.why == "what is missing was tried and did not come"
    few = replace_settings(found, edits="few", batch=2)
    assert all(schedule.tries(goal.id, State.of(few)) == schedule.TRIES for goal in state.goals)
    whole = done(play(*NOTHING), WIDE.model_copy(update={"rounds": 2}))
    assert {schedule.tries(g.id, State.of(replace_settings(whole, edits="few"))) for g in SIX} == {0}


def replace_settings(trajectory: Trajectory, **changes: object) -> Trajectory:
    return trajectory.model_copy(update={"settings": trajectory.settings.model_copy(update=changes)})


def test_the_loop_ends_where_a_render_promises_less_than_its_price():
    free = done(play({"a": "met"}, *NOTHING))
    priced = done(play({"a": "met"}, *NOTHING), WIDE.model_copy(update={"price_of_render": 0.3}))
    assert len(State.of(priced).rounds) < len(State.of(free).rounds)
    assert priced.stop and priced.stop.reason is StopReason.STALLED
    assert priced.stop.why == "another round promises less than 0.3 goals a render"
    dear = done(play({"a": "met"}, *NOTHING), WIDE.model_copy(update={"price_of_render": 0.3, "candidates": 4}))
    assert len(State.of(dear).rounds) == 1


def test_a_price_that_rises_while_a_job_runs_ends_it_between_two_rounds():
    free = done(play({"a": "met"}, *NOTHING), WIDE.model_copy(update={"rounds": 3}))
    rounds = [n + 1 for n, event in enumerate(free.events) if event.kind == "decided"]
    for n in range(len(free.events) + 1):
        before = free.model_copy(update={"events": free.events[:n]})
        assert priced_out(before, 0.01) is None
        found = priced_out(before, 5.0)
        assert (found is not None) is (n in rounds)
        if found:
            stop = advance(before, found).stop
            assert stop and stop.why == "another round promises less than 5 goals a render"
    drafts = replace_settings(before_round(free, 2), draft_rounds=True)
    full = priced_out(drafts, 5.0)
    assert full and full.kind == "planned" and full.final
    assert advance(drafts, full).stop is None


def before_round(trajectory: Trajectory, number: int) -> Trajectory:
    decided = [n + 1 for n, event in enumerate(trajectory.events) if event.kind == "decided"]
    return trajectory.model_copy(update={"events": trajectory.events[: decided[number - 2]]})


def test_what_an_edit_promises_falls_with_failures_and_rises_with_the_jobs_own_luck():
    start, lucky, unlucky = (
        State.of(done(play({"a": "met"}, *script), WIDE.model_copy(update={"rounds": rounds})))
        for rounds, script in ((1, [{}]), (2, [{"b": "met", "c": "met"}]), (2, [{}]))
    )
    batch = SIX[3:]
    assert expected(start, batch) == pytest.approx(3 * 0.18)
    assert expected(unlucky, batch) < expected(start, batch) < expected(lucky, SIX[3:] + SIX[3:])
    assert width(start) == 64
    assert width(unlucky) == 2


def test_a_must_have_that_is_missing_is_worth_any_price():
    goals = (*goals_of("a", must_have=True), *goals_of("b"))
    settings = WIDE.model_copy(update={"price_of_render": 5.0, "rounds": 3})
    found = done(play({"b": "met"}, *NOTHING), settings, goals)
    assert len(State.of(found).rounds) == 3
    assert len(State.of(done(play({"a": "met"}, *NOTHING), settings, goals)).rounds) == 1


def test_an_edit_may_have_fewer_candidates_than_a_new_picture():
    settings = WIDE.model_copy(update={"candidates": 4, "edit_candidates": 2, "adaptive": False, "rounds": 2})
    found = State.of(done(play({"a": "met"}, *NOTHING), settings))
    assert [len(each.candidates) for each in found.rounds] == [4, 2]
    more = settings.model_copy(update={"candidates": 1})
    assert [len(each.candidates) for each in State.of(done(play({"a": "met"}, *NOTHING), more)).rounds] == [1, 1]


ALIKE = LoopSettings(edits="alike", batch=64, candidates=1, patience=20)
HERE_AND_EVERYWHERE = (*goals_of("a", "b", "c"), *goals_of("x", "y", scope=Scope.GLOBAL))


def test_goals_of_the_whole_picture_get_an_edit_of_their_own_and_the_group_that_promises_more_goes_first():
    goals = (*HERE_AND_EVERYWHERE, *goals_of(*"klmno"))
    found = done(play(dict.fromkeys("klmno", "met"), *NOTHING), ALIKE.model_copy(update={"rounds": 5}), goals)
    assert targets(found)[1:] == ["abc", "xy", "abc", "xy"]


def test_what_came_leaves_its_group_and_a_group_of_nothing_is_no_edit():
    found = done(play({"x": "met", "y": "met"}, {"b": "met"}, *NOTHING), ALIKE, HERE_AND_EVERYWHERE)
    state = State.of(found)
    assert targets(found) == ["abcxy", "abc", "ac", "ac"]
    assert {schedule.tries(goal, state) for goal in "ac"} == {schedule.TRIES}
    assert found.stop and found.stop.why == "what is missing was tried and did not come"


def test_a_group_with_a_missing_must_have_goes_before_one_that_promises_more():
    goals = (*goals_of("a", "b", "c"), *goals_of("x", scope=Scope.LAYOUT, must_have=True))
    assert targets(done(play({}, {"x": "met"}, *NOTHING), ALIKE, goals))[:3] == ["abcx", "x", "abc"]


def test_a_local_goal_waits_for_the_parent_that_is_in_the_other_group():
    goals = (*goals_of("x", scope=Scope.GLOBAL), *goals_of("a", "b", parents=("x",)))
    assert targets(done(play({}, {"x": "met"}, *NOTHING), ALIKE, goals))[:3] == ["abx", "x", "ab"]


def test_the_wide_strategy_asks_for_everything_at_once_however_long_the_brief():
    forty = goals_of(*(f"g{number}" for number in range(40)))
    wide = LoopSettings.model_validate(STRATEGIES["wide"])
    assert gate(brief_of(forty), forty, wide.model_copy(update={"gate": "auto"})).mode is Mode.STAGED
    first = done(play(*NOTHING), wide.model_copy(update={"rounds": 1}), forty)
    assert {*State.of(first).rounds[0].planned.action.targets} == {goal.id for goal in forty}


TARGETS = ALIKE.model_copy(update={"targets_first": True})


def looks(trajectory: Trajectory) -> list[list[str]]:
    """Of each round, the goals of each look."""
    rounds = State.of(trajectory).rounds
    return [["".join(verdict.goal for verdict in seen.verdicts) for seen in each.verified] for each in rounds]


def test_where_targets_go_first_the_rest_is_looked_at_only_if_one_of_them_came():
    found = done(play({"x": "met"}, {"c": "met"}, {"b": "met"}, {"a": "met"}), TARGETS, goals_of(*"abx"))
    assert looks(found) == [["abx"], ["ab"], ["ab", "x"], ["a", "bx"]]
    rounds = State.of(found).rounds
    assert [each.decided.accepted for each in rounds if each.decided] == [True, False, True, True]
    assert found.stop and found.stop.reason is StopReason.SATISFIED


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"rollback": False}, 1),
        ({"draft_rounds": True, "rounds": 1}, 1),  # the full edit of the best draft, which aims at nothing
        ({"anchor_after": 1}, 3),  # an edit of the anchor says once more what is met
    ],
)
def test_a_picture_that_may_become_the_best_without_its_targets_is_looked_at_as_a_whole(changes: Traits, number: int):
    settings = TARGETS.model_copy(update={"rounds": 4, **changes})
    found = done(play({"a": "met"}, {"b": "met"}, {"c": "met"}, *NOTHING), settings, goals_of(*"abcd"))
    assert looks(found)[number][0] == "abcd"


def test_the_first_edit_of_a_source_is_looked_at_as_a_whole():
    context, studio = PlainContext(), play(*NOTHING)
    brief = brief_of(goals_of(*"abcd"), context.images.put(to_png({"a": "met"})))
    settings = TARGETS.model_copy(update={"gate": "staged", "rounds": 2})
    found = direct(brief, settings, 7, studio.studio(), context)
    assert looks(found) == [["abcd"], ["bcd"]]


class Stopper:
    """Always takes the schedule's own option."""

    def __init__(self) -> None:
        self.asked: list[DecideRequest] = []

    def decide(self, request: DecideRequest, context: Context) -> Chosen:
        self.asked.append(request)
        return request.chosen(0, by="stopper")


def test_where_a_render_promises_too_little_the_end_is_the_first_option_and_the_others_stay():
    decider = Stopper()
    settings = WIDE.model_copy(update={"price_of_render": 5.0, "decide": "planner"})
    studio = replace(play({"a": "met"}, *NOTHING).studio(), decider=decider)
    found = direct(brief_of(SIX), settings, 7, studio, PlainContext())
    assert [option.name for option in decider.asked[-1].options][:2] == ["stop", "edit-all-n1"]
    assert found.stop and found.stop.why == "stopper expects no gain that is worth its cost"


def test_what_older_programs_can_not_read_says_so_and_nothing_else_is_stored_otherwise():
    plain = LoopSettings()
    assert contract_of(Brief(text="x"), (), plain) == 1
    for change in (
        {"edits": "wide"},
        {"batch": 5},
        {"edit_candidates": 2},
        {"price_of_render": 0.1},
        {"decide": "planner"},
    ):
        assert contract_of(Brief(text="x"), (), plain.model_copy(update=change)) == 3
    assert contract_of(Brief(text="x"), (), plain.model_copy(update={"edits": "alike"})) == 5
    assert contract_of(Brief(text="x"), (), plain.model_copy(update={"accept": AcceptRule.ALIGNMENT_OR_TIE})) == 6
    assert contract_of(Brief(text="x"), (), plain.model_copy(update={"targets_first": True})) == 7
    later = {"edits", "edit_candidates", "price_of_render", "decide", "targets_first"}
    assert not later & plain.model_dump().keys()
    wide = LoopSettings.model_validate(STRATEGIES["wide"])
    assert LoopSettings.model_validate_json(wide.model_dump_json()) == wide


def test_the_paper_strategy_is_the_loop_as_it_was():
    assert LoopSettings.model_validate(STRATEGIES["paper"]) == LoopSettings()
