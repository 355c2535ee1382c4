"""Batches outlive their dispatchers, a wiped ledger and an older Redis."""

import pytest

from director.errors import StoreError
from tasks.batch.types import BatchStatus, ItemStatus
from tasks.jobs import JobStatus
from tests.support.batches import BatchRig


class TestDispatchersThatDie:
    def test_a_pick_that_became_no_job_waits_again(self, night: BatchRig) -> None:
        batch = night.start(items=3)
        picks = night.batches.ledger.pick("sketch", 2, 30_000)
        assert [pick.index for pick in picks] == [0, 1]
        night.passes(3)
        assert night.standing(batch).counts.running == 1
        night.rig.advance(30_001)
        night.serve()
        night.finish()
        assert sorted(night.drawn) == ["t0", "t1", "t2"]

    def test_two_that_make_the_same_job(self, night: BatchRig) -> None:
        batch = night.start(items=1)
        (pick,) = night.batches.ledger.pick("sketch", 1, 30_000)
        night.rig.advance(30_001)
        night.serve()
        night.passes()  # another one made it
        night.dispatcher.make(pick)
        night.finish()
        assert night.drawn == ["t0"]
        assert night.standing(batch).counts.done == 1

    def test_a_job_whose_item_was_cancelled_meanwhile_is_not_entered(self, night: BatchRig) -> None:
        batch = night.start(items=2)
        night.batches.ledger.pick("sketch", 1, 30_000)
        night.batches.order(batch.id, "cancel")
        night.rig.advance(30_001)
        night.finish()
        assert (night.standing(batch).counts.cancelled, night.drawn) == (2, [])


class TestAWipe:
    def test_everything_goes_on(self, night: BatchRig) -> None:
        batch = night.start(items=30)
        for _ in range(8):
            night.passes()
            night.work(4)
        before = night.standing(batch).counts
        assert before.ended and before.waiting and before.running
        night.rig.wipe()
        night.hints.clear()
        night.passes()
        night.serve()
        after = night.standing(batch).counts
        assert (after.done, after.running) >= (before.done, 1)
        night.finish()
        assert night.standing(batch).counts.done == 30
        assert len(night.results(batch)) == 30
        assert len(night.drawn) == 30, "a render that was committed is not drawn again"

    def test_orders_hold(self, night: BatchRig) -> None:
        batch = night.start(items=12)
        night.passes()
        night.work(2)
        night.batches.order(batch.id, "cancel", items=(11,))
        night.batches.order(batch.id, "pause")
        night.rig.wipe()
        night.hints.clear()
        night.passes(3)
        night.serve()
        night.passes(3)
        assert (night.standing(batch).status, night.work()) == (BatchStatus.PAUSED, 0)
        night.batches.order(batch.id, "resume")
        night.finish()
        assert (night.standing(batch).counts.done, night.standing(batch).counts.cancelled) == (11, 1)

    def test_a_cancelled_batch_stays_cancelled(self, night: BatchRig) -> None:
        batch = night.start(items=12)
        night.passes()
        night.work(3)
        night.batches.order(batch.id, "cancel")
        night.rig.wipe()
        night.hints.clear()
        night.passes()
        night.serve()
        night.finish()
        counts = night.standing(batch).counts
        assert (counts.cancelled + counts.done, counts.running, counts.waiting) == (12, 0, 0)

    def test_an_ended_batch_is_known_and_can_be_tried_again(self, night: BatchRig) -> None:
        batch = night.start(items=3)
        night.outcomes["t2"] = {"a": "missed"}
        night.finish()
        night.rig.wipe()
        night.passes()
        night.serve()
        assert night.standing(batch).counts.unmet == 1
        night.outcomes.clear()
        night.batches.order(batch.id, "retry", what=(ItemStatus.UNMET,), rounds=1)
        night.finish()
        assert night.standing(batch).counts.done == 3
        assert night.results(batch)["a2"].take == 1

    def test_the_rebuild_lock_is_kept_while_results_are_read(self, night: BatchRig) -> None:
        batch = night.start(items=12)
        night.finish()
        night.shelf.mark_live(batch.id)
        parts = len(night.store.list(f"batches/{batch.id}/results/"))
        assert parts > 2
        night.rig.wipe()
        kept: list[int] = []
        assert night.ledger.lock_rebuild("me", 30_000)
        night.dispatcher.restore("me", lambda: kept.append(1))
        assert len(kept) > 2 * parts, "as each is listed, and as each is read"

    def test_a_rebuild_that_lost_its_lock_ends_while_results_are_read(self, night: BatchRig) -> None:
        batch = night.start(items=3)
        night.finish()
        night.shelf.mark_live(batch.id)
        night.rig.wipe()

        def lost() -> None:
            raise StoreError("lost")

        assert night.ledger.lock_rebuild("me", 30_000)
        with pytest.raises(StoreError):
            night.dispatcher.restore("me", lost)
        assert night.ledger.open_epoch("me")
        assert night.batches.ledger.standing(batch.id) is None

    def test_takes_are_counted_on(self, night: BatchRig) -> None:
        batch = night.start(items=2)
        night.outcomes["t0"] = {"a": "missed"}
        night.finish()
        night.batches.order(batch.id, "retry", what=(ItemStatus.UNMET,), rounds=1)
        night.rig.wipe()
        night.passes()
        night.serve()
        night.finish()
        night.batches.order(batch.id, "retry", what=(ItemStatus.UNMET,), rounds=1)
        night.finish()
        takes = [result.take for result in night.batches.results(batch, every=True) if result.custom_id == "a0"]
        assert takes == [0, 1, 2]


class TestAnOlderRedis:
    def test_an_item_that_was_drawn_is_not_drawn_again(self, night: BatchRig) -> None:
        batch = night.start(items=2)
        copy = night.rig.dump()
        night.finish()
        assert len(night.drawn) == 2
        night.rig.wipe()
        night.rig.load(copy)
        night.serve()
        night.finish()
        assert len(night.drawn) == 2
        assert night.standing(batch).counts.done == 2
        assert {result.status for result in night.results(batch).values()} == {ItemStatus.DONE}
        assert night.ledger.jobs().records == [] or night.ledger.jobs().records[0].status is not JobStatus.RUNNING

    def test_an_end_that_is_told_twice_is_paid_once_and_undoes_no_order(self, night: BatchRig) -> None:
        """The copy had its job in flight, so its end is stored again, at another moment."""
        night.outcomes["t0"] = {"a": "missed"}
        batch = night.start(items=2)
        night.finish()
        first, *_ = [each for each in night.shelf.results(batch.id) if each.custom_id == "a0"]
        night.batches.order(batch.id, "pause")
        night.batches.order(batch.id, "retry", what=(ItemStatus.UNMET,))
        before = night.standing(batch)
        again = first.model_copy(update={"ended": first.ended + 0.5, "order": 9})
        night.shelf.put_results(batch.id, "again", [again])
        night.forget()
        after = night.standing(batch)
        assert (after.spent.renders, after.cost.renders, after.counts) == (2, 2, before.counts)
