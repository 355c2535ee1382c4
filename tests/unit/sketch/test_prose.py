"""Goals from long prose that nobody wrote for the sketch: every brief gives some, verbatim, without an error."""

import json

import pytest

from director.types import Brief
from tests.support.user_data import user_file, user_path
from worker.bench.lgbench.compose import compose, core
from worker.bench.lgbench.pool import pool
from worker.bench.lgbench.records import Modality, read_records
from worker.bench.lgbench.write import write
from worker.sketch.planner import extracted


def test_the_prompts_of_longbench_go_through_extraction():
    lines = user_file("longbench_t2i/instruction.jsonl").decode().splitlines()
    prompts = [json.loads(line)["instruction"] for line in lines if line.strip()]
    assert len(prompts) == 100
    for prompt in prompts:
        goals = extracted(Brief(text=prompt))
        assert goals
        assert all(goal.text in prompt for goal in goals)


def test_briefs_give_about_as_many_goals_as_they_were_annotated_with():
    for file in sorted(user_path("briefs").glob("*.json")):
        (record,) = read_records(file)
        goals = extracted(Brief(text=record.prompt))
        assert 0.6 < len(goals) / len(record.goals) < 1.5, file


@pytest.mark.parametrize("modality", ["t2i", "i2i"])
def test_composed_briefs_give_back_their_goals(modality: Modality):
    asked = found = typed = 0
    for record in compose(pool(), 40, (8, 24), 3, modality, write):
        goals = extracted(Brief(text=record.prompt))
        for goal in record.goals:
            said = [each for each in goals if core(goal).casefold() in each.text.casefold()]
            asked, found = asked + 1, found + bool(said)
            typed += any(each.type == goal.type.value for each in said)
    assert found / asked > 0.95
    assert typed / found > 0.95
