"""Bytes to lines, lines to items, and errors by line."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from director.strategies import STRATEGIES
from director.types import LoopSettings
from tasks.batch.manifest import MAX_TOLD, Checked, Line, LineReader, Reading, Wrong, chained, combos_of
from tasks.batch.types import MAX_LINE, Batch, Combo, Item, Span, merged_settings


def lines_of(data: bytes, *cuts: int) -> list[Line]:
    reader, found, start = LineReader(), list[Line](), 0
    for cut in (*sorted(cuts), len(data)):
        found += reader.feed(data[start:cut])
        start = cut
    found += reader.finish()
    assert reader.end == len(data)
    return found


def read(*lines: Any, header: dict[str, Any] | None = None) -> tuple[Reading, list[Checked]]:
    sent = [{"batch": header}, *lines] if header is not None else list(lines)
    reading, found = Reading(20_000), list[Checked]()
    for number, line in enumerate(sent, 1):
        data = line if isinstance(line, bytes) else json.dumps(line).encode()
        if checked := reading.read(Line(number, data)):
            found.append(checked)
    return reading, found


def items(found: list[Checked]) -> list[Item]:
    return [each.item for each in found if each.item]


@given(st.binary(max_size=60) | st.text("\r\n {a}", max_size=60).map(str.encode), st.lists(st.integers(0, 60)))
def test_lines_are_the_same_however_the_bytes_come(data: bytes, cuts: list[int]) -> None:
    whole = lines_of(data)
    assert lines_of(data, *(cut for cut in cuts if cut <= len(data))) == whole
    pieces = [piece.strip() for piece in data.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    assert whole == [Line(number, piece) for number, piece in enumerate(pieces, 1) if piece]


def test_a_byte_order_mark_carriage_returns_and_empty_lines_are_no_lines() -> None:
    assert lines_of(b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n{"b": 2}') == [Line(1, b'{"a": 1}'), Line(4, b'{"b": 2}')]


def test_of_a_huge_line_nothing_is_kept() -> None:
    reader = LineReader()
    for _ in range(100):
        assert list(reader.feed(b"x" * 100_000)) == []
        assert len(reader._rest) <= MAX_LINE  # pyright: ignore[reportPrivateUsage]
    assert list(reader.feed(b"\nok\n")) == [Line(1, b""), Line(2, b"ok")]
    assert reader.end == 10_000_004


def test_the_longest_line_is_read() -> None:
    [line] = lines_of(b"x" * MAX_LINE + b"\n")
    assert len(line.data) == MAX_LINE
    assert lines_of(b"x" * (MAX_LINE + 1) + b"\n") == [Line(1, b"")]


def test_a_million_empty_lines_are_none() -> None:
    reader = LineReader()
    assert [line for _ in range(1000) for line in reader.feed(b"\r\n" * 1000)] == []
    assert (reader.number, reader.end, reader.chain) == (1_000_000, 2_000_000, b"")


def test_the_chain_goes_on_anywhere_and_knows_lines_only() -> None:
    whole = LineReader()
    list(whole.feed(b'\xef\xbb\xbf{"a"}\r\n\n {"b"} \n{"c"}\n'))
    assert whole.chain == chained(chained(chained(b"", b'{"a"}'), b'{"b"}'), b'{"c"}')
    first = LineReader()
    list(first.feed(b'{"a"}\n{"b"}\n{"c'))
    second = LineReader(first.number, first.end, first.chain)
    assert list(second.feed(b'{"c"}\n')) == [Line(3, b'{"c"}')]
    assert second.chain == whole.chain


def test_a_line_is_a_brief_with_a_name() -> None:
    goals = [{"id": "g1", "text": "a lamp"}]
    brief = {"text": "A lamp", "title": "Lamp", "source": "ab" * 32, "goals": goals}
    line = {"custom_id": "böat 1/2", "brief": brief, "settings": {"rounds": 2}, "seed": 7, "labels": ["x"]}
    reading, found = read({"brief": "A chair"}, line)
    assert not reading.errors
    plain, full = items(found)
    assert (plain.custom_id, plain.line, plain.brief.text) == ("1", 1, "A chair")
    assert (full.custom_id, full.line, full.settings, full.seed, full.labels) == (
        "böat 1/2", 2, {"rounds": 2}, 7, ("x",),
    )  # fmt: skip
    assert (full.brief.title, full.brief.source, full.brief.goals[0].text) == ("Lamp", "ab" * 32, "a lamp")


def test_the_model_of_a_line_is_the_last_that_names_one() -> None:
    _, found = read(
        {"brief": "a"}, {"brief": "b", "settings": {"editor": "mine"}}, header={"settings": {"editor": "x"}}
    )
    assert [each.model for each in found] == ["x", "mine"]
    assert [each.model for each in read({"brief": "a"})[1]] == [LoopSettings().editor]
    reading, found = read({"brief": "a", "settings": {"editor": "mine"}}, header={"matrix": {"editor": ["a", "b"]}})
    assert [each.model for each in found] == [""]
    assert reading.editors == {"a": (0,), "b": (1,)}


def test_a_matrix_is_every_choice() -> None:
    combos = combos_of({"seed": (1, 2), "editor": ("a", "b"), "masks": (True,)})
    assert [combo.name for combo in combos] == [
        "seed=1,editor=a,masks=true", "seed=1,editor=b,masks=true",
        "seed=2,editor=a,masks=true", "seed=2,editor=b,masks=true",
    ]  # fmt: skip
    assert combos[1] == Combo(name=combos[1].name, settings={"editor": "b", "masks": True}, seed=1)
    assert combos_of({}) == (Combo(),)


def test_settings_of_a_batch_a_line_and_the_matrix_stand_over_a_strategy() -> None:
    header = {"settings": {"strategy": "one-shot", "rounds": 3}, "matrix": {"strategy": ["ours", "refinement"]}}
    reading, found = read({"brief": "a", "settings": {"width": 256}}, header=header)
    [item] = items(found)
    assert not reading.errors
    batch = Batch(
        id="4f2c1d0a-7b7e-5b3c-9a51-0c6d1f2e3a4b", owner="a", settings=reading.header.settings,
        combos=reading.combos, spans=(Span(model="x", folder=0, first=0, lines=1, combos=(0, 1)),), created=0,
    )  # fmt: skip
    ours, refinement = (merged_settings(batch, item, combo) for combo in reading.combos)
    assert ours == LoopSettings(rounds=3, width=256)
    assert refinement == LoopSettings.model_validate({**STRATEGIES["refinement"], "rounds": 3, "width": 256})


WRONG: list[tuple[Any, str, str, str]] = [
    (b'{"brief": "x"', "line", "is not valid JSON", "send one JSON object"),
    (b'{"brief": "\xff"}', "line", "is not valid UTF-8", "send UTF-8"),
    (b'{"brief": "x", "seed": NaN}', "line", "is not valid JSON", ""),
    (b"", "line", f"has more than {MAX_LINE} bytes", "shorten it"),
    ([], "line", "must be an object", ""),
    ("A brief", "line", "must be an object", ""),
    ({}, "brief", "is required", ""),
    ({"brief": " "}, "brief.text", "the text of the brief is empty", "write what"),
    ({"brief": {"text": "x", "goal": []}}, "brief.goal", "there is no such field", "goals"),
    ({"brief": "é" * 10_001}, "brief.text", "the text of the brief has 20002 bytes", "shorten it"),
    ({"brief": "x", "sead": 1}, "sead", "there is no such field", "did you mean seed?"),
    ({"brief": "x", "priority": 3}, "priority", "there is no such field", ""),
    ({"brief": "x", "custom_id": 7}, "custom_id", "must be a string", ""),
    ({"brief": "x", "custom_id": ""}, "custom_id", "must have 1 to 128 characters, on one line", ""),
    ({"brief": "x", "custom_id": "a\nb"}, "custom_id", "must have 1 to 128 characters, on one line", ""),
    ({"brief": "x", "custom_id": "a" * 129}, "custom_id", "must have 1 to 128 characters, on one line", ""),
    ({"brief": "x", "settings": {"candidats": 2}}, "settings.candidats", "there is no", "did you mean candidates"),
    ({"brief": "x", "settings": {"rounds": 0}}, "settings.rounds", "must be at least 1", ""),
    ({"brief": "x", "settings": {"judge": False}}, "settings.candidates", "candidates must be 1", "nobody"),
    ({"brief": "x", "settings": []}, "settings", "must be an object", ""),
    ({"brief": "x", "seed": -1}, "seed", "must be at least 0", ""),
    ({"brief": "x", "labels": ["a b"]}, "labels.0", "must be one word", ""),
    ({"batch": {}}, "batch", "stands behind other lines", "only the first line"),
]


@pytest.mark.parametrize(("line", "field", "message", "fix"), WRONG)
def test_a_bad_line_names_line_field_and_fix(line: Any, field: str, message: str, fix: str) -> None:
    reading, found = read({"brief": "good"}, line, {"brief": "good"})
    [wrong] = reading.errors.told
    assert (wrong.line, wrong.field) == (2, field), wrong
    assert message in wrong.message
    assert fix in wrong.fix
    assert [item.line for item in items(found)] == [1, 3]


HEADERS: list[tuple[Any, str, str, str]] = [
    ([], "batch", "must be an object", ""),
    ({"titel": "x"}, "batch.titel", "there is no such field", "title"),
    ({"priority": 10}, "batch.priority", "must be at most 9", ""),
    ({"max_in_flight": 0}, "batch.max_in_flight", "must be at least 1", ""),
    ({"settings": {"roundz": 2}}, "batch.settings.roundz", "there is no such field", "rounds"),
    ({"settings": {"rounds": 99}}, "batch.settings.rounds", "must be at most 20", ""),
    ({"matrix": {"seed": []}}, "batch.matrix.seed", "must not be empty", ""),
    ({"matrix": {"seed": [1, 1]}}, "batch.matrix.seed", "has 1 twice", "once"),
    ({"matrix": {"seed": [-1]}}, "batch.matrix.seed", "must be at least 0", ""),
    ({"matrix": {"seed": ["x"]}}, "batch.matrix.seed", "must be a whole number", ""),
    ({"matrix": {"seed": [[1]]}}, "batch.matrix.seed", "must be a list of words and numbers", ""),
    ({"matrix": {"sead": [1, 2]}}, "batch.matrix.sead", "there is no such field (with sead=1)", ""),
    ({"matrix": {"rounds": [1, 99]}}, "batch.matrix.rounds", "must be at most 20 (with rounds=99)", ""),
    ({"matrix": {"seed": list(range(200)), "rounds": list(range(1, 61))}}, "batch.matrix", "makes 12000 of each", ""),
    ({"matrix": {"editor": [f"m{n}" for n in range(65)]}}, "batch.matrix.editor", "at most 64 editors", ""),
]


@pytest.mark.parametrize(("header", "field", "message", "fix"), HEADERS)
def test_a_bad_header_names_its_field_and_blames_no_other_line(header: Any, field: str, message: str, fix: str) -> None:
    reading, _ = read({"brief": "x", "settings": {"judge": False}}, header=header)
    [wrong] = reading.errors.told
    assert (wrong.line, wrong.field) == (1, field), wrong
    assert message in wrong.message
    assert fix in wrong.fix


def test_a_header_has_its_line_for_itself() -> None:
    reading, _ = read({"batch": {}, "brief": "x"})
    assert reading.errors.told == [Wrong(1, "", "brief", "stands beside batch", "give it a line of its own")]


def test_settings_that_only_the_matrix_makes_usable_are_fine() -> None:
    reading, found = read({"brief": "x"}, header={"settings": {"judge": False}, "matrix": {"candidates": [1]}})
    assert not reading.errors
    assert len(items(found)) == 1


def test_a_line_is_held_against_every_combination() -> None:
    reading, _ = read({"brief": "x", "settings": {"judge": False}}, header={"matrix": {"candidates": [1, 2]}})
    [wrong] = reading.errors.told
    assert wrong.field == "settings.candidates"
    assert wrong.message.endswith("(with candidates=2)")


def test_labels_of_batch_and_line_share_one_limit() -> None:
    header = {"labels": [f"b{n}" for n in range(10)]}
    reading, _ = read({"brief": "x", "labels": [f"l{n}" for n in range(7)]}, header=header)
    assert [wrong.field for wrong in reading.errors.told] == ["labels"]
    assert not read({"brief": "x", "labels": [f"b{n}" for n in range(10)]}, header=header)[0].errors


def test_all_errors_are_counted_and_the_first_are_told() -> None:
    reading, _ = read(*({"brief": "", "seed": -1} for _ in range(2 * MAX_TOLD)))
    assert (reading.errors.count, reading.errors.lines, len(reading.errors.told)) == (400, 200, MAX_TOLD)
    assert [wrong.line for wrong in reading.errors.told[:4]] == [1, 1, 2, 2]


def test_a_bad_line_still_has_its_name() -> None:
    reading, found = read({"custom_id": "a", "brief": ""}, {"brief": 7}, {"custom_id": 7, "brief": "x"})
    assert [(each.custom_id, each.item) for each in found] == [("a", None), ("2", None), ("", None)]
    assert [wrong.custom_id for wrong in reading.errors.told] == ["a", "2", ""]
