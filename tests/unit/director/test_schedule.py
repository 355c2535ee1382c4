"""Gate and schedule: what the next round is for."""

import pytest

from director.gate import affected_area, gate, one_shot_chance
from director.prompts.verbatim import mask_region
from director.schedule import apart, next_batch, scene
from director.types import Brief, Goal, LoopSettings, Mode, Outcome, Region, Scope, Verdict
from tests.support.scripted_studio import goals_of

PUBLISHED = {1: 0.96, 5: 0.93, 10: 0.90, 15: 0.85, 18: 0.78, 22: 0.48, 26: 0.22, 30: 0.08}


@pytest.mark.parametrize(("goals", "share"), PUBLISHED.items())
def test_the_gate_follows_the_published_curve(goals: int, share: float):
    assert one_shot_chance(goals_of(*map(str, range(goals))), False) == pytest.approx(share, abs=0.045)


def test_feasible_goals_and_small_areas_favour_one_shot():
    few, sure = goals_of("a", "b"), goals_of("a", "b", feasibility=0.95)
    assert (
        one_shot_chance(sure, False)
        > one_shot_chance(few, False)
        > one_shot_chance(goals_of("a", "b", feasibility=0.1), False)
    )
    small = goals_of("a", region=Region(x0=0, y0=0, x1=0.3, y1=0.3))
    assert one_shot_chance(small, True) > one_shot_chance(few, True)


def test_a_goal_without_a_region_reaches_everywhere():
    box = Region(x0=0, y0=0, x1=0.5, y1=0.2)
    assert affected_area(goals_of("a", region=box)) == pytest.approx(0.1)
    assert affected_area((*goals_of("a", region=box), *goals_of("b"))) == 1.0
    assert affected_area(goals_of("a", region=box, scope=Scope.GLOBAL)) == 1.0


def test_settings_overrule_the_gate():
    brief = Brief(text="x")
    many = goals_of(*map(str, range(40)))
    assert gate(brief, many, LoopSettings(gate="one-shot")).mode is Mode.ONE_SHOT
    assert gate(brief, many[:1], LoopSettings(gate="staged")).mode is Mode.STAGED
    assert gate(brief, many, LoopSettings()).mode is Mode.STAGED


def ids(batch: tuple[Goal, ...]) -> list[str]:
    return [goal.id for goal in batch]


def missing(goals: tuple[Goal, ...], met: str = "") -> dict[str, Verdict]:
    return {
        g.id: Verdict(
            goal=g.id, outcome=Outcome.MET if g.id in met else Outcome.MISSED, score=0.5, confidence=1, by="t"
        )
        for g in goals
    }


def test_global_before_local_and_not_together():
    goals = (*goals_of("a", "b"), *goals_of("z", scope=Scope.GLOBAL))
    assert ids(next_batch(goals, missing(goals), [], 2)) == ["z"]
    assert ids(next_batch(goals, missing(goals, "z"), [], 2)) == ["a", "b"]


def test_must_haves_and_weight_go_first():
    goals = (*goals_of("a"), *goals_of("b", weight=2.0), *goals_of("c", must_have=True))
    assert ids(next_batch(goals, missing(goals), [], 3)) == ["c", "b", "a"]


def test_parents_before_children():
    goals = (*goals_of("a", parents=("cup",)), *goals_of("cup"), *goals_of("b", parents=("a",)))
    assert ids(next_batch(goals, missing(goals), [], 1)) == ["cup"]
    assert ids(next_batch(goals, missing(goals), [], 2)) == ["cup", "a"]
    assert ids(next_batch(goals, missing(goals, "cup"), [], 1)) == ["a"]


def test_a_circle_of_parents_does_not_stop_the_loop():
    goals = (*goals_of("a", parents=("b",)), *goals_of("b", parents=("a",)))
    assert next_batch(goals, missing(goals), [], 2)


def test_conflicts_are_kept_apart():
    goals = (*goals_of("a", conflicts=("b",)), *goals_of("b"), *goals_of("c"))
    assert ids(next_batch(goals, missing(goals), [], 2)) == ["a", "c"]
    assert ids(apart(goals)) == ["a", "c"]
    assert ids(next_batch(goals, missing(goals, "ac"), [], 2)) == []


def test_a_scene_takes_the_parents_of_what_it_keeps():
    goals = (*goals_of("a", must_have=True, parents=("z",)), *goals_of("b", "c", "z"))
    assert ids(scene(goals, 2)) == ["a", "b", "z"]


def test_a_mask_holds_all_targets_or_there_is_none():
    left, right = Region(x0=0.1, y0=0.1, x1=0.2, y1=0.2), Region(x0=0.3, y0=0.1, x1=0.4, y1=0.2)
    both = mask_region((*goals_of("a", region=left), *goals_of("b", region=right)))
    assert both == Region(x0=0.04, y0=0.04, x1=0.46, y1=0.26)
    assert mask_region((*goals_of("a", region=left), *goals_of("b"))) is None
    assert mask_region(goals_of("a", region=Region(x0=0, y0=0, x1=1, y1=0.9))) is None
