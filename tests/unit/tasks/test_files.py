"""Files that are whole or not there, and what is kept in memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.files import file_stem, own_part, write_whole
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


def test_what_killed_processes_left_goes_and_nothing_else(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = tmp_path / f".results.csv.{ended.pid}.part"
    stay = [f".results.csv.{os.getppid()}.part", f".config.{ended.pid}", "a.1.part", ".a.part", "results.csv"]
    for path in (left, *(tmp_path / name for name in stay)):
        path.write_text("…")
    part = own_part(tmp_path / "results.csv")
    assert part == tmp_path / f".results.csv.{os.getpid()}.part"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(stay)


def test_names_that_a_disk_may_take_for_one_get_files_of_their_own() -> None:
    names = ["item", "Item", "ITEM", "\u00e9", "e\u0301", "\u00c9", "a b"]
    stems = [file_stem(name, alike=True) for name in names]
    assert len({stem.casefold() for stem in stems}) == len(names)
    assert (stems[0], stems[3], stems[6]) == ("item", "\u00e9", "a b"), "one of each kind keeps its name"
    assert [file_stem(stem) for stem in stems] == stems, "a client may ask again"
