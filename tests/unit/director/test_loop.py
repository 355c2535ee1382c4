"""The loop on a scripted studio: each setting changes what it says it changes, and nothing else."""

import pytest

from director.errors import EditorError, PlannerError, VerifierError
from director.loop import advance, begin, candidate_seed, direct, next_step, perform
from director.seats import ExtractRequest, PlanRequest, RenderRequest, SelectRequest, VerifyRequest
from director.state import State
from director.strategies import STRATEGIES
from director.types import (
    AcceptRule,
    Brief,
    Decided,
    LoopSettings,
    Mode,
    Outcome,
    Region,
    Rendered,
    Scope,
    Stopped,
    StopReason,
    Trajectory,
)
from tests.support.contexts import PlainContext
from tests.support.scripted_studio import ABC, ONE, ScriptedStudio, Traits, brief_of, goals_of, play, run, to_png

ALL = {"a": "met", "b": "met", "c": "met"}


def kinds(trajectory: Trajectory) -> list[str]:
    return [event.kind for event in trajectory.events]


def decisions(trajectory: Trajectory) -> list[bool]:
    return [event.accepted for event in trajectory.events if isinstance(event, Decided)]


def test_a_perfect_one_shot_stops_satisfied():
    done = run(play(ALL))
    assert kinds(done) == ["gated", "planned", "rendered", "verified", "decided", "stopped"]
    assert done.stop and done.stop.reason is StopReason.SATISFIED
    assert State.of(done).usage.model_dump() == {
        "rounds": 1, "renders": 1, "planner_calls": 1, "judge_calls": 0, "verifier_calls": 1,
    }  # fmt: skip


def test_goals_are_extracted_when_the_brief_has_none():
    studio = play(ALL, goals=ABC)
    done = run(studio, brief=Brief(text="prose"))
    assert isinstance(studio.calls[0], ExtractRequest)
    assert kinds(done)[0] == "extracted"
    assert State.of(done).goals == ABC


def test_a_planner_that_finds_nothing_is_an_error():
    with pytest.raises(PlannerError, match="no goal"):
        run(play(ALL, goals=()), brief=Brief(text="prose"))


def test_what_is_missing_is_edited_until_all_is_met():
    done = run(play({"a": "met"}, {"b": "met"}, {"c": "met"}), LoopSettings(candidates=1, batch=1))
    assert decisions(done) == [True, True, True]
    assert [r.planned.action.targets for r in State.of(done).rounds] == [("a", "b", "c"), ("b",), ("c",)]
    assert [r.planned.base for r in State.of(done).rounds][1:] == [
        r.decided.image for r in State.of(done).rounds if r.decided
    ][:2]


def test_a_picture_that_loses_a_met_goal_is_rolled_back():
    script = {"a": "met"}, {"a": "missed", "b": "met", "c": "met"}, {"b": "met", "c": "met"}
    done = run(play(*script), LoopSettings(candidates=1, accept=AcceptRule.NO_LOSS))
    assert decisions(done) == [True, False, True]
    assert State.of(done).rounds[1].decided.lost == ("a",)
    assert {v.outcome for v in State.of(done).standing.values()} == {Outcome.MET}


def test_without_rollback_the_loss_is_kept():
    settings = LoopSettings(candidates=1, rollback=False, rounds=2)
    done = run(play({"a": "met"}, {"a": "missed", "b": "met", "c": "met"}), settings)
    assert decisions(done) == [True, True]
    assert State.of(done).standing["a"].outcome is Outcome.MISSED


def test_alignment_takes_a_trade_that_no_loss_refuses():
    trade = [{"a": "met"}, {"a": "missed", "b": "met", "c": "met"}]
    assert decisions(run(play(*trade), LoopSettings(candidates=1, accept=AcceptRule.ALIGNMENT, rounds=2))) == [
        True,
        True,
    ]
    assert decisions(run(play(*trade), LoopSettings(candidates=1, accept=AcceptRule.NO_LOSS, rounds=2))) == [
        True,
        False,
    ]


@pytest.mark.parametrize("rule", ["alignment", "no-loss"])
def test_a_must_have_is_never_traded(rule: AcceptRule):
    goals = (*goals_of("a", must_have=True), *goals_of("b", "c"))
    script = {"a": "met"}, {"a": "missed", "b": "met", "c": "met"}
    done = run(play(*script), LoopSettings(candidates=1, accept=rule, rounds=2), brief_of(goals))
    assert decisions(done) == [True, False]
    assert State.of(done).rounds[1].decided.why == "rolled back: lost a"


def test_a_fall_within_the_margin_is_no_loss():
    near = {"a": "missed", "b": "met", "c": "met", "scores": {"a": 0.48}}
    done = run(play({"a": "met", "scores": {"a": 0.55}}, near), LoopSettings(candidates=1, rounds=2))
    assert decisions(done) == [True, True]


@pytest.mark.parametrize(("second", "accepted"), [("met", True), ("unsure", True), ("missed", False)])
def test_met_to_unsure_is_asked_again_once(second: str, accepted: bool):
    doubt = {"a": "unsure", "b": "met", "c": "met", "again": {"a": second}}
    studio = play({"a": "met"}, doubt)
    done = run(studio, LoopSettings(candidates=1, rounds=2, accept=AcceptRule.NO_LOSS))
    again = [c for c in studio.calls if isinstance(c, VerifyRequest) and c.again]
    assert [[goal.id for goal in call.goals] for call in again] == [["a"]]
    assert decisions(done) == [True, accepted]


def test_a_must_have_that_stays_in_doubt_is_lost():
    goals = (*goals_of("a", must_have=True), *goals_of("b"))
    done = run(play({"a": "met"}, {"a": "unsure", "b": "met"}), LoopSettings(candidates=1, rounds=2), brief_of(goals))
    assert decisions(done) == [True, False]


def test_only_unsure_left_is_unverified():
    done = run(play({"a": "met", "b": "met", "c": "unsure"}))
    assert done.stop and done.stop.reason is StopReason.UNVERIFIED


def test_rounds_are_a_budget():
    done = run(play({"a": "met"}, {"b": "met"}), LoopSettings(candidates=1, rounds=2))
    assert done.stop and done.stop.reason is StopReason.BUDGET


def test_renders_are_a_budget_that_is_never_passed():
    script = [{"a": "met"}] * 5
    done = run(play(*script), LoopSettings(candidates=4, adaptive=False, max_renders=5))
    assert done.stop and done.stop.reason is StopReason.BUDGET
    assert [len(r.candidates) for r in State.of(done).rounds] == [4, 1]


def test_no_gain_for_some_rounds_is_stalled():
    done = run(play({"a": "met"}, *[{}] * 5), LoopSettings(candidates=1, patience=2))
    assert done.stop and done.stop.reason is StopReason.STALLED
    assert len(State.of(done).rounds) == 3


def test_a_goal_is_given_up_after_three_edits():
    goals = goals_of("a", "b")
    done = run(play({"a": "met"}, *[{}] * 9), LoopSettings(candidates=1, patience=9, rounds=9), brief_of(goals))
    assert len(State.of(done).rounds) == 4
    assert done.stop and done.stop.reason is StopReason.STALLED


def test_a_share_of_the_goals_can_be_enough():
    done = run(play({"a": "met", "b": "met"}), LoopSettings(candidates=1, stop_at=0.6))
    assert done.stop and done.stop.reason is StopReason.SATISFIED
    must = (*goals_of("a", "b"), *goals_of("c", must_have=True))
    done = run(play({"a": "met", "b": "met"}, ALL), LoopSettings(candidates=1, stop_at=0.6), brief_of(must))
    assert len(State.of(done).rounds) == 2


# --- the micro-grid ---------------------------------------------------------------------------


def test_the_judge_picks_among_n():
    done = run(play({}, {"a": "met"}, ALL, {}), LoopSettings(adaptive=False))
    first = State.of(done).rounds[0]
    assert len(first.candidates) == 4
    assert first.picked == first.candidates[2].image
    assert done.stop and done.stop.reason is StopReason.SATISFIED


def test_adaptive_n_stops_when_two_are_enough():
    done = run(play({}, ALL), LoopSettings(candidates=4))
    assert kinds(done).count("rendered") == 1
    assert State.of(done).usage.renders == 2


def test_adaptive_n_renders_the_rest_when_two_are_not_enough():
    done = run(play({}, {"a": "met"}, ALL, {}), LoopSettings(candidates=4, rounds=1))
    look = ["rendered", "selected", "verified"]
    assert kinds(done) == ["gated", "planned", *look, *look, "decided", "stopped"]
    first = State.of(done).rounds[0]
    assert [len(batch.candidates) for batch in first.rendered] == [2, 2]
    assert first.picked == first.candidates[2].image


def test_the_first_winner_may_win_again_and_is_not_verified_twice():
    done = run(play({}, {"a": "met"}, {}, {}), LoopSettings(candidates=4, rounds=1))
    assert kinds(done).count("verified") == 1
    first = State.of(done).rounds[0]
    assert first.picked == first.candidates[1].image


def test_the_judge_compares_the_new_ones_with_the_winner_so_far():
    studio = play({}, {"a": "met"}, {}, {})
    run(studio, LoopSettings(candidates=4, rounds=1))
    second = [c for c in studio.calls if isinstance(c, SelectRequest)][1]
    assert len(second.candidates) == 3


def test_seeds_depend_on_job_round_and_index_only():
    seeds = {candidate_seed(s, r, i) for s in range(3) for r in range(3) for i in range(3)}
    assert len(seeds) == 27
    assert candidate_seed(1, 2, 3) == 3751671686878481423


# --- gate, stages, masks, words ---------------------------------------------------------------


def test_a_staged_job_draws_the_scene_first():
    goals = (*goals_of("g1", "g2", scope=Scope.GLOBAL), *goals_of("t1", "t2", "t3", "t4", "t5", "t6", scope=Scope.TEXT))
    met = {g.id: "met" for g in goals}
    settings = LoopSettings(candidates=1, gate="staged", rounds=3)
    done = run(play(met), settings, brief_of(goals))
    assert State.of(done).mode is Mode.STAGED
    assert State.of(done).rounds[0].planned.action.targets == ("g1", "g2", "t1", "t2", "t3", "t4")


def test_many_goals_are_staged_and_few_are_not():
    many = goals_of(*(f"x{i}" for i in range(30)))
    done = run(play({g.id: "met" for g in many}), ONE, brief_of(many))
    assert State.of(done).mode is Mode.STAGED
    assert State.of(run(play(ALL))).mode is Mode.ONE_SHOT


def test_masked_edits_do_not_ask_again_about_goals_elsewhere():
    left, right = Region(x0=0, y0=0, x1=0.3, y1=1), Region(x0=0.6, y0=0, x1=1, y1=1)
    goals = (*goals_of("a", region=left), *goals_of("b", region=right), *goals_of("n", region=left, count=3))
    script = [{"a": "met", "n": "met"}, {"b": "met"}]
    studio = play(*script, regions={"b": right})
    done = run(studio, ONE, brief_of(goals))
    asked = [[g.id for g in c.goals] for c in studio.calls if isinstance(c, VerifyRequest)]
    assert asked == [["a", "b", "n"], ["b", "n"]]
    assert done.stop and done.stop.reason is StopReason.SATISFIED
    studio = play(*script, regions={"b": right})
    run(studio, LoopSettings(candidates=1, masks=False), brief_of(goals))
    assert len([c for c in studio.calls if isinstance(c, VerifyRequest)][1].goals) == 3


def test_without_reprompting_no_planner_is_asked():
    studio = play({"a": "met", "b": "met"}, {"c": "met"})
    done = run(studio, LoopSettings(candidates=1, reprompt=False))
    assert not any(isinstance(call, PlanRequest) for call in studio.calls)
    instructions = [r.planned.action.instruction for r in State.of(done).rounds]
    assert instructions == [brief_of(ABC).text, "show c"]


def test_a_failed_instruction_is_shown_to_the_planner():
    studio = play({"a": "met", "b": "met"}, {}, {"c": "met"})
    run(studio)
    asked = [call for call in studio.calls if isinstance(call, PlanRequest)]
    assert [len(call.failures) for call in asked] == [0, 1, 2]
    assert asked[2].failures[1].evidence == ("c is missed",)


def test_after_k_chained_edits_the_anchor_is_edited_with_all_of_them():
    goals = goals_of("a", "b", "c", "d")
    script: list[Traits] = [{"a": "met"}, {"b": "met"}, {"c": "met"}, {"b": "met", "c": "met", "d": "met"}]
    settings = LoopSettings(candidates=1, batch=1, anchor_after=2)
    done = run(play(*script), settings, brief_of(goals))
    last = State.of(done).rounds[-1]
    first = State.of(done).rounds[0]
    assert first.decided and last.planned.base == first.decided.image
    assert last.planned.action.targets == ("b", "c", "d")
    assert done.stop and done.stop.reason is StopReason.SATISFIED


def test_a_refused_return_to_the_anchor_is_not_repeated():
    goals = goals_of("a", "b", "c", "d")
    script: list[Traits] = [{"a": "met"}, {"b": "met"}, {"c": "met"}, {}, {"d": "met"}]
    settings = LoopSettings(candidates=1, batch=1, anchor_after=2)
    done = run(play(*script), settings, brief_of(goals))
    assert decisions(done) == [True, True, True, False, True]


def test_a_global_miss_that_resists_editing_draws_the_scene_again():
    goals = (*goals_of("sky", scope=Scope.GLOBAL), *goals_of("b", "c", "d", "e"))
    met = {goal.id: "met" for goal in goals}
    done = run(play({"b": "met"}, {}, met), ONE, brief_of(goals))
    assert [r.planned.action.kind.value for r in State.of(done).rounds] == ["generate", "edit", "generate"]
    assert State.of(done).rounds[1].planned.action.targets == ("sky",)
    assert State.of(done).rounds[2].planned.action.targets == ("b", "c", "d", "e", "sky")


def test_an_image_to_image_job_starts_from_its_source():
    context = PlainContext()
    source = context.images.put(to_png({}))
    studio = play({"a": "met"}, {"b": "met", "c": "met"})
    done = direct(brief_of(ABC, source), ONE, 7, studio.studio(), context)
    assert State.of(done).rounds[0].planned.base == source
    assert {r.planned.action.kind.value for r in State.of(done).rounds} == {"edit"}


@pytest.mark.parametrize("name", STRATEGIES)
def test_each_strategy_of_the_paper_is_only_settings(name: str):
    settings = LoopSettings.model_validate(STRATEGIES[name])
    done = run(play(*[{"a": "met", "b": "met"}] * 40), settings)
    assert done.stop
    single = name in ("one-shot", "reprompt", "best-of-4")
    assert len(State.of(done).rounds) == 1 if single else len(State.of(done).rounds) > 1
    assert State.of(done).usage.renders == {"one-shot": 1, "reprompt": 1, "best-of-4": 4}.get(
        name, State.of(done).usage.renders
    )


# --- pure, total, honest ----------------------------------------------------------------------


def test_folding_recorded_replies_gives_the_same_trajectory():
    done = run(play({}, {"a": "met"}, {"a": "met", "b": "met"}, {}, *[ALL] * 4), LoopSettings())
    again = begin(done.brief, done.settings, done.seed)
    for event in done.events:
        if event.kind not in ("gated", "decided", "stopped"):
            assert next_step(again) is not None
            again = advance(again, event)
    assert again.model_dump_json() == done.model_dump_json()


def test_a_trajectory_survives_its_json():
    done = run(play({"a": "met"}, ALL))
    assert Trajectory.model_validate_json(done.model_dump_json()) == done


def test_a_stopped_trajectory_asks_for_nothing_and_takes_nothing():
    done = run(play(ALL))
    assert next_step(done) is None
    assert advance(done, Stopped(reason=StopReason.CANCELLED, why="late")) is done


def test_an_ordered_stop_ends_an_open_round_and_keeps_the_best():
    t = begin(brief_of(ABC), ONE, 7)
    studio, context = play({"a": "met"}, {"b": "met"}), PlainContext()
    while not State.of(t).best:
        t = advance(t, perform(next_step(t), studio.studio(), context))
    t = advance(t, perform(next_step(t), studio.studio(), context))
    stopped = advance(t, Stopped(reason=StopReason.CANCELLED, why="asked"))
    assert next_step(stopped) is None
    assert State.of(stopped).best == State.of(t).best
    assert State.of(stopped).deliverable == State.of(t).best


def test_a_seat_that_breaks_is_named():
    with pytest.raises(EditorError, match="StopIteration") as caught:
        run(play())
    assert caught.value.boundary == "editor"


def test_replies_that_answer_another_question_are_refused():
    studio, context = play(ALL, ALL), PlainContext()
    action = {"kind": "generate", "instruction": "x", "targets": ["a"]}
    request = RenderRequest.model_validate({"model": "m", "action": action, "seeds": [1], "width": 64, "height": 64})

    class Short(ScriptedStudio):
        def render(self, request: RenderRequest, context: object) -> Rendered:
            return Rendered(candidates=super().render(request, context).candidates[:1], by="short")  # pyright: ignore

        def verify(self, request: VerifyRequest, context: object):
            seen = super().verify(request, context)  # pyright: ignore
            return seen.model_copy(update={"verdicts": seen.verdicts[1:]})

    short = Short(script=iter([ALL, ALL, ALL]))
    with pytest.raises(EditorError, match="seeds"):
        perform(request.model_copy(update={"seeds": (1, 2)}), short.studio(), context)
    image = studio.render(request, context).candidates[0].image
    with pytest.raises(VerifierError, match="verdicts"):
        perform(VerifyRequest(image=image, goals=ABC), short.studio(), context)


def test_a_staged_brief_of_few_local_goals_begins_with_one_of_them_when_nobody_rewords():
    brief = Brief(text="A kite. A cup.", goals=goals_of("a", "b"))
    begun = begin(brief, LoopSettings(gate="staged", reprompt=False), 1)
    request = next_step(begun)
    assert isinstance(request, RenderRequest)
    assert request.action.targets == ("a",) and request.action.instruction == brief.goals[0].text
