"""A real worker over a real broker: what is no message ends nothing, and no row of Flower stays STARTED."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from infra.servers import redis_server
from tasks.app import make_app, send_hint
from tasks.ledger.ledger import Ledger, connect
from tasks.ledger.types import Hint
from tasks.settings import Settings
from tests.support.ledgers import entry


@contextmanager
def worker(settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`visiondirector-worker start` for the control queue, as a process."""
    environment = {
        **os.environ,
        "VISIONDIRECTOR_BROKER_URL": settings.broker_url,
        "VISIONDIRECTOR_LEDGER_URL": settings.ledger_url,
        "VISIONDIRECTOR_S3_ENDPOINT": settings.s3_endpoint,
        "VISIONDIRECTOR_RUN_DIR": str(log.parent / "run"),
    }
    command = [sys.executable, "-m", "worker.cli", "start", "--seats", "control", "--name", "w"]
    with log.open("wb") as out, subprocess.Popen(command, env=environment, stdout=out, stderr=out) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


class Rows:
    """What Flower knows: the last state that the events of a task told."""

    def __init__(self, app: Any) -> None:
        self.states: dict[str, str] = {}
        self._app, self._stop = app, threading.Event()
        self._thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        with self._app.connection() as connection:
            receiver = self._app.events.Receiver(connection, handlers={"*": self._heard})
            while not self._stop.is_set():
                try:
                    receiver.capture(limit=None, timeout=0.5, wakeup=False)
                except TimeoutError:
                    continue

    def _heard(self, event: dict[str, Any]) -> None:
        if event["type"].startswith("task-"):
            self.states[event["uuid"]] = event["type"].removeprefix("task-")

    def __enter__(self) -> "Rows":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)


def until(holds: Any, seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


GARBAGE = (b"hello", b"5", b"{}", b"[1]", b'{"properties": 5}', b"\xff\xfe", b"null")


@pytest.mark.timeout(120)
def test_garbage_and_dropped_hints(tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis", fsync="no") as running, Redis.from_url(running.url) as broker:
        settings = Settings.model_validate(
            {"broker_url": running.url, "ledger_url": running.url, "s3_endpoint": "http://127.0.0.1:1"}
        )
        app = make_app(settings)
        with Ledger(connect(running.url)) as ledger, worker(settings, tmp_path / "log") as process, Rows(app) as rows:
            assert ledger.lock_rebuild("me", 60_000)
            ledger.open_epoch("me")
            ledger.create(entry(step=3))
            until(lambda: "control" in ledger.served())
            for data in GARBAGE:
                broker.lpush("control:6", data)
            hints = [Hint(job="job-1", n=n, queue="control", kind="plan", title="a", priority=6) for n in (0, 1, 7)]
            for hint in hints:
                send_hint(app, hint)
            until(lambda: sorted(rows.states.values()) == ["succeeded"] * len(hints))
            assert process.poll() is None
            assert broker.llen("control:6") == 0
        said = (tmp_path / "log").read_text()
        assert said.count("what is no message was dropped") == len(GARBAGE), said
        assert "hint dropped: the job stands at another step" in said
        assert "Unrecoverable error" not in said
