"""How much room is left: what is asked, what is said of it, and what nobody can know."""

import logging
import math
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from infra.servers import redis_server
from tasks.batch.night import bytes_needed, night_of
from tasks.ledger.ledger import connect
from tasks.metrics import ReconcilerMeter
from tasks.nightly import note
from tasks.retention import Swept
from tasks.settings import Settings
from tasks.space import Look, Space, SpaceWatch, look
from tasks.store import FolderStore
from tests.support.api import png
from tests.support.batches import BatchRig
from tests.support.ledgers import in_process

GB = 10**9
DISK = Space("disk /srv/s3", 12 * GB, 100 * GB)
REDIS = Space("redis", GB, 4 * GB)


class TestWhatRunsOut:
    def test_a_tenth_should_be_free(self) -> None:
        found = Look([DISK, REDIS], 0, ())
        assert found.low(0.1) == {}
        assert found.low(0.2) == {"disk /srv/s3": "disk /srv/s3: 12 GB of 100 GB free"}

    def test_tonight_needs_more_than_is_free(self) -> None:
        said = "disk /srv/s3: tonight needs 38 GB, 12 GB are free"
        assert Look([DISK, REDIS], 38 * GB, ()).low(0.1) == {"disk /srv/s3": said}, "pictures don't lie in Redis"
        assert Look([DISK], None, ()).low(0.1) == {}

    def test_a_count_says_how_old_it_is(self) -> None:
        assert str(Space("bucket", 5 * GB, 10 * GB, 3600.0)) == "bucket: 5 GB of 10 GB free, counted 01 Jan 01:00 UTC"


class TestTheLog:
    def test_each_is_told_once_and_so_is_the_end(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "tasks.space")
        looks = [Look([DISK], need, ()) for need in (38 * GB, 40 * GB, 0, 0)]
        registry = CollectorRegistry()
        watch = SpaceWatch(lambda: looks.pop(0), 0.1, ReconcilerMeter(registry).looked, every_s=0)
        for _ in range(4):
            watch.look_at_space()
        said = [record.getMessage() for record in caplog.records]
        assert said == [
            "space runs out: disk /srv/s3: tonight needs 38 GB, 12 GB are free",
            "there is enough space again",
        ]
        assert registry.get_sample_value("visiondirector_space_free_bytes", {"of": "disk /srv/s3"}) == 12 * GB
        assert registry.get_sample_value("visiondirector_space_needed_bytes") == 0

    def test_what_nobody_knows_is_no_number(self) -> None:
        registry = CollectorRegistry()
        ReconcilerMeter(registry).looked(Look([], None, ()))
        needed = registry.get_sample_value("visiondirector_space_needed_bytes")
        assert needed is not None and math.isnan(needed)


def test_a_real_disk_a_real_redis_and_a_quota(tmp_path: Path) -> None:
    rig = in_process()
    rig.open()
    store = FolderStore(tmp_path / "objects")
    with redis_server(tmp_path / "redis") as server:
        about = {
            "ledger_url": server.url,
            "broker_url": f"{server.url.rpartition('/')[0]}/1",
            "disks": [tmp_path, tmp_path / "none"],
        }
        settings = Settings.model_validate({**about, "s3_quota_gb": 10})
        before = look(settings, rig.ledger, store)
        assert [space.of for space in before.spaces] == [f"disk {tmp_path}"]
        assert 0 < before.spaces[0].free <= before.spaces[0].total
        disk, redis, bucket = before.unknown
        assert disk == f"disk {tmp_path}/none: No such file or directory"
        assert redis.endswith("has no maxmemory: nobody knows when it is full")
        assert "gc" in bucket
        with connect(server.url) as client:
            client.config_set("maxmemory", 50_000_000)
        note(store, 100.0, Swept(stored=4 * GB))
        after = {space.of: space for space in look(settings, rig.ledger, store).spaces}
        assert after["redis"].total == 50_000_000
        assert 0 < after["redis"].free < 50_000_000
        assert after["bucket"] == Space("bucket", 6 * GB, 10 * GB, 100.0)


def test_what_tonight_needs_is_reckoned_from_what_was_stored(tmp_path: Path) -> None:
    night = BatchRig(in_process(), tmp_path / "objects")
    night.passes()
    night.serve()

    def needed() -> int | None:
        return bytes_needed(night_of(night.ledger), night.store)

    assert needed() == 0
    batch = night.start(items=10)
    assert needed() is None, "none has ended yet"
    night.images.put(png())
    night.passes()
    night.work(20)
    night.passes(2)
    counts = night.standing(batch).counts
    assert 0 < counts.done < 10
    sizes = [item.size for item in night.store.items("images/")]
    each = sum(sizes) / len(sizes) + 50_000
    assert needed() == round((10 - counts.done) * each)
    night.finish()
    assert needed() == 0


def test_the_night_of_an_empty_ledger() -> None:
    rig = in_process()
    rig.open()
    night = night_of(rig.ledger)
    assert (night.left, night.budget, night.untold, set(night.batches.values())) == (0, None, 0, {0})
