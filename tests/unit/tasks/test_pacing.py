"""The price of a render: what moves it, and nights that were not used to tune it."""

import statistics

import pytest

from tasks.batch import pacing
from tasks.batch.pacing import LEAST, MOST, Pace, Seen
from tests.perf.night_by import measure

SEEN = Seen(
    now_s=1000.0, left_s=10_000.0, waiting=100, running=10, ended=20, took_s=2_000.0, editors=2.0, item_s=100.0
)  # fmt: skip
PACE = Pace(price=0.5, now_s=900.0, ended=18, took_s=1_800.0, item_s=100.0, rate=2.0)


def test_it_begins_with_the_least_where_nothing_is_known() -> None:
    assert pacing.begin(SEEN._replace(item_s=None)).price == LEAST


def test_it_begins_above_where_the_time_is_short() -> None:
    assert pacing.begin(SEEN).price == LEAST
    assert pacing.begin(SEEN._replace(waiting=400)).price > LEAST


def test_nothing_moves_until_an_item_has_ended() -> None:
    assert pacing.step(PACE, SEEN._replace(ended=18)) == PACE


def test_it_rises_with_less_time_more_items_and_fewer_editors() -> None:
    usual = pacing.step(PACE, SEEN).price
    assert pacing.step(PACE, SEEN._replace(left_s=3_000.0)).price > usual
    assert pacing.step(PACE, SEEN._replace(waiting=300)).price > usual
    assert pacing.step(PACE, SEEN._replace(took_s=2_400.0)).price > usual


@pytest.mark.parametrize("left_s", [0.0, -100.0, 1e-9])
def test_a_deadline_that_has_passed_makes_it_the_most(left_s: float) -> None:
    pace = PACE
    for n in range(100):
        pace = pacing.step(pace, SEEN._replace(left_s=left_s, now_s=1000.0 + n, ended=20 + n))
    assert pacing.told(pace) == MOST


def test_nights_end_in_time_with_the_goals_of_the_best_price() -> None:
    """A part of what `python -m tests.perf.night_by` measures."""
    rows = [row for seed in range(3000, 3012) if (row := measure(seed))[0]]
    assert len(rows) >= 10
    assert sum(row[1] for row in rows) / len(rows) >= 0.9
    assert statistics.mean(row[2] for row in rows) >= 0.95
