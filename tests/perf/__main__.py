"""`make bench`: hops of raw Redis, bare Celery and a durable step side by side; throughput; memory; busy cards.

Prints a table and writes out/bench/hop.json. Numbers are of this machine and this run; what counts
is their ratios.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from infra.servers import redis_server, s3_server
from tasks.app import make_app, open_archive, send_hint
from tasks.ledger.ledger import Ledger, connect
from tasks.settings import PREFIX, Settings, load_settings
from tests.perf import instant
from tests.perf.bare import celery_hops, raw_hops
from tests.perf.busy import measure
from tests.perf.door import gets, stored
from tests.perf.sketch import jobs_a_minute
from tests.support.queue import submit, until_ended

HOPS = 1000
STEPS_A_JOB = 80  # twenty rounds of plan, render, select, verify
OUT = Path("out/bench/hop.json")
GOAL = 5.0


def main() -> int:
    result: dict[str, Any] = {"machine": f"{os.cpu_count()} cores, {sys.platform}, Python {sys.version.split()[0]}"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with servers(folder / "hops") as settings:
            result["raw_redis_ms"] = say("raw Redis LPUSH to BRPOP", quantiles(raw_hops(settings.ledger_url, HOPS)))
            result["celery_ms"] = say(
                "bare Celery self-enqueue", quantiles(celery_hops(settings.ledger_url, folder, HOPS))
            )
            with reconciling():
                result |= durable(settings, folder)
        # Behind the S3 server's back, so before it remembers what is in which folder.
        entries = stored(folder / "door" / "s3" / "objects" / settings.s3_bucket)
        with servers(folder / "door") as settings, reconciling():
            result |= gets(settings, folder / "busy", entries, quantiles, say)
        with servers(folder / "busy" / "servers"), reconciling():
            result["card_busy"] = measure(folder / "busy")
        result["sketch_jobs_a_minute"] = jobs_a_minute(folder / "stack")
        print(f"{'sketch jobs a minute (simulated pictures)':<44}{result['sketch_jobs_a_minute']:>9.1f}")
    result["ratio_p50"] = round(result["durable_ms"]["p50"] / result["celery_ms"]["p50"], 2)
    print(f"a durable step costs {result['ratio_p50']} times a bare Celery hop (p50); the goal is at most {GOAL:g}")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(result, indent=1) + "\n")
    print(OUT)
    return 0


@contextmanager
def servers(folder: Path) -> Generator[Settings]:
    """A Redis and an S3 server of their own, in this environment."""
    with redis_server(folder / "redis") as redis, s3_server(folder / "s3") as s3:
        environment = {
            "BROKER_URL": redis.url, "LEDGER_URL": redis.url, "S3_ENDPOINT": s3.url,
            "S3_ACCESS_KEY": s3.key, "S3_SECRET_KEY": s3.secret, "RUN_DIR": str(folder / "run"),
        }  # fmt: skip
        os.environ.update({PREFIX + key: value for key, value in environment.items()})
        yield load_settings()


def durable(settings: Settings, folder: Path) -> dict[str, Any]:
    """One job after another on one process, eight at once on two, and a hundred for the memory."""
    alone = one_by_one(settings, folder / "alone", 1, HOPS // STEPS_A_JOB + 1)
    kinds: dict[str, Any] = {}
    result: dict[str, Any] = {"durable_ms": say("durable step, 20 kB trajectory", quantiles(alone["hops"]))}
    for kind in ("plan", "render", "select", "verify"):
        kinds[kind] = say(f"  before a {kind}", quantiles([ms for k, ms in alone["kinds"] if k == kind]))
    result["durable_ms_by_kind"] = kinds
    together = one_by_one(settings, folder / "together", 2, 8, at_once=True)
    result["steps_a_second_8_jobs"] = round(together["steps"] / together["seconds"], 1)
    print(f"{'steps a second, eight jobs on two processes':<44}{result['steps_a_second_8_jobs']:>9.1f}")
    many = one_by_one(settings, folder / "many", 1, 100, at_once=False, watch=True)
    result["memory_kB_a_job"] = round(many["slope"], 1)
    result["memory_MB_end"] = round(many["rss"][-1] / 1e6, 1)
    print(f"{'memory slope over 100 jobs (kB a job)':<44}{result['memory_kB_a_job']:>9.1f}")
    return result


@contextmanager
def reconciling() -> Generator[None]:
    """A reconciler process: it opens the new ledger."""
    with subprocess.Popen([sys.executable, "-m", "worker.cli", "reconcile"], stderr=subprocess.DEVNULL) as process:
        try:
            settings = load_settings()
            with Ledger(connect(settings.ledger_url), settings.limits) as ledger:
                while ledger.epoch() is None:
                    time.sleep(0.05)
            yield
        finally:
            process.terminate()


def one_by_one(
    settings: Settings, notes: Path, processes: int, jobs: int, at_once: bool = False, watch: bool = False
) -> dict[str, Any]:
    """Run instant jobs on a worker of `processes` children; hops are milliseconds between two seats' calls."""
    notes.mkdir()
    environment = {**os.environ, instant.NOTES: str(notes)}
    command = [sys.executable, "-m", "tests.perf.instant", str(processes)]
    rss: list[int] = []
    app = make_app(settings)
    archive, _ = open_archive(settings)
    with (
        subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as worker,
        Ledger(connect(settings.ledger_url), settings.limits) as ledger,
    ):
        try:
            groups = [range(jobs)] if at_once else [[n] for n in range(jobs)]
            warm = submit(ledger, archive, instant.BRIEF, instant.SETTINGS, lambda hint: send_hint(app, hint))
            until_ended(ledger, [warm])
            started = time.time()
            for group in groups:
                made = [
                    submit(ledger, archive, instant.BRIEF, instant.SETTINGS, lambda hint: send_hint(app, hint))
                    for _ in group
                ]
                until_ended(ledger, made)
                if watch:
                    rss.append(sum(p.memory_info().rss for p in psutil.Process(worker.pid).children()))
            seconds = time.time() - started
        finally:
            worker.terminate()
    stamps = sorted(line.split() for path in notes.glob("*.txt") for line in path.read_text().splitlines())
    noted = [(float(at), kind) for at, kind in stamps if float(at) >= started]
    pairs = [(kind, (at - before) * 1000) for (before, _), (at, kind) in pairwise(noted)]
    # A job's first step waits for the submit: it is no hop. Every job starts with a plan after a verify.
    hops = pairs if at_once else [p for n, p in enumerate(pairs, 1) if n % STEPS_A_JOB]
    slope = statistics.linear_regression(range(len(rss) // 2), rss[-(len(rss) // 2) :]).slope / 1000 if watch else 0.0
    return {
        "hops": [ms for _, ms in hops],
        "kinds": hops,
        "steps": len(noted),
        "seconds": seconds,
        "rss": rss,
        "slope": slope,
    }


def quantiles(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "p50": round(ordered[len(ordered) // 2], 3),
        "p99": round(ordered[int(len(ordered) * 0.99)], 3),
        "n": len(ordered),
    }


def say(what: str, row: dict[str, float]) -> dict[str, float]:
    print(f"{what:<44}{row['p50']:>9.2f}{row['p99']:>9.2f} ms (p50, p99; n {row['n']:.0f})", flush=True)
    return row


if __name__ == "__main__":
    sys.exit(main())
