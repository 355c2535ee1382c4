"""In which order real workers take what waits: work in hand first, one model at a time, no message in reserve."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest
from celery import Celery

from infra.servers import redis_server, s3_server
from tasks.app import make_app, message_writer, open_archive, send_hint
from tasks.entries import new_entry
from tasks.jobs import Job
from tasks.ledger.ledger import Ledger, broker_queue_length, connect
from tasks.settings import PREFIX, Settings, load_settings
from tasks.store import Archive
from tests.perf import instant
from tests.support.noting import noted


@dataclass
class Floor:
    """Redis and S3 of its own, no reconciler: what is hinted twice would blur the order."""

    settings: Settings
    environment: dict[str, str]
    ledger: Ledger
    archive: Archive
    app: Celery
    folder: Path
    made: int = 0

    def submit(self, editor: str, priority: int = 6) -> str:
        settings = instant.SETTINGS.model_copy(update={"editor": editor, "rounds": 1, "patience": 1})
        self.made += 1
        id = f"00000000-0000-4000-8000-{self.made:012d}"
        job = Job(id=id, owner="test", brief=instant.BRIEF, settings=settings, seed=1, created=float(self.made),
                  priority=priority)  # fmt: skip
        entry = new_entry(job)
        self.archive.save_job(job)
        message = message_writer(self.app, self.settings)(entry.hint)
        assert self.ledger.create(entry, message)
        if not message:
            send_hint(self.app, entry.hint)
        return id

    def wait_for(self, queue: str, jobs: int) -> None:
        until(lambda: {depth.queue: depth.waiting for depth in self.ledger.depths()}.get(queue, 0) == jobs)

    @contextmanager
    def worker(
        self, queues: str, name: str, processes: int = 1, seconds: float = 0.0, model_wait_s: float = 60.0
    ) -> Generator[Path]:
        """Gives the folder of its notes."""
        notes = self.folder / name
        notes.mkdir()
        command = [sys.executable, "-m", "tests.support.noting", name, str(processes), queues, str(seconds)]
        environment = {**self.environment, instant.NOTES: str(notes), f"{PREFIX}MODEL_WAIT_S": str(model_wait_s)}
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            try:
                yield notes
            finally:
                process.terminate()
                process.wait(30)


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(params=["one server", "two servers"])
def floor(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Floor]:
    with redis_server(tmp_path / "redis", fsync="no") as redis, s3_server(tmp_path / "s3") as s3:
        other = redis.url if request.param == "one server" else f"{redis.url.removesuffix('/0')}/1"
        variables = {
            "BROKER_URL": other, "LEDGER_URL": redis.url, "S3_ENDPOINT": s3.url, "S3_ACCESS_KEY": s3.key,
            "S3_SECRET_KEY": s3.secret, "RUN_DIR": str(tmp_path / "run"),
        }  # fmt: skip
        environment = {f"{PREFIX}{name}": value for name, value in variables.items()}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        settings = load_settings()
        with Ledger(connect(settings.ledger_url), settings.limits) as ledger:
            assert ledger.lock_rebuild("test", 60_000)
            ledger.open_epoch("test")
            archive, _ = open_archive(settings)
            yield Floor(settings, {**os.environ, **environment}, ledger, archive, make_app(settings), tmp_path)


def test_what_is_nearest_to_its_end_goes_first(floor: Floor) -> None:
    for _ in range(4):
        floor.submit("a")
    with floor.worker("planner", "planner"):
        floor.wait_for("editor.a", 4)
    with floor.worker("editor.a", "editor"):
        floor.wait_for("judge", 4)
    for _ in range(4):
        floor.submit("a")
    floor.wait_for("planner", 4)
    with floor.worker("verifier,judge,planner", "thinker") as notes:
        floor.wait_for("editor.a", 4)
    assert noted(notes) == ["select", "verify"] * 4 + ["plan"] * 4


def test_no_more_messages_are_reserved_than_processes_work(floor: Floor) -> None:
    for _ in range(6):
        floor.submit("a")
    broker = connect(floor.settings.broker_url)
    held: list[int] = []
    with floor.worker("planner", "planner", processes=2, seconds=0.5):
        left = 6
        while left or not held:
            held.append(int(broker.hlen("unacked")))  # pyright: ignore[reportArgumentType]
            left = broker_queue_length(broker, "planner")  # behind it: what is taken meanwhile counts once
            assert left + held[-1] <= 6
            time.sleep(0.01)
        floor.wait_for("editor.a", 6)
    assert max(held) == 2


def planned(floor: Floor, editors: str) -> None:
    """Jobs that wait for these editors, in this order."""
    for editor in editors:
        floor.submit(editor)
    with floor.worker("planner", f"planner-{floor.made}"):
        for editor in set(editors):
            floor.wait_for(f"editor.{editor}", editors.count(editor))


def test_an_editor_of_two_models_draws_one_after_the_other(floor: Floor) -> None:
    planned(floor, "abababab")
    with floor.worker("editor.a,editor.b", "editor", seconds=0.1) as notes:
        floor.wait_for("judge", 8)
    runs = [(what, len(list(group))) for what, group in groupby(noted(notes))]
    assert runs == [("render a", 4), ("render b", 4)]


def test_no_model_starves(floor: Floor) -> None:
    planned(floor, "a" * 40 + "b")
    with floor.worker("editor.a,editor.b", "editor", seconds=0.2, model_wait_s=1) as notes:
        until(lambda: "render b" in noted(notes))
        assert 0 < noted(notes).index("render b") < 40
    assert "draws another model" in (floor.folder / "editor.log").read_text()
