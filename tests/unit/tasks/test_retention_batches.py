"""The sweep and batches: a batch goes as a whole, and what its items and results name stays until then."""

import uuid
from pathlib import Path

import pytest

from director.types import Brief
from tasks.batch.shelf import Shelf
from tasks.batch.types import Item, ItemStatus, Result
from tasks.jobs import Job
from tasks.jobs import Place as PlaceInBatch
from tests.support.api import png
from tests.unit.tasks.test_retention import Place

BATCH = str(uuid.UUID(int=7))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "objects")


def batch(place: Place, source: str = "", image: str = "", complete: bool = True) -> Shelf:
    """What storage holds of a batch of one item that starts from `source` and ended with `image`."""
    shelf = Shelf(place.store)
    shelf.put_part(BATCH, 0, 0, [Item(custom_id="a", line=1, brief=Brief(text="a lamp", source=source or None))])
    if image:
        told = Result(
            batch=BATCH, index=0, take=0, generation=0, custom_id="a", status=ItemStatus.DONE, image=image, ended=5.0
        )
        shelf.put_results(BATCH, "aa", [told])
    if complete:
        place.store.put(f"batches/{BATCH}/batch.json", b"{}")
    return shelf


def child(place: Place, image: str = "") -> Job:
    job = place.ended("child", image)
    job = job.model_copy(update={"batch": PlaceInBatch(batch=BATCH, index=0, custom_id="a")})
    place.archive.save_job(job)
    return job


def test_what_waiting_items_name_stays(place: Place) -> None:
    source, unused = place.images.put(png(color="red")), place.images.put(png(color="blue"))
    batch(place, source, complete=False)
    place.age(5)
    place.age(0, "batches/**/*")  # the upload goes on
    swept = place.sweep(keep_days=1)
    assert (swept.images, swept.batches) == (1, {})
    assert place.images.get(source)
    assert place.keys("images/") == [f"images/{source}.png"] != [f"images/{unused}.png"]


def test_children_and_pictures_stay_while_their_batch_does(place: Place) -> None:
    image = place.images.put(png())
    shelf = batch(place, image=image)
    shelf.mark_live(BATCH)
    job = child(place, image)
    place.age(100)
    swept = place.sweep(keep_days=10)
    assert (swept.jobs, swept.batches, swept.images) == ({}, {}, 0)
    place.archive.remove(job.id)
    place.age(100)
    assert place.sweep(keep_days=10).images == 0  # the result names it


def test_a_batch_goes_as_a_whole(place: Place) -> None:
    image = place.images.put(png())
    batch(place, image=image)
    job = child(place, image)
    place.age(9)
    assert place.sweep(keep_days=10).batches == {}
    place.age(11)
    assert place.sweep(keep_days=10, dry=True).batches == {BATCH: "ended 11 days ago"}
    swept = place.sweep(keep_days=10)
    assert (swept.batches, list(swept.jobs), swept.images) == ({BATCH: "ended 11 days ago"}, [job.id], 1)
    assert place.keys() == []


def test_a_batch_that_something_was_ordered_of_stays(place: Place) -> None:
    batch(place)
    place.age(11)
    place.store.put(f"batches/{BATCH}/control/00000001-retry.json", b"{}")
    assert place.sweep(keep_days=10).batches == {}


def test_batches_are_kept_for_ever_unless_told(place: Place) -> None:
    batch(place)
    place.age(1000)
    assert place.sweep().batches == {}


def test_the_rest_of_a_broken_upload_goes(place: Place) -> None:
    batch(place, complete=False)
    place.age(0.5)
    assert place.sweep().batches == {}
    place.age(2)
    assert place.sweep().batches == {BATCH: "its upload broke off"}
    assert place.keys() == []


def test_lists_of_ended_jobs_forget_what_is_gone(place: Place) -> None:
    job = place.ended("old")
    place.enter(job)
    place.archive.ended.add(place.ledger.unlisted())
    place.ledger.drop(job.id)
    place.age(11)
    assert list(place.sweep(keep_days=10).jobs) == [job.id]
    assert place.keys() == []
