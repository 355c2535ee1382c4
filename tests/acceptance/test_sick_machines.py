"""A sick machine is no job's fault, and an outage nobody's: real workers over real Redis and S3, without an API."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from director.types import Brief, LoopSettings
from infra.servers import CHECKOUT, redis_server
from tasks.app import make_app, open_archive, open_reconciler, send_hint
from tasks.jobs import JobStatus
from tasks.ledger.ledger import Ledger, connect
from tasks.ledger.types import Record
from tasks.settings import PREFIX, Settings
from tasks.store import Archive
from tests.support.queue import submit, until_ended

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

JOBS = 40
SMALL = LoopSettings(candidates=1, adaptive=False, judge=False, rounds=1, width=128, height=128)


@dataclass
class Floor:
    """Redis, S3, a reconciler in this process, and whatever workers a test starts."""

    settings: Settings
    ledger: Ledger
    archive: Archive
    folder: Path
    resources: ExitStack
    workers: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def start(self, name: str, *command: str, **environment: str) -> None:
        words = {f"{PREFIX}{key.upper()}": _word(value) for key, value in self.settings.model_dump().items() if value}
        with (self.folder / f"{name}.log").open("w") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=CHECKOUT,
                env={**os.environ, **words, **environment},
                stdout=log,
                stderr=log,
            )
        self.resources.callback(worker.wait, 30)
        self.resources.callback(worker.terminate)

    def editor(self, name: str, health: str = "well") -> Path:
        file = self.folder / f"{name}.health"
        file.write_text(health)
        self.start(name, "tests.support.fleet", name, str(file))
        return file

    def thinker(self) -> None:
        self.start("thinker", "worker.cli", "start", "--seats", "planner,judge,verifier,control", "--name", "thinker")

    def until(self, true: Callable[[], Any], seconds: float = 60) -> Any:
        end = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < end, self.logs()
            time.sleep(0.05)
        return found

    def served(self, *queues: str, workers: int = 1) -> None:
        self.until(lambda: all(len(self.ledger.served().get(queue, [])) >= workers for queue in queues))

    def submit(self, jobs: int) -> list[str]:
        app = make_app(self.settings)
        return [
            submit(self.ledger, self.archive, Brief(text="A red cup stands in the middle."), SMALL,
                   lambda hint: send_hint(app, hint), seed)
            for seed in range(jobs)
        ]  # fmt: skip

    def finish(self, jobs: int) -> tuple[float, list[Record]]:
        began = time.monotonic()
        records = until_ended(self.ledger, self.submit(jobs), 120)
        return time.monotonic() - began, records

    def logs(self) -> str:
        return "\n".join(f"{log.name}: {log.read_text()[-3000:]}" for log in self.folder.glob("*.log"))


def _word(value: Any) -> str:
    import json

    if hasattr(value, "get_secret_value"):
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, dict) else ",".join(value) if isinstance(value, tuple) else str(value)


@contextmanager
def a_floor(folder: Path, settings: Settings) -> Iterator[Floor]:
    with ExitStack() as resources:
        running = resources.enter_context(redis_server(folder / "redis"))
        times = {
            "rest_s": 0.5,
            "canary_s": 1.5,
            "retry_base_s": 0.3,
            "retry_cap_s": 3.0,
            "reconcile_every_s": 0.2,
            "hint_age_s": 1.0,
        }
        settings = settings.model_copy(
            update={"ledger_url": running.url, "broker_url": running.url, "run_dir": folder / "run", **times}
        )
        reconciler = resources.enter_context(open_reconciler(settings))
        stop = threading.Event()
        thread = threading.Thread(target=reconciler.run, args=(stop,))
        thread.start()
        resources.callback(thread.join)
        resources.callback(stop.set)
        ledger = resources.enter_context(Ledger(connect(settings.ledger_url), settings.limits))
        floor = Floor(settings, ledger, open_archive(settings)[0], folder, resources)
        floor.until(ledger.epoch)
        yield floor


@pytest.fixture
def floor(tmp_path: Path, s3_settings: Settings) -> Iterator[Floor]:
    with a_floor(tmp_path, s3_settings) as made:
        yield made


def test_a_sick_editor_beside_a_healthy_one(floor: Floor) -> None:
    floor.thinker()
    floor.editor("well")
    floor.served("planner", "verifier", "editor.flux-krea")
    floor.finish(2)  # the studios are open
    alone, _ = floor.finish(JOBS)
    health = floor.editor("sick", "sick")
    floor.served("editor.flux-krea", workers=2)
    both, records = floor.finish(JOBS)
    print(f"{JOBS} jobs: {alone:.1f} s by the healthy one alone, {both:.1f} s beside a sick one: {alone / both:.0%}")
    assert {record.status for record in records} == {JobStatus.DONE}
    assert floor.ledger.tallies().dead_letters == {}
    assert floor.ledger.holds() == []

    [sick] = floor.until(lambda: [one for one in floor.ledger.sick_workers() if one.quarantined_ms])
    assert sick.worker.startswith("sick@")
    assert "fell off the bus" in sick.why
    assert sick.failures == 3
    assert floor.logs().count("canary went well") == 0
    health.write_text("well")
    floor.until(lambda: floor.ledger.sick_workers() == [])
    assert "canary went well" in floor.logs()
    floor.until(lambda: "takes steps again" in (floor.folder / "sick.log").read_text())
    _, records = floor.finish(10)
    assert {record.status for record in records} == {JobStatus.DONE}
    assert (floor.folder / "sick.log").read_text().count("step committed") > 0


def test_the_only_editor_that_fails_holds_its_queue(floor: Floor) -> None:
    floor.thinker()
    health = floor.editor("only", "sick")
    floor.served("planner", "verifier", "editor.flux-krea")
    jobs = floor.submit(6)
    [hold] = floor.until(floor.ledger.holds)
    assert (hold.queue, hold.actor.value) == ("editor.flux-krea", "operator")
    assert hold.why.startswith("every editor of this queue fails: RuntimeError: CUDA error")
    time.sleep(2)
    health.write_text("well")
    records = until_ended(floor.ledger, jobs, 60)
    assert {record.status for record in records} == {JobStatus.DONE}
    assert floor.ledger.holds() == []
