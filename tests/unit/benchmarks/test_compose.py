"""Composed tasks: the paper's mix, every goal in its brief, the same from the same seed."""

from collections import Counter

import pytest

from director.errors import BriefError
from director.types import GoalType
from worker.bench.lgbench.compose import compose, core, missing
from worker.bench.lgbench.pool import SHARES, plural, pool
from worker.bench.lgbench.records import Modality, Record
from worker.bench.lgbench.write import write
from worker.sketch.language import parse


def composed(tasks: int, goals: tuple[int, int], modality: Modality = "t2i", seed: int = 5) -> list[Record]:
    return list(compose(pool(), tasks, goals, seed, modality, write))


@pytest.mark.parametrize(("modality", "goals"), [("t2i", (18, 18)), ("i2i", (11, 11))])
def test_the_mix_of_types_is_the_papers(modality: Modality, goals: tuple[int, int]):
    records = composed(200, goals, modality)
    counts = Counter(goal.type for record in records for goal in record.goals)
    for kind in GoalType:
        assert counts[kind] / sum(counts.values()) == pytest.approx(SHARES[modality][kind], abs=0.02)


@pytest.mark.parametrize("modality", ["t2i", "i2i"])
def test_briefs_hold_every_goal_and_read_as_their_goals(modality: Modality):
    for record in composed(60, (8, 24), modality):
        assert not missing(record.prompt, record.goals)
        asked = {drawable.key for goal in record.goals for drawable in parse(goal.description)}
        assert {drawable.key for drawable in parse(record.prompt)} == asked, record.prompt


def test_goals_depend_and_pull_and_have_amounts():
    goals = [goal for record in composed(60, (14, 22)) for goal in record.goals]
    assert sum(bool(goal.parents) for goal in goals) > 60
    assert any(goal.conflicts for goal in goals)
    assert sum("%)" in goal.description for goal in goals) > 60


@pytest.mark.parametrize("modality", ["t2i", "i2i"])
def test_a_task_may_ask_for_more_than_its_theme_has(modality: Modality):
    for seed in range(4):
        for record in composed(45, (30, 30), modality, seed):
            descriptions = [goal.description for goal in record.goals]
            assert len(set(descriptions)) == 30
            asked = {drawable.key for goal in record.goals for drawable in parse(goal.description)}
            assert {drawable.key for drawable in parse(record.prompt)} == asked, record.prompt


def test_each_goal_of_a_task_is_another():
    for record in composed(60, (8, 30)):
        assert len({goal.description for goal in record.goals}) == len(record.goals)


@pytest.mark.parametrize("number", [1, 8, 30])
def test_a_task_has_the_goals_that_were_asked_for(number: int):
    assert {len(record.goals) for record in composed(40, (number, number))} == {number}


def test_the_same_seed_gives_the_same_tasks_and_another_gives_others():
    assert composed(5, (8, 14)) == composed(5, (8, 14))
    assert composed(5, (8, 14)) == composed(9, (8, 14))[:5]
    assert composed(5, (8, 14)) != composed(5, (8, 14), seed=6)


def test_every_subcategory_comes_up():
    themes = {name for inner in pool().themes.values() for name in inner}
    assert {record.subcategory for record in composed(len(themes), (8, 8))} == themes


def test_an_i2i_task_says_what_it_starts_from():
    for record in composed(10, (8, 14), "i2i"):
        assert record.source
        assert len(parse(record.source)) >= 4


def test_a_writer_that_forgets_a_goal_is_caught():
    def forgetful(draft: object) -> str:
        return "Something else altogether."

    with pytest.raises(BriefError, match="left 8 of 8 goals out of task 0"):
        next(compose(pool(), 1, (8, 8), 1, "t2i", forgetful))


def test_a_core_may_lose_its_capital_and_nothing_else():
    (record,) = composed(1, (8, 8))
    goal = record.goals[0]
    assert not missing(f"then {core(goal).lower()}.", [goal])
    assert missing(core(goal).replace(" ", ", ", 1), [goal]) == [core(goal)]


@pytest.mark.parametrize("goals", [(0, 4), (9, 8), (8, 65)])
def test_a_range_that_can_not_be_is_refused(goals: tuple[int, int]):
    with pytest.raises(BriefError, match="LOW-HIGH"):
        composed(1, goals)


def test_plurals():
    assert [plural(word) for word in ("cherry", "tram", "bus", "toy", "maple leaf", "stack of books")] == [
        "cherries",
        "trams",
        "buses",
        "toys",
        "maple leaves",
        "stacks of books",
    ]
