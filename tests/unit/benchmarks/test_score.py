"""LGBench's figures of one task, counted by hand."""

import pytest

from tests.unit.benchmarks.cases import case, run_for, verdicts
from worker.bench.lgbench.score import METRICS, failed, row, score
from worker.bench.tables import markdown, report

TASK = case(goals=5, kinds=("color", "text"))
SEEN = verdicts(TASK, ("met", 0.9), ("met", 0.7), ("missed", 0.95), ("unsure", 0.3), ("met", 0.81))


def test_a_task_by_hand():
    parts = score(TASK, SEEN)
    assert parts["goal_completion"] == (3, 5)
    assert parts["judged"] == (3, 4)
    assert parts["unsure"] == (1, 5)
    assert parts["soft"] == (pytest.approx(0.9 * 3 + 0.1 + 0.5), 5)
    assert parts["confident"] == (2, 3)
    assert parts["confident_of_all"] == (2, 5)
    assert parts["filtered"] == (2, 5)
    assert (parts["tasks_80"], parts["tasks_partial"], parts["tasks_none"]) == ((0, 1), (1, 1), (0, 1))
    assert (parts["color"], parts["text"], parts["lighting"]) == ((2, 3), (1, 2), (0, 0))


@pytest.mark.parametrize(
    ("met", "expected"), [(5, (1, 0, 0)), (4, (1, 0, 0)), (3, (0, 1, 0)), (1, (0, 1, 0)), (0, (0, 0, 1))]
)
def test_a_task_is_done_at_four_fifths(met: int, expected: tuple[int, int, int]):
    parts = score(TASK, verdicts(TASK, *[("met", 0.9)] * met, *[("missed", 0.9)] * (5 - met)))
    assert tuple(parts[name][0] for name in ("tasks_80", "tasks_partial", "tasks_none")) == expected


def test_verdicts_of_other_goals_are_refused():
    with pytest.raises(ValueError, match="not those of the goals of a"):
        score(TASK, SEEN[1:])


def test_what_failed_is_counted_and_in_no_figure():
    other = case("b", goals=5)
    good = row(TASK, run_for(TASK), SEEN)
    bad = failed(other, run_for(other, error="editor: no card"), "editor: no card")
    found = report("LGBench", {}, [good, bad], METRICS)
    (figures,) = found.rows
    assert figures["tasks"] == 1
    assert figures["goal_completion"] == 0.6
    assert found.unscored == {"ours": "1 runs failed: b"}
    assert "not scored, ours: 1 runs failed: b" in markdown(found, {"": METRICS})


def test_arms_are_compared_on_the_tasks_that_they_share():
    tasks = [case(name, goals=2) for name in "abc"]
    ours = [row(task, run_for(task), verdicts(task, ("met", 0.9), ("met", 0.9))) for task in tasks]
    theirs = [row(t, run_for(t, "one-shot"), verdicts(t, ("met", 0.9), ("missed", 0.9))) for t in tasks[:2]]
    found = report("LGBench", {}, [*theirs, *ours], METRICS, controls=("one-shot",))
    (gap,) = found.differences
    assert (gap["strategy"], gap["against"], gap["tasks"]) == ("ours", "one-shot", 2)
    assert gap["difference"] == 0.5
    assert gap["difference_ci"] == [0.5, 0.5]
    assert found.rows[0]["renders"] == 2
    table = markdown(found, {"": METRICS})
    assert "| one-shot (control) | 2 | 50.0" in table
    assert "ours less one-shot: goals met +50.0 points" in table


def test_costs_that_nobody_measured_have_no_column():
    found = report("LGBench", {}, [row(TASK, run_for(TASK), SEEN)], METRICS)
    assert "prompt_tokens" not in found.rows[0]
    assert "prompt tokens" not in markdown(found, {"": METRICS})
