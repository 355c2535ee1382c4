"""`bench imgedit`: edits through the loop, a judge that plays a script, and what is left when either breaks off."""

import base64
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.contexts import plain_png
from tests.support.scripted_openai import Request, Scripted, ScriptedServer, fails, says, scripted
from worker.bench.imgedit.scoring import TYPES
from worker.cli import main

NAMES = ("Prompt Compliance", "Visual Naturalness", "Physical Detail")
PROMPT = "Rate it.\n" + "\n".join(f"{name}: A number from 1 to 5." for name in NAMES) + "\nInstruction: <edit_prompt>."
EDITS = {
    "12": {"id": "animal/a.png", "prompt": "Add a red cup on the left.", "edit_type": "add"},
    "7": {"id": "animal/b.png", "prompt": "Add a yellow star at the upper right.", "edit_type": "add"},
    "305": {"id": "animal/a.png", "prompt": "Add a blue umbrella.", "edit_type": "compose"},
}
SMALL = ["--strategy", "one-shot", "--workers", "1"]


def scores(*values: int) -> Scripted:
    lines = [f"**{name}:** {value}" for name, value in zip(NAMES, values, strict=True)]
    return says("\n".join(["Brief reasoning: as told.", *lines]))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The user's files, small: edits, judge prompts, two originals."""
    (tmp_path / "originals" / "animal").mkdir(parents=True)
    (tmp_path / "originals" / "animal" / "a.png").write_bytes(plain_png("white", 192, 192))
    (tmp_path / "originals" / "animal" / "b.png").write_bytes(plain_png("silver", 192, 192))
    (tmp_path / "edits.json").write_text(json.dumps(EDITS))
    (tmp_path / "prompts.json").write_text(json.dumps(dict.fromkeys(TYPES, PROMPT)))
    return tmp_path


@pytest.fixture
def bench(files: Path) -> Callable[..., int]:
    """`bench imgedit` over those files; what is given comes on top."""

    def call(*words: str, server: ScriptedServer | None = None) -> int:
        told = ["bench", "imgedit", "--edits", str(files / "edits.json"), "--json", str(files / "figures.json"), *words]
        if server:
            told += ["--judge-url", server.url, "--judge-model", "scripted", "--prompts", str(files / "prompts.json")]
        return main(told)

    return call


@pytest.fixture
def theirs(files: Path) -> list[str]:
    """Options that judge three pictures made elsewhere."""
    (files / "theirs").mkdir()
    for n, key in enumerate(EDITS):
        (files / "theirs" / f"{key}.png").write_bytes(plain_png("red", 32 + n, 32))
    return ["--images", str(files / "theirs"), "--originals", str(files / "originals"), "-o", str(files / "out")]


def figures(files: Path) -> dict:
    return json.loads((files / "figures.json").read_text())


def about(request: Request) -> str:
    """Which edit a request is about."""
    text = request["messages"][0]["content"][0]["text"]
    return next(key for key, edit in EDITS.items() if edit["prompt"] in text)


# --- the whole ----------------------------------------------------------------------------------


def test_edits_through_the_loop_before_a_judge(bench: Callable[..., int], files: Path, capsys):
    replies = {"12": scores(5, 4, 4), "7": scores(2, 5, 4), "305": scores(3, 3, 3)}
    with scripted(lambda request: replies[about(request)]) as server:
        words = ["--originals", str(files / "originals"), "-o", str(files / "out"), *SMALL]
        assert bench(*words, server=server) == 0
        assert sorted(path.name for path in (files / "out" / "images").iterdir()) == ["12.png", "305.png", "7.png"]
        # Three calls; run again, none.
        assert bench(*words, server=server) == 0
        assert len(server.requests) == 3
    found = figures(files)
    # add: 13/3 -> 4.33 and 11/3 -> 3.67, their mean 4.00; compose 3.00; overall (4.00 + 3.00) / 2.
    assert found["types"]["add"]["score"] == 4.0
    assert found["overall"] == 3.5
    assert found["judge_cost"] == {**found["judge_cost"], "calls": 3, "prompt_tokens": 300, "completion_tokens": 30}
    assert found["grader"] == f"scripted at {server.url}"
    assert found["cost"]["renders"] == 3
    printed = capsys.readouterr().out
    assert "(simulated)" in printed
    assert "mean of 2 of 9 types" in printed
    # The official result file, which scores to the same.
    assert bench("--results", str(files / "out" / "result.json")) == 0
    assert figures(files)["overall"] == 3.5


def test_the_judge_is_sent_text_original_and_edit(bench: Callable[..., int], files: Path, theirs: list[str]):
    with scripted(scores(4, 4, 4)) as server:
        assert bench(*theirs, server=server) == 0
    request = next(each for each in server.requests if about(each) == "7")
    (message,) = request["messages"]
    assert message["role"] == "user"
    text, original, edited = message["content"]
    assert text == {"type": "text", "text": PROMPT.replace("<edit_prompt>", EDITS["7"]["prompt"])}
    for part, path in ((original, "originals/animal/b.png"), (edited, "theirs/7.png")):
        head, _, data = part["image_url"]["url"].partition(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data) == (files / path).read_bytes()
    assert not {"temperature", "max_tokens"} & request.keys()  # as the public script leaves them


# --- a judge that fails -------------------------------------------------------------------------


def test_refusals_and_errors_are_unscored_and_errors_asked_again(
    bench: Callable[..., int], files: Path, theirs: list[str]
):
    first = {"12": scores(4, 4, 4), "7": says("I'm sorry, I can't rate this."), "305": fails(400, "content policy")}
    with scripted(lambda request: first[about(request)]) as server:
        assert bench(*theirs, server=server) == 0
        found = figures(files)
        assert found["overall"] == 4.0
        assert found["unscored"] == {"no reply": 1, "unreadable": 1}
        assert "content policy" in found["judge_errors"]["305"]
        stored = json.loads((files / "out" / "result.json").read_text())
        assert stored["7"] == "I'm sorry, I can't rate this."
        assert list(stored["305"]) == ["error"]

        server.requests.clear()
        first["305"] = scores(2, 2, 2)
        assert bench(*theirs, server=server) == 0
        assert [about(each) for each in server.requests] == ["305"]
        assert figures(files)["overall"] == 3.0

        server.requests.clear()
        first["7"] = scores(1, 1, 1)
        assert bench(*theirs, "--again", server=server) == 0
        assert [about(each) for each in server.requests] == ["7"]
        # add (4 + 1) / 2 = 2.5, compose 2.
        assert figures(files)["overall"] == 2.25
        assert figures(files)["unscored"] == {}


@pytest.mark.parametrize(
    ("answer", "message"),
    [(fails(401, "bad key"), "bad key"), (fails(404, "no model of this name"), "no model of this name")],
)
def test_a_judge_that_can_never_answer_ends_the_run(
    bench: Callable[..., int], theirs: list[str], capsys, answer: Scripted, message: str
):
    with scripted(answer) as server:
        assert bench(*theirs, "--judge-concurrency", "1", server=server) == 1
        assert len(server.requests) == 1
    printed = capsys.readouterr().err
    assert message in printed
    assert "run the same command again" in printed


def test_what_was_judged_before_the_judge_went_is_kept(bench: Callable[..., int], files: Path, theirs: list[str]):
    answers = [scores(4, 4, 4), fails(401, "the key has expired")]
    with scripted(*answers) as server:
        assert bench(*theirs, "--judge-concurrency", "1", server=server) == 1
    with scripted(scores(2, 2, 2)) as server:
        assert bench(*theirs, server=server) == 0
        assert {about(each) for each in server.requests} == {"7", "305"}
        assert len(server.requests) == 2
    assert figures(files)["types"]["add"]["score"] == 3.0


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{}", b'{"choices": []}', b'{"choices": [{"message": {"content": null}}]}']
)
def test_an_answer_that_is_none_is_no_score(bench: Callable[..., int], files: Path, theirs: list[str], body: bytes):
    replies = {"12": scores(4, 4, 4), "7": Scripted(body), "305": scores(4, 4, 4)}
    with scripted(lambda request: replies[about(request)]) as server:
        assert bench(*theirs, server=server) == 0
    assert figures(files)["unscored"] == {"no reply": 1}


def test_no_reply_with_scores_is_an_error_and_no_zero(bench: Callable[..., int], theirs: list[str], capsys):
    with scripted(says("I can't.")) as server:
        assert bench(*theirs, server=server) == 2
    assert "not one edit" in capsys.readouterr().err


# --- pictures that are missing, broken, changed -------------------------------------------------


def test_pictures_that_cannot_be_judged_are_named_and_unscored(
    bench: Callable[..., int], files: Path, theirs: list[str]
):
    (files / "theirs" / "7.png").unlink()
    (files / "originals" / "animal" / "b.png").unlink()
    (files / "theirs" / "305.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with scripted(scores(4, 4, 4)) as server:
        assert bench(*theirs, server=server) == 0
        assert [about(each) for each in server.requests] == ["12"]
    found = figures(files)
    assert found["unscored"] == {"missing": 2}
    assert "b.png" in found["unusable_pictures"]["7"]
    assert "305.png" in found["unusable_pictures"]["305"]


def test_replies_about_other_pictures_or_of_another_judge_do_not_mix(
    bench: Callable[..., int], files: Path, theirs: list[str], capsys
):
    with scripted(scores(4, 4, 4)) as server:
        assert bench(*theirs, server=server) == 0
        assert bench(*theirs, "--temperature", "0.5", server=server) == 2
        assert "was made with temperature = null" in capsys.readouterr().err
        (files / "theirs" / "7.png").write_bytes(plain_png("blue"))
        assert bench(*theirs, server=server) == 2
        assert "task 7 is not the one" in capsys.readouterr().err


def test_a_killed_judging_goes_on_and_counts_nothing_twice(files: Path, theirs: list[str], bench: Callable[..., int]):
    log = files / "out" / "replies.jsonl"
    with scripted(scores(5, 5, 5), lambda request: process.kill() or fails(500)) as server:
        command = [
            sys.executable, "-m", "worker.cli", "bench", "imgedit", "--edits", str(files / "edits.json"), *theirs,
            "--judge-url", server.url, "--prompts", str(files / "prompts.json"), "--judge-concurrency", "1",
        ]  # fmt: skip
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        assert process.wait(60) == -signal.SIGKILL
    assert log.read_bytes().count(b'"done"') == 1
    with scripted(scores(1, 1, 1)) as server:
        assert (
            bench(
                *theirs, "--judge-model", "gpt-4o", "--judge-url", server.url, "--prompts", str(files / "prompts.json")
            )
            == 0
        )
        assert {about(each) for each in server.requests} == {"7", "305"}
        assert len(server.requests) == 2
    # add (5 + 1) / 2 = 3, compose 1.
    assert figures(files)["overall"] == 2.0


# --- usage --------------------------------------------------------------------------------------


def test_the_cap_and_the_control(bench: Callable[..., int], files: Path):
    ours, other = files / "ours.json", files / "other.json"
    ours.write_text(json.dumps({"12": "A: 1\nB: 4\nC: 4", "7": "A: 5\nB: 5\nC: 5"}))
    other.write_text(json.dumps({"12": "A: 1\nB: 1\nC: 1", "305": "A: 5\nB: 5\nC: 5"}))
    assert bench("--results", str(ours), "--control", str(other)) == 0
    found = figures(files)
    assert found["overall"] == 4.0  # (3 + 5) / 2
    assert found["control"] == {"file": str(other), "difference": 2.0, "ci": None, "pairs": 1}
    assert bench("--results", str(ours), "--cap") == 0
    assert figures(files)["overall"] == 3.0  # (1 + 5) / 2
    assert figures(files)["cap"] is True


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing says what to score"),
        (["--results", "nowhere.json"], "nowhere.json"),
        (["--images", "x", "-o", "x", "--judge-url", "http://127.0.0.1:1/v1"], "give ImgEdit's prompts.json"),
        (["--originals", "nowhere", "-o", "x"], "3 of the source pictures are not in nowhere, animal/a.png among them"),
        (["--results", "x.json", "--limit", "0"], "--limit: 0 is too few"),
    ],
)
def test_what_is_missing_is_said(
    bench: Callable[..., int], words: list[str], message: str, capsys, tmp_path: Path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert bench(*words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
