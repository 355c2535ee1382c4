"""The yardsticks: a raw Redis hop between two processes, and a bare Celery task that enqueues itself."""

import multiprocessing
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from celery import Celery
from redis import Redis

BROKER, OUT = "VISIONDIRECTOR_TEST_BROKER", "VISIONDIRECTOR_TEST_OUT"


def raw_hops(url: str, count: int) -> list[float]:
    """Milliseconds of one way LPUSH -> BRPOP of 800 bytes, `count` times."""
    # spawn: a fork would copy this process's threads' locks
    echo = multiprocessing.get_context("spawn").Process(target=_echo, args=(url, count))
    echo.start()
    took: list[float] = []
    with Redis.from_url(url) as client:
        for _ in range(count):
            start = time.perf_counter()
            client.lpush("perf:ping", b"x" * 800)
            client.brpop(["perf:pong"])
            took.append((time.perf_counter() - start) * 500)
    echo.join()
    return took[count // 20 :]


def _echo(url: str, count: int) -> None:
    with Redis.from_url(url) as client:
        for _ in range(count):
            popped: Any = client.brpop(["perf:ping"])
            client.lpush("perf:pong", popped[1])


def bare_app() -> Celery:
    """Celery as a careful user sets it up, without events and without a ledger."""
    app = Celery("bare", broker=os.environ[BROKER], set_as_current=False)
    app.conf.update(
        task_acks_late=True, task_ignore_result=True, worker_prefetch_multiplier=1, task_default_queue="perf-bare",
        broker_connection_retry_on_startup=True,
    )  # fmt: skip
    times: list[float] = []

    @app.task(name="hop")
    def hop(left: int) -> None:  # pyright: ignore[reportUnusedFunction]
        times.append(time.time())
        if left:
            app.send_task("hop", args=(left - 1,), queue="perf-bare")
        else:
            Path(os.environ[OUT]).write_text("\n".join(map(repr, times)))

    return app


def celery_hops(url: str, folder: Path, count: int) -> list[float]:
    """Milliseconds between two runs of a task that enqueues itself, on one prefork process."""
    out = folder / "bare.txt"
    command = [sys.executable, "-m", "tests.perf.bare"]
    environment = {**os.environ, BROKER: url, OUT: str(out)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as worker:
        try:
            os.environ[BROKER] = url
            bare_app().send_task("hop", args=(count,), queue="perf-bare")
            while not out.exists() or not out.read_text():
                time.sleep(0.05)
        finally:
            worker.terminate()
    times = [float(line) for line in out.read_text().splitlines()]
    return [(b - a) * 1000 for a, b in pairwise(times)][count // 20 :]


if __name__ == "__main__":
    bare_app().worker_main(
        ["worker", "--pool", "prefork", "--concurrency", "1", "--queues", "perf-bare", "--loglevel", "ERROR",
         "--hostname", "bare@%h", "--without-gossip", "--without-mingle"]
    )  # fmt: skip
