"""Estimates and intervals against numbers worked out by hand."""

from worker.bench.statistics import Estimate, Metric, difference, draws, estimate, ratio, summed

GOALS = Metric("goals", "goals met")


def test_a_rate_is_parts_over_wholes_not_a_mean_of_rates():
    tasks = [{"goals": (1.0, 2.0)}, {"goals": (8.0, 8.0)}]
    found = estimate(tasks, GOALS, draws(2))
    assert found
    assert found.value == 0.9
    assert found.tasks == 2
    assert found.low == 0.5
    assert found.high == 1.0


def test_the_mean_of_metrics_is_unweighted():
    tasks = [{"a": (1.0, 1.0)}, {"a": (1.0, 1.0)}, {"b": (0.0, 1.0)}]
    found = estimate(tasks, Metric("overall", "overall", mean_of=("a", "b")), [])
    assert found == Estimate(0.5, 0.5, 0.5, 3)


def test_nothing_to_score_is_none_and_not_zero():
    assert estimate([{"goals": (0.0, 0.0)}], GOALS, []) is None
    assert estimate([], GOALS, draws(0)) is None


def test_a_task_without_the_metric_is_not_counted():
    found = estimate([{"goals": (1.0, 1.0)}, {}], GOALS, draws(2))
    assert found
    assert found.tasks == 1


def test_the_interval_of_many_alike_tasks_is_that_of_a_proportion():
    tasks = [{"goals": (float(n % 2), 1.0)} for n in range(400)]
    found = estimate(tasks, GOALS, draws(400))
    assert found
    # 1.96 * sqrt(0.25 / 400) = 0.049
    assert 0.44 < found.low < 0.46
    assert 0.54 < found.high < 0.56


def test_pairing_takes_out_what_the_tasks_have_in_common():
    easy = [n % 2 for n in range(100)]
    theirs = [{"goals": (10.0 * each, 20.0)} for each in easy]
    ours = [{"goals": (10.0 * each + 2, 20.0)} for each in easy]
    gap = difference(ours, theirs, GOALS, draws(100))
    assert gap
    assert (gap.value, gap.low, gap.high) == (0.1, 0.1, 0.1)
    alone = estimate(ours, GOALS, draws(100))
    assert alone
    assert alone.high - alone.low > 0.05


def test_a_ratio_is_of_sums_and_paired_and_of_nothing_there_is_none():
    theirs = [{"renders": (float(4 + 20 * (n % 2)), 1.0)} for n in range(100)]
    ours = [{"renders": (float(2 + 10 * (n % 2)), 1.0)} for n in range(100)]
    renders = Metric("renders", "renders", share=False)
    assert ratio(ours, theirs, renders, draws(100)) == Estimate(0.5, 0.5, 0.5, 100)
    assert ratio(ours, [{"renders": (0.0, 1.0)}] * 100, renders, draws(100)) is None


def test_intervals_are_the_same_every_time():
    tasks = [{"goals": (float(n % 3 == 0), 1.0)} for n in range(30)]
    assert estimate(tasks, GOALS, draws(30)) == estimate(tasks, GOALS, draws(30))


def test_seeds_of_one_task_add_up():
    assert summed([{"goals": (1.0, 2.0)}, {"goals": (2.0, 2.0), "text": (1.0, 1.0)}]) == {
        "goals": (3.0, 4.0),
        "text": (1.0, 1.0),
    }
