"""The faults of a storm. Each happens to a real stack, and counts itself in the report."""

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from redis import Redis

from director.errors import StoreError
from director.types import Rendered
from infra.servers import CHECKOUT, s3_command, s3_environment
from infra.stack import Stack
from tasks.jobs import JobStatus
from tasks.ledger.ledger import Ledger
from tasks.ledger.types import Query, Record
from tasks.settings import Settings
from tasks.store import Archive, Images, S3Store
from tasks.store.archive import job_key
from tests.acceptance.aftermath import Harm, Readiness, Report, in_time
from tests.support.scripted_openai import Answer, Scripted, ScriptedServer, fails, plays_with_opinions, scripted

EVERY_SECONDS = 2.0
LONGEST_SECONDS = 60.0
LOOK_SECONDS = 10.0
OLD_SECONDS = 4.0
_AT_WORK = Query(statuses=frozenset({JobStatus.RUNNING}))
THINKER = "thinker"


@dataclass(frozen=True)
class Times:
    """How long each fault lasts, in seconds."""

    s3_away: float = 10.0
    s3_full: float = 10.0
    vlm_away: float = 30.0  # a quarter of it in each way
    sick: float = 60.0  # at most: until it is quarantined


class VlmServer:
    """The model server of the stack, in this process."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._running = ExitStack()

    def start(self, *answers: Answer) -> ScriptedServer:
        return self._running.enter_context(scripted(*(answers or (plays_with_opinions,)), port=self.port))

    def stop(self) -> None:
        self._running.close()


@dataclass
class Weather:
    """What blows over one stack."""

    stack: Stack
    settings: Settings
    ledger: Ledger
    archive: Archive
    store: S3Store
    vlm: VlmServer
    readiness: Readiness
    source: random.Random
    report: Report
    times: Times
    tell: Callable[[str], None]
    resources: ExitStack
    plant: Callable[[], str]  # submits the job that is to become a dead letter
    planted: str = ""
    holed: set[str] = field(default_factory=set[str])  # jobs whose chains have lost a snapshot

    @property
    def images(self) -> Images:
        return Images(self.store)

    def rage(self, faults: Sequence[Callable[[], None]], kills: int) -> None:
        """Kill a worker every two seconds, and let the faults come between the kills."""
        workers = [process.name for process in self.stack.processes() if _is_worker(process.name)]
        for number in range(max(kills, len(faults))):
            time.sleep(EVERY_SECONDS)
            if number < kills:
                self.tell(f"kill -9 of {self._kill_one(workers)}")
                self.report.kills += 1
                self.report.happened("kill -9 of a process of a worker")
            if number < len(faults):
                faults[number]()

    def comes(self, fault: str, job: str | None = None) -> None:
        self.tell(f"{fault}{f': {job}' if job else ''}")
        self.report.happened(fault, job)

    def _kill_one(self, workers: Sequence[str]) -> str:
        """A process of a worker: its parent, its lease-holding child, whichever comes."""
        while True:
            name = self.source.choice(workers)
            if pids := self.stack.pids(name):
                pid = self.source.choice(pids)
                with suppress(ProcessLookupError):
                    os.kill(pid, 9)
                    return f"{name} ({'parent' if pid == pids[0] else 'child'} {pid})"
            time.sleep(0.1)

    def kill_redis(self) -> None:
        self.comes("kill -9 of redis")
        self.stack.kill("redis")

    def kill_api(self) -> None:
        self.comes("kill -9 of the API")
        self.stack.kill("api")

    def wipe(self) -> None:
        self.comes("FLUSHALL: messages and ledger are gone")
        with Redis.from_url(self.settings.ledger_url) as client:
            client.flushall()

    def older_redis(self) -> None:
        """Redis is brought back from a copy."""
        folder = self.stack.var / "redis"
        copy = folder.with_name("redis-copy")
        shutil.copytree(folder, copy)
        time.sleep(OLD_SECONDS)
        self.comes(f"redis is {OLD_SECONDS:.0f} s old again")
        self.stack.stop("redis")
        shutil.rmtree(folder)
        copy.rename(folder)
        self.stack.start("redis")

    def stop_s3(self) -> None:
        self.comes(f"S3 stopped for {self.times.s3_away:.0f} s")
        self.stack.stop("s3")
        time.sleep(self.times.s3_away)
        self.stack.start("s3")

    def full_s3(self) -> None:
        """S3 answers every write with 500. Readiness must say so."""
        self.comes(f"S3 refuses writes for {self.times.s3_full:.0f} s")
        state = self.stack.state
        command = s3_command(self.stack.var / "s3", state.s3_port)
        command.insert(-1, "--read-only")
        environment = {**os.environ, **s3_environment(state.s3_key, state.s3_secret)}
        self.stack.stop("s3")
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as refusing:
            time.sleep(1)  # until it answers
            begin = time.monotonic()
            time.sleep(self.times.s3_full)
            told = in_time(lambda: self.readiness.refused_since(begin), LONGEST_SECONDS)
            refusing.terminate()
        self.stack.start("s3")
        if not told:
            self.report.complain(Harm.WRONG, "-", "S3 refused writes, and the API was ready")

    def vlm_away(self) -> None:
        """The VLM server is refused, hangs, does not know the key, is too busy."""
        each = self.times.vlm_away / 4
        self.comes(f"VLM server away: refused, hanging, 401, 429, {each:g} s each")
        self.vlm.stop()
        time.sleep(each)
        busy = Scripted(b"{}", 429, headers={"Retry-After": "2"})
        for answer in (Scripted(b"", wait=each), fails(401, "Incorrect API key provided"), busy):
            self.vlm.start(answer)
            time.sleep(each)
            self.vlm.stop()
        self.vlm.start()

    def sick_editor(self) -> None:
        """One more editor, which fails every render at once."""
        self.comes("an editor that fails every render at once")
        health = self.stack.var / "sick.health"
        health.write_text("sick")
        environment = {**os.environ, **self.stack.settings}
        with (self.stack.var / "log" / "sick.log").open("w") as log:
            command = [sys.executable, "-m", "tests.support.fleet", "sick", str(health)]
            worker = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=log, stderr=log)
        self.resources.callback(worker.wait, 60)
        self.resources.callback(worker.terminate)
        if not in_time(self._quarantined, self.times.sick):
            self.report.complain(Harm.WRONG, "-", "the editor that fails every render was not quarantined")
        health.write_text("well")

    def _quarantined(self) -> bool:
        with suppress(StoreError):
            return any(sick.quarantined_ms for sick in self.ledger.sick_workers())
        return False

    def spoil(self) -> None:
        """Objects are deleted and overwritten, each of another job, while the thinker is away."""
        self.stack.stop(THINKER)
        # Only now, and so that no step of it is done: a job that the ledger doesn't hold yet, as before the wipe is
        # mended, would be forgotten with its job.json, and one that is drawn would end.
        self.planted = self.plant()
        self.store.delete(job_key(self.planted))
        self.comes("job.json deleted (the planted dead letter)", self.planted)
        victims = self._victims()
        if len(victims) < 4:
            self.report.complain(Harm.WRONG, "-", f"{len(victims)} jobs waited behind a render: nothing was spoiled")
        rewound: list[str] = []
        for spoil, record in zip(
            (self._delete_newest, self._delete_picture, self._overwrite_picture, self._delete_middle), victims,
            strict=False,
        ):  # fmt: skip
            spoil(record)
            if spoil != self._delete_middle:
                rewound.append(record.job)
        self.stack.start(THINKER)
        in_time(lambda: all(map(self._rewound, rewound)), LONGEST_SECONDS)
        for job in rewound:
            if not self._rewound(job):
                self.report.complain(Harm.WRONG, job, "was not rewound")

    def _rewound(self, job: str) -> bool:
        return bool(self.archive.controls(job, "rewind-"))

    def _victims(self) -> list[Record]:
        """Four jobs that wait behind a render, so that the next step needs what is spoiled. The thinker is away when
        they are returned; it works for a while where too few are drawn.
        """
        end = time.monotonic() + LONGEST_SECONDS
        while len(found := self._behind_a_render()) < 4 and time.monotonic() < end:
            self.stack.start(THINKER)
            time.sleep(EVERY_SECONDS)
            self.stack.stop(THINKER)
        return found[:4]

    def _behind_a_render(self) -> list[Record]:
        end = time.monotonic() + LOOK_SECONDS
        while True:
            waiting = [one for one in self.ledger.jobs(_AT_WORK, 1000).records if one.status is JobStatus.QUEUED]
            waiting = [one for one in waiting if one.job != self.planted and not one.batch]
            found = [one for one in waiting if one.queue in ("judge", "verifier") and one.step > 2 and one.snapshot]
            found = [one for one in found if self._drawn(one) and not self._rewound(one.job)]
            if len(found) >= 4 or time.monotonic() > end:
                return found
            time.sleep(0.2)

    def _drawn(self, record: Record) -> str:
        """A picture that the job's last step drew; empty if it drew none."""
        last = self.archive.load_snapshot(record.snapshot).trajectory.events[-1]
        return last.candidates[0].image if isinstance(last, Rendered) else ""

    def _delete_newest(self, record: Record) -> None:
        self.comes("the newest snapshot deleted", record.job)
        self.store.delete(record.snapshot)

    def _delete_middle(self, record: Record) -> None:
        self.comes("a snapshot in the middle of the chain deleted", record.job)
        self.holed.add(record.job)
        self.store.delete(self.archive.load_snapshot(record.snapshot).previous)

    def _delete_picture(self, record: Record) -> None:
        self.comes("a rendered picture deleted", record.job)
        self.store.delete(f"images/{self._drawn(record)}.png")

    def _overwrite_picture(self, record: Record) -> None:
        self.comes("a rendered picture overwritten with another", record.job)
        key = f"images/{self._drawn(record)}.png"
        other = next(each for each in self.store.list("images/") if each != key)
        self.store.put(key, self.store.get(other))


def _is_worker(name: str) -> bool:
    return name not in ("redis", "s3", "api", "reconciler", "flower")
