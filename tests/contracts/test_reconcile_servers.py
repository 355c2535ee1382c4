"""Ledger, messages and objects on real servers, emptied while jobs run: every job ends, with one unbroken chain."""

import random
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import kombu
from redis import Redis

from director.types import StopReason
from infra.servers import redis_server
from tasks.jobs import Job, JobStatus
from tasks.ledger.ledger import Ledger, broker_queue_length
from tasks.ledger.types import Claim, CommitResult, Hint, Next, Wiped
from tasks.reconcile import Reconciler, entry_of
from tasks.settings import Settings
from tasks.store import Archive, S3Store
from tests.support import recorded_jobs
from tests.support.ledgers import patient

STEPS, JOBS, WORKERS, QUEUES = 6, 8, 3, ("planner", "control")


@dataclass
class Floor:
    """Workers that take messages from the lists of a real broker, and sometimes die over them."""

    ledger: Ledger
    archive: Archive
    broker: "Redis"
    stop: threading.Event = field(default_factory=threading.Event)

    def send(self, hint: Hint) -> None:
        self.broker.lpush(f"{hint.queue}:6", hint.model_dump_json())

    def work(self, seed: int) -> None:
        choose = random.Random(seed)
        while not self.stop.is_set():
            message = self.broker.rpop(choose.choice(QUEUES) + ":6")
            if message is None:
                self.stop.wait(0.01)
            elif choose.random() > 0.1:  # otherwise this worker died before its claim
                with suppress(Wiped):
                    self.step(Hint.model_validate_json(str(message)), dies=choose.random() < 0.1)

    def step(self, hint: Hint, dies: bool) -> None:
        claim = self.ledger.claim(hint.job, hint.n, "floor")
        if not isinstance(claim, Claim) or dies:
            return
        job = self.archive.load_job(hint.job)
        reason = StopReason.SATISFIED if hint.n == STEPS - 1 else None
        if claim.cancel:
            reason = StopReason.CANCELLED
        key = recorded_jobs.save_step(self.archive, job, hint.n, claim.snapshot, claim.nonce, reason)
        following = None if reason else Next(queue="planner", kind="plan")
        ends = {None: JobStatus.QUEUED, StopReason.SATISFIED: JobStatus.DONE, StopReason.CANCELLED: JobStatus.CANCELLED}
        result = self.ledger.commit(
            hint.job, hint.n, claim.nonce, key, following, ends[reason], reason or "", reason is StopReason.CANCELLED
        )
        if result is CommitResult.OK and reason:
            self.archive.unmark_live(hint.job)
        elif result is CommitResult.OK:
            self.send(hint.model_copy(update={"n": hint.n + 1, "queue": "planner", "kind": "plan"}))


def reconciler(floor: Floor, settings: Settings) -> Reconciler:
    def length(queue: str) -> int:
        return broker_queue_length(floor.broker, queue)

    return Reconciler(floor.ledger, floor.archive, settings, floor.send, length)


def submit(floor: Floor, job: Job) -> None:
    """As the API does: storage first, then ledger and message; while the ledger is wiped, the caller tries again."""
    recorded_jobs.submitted(floor.archive, job)
    entry = entry_of(floor.archive, job.id)
    assert entry
    while True:
        try:
            floor.ledger.create(entry)
            return
        except Wiped:
            time.sleep(0.01)


def test_jobs_outlive_two_wipes_of_ledger_and_broker(tmp_path: Path, s3_settings: Settings) -> None:
    with redis_server(tmp_path) as running:
        settings = s3_settings.model_copy(
            update={
                "ledger_url": running.url, "lease_ttl_s": 0.6, "lease_deaths": 1000, "reconcile_every_s": 0.05,
                "hint_age_s": 0.2, "audit_every_s": 0.5,
            }
        )  # fmt: skip
        store = S3Store(settings)
        with Ledger(patient(settings.ledger_url), settings.limits) as ledger, patient(running.url) as broker:
            floor = Floor(ledger, Archive(store), broker)
            reconcilers = [reconciler(floor, settings) for _ in range(2)]
            threads = [threading.Thread(target=floor.work, args=(seed,)) for seed in range(WORKERS)]
            threads += [threading.Thread(target=one.run, args=(floor.stop,)) for one in reconcilers]
            for thread in threads:
                thread.start()
            try:
                jobs = [recorded_jobs.job(f"{i}") for i in range(JOBS)]
                for job in jobs:
                    submit(floor, job)
                for _ in range(2):
                    time.sleep(0.4)
                    broker.flushall()
                deadline = time.monotonic() + 90
                while live := floor.archive.live():  # a wiped ledger knows nothing of what had ended
                    assert time.monotonic() < deadline, [ledger.get(job) for job in live]
                    time.sleep(0.05)
            finally:
                floor.stop.set()
                for thread in threads:
                    thread.join()
        fresh = Archive(store)
        for job in jobs:
            key = fresh.latest(job.id)
            assert key
            chain = fresh.chain(job.id, key)
            assert [snapshot.n for snapshot in chain] == list(range(STEPS))
            assert chain[-1].trajectory.stop
        store.close()


def test_a_message_of_a_real_broker_is_counted(tmp_path: Path) -> None:
    """kombu's own keys: the lists that a hint lies in are those that `broker_queue_length` counts."""
    with redis_server(tmp_path, fsync="no") as running, patient(running.url) as broker:
        options = {"sep": ":", "priority_steps": [0, 3, 6, 9]}
        with kombu.Connection(running.url, transport_options=options) as connection:
            for priority in (0, 2, 3, 6, 7, 9):
                producer = connection.Producer()
                queue = kombu.Queue("editor.flux", routing_key="editor.flux")
                producer.publish({}, routing_key="editor.flux", priority=priority, declare=[queue])
        assert broker_queue_length(broker, "editor.flux") == 6
