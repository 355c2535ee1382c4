"""Objects by key: the same tests on a real S3 server and on a folder."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from director.errors import StoreError
from infra.servers import Running, free_port
from tasks.settings import Settings
from tasks.store import FolderStore, NotFound, S3Store, Store


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "folder":
        yield FolderStore(tmp_path / "objects")
    else:
        s3 = S3Store(request.getfixturevalue("s3_settings"))
        yield s3
        s3.close()


def test_what_is_put_can_be_got(store: Store) -> None:
    data = bytes(range(256)) * 1000
    store.put("images/aa.png", data)
    assert store.get("images/aa.png") == data
    store.put("images/aa.png", b"")
    assert store.get("images/aa.png") == b""


def test_what_is_missing_is_not_found(store: Store) -> None:
    for _ in range(2):  # the first call finds no bucket either
        with pytest.raises(NotFound, match=r"jobs/a/job\.json"):
            store.get("jobs/a/job.json")
    store.put("jobs/a/job.json", b"{}")
    with pytest.raises(NotFound):
        store.get("jobs/a")
    with pytest.raises(NotFound):
        store.get("jobs/a/job.json/deeper")
    assert store.exists("jobs/a/job.json")
    assert not store.exists("jobs/a/other.json")


def test_a_list_is_sorted_and_by_prefix(store: Store) -> None:
    assert store.list("live/") == []
    keys = ["jobs/b/steps/0010-aa.json", "jobs/b/steps/0009-ab.json", "jobs/b/job.json", "live/a", "live/b", "live-not"]
    for key in keys:
        store.put(key, b"1")
    assert store.list("jobs/b/steps/") == ["jobs/b/steps/0009-ab.json", "jobs/b/steps/0010-aa.json"]
    assert store.list("jobs/b/steps/0009") == ["jobs/b/steps/0009-ab.json"]
    assert store.list("live/") == ["live/a", "live/b"]
    assert store.list("") == sorted(keys)
    assert store.list("nothing/here/") == []


def test_a_list_starts_behind_a_key(store: Store) -> None:
    keys = [
        "jobs/b/attempts/0001-aa.json",
        "jobs/b/control/dead-aa.json",
        "jobs/b/job.json",
        "jobs/b/steps/0001-aa.json",
    ]
    for key in keys:
        store.put(key, b"1")
    assert store.list("jobs/b/", after="jobs/b/attempts0") == keys[1:]
    assert store.list("jobs/b/", after="jobs/b/job.json") == keys[3:]
    assert [item.key for item in store.items("jobs/b/", "jobs/b/steps/0001-aa.json")] == []


def test_items_tell_size_and_time(store: Store) -> None:
    store.put("live/a", b"123")
    store.put("live/b", b"")
    found = {item.key: item for item in store.items("live/")}
    assert {key: item.size for key, item in found.items()} == {"live/a": 3, "live/b": 0}
    assert all(abs(item.modified - time.time()) < 120 for item in found.values())
    assert list(store.items("nothing/")) == []


def test_a_list_is_complete_beyond_one_page(s3_running: Running, s3_settings: Settings) -> None:
    folder = s3_running.log.parent / "objects" / s3_settings.s3_bucket / "live"
    folder.mkdir(parents=True)
    names = [f"{i:04d}" for i in range(2_005)]  # a page has 1,000
    for name in names:
        (folder / name).touch()
    store = S3Store(s3_settings)
    assert store.list("live/") == [f"live/{name}" for name in names]
    store.close()


def test_deleting_twice_is_no_error(store: Store) -> None:
    store.put("live/a", b"1")
    for _ in range(2):
        store.delete("live/a")
    assert not store.exists("live/a")
    store.delete("never/there")


def test_a_key_can_lead_nowhere_else(store: Store) -> None:
    for key in ("", "/etc/passwd", "a//b", "a/../b", "..", "a/.hidden", "a\\b", "a b", "a\0b", "a/", "ä", "x" * 501):
        with pytest.raises(ValueError, match="can't be the key"):
            store.put(key, b"1")


def test_readers_never_see_half_an_object(store: Store) -> None:
    contents = [bytes([i]) * 200_000 for i in range(4)]
    store.put("blobs/a", contents[0])
    with ThreadPoolExecutor(4) as pool:
        writes = [pool.submit(store.put, "blobs/a", data) for data in contents * 3]
        seen = {store.get("blobs/a") for _ in range(20)}
    for write in writes:
        write.result()
    assert seen <= set(contents)


def test_s3_out_of_reach_is_no_missing_object() -> None:
    store = S3Store(
        Settings.model_validate(
            {"s3_endpoint": f"http://127.0.0.1:{free_port()}", "s3_access_key": "k", "s3_secret_key": "s"}
        )
    )
    calls = (lambda: store.get("a"), lambda: store.put("a", b"1"), lambda: store.exists("a"), lambda: store.list("a"))
    for call in calls:
        with pytest.raises(StoreError, match="up") as caught:
            call()
        assert not isinstance(caught.value, NotFound)
    store.close()


def test_a_refused_signature_is_no_missing_object(s3_settings: Settings) -> None:
    store = S3Store(s3_settings.model_copy(update={"s3_access_key": "somebody-else"}))
    with pytest.raises(StoreError) as caught:
        store.exists("a")
    assert not isinstance(caught.value, NotFound)
    store.close()


def test_a_folder_that_is_a_file_is_out_of_reach(tmp_path: Path) -> None:
    """Else a rebuild would take it for a store without jobs."""
    (tmp_path / "objects").write_text("")
    store = FolderStore(tmp_path / "objects")
    calls = (
        lambda: store.get("a/b"),
        lambda: store.put("a", b"1"),
        lambda: store.exists("a"),
        lambda: store.list("a/"),
    )
    for call in calls:
        with pytest.raises(StoreError) as caught:
            call()
        assert not isinstance(caught.value, NotFound)


def test_under_a_prefix_nothing_else_is_seen_or_touched(s3_settings: Settings) -> None:
    ours, all_of_it = S3Store(s3_settings.model_copy(update={"s3_prefix": "art/drawings/"})), S3Store(s3_settings)
    all_of_it.put("jobs/a/job.json", b"theirs")
    ours.put("jobs/a/job.json", b"ours")
    assert (ours.get("jobs/a/job.json"), ours.exists("jobs/b/job.json")) == (b"ours", False)
    assert ours.list("") == ["jobs/a/job.json"]
    assert [item.key for item in ours.items("jobs/")] == ["jobs/a/job.json"]
    assert all_of_it.list("") == ["art/drawings/jobs/a/job.json", "jobs/a/job.json"]
    ours.delete("jobs/a/job.json")
    assert all_of_it.list("") == ["jobs/a/job.json"]
    with pytest.raises(NotFound):
        ours.get("jobs/a/job.json")
    for store in (ours, all_of_it):
        store.close()
