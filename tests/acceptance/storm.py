"""`make storm`: jobs run while workers, Redis and S3 are killed, wiped and stopped under them.

Twenty jobs are sent to a real stack, and fifty clients follow their event streams, one of which reads
slowly. Every two seconds a random worker process dies of kill -9, eight times; Redis is killed and
restarted once and wiped once; S3 is stopped for ten seconds once; the API is killed once. Then: every
job has ended, its snapshots are one unbroken chain, every client saw every event of its job once and
in order, nobody is a dead letter, and every final trajectory and picture is byte for byte that of an
undisturbed run.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from redis import Redis

from api.client import Client
from director.state import State
from director.types import Brief, LoopSettings
from infra.stack import Stack
from tasks.jobs import TERMINAL, JobStatus
from tasks.ledger.ledger import Ledger, connect
from tasks.ledger.types import Record, Wiped
from tasks.settings import PREFIX, Settings
from tasks.store import Archive, FolderStore, Images, S3Store
from worker.local import run
from worker.studio import open_studio

KILLS = 8
EVERY_SECONDS = 2.0
S3_AWAY_SECONDS = 10.0
WORKERS = 5
CLIENTS = 50
SLOW_SECONDS = 0.3  # what the slow client does with each event
LONGEST_SECONDS = 300.0
SETTINGS = LoopSettings(candidates=3, rounds=6, width=320, height=320)
BRIEFS = (
    "A red cup stands in the middle. Set the text 'FIRST PRESS' at the top. Soft light comes from the left. "
    "Put a ginger cat at the lower left. Scatter three orange leaves at the bottom. A vignette darkens the edges.",
    "A yellow moon hangs at the upper right. A white house stands at the bottom. Write 'LATE SHOW' at the top. "
    "Put two black birds at the upper left. Keep a palette of navy and cream. Add a faint film grain of 15%.",
    "A large blue bicycle fills the middle. Put a green tree at the right. Set 'RIDE OUT' across the top. "
    "Write 'Sunday 9 am' along the bottom edge. Light falls from the right. Place a red flower at the lower left.",
    "A purple umbrella stands in the middle. Put a yellow star at the upper left. Two white clouds hang at the top. "
    "Set the text 'RAIN CHECK' at the bottom. A soft blur over the background. Keep a palette of grey and purple.",
)


@dataclass
class Report:
    """What a storm did and what came of it."""

    jobs: int = 0
    steps: int = 0
    kills: int = 0
    repeats: int = 0  # tries of steps before the one that was committed
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list[str])


Finals = dict[int, tuple[str, bytes]]


def storm(var: Path, seed: int, jobs: int, tell: Callable[[str], None] = print) -> Report:
    """Run one storm over a stack in `var`; `faults` in the report is empty when all held."""
    source, report, started = random.Random(seed), Report(jobs=jobs), time.monotonic()
    wanted = undisturbed(jobs)
    tell(f"undisturbed: {jobs} jobs in {time.monotonic() - started:.0f} s")
    started = time.monotonic()
    with Stack(var, workers=WORKERS, flower=False) as stack, ExitStack() as resources:
        settings = Settings.model_validate(
            {key.removeprefix(PREFIX).lower(): value for key, value in _environment(stack).items()}
        )
        ledger = resources.enter_context(Ledger(connect(settings.ledger_url), settings.limits))
        store = S3Store(settings)
        client = resources.enter_context(Client(stack.api_url, stack.token))
        ids = [client.submit({"text": text}, settings=_chosen(), seed=n).id for n, text in _briefs(jobs)]
        tell(f"{jobs} jobs submitted")
        watchers = [Watcher(stack, ids[n % jobs], SLOW_SECONDS if n == 0 else 0.0) for n in range(max(CLIENTS, jobs))]
        end = time.monotonic() + LONGEST_SECONDS
        _rage(stack, settings, source, report, tell)
        records = _until_ended(ledger, ids, end, report)
        for watcher in watchers:
            watcher.join(max(0.0, end - time.monotonic()) + 5)
        report.seconds = time.monotonic() - started
        _examine(Archive(store), Images(store), records, wanted, watchers, report)
    return report


def undisturbed(jobs: int) -> Finals:
    """The same jobs in this machine's processes, without a queue."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        return dict(enumerate(pool.map(_one, *zip(*_briefs(jobs), strict=True))))


def _briefs(jobs: int) -> list[tuple[int, str]]:
    return [(n, BRIEFS[n % len(BRIEFS)]) for n in range(jobs)]


def _one(seed: int, text: str) -> tuple[str, bytes]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as resources:
        images = Images(FolderStore(Path(folder)))
        done = run(Brief(text=text), SETTINGS, seed, open_studio(Settings(), resources), images)
        final = State.of(done).deliverable
        return done.model_dump_json(), images.get(final) if final else b""


def _chosen() -> dict[str, object]:
    return SETTINGS.model_dump(mode="json", exclude_defaults=True)


def _environment(stack: Stack) -> dict[str, str]:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    return {key: value for key, value in stack.settings.items() if key in known and key != f"{PREFIX}TOKENS"}


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
                    self.ids.append(event.id)
                    self.seen.append(json.dumps(event.data, sort_keys=True))

    def faults(self, told: Sequence[str]) -> list[str]:
        """What is wrong with what it saw, if the job's events are `told`."""
        if self.is_alive():
            return [f"{self.job}: its event stream did not end"]
        if len(self.ids) != len(set(self.ids)):
            return [f"{self.job}: an event id came twice"]
        if self.seen != list(told):
            return [f"{self.job}: a client saw {len(self.seen)} events, not the job's {len(told)} once and in order"]
        return []


# --- the weather ------------------------------------------------------------------------------


def _rage(stack: Stack, settings: Settings, source: random.Random, report: Report, tell: Callable[[str], None]) -> None:
    """Kill, kill, wipe: each at a moment of its own between the kills."""
    workers = [process.name for process in stack.processes() if _is_worker(process.name)]
    orders: dict[int, Callable[[], None]] = {
        2: lambda: _kill_redis(stack, tell),
        4: lambda: _wipe(settings, tell),
        5: lambda: _kill_api(stack, tell),
        6: lambda: _stop_s3(stack, tell),
    }
    for number in range(1, KILLS + 1):
        time.sleep(EVERY_SECONDS)
        tell(f"kill -9 of {_kill_one(stack, source, workers)}")
        report.kills += 1
        if order := orders.get(number):
            order()


def _is_worker(name: str) -> bool:
    return name not in ("redis", "s3", "api", "reconciler", "flower")


def _kill_one(stack: Stack, source: random.Random, workers: Sequence[str]) -> str:
    """A process of a worker: its parent, its lease-holding child, whichever comes."""
    while True:
        name = source.choice(workers)
        if pids := stack.pids(name):
            pid = source.choice(pids)
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
                return f"{name} ({'parent' if pid == pids[0] else 'child'} {pid})"
        time.sleep(0.1)


def _kill_redis(stack: Stack, tell: Callable[[str], None]) -> None:
    tell("kill -9 of redis; the supervisor starts it again")
    stack.kill("redis")


def _kill_api(stack: Stack, tell: Callable[[str], None]) -> None:
    tell("kill -9 of the API; its readers come back to the next one")
    stack.kill("api")


def _wipe(settings: Settings, tell: Callable[[str], None]) -> None:
    tell("FLUSHALL: messages and ledger are gone")
    with Redis.from_url(settings.ledger_url) as client:
        client.flushall()


def _stop_s3(stack: Stack, tell: Callable[[str], None]) -> None:
    tell(f"S3 stopped for {S3_AWAY_SECONDS:.0f} s")
    stack.stop("s3")
    time.sleep(S3_AWAY_SECONDS)
    stack.start("s3")


# --- afterwards -------------------------------------------------------------------------------


def _until_ended(ledger: Ledger, ids: Sequence[str], end: float, report: Report) -> list[Record]:
    records: list[Record] = []
    for job in ids:
        record: Record | None = None
        while time.monotonic() < end:
            with suppress(Wiped):
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
            report.faults.append(f"{job} has not ended: {record.status} at step {record.step} on {record.queue}")
    return records


def _ended_before(job: str) -> Record:
    blank = dict.fromkeys(Record.model_fields, "")
    numbers = dict.fromkeys(
        ("created_ms", "priority", "step", "seat_failures", "lease_deaths", "not_before_ms", "hinted_ms"), 0
    )
    return Record.model_validate({**blank, **numbers, "job": job, "status": JobStatus.DONE, "cancel": False})


def _examine(
    archive: Archive,
    images: Images,
    records: Sequence[Record],
    wanted: Finals,
    watchers: Sequence[Watcher],
    report: Report,
) -> None:
    order = {watcher.job: n for n, watcher in reversed(list(enumerate(watchers)))}  # the first of each job
    for record in records:
        if record.status is JobStatus.FAILED:
            report.faults.append(f"{record.job} is a dead letter: {record.error}")
        key = record.snapshot or archive.latest(record.job)
        if key is None:
            report.faults.append(f"{record.job} left no snapshot")
            continue
        chain = archive.chain(record.job, key)  # raises where a link is missing or does not match
        report.steps += len(chain)
        report.repeats += sum(
            attempt["attempt"] - 1 for attempt in archive.attempts(record.job) if attempt["committed"]
        )
        done = chain[-1].trajectory
        text, picture = wanted[order[record.job]]
        if done.model_dump_json() != text:
            report.faults.append(f"{record.job} ended with another trajectory than undisturbed")
        final = State.of(done).deliverable
        if (images.get(final) if final else b"") != picture:
            report.faults.append(f"{record.job} ended with another picture than undisturbed")
        told = [json.dumps(event.model_dump(mode="json"), sort_keys=True) for event in done.events]
        for watcher in watchers:
            if watcher.job == record.job:
                report.faults.extend(watcher.faults(told))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Kill everything while jobs run, and see that nothing is lost.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=20)
    parsed = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="vd-storm-") as var:
        report = storm(Path(var), parsed.seed, parsed.jobs, tell=lambda line: print(line, flush=True))
    for fault in report.faults:
        print(f"FAULT  {fault}")
    print(
        f"{report.jobs} jobs, {report.steps} steps committed, {report.kills} workers killed, "
        f"{report.repeats} tries repeated, {report.seconds:.0f} s: {'FAILED' if report.faults else 'all held'}"
    )
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
