"""What is watched during a storm and examined after it."""

import json
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

import httpx

from api.client import Client
from director.errors import StoreError
from director.state import State
from infra.stack import Stack
from tasks.jobs import TERMINAL, JobStatus
from tasks.ledger.ledger import Ledger
from tasks.ledger.types import Record
from tasks.store import Archive, Images, NotFound
from tasks.store.archive import job_key

Final = tuple[str, bytes]
"""The trajectory as JSON, and the picture."""


class Harm(StrEnum):
    """What may come of a fault."""

    LOST = "lost"
    STUCK = "stuck"
    WRONG = "wrong"


@dataclass
class Row:
    """A kind of fault: how often it came, and which jobs it met (None: all)."""

    times: int = 0
    jobs: set[str] | None = None


@dataclass
class Report:
    """What a storm did and what came of it."""

    jobs: int = 0
    steps: int = 0
    kills: int = 0
    repeats: int = 0  # tries of steps before the one that was committed
    rewinds: int = 0
    asked: int = 0  # how often readiness was asked for, and how often it was refused
    refused: int = 0
    seconds: float = 0.0
    night: str = ""  # what came of the batch
    rows: dict[str, Row] = field(default_factory=dict[str, Row])
    harm: dict[Harm, set[str]] = field(default_factory=lambda: {harm: set[str]() for harm in Harm})
    faults: list[str] = field(default_factory=list[str])

    def complain(self, harm: Harm, job: str, what: str) -> None:
        self.harm[harm].add(job)
        self.faults.append(f"{harm}  {job}: {what}")

    def happened(self, fault: str, job: str | None = None) -> None:
        """The fault came; `job` is the only one that it met, None if it met all."""
        row = self.rows.setdefault(fault, Row())
        row.times += 1
        if job:
            row.jobs = (row.jobs or set()) | {job}

    def table(self) -> list[str]:
        """A line for each kind of fault: what came of the jobs that it met."""
        lines = [f"{'fault':<58}{'times':>6}{'jobs':>6}{'lost':>6}{'stuck':>6}{'wrong':>6}"]
        for fault, row in self.rows.items():
            met = {harm: jobs if row.jobs is None else jobs & row.jobs for harm, jobs in self.harm.items()}
            jobs = self.jobs if row.jobs is None else len(row.jobs)
            lines.append(f"{fault:<58}{row.times:>6}{jobs:>6}" + "".join(f"{len(met[harm]):>6}" for harm in Harm))
        return lines


class Watcher(threading.Thread):
    """Follows a job's events as a client does, and keeps what it saw. `slow`: seconds that it takes for each."""

    def __init__(self, stack: Stack, job: str, slow: float) -> None:
        super().__init__(name=f"watch-{job}", daemon=True)
        self.job = job
        self.ids: list[str] = []
        self.seen: list[str] = []
        self._url, self._token, self._slow = stack.api_url, stack.token, slow
        self.start()

    def run(self) -> None:
        with Client(self._url, self._token) as client:
            for event in client.events(self.job):
                time.sleep(self._slow)
                if event.kind != "end":
                    self.saw(event.id, event.data)

    def saw(self, id: str, data: object) -> None:
        self.ids.append(id)
        self.seen.append(json.dumps(data, sort_keys=True))

    def complain(self, told: Sequence[str], report: Report) -> None:
        """Say what is wrong with what it saw, if the job's events are `told`."""
        if self.is_alive():
            report.complain(Harm.STUCK, self.job, "its event stream did not end")
        elif len(self.ids) != len(set(self.ids)):
            report.complain(Harm.WRONG, self.job, "an event id came twice")
        elif self.seen != list(told):
            what = f"a client saw {len(self.seen)} events, not the job's {len(told)} once and in order"
            report.complain(Harm.WRONG, self.job, what)


class Leaver(Watcher):
    """Reads the stream itself, leaves after each event, and comes again behind the last one. It forgets what it saw."""

    def run(self) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        with httpx.Client(base_url=self._url, headers=headers, timeout=30, trust_env=False) as client:
            while not self._is_over(client):
                time.sleep(0.2)

    def _is_over(self, client: httpx.Client) -> bool:
        """One connection. True once the job's end was told."""
        resume = {"Last-Event-ID": self.ids[-1]} if self.ids else {}
        event: dict[str, str] = {}
        with (
            suppress(httpx.TransportError),
            client.stream("GET", f"/v1/jobs/{self.job}/events", headers=resume) as answer,
        ):
            if answer.status_code == 204:
                return True
            for line in answer.iter_lines() if answer.is_success else ():
                name, _, value = line.partition(": ")
                event[name] = value
                if line:
                    continue
                if event.get("event") == "end":
                    return True
                if "id" in event:
                    self.saw(event["id"], json.loads(event["data"]))
                    return False
                event = {}
        return False


class Readiness(threading.Thread):
    """Asks /readyz all the time, and keeps the moments of the questions to which it said no."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(name="readiness", daemon=True)
        self.asked, self.refused = 0, list[float]()
        self._url = f"{stack.api_url}/readyz"
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.25):
            self.asked += 1
            asked = time.monotonic()
            if not self.ready():
                self.refused.append(asked)

    def ready(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(self._url, timeout=10, trust_env=False).is_success
        return False

    def refused_since(self, begin: float) -> bool:
        """What was asked after that was refused."""
        return any(asked >= begin for asked in self.refused)

    def comes(self, seconds: float) -> bool:
        """True when the API is ready within that time."""
        return in_time(self.ready, seconds)

    def stop(self) -> None:
        self._over.set()
        self.join()


def in_time(true: Callable[[], bool], seconds: float) -> bool:
    """Whether it has come true within that time, at once when it has."""
    end = time.monotonic() + seconds
    while not (came := true()) and time.monotonic() < end:
        time.sleep(0.2)
    return came


def until_ended(ledger: Ledger, ids: Sequence[str], end: float, report: Report) -> list[Record]:
    """The jobs' records when they have ended; those that have not by then are complained of."""
    records: list[Record] = []
    for job in ids:
        record: Record | None = None
        while time.monotonic() < end:
            with suppress(StoreError):  # wiped, or slow to answer under all this
                record = ledger.get(job)
                # A job that ended before the wipe is in storage only.
                if record is None or record.status in TERMINAL:
                    break
            time.sleep(0.1)
        if record and record.status in TERMINAL:
            records.append(record)
        elif record is None:
            records.append(_ended_before(job))
        else:
            where = f"{record.status} at step {record.step} on {record.queue}: {record.error}"
            report.complain(Harm.STUCK, job, f"has not ended: {where}")
    return records


def _ended_before(job: str) -> Record:
    required = {name: field.annotation for name, field in Record.model_fields.items() if field.is_required()}
    blank = {name: "" if kind is str else 0 for name, kind in required.items()}
    return Record.model_validate({**blank, "job": job, "status": JobStatus.DONE, "cancel": False})


def examine(
    archive: Archive,
    images: Images,
    records: Sequence[Record],
    wanted: Mapping[str, tuple[str, bytes]],
    planted: str,
    holed: Collection[str],
    watchers: Sequence[Watcher],
    report: Report,
) -> None:
    """Complain of everything that is not as in the undisturbed run.

    The job `planted` has lost its job.json, and must be a dead letter that names it; `holed` ones have lost a snapshot.
    """
    for record in records:
        job = record.job
        if job == planted:
            if record.status is not JobStatus.FAILED or job_key(job) not in record.error:
                report.complain(Harm.WRONG, job, f"should be a dead letter that names {job_key(job)}: {record.error}")
            continue
        if record.status is JobStatus.FAILED:
            report.complain(Harm.WRONG, job, f"is a dead letter: {record.error}")
        key = record.snapshot or archive.latest(job)
        if key is None:
            report.complain(Harm.LOST, job, "left no snapshot")
            continue
        last = archive.load_snapshot(key) if job in holed else archive.chain(job, key)[-1]
        steps = last.n + 1
        report.steps += steps
        _examine_tries(archive, record, steps, job in holed, report)
        done = last.trajectory
        text, picture = wanted[job]
        if done.model_dump_json() != text:
            report.complain(Harm.WRONG, job, "ended with another trajectory than undisturbed")
        _examine_picture(images, job, State.of(done).deliverable, picture, report)
        told = [json.dumps(event.model_dump(mode="json"), sort_keys=True) for event in done.events]
        for watcher in watchers:
            if watcher.job == job:
                watcher.complain(told, report)


def _examine_tries(archive: Archive, record: Record, steps: int, holed: bool, report: Report) -> None:
    job = record.job
    tries = archive.attempts(job)
    report.repeats += sum(attempt["attempt"] - 1 for attempt in tries if attempt["committed"])
    if holed and not any("hole" in attempt for attempt in tries):
        report.complain(Harm.WRONG, job, "has lost a snapshot, and no attempt record tells it")
    void = [order.record["void"] for order in archive.controls(job, "rewind-")]
    report.rewinds += len(void)
    if record.cost.attempts - record.cost.wasted_attempts > steps + sum(map(len, void)):
        report.complain(Harm.WRONG, job, f"{steps} steps, and charged for more: {record.cost}")


def _examine_picture(images: Images, job: str, final: str | None, wanted: bytes, report: Report) -> None:
    try:
        picture = images.get(final) if final else b""
    except NotFound as gone:
        report.complain(Harm.LOST, job, str(gone))
        return
    if picture != wanted:
        report.complain(Harm.WRONG, job, "ended with another picture than undisturbed")
