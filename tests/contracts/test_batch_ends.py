"""A batch that has ended stands as it ended, and is listed, however long ago that was and whatever Redis lost."""

from typing import Any

import pytest

from tasks.batch.types import BatchStatus, Standing
from tasks.ledger.types import Cursor
from tests.support.batches import BatchRig

DAY = 86_400_000


def ended(night: BatchRig, **about: Any) -> Standing:
    """A batch that has ended and that the ledger has forgotten."""
    batch = night.start(items=2, **about)
    night.finish()
    found = night.standing(batch)
    assert found.ended
    night.forget()
    assert night.batches.ledger.standing(batch.id) is None
    night.rig.advance(DAY)
    return found


class TestAForgottenBatch:
    def test_who_looks_at_its_items_makes_it_neither_later_nor_late(self, night: BatchRig) -> None:
        before = ended(night, terms={"deadline": night.ledger.now_ms / 1000 + 3600})
        batch = night.shelf.load_batch(before.batch)
        assert len(night.batches.items(batch, None, 0, 10)[0]) == 2
        night.passes(3)
        assert night.batches.standing(batch.id) == night.shelf.summary(batch.id) == before
        assert not before.late

    def test_one_that_was_late_stays_so(self, night: BatchRig) -> None:
        before = ended(night, terms={"deadline": night.ledger.now_ms / 1000 - 1})
        assert before.late
        night.batches.items(night.shelf.load_batch(before.batch), None, 0, 10)
        night.passes(3)
        assert night.batches.standing(before.batch) == before

    def test_a_cancel_that_comes_too_late_changes_nothing(self, night: BatchRig) -> None:
        before = ended(night)
        after = night.batches.order(before.batch, "cancel")
        assert (after.status, after.counts, after.ended) == (BatchStatus.ENDED, before.counts, before.ended)
        night.forget()
        again = night.batches.standing(before.batch)
        assert again and again.status is BatchStatus.ENDED

    def test_the_ledger_keeps_it_for_a_while_once_it_was_asked_for(self, night: BatchRig) -> None:
        before = ended(night)
        night.batches.items(night.shelf.load_batch(before.batch), None, 0, 10)
        night.passes(3)
        assert night.batches.ledger.standing(before.batch)
        night.rig.advance(100_001)  # keep_ended_s
        night.passes()
        assert night.batches.ledger.standing(before.batch) is None


class TestTheList:
    def test_a_batch_that_ended_long_ago_is_on_it(self, night: BatchRig) -> None:
        batch = night.start(items=1)
        night.finish()
        assert not night.ledger.has_older(batches=True)
        night.rig.advance(100_001)
        night.passes()
        assert night.ledger.has_older(batches=True)
        assert night.batches.listed(None, 10) == []
        assert [found.batch for found in night.batches.forgotten("alice", 10)[0]] == [batch.id]
        assert night.batches.forgotten("bob", 10) == ([], None)

    def test_it_outlives_a_wipe(self, night: BatchRig) -> None:
        before = ended(night)
        assert night.ledger.has_older(batches=True)
        assert night.batches.forgotten(None, 10) == ([before], None)

    def test_one_that_is_at_work_again_is_the_ledger_s(self, night: BatchRig) -> None:
        before = ended(night)
        night.batches.order(before.batch, "patch", title="again")
        assert night.batches.forgotten(None, 10)[0] == []
        night.forget()
        assert [found.title for found in night.batches.forgotten(None, 10)[0]] == ["again"]

    @pytest.mark.parametrize("limit", [1, 2, 3, 7])
    def test_its_pages_hold_each_once_the_newest_first(self, night: BatchRig, limit: int) -> None:
        made = [night.start(key=f"b{n}", items=1, owner=f"o{n % 2}", created=1000.0 + n // 2) for n in range(6)]
        night.finish()
        night.forget()
        for owner in (None, "o1"):
            found, behind, calls = list[Standing](), Cursor(10**14, "f" * 36), 0
            while behind and calls < 10:
                page, behind = night.batches.forgotten(owner, limit, behind)
                found, calls = found + page, calls + 1
            wanted = {each.id for each in made if owner in (None, each.owner)}
            assert {each.batch for each in found} == wanted and len(found) == len(wanted)
            assert [each.created for each in found] == sorted((each.created for each in found), reverse=True)
