"""The API with 2,000 jobs, beside a worker that has work all the time: milliseconds a GET, and memory."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from director.types import (
    Action,
    ActionKind,
    Brief,
    Candidate,
    Decided,
    Event,
    Extracted,
    Goal,
    LoopSettings,
    Outcome,
    Planned,
    Rendered,
    Stopped,
    StopReason,
    Trajectory,
    Verdict,
    Verified,
)
from infra.servers import free_port
from tasks.app import make_app, open_archive, send_hint
from tasks.entries import new_entry
from tasks.jobs import Job, JobStatus, job_id
from tasks.ledger.ledger import Ledger, connect
from tasks.ledger.types import Entry
from tasks.settings import PREFIX, Settings
from tasks.store import Archive, FolderStore, Images
from tasks.summary import Cost, GoalSummary
from tests.perf import instant
from tests.support.queue import submit, until_ended
from worker.diffusion.canvas import to_png

JOBS, PICTURES, ATTEMPTS, ROUNDS, ASKED = 2_000, 50, 8, 6, 300
OWNER, TOKEN = "alice", "bench"
GOALS = tuple(Goal(id=f"g{n}", text=f"a boat with the number {n} on its side") for n in range(16))
Quantiles = Callable[[list[float]], dict[str, float]]
Say = Callable[[str, dict[str, float]], dict[str, float]]


def gets(settings: Settings, folder: Path, entries: list[Entry], quantiles: Quantiles, say: Say) -> dict[str, Any]:
    """Of the jobs that are `stored`. `folder` is for the worker beside it."""
    with Ledger(connect(settings.ledger_url), settings.limits) as ledger:
        for entry in entries:
            ledger.create(entry)
    ids = [entry.job for entry in entries]
    with busy_worker(settings, folder), serving() as (url, process):
        routes: dict[str, Any] = {}
        for name, paths in asked(ids).items():
            routes[name] = say(f"GET {name}, 2,000 jobs", quantiles(timed(url, paths)))
        before = process.memory_info().rss
        again = 2 * [path for paths in asked(ids).values() for path in paths]
        timed(url, again)
        grown = (process.memory_info().rss - before) / 1e6
        print(f"memory that the API took in {len(again):,} more GETs (MB){'':<7}{grown:>7.1f} of {before / 1e6:.0f}")
    return {"gets_ms": routes, "api_grown_MB": round(grown, 1), "api_MB": round(before / 1e6, 1)}


def stored(objects: Path) -> list[Entry]:
    """Ended jobs with a trajectory of six rounds, attempts and a picture, for a ledger.

    `objects` is the bucket's folder under an S3 server that does not run yet: faster than through the server.
    """
    store = FolderStore(objects)
    archive, images = Archive(store), Images(store)
    noise = np.random.default_rng(1)
    pictures = [images.put(to_png(noise.integers(0, 255, (320, 320, 3), np.uint8))) for _ in range(PICTURES)]
    now, entries = time.time(), list[Entry]()
    for n in range(JOBS):
        job = Job(
            id=job_id(OWNER, str(n)), owner=OWNER, brief=Brief(text="A harbour at dusk. " * 100, title=f"job {n}"),
            settings=LoopSettings(), seed=n, labels=("rare",) if n % 100 == 0 else ("night",), created=now - n,
        )  # fmt: skip
        archive.save_job(job)
        after = story(job, pictures[n % PICTURES])
        key = archive.save_snapshot(job.id, 0, f"{n:032x}", "", None, after)
        for step in range(ATTEMPTS):
            archive.save_attempt(job.id, step, f"{n:032x}", attempt(step))
        told: dict[str, Any] = {"step": 1, "snapshot": key, "next": None, "status": JobStatus.DONE, "stop": "budget"}
        told |= {"summary": GoalSummary.of(after), "cost": Cost.of(attempt(0)), "ended_ms": int(1000 * now)}
        entries.append(new_entry(job).model_copy(update=told))
    return entries


def story(job: Job, image: str) -> Trajectory:
    verdicts = tuple(
        Verdict(goal=goal.id, outcome=Outcome.MET, score=0.9, confidence=0.9, evidence="it is there", by="b")
        for goal in GOALS
    )
    events: list[Event] = [Extracted(goals=GOALS, by="b")]
    for _ in range(ROUNDS):
        action = Action(kind=ActionKind.GENERATE, instruction="draw the harbour " * 20, targets=("g1", "g2"))
        candidates = tuple(Candidate(image=image, seed=n) for n in range(4))
        events += [
            Planned(action=action, by="b"), Rendered(candidates=candidates, by="b"),
            Verified(image=image, verdicts=verdicts, by="b"), Decided(accepted=True, image=image, why="better"),
        ]  # fmt: skip
    events.append(Stopped(reason=StopReason.BUDGET, why="all rounds are used"))
    return Trajectory(brief=job.brief, settings=job.settings, seed=job.seed).with_events(*events)


def attempt(n: int) -> dict[str, Any]:
    return {
        "n": n, "nonce": "aa", "kind": "verify", "attempt": 1, "host": "bench", "started": 1000.0, "seconds": 1.5,
        "renders": 0, "committed": True, "counts": {"vlm_calls": 3, "prompt_tokens": 4000, "completion_tokens": 90},
    }  # fmt: skip


@contextmanager
def busy_worker(settings: Settings, folder: Path) -> Generator[None]:
    """A worker of one process that runs instant jobs, one behind the other, until the end."""
    folder.mkdir()
    app, (archive, _), stop = make_app(settings), open_archive(settings), threading.Event()
    environment = {**os.environ, instant.NOTES: str(folder)}
    command = [sys.executable, "-m", "tests.perf.instant", "1"]

    def feed() -> None:
        with Ledger(connect(settings.ledger_url), settings.limits) as ledger:
            while not stop.is_set():
                job = submit(ledger, archive, instant.BRIEF, instant.SETTINGS, lambda hint: send_hint(app, hint))
                until_ended(ledger, [job])

    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as worker:
        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            yield
        finally:
            stop.set()
            feeder.join()
            worker.terminate()


@contextmanager
def serving() -> Generator[tuple[str, psutil.Process]]:
    """The API process of this environment."""
    port = free_port()
    more = {"API_PORT": str(port), "TOKENS": f'{{"{OWNER}": "{TOKEN}"}}'}
    environment = os.environ | {PREFIX + name: value for name, value in more.items()}
    command = [sys.executable, "-m", "api.app"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            while not answers(url):
                time.sleep(0.1)
            yield url, psutil.Process(process.pid)
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", trust_env=False).is_success
    except httpx.TransportError:
        return False


def asked(ids: list[str]) -> dict[str, list[str]]:
    """What is asked, by the name of the route, of jobs chosen at random: caches help little."""
    choose = random.Random(7)
    some = choose.sample(ids, ASKED)
    cursors = [f"{int(1000 * (time.time() - choose.randrange(JOBS)))}-{id}" for id in some]
    return {
        "list": ["/v1/jobs"] * ASKED,
        "list, a page": [f"/v1/jobs?cursor={cursor}" for cursor in cursors],
        "list, a rare label": ["/v1/jobs?label=rare&status=done"] * ASKED,
        "show": [f"/v1/jobs/{id}" for id in some],
        "attempts": [f"/v1/jobs/{id}/attempts" for id in some],
        "trajectory": [f"/v1/jobs/{id}/trajectory" for id in some],
        "image": [f"/v1/jobs/{id}/image" for id in some],
        "the page of all jobs": ["/jobs"] * ASKED,
        "report": [f"/v1/jobs/{id}/report" for id in some],
    }


def timed(url: str, paths: list[str]) -> list[float]:
    """Milliseconds of each GET, one after the other over one connection."""
    taken: list[float] = []
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False) as client:
        for path in paths:
            began = time.perf_counter()
            client.get(path).raise_for_status()
            taken.append(1000 * (time.perf_counter() - began))
    return taken
