"""Hooks hear each transition at least once, under one id, whatever is lost in between."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from director.errors import BriefError, StoreError
from tasks.batch.dispatch import Dispatcher
from tasks.notices.courier import WAITS_S, Courier
from tasks.notices.hooks import Hooks
from tasks.notices.post import Outcome, Poster
from tasks.notices.shelf import NoticeShelf
from tasks.notices.types import BATCH_EVENTS, MAX_HOOKS, Event, Hook, Notice, Untold
from tests.support.batches import BatchRig
from tests.support.ledgers import LedgerRig
from tests.support.mailbox import mailbox
from tests.support.receivers import Answer, Receiver, receiving


@dataclass
class Night(BatchRig):
    """Batches whose reconciler tells hooks."""

    send: Callable[[Hook, Notice], Outcome] = Poster(private=True).send

    def __post_init__(self) -> None:
        self.notices: NoticeShelf | None = None
        super().__post_init__()
        self.notices = NoticeShelf(self.store)
        self.hooks = Hooks(self.ledger, self.notices, Poster(private=True))
        self.outcomes_told, self.dead = list[str](), list[int]()
        self.courier = Courier(
            self.ledger, self.notices, lambda hook, notice: self.send(hook, notice), self.outcomes_told.append,
            self.dead.append,
        )  # fmt: skip
        self.reconciler.batches = Dispatcher(
            self.batches, self.ledger, self.archive, self.settings, self.hints.append, self.courier
        )

    def hook(self, receiver: Receiver, *events: Event) -> Hook:
        made = self.hooks.add("alice", receiver.url, events or BATCH_EVENTS)
        receiver.secret = made.secrets[0].key
        return made

    def until(self, true: Callable[[], bool], step: int = 0) -> None:
        """Passes until it is true, with `step` ms more on the ledger's clock between two of them."""
        end = time.monotonic() + 60
        while not true():
            assert time.monotonic() < end, "it never came"
            self.passes()
            self.rig.advance(step)
            time.sleep(0.01)

    def pending(self) -> int:
        assert self.notices
        return len(list(self.notices.pending()))


class Away(NoticeShelf):
    """Its storage takes nothing."""

    def add(self, hook: str, notice: Notice) -> bool:
        raise StoreError("away")


def gone() -> Answer:
    return 410, {}


def refused(hook: Hook, notice: Notice) -> Outcome:
    return Outcome(False, why="away")


@pytest.fixture
def night(wiped: LedgerRig, tmp_path: Path) -> Iterator[Night]:
    made = Night(wiped, tmp_path / "objects")
    assert made.reconciler.once()
    made.serve()
    yield made
    made.courier.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


class TestABatch:
    def test_it_starts_is_half_done_and_ends(self, night: Night, receiver: Receiver) -> None:
        night.hook(receiver)
        batch = night.start(items=4)
        night.finish()
        night.until(lambda: len(receiver.notices) == 3 and night.pending() == 0)
        assert sorted(receiver.types()) == ["batch.ended", "batch.half", "batch.started"]
        assert all(notice.verified for notice in receiver.notices)
        ended = next(notice for notice in receiver.notices if notice.type == "batch.ended")
        assert (ended.data["id"], ended.data["title"], ended.data["done"]) == (batch.id, "b", 4)

    def test_only_what_was_asked_for(self, night: Night, receiver: Receiver) -> None:
        night.hook(receiver, Event.ENDED)
        night.start(items=2)
        night.finish()
        night.until(lambda: len(receiver.notices) == 1)
        assert receiver.types() == ["batch.ended"]

    def test_a_hook_that_comes_between_two_batches(self, night: Night, receiver: Receiver) -> None:
        with receiving() as first:
            night.hook(first, Event.ENDED)
            night.start(key="before", items=1)
            night.finish()
            night.until(lambda: len(first.notices) == 1)
        night.hook(receiver, Event.STARTED)
        night.start(items=1)
        night.finish()
        night.until(lambda: len(receiver.notices) == 1)

    def test_others_hear_nothing(self, night: Night, receiver: Receiver) -> None:
        night.hook(receiver)
        night.start(items=2, owner="bob")
        night.finish()
        assert receiver.notices == []
        assert not night.rig.redis.exists("test:outbox")

    def test_a_batch_that_is_tried_again_ends_again_under_another_id(self, night: Night, receiver: Receiver) -> None:
        night.hook(receiver, Event.ENDED)
        night.outcomes["t0"] = {"fails": True}
        batch = night.start(items=2)
        night.finish()
        del night.outcomes["t0"]
        night.batches.order(batch.id, "retry", what=("failed",))
        night.finish()
        night.until(lambda: len(receiver.notices) == 2)
        first, second = receiver.notices
        assert (first.data["failed"], second.data["failed"]) == (1, 0)
        assert first.id != second.id

    @pytest.mark.parametrize("forgotten", [False, True])
    def test_no_order_but_a_retry_lets_it_end_again(self, night: Night, receiver: Receiver, forgotten: bool) -> None:
        night.hook(receiver, Event.ENDED)
        batch = night.start(items=1)
        night.finish()
        night.until(lambda: len(receiver.notices) == 1 and night.pending() == 0)
        for kind in ("patch", "pause", "resume", "cancel", "retry"):
            if forgotten:
                night.rig.wipe()
                night.until(lambda: night.ledger.epoch() is not None)
            night.batches.order(batch.id, kind, what=("failed",))
            night.passes(3)
        assert night.pending() == 0
        assert receiver.types() == ["batch.ended"]


class TestTerms:
    def test_a_batch_that_is_late(self, night: Night, receiver: Receiver) -> None:
        night.hook(receiver, Event.LATE)
        night.start(items=2, terms={"deadline": night.ledger.now_ms / 1000 - 1, "by": False})
        night.finish()
        night.until(lambda: len(receiver.notices) == 1)
        night.rig.wipe()
        night.until(lambda: night.ledger.epoch() is not None)
        night.passes(5)
        assert receiver.types() == ["batch.late"]

    def test_a_budget_that_is_spent_and_raised(self, night: Night, receiver: Receiver) -> None:
        night.hook(receiver, Event.BUDGET, Event.HELD)
        batch = night.start(items=12, terms={"budget": {"renders": 2}})
        night.until(lambda: night.work() >= 0 and len(receiver.notices) == 2, step=6_000)
        assert sorted(receiver.types()) == ["batch.budget", "batch.held"]
        night.batches.order(batch.id, "patch", terms={"budget": {"renders": 6}})
        night.until(lambda: night.work() >= 0 and len(receiver.notices) == 4, step=6_000)
        assert len({notice.id for notice in receiver.notices}) == 4

    def test_a_batch_that_has_ended_is_not_held(self, night: Night, receiver: Receiver) -> None:
        night.hook(receiver, Event.BUDGET, Event.HELD, Event.ENDED)
        night.outcomes["t1"] = {"a": "missed"}
        batch = night.start(items=2)
        night.finish()
        night.batches.order(batch.id, "patch", terms={"budget": {"renders": 1}})
        night.until(lambda: len(receiver.notices) == 1)
        night.passes(5)
        assert receiver.types() == ["batch.ended"]
        night.batches.order(batch.id, "retry", what=("unmet",))
        night.until(lambda: len(receiver.notices) == 3)
        assert sorted(receiver.types()) == ["batch.budget", "batch.ended", "batch.held"]


class TestWhatIsLost:
    @pytest.mark.parametrize("stage", range(0, 6, 2))
    def test_a_wipe_at_any_time(self, night: Night, receiver: Receiver, stage: int) -> None:
        night.hook(receiver)
        night.start(items=4)
        for _ in range(stage):
            night.passes()
            night.work(6)
        night.rig.wipe()
        night.until(lambda: night.ledger.epoch() is not None)
        night.serve()
        night.finish()
        night.until(lambda: {*receiver.types()} == {"batch.started", "batch.half", "batch.ended"})
        assert len({notice.id for notice in receiver.notices}) == 3

    def test_a_wipe_before_it_was_told(self, night: Night, receiver: Receiver) -> None:
        night.hook(receiver, Event.ENDED)
        send, night.send = night.send, refused
        night.start(items=1)
        night.finish()
        night.until(lambda: night.pending() == 1)
        night.rig.wipe()
        night.send = send
        night.until(lambda: len(receiver.notices) == 1)

    def test_what_was_told_is_not_told_again_after_a_wipe(self, night: Night, receiver: Receiver) -> None:
        night.hook(receiver)
        night.start(items=4)
        night.until(lambda: night.work(4) >= 0 and "batch.started" in receiver.types() and night.pending() == 0)
        night.rig.wipe()
        night.until(lambda: night.ledger.epoch() is not None)
        night.serve()
        night.finish()
        night.until(lambda: len(receiver.notices) == 3)
        assert receiver.types().count("batch.started") == 1

    def test_storage_that_is_away_loses_nothing(self, night: Night, receiver: Receiver) -> None:
        night.hook(receiver, Event.STARTED)
        night.start(items=1)
        night.dispatcher.admit()
        away = Courier(night.ledger, Away(night.store), night.send)
        with pytest.raises(StoreError):
            away.collect()
        away.close()
        night.until(lambda: len(receiver.notices) == 1)


class TestReceivers:
    def test_one_that_refuses_is_asked_again_and_heard_once_it_listens(self, night: Night, receiver: Receiver) -> None:
        answers: list[Answer] = [(200, {}), (429, {"Retry-After": "40"}), (500, {})]
        receiver.answer = lambda: answers.pop() if len(answers) > 1 else answers[0]
        night.hook(receiver, Event.ENDED)
        night.start(items=1)
        night.finish()
        night.until(lambda: len(receiver.notices) == 3 and night.pending() == 0, step=10_000)
        assert len({notice.id for notice in receiver.notices}) == 1

    def test_one_that_never_listens_is_given_up_and_can_be_told_later(self, night: Night, receiver: Receiver) -> None:
        made = night.hook(receiver, Event.ENDED)
        send, night.send = night.send, refused
        night.start(items=1)
        night.finish()
        night.until(lambda: "dead" in night.outcomes_told, step=8 * 3_600_000)
        assert night.notices
        assert (night.pending(), len(night.notices.dead(made.id))) == (0, 1)
        assert night.outcomes_told == [*["again"] * len(WAITS_S), "dead"]
        night.courier.audit()
        assert night.dead[-1] == 1
        night.send = send
        assert night.hooks.replay(made) == 1
        night.until(lambda: len(receiver.notices) == 1)

    def test_what_was_not_told_is_shown(self, night: Night, receiver: Receiver) -> None:
        made = night.hook(receiver, Event.STARTED, Event.ENDED)
        assert night.hooks.untold(made) == Untold(waiting=0, dead=0)
        before = night.ledger.now_ms / 1000
        send, night.send = night.send, refused
        night.start(items=1)
        night.finish()
        night.until(lambda: night.outcomes_told == ["again", "again"])
        untold = night.hooks.untold(made)
        assert (untold.waiting, untold.dead, untold.error) == (2, 0, "away")
        assert untold.failed and before <= untold.failed <= night.ledger.now_ms / 1000
        assert untold.next_try and before + WAITS_S[0] <= untold.next_try <= untold.failed + 2 * WAITS_S[0]
        night.rig.wipe()
        night.until(lambda: night.hooks.untold(made).error == "away")
        night.send = send
        night.until(lambda: len(receiver.notices) == 2 and night.pending() == 0, step=10_000)
        assert night.hooks.untold(made) == Untold(waiting=0, dead=0)

    def test_what_will_never_be_taken_is_given_up_at_once(self, night: Night, receiver: Receiver) -> None:
        made = night.hook(receiver, Event.ENDED)
        send, night.send = night.send, lambda hook, notice: Outcome(False, why="550 no such user", final=True)
        night.start(items=1)
        night.finish()
        night.until(lambda: night.outcomes_told == ["dead"])
        untold = night.hooks.untold(made)
        assert (untold.waiting, untold.dead, untold.error) == (0, 1, "550 no such user")
        night.send = send
        assert night.hooks.replay(made) == 1
        night.until(lambda: len(receiver.notices) == 1)

    def test_a_replay_lets_what_waits_be_tried_now(self, night: Night, receiver: Receiver) -> None:
        made = night.hook(receiver, Event.ENDED)
        send, night.send = night.send, refused
        night.start(items=1)
        night.finish()
        night.until(lambda: len(night.outcomes_told) == 5, step=3_600_000)
        night.send = send
        night.passes(3)
        assert receiver.notices == []
        assert night.hooks.replay(made) == 1
        night.until(lambda: len(receiver.notices) == 1 and night.pending() == 0)

    def test_410_switches_it_off(self, night: Night, receiver: Receiver) -> None:
        receiver.answer = gone
        made = night.hook(receiver, Event.STARTED, Event.ENDED)
        night.start(items=1)
        night.finish()
        night.until(lambda: night.pending() == 0)
        assert night.notices
        found = night.notices.find_hook("alice", made.id)
        assert found
        assert "410" in found.off
        night.start(key="later", items=1)
        night.finish()
        assert len(receiver.notices) == 1

    def test_a_slow_one_holds_up_nobody(self, night: Night, receiver: Receiver) -> None:
        go_on = threading.Event()

        def slowly() -> Answer:
            go_on.wait(60)
            return 204, {}

        with receiving() as slow:
            slow.answer = slowly
            for _ in range(3):
                night.hook(slow)
            night.hook(receiver)
            night.start(items=2)
            night.finish()
            night.until(lambda: len(receiver.notices) == 3)
            assert len(slow.notices) <= 3
            go_on.set()
            night.until(lambda: len(slow.notices) == 9 and night.pending() == 0)

    def test_thousands_for_a_slow_one_hide_no_other(self, night: Night) -> None:
        night.ledger.run("noted", "", *(f"slow|{n}" for n in range(3000)))
        night.rig.advance(1000)
        night.ledger.run("noted", "", "other|1")
        taken = list[str]()
        for _ in range(5):
            night.rig.advance(100)
            taken += [delivery for delivery, _ in night.ledger.run("take_deliveries", 8, 60_000, "slow")]
        assert taken == ["other|1"]
        [(found, _)] = night.ledger.run("take_deliveries", 8, 60_000)
        assert found.startswith("slow|")


class TestMail:
    def test_a_server_that_was_away_gets_each_mail_once(self, night: Night) -> None:
        with mailbox() as box:
            port = urlsplit(box.url).port or 0
        assert night.notices
        poster = Poster(smtp=box.url, mail_from="night@example.org")
        made = Hooks(night.ledger, night.notices, poster).add("alice", "mailto:ada@example.org", BATCH_EVENTS)
        night.send = poster.send
        night.start(items=2)
        night.finish()
        night.until(lambda: night.outcomes_told == ["again"] * 3)
        assert "no mail server can be reached" in night.hooks.untold(made).error
        with mailbox(port=port) as box:
            night.until(lambda: night.pending() == 0, step=10_000)
            night.passes(3)
        assert sorted(mail["Subject"] for mail in box.mails) == [
            "b has ended: 2 done",
            "b has started",
            "b is half done",
        ]


class TestJobs:
    def test_each_job_on_request(self, night: Night, receiver: Receiver) -> None:
        night.hook(receiver, Event.JOB_ENDED)
        night.start(items=2)
        night.finish()
        night.until(lambda: len(receiver.notices) == 2)
        assert {notice.data["custom_id"] for notice in receiver.notices} == {"a0", "a1"}
        assert {notice.data["status"] for notice in receiver.notices} == {"done"}


class TestHooks:
    def test_an_owner_has_so_many(self, night: Night, receiver: Receiver) -> None:
        for _ in range(MAX_HOOKS):
            night.hook(receiver)
        with pytest.raises(BriefError):
            night.hook(receiver)

    def test_one_that_is_removed_hears_nothing_more(self, night: Night, receiver: Receiver) -> None:
        made = night.hook(receiver, Event.JOB_ENDED)
        night.hooks.remove(made)
        night.start(items=1)
        night.finish()
        assert receiver.notices == []
        assert night.store.list("hooks/") == []

    def test_a_secret_is_changed_while_notices_go_out(self, night: Night, receiver: Receiver) -> None:
        made = night.hook(receiver, Event.ENDED)
        night.hooks.rotate(made)
        night.start(items=1)
        night.finish()
        night.until(lambda: len(receiver.notices) == 1)
        assert receiver.notices[0].verified  # by the old one

    def test_what_its_owner_does_meanwhile_outlives_a_410(self, night: Night, receiver: Receiver) -> None:
        changed, removed = night.hook(receiver, Event.ENDED), night.hook(receiver, Event.ENDED)
        new, one_at_a_time = list[Hook](), threading.Lock()

        def meanwhile() -> Answer:
            with one_at_a_time:
                if not new:
                    new.append(night.hooks.rotate(changed))
                    night.hooks.remove(removed)
            return gone()

        receiver.answer = meanwhile
        night.start(items=1)
        night.finish()
        night.until(lambda: night.pending() == 0)
        assert night.notices
        [kept] = night.notices.hooks("alice")
        assert kept.secrets == new[0].secrets
        assert "410" in kept.off

    def test_a_record_that_cannot_be_read_keeps_no_other_from_being_told(
        self, night: Night, receiver: Receiver
    ) -> None:
        made, _ = night.hook(receiver, Event.ENDED), night.hook(receiver, Event.ENDED)
        [key] = [key for key in night.store.list("hooks/") if made.id in key]
        night.store.put(key, b"{")
        night.rig.wipe()
        night.until(lambda: night.ledger.epoch() is not None)
        night.serve()
        night.start(items=1)
        night.finish()
        night.until(lambda: len(receiver.notices) == 1)

    def test_many_changes_make_no_long_header(self, night: Night, receiver: Receiver) -> None:
        made = night.hook(receiver)
        for _ in range(20):
            made = night.hooks.rotate(made)
        assert len(made.secrets) == 5
