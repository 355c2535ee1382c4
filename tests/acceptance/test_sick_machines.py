"""A sick machine is no job's fault, and an outage nobody's: real workers over real Redis and S3, without an API."""

import json
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

from director.errors import Actor
from director.types import Brief, LoopSettings
from infra.servers import CHECKOUT, free_port, redis_server
from tasks.app import make_app, open_archive, open_reconciler, send_hint
from tasks.jobs import JobStatus
from tasks.ledger.ledger import Ledger, connect
from tasks.ledger.types import Record
from tasks.settings import PREFIX, Settings
from tasks.store import Archive
from tests.support.queue import submit, until_ended
from tests.support.scripted_openai import Scripted, fails, plays_all_seats, scripted
from worker.checks.doctor import examine

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

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

    def start(self, name: str, *command: str) -> None:
        changed = {f"{PREFIX}{key.upper()}": _word(value) for key, value in self.settings.model_dump().items() if value}
        environment = {**os.environ, **changed}
        with (self.folder / f"{name}.log").open("w") as log:
            words = [sys.executable, "-m", *command]
            worker = subprocess.Popen(words, cwd=CHECKOUT, env=environment, stdout=log, stderr=log)
        self.resources.callback(worker.wait, 30)
        self.resources.callback(worker.terminate)

    def editor(self, name: str, health: str = "well") -> Path:
        file = self.folder / f"{name}.health"
        file.write_text(health)
        self.start(name, "tests.support.fleet", name, str(file))
        return file

    def thinker(self, *more: str) -> None:
        seats = ("--seats", "planner,judge,verifier,control", "--name", "thinker", "--concurrency", "2")
        self.start("thinker", "worker.cli", "start", *seats, *more)

    def until(self, true: Callable[[], Any], seconds: float = 60) -> Any:
        end = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < end, f"{self.ledger.holds()}\n{self.logs()}"
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

    def finish(self, jobs: int) -> list[Record]:
        return until_ended(self.ledger, self.submit(jobs), 120)

    def logs(self) -> str:
        return "\n".join(f"{log.name}: {log.read_text()[-3000:]}" for log in self.folder.glob("*.log"))


def _word(value: Any) -> str:
    if hasattr(value, "get_secret_value"):
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, dict) else ",".join(value) if isinstance(value, tuple) else str(value)


@contextmanager
def a_floor(folder: Path, settings: Settings) -> Iterator[Floor]:
    with ExitStack() as resources:
        running = resources.enter_context(redis_server(folder / "redis"))
        times = {
            "rest_s": 0.5, "canary_s": 0.3, "retry_base_s": 0.3, "retry_cap_s": 2.0, "reconcile_every_s": 0.2,
            "hint_age_s": 1.0,
        }  # fmt: skip
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
    health = floor.editor("sick", "sick")
    floor.served("editor.flux-krea", workers=2)
    while not (quarantined := [one for one in floor.ledger.sick_workers() if one.quarantined_ms]):
        assert {record.status for record in floor.finish(5)} == {JobStatus.DONE}
    assert floor.ledger.tallies().dead_letters == {}
    assert floor.ledger.holds() == []

    [sick] = quarantined
    assert sick.worker.startswith("sick@")
    assert "fell off the bus" in sick.why
    assert sick.failures == 3
    assert floor.logs().count("canary went well") == 0
    health.write_text("well")
    floor.until(lambda: floor.ledger.sick_workers() == [])
    assert "canary went well" in floor.logs()
    floor.until(lambda: "takes steps again" in (floor.folder / "sick.log").read_text())
    while "step committed" not in (floor.folder / "sick.log").read_text():
        assert {record.status for record in floor.finish(5)} == {JobStatus.DONE}


def test_the_only_editor_that_fails_holds_its_queue(floor: Floor) -> None:
    floor.thinker()
    health = floor.editor("only", "sick")
    floor.served("planner", "verifier", "editor.flux-krea")
    jobs = floor.submit(6)
    [hold] = floor.until(floor.ledger.holds)
    assert (hold.queue, hold.actor.value) == ("editor.flux-krea", "operator")
    assert hold.why.startswith("every editor of this queue fails: RuntimeError: CUDA error")
    [check] = [check for check in examine(floor.settings) if check.name == "held"]
    assert not check.ok
    assert "editor.flux-krea is held" in check.found
    health.write_text("well")
    records = until_ended(floor.ledger, jobs, 60)
    assert {record.status for record in records} == {JobStatus.DONE}
    assert floor.ledger.holds() == []
    assert ("held", True) in {(check.name, check.ok) for check in examine(floor.settings)}


def profile(folder: Path, port: int) -> str:
    """Sketch editors, and a VLM server that is given up early: tests have no ten minutes."""
    seat = {"url": f"http://127.0.0.1:{port}/v1", "model": "m", "timeout_s": 1, "deadline_s": 2, "retry_wait_s": 0}
    vlm = {"planner": seat, "judge": seat, "verifier": {**seat, "ocr": False, "verify": "structured"}}
    path = folder / "vlm.json"
    about = "a server that is away now and then"
    path.write_text(json.dumps({"about": about, "vlm": vlm, "boxes": {"here": {"memory": 4}}}))
    return str(path)


def test_a_vlm_server_that_is_away_costs_nobody_a_try(floor: Floor) -> None:
    port = free_port()
    floor.thinker("--profile", profile(floor.folder, port))
    floor.editor("editor")
    floor.served("planner", "verifier", "editor.flux-krea")
    jobs = floor.submit(12)

    def stands(actor: Actor, why: str) -> None:
        [hold] = floor.until(lambda: [one for one in floor.ledger.holds() if one.actor is actor and why in one.why])
        assert f"http://127.0.0.1:{port}/v1" in hold.resource
        time.sleep(0.5)
        records = [floor.ledger.get(job) for job in jobs]
        assert {(record.status.value, record.seat_failures) for record in records if record} <= {
            ("queued", 0), ("running", 0),
        }  # fmt: skip

    stands(Actor.OUTAGE, "refused")
    with scripted(Scripted(b"", wait=3), port=port) as server:
        stands(Actor.OUTAGE, "timed out")
        server.answers = [fails(401, "Incorrect API key provided")]
        stands(Actor.OPERATOR, "Incorrect API key")
        server.answers = [fails(404, "LoRA adapter vd-planner is not loaded")]
        stands(Actor.OPERATOR, "not loaded")
        server.answers = [fails(400, "Invalid schema: prefixItems")]
        stands(Actor.OPERATOR, "prefixItems")
        server.answers = [Scripted(b'{"object": "error", "message": "out of memory"}')]
        stands(Actor.OUTAGE, "out of memory")
        for headers in ({"Retry-After": "1"}, {}):
            server.answers = [Scripted(b"{}", 429, headers=headers)]
            stands(Actor.OUTAGE, "429")
        server.answers = [plays_all_seats]
        records = until_ended(floor.ledger, jobs, 60)
    assert {record.status for record in records} == {JobStatus.DONE}
    assert floor.ledger.tallies().dead_letters == {}
    assert floor.ledger.holds() == []


def test_a_poison_request_does_not_hide_behind_an_outage(floor: Floor) -> None:
    def chokes_on_poison(request: dict[str, Any]) -> Scripted:
        return fails(500, "index out of range") if "poison" in json.dumps(request) else plays_all_seats(request)

    with scripted(chokes_on_poison) as server:
        floor.thinker("--profile", profile(floor.folder, int(server.url.split(":")[2].split("/")[0])))
        floor.editor("editor")
        floor.served("planner", "verifier", "editor.flux-krea")
        app = make_app(floor.settings)
        brief = Brief(text="A poison bottle stands in the middle.")
        poison = submit(floor.ledger, floor.archive, brief, SMALL, lambda hint: send_hint(app, hint))
        more = floor.submit(5)
        while (record := floor.ledger.get(poison)) and not record.ended:
            assert {one.status for one in until_ended(floor.ledger, more, 60)} == {JobStatus.DONE}
            more = floor.submit(1)
        assert record
        assert (record.status, record.seat_failures) == (JobStatus.FAILED, 3)
    assert floor.ledger.tallies().dead_letters == {"planner": 1}
