"""What grows with the jobs in flight, and with those that ended: `python -m tests.perf.growth [JOBS_IN_FLIGHT [JOBS]]`.

A rebuild after a wipe, with Redis and S3 on real servers: CPU a job of the process that rebuilds. Then lists by a rare
label and a rare status among many jobs. Prints a table and writes out/bench/growth.json.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from director.loop import advance, begin, next_step
from director.seats import ExtractRequest, PlanRequest, RenderRequest, Request, SelectRequest, VerifyRequest
from director.types import (
    Action,
    Brief,
    Candidate,
    Goal,
    Outcome,
    Planned,
    Rendered,
    Reply,
    Selected,
    Trajectory,
    Verdict,
    Verified,
)
from tasks.app import open_reconciler
from tasks.entries import next_of
from tasks.jobs import Job, JobStatus, job_id
from tasks.ledger.ledger import Ledger, connect
from tasks.ledger.types import Entry, Next, Query
from tasks.settings import Settings
from tasks.store import Archive, FolderStore
from tests.perf import instant
from tests.perf.__main__ import quantiles, say, servers
from tests.perf.door import attempt

STEPS, ASKED = 20, 300
OUT = Path("out/bench/growth.json")
_NEXT = Next(queue="editor.night", kind="render")
_GOALS = tuple(Goal(id=f"g{n}", text=f"a boat with the number {n} on its side near the pier") for n in range(18))
_SETTINGS = instant.SETTINGS.model_copy(update={"candidates": 4, "rounds": 6, "patience": 6})


def main() -> int:
    in_flight = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    jobs = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_flight_jobs(Archive(FolderStore(folder / "s3" / "objects" / "visiondirector")), in_flight)
        with servers(folder) as settings:
            result = rebuilt(settings, in_flight)
            result["lists_ms"] = listed(settings, jobs)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(result, indent=1) + "\n")
    return 0


def in_flight_jobs(archive: Archive, jobs: int) -> None:
    """Jobs of twenty steps, each with a snapshot and an attempt record."""
    trajectories = list(_trajectories())[:STEPS]
    for i in range(jobs):
        brief, seed = trajectories[0].brief, trajectories[0].seed
        job = Job(id=job_id("o", str(i)), owner="o", brief=brief, settings=_SETTINGS, seed=seed, created=time.time())
        archive.save_job(job)
        archive.mark_live(job.id)
        previous = ""
        for n, trajectory in enumerate(trajectories):
            nonce = f"{i * 100 + n:032x}"
            previous = archive.save_snapshot(job.id, n, nonce, previous, next_of(trajectory), trajectory)
            archive.save_attempt(job.id, n, nonce, attempt(n))


def rebuilt(settings: Settings, jobs: int) -> dict[str, Any]:
    """CPU and wall milliseconds a job, of the process that rebuilds."""
    process = psutil.Process()
    with open_reconciler(settings) as reconciler:
        before, began = _cpu(process), time.perf_counter()
        assert reconciler.rebuild()
        cpu, wall = _cpu(process) - before, time.perf_counter() - began
        began = time.perf_counter()
        reconciler.audit()
        audit = time.perf_counter() - began
    row = {"jobs": jobs, "cpu_ms_a_job": round(1000 * cpu / jobs, 2), "wall_ms_a_job": round(1000 * wall / jobs, 2)}
    print(
        f"rebuild of {jobs:,} jobs of {STEPS} steps: {row['cpu_ms_a_job']} ms CPU a job, {row['wall_ms_a_job']} ms wall"
    )
    print(f"audit of {jobs:,} jobs in flight: {audit:.2f} s")
    return {"rebuild": row, "audit_s": round(audit, 2)}


def listed(settings: Settings, jobs: int) -> dict[str, Any]:
    """Milliseconds of the first page of lists with few matches, among this many jobs that wait or ended."""
    with Ledger(connect(settings.ledger_url), settings.limits) as ledger:
        with ThreadPoolExecutor(16) as makers:
            assert all(makers.map(ledger.create, map(_listed, range(jobs))))
        for i in range(1, 500, 101):
            ledger.claim(job_id("list", str(i)), 0, "bench")
        cursor = ledger.index()
        while cursor != "0":
            cursor = ledger.index(cursor)
        asked = {
            "a rare label": Query(owner="list", labels=("rare",)),
            "a rare label, of all owners": Query(labels=("rare",)),
            "a rare status": Query(owner="list", statuses=frozenset({JobStatus.CANCELLED})),
            "what runs": Query(owner="list", statuses=frozenset({JobStatus.RUNNING})),
            "a label that nobody has": Query(owner="list", labels=("none",)),
            "everything": Query(owner="list"),
        }
        server = psutil.Process(connect(settings.ledger_url).info()["process_id"])
        return {name: _timed(f"list, {name}, {jobs:,} jobs", ledger, query, server) for name, query in asked.items()}


def _listed(i: int) -> Entry:
    rare, ended = i % 1000 == 7, i % 2 == 0
    told: dict[str, Any] = {"job": job_id("list", str(i)), "owner": "list", "title": "a night", "priority": 6}
    told |= {"labels": ("rare", "night") if rare else ("night",), "created_ms": 1000 * i}
    told |= {"status": JobStatus.CANCELLED if i % 1000 == 8 else JobStatus.DONE} if ended else {"next": _NEXT}
    return Entry.model_validate(told)


def _timed(name: str, ledger: Ledger, query: Query, server: psutil.Process) -> dict[str, float]:
    """Milliseconds by the clock, and of CPU: the server's mean, and the client's."""
    taken, cpu, before = list[float](), list[float](), _cpu(server)
    for _ in range(ASKED):
        began, busy = time.perf_counter(), time.thread_time()
        ledger.jobs(query, 50)
        taken.append(1000 * (time.perf_counter() - began))
        cpu.append(1000 * (time.thread_time() - busy))
    row, own = say(name, quantiles(taken)), quantiles(cpu)
    row |= {"cpu_p50": own["p50"], "cpu_p99": own["p99"]}
    row["server_cpu"] = round(1000 * (_cpu(server) - before) / ASKED, 2)
    print(
        f"    CPU: client {own['p50']:.2f} (p50), {own['p99']:.2f} (p99), server {row['server_cpu']:.2f} ms", flush=True
    )
    return row


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _trajectories() -> Iterator[Trajectory]:
    """The trajectory of one job after each of its steps."""
    trajectory = begin(Brief(text="A harbour at dusk. " * 100, title="a night", goals=_GOALS), _SETTINGS, 1)
    while request := next_step(trajectory):
        trajectory = advance(trajectory, reply_to(request))
        yield trajectory


def reply_to(request: Request) -> Reply:
    """A seat's answer: no goal is ever met."""
    match request:
        case PlanRequest():
            targets = tuple(goal.id for goal in request.targets)
            words = "draw the harbour with a red boat and the sign " * 8
            action = Action(kind=request.action, instruction=words, targets=targets)
            return Planned(action=action, base=request.base, by="i")
        case RenderRequest():
            pictures = tuple(Candidate(image=f"{seed:064x}", seed=seed) for seed in request.seeds)
            return Rendered(candidates=pictures, by="i")
        case SelectRequest():
            return Selected(image=request.candidates[0].image, by="i")
        case VerifyRequest():
            verdicts = tuple(
                Verdict(goal=goal.id, outcome=Outcome.MISSED, score=0.2, confidence=0.9, evidence="unread", by="i")
                for goal in request.goals
            )
            return Verified(image=request.image, verdicts=verdicts, again=request.again, by="i")
        case ExtractRequest():
            raise AssertionError("the brief has goals")


if __name__ == "__main__":
    sys.exit(main())
