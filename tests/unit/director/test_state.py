"""One fold: whatever is asked of a trajectory comes from the same pass."""

import pytest

from director.loop import advance, begin, next_step, perform
from director.seats import STEP_KINDS
from director.state import GoalCounts, State
from director.types import Brief, LoopSettings, Trajectory
from tests.support.contexts import PlainContext
from tests.support.scripted_studio import ABC, Traits, brief_of, play, run

SCRIPT: list[Traits] = [
    {"a": "met"},
    {},
    {"a": "missed", "b": "met"},
    {"a": "met", "c": "unsure"},
    *[{"b": "met"}] * 12,
]


@pytest.fixture(scope="module")
def done() -> Trajectory:
    return run(play(*SCRIPT), LoopSettings(rounds=4))


def test_one_event_more_is_the_same_as_folding_again(done: Trajectory):
    state = State.of(done.model_copy(update={"events": ()}))
    for n, event in enumerate(done.events, 1):
        state = state.after(event)
        assert state == State.of(done.model_copy(update={"events": done.events[:n]}))
    assert state.trajectory == done


def test_a_state_stays_as_it_is_when_an_event_follows(done: Trajectory):
    before = State.of(done.model_copy(update={"events": done.events[:-2]}))
    again = State.of(before.trajectory)
    before.after(done.events[-2])
    assert before == again


def test_goals_that_nobody_looked_at_are_in_the_total_only():
    assert State.of(Trajectory(brief=brief_of(ABC), settings=LoopSettings(), seed=7)).counts == GoalCounts(total=3)
    state = State.of(run(play({"a": "met", "b": "unsure", "c": "met"})))
    assert state.counts == GoalCounts(met=2, unsure=1, total=3)


def test_the_table_of_step_kinds_says_what_requests_and_replies_say():
    studio, context = play(*SCRIPT, goals=ABC), PlainContext()
    trajectory = begin(Brief(text="prose"), LoopSettings(rounds=4, decide="planner"), 7)
    asked: dict[str, tuple[str, str]] = {}
    while request := next_step(trajectory):
        reply = perform(request, studio.studio(), context)
        asked[request.kind] = (request.seat, reply.kind)
        trajectory = advance(trajectory, reply)
    assert asked == {name: (kind.seat, kind.reply) for name, kind in STEP_KINDS.items()}
    assert [kind.name for kind in STEP_KINDS.values()] == list(STEP_KINDS)
