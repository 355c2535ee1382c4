"""A real worker as a process, and what Flower knows of its tasks."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.settings import Settings
from tests.support.ledgers import patient


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
    """What Flower knows: the last state that the events of a task told, of all that are told in its block.

    Begin it before the worker: a subscription is how it is seen to listen.
    """

    def __init__(self, app: Any) -> None:
        self.states: dict[str, str] = {}
        self._app = app
        self._thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        with self._app.connection() as connection:
            self._receiver = self._app.events.Receiver(connection, handlers={"*": self._heard})
            self._receiver.capture(wakeup=False)  # once: between two captures it would hear nothing

    def _heard(self, event: dict[str, Any]) -> None:
        if event["type"].startswith("task-"):
            self.states[event["uuid"]] = event["type"].removeprefix("task-")

    def __enter__(self) -> "Rows":
        self._thread.start()
        with patient(self._app.conf.broker_url) as broker:
            until(lambda: broker.pubsub_numpat() > 0)
        return self

    def __exit__(self, *_: object) -> None:
        self._receiver.should_stop = True
        self._thread.join(60)


def until(holds: Any, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)
