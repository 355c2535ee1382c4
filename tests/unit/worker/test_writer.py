"""`compose` with a language model as its writer: held to the goals, asked again, refused."""

import json
from pathlib import Path

import pytest

from director.benchmarks.lgbench.records import read_records
from tests.support.scripted_openai import Request, Scripted, fills, question, scripted
from worker.cli import main


def obedient(request: Request) -> Scripted:
    """Writes what it was given: the opening and every goal as a sentence."""
    opening, goals = question(request).split("<<<")[1:]
    said = [line for part in (opening, goals) for line in part.split(">>>")[0].strip().splitlines()]
    return fills({"brief": ". ".join(said) + "."})


def compose(url: str, out: Path, *more: str) -> int:
    words = ["compose", "--tasks", "1", "--goals", "6", "-o", str(out)]
    return main([*words, "--writer-url", url, "--writer-model", "scripted", *more])


def test_a_model_words_the_brief(tmp_path: Path):
    with scripted(obedient) as server:
        assert compose(server.url, tmp_path) == 0
    (record,) = read_records(tmp_path / "t2i_1.json")
    assert len(record.goals) == 6
    sent = question(server.requests[0])
    assert all(goal.description.split("Add ")[-1].split("Include the text ")[-1] in sent for goal in record.goals)


def test_a_goal_that_is_left_out_is_asked_for_again(tmp_path: Path):
    with scripted(fills({"brief": "A poster."}), obedient) as server:
        assert compose(server.url, tmp_path) == 0
    shown = json.dumps(server.requests[1]["messages"][-1])
    assert "6 goals do not stand in it word for word" in shown


def test_a_model_that_never_writes_them_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with scripted(fills({"brief": "A poster."})) as server:
        assert compose(server.url, tmp_path) == 1
    assert len(server.requests) == 3
    assert "do not stand in it" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.json"))


def test_no_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert compose("http://127.0.0.1:9/v1", tmp_path, "--writer-model", "") == 2
    assert "model" in capsys.readouterr().err
