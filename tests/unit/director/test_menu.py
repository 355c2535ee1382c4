"""The menu: pure, led by what the schedule would do, and within the rules whatever is chosen from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from director.errors import PlannerError
from director.loop import advance, begin, direct, next_step, perform
from director.menu import options
from director.seats import Context, DecideRequest, PlanRequest, VerifyRequest
from director.state import State
from director.types import (
    Brief,
    Chosen,
    Gated,
    Goal,
    LoopSettings,
    Mode,
    Move,
    Option,
    Outcome,
    Stopped,
    StopReason,
    Trajectory,
)
from tests.support.contexts import PlainContext
from tests.support.scripted_studio import ABC, ScriptedStudio, Traits, brief_of, goals_of, play
from tests.support.step_rig import make_step_rig
from worker.bench.sketch_lab.surrogate import Lists, surrogate
from worker.local import LocalContext
from worker.sketch.misses import load_miss_model

ASKED = LoopSettings(decide="planner", candidates=4, adaptive=False)
BRIEF = Brief(
    text='A poster of a market. A red kite on the left. A blue boat on the right. Set "OPEN" at the top. '
    'Set "DAILY" below it. A yellow cup in the middle. Warm light from the left. A thin dark frame. Two green trees.'
)


@dataclass
class Chooser:
    """Chooses by name, in order, the last one for ever; the first option where that is not on the menu."""

    names: Sequence[str]
    asked: list[DecideRequest] = field(default_factory=list[DecideRequest])

    def decide(self, request: DecideRequest, context: Context) -> Chosen:
        name = self.names[min(len(self.asked), len(self.names) - 1)]
        self.asked.append(request)
        number = next((n for n, option in enumerate(request.options) if option.name == name), 0)
        return request.chosen(number, by="chooser", inspect="something is amiss", revise="say it plainly")


def decided(
    studio: ScriptedStudio, *names: str, settings: LoopSettings = ASKED, brief: Brief | None = None
) -> tuple[Trajectory, list[DecideRequest]]:
    """The loop with a planner that chooses these options; what it was asked."""
    chooser = Chooser(names)
    made = replace(studio.studio(), decider=chooser)
    return direct(brief or brief_of(ABC), settings, 7, made, PlainContext()), chooser.asked


def names(found: Sequence[Option]) -> list[str]:
    return [option.name for option in found]


def after(trajectory: Trajectory, kind: str) -> list[int]:
    return [n for n, event in enumerate(trajectory.events) if event.kind == kind]


NOTHING: list[Traits] = [{}] * 200


def test_without_a_word_nobody_is_asked_and_the_trajectory_says_nothing_of_it():
    studio = play({"a": "met"}, {"b": "met"}, {"c": "met"})
    done = direct(brief_of(ABC), LoopSettings(candidates=1, batch=1), 7, studio.studio(), PlainContext())
    assert '"decide"' not in done.model_dump_json()
    assert not after(done, "chosen")


@pytest.mark.parametrize("seed", range(4))
def test_always_the_first_option_is_what_the_schedule_does(seed: int):
    habits = load_miss_model("flux-krea")

    def run(settings: LoopSettings) -> Trajectory:
        return direct(BRIEF, settings, seed, surrogate(habits), LocalContext(Lists()))

    plain, asked = run(LoopSettings()), run(LoopSettings(decide="planner"))
    same = [event for event in asked.events if not isinstance(event, Chosen | Gated | Stopped)]
    assert same == [event for event in plain.events if not isinstance(event, Gated | Stopped)]
    assert State.of(asked).mode == State.of(plain).mode
    assert len(after(asked, "chosen")) == len(after(asked, "planned"))
    assert plain.stop and asked.stop and plain.stop.reason == asked.stop.reason


def test_options_are_pure_and_each_of_them_opens_the_round_that_it_names():
    trajectory = begin(brief_of(goals_of(*"abcdef")), LoopSettings(decide="planner"), 5)
    studio, context = play(*NOTHING).studio(), PlainContext()
    seen: set[str] = set()
    while request := next_step(trajectory):
        if isinstance(request, DecideRequest):
            assert options(State.of(trajectory)) == request.options == options(State.of(trajectory))
            assert len({*names(request.options)}) == len(request.options) <= 26
            for number, option in enumerate(request.options):
                chosen = advance(trajectory, request.chosen(number, by="test"))
                following = next_step(chosen)
                seen.add(option.name)
                if option.move is Move.STOP:
                    assert following is None and chosen.stop and chosen.stop.reason is StopReason.STALLED
                    continue
                assert isinstance(following, PlanRequest)
                assert tuple(goal.id for goal in following.targets) == option.targets
                assert (following.base, following.whole) == (option.base, option.whole)
        trajectory = advance(trajectory, perform(request, studio, context))
    assert {"one-shot-n4", "one-shot-n1", "staged-n2", "edit-all-n1", "edit-2-n2", "edit-1-n4", "edit-4-n4"} <= seen
    assert {"edit-2-n4-targets", "scene-n4", "stop"} <= seen


def test_the_mode_is_chosen_from_the_first_menu():
    done, asked = decided(play(*[{"a": "met", "b": "met", "c": "met"}] * 9), "staged-n2")
    assert names(asked[0].options)[:3] == ["one-shot-n4", "one-shot-n1", "one-shot-n2"]
    assert (asked[0].mode, asked[0].picture, asked[0].last) == (None, None, None)
    assert [event for event in done.events if isinstance(event, Gated)] == [
        Gated(mode=Mode.STAGED, why="chosen by chooser")
    ]
    assert State.of(done).rounds[0].chosen is not None
    assert len(State.of(done).rounds[0].candidates) == 2
    fixed = ASKED.model_copy(update={"gate": "one-shot"})
    _, asked = decided(play(*[{"a": "met", "b": "met", "c": "met"}] * 9), "staged-n2", settings=fixed)
    assert {option.move for option in asked[0].options} == {Move.ONE_SHOT}


def test_a_choice_says_how_wide_how_many_and_what_the_instruction_should_heed():
    studio = play({"a": "met"}, *[{"b": "met", "c": "met"}] * 4)
    done, asked = decided(studio, "one-shot-n1", "edit-all-n2")
    assert [len(each.candidates) for each in State.of(done).rounds] == [1, 2]
    assert State.of(done).rounds[1].planned.action.targets == ("b", "c")
    plans = [call for call in studio.calls if isinstance(call, PlanRequest)]
    assert plans[1].advice == "say it plainly"
    last = asked[1].last
    assert last and (last.option, last.targets, last.renders, last.accepted) == ("one-shot-n1", 3, 1, True)
    assert [(each.outcome, each.failures) for each in asked[1].goals] == [
        (Outcome.MET, 0), (Outcome.MISSED, 0), (Outcome.MISSED, 0),
    ]  # fmt: skip
    assert (asked[1].round, asked[1].rounds_left, asked[1].renders_left) == (2, 5, None)


def test_the_planner_may_stop_and_only_on_a_picture_that_was_looked_at_as_a_whole():
    done, asked = decided(play({"a": "met"}), "one-shot-n1", "stop")
    assert done.stop and done.stop == Stopped(
        reason=StopReason.STALLED, why="chooser expects no gain that is worth its cost"
    )
    assert "stop" not in names(asked[0].options)
    state = State.of(done)
    assert {*state.standing} == {goal.id for goal in state.goals}


def test_a_must_have_that_can_still_be_tried_forbids_the_end():
    goals = (*goals_of("a", must_have=True), *goals_of("b"))
    done, asked = decided(play({"b": "met"}, *NOTHING), "one-shot-n1", "stop", brief=brief_of(goals))
    assert all("stop" not in names(request.options) for request in asked)
    assert done.stop and done.stop.why != "chooser expects no gain that is worth its cost"


def test_nobody_gets_more_rounds_renders_or_candidates_than_the_job_has():
    capped = ASKED.model_copy(update={"max_renders": 7, "candidates": 4})
    done, asked = decided(play(*NOTHING), "one-shot-n4", "scene-n4", settings=capped)
    assert len(State.of(done).candidates) == 7
    assert max(option.candidates for option in asked[1].options) == 3 == asked[1].renders_left
    few = ASKED.model_copy(update={"candidates": 2, "rounds": 2})
    done, asked = decided(play(*NOTHING), "edit-all-n4", settings=few)
    assert (len(State.of(done).rounds), len(asked)) == (2, 2)
    assert all(option.candidates <= 2 for request in asked for option in request.options)


def test_conflicts_stay_apart_and_parents_come_first_in_every_width():
    goals = (*goals_of("a", conflicts=("b",)), *goals_of("b"), *goals_of("c", parents=("d",)), *goals_of("d", "e"))
    _, asked = decided(play(*NOTHING), "one-shot-n1", "edit-all-n1", brief=brief_of(goals))
    for request in asked:
        for option in request.options:
            assert not {"a", "b"} <= {*option.targets}
            assert "c" not in option.targets or "d" in option.targets


def test_one_way_only_is_no_question():
    alone = LoopSettings(decide="planner", gate="one-shot", candidates=1, judge=False, rounds=1)
    done, asked = decided(play({}), "one-shot-n1", settings=alone)
    assert not asked and not after(done, "chosen")


def looks(studio: ScriptedStudio) -> list[list[str]]:
    return [[goal.id for goal in call.goals] for call in studio.calls if isinstance(call, VerifyRequest)]


def test_with_targets_first_the_rest_is_looked_at_only_where_one_of_them_came():
    script = [{"a": "met"}, {"a": "missed"}, {"a": "met", "b": "met", "c": "met"}]
    settings = ASKED.model_copy(update={"candidates": 1})
    studio = play(*script)
    done, _ = decided(studio, "one-shot-n1", "edit-all-n1-targets", settings=settings)
    assert looks(studio) == [["a", "b", "c"], ["b", "c"], ["b", "c"], ["a"]]
    rounds = State.of(done).rounds
    assert [each.decided.accepted for each in rounds if each.decided] == [True, False, True]
    assert rounds[1].decided and rounds[1].decided.why == "rolled back: nothing came of what was asked"
    assert done.stop and done.stop.reason is StopReason.SATISFIED
    kept = settings.model_copy(update={"rollback": False})
    _, asked = decided(play(*script), "one-shot-n1", settings=kept)
    assert not any(option.targets_first for request in asked for option in request.options)


def test_what_is_not_on_the_menu_is_the_planners_error():
    class Liar:
        def decide(self, request: DecideRequest, context: Context) -> Chosen:
            return request.chosen(0, by="liar").model_copy(update={"number": 1})

    studio = replace(play({}).studio(), decider=Liar())
    with pytest.raises(PlannerError, match="not on the menu"):
        direct(brief_of(ABC), ASKED, 7, studio, PlainContext())
    request = next_step(begin(brief_of(ABC), ASKED, 7))
    assert isinstance(request, DecideRequest)
    for number in (-1, len(request.options)):
        with pytest.raises(IndexError):
            request.chosen(number, by="test")


def test_briefs_words_can_do_without_a_planner_and_the_choice_still_counts():
    plain = ASKED.model_copy(update={"reprompt": False})
    done, _ = decided(play({"a": "met"}, {"b": "met", "c": "met"}), "one-shot-n1", "edit-all-n1", settings=plain)
    assert [event.kind for event in done.events][:4] == ["chosen", "gated", "planned", "rendered"]
    assert done.stop and done.stop.reason is StopReason.SATISFIED


Play = Callable[[], ScriptedStudio]


def test_through_the_queue_the_bytes_are_those_of_direct_with_a_step_of_its_own(tmp_path: Path):
    chosen = "one-shot-n2", "edit-1-n1", "edit-all-n2-targets"
    script = [{"a": "met"}, {}, {"b": "met"}, *[{"c": "met"}] * 9]
    rig = make_step_rig(tmp_path)
    job = rig.submit(brief_of(ABC), ASKED)
    kinds = [hint.kind for hint in rig.hints]
    rig.drain(rig.host(replace(play(*script).studio(), decider=Chooser(chosen))))
    record = rig.ledger.get(job)
    assert record and record.stop == "satisfied" and kinds == ["decide"]
    chain = rig.archive.chain(job, record.snapshot)
    assert next(step.next.kind for step in chain if step.next) == "plan"
    assert {step.next.queue for step in chain if step.next and step.next.kind == "decide"} == {"planner"}
    studio = replace(play(*script).studio(), decider=Chooser(chosen))
    alone = direct(brief_of(ABC), ASKED, 7, studio, PlainContext(rig.images))
    assert chain[-1].trajectory.model_dump_json() == alone.model_dump_json()
    assert chain[-1].contract == 3


def test_the_schedules_own_widest_batch_is_called_all():
    goals: tuple[Goal, ...] = goals_of("a", "b")
    _, asked = decided(play({"a": "met"}, *NOTHING), "one-shot-n1", brief=brief_of(goals))
    assert names(asked[1].options)[0] == "edit-all-n4"
