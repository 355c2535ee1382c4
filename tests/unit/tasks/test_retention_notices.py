"""The sweep and hooks: what was told or given up goes when it is old; what was not delivered stays."""

import uuid
from pathlib import Path

import pytest

from tasks.batch.shelf import Shelf
from tasks.notices.shelf import NoticeShelf
from tasks.notices.types import Delivered, Event, Hook, Notice, notice_of
from tasks.retention import Sweeper
from tests.unit.tasks.test_retention import DAY, Place

BATCH = str(uuid.UUID(int=7))
HOOK = Hook(id="a" * 16, owner="alice", url="https://example.org", created=1.0)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path / "objects")
    made.store.put(f"batches/{BATCH}/batch.json", b"{}")
    NoticeShelf(made.store).put_hook(HOOK)
    return made


def notice(mark: str = "1", subject: str = BATCH) -> Notice:
    return notice_of("alice", subject, Event.ENDED, mark, 1.0, {"id": subject, "title": "night"})


def settled(place: Place, sent: Notice, error: str = "", hook: str = HOOK.id) -> None:
    shelf, subject = NoticeShelf(place.store), str(sent.told["id"])
    assert shelf.add(hook, sent)
    told = Delivered(notice=sent.id, subject=subject, type=sent.type, at=1.0, tries=1, error=error)
    shelf.settle(hook, told, sent)


def sweep(place: Place, keep_days: float = 30, dry: bool = False) -> int:
    return Sweeper(place.store, place.archive, place.ledger, 0, DAY, keep_days * DAY).sweep(dry).notices


def test_what_was_told_or_given_up_goes_when_it_is_old(place: Place) -> None:
    settled(place, notice("told"))
    settled(place, notice("dead"), error="answered 500")
    place.age(29)
    assert sweep(place) == 0
    place.age(31)
    assert sweep(place, dry=True) == 2
    assert len(place.keys("notices-")) == 2
    assert sweep(place) == 2
    assert place.keys("notices") == []
    assert NoticeShelf(place.store).hooks() == [HOOK]


def test_what_was_not_delivered_stays_however_old_it_is(place: Place) -> None:
    NoticeShelf(place.store).add(HOOK.id, notice())
    place.age(4000)
    place.store.delete(f"batches/{BATCH}/batch.json")  # and whatever became of its batch
    assert sweep(place) == 0
    assert list(NoticeShelf(place.store).pending()) == [(HOOK.id, notice().id)]


def test_what_was_told_of_a_live_batch_stays(place: Place) -> None:
    """After a wipe it would be told again."""
    Shelf(place.store).mark_live(BATCH)
    settled(place, notice("started"))
    place.age(400)
    assert sweep(place) == 0
    assert not NoticeShelf(place.store).add(HOOK.id, notice("started"))
    Shelf(place.store).unmark_live(BATCH)
    assert sweep(place) == 1


def test_what_was_given_up_goes_with_its_batch(place: Place) -> None:
    settled(place, notice(), error="answered 500")
    place.age(2)
    assert sweep(place, keep_days=0) == 0
    place.store.delete(f"batches/{BATCH}/batch.json")
    assert sweep(place, keep_days=0) == 1
    assert place.keys("notices") == []


def test_what_is_left_of_a_hook_that_was_removed_goes(place: Place) -> None:
    NoticeShelf(place.store).add("b" * 16, notice())
    settled(place, notice("2"), hook="b" * 16)
    assert sweep(place) == 0, "the hook may be new"
    place.age(2)
    assert sweep(place) == 2


def test_a_record_that_cannot_be_read_goes_when_it_is_old(place: Place) -> None:
    place.store.put(f"notices-dead/{HOOK.id}/{notice().id}.json", b"{")
    place.age(2)
    assert sweep(place) == 0
    place.age(31)
    assert sweep(place) == 1


def test_for_ever_is_for_ever_and_what_is_not_ours_is_left(place: Place) -> None:
    settled(place, notice("told"))
    place.store.put("notices-told/readme.txt", b"1")
    place.age(4000)
    swept = Sweeper(place.store, place.archive, place.ledger, 0, DAY).sweep()
    assert (swept.notices, swept.foreign) == (0, 1)
