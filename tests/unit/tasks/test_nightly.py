"""The nightly gc: when it runs, that one of several does it, and that it takes nothing that a night still needs."""

import json
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from director.errors import StoreError
from tasks.nightly import AGAIN_S, NOTE, NightlySweep, noted
from tasks.retention import Sweeper, Swept
from tests.support.api import png
from tests.support.batches import BatchRig
from tests.support.ledgers import in_process
from tests.unit.tasks.test_retention import Place

HOUR, DAY = 3600.0, 86_400.0
EVENING = datetime(2026, 11, 28, 19, tzinfo=UTC).timestamp()


class Clock:
    now = EVENING

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "objects")


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Nights:
    """Reconcilers that share storage and ledger; `sweeps` are theirs, by when they began."""

    def __init__(self, place: Place, clock: Clock) -> None:
        self.place, self.clock, self.sweeps, self.told = place, clock, list[float](), list[Swept | None]()

    def another(self, sweep: Callable[[], Swept] | None = None, at: str = "04:30 Europe/Zurich") -> NightlySweep:
        def noting() -> Swept:
            self.sweeps.append(self.clock())
            return (sweep or self.place.sweep)()

        place = self.place
        return NightlySweep(at, noting, place.store, place.ledger, self.told.append, self.clock)

    def passes(self, *reconcilers: NightlySweep, hours: float) -> None:
        """Every ten minutes one of each."""
        for _ in range(round(6 * hours)):
            for reconciler in reconcilers:
                reconciler.nightly_gc()
                reconciler.wait()
            self.clock.now += 600


@pytest.fixture
def nights(place: Place, clock: Clock) -> Nights:
    return Nights(place, clock)


def hours_of(nights: Nights) -> list[str]:
    return [f"{datetime.fromtimestamp(at, UTC):%d %H:%M}" for at in nights.sweeps]


def test_one_of_several_sweeps_once_a_night(nights: Nights) -> None:
    one, other = nights.another(), nights.another()
    nights.passes(one, other, hours=60)
    assert hours_of(nights) == ["29 03:30", "30 03:30", "01 03:30"]


def test_what_was_missed_is_made_up_for_and_a_restart_does_not_repeat_it(nights: Nights) -> None:
    nights.passes(nights.another(), hours=12)
    nights.passes(nights.another(), hours=6)
    nights.clock.now += 2 * DAY  # nobody runs
    nights.passes(nights.another(), hours=2)
    assert hours_of(nights) == ["29 03:30", "01 13:00"]


def test_every_so_often_whoever_of_several_runs(nights: Nights) -> None:
    one, other = (nights.another(at="every 6h") for _ in range(2))
    nights.passes(one, other, hours=13)
    nights.passes(nights.another(at="every 6h"), hours=7)
    assert hours_of(nights) == ["29 01:00", "29 07:00", "29 13:00"]


def test_the_first_one_waits_for_its_time(nights: Nights) -> None:
    nights.passes(nights.another(), hours=8)
    assert nights.sweeps == []


def test_it_is_told_and_noted(nights: Nights, place: Place) -> None:
    size = len(place.store.get(f"images/{place.images.put(png())}.png"))
    place.age(400)
    place.images.put(png(color="blue"))
    nights.passes(nights.another(), hours=10)
    told = nights.told[0]
    assert told and (told.images, told.bytes) == (1, size)
    assert told.stored == len(place.store.get(place.keys("images/")[0])), "what stays is counted"
    note = noted(place.store)
    assert (note["images"], note["stored"], note["began"]) == (1, told.stored, nights.sweeps[0])


def test_one_that_breaks_off_is_tried_again_soon(nights: Nights, place: Place) -> None:
    def away() -> Swept:
        raise StoreError("away")

    night = nights.another(away)
    nights.passes(night, hours=9)
    assert nights.sweeps[1] - nights.sweeps[0] == AGAIN_S
    assert set(nights.told) == {None}
    assert noted(place.store) == {}


def test_nobody_else_begins_while_one_sweeps(nights: Nights) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> Swept:
        begun.set()
        assert go_on.wait(60)
        return Swept()

    one, other = nights.another(slow), nights.another()
    nights.passes(one, other, hours=8)
    nights.clock.now += HOUR
    one.nightly_gc()
    assert begun.wait(60)
    other.nightly_gc()
    one.nightly_gc()  # holds the lock on
    other.wait()
    go_on.set()
    one.wait()
    other.nightly_gc()
    other.wait()
    assert len(nights.sweeps) == 1


def test_after_a_wipe_storage_says_that_it_is_done(nights: Nights, place: Place) -> None:
    nights.passes(nights.another(), hours=9)
    place.rig.wipe()
    place.rig.open()
    nights.passes(nights.another(), hours=3)
    assert len(nights.sweeps) == 1


@pytest.mark.parametrize("note", [b"", b"[]", b'{"began": "soon"}'])
def test_a_note_that_cannot_be_read_is_none(place: Place, note: bytes) -> None:
    place.store.put(NOTE, note)
    assert noted(place.store) == {}


def test_it_takes_nothing_that_a_batch_still_needs(tmp_path: Path) -> None:
    """A sweep after each few steps, as if all that is stored were old; then the batch is brought to its end."""
    night = BatchRig(in_process(), tmp_path / "objects")
    assert night.reconciler.once()
    night.serve()
    batch = night.start(items=6)
    night.outcomes["t1"] = {"fails": True}
    removed = 0
    while any(night.standing(batch).counts.model_dump(include={"waiting", "running"}).values()):
        night.passes()
        night.work(3)
        night.rig.advance(500)  # what failed waits a second or two before its next try
        age(night.folder, 100)
        swept = Sweeper(night.store, night.archive, night.ledger, 30 * DAY, DAY, 30 * DAY).sweep()
        removed += len(swept.jobs) + len(swept.batches)
        assert swept.images == 0
    night.finish()
    counts = night.standing(batch).counts
    assert (removed, counts.done, counts.failed) == (0, 5, 1)
    assert all(night.images.get(result.image) for result in night.results(batch).values() if result.image)
    night.outcomes.clear()
    night.batches.order(batch.id, "retry", what=("failed",))
    night.finish()
    assert night.standing(batch).counts.done == 6


def age(folder: Path, days: float) -> None:
    then = time.time() - days * DAY
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def test_the_note_is_plain_json(nights: Nights, place: Place) -> None:
    nights.passes(nights.another(), hours=9)
    assert json.loads(place.store.get(NOTE))["jobs"] == 0
