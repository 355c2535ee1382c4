"""A job through Celery, Redis and S3 with a real SGLang server and real pipelines, its render worker killed once.

The models are tiny and random: the pictures are noise and the verdicts mean nothing. What holds is asserted: no
committed step runs again, the snapshot chain is whole, and the result is that of an undisturbed run, byte for byte.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

import pytest

from api.client import Client
from director.types import Trajectory
from infra.servers import free_port
from infra.stack import Stack
from infra.supervision import stack_processes
from tasks.settings import PREFIX, Settings
from tasks.store import Archive, S3Store
from worker.profiles import load_profile
from worker.profiles.servers import answers

pytestmark = pytest.mark.timeout(600)

TEXT = "A red cup stands on a table. Soft light comes from the left. Steam rises in the middle."
LOOP: Mapping[str, object] = {"width": 128, "height": 128, "candidates": 2, "rounds": 2, "gate": "staged"}
SEED = 7


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The profile `tiny` with a port of its own, so that several runs may share a machine."""
    text = (files("worker.profiles") / "tiny.json").read_text(encoding="utf-8")
    path = tmp_path_factory.mktemp("profile") / "tiny.json"
    path.write_text(text.replace("30990", str(free_port())), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def alone(profile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `visiondirector-worker direct --profile` leaves: it starts the model server and ends it."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "brief.txt").write_text(TEXT, encoding="utf-8")
    chosen = [word for name, value in LOOP.items() for word in ("--set", f"{name}={value}")]
    command = ["direct", str(folder / "brief.txt"), "--profile", str(profile), "-o", str(folder / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "worker.cli", *command, "--seed", str(SEED), *chosen],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture(scope="module")
def stack(profile: Path, alone: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    var = tmp_path_factory.mktemp("stack")
    with Stack(var, flower=False, profile=str(profile)) as running:
        yield running
    assert list(stack_processes(var)) == []


def test_direct_runs_the_whole_loop_and_leaves_no_server(profile: Path, alone: Path):
    events = trajectory_of(alone).events
    assert {"extracted", "planned", "rendered", "selected", "verified", "decided", "stopped"} <= {
        e.kind for e in events
    }
    assert (alone / "final.png").is_file()
    (machine,) = load_profile(str(profile), Settings()).profile.boxes.values()
    assert not answers(machine.servers[0])


def test_a_killed_renderer_changes_nothing(stack: Stack, alone: Path):
    with Client(stack.api_url, stack.token) as client:
        job = client.submit({"text": TEXT}, dict(LOOP), SEED)
        until_rendering(client, job.id)
        stack.kill("editor-0")
        done = client.wait(job.id, timeout=300)
        assert done.status == "done", done
        queued = Trajectory.model_validate(client.trajectory(job.id))
        picture = client.image(job.id)
    archive = Archive(S3Store(settings_of(stack)))
    no_committed_step_ran_again(archive, job.id)
    expected = trajectory_of(alone)
    assert queued.events == expected.events
    assert queued.model_dump_json() == expected.model_copy(update={"brief": queued.brief}).model_dump_json()
    assert picture == (alone / "final.png").read_bytes()


def test_the_doctor_finds_all_that_runs(stack: Stack, profile: Path):
    command = [sys.executable, "-m", "worker.cli", "doctor", "--profile", str(profile), "--json"]
    environment = {**os.environ, **stack.settings}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout, done.stderr
    checks = json.loads(done.stdout)
    assert [check for check in checks if not check["ok"]] == []
    assert {check["name"] for check in checks} == {
        "profile", "queues", "endpoints", "memory", "sglang", "libraries", "port", "server", "clock", "space", "studio",
        "broker", "ledger", "records", "bucket", "workers", "held",
    }  # fmt: skip


def until_rendering(client: Client, job: str) -> None:
    end = time.monotonic() + 180
    while "render" not in (now := client.job(job)).doing or "waiting" in now.doing:
        assert time.monotonic() < end, now
        assert now.status in ("queued", "running"), now
        time.sleep(0.02)
    time.sleep(0.5)  # the first picture takes seconds: the libraries are imported first


def no_committed_step_ran_again(archive: Archive, job: str) -> None:
    """One committed try of each step, of which all but the killed render were the first, and one unbroken chain."""
    newest = archive.latest(job)
    assert newest
    chain = archive.chain(job, newest)
    assert [snapshot.n for snapshot in chain] == list(range(len(chain)))
    committed = [attempt for attempt in archive.attempts(job) if attempt["committed"]]
    assert Counter(attempt["n"] for attempt in committed) == Counter(snapshot.n for snapshot in chain)
    assert {attempt["kind"] for attempt in committed} == {"extract", "plan", "render", "select", "verify"}
    assert [attempt["kind"] for attempt in committed if attempt["attempt"] > 1] == ["render"]


def trajectory_of(folder: Path) -> Trajectory:
    return Trajectory.model_validate_json((folder / "trajectory.json").read_bytes())


def settings_of(stack: Stack) -> Settings:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} - {f"{PREFIX}TOKENS"}
    own = {key.removeprefix(PREFIX).lower(): value for key, value in stack.settings.items() if key in known}
    return Settings.model_validate(own)
