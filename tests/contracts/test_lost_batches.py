"""Objects of a batch that are lost, cut, or another's: what can't be read is named, and everything else goes on."""

import pytest

from tasks.batch.shelf import Shelf
from tasks.batch.types import BatchStatus
from tasks.store import Corrupt, NotFound
from tests.support.batches import BatchRig


def results_key(night: BatchRig, id: str) -> str:
    return next(iter(night.store.list(f"batches/{id}/results/")))


def test_results_of_another_batch_count_for_nothing(night: BatchRig) -> None:
    other = night.start("other", items=3)
    night.finish()
    batch = night.start("b", items=3)
    night.store.put(f"batches/{batch.id}/results/0000000000001-aa.jsonl", night.store.get(results_key(night, other.id)))
    assert night.results(batch) == {}
    night.forget()
    night.finish()
    assert night.standing(batch).counts.done == 3
    assert all(result.batch == batch.id for result in night.results(batch).values())


def test_a_result_with_odd_numbers_stops_no_rebuild(night: BatchRig) -> None:
    batch = night.start(items=2)
    good = night.start("good", items=2)
    line = b'{"batch":"%s","index":0,"take":1000,"generation":-4,"custom_id":"a0","status":"done","ended":1e400}\n'
    night.store.put(f"batches/{batch.id}/results/0000000000001-aa.jsonl", line % batch.id.encode())
    night.forget()
    night.finish()
    assert [night.standing(one).counts.done for one in (batch, good)] == [2, 2]


@pytest.mark.parametrize("data", [b"", b"5", b"\xff\xfe"])
def test_a_pause_that_cannot_be_read_stays_a_pause(night: BatchRig, data: bytes) -> None:
    batch = night.start(items=3)
    night.batches.order(batch.id, "pause")
    night.store.put(f"batches/{batch.id}/control/00000001-pause.json", data)
    night.forget()
    assert night.standing(batch).status is BatchStatus.PAUSED


@pytest.mark.parametrize("data", [b"", b"5", b"\xff\xfe"])
def test_a_cancel_that_cannot_be_read_lets_nothing_run(night: BatchRig, data: bytes) -> None:
    batch = night.start(items=3)
    night.batches.order(batch.id, "cancel")
    night.store.put(f"batches/{batch.id}/control/00000001-cancel.json", data)
    night.forget()
    assert night.standing(batch).counts.running == 0
    assert night.standing(batch).status is BatchStatus.PAUSED


def test_a_retry_of_nothing_leaves_a_batch_as_it_ended(night: BatchRig) -> None:
    batch = night.start(items=2)
    night.finish()
    ended = night.standing(batch)
    night.batches.order(batch.id, "retry", what=("failed",))
    night.passes(3)
    assert (night.shelf.live(), night.shelf.summary(batch.id)) == ([], night.standing(batch))
    night.forget()
    night.passes(3)
    assert night.standing(batch).ended == ended.ended


def test_names_that_are_lost_are_not_called_unknown(night: BatchRig) -> None:
    batch = night.start(items=2)
    assert night.batches.index_of(batch, "a7") is None
    key = next(iter(night.store.list(f"batches/{batch.id}/names/")))
    for spoil in (lambda: night.store.put(key, b"5"), lambda: night.store.delete(key)):
        spoil()
        night.batches.shelf = Shelf(night.store)
        with pytest.raises((Corrupt, NotFound), match="names"):
            night.batches.index_of(batch, "a1")


def test_lost_results_are_told_again_and_nothing_is_drawn_again(night: BatchRig) -> None:
    batch = night.start(items=12)
    while not night.standing(batch).counts.done:
        night.passes(3)
        night.work()
    night.passes(3)
    assert 0 < night.standing(batch).counts.done < 12
    night.store.delete(results_key(night, batch.id))
    night.forget()
    night.finish()
    assert (night.standing(batch).counts.done, len(night.results(batch))) == (12, 12)
    assert len(night.drawn) == len(set(night.drawn)) == 12


def test_lines_that_are_lost_fail_their_items_by_name(night: BatchRig) -> None:
    lost, good = night.start("lost", items=3), night.start("good", items=3)
    night.store.delete(f"batches/{lost.id}/items/000/000000.jsonl")
    night.finish()
    assert (night.standing(lost).counts.failed, night.standing(good).counts.done) == (3, 3)
    assert all("items/000/000000.jsonl" in result.error for result in night.results(lost).values())
    night.store_lines(lost.id, 3)
    night.batches.order(lost.id, "retry", what=("failed",))
    night.finish()
    assert night.standing(lost).counts.done == 3
