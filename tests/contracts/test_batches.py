"""Batches over a ledger in process and on a server, with storage in a folder."""

import pytest

from tasks.app import story
from tasks.batch.dispatch import slots
from tasks.batch.ledger import Lane
from tasks.batch.recall import Recalled, standing_of
from tasks.batch.shelf import line_of
from tasks.batch.types import BatchStatus, ItemStatus, child_id
from tasks.store import Corrupt
from tests.support.batches import BatchRig


class TestALife:
    def test_every_item_is_drawn_once_and_has_a_result(self, night: BatchRig) -> None:
        batch = night.start(items=12)
        night.finish()
        standing = night.standing(batch)
        assert (standing.status, standing.counts.done, standing.total) == (BatchStatus.ENDED, 12, 12)
        assert sorted(night.drawn) == sorted(f"t{n}" for n in range(12))
        results = night.results(batch)
        assert results.keys() == {f"a{n}" for n in range(12)}
        assert {result.status for result in results.values()} == {ItemStatus.DONE}
        assert all(result.image and night.images.get(result.image) for result in results.values())

    def test_what_has_ended_leaves_the_ledger_and_the_list_of_live_jobs(self, night: BatchRig) -> None:
        batch = night.start(items=3)
        night.finish()
        assert night.ledger.jobs().records == []
        assert (night.archive.live(), night.shelf.live()) == ([], [])
        assert night.archive.find_job(child_id(batch.id, 0, 0))
        assert not night.rig.redis.keys("*children*")

    def test_few_are_in_flight(self, night: BatchRig) -> None:
        batch = night.start(items=50)
        night.passes(3)
        assert night.standing(batch).counts.running == 4  # ceil(1.5 x 1 editor) + 2
        assert len(night.archive.live()) == 4

    def test_a_cap_holds(self, night: BatchRig) -> None:
        batch = night.start(items=5, most=1)
        for _ in range(40):
            night.passes()
            assert night.standing(batch).counts.running <= 1
            night.work(1)
        night.finish()
        assert night.standing(batch).counts.done == 5

    def test_a_matrix_is_not_expanded(self, night: BatchRig) -> None:
        batch = night.start(items=2, seeds=(3, 4, 5))
        night.finish()
        assert night.results(batch).keys() == {f"a{n}@seed={seed}" for n in range(2) for seed in (3, 4, 5)}
        job = night.archive.load_job(child_id(batch.id, 4, 0))
        assert (job.seed, job.brief.title, job.batch and job.batch.custom_id) == (4, "t1 · seed=4", "a1@seed=4")

    def test_nobody_serves_the_editor(self, night: BatchRig) -> None:
        night.model = "flux"
        batch = night.start(items=2)
        night.passes(3)
        assert night.standing(batch).counts.waiting == 2

    def test_a_line_that_is_lost_fails_alone(self, night: BatchRig) -> None:
        batch = night.stored("b", 2)
        night.shelf.put_part(batch.id, 0, 0, night.shelf.read_part(batch.id, 0, 0)[:1])
        night.batches.start(batch)
        night.finish()
        results = night.results(batch)
        assert (results["a0"].status, results["item 1"].status) == (ItemStatus.DONE, ItemStatus.FAILED)
        assert "line 2 is missing" in results["item 1"].error

    def test_a_line_that_is_no_item_fails_alone(self, night: BatchRig) -> None:
        batch = night.stored("b", 2)
        second = night.shelf.read_part(batch.id, 0, 0)[1]
        night.shelf.put_lines(batch.id, 0, 0, b"{broken\n" + line_of(second))
        night.batches.start(batch)
        night.finish()
        assert (night.standing(batch).counts.done, night.standing(batch).counts.failed) == (1, 1)
        assert night.drawn == ["t1"]

    def test_the_same_batch_again_is_the_same_batch(self, night: BatchRig) -> None:
        batch = night.start(items=2)
        assert not night.batches.start(batch)
        night.finish()
        assert not night.batches.start(batch)
        night.finish()
        assert len(night.drawn) == 2


class TestOrders:
    def test_a_paused_batch_begins_nothing_and_finishes_steps_only(self, night: BatchRig) -> None:
        batch = night.start(items=20)
        night.passes()
        night.batches.order(batch.id, "pause")
        done = night.work()
        assert done <= 4, "hints that were out already"
        night.passes(5)
        assert night.work() == 0
        assert night.standing(batch).status is BatchStatus.PAUSED
        night.batches.order(batch.id, "resume")
        night.finish()
        assert night.standing(batch).counts.done == 20
        assert len(night.drawn) == 20

    def test_a_pause_is_no_time_with_another_seat(self, night: BatchRig) -> None:
        batch = night.start(items=4)
        night.passes()
        night.batches.order(batch.id, "pause")
        night.rig.advance(3_000_000)
        night.batches.order(batch.id, "resume")
        night.finish()
        assert night.standing(batch).counts.done == 4
        away_ms = night.batches.ledger.lanes([night.model])[0].other_ms
        assert away_ms and away_ms < 60_000

    def test_a_step_in_hand_is_committed_and_then_waits(self, night: BatchRig) -> None:
        batch = night.start(items=1)
        night.passes()
        claim = night.ledger.claim(child_id(batch.id, 0, 0), 0, "editor-0@test")
        night.batches.order(batch.id, "pause")
        night.rig.advance(20_000)
        night.passes(2)  # its lease dies
        night.hints.clear()
        night.passes(2)
        assert not night.hints
        assert claim
        night.batches.order(batch.id, "resume")
        night.finish()
        assert night.standing(batch).counts.done == 1

    def test_cancel_ends_all(self, night: BatchRig) -> None:
        batch = night.start(items=30)
        night.passes()
        night.work(3)
        night.batches.order(batch.id, "cancel")
        night.finish()
        standing = night.standing(batch)
        assert (standing.status, standing.counts.cancelled + standing.counts.done) == (BatchStatus.CANCELLED, 30)
        assert night.shelf.live() == []
        assert len(night.results(batch)) == 30

    def test_one_item_is_skipped_and_brought_back(self, night: BatchRig) -> None:
        batch = night.start(items=10)
        index = night.batches.index_of(batch, "a7")
        night.batches.order(batch.id, "cancel", items=(index,))
        night.finish()
        assert night.results(batch)["a7"].status is ItemStatus.CANCELLED
        assert "t7" not in night.drawn
        night.batches.order(batch.id, "retry", what=(ItemStatus.CANCELLED,), items=(index,))
        night.finish()
        assert night.results(batch)["a7"].status is ItemStatus.DONE
        assert len(night.drawn) == 10
        assert night.standing(batch).status is BatchStatus.ENDED

    def test_what_was_cancelled_before_its_turn_has_a_result(self, night: BatchRig) -> None:
        batch = night.start(items=1002, seeds=(3, 4))
        for _ in range(2):
            night.batches.order(batch.id, "cancel")
            night.batches.order(batch.id, "retry", what=(ItemStatus.CANCELLED,), items=(2003,))
        night.batches.order(batch.id, "cancel")
        found = night.results(batch)
        assert len(found) == 2004
        first, last = found["a0@seed=3"], found["a1001@seed=4"]
        assert (first.index, first.take, first.title, first.job) == (0, 0, "t0", None)
        assert (last.index, last.take, last.title, last.job) == (2003, 2, "t1001", None)
        assert {result.status for result in found.values()} == {ItemStatus.CANCELLED}

    @pytest.mark.parametrize("lines", [b"", b"[]\n", b"no JSON\n", b'{"custom_id": "a"}\n', b'{"brief": {}}\n'])
    def test_a_line_of_what_was_cancelled_is_lost(self, night: BatchRig, lines: bytes) -> None:
        batch = night.start(items=3)
        night.batches.order(batch.id, "cancel")
        night.shelf.put_lines(batch.id, 0, 0, lines)
        with pytest.raises(Corrupt):
            night.results(batch)

    def test_a_cancelled_batch_can_be_brought_back(self, night: BatchRig) -> None:
        batch = night.start(items=10)
        night.passes()
        night.batches.order(batch.id, "cancel")
        night.finish()
        night.batches.order(batch.id, "retry", what=(ItemStatus.CANCELLED,))
        night.finish()
        assert night.standing(batch).counts.done == 10

    def test_failed_ones_go_on_from_the_failed_step(self, night: BatchRig) -> None:
        batch = night.start(items=3)
        night.outcomes["t1"] = {"fails": True}
        failing = child_id(batch.id, 1, 0)
        night.finish()
        assert night.results(batch)["a1"].status is ItemStatus.FAILED
        assert "no good" in night.results(batch)["a1"].error
        assert night.standing(batch).status is BatchStatus.ENDED
        assert night.ledger.get(failing) is None
        night.outcomes.clear()
        night.batches.order(batch.id, "retry", what=(ItemStatus.FAILED,))
        night.finish()
        current = night.results(batch)["a1"]
        assert (current.status, current.take, current.generation, current.job) == (ItemStatus.DONE, 1, 0, failing)
        assert [one.take for one in night.batches.results(batch, every=True) if one.custom_id == "a1"] == [0, 1]
        assert night.drawn.count("t1") == 4, "three tries that failed, and the one that did not"

    def test_unmet_ones_go_on_from_their_picture(self, night: BatchRig) -> None:
        batch = night.start(items=2)
        night.outcomes["t1"] = {"a": "missed"}
        night.finish()
        before = night.results(batch)["a1"]
        assert before.status is ItemStatus.UNMET
        night.outcomes.clear()
        night.batches.order(batch.id, "retry", what=(ItemStatus.UNMET,), rounds=2)
        night.finish()
        current = night.results(batch)["a1"]
        assert (current.status, current.take, current.generation) == (ItemStatus.DONE, 1, 1)
        job = night.archive.load_job(child_id(batch.id, 1, 1))
        assert (job.brief.source, job.settings.rounds) == (before.image, 2)
        assert night.results(batch)["a0"].take == 0

    def test_its_next_job_stays_known_when_the_one_before_leaves(self, night: BatchRig) -> None:
        night.settings = night.settings.model_copy(update={"report_every_s": 10})
        night.reconciler = night.another()
        night.rig.redis.delete(f"{night.ledger.prefix}lock:report")  # that of the one before
        night.outcomes["t0"] = {"a": "missed"}
        batch = night.start(items=2, most=1)
        while not night.standing(batch).counts.unmet:
            night.passes()
            night.work()
        night.batches.order(batch.id, "retry", what=(ItemStatus.UNMET,))
        night.batches.order(batch.id, "first", items=(0,))
        night.passes()
        night.rig.advance(11_000)
        night.serve()
        assert night.batches.ledger.unreported(10, 0)
        night.passes()
        assert not night.batches.ledger.unreported(10, 0)
        assert [child.take for child in night.batches.ledger.children(batch.id, 0, 10)[0]] == [1]
        night.batches.order(batch.id, "cancel")
        night.finish()
        assert night.standing(batch).counts.cancelled == 2

    def test_what_is_cancelled_before_its_next_turn_has_one_current_result(self, night: BatchRig) -> None:
        night.outcomes["t0"] = {"a": "missed"}
        batch = night.start(items=3)
        night.finish()
        night.batches.order(batch.id, "retry", what=(ItemStatus.UNMET,))
        night.batches.order(batch.id, "cancel", items=(0,))
        night.finish()
        result = night.results(batch)["a0"]
        assert (result.status, result.take) == (ItemStatus.CANCELLED, 1)
        assert len([each for each in night.batches.results(batch, every=True) if each.custom_id == "a0"]) == 2

    def test_of_many_those_that_are_meant_wait_again(self, night: BatchRig) -> None:
        """The ledger reads states in parts of 65,536; this batch has them on both sides of a border."""
        batch = night.stored("many", 66_000)
        night.shelf.put_batch(batch)
        around = 65_530
        letters = "d" * around + "xducxkxduxux" + "d" * (66_000 - around - 12)
        night.batches.ledger.add(batch, Recalled(standing_of(batch), letters))
        night.batches.order(batch.id, "retry", what=(ItemStatus.FAILED, ItemStatus.UNMET), rounds=4)
        counts = night.standing(batch).counts
        assert (counts.waiting, counts.done, counts.cancelled) == (8, 65_990, 2)
        found, _ = night.batches.items(batch, None, around, 12)
        assert [(item.take, item.generation) for item in found] == [
            (1, 0), (0, 0), (1, 1), (0, 0), (1, 0), (0, 0), (1, 0), (0, 0), (1, 1), (1, 0), (1, 1), (1, 0),
        ]  # fmt: skip
        picks = night.batches.ledger.pick(night.model, 9, 30_000)
        assert [pick.index - around for pick in picks] == [0, 2, 4, 6, 8, 9, 10, 11]
        assert [(pick.mode, pick.rounds) for pick in picks] == [
            ("r", 0), ("u", 4), ("r", 0), ("r", 0), ("u", 4), ("r", 0), ("u", 4), ("r", 0),
        ]  # fmt: skip

    def test_an_item_that_was_tried_often_stays(self, night: BatchRig) -> None:
        batch = night.stored("often", 2)
        night.shelf.put_batch(batch)
        takes = "".join(chr(33 + take) + "!!r" for take in (90, 89))
        night.batches.ledger.add(batch, Recalled(standing_of(batch), "xx", takes))
        night.batches.order(batch.id, "retry", what=(ItemStatus.FAILED,))
        assert (night.standing(batch).counts.waiting, night.standing(batch).counts.failed) == (1, 1)
        assert [pick.take for pick in night.batches.ledger.pick(night.model, 2, 30_000)] == [90]

    def test_a_patch_changes_what_is_in_flight_too(self, night: BatchRig) -> None:
        batch = night.start(items=30)
        night.passes()
        night.batches.order(batch.id, "patch", priority=0, title="now", most=9)
        standing = night.standing(batch)
        assert (standing.priority, standing.title, standing.most) == (0, "now", 9)
        record = night.ledger.get(child_id(batch.id, 0, 0))
        assert record and record.priority == 0
        night.finish()
        assert night.standing(batch).counts.done == 30

    def test_the_front_goes_first(self, night: BatchRig) -> None:
        night.start("first", items=10, created=1000.0)
        second = night.start("second", items=3, created=2000.0)
        night.batches.order(second.id, "patch", front=True)
        night.passes()
        assert night.standing(second).counts.running == 3

    def test_items_are_put_before_the_others_of_their_batch(self, night: BatchRig) -> None:
        batch = night.start(items=9)
        night.batches.order(batch.id, "first", items=(7, 8))
        night.batches.order(batch.id, "first", items=(5,))
        picks = night.batches.ledger.pick(night.model, 4, 30_000)
        assert [pick.index for pick in picks] == [5, 7, 8, 0]
        night.batches.ledger.put_back(picks[1])
        assert [pick.index for pick in night.batches.ledger.pick(night.model, 2, 30_000)] == [7, 1], "it is still first"
        night.batches.order(batch.id, "cancel", items=(7,))
        night.rig.advance(31_000)  # of these picks no job is made
        night.finish()
        assert night.standing(batch).status is BatchStatus.ENDED
        assert not night.rig.redis.keys("*first:*")

    def test_what_was_put_first_outlives_a_wipe(self, night: BatchRig) -> None:
        batch = night.start(items=9)
        night.batches.order(batch.id, "first", items=(7, 8))
        night.batches.order(batch.id, "first", items=(5, 8))
        night.batches.order(batch.id, "cancel", items=(7,))
        night.forget()
        night.passes()
        drawn = {child.item for child in night.batches.ledger.children(batch.id, 0, 10)[0]}
        assert drawn == {5, 8, 0, 1}

    def test_an_order_that_broke_off_is_applied_by_the_next_audit(self, night: BatchRig) -> None:
        batch = night.start(items=3)
        order = night.batches.order(batch.id, "pause").order
        stored = night.shelf.orders(batch.id)[0].model_copy(update={"number": order + 1, "kind": "resume"})
        night.shelf.put_order(batch.id, stored)  # and its process dies
        night.reconciler.audit()
        assert night.standing(batch).status is BatchStatus.OPEN


class TestFairness:
    def test_owners_share_by_weight(self, night: BatchRig) -> None:
        light = night.start("l", items=400, owner="light", weight=1.0)
        heavy = night.start("h", items=400, owner="heavy", weight=3.0)
        night.editors = 4
        night.serve()
        while night.standing(heavy).counts.done < 150:
            night.passes()
            night.work(12)
        share = night.standing(light).counts.done / night.standing(heavy).counts.done
        assert share == pytest.approx(1 / 3, abs=0.08)

    def test_who_was_away_gets_no_credit_for_it(self, night: BatchRig) -> None:
        early = night.start("e", items=100, owner="early")
        for _ in range(30):
            night.passes()
            night.work(6)
        done = night.standing(early).counts.done
        assert 20 < done < 90
        late = night.start("l", items=100, owner="late")
        while night.standing(late).counts.done < 10:
            night.passes()
            night.work(12)
        assert night.standing(early).counts.done - done >= 5

    def test_a_batch_goes_before_the_next_one(self, night: BatchRig) -> None:
        first, second = night.start("1", items=30), night.start("2", items=30, created=2000.0)
        while night.standing(first).counts.waiting:
            night.passes()
            night.work(5)
            assert not night.standing(first).counts.waiting or night.standing(second).counts.running == 0

    def test_what_is_urgent_has_a_reserve(self, night: BatchRig) -> None:
        night.start("slow", items=30)
        night.passes(2)
        urgent = night.start("now", items=3, priority=0)
        night.passes()
        assert night.standing(urgent).counts.running == 1
        night.passes(3)
        assert night.standing(urgent).counts.running == 1, "each pass has the same reserve"

    def test_a_pick_of_which_no_job_came_costs_nothing(self, night: BatchRig) -> None:
        batches = {night.start("b", items=5, owner=owner).id: owner for owner in ("a", "b")}

        def picked() -> str:
            (pick,) = night.batches.ledger.pick(night.model, 1, 30_000)
            night.batches.ledger.put_back(pick)
            return batches[pick.batch]

        assert picked() == picked()


class TestSlots:
    """Of eight editors."""

    def lane(self, **about: float) -> Lane:
        known = {"picked": 0, "flying": 0, "step_ms": 12_000.0, "other_ms": 12_000.0, "brief_ms": 48_000.0, "owners": 1}
        known |= {"thinking": 200}
        return Lane(**{**known, **about})  # pyright: ignore[reportArgumentType]

    def test_as_many_are_away_as_the_time_there_is_longer(self) -> None:
        assert slots(8, self.lane()) == 8 + 8 + 3 + 2
        assert slots(8, self.lane(other_ms=1_000.0)) == 11
        assert slots(8, self.lane(flying=10, picked=2)) == 9

    def test_there_is_a_most_of_it(self) -> None:
        assert slots(8, self.lane(other_ms=10_000_000.0)) == 8 + 56 + 7 + 2

    def test_where_the_others_are_the_limit_few_wait_for_them(self) -> None:
        assert slots(8, self.lane(queued=4, thinking=4, flying=8)) == 2
        assert slots(8, self.lane(queued=9, thinking=4, flying=13)) < 0
        assert slots(8, self.lane(queued=9, thinking=40, flying=10)) == 11, "forty at once need more that wait"

    def test_what_nobody_measured_is_guessed(self) -> None:
        assert slots(8, Lane(0, 0, None, None, None, 1)) == 16


def test_a_message_names_the_batch_for_flower(night: BatchRig) -> None:
    batch = night.start(items=1)
    night.passes()
    [first] = night.hints
    assert (first.batch, f" · {batch.id[:8]} · {first.title} · {first.job}" in story(first)) == (batch.id, True)
    night.work(1)
    assert {hint.batch for hint in night.hints} == {batch.id}
    night.rig.advance(10_000)
    assert [hint.batch for hint in night.ledger.overdue(night.hints[0].queue, 1, 10)] == [batch.id]
