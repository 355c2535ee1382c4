"""`visiondirector-worker compose` and `bench lgbench` on the sketch studio, as a person calls them."""

import json
from pathlib import Path
from typing import Any

import pytest

from worker.cli import main

SMALL = ["--set", "width=192", "--set", "height=192", "--set", "rounds=1", "--set", "candidates=2", "--no-controls"]
HERE = ["--workers", "1"]


def bench(out: Path, *more: str) -> int:
    return main(["bench", "lgbench", "--compose", "3", "--goals", "4-6", "-o", str(out), *SMALL, *HERE, *more])


def report(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text())


def test_a_table_with_its_facts_costs_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert bench(tmp_path, "--json", str(tmp_path / "copy.json")) == 0
    printed = capsys.readouterr().out
    found = report(tmp_path)
    assert found == json.loads((tmp_path / "copy.json").read_text())
    (row,) = found["rows"]
    assert (row["strategy"], row["tasks"]) == ("ours", 3)
    assert 0 <= row["goal_completion_ci"][0] <= row["goal_completion"] <= row["goal_completion_ci"][1] <= 1
    assert row["renders"] >= 1
    assert "(simulated)" in found["facts"]["editor"]
    assert any("the grader is the verifier inside the loop" in note for note in found["notes"])
    assert "the grader is the verifier inside the loop" in printed
    assert (tmp_path / "report.md").read_text().strip() == printed.strip()
    assert len(list((tmp_path / "pictures" / "ours").glob("*.png"))) == 3
    assert (tmp_path / "plots" / "goals-by-type.svg").read_text().startswith("<?xml")


def test_an_interrupted_run_gives_the_same_report(tmp_path: Path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert bench(whole) == 0
    assert bench(cut, "--workers", "2") == 0
    lines = (cut / "runs.jsonl").read_bytes().splitlines(keepends=True)
    (cut / "runs.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:40])
    graded = cut / "graded-sketch.jsonl"
    graded.write_bytes(graded.read_bytes().splitlines(keepends=True)[0])
    assert bench(cut) == 0
    for name in ("goal_completion", "goal_completion_ci", "renders", "tasks"):
        assert report(cut)["rows"][0][name] == report(whole)["rows"][0][name]
    keys = [
        json.loads(line)["done"]["case"] for line in (cut / "runs.jsonl").read_text().splitlines() if "done" in line
    ]
    assert sorted(keys) == ["t2i-0000", "t2i-0001", "t2i-0002"]


def test_pictures_are_graded_without_running_anything(tmp_path: Path):
    assert bench(tmp_path) == 0
    before = report(tmp_path)
    runs = (tmp_path / "runs.jsonl").read_bytes()
    (tmp_path / "graded-sketch.jsonl").unlink()
    assert bench(tmp_path, "--pictures") == 0
    assert report(tmp_path)["rows"] == before["rows"]
    assert (tmp_path / "runs.jsonl").read_bytes() == runs


def test_a_missing_picture_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert bench(tmp_path) == 0
    (tmp_path / "graded-sketch.jsonl").unlink()
    next((tmp_path / "pictures" / "ours").glob("*.png")).unlink()
    assert bench(tmp_path, "--pictures") == 2
    assert "is not there" in capsys.readouterr().err


def test_a_changed_setting_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert bench(tmp_path) == 0
    assert bench(tmp_path, "--set", "patience=1") == 2
    assert "arms.ours.patience = 3; now it is 1" in capsys.readouterr().err


def test_edits_start_from_a_source_that_is_drawn_first(tmp_path: Path):
    assert bench(tmp_path, "--modality", "i2i") == 0
    assert (tmp_path / "tasks" / "i2i_source_images" / "task_0002" / "source_image.png").is_file()
    (row,) = report(tmp_path)["rows"]
    assert row["tasks"] == 3


def test_composed_tasks_are_the_same_bytes_again(tmp_path: Path):
    for name in ("a", "b"):
        assert (
            main(["compose", "--tasks", "2", "--goals", "8-14", "--modality", "i2i", "-o", str(tmp_path / name)]) == 0
        )
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert [str(file) for file in files] == [
        "i2i_2.json",
        "i2i_source_images/task_0000/source_image.png",
        "i2i_source_images/task_0001/source_image.png",
    ]
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "name tasks or --compose"),
        (["--compose", "2", "--goals", "many"], "--goals"),
        (["/nowhere.json"], "TASKS"),
        (["--compose", "2", "--strategy", "luck"], "there is no strategy 'luck'"),
    ],
)
def test_what_can_not_be_is_refused(
    words: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["bench", "lgbench", *words, "-o", str(tmp_path)]) == 2
    assert complaint in capsys.readouterr().err
