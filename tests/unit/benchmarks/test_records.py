"""LGBench's files: what is read, and how clearly the rest is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from director.errors import BriefError
from tests.support.user_data import user_path
from worker.bench.lgbench.records import SOURCE, Record, dumped, read_cases, read_records

GOOD: dict[str, Any] = {
    "id": 3,
    "category": "fantasy_creatures",
    "subcategory": "dragon",
    "prompt": "A dragon on a cliff, lit from the right, with the words 'STAY AWAY'.",
    "goals": [
        {"type": "lighting", "description": "Apply fill lighting from upper right"},
        {"type": "text", "description": "Include the text 'STAY AWAY' in red"},
    ],
}


def written(folder: Path, data: Any, name: str = "t2i_1000.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_an_official_file_is_read(tmp_path: Path):
    (case,) = read_cases(written(tmp_path, [GOOD]))
    assert case.id == "t2i-0003"
    assert case.group == "fantasy_creatures"
    assert case.brief.goals == ()
    assert [(g.id, g.type, g.string) for g in case.goals] == [("g01", "lighting", None), ("g02", "text", "STAY AWAY")]


def test_a_folder_holds_many_files_and_a_file_one_record(tmp_path: Path):
    written(tmp_path, {**GOOD, "id": 1}, "one.json")
    written(tmp_path, [{**GOOD, "id": 2}], "more.json")
    assert [case.id for case in read_cases(tmp_path)] == ["t2i-0001", "t2i-0002"]


def test_an_i2i_task_has_its_picture_beside_it(tmp_path: Path):
    path = written(tmp_path, [GOOD], "i2i_1000.json")
    with pytest.raises(BriefError, match=r"i2i-0003 edits a picture that is not there: .*task_0003/source_image\.png"):
        read_cases(path)
    picture = tmp_path / SOURCE.format(3)
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"png")
    (case,) = read_cases(path)
    assert case.source == picture
    before = case.digest()
    picture.write_bytes(b"another")
    assert case.digest() != before


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        ({**GOOD, "id": "3"}, r"record 0 \(id 3\): id: .*integer"),
        ({**GOOD, "prompt": "  "}, r"prompt: .*at least 1"),
        ({**GOOD, "goals": []}, "goals: .*at least 1"),
        ({**GOOD, "goals": [{"type": "mood", "description": "x"}]}, r"goals\.0\.type: .*add_object.*mood"),
        ({**GOOD, "goals": [{"type": "text"}]}, r"goals\.0\.description: Field required"),
        ({**GOOD, "goals": [{"type": "text", "description": "x", "kind": 1}]}, r"goals\.0\.kind"),
        ({**GOOD, "goals": [{"type": "text", "description": "x", "parents": [0]}]}, "no such other goal"),
        ({**{k: v for k, v in GOOD.items() if k != "prompt"}, "promt": "x"}, "did you mean 'prompt'"),
        ({**GOOD, "prompt": "x" * 20_001}, "20001 bytes"),
        (7, "record 0: is int"),
    ],
)
def test_what_is_wrong_is_named(record: Any, complaint: str, tmp_path: Path):
    with pytest.raises(BriefError, match=complaint):
        read_records(written(tmp_path, [record]))


def test_many_complaints_are_counted(tmp_path: Path):
    with pytest.raises(BriefError, match="record 4") as caught:
        read_records(written(tmp_path, [{**GOOD, "id": None}] * 8))
    assert "and 3 more" in str(caught.value)


def test_one_number_twice_is_refused(tmp_path: Path):
    with pytest.raises(BriefError, match="id 3 stands in"):
        read_cases(written(tmp_path, [GOOD, GOOD]))


@pytest.mark.parametrize("text", ["{", "[1, 2", ""])
def test_broken_json_is_said(text: str, tmp_path: Path):
    path = tmp_path / "t2i.json"
    path.write_text(text)
    with pytest.raises(BriefError, match="the JSON is broken"):
        read_cases(path)


def test_fields_that_are_not_ours_are_left_alone(tmp_path: Path):
    (record,) = read_records(written(tmp_path, [{**GOOD, "difficulty": "hard"}]))
    assert record == Record.model_validate(GOOD)


def test_written_and_read_again(tmp_path: Path):
    goals = [*GOOD["goals"], {"type": "color", "description": "Red", "parents": [1], "conflicts": [0]}]
    record = Record.model_validate({**GOOD, "goals": goals})
    path = tmp_path / "t2i_1.json"
    path.write_text(dumped([record]), encoding="utf-8")
    assert read_records(path) == [record]
    (case,) = read_cases(path)
    assert case.goals[2].parents == ("g02",)
    assert case.goals[2].conflicts == ("g01",)


def test_a_goal_may_be_of_absence(tmp_path: Path):
    task = {**GOOD, "goals": [{"type": "add_object", "description": "No knights", "absent": True}, *GOOD["goals"]]}
    (record,) = read_records(written(tmp_path, task))
    assert [goal.absent for goal in record.goal_values()] == [True, False, False]
    assert dumped([record]).count("absent") == 1


def test_a_folder_of_briefs_is_read():
    cases = read_cases(user_path("briefs"), "t2i")
    assert len(cases) > 1
    assert all(case.goals and case.text for case in cases)
