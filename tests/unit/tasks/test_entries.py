"""In which order a worker serves its queues."""

from tasks.entries import serving_order


def test_what_is_nearest_to_its_end_is_served_first() -> None:
    given = ["planner", "editor.b", "judge", "editor.a", "verifier", "control"]
    assert serving_order(given) == ["control", "verifier", "judge", "planner", "editor.b", "editor.a"]
