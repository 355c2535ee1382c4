"""A render is finished beside the next one: real workers over real Redis and S3, whose encoders can be held."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from infra.servers import free_port, redis_server, s3_server
from tasks.app import make_app, open_archive, open_reconciler, send_hint
from tasks.jobs import JobStatus
from tasks.ledger.ledger import Ledger, broker_queue_length, connect
from tasks.ledger.types import Record
from tasks.settings import PREFIX, Settings, load_settings
from tasks.store import Archive
from tests.perf import instant
from tests.support.queue import submit, until_ended
from tests.support.real_worker import Rows

ASKED = instant.SETTINGS.model_copy(update={"rounds": 1, "patience": 1})
EDITOR = f"editor.{ASKED.editor}"


@dataclass
class Floor:
    """Redis, S3 and a reconciler in this process; the editor has a process of its own."""

    settings: Settings
    ledger: Ledger
    archive: Archive
    app: Celery
    folder: Path
    s3: ExitStack

    @property
    def hold(self) -> Path:
        return self.folder / "hold"

    def submit(self, seed: int) -> str:
        return submit(self.ledger, self.archive, instant.BRIEF, ASKED, lambda hint: send_hint(self.app, hint), seed)

    def record(self, job: str) -> Record:
        found = self.ledger.get(job)
        assert found
        return found

    def drawn(self) -> list[int]:
        """The process that drew each render."""
        file = self.folder / "drawn"
        return [int(line) for line in file.read_text().splitlines()] if file.exists() else []

    def until(self, true: Callable[[], Any], seconds: float = 90) -> Any:
        end = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < end, "\n".join(log.read_text()[-3000:] for log in self.folder.glob("*.log"))
            time.sleep(0.02)
        return found

    @contextmanager
    def worker(self, name: str, queues: str) -> "Generator[subprocess.Popen[bytes]]":
        command = [sys.executable, "-m", "tests.support.held", name, queues]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                yield process
            finally:
                self.hold.unlink(missing_ok=True)
                process.terminate()
                process.wait(60)

    @contextmanager
    def workers(self) -> "Generator[subprocess.Popen[bytes]]":
        """Of all seats; gives that of the editor."""
        with self.worker("thinker", "planner,judge,verifier,control"), self.worker("editor", EDITOR) as editor:
            yield editor

    def render_of(self, job: str) -> list[dict[str, Any]]:
        """The tries of its render that are recorded."""
        return [attempt for attempt in self.archive.attempts(job) if attempt["kind"] == "render"]


@pytest.fixture
def floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Floor]:
    port = free_port()
    with redis_server(tmp_path / "redis", fsync="no") as redis, ExitStack() as s3, ExitStack() as resources:
        running = s3.enter_context(s3_server(tmp_path / "s3", port))
        variables = {
            "BROKER_URL": redis.url, "LEDGER_URL": redis.url, "S3_ENDPOINT": running.url, "S3_ACCESS_KEY": running.key,
            "S3_SECRET_KEY": running.secret, "RUN_DIR": str(tmp_path / "run"), "LEASE_TTL_S": "4",
            "RENEW_EVERY_S": "0.5", "RECONCILE_EVERY_S": "0.2", "HINT_AGE_S": "1", "RETRY_BASE_S": "0.2",
            "SEAT_ATTEMPTS": "2",
        }  # fmt: skip
        for name, value in variables.items():
            monkeypatch.setenv(f"{PREFIX}{name}", value)
        monkeypatch.setenv(instant.NOTES, str(tmp_path))
        settings = load_settings()
        reconciler, stop = resources.enter_context(open_reconciler(settings)), threading.Event()
        thread = threading.Thread(target=reconciler.run, args=(stop,))
        thread.start()
        resources.callback(thread.join)
        resources.callback(stop.set)
        ledger = resources.enter_context(Ledger(connect(settings.ledger_url), settings.limits))
        floor = Floor(settings, ledger, open_archive(settings)[0], make_app(settings), tmp_path, s3)
        floor.until(ledger.epoch)
        yield floor


def test_the_next_is_drawn_while_one_is_finished_and_no_third(floor: Floor) -> None:
    floor.hold.touch()
    broker = connect(floor.settings.broker_url)
    with floor.workers(), Rows(floor.app) as rows:
        jobs = [floor.submit(seed) for seed in range(4)]
        floor.until(lambda: len(floor.drawn()) == 2)
        floor.until(lambda: broker_queue_length(broker, EDITOR) == 2)  # one message is reserved: that of the second
        standing = {floor.record(job).status for job in jobs}
        assert standing == {JobStatus.RUNNING, JobStatus.QUEUED}
        assert sum(floor.record(job).step > 1 for job in jobs) == 0
        # Flower shows that they run until they are committed.
        floor.until(lambda: [*rows.states.values()].count("started") == 2)
        floor.hold.unlink()
        records = until_ended(floor.ledger, jobs)
        assert {record.status for record in records} == {JobStatus.DONE}
        assert len(floor.drawn()) == 4
        floor.until(lambda: set(rows.states.values()) == {"succeeded"})
    for job, record in zip(jobs, records, strict=True):
        chain = floor.archive.chain(job, record.snapshot)
        assert len(chain) == record.step
        assert [attempt["committed"] for attempt in floor.render_of(job)] == [True]


def test_a_process_that_dies_when_all_is_drawn_loses_these_tries_only(floor: Floor) -> None:
    floor.hold.touch()
    with floor.workers():
        jobs = [floor.submit(seed) for seed in (1, 2)]
        floor.until(lambda: len(floor.drawn()) == 2)
        os.kill(floor.drawn()[0], signal.SIGKILL)
        floor.hold.unlink()
        records = until_ended(floor.ledger, jobs)
        again = until_ended(floor.ledger, [floor.submit(seed) for seed in (1, 2)])
    assert len(floor.drawn()) == 2 + 2 + 2
    assert {record.status for record in records} == {JobStatus.DONE}
    for record, undisturbed in zip(records, again, strict=True):
        done, other = (floor.archive.load_snapshot(each.snapshot).trajectory for each in (record, undisturbed))
        assert done.model_dump_json() == other.model_dump_json()
        assert len(floor.archive.chain(record.job, record.snapshot)) == record.step == undisturbed.step


def test_a_shutdown_ends_what_is_drawn(floor: Floor) -> None:
    floor.hold.touch()
    with floor.worker("thinker", "planner,judge,verifier,control"), Rows(floor.app) as rows:
        with floor.worker("editor", EDITOR) as editor:
            job = floor.submit(1)
            floor.until(lambda: floor.drawn())
            editor.send_signal(signal.SIGTERM)
            floor.until(lambda: "Warm shutdown" in (floor.folder / "editor.log").read_text())
            assert floor.record(job).step == 1
            floor.hold.unlink()
            assert editor.wait(60) == 0
        (record,) = until_ended(floor.ledger, [job])
        floor.until(lambda: set(rows.states.values()) == {"succeeded"})
    assert (record.status, len(floor.drawn())) == (JobStatus.DONE, 1)


def test_a_cancel_comes_through(floor: Floor) -> None:
    floor.hold.touch()
    with floor.workers():
        job = floor.submit(1)
        floor.until(lambda: floor.drawn())
        assert floor.ledger.cancel(job) is None
        floor.hold.unlink()
        (record,) = until_ended(floor.ledger, [job])
    assert record.status is JobStatus.CANCELLED
    trajectory = floor.archive.load_snapshot(record.snapshot).trajectory
    assert [event.kind for event in trajectory.events][-2:] == ["rendered", "stopped"]


def test_an_encoder_that_breaks_is_charged_and_shown(floor: Floor) -> None:
    (floor.folder / "broken").touch()
    with floor.workers(), Rows(floor.app) as rows:
        (record,) = until_ended(floor.ledger, [floor.submit(1)])
        # A try is red; hints that came twice are not.
        floor.until(lambda: [*rows.states.values()].count("failed") == 2 and "started" not in rows.states.values())
    assert record.status is JobStatus.FAILED
    error = json.loads(record.error)
    assert (error["boundary"], error["actor"]) == ("editor", "seat")
    assert "the encoder broke on purpose" in error["message"]


def test_storage_that_goes_away_when_all_is_drawn_is_an_outage(floor: Floor) -> None:
    floor.hold.touch()
    with floor.workers():
        job = floor.submit(1)
        floor.until(lambda: floor.drawn())
        floor.s3.close()
        floor.hold.unlink()
        record = floor.until(lambda: (found := floor.record(job)).error and found)
        error = json.loads(record.error)
        assert (error["boundary"], error["actor"]) == ("store", "outage")
        with s3_server(floor.folder / "s3", key=floor.settings.s3_access_key, port=_port(floor),
                       secret=floor.settings.s3_secret_key.get_secret_value()):  # fmt: skip
            (record,) = until_ended(floor.ledger, [job])
    assert (record.status, record.seat_failures) == (JobStatus.DONE, 0)


def _port(floor: Floor) -> int:
    return int(floor.settings.s3_endpoint.rpartition(":")[2])
