"""When an editor of several models turns to another one's queue."""

import multiprocessing
from typing import Any

import pytest

from tasks.affinity import Backlog, Swap, SwapTimes, other_queue
from tasks.broker import EditorsInTurn

SWAP = Swap(seconds=10, renders=4)  # worth 12 renders, and 30 s of staying


def turned(*backlogs: tuple[int, int] | tuple[int, int, float], stayed_s: float = 100, swap: Swap = SWAP) -> str:
    """Of the queues a, b, c: where a worker at `a` goes on, "" when it stays."""
    known = {name: Backlog(*backlog) for name, backlog in zip("abc", backlogs, strict=False)}
    return other_queue("a", known, stayed_s, swap, longest_s=300)


@pytest.mark.parametrize(
    ("backlogs", "then"),
    [
        ([(0, 1), (0, 0)], ""),
        ([(5, 1), (12, 0)], ""),
        ([(5, 1), (13, 0)], "b"),
        ([(13, 1), (13, 0)], ""),  # more waits nowhere: the change would be for nothing
        ([(5, 1), (13, 0), (20, 0)], "c"),
        ([(5, 1), (24, 2)], ""),  # two draw it already
        ([(5, 1), (26, 2)], "b"),
        ([(60, 4), (16, 0)], "b"),  # 15 for each here
        ([(5, 1), (1, 0, 299.0)], ""),
        ([(500, 1), (1, 0, 300.0)], "b"),  # it has waited too long, whatever waits here
        ([(500, 1), (900, 0, 300.0), (1, 0, 400.0)], "c"),
        ([(5, 1), (0, 0, 400.0)], ""),
    ],
)
def test_it_turns_where_enough_waits(backlogs: list[Any], then: str) -> None:
    assert turned(*backlogs) == then


def test_it_stays_for_a_while_first() -> None:
    assert turned((5, 1), (100, 0), stayed_s=29.9) == ""
    assert turned((5, 1), (100, 0, 400.0), stayed_s=29.9) == ""
    assert turned((5, 1), (100, 0), stayed_s=30.0) == "b"


def test_models_that_stay_in_memory_are_changed_freely() -> None:
    assert turned((1, 1), (2, 0), stayed_s=0.0, swap=Swap(0.0, 0.0)) == "b"


def test_a_worker_that_has_drawn_nothing_yet_may_turn() -> None:
    assert other_queue("", {"a": Backlog(20), "b": Backlog(1)}, 100, SWAP, 300) == "a"


def test_nobody_starves_and_few_changes_are_made() -> None:
    """Two models with more work than one worker can do: a second is a render, a change costs ten."""
    at, since, waiting, drawn, changes = "a", 0, {"a": 0, "b": 0}, {"a": 0, "b": 0}, 0
    alone: dict[str, int] = {}
    longest, busy_until = 0, 0
    for now in range(20_000):
        waiting["a"] += now % 3 == 0
        waiting["b"] += now % 2 == 0
        alone = {q: alone.get(q, now) for q in waiting if waiting[q] and q != at}
        longest = max([longest, *(now - start for start in alone.values())])
        known = {q: Backlog(waiting[q], int(q == at), now - alone.get(q, now)) for q in waiting}
        if then := other_queue(at, known, now - since, Swap(10, 10), longest_s=300):
            at, since, changes, busy_until = then, now, changes + 1, now + 10
        elif not waiting[at] and any(waiting.values()):  # as the channel does
            at, since, changes, busy_until = next(q for q in waiting if waiting[q]), now, changes + 1, now + 10
        if now >= busy_until and waiting[at]:
            waiting[at] -= 1
            drawn[at] += 1
    assert longest <= 330
    assert sum(drawn.values()) > 0.75 * 20_000 * 5 / 6
    assert 20_000 / changes > 30


def test_the_prior_holds_until_something_was_measured() -> None:
    times = SwapTimes(prior_renders=3)
    assert times.swap == Swap(0.0, 3)
    times.rendered("editor.a", seconds=42, load_seconds=40)  # the first load is no change
    assert times.swap == Swap(6.0, 3)
    times.rendered("editor.b", seconds=22, load_seconds=20)
    assert times.swap == Swap(20, 10)


def test_a_change_that_loads_nothing_costs_nothing_in_the_end() -> None:
    times = SwapTimes(3)
    for n in range(40):
        times.rendered(f"editor.{n % 2}", 2, 20 if n == 1 else 0)
    assert times.swap.renders < 0.01


def test_a_child_tells_its_parent() -> None:
    times = SwapTimes(3)

    def child() -> None:
        times.rendered("editor.a", 1, 0)
        times.rendered("editor.b", 6, 5)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(20)
    assert times.swap == Swap(5, 5)


def test_the_queue_that_was_taken_from_last_goes_first() -> None:
    order = EditorsInTurn()
    order.update(["control", "verifier", "editor.a", "editor.b", "editor.c", "worker.dq"])
    assert order.consume(6) == ["control", "verifier", "worker.dq", "editor.a", "editor.b", "editor.c"]
    order.rotate("editor.b")
    assert order.consume(6)[3:] == ["editor.b", "editor.a", "editor.c"]
    order.rotate("verifier")
    assert order.first == "editor.b"
    order.update(["editor.c", "editor.a", "editor.b"])  # kombu tells all queues anew
    assert order.consume(3) == ["editor.b", "editor.c", "editor.a"]
