"""Folders, CSV and JSONL files as the entries of a batch: what is read, and every mistake by file and line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from api.cli.batch.entries import Complaint, Entry, Names, Place, Places
from api.cli.batch.manifest import Manifest
from api.cli.batch.submit import matrix
from director.errors import BriefError

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
HASH = "ab" * 32


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(*names: str) -> list[Entry | Complaint]:
    return list(Manifest([Path(name) for name in names]).entries())


def lines(*names: str) -> list[dict[str, Any]]:
    found = read(*names)
    assert all(isinstance(each, Entry) for each in found), found
    return [dict(each.line) for each in found if isinstance(each, Entry)]


def complaints(*names: str) -> list[str]:
    return [str(each) for each in read(*names) if isinstance(each, Complaint)]


def brief(custom_id: str, text: str, **more: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "brief": {"text": text}, **more}


# --- folders ------------------------------------------------------------------------------------


def test_a_folder_of_briefs_with_the_pictures_beside_them() -> None:
    folder = Path("briefs")
    folder.mkdir()
    (folder / "b.md").write_text("Make the sky red")
    (folder / "b.PNG").write_bytes(PNG)
    (folder / "a.txt").write_text("\ufeffA lamp")
    (folder / "c.json").write_text('{"prompt": "A desk", "category": "office"}')
    (folder / "alone.jpg").write_bytes(b"\xff\xd8\xff" + PNG)
    (folder / ".hidden.txt").write_text("no")
    found = [each for each in read("briefs") if isinstance(each, Entry)]
    assert [each.line for each in found] == [
        {"custom_id": "a", "brief": {"text": "A lamp", "title": "a"}},
        {"custom_id": "b", "brief": {"text": "Make the sky red", "title": "b"}},
        {"custom_id": "c", "brief": {"text": "A desk", "title": "office"}},
    ]
    assert [each.picture for each in found] == [None, folder / "b.PNG", None]
    assert lines("briefs/a.txt") == [{"custom_id": "a", "brief": {"text": "A lamp", "title": "a"}}]


def test_what_is_wrong_in_a_folder_is_named_by_file() -> None:
    folder = Path("briefs")
    folder.mkdir()
    for name, data in {
        "a.txt": b" ", "b.txt": b"\xff\xfeA\0", "c.txt": b"A lamp", "c.png": b"text", "d.txt": b"A", "d.png": PNG,
        "d.jpg": PNG, "e.json": b'{"goals": []}', "f.txt": b"x" * 20_001, "g.txt": b"A\0 lamp",
    }.items():  # fmt: skip
        (folder / name).write_bytes(data)
    os.mkfifo(folder / "h.txt")
    (folder / "i.txt").symlink_to("nowhere")
    (folder / os.fsdecode(b"j\xff.txt")).write_bytes(b"A lamp")
    (folder / "k\n.txt").write_bytes(b"A lamp")
    assert complaints("briefs") == [
        "briefs/a.txt: it is empty (write what the picture must show)",
        "briefs/b.txt: it is UTF-16 text, no brief (save it as plain text, in UTF-8)",
        "briefs/c.txt: 'c.png' is no picture (name a PNG, JPEG or WebP)",
        "briefs/d.txt: d.jpg and d.png are both beside it (leave one, which it starts from)",
        'briefs/e.json: the JSON has no prompt (write {"prompt": "what the picture must show"})',
        "briefs/f.txt: brief: the text of the brief has 20001 bytes; the most is 20000 (shorten it)",
        "briefs/g.txt: it holds zero bytes, so it is no text (save it as plain text, in UTF-8)",
        "briefs/h.txt: it is no file, or a link to none (take it out of the folder)",
        "briefs/i.txt: it is no file, or a link to none (take it out of the folder)",
        "briefs/j\udcff.txt: its name is not UTF-8 (rename it)",
        "briefs/k\n.txt: the custom_id must have 1 to 128 characters, and no control characters "
        "(name it, or its file, otherwise)",
    ]


def test_a_folder_without_briefs_and_a_file_that_is_not_there() -> None:
    Path("empty").mkdir()
    Path("empty", "list.csv").write_text("brief\nA")
    for names, message in (
        (["empty"], r"no brief is in this folder \(there are \.csv"),
        (["lamp.csv"], "lamp.csv: there is no such file"),
    ):
        with pytest.raises(BriefError, match=message):
            read(*names)
    assert complaints("lamp.txt") == ["lamp.txt: there is no such file (look at its name again)"]


# --- CSV ----------------------------------------------------------------------------------------


def test_a_table_with_quotes_and_line_breaks() -> None:
    Path("lamp.png").write_bytes(PNG)
    Path("list.csv").write_bytes(
        b"\xef\xbb\xbfcustom_id,brief,title,source,seed,candidates,editor,labels\r\n"
        b'p1,"A sign says ""OPEN"",\r\nand a lamp",Sign,lamp.png,7,2,flux-krea,"autumn, red"\r\n'
        b"\r\n"
        b",A desk,,,,,,\r\n" + f"p3,A cat,,{HASH},0,,,\r\n".encode()
    )
    found = read("list.csv")
    assert [each.place for each in found] == [Place("list.csv", 2), Place("list.csv", 5), Place("list.csv", 6)]
    first, second, third = lines("list.csv")
    assert first == {
        "custom_id": "p1",
        "brief": {"text": 'A sign says "OPEN",\r\nand a lamp', "title": "Sign"},
        "seed": 7,
        "labels": ["autumn", "red"],
        "settings": {"candidates": 2, "editor": "flux-krea"},
    }
    assert second == brief("5", "A desk")
    assert third == {"custom_id": "p3", "brief": {"text": "A cat", "source": HASH}, "seed": 0}
    assert isinstance(found[0], Entry) and found[0].picture == Path("lamp.png").resolve()


def test_semicolons_and_tabs_as_spreadsheets_write_them() -> None:
    Path("list.csv").write_text("custom_id;text\na;A lamp, lit\n")
    Path("list.tsv").write_text("custom_id\ttext\na\tA lamp; lit\n")
    assert lines("list.csv") == [brief("a", "A lamp, lit")]
    assert lines("list.tsv") == [brief("a", "A lamp; lit")]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", ["list.csv: it is empty"]),
        (b"name,words\na,b\n", ["list.csv:1: no column is called brief"]),
        (b"brief,text\na,b\n", ["list.csv:1: there are a column brief and a column text"]),
        (b"brief,seed,seed\na,1,1\n", ["list.csv:1: two columns are called 'seed'"]),
        (b"brief,seed\nA lamp, lit,1\n", ["list.csv:2: the row has 3 cells, but there are 2 columns"]),
        (b"brief,title\n,a\nA\n", ["list.csv:2: the brief is empty"]),
        (b"brief\nA\n\xe4\nB\n\xff\n", ["list.csv:3: a character is not UTF-8", "list.csv:5: a character"]),
        (b"brief\nA\0\n", ["list.csv:2: the brief holds zero bytes"]),
        (b'brief\nA\n"B\nC\nD\n', ["list.csv:3: the row can't be read: unexpected end of data"]),
        (b"brief\n" + b"x" * 300_000 + b"\n", ["list.csv:2: the row can't be read: field larger than"]),
        (b"brief,source\nA,../etc/passwd\nB,/etc/passwd\nC,list.csv\nD,no.png\nE,..\n", [
            "list.csv:2: the source '../etc/passwd' is outside the folder", "list.csv:3: the source '/etc/passwd' is",
            "list.csv:4: 'list.csv' is no picture", "list.csv:5: the picture 'no.png' can't be read: No such file",
            "list.csv:6: the source '..' is outside",
        ]),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_table_is_named_by_line(data: bytes, said: list[str]) -> None:
    Path("list.csv").write_bytes(data)
    found = complaints("list.csv")
    assert len(found) == len(said), found
    for each, start in zip(found, said, strict=True):
        assert each.startswith(start)


def test_a_link_leads_to_no_picture_elsewhere(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.png").write_bytes(PNG)
    (inside / "lamp.png").symlink_to(tmp_path / "secret.png")
    (inside / "list.csv").write_text("brief,source\nA,lamp.png\n")
    [complaint] = complaints("inside/list.csv")
    assert "the source 'lamp.png' is outside the folder" in complaint


# --- JSONL --------------------------------------------------------------------------------------


def test_lines_of_json_with_a_header() -> None:
    Path("sub").mkdir()
    Path("sub", "lamp.png").write_bytes(PNG)
    written = [
        {"batch": {"title": "night", "settings": {"rounds": 2}}},
        {"custom_id": "a", "brief": "A lamp", "settings": {"candidates": 2}, "seed": 0, "labels": ["x"]},
        {"brief": {"text": "A desk", "source": "sub/lamp.png"}},
        {"custom_id": 7, "brief": {"text": "A cat", "goals": [{"id": "g1", "text": "a cat"}]}},
    ]
    Path("list.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\r\n\r\n".join(json.dumps(each).encode() for each in written))
    manifest = Manifest([Path("list.jsonl")])
    for _ in range(2):  # it is read twice
        found = list(manifest.entries())
        assert manifest.header == {"title": "night", "settings": {"rounds": 2}}
        assert [str(each.place) for each in found] == ["list.jsonl:3", "list.jsonl:5", "list.jsonl:7"]
    assert lines("list.jsonl") == [
        brief("a", "A lamp", settings={"candidates": 2}, seed=0, labels=["x"]),
        brief("5", "A desk"),
        {"custom_id": "7", "brief": {"text": "A cat", "goals": [{"id": "g1", "text": "a cat"}]}},
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"custom_id": "a"', "the JSON is broken"),
        (b"[1]", "it is no JSON object"),
        (b"[" * 100_000, "the JSON is broken"),
        (b'"\xff"', "byte 1 is not UTF-8"),
        (b"{}", "brief is missing"),
        (b'{"brief": "A", "batch": {}}', "there is no field 'batch'"),
        (b'{"brief": "A", "prompt": "B"}', "there is no field 'prompt'"),
        (b'{"brief": ""}', "brief: the text of the brief is empty|brief.text: must not be empty"),
        (b'{"brief": {"text": "A", "colour": "red"}}', "brief.colour: "),
        (b'{"brief": "A", "custom_id": true}', "custom_id must be a word"),
        (b'{"brief": "A", "custom_id": "a\\nb"}', "the custom_id must have 1 to 128 characters"),
        (b'{"brief": {"text": "A", "source": 7}}', "the source is no name of a picture"),
        (b'{"brief": {"text": "A", "source": "a\\u0000b"}}', "the source 'a.x00b' is no file name"),
        (b'{"brief": "' + b"x" * 10_000_000 + b'"}', "the line has more than 262,144 bytes"),
    ],
)
def test_what_is_wrong_in_a_line_is_named(line: bytes, said: str) -> None:
    Path("list.jsonl").write_bytes(b'{"brief": "A"}\n' + line + b'\n{"brief": "B"}\n')
    first, wrong, last = read("list.jsonl")
    assert isinstance(first, Entry) and isinstance(last, Entry) and isinstance(wrong, Complaint)
    assert str(wrong.place) == "list.jsonl:2"
    assert any(wrong.message.startswith(each.replace(".x00", "\\x00")) for each in said.split("|")), wrong


def test_a_million_empty_lines_are_no_brief() -> None:
    Path("list.jsonl").write_bytes(b"\n" * 1_000_000)
    assert read("list.jsonl") == []


# --- all of them --------------------------------------------------------------------------------


def test_a_custom_id_that_is_there_twice_is_named_with_both_lines() -> None:
    Path("a.jsonl").write_text('{"custom_id": "x", "brief": "A"}\n')
    Path("b.csv").write_text("custom_id,brief\ny,A\nx,B\n")
    with Names() as names:
        found = [names.double(each) for each in read("a.jsonl", "b.csv") if isinstance(each, Entry)]
    assert found[:2] == [None, None]
    assert str(found[2]) == "b.csv:3: custom_id 'x' is there already, at a.jsonl:1 (give each its own)"


def test_lines_without_a_custom_id_are_called_by_their_number() -> None:
    Path("a.jsonl").write_text('{"brief": "A"}\n')
    Path("b.jsonl").write_text('{"brief": "A"}\n')
    assert [each["custom_id"] for each in lines("a.jsonl")] == ["1"]
    assert [each["custom_id"] for each in lines("a.jsonl", "b.jsonl")] == ["a-1", "b-1"]


def test_places_are_kept_by_number() -> None:
    places, made = Places(), [Place("a", 1), Place("a", 9), Place("b"), Place("c", 2), Place("a", 3)]
    for each in made:
        places.add(each)
    assert [places[n] for n in range(len(places))] == made


def test_a_matrix() -> None:
    assert matrix(["seed=1..4", "editor=a,b", "rollback=true", "margin=0.1,0.2"]) == {
        "seed": [1, 2, 3, 4], "editor": ["a", "b"], "rollback": [True], "margin": [0.1, 0.2],
    }  # fmt: skip
    for word in ("seed", "=1", "seed=", "seed=4..1", "seed=1..1000000000"):
        with pytest.raises(BriefError, match=r"matrix|no values"):
            matrix([word])
