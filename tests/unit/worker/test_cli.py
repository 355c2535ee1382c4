"""`visiondirector-worker` as a person calls it: what it prints, leaves and refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from director.state import State
from director.types import Trajectory
from infra.servers import redis_server
from tasks.png_metadata import read_png_metadata
from tasks.store import image_hash
from tests.support.servers import nowhere
from worker.cli import main

TEXT = "A red cup stands in the middle. Set the text 'FIRST PRESS' at the top. Soft light comes from the left."
SMALL = ["--set", "width=192", "--set", "height=192", "--set", "editor=perfect", "--set", "candidates=1"]


@pytest.fixture
def brief(tmp_path: Path) -> Path:
    path = tmp_path / "brief.txt"
    path.write_text(TEXT)
    return path


def test_it_starts_without_what_only_some_commands_need() -> None:
    program = "import sys, worker.cli; print({'numpy', 'scipy', 'torch', 'celery', 'boto3'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_direct_leaves_a_picture_and_its_trajectory(brief: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    assert main(["direct", str(brief), "-o", str(out), *SMALL]) == 0
    trajectory = Trajectory.model_validate_json((out / "trajectory.json").read_bytes())
    final = State.of(trajectory).deliverable
    assert final
    png = (out / "final.png").read_bytes()
    assert image_hash(png) == final
    said = read_png_metadata(png)
    assert (said.brief, said.settings, said.seed) == (trajectory.brief, trajectory.settings, trajectory.seed)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert 'src="data:image/png;base64,' in page
    assert "Rendering</th>" in page
    printed = capsys.readouterr().out
    assert "round 1" in printed
    assert str(out / "final.png") in printed


def test_direct_keeps_the_brief_out_of_the_picture_if_asked(brief: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert main(["direct", str(brief), "-o", str(out), "--no-metadata", *SMALL]) == 0
    png = (out / "final.png").read_bytes()
    assert png == (out / "images" / f"{image_hash(png)}.png").read_bytes()


def test_direct_twice_gives_the_same_bytes(brief: Path, tmp_path: Path):
    for name in ("a", "b"):
        assert main(["direct", str(brief), "-o", str(tmp_path / name), "--seed", "3", *SMALL]) == 0
    for file in ("final.png", "trajectory.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_source_is_edited(brief: Path, tmp_path: Path):
    main(["direct", str(brief), "-o", str(tmp_path / "a"), *SMALL])
    edit = tmp_path / "edit.txt"
    edit.write_text("Put a yellow star at the upper right.")
    source = tmp_path / "a" / "final.png"
    assert main(["direct", str(edit), "-o", str(tmp_path / "b"), "--source", str(source), *SMALL]) == 0
    trajectory = Trajectory.model_validate_json((tmp_path / "b" / "trajectory.json").read_bytes())
    assert trajectory.brief.source
    assert (tmp_path / "b" / "final.png").read_bytes() != source.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "candidates=0"], "settings.candidates: "),
        (["--set", "candidate=1"], "did you mean candidates"),
        (["--set", "candidates"], "write key=value"),
        (["--strategy", "luck"], "best-of-4"),
        (["--source", "nowhere.png"], "nowhere.png"),
    ],
)
def test_direct_refuses_what_it_cannot_use(
    brief: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
):
    assert main(["direct", str(brief), "-o", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("data", "message"), [(b"", "brief.text"), (b"x" * 200_000, "200000 bytes"), (b"caf\xe9", "not UTF-8")]
)
def test_unusable_briefs_leave_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, message: str):
    path = tmp_path / "brief.txt"
    path.write_bytes(data)
    assert main(["direct", str(path), "-o", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_truncated_source_is_named(brief: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main(["direct", str(brief), "-o", str(tmp_path / "a"), *SMALL])
    broken = tmp_path / "broken.png"
    broken.write_bytes((tmp_path / "a" / "final.png").read_bytes()[:500])
    assert main(["direct", str(brief), "-o", str(tmp_path / "b"), "--source", str(broken)]) == 2
    assert "image" in capsys.readouterr().err


def test_goals_as_json_are_what_a_scorer_reads(brief: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["goals", str(brief), "--json"]) == 0
    goals = json.loads(capsys.readouterr().out)
    assert all(goal["text"] in TEXT for goal in goals)
    assert {"type": "text", "string": "FIRST PRESS"}.items() <= goals[1].items()


def test_goals_of_a_task_file_come_from_its_prompt(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "task.json"
    path.write_text(json.dumps({"prompt": TEXT, "goals": [{"type": "effect", "description": "snow"}]}))
    assert main(["goals", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "snow" not in printed
    assert len(printed.splitlines()) == 3


def test_doctor_says_what_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    for name, value in nowhere().items():
        monkeypatch.setenv(name, value)
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ok", "studio"], ["FAIL", "broker"], ["FAIL", "ledger"], ["FAIL", "bucket"], ["FAIL", "records"],
        ["FAIL", "workers"], ["FAIL", "held"], ["FAIL", "space"],
    ]  # fmt: skip


def test_start_refuses_seats_it_does_not_know(capsys: pytest.CaptureFixture[str]):
    assert main(["start", "--seats", "planer"]) == 2
    assert "planner" in capsys.readouterr().err
    assert main(["start", "--seats", "editor", "--concurrency", "4"]) == 2
    assert "each GPU" in capsys.readouterr().err


def test_start_refuses_a_redis_that_may_drop_jobs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    with redis_server(tmp_path, fsync="no") as running, Redis.from_url(running.url) as redis:
        redis.config_set("maxmemory-policy", "allkeys-lru")
        monkeypatch.setenv("VISIONDIRECTOR_LEDGER_URL", running.url)
        assert main(["start", "--seats", "control"]) == 1
        assert "allkeys-lru: when its memory is full it drops jobs" in capsys.readouterr().err
        redis.set("vd:epoch", "a")
        monkeypatch.setenv("VISIONDIRECTOR_BROKER_URL", running.url)
        main(["doctor"])
        assert "FAIL  ledger       its maxmemory-policy is allkeys-lru" in capsys.readouterr().out
