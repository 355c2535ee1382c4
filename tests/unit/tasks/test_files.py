"""Files that are whole or not there, and what is kept in memory."""

from pathlib import Path

import pytest

from tasks.files import write_whole
from tasks.store.recent import Recent


def test_a_file_is_replaced_and_its_folder_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    for data in (b"old", b"new"):
        write_whole(path, data)
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="a"):
        write_whole(tmp_path / "a", b"new")
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_what_was_used_last_is_kept() -> None:
    recent = Recent[bytes](10, len)
    recent.put("a", b"1234")
    recent.put("b", b"1234")
    assert recent.get("a") == b"1234"
    recent.put("c", b"1234")
    assert [name for name in "abc" if recent.get(name)] == ["a", "c"]
    recent.put("large", b"x" * 11)
    assert [name for name in ("a", "c", "large") if recent.get(name)] == ["a", "c"]
