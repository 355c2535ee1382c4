"""An upload of a manifest: what it stores, what it refuses, and how it goes on after a break."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from director.errors import StoreError
from tasks.batch import upload as uploads
from tasks.batch.shelf import Shelf
from tasks.batch.types import PART, Batch, Item
from tasks.batch.upload import Recognition, Refused, State, Upload, state_of
from tasks.store import Corrupt, FolderStore

ID = "4f2c1d0a-7b7e-5b3c-9a51-0c6d1f2e3a4b"
MINE = "ab" * 32
NOT_MINE = "cd" * 32
Opened = Callable[..., Upload]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(FolderStore(tmp_path))


@pytest.fixture
def opened(shelf: Shelf) -> Iterator[Opened]:
    """Opens uploads, which are closed at the end."""
    with ExitStack() as resources:
        yield lambda state=None: resources.enter_context(upload_to(shelf, state))


def upload_to(shelf: Shelf, state: State | None = None) -> Upload:
    return Upload(shelf, ID, lambda image: image == MINE, 20_000, state)


def manifest(lines: Iterable[Any], header: dict[str, Any] | None = None) -> bytes:
    sent = [{"batch": header}, *lines] if header is not None else lines
    return b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in sent)


def briefs(count: int, start: int = 0, **more: Any) -> list[Any]:
    return [{"custom_id": f"b{n}", "brief": f"A lamp with the number {n}", **more} for n in range(start, start + count)]


def sent(shelf: Shelf, data: bytes, chunk: int = 50_000) -> Batch:
    with upload_to(shelf) as upload:
        for start in range(0, len(data), chunk):
            upload.feed(data[start : start + chunk])
        return upload.finish("alice", 1.5).batch


def refused(shelf: Shelf, data: bytes) -> list[tuple[int, str, str]]:
    with pytest.raises(Refused) as caught:
        sent(shelf, data)
    return [(wrong.line, wrong.field, wrong.message) for wrong in caught.value.errors.told]


def stored(shelf: Shelf, batch: Batch) -> Iterator[tuple[int, Item, str]]:
    """Index, line and name of the combination of each item."""
    for index in range(batch.total):
        position = batch.at(index)
        yield index, shelf.item(batch.id, position), batch.combos[position.combo].name


def everything(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_lines_lie_in_parts_and_are_found_by_name(shelf: Shelf, tmp_path: Path) -> None:
    batch = sent(shelf, manifest(briefs(2 * PART + 5), {"title": "Night", "labels": ["a", "a"], "priority": 3}))
    assert (batch.title, batch.labels, batch.priority, batch.total) == ("Night", ("a",), 3, 2 * PART + 5)
    assert [(span.model, span.first, span.lines) for span in batch.spans] == [("flux-krea", 0, 2 * PART + 5)]
    assert sorted(path.name for path in tmp_path.glob("batches/*/items/000/*")) == [
        "000000.jsonl", "000001.jsonl", "000002.jsonl",
    ]  # fmt: skip
    assert [item.custom_id for _, item, _ in stored(shelf, batch)] == [f"b{n}" for n in range(2 * PART + 5)]
    assert shelf.row_of(batch, "b2001") == (0, 2001)
    assert shelf.row_of(batch, "nobody") is None
    assert shelf.find_batch(ID) is None  # who opens the batch stores it


def test_each_model_has_a_folder_of_its_own(shelf: Shelf) -> None:
    lines = [{"brief": f"b{n}", "settings": {"editor": f"m{n % 3}"}} for n in range(10)]
    batch = sent(shelf, manifest(lines, {"matrix": {"seed": [5, 6]}}))
    assert [(span.model, span.folder, span.first, span.lines, span.combos) for span in batch.spans] == [
        ("m0", 0, 0, 4, (0, 1)), ("m1", 1, 8, 3, (0, 1)), ("m2", 2, 14, 3, (0, 1)),
    ]  # fmt: skip
    found = [(item.line, name) for _, item, name in stored(shelf, batch)]
    assert found[:4] == [(2, "seed=5"), (2, "seed=6"), (5, "seed=5"), (5, "seed=6")]
    assert len(set(found)) == batch.total == 20


def test_a_matrix_of_editors_draws_one_folder_with_each(shelf: Shelf, tmp_path: Path) -> None:
    batch = sent(shelf, manifest(briefs(3), {"matrix": {"editor": ["a", "b"], "seed": [1, 2]}}))
    assert [(span.model, span.folder, span.first, span.combos) for span in batch.spans] == [
        ("a", 0, 0, (0, 1)), ("b", 0, 6, (2, 3)),
    ]  # fmt: skip
    found = [(item.custom_id, name) for _, item, name in stored(shelf, batch)]
    assert found[6:8] == [("b0", "editor=b,seed=1"), ("b0", "editor=b,seed=2")]
    assert len(set(found)) == batch.total == 12
    assert len(list(tmp_path.glob("batches/*/items/*/*"))) == 1


BAD: list[tuple[list[Any], list[tuple[int, str, str]]]] = [
    (
        [*briefs(2), {"custom_id": "b0", "brief": "again"}, {"custom_id": "b0", "brief": ""}],
        [(3, "custom_id", "is that of line 1, too"), (4, "brief.text", "the text of the brief is empty"),
         (4, "custom_id", "is that of line 1, too")],
    ),
    ([{"brief": "x"}, {"custom_id": "1", "brief": "y"}], [(2, "custom_id", "is that of line 1, too")]),
    (
        [{"brief": {"text": "x", "source": MINE}}, {"brief": {"text": "x", "source": NOT_MINE}}],
        [(2, "brief.source", "you have no picture with this hash")],
    ),
    ([], [(1, "body", "has no brief")]),
    ([b"\r\n" * 1_000_000], [(1_000_000, "body", "has no brief")]),
    ([{"batch": {"title": "x"}}], [(1, "body", "has no brief")]),
    ([b"x" * 10_000_000], [(1, "line", "has more than 262144 bytes")]),
    (
        [{"brief": "x", "settings": {"editor": f"m{n}"}} for n in range(66)],
        [(65, "settings.editor", "is one too many: a batch has at most 64 editors"),
         (66, "settings.editor", "is one too many: a batch has at most 64 editors")],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "errors"), BAD)
def test_of_a_bad_manifest_nothing_is_left(
    shelf: Shelf, tmp_path: Path, lines: list[Any], errors: list[tuple[int, str, str]]
) -> None:
    found = refused(shelf, manifest(lines))
    # Of one line the errors of its content come first: it is read before it is compared with others.
    assert sorted(found) == sorted(errors)
    assert everything(tmp_path) == {}


def test_an_error_behind_stored_parts_removes_them(shelf: Shelf, tmp_path: Path) -> None:
    assert len(refused(shelf, manifest([*briefs(7 * PART), b"{\n", *briefs(3 * PART, 7 * PART)]))) == 1
    assert everything(tmp_path) == {}


def test_too_many_items_are_told_once(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_ITEMS", 10)
    assert sent(shelf, manifest(briefs(5), {"matrix": {"seed": [1, 2]}})).total == 10
    [(line, field, message)] = refused(shelf, manifest(briefs(9), {"matrix": {"seed": [1, 2]}}))
    assert (line, field) == (7, "line")
    assert message == "is too many: 6 lines of 2 combinations are more than 10 items"


def test_what_was_received_is_where_the_next_upload_goes_on(shelf: Shelf, opened: Opened, tmp_path: Path) -> None:
    data = manifest(
        [{**line, "settings": {"editor": f"m{n % 3}"}} for n, line in enumerate(briefs(3500))], {"title": "Night"}
    )
    whole = sent(shelf, data)
    expected = everything(tmp_path)
    for path in tmp_path.rglob("*.json*"):
        path.unlink()
    state, pieces = None, 0
    for end in (10, 40_000, 170_123, len(data)):
        upload = opened(state)
        start = state.bytes if state else 0
        upload.feed(data[start:end])
        if end < len(data):
            upload.checkpoint()
        else:
            assert upload.finish("alice", 1.5).batch == whole
        state, pieces = state_of(shelf, ID), pieces + 1
    assert everything(tmp_path) == expected
    assert pieces == 4


def test_a_killed_upload_goes_on_at_its_last_checkpoint(shelf: Shelf, opened: Opened, tmp_path: Path) -> None:
    data = manifest(briefs(2 * uploads.CHECKPOINT_LINES))
    killed = opened()
    for start in range(0, 500_000, 10_000):
        killed.feed(data[start : start + 10_000])  # and never hears of its end
    state = state_of(shelf, ID)
    assert state
    assert uploads.CHECKPOINT_LINES <= state.lines < 2 * uploads.CHECKPOINT_LINES
    upload = opened(state)
    upload.feed(data[state.bytes :])
    batch = upload.finish("alice", 1.5).batch
    assert batch == sent(shelf, data)
    assert [item.custom_id for _, item, _ in stored(shelf, batch)] == [f"b{n}" for n in range(batch.total)]


def test_a_double_is_found_across_a_break(shelf: Shelf, opened: Opened) -> None:
    first = opened()
    first.feed(manifest(briefs(10)))
    upload = opened(first.checkpoint())
    upload.feed(manifest([{"custom_id": "b3", "brief": "x"}]))
    with pytest.raises(Refused):
        upload.finish("alice", 1.5)
    assert upload.errors.told[0].message == "is that of line 4, too"


def test_nothing_is_received_behind_an_error(shelf: Shelf, opened: Opened) -> None:
    upload = opened()
    upload.feed(manifest(briefs(10)))
    before = upload.checkpoint()
    upload.feed(manifest([b"{\n", *briefs(3 * uploads.CHECKPOINT_LINES, 10)]))
    assert upload.checkpoint() == before == state_of(shelf, ID)


def test_lost_lines_are_told(shelf: Shelf, opened: Opened, tmp_path: Path) -> None:
    upload = opened()
    upload.feed(manifest(briefs(PART + 10)))
    state = upload.checkpoint()
    part = tmp_path / "batches" / ID / "items" / "000" / "000000.jsonl"
    part.write_bytes(b"".join(part.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(Corrupt, match="lines of an upload are lost"):
        opened(state)
    part.unlink()
    with pytest.raises(StoreError):
        opened(state)


@pytest.mark.parametrize("stored", [b"", b"[]", b'{"bytes": "many"}', b'{"later": 1}'])
def test_a_note_that_cannot_be_read_is_none(shelf: Shelf, tmp_path: Path, stored: bytes) -> None:
    shelf.put_upload(ID, {})
    (tmp_path / "batches" / ID / "upload.json").write_bytes(stored)
    assert state_of(shelf, ID) is None


def test_warnings_are_counted_with_their_first_lines(shelf: Shelf, opened: Opened) -> None:
    upload = opened()
    upload.feed(manifest([{"brief": "Remove the car."}, {"brief": "A lamp"}] * 4))
    state = upload.checkpoint()
    again = opened(state)
    again.feed(manifest([{"brief": "Replace the sky."}] * 3))
    [warned] = again.finish("alice", 1.5).warned
    assert (warned.kind, warned.count, warned.lines) == ("no-source", 7, (1, 3, 5, 7, 9))
    assert "“Remove the car”" in warned.message


def test_pictures_are_asked_for_once(shelf: Shelf) -> None:
    asked: list[str] = []

    def owns(image: str) -> bool:
        asked.append(image)
        return True

    with Upload(shelf, ID, owns, 20_000) as upload:
        for _ in range(3):
            upload.feed(manifest([{"brief": {"text": "x", "source": image}} for image in (MINE, NOT_MINE, MINE)]))
        assert upload.finish("alice", 1.5).batch.total == 9
    assert sorted(asked) == [MINE, NOT_MINE]


def changes() -> dict[str, Callable[[bytes], bytes]]:
    return {
        "crlf": lambda data: data.replace(b"\n", b"\r\n"),
        "empty lines": lambda data: data.replace(b"\n", b"\n\n"),
        "byte order mark": lambda data: b"\xef\xbb\xbf" + data,
        "no newline at the end": lambda data: data.rstrip(),
    }


@pytest.mark.parametrize("change", changes().values(), ids=changes())
def test_a_batch_is_known_by_its_lines(shelf: Shelf, change: Callable[[bytes], bytes]) -> None:
    data = manifest(briefs(20), {"title": "Night"})
    batch = sent(shelf, data)
    again = Recognition(batch)
    again.feed(change(data))
    assert again.finish()
    changed = sent(shelf, change(data))
    assert changed.body_sha256 == batch.body_sha256
    assert [item.brief for _, item, _ in stored(shelf, changed)] == [item.brief for _, item, _ in stored(shelf, batch)]
    other = Recognition(batch)
    other.feed(data + manifest(briefs(1, 20)))
    assert not other.finish()
