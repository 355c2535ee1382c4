"""The memory of every process over a night at simulated speed: `python -m tests.perf.night_memory [HOURS] [--step S]`.

Real processes: Redis, an S3 server, the API, a reconciler and a worker of two children. The seats answer at once, with
a picture of one pixel (tests/perf/instant.py): only they are simulated. A night of one card is as many renders as it
draws in these hours, if a render takes `--step` seconds. Printed for each process: its memory when a quarter of the
night was over and at the end, and the slope between and of the last quarter, a simulated hour. Caches fill at first.
The S3 server forgets folders after as much of the night as it does in life.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from infra.servers import free_port
from tasks.settings import PREFIX
from tests.perf import instant
from tests.perf.__main__ import reconciling, servers

ROUNDS = 6
EVERY_S = 1.0
FOLDERS = "10s"  # for which rclone remembers a folder: five minutes of a night that goes by thirty times as fast
OUT = Path("out/bench/night_memory.json")
Samples = dict[str, list[tuple[float, float]]]
"""By process: simulated hours, MB."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("hours", type=float, nargs="?", default=8.0)
    parser.add_argument("--step", type=float, default=12.0, help="seconds that a render is said to take")
    asked = parser.parse_args()
    items = max(1, round(asked.hours * 3600 / asked.step / ROUNDS))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        samples = night(Path(name), items, asked.hours)
    took = time.perf_counter() - began
    about = f"{items} briefs of {ROUNDS} rounds ({items * ROUNDS * 4} steps; simulated: seats that answer at once)"
    print(f"{asked.hours:g} simulated hours of one card: {about}, {took:.0f} s, load {os.getloadavg()[0]:.0f}")
    found = {name: slope(points) for name, points in sorted(samples.items())}
    for name, (quarter, end, most, a_hour, at_last) in found.items():
        told = f"{quarter:7.1f} MB at a quarter, {end:7.1f} at the end, {most:7.1f} at most"
        print(f"{name:<16} {told}, {a_hour:+8.0f} kB an hour, {at_last:+8.0f} in the last quarter")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"found": found, "samples": samples}, indent=1) + "\n")


def slope(points: list[tuple[float, float]]) -> tuple[float, float, float, float, float]:
    """MB at a quarter, at the end and at most; kB an hour from the quarter on, and in the last quarter."""
    later = points[len(points) // 4 :]
    hours, sizes = zip(*later, strict=True)
    at_last = statistics.linear_regression(*zip(*points[3 * len(points) // 4 :], strict=True)).slope
    quarter, end = statistics.fmean(sizes[: len(sizes) // 10 + 1]), statistics.fmean(sizes[-(len(sizes) // 10 + 1) :])
    return quarter, end, max(sizes), 1000 * statistics.linear_regression(hours, sizes).slope, 1000 * at_last


def night(folder: Path, items: int, hours: float) -> Samples:
    port = free_port()
    os.environ["RCLONE_DIR_CACHE_TIME"] = FOLDERS
    with servers(folder), reconciling():
        os.environ[f"{PREFIX}API_PORT"] = str(port)
        notes = folder / "notes"
        notes.mkdir()
        environment = {**os.environ, instant.NOTES: str(notes)}
        commands = {"api": ["api.app"], "worker": ["tests.perf.instant", "2"]}
        with (
            started(commands, environment),
            httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
        ):
            batch = sent(client, items)
            return watched(client, batch, items, hours)


@contextmanager
def started(commands: Mapping[str, list[str]], environment: Mapping[str, str]) -> Generator[None]:
    running = [
        subprocess.Popen(
            [sys.executable, "-m", *command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for command in commands.values()
    ]
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def sent(client: httpx.Client, items: int) -> str:
    """A batch of these items, once the API answers."""
    while True:
        try:
            if client.get("/readyz").status_code == 200:
                break
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    goals = [goal.model_dump(mode="json", exclude_defaults=True) for goal in instant.GOALS]
    own: dict[str, Any] = {
        "editor": "instant",
        "candidates": 1,
        "rounds": ROUNDS,
        "patience": ROUNDS,
        "gate": "one-shot",
    }
    header = {"batch": {"title": "night", "settings": own}}
    lines = [{"custom_id": f"a{n}", "brief": {"text": f"A cup, {n}. " * 40, "goals": goals}} for n in range(items)]
    body = "".join(json.dumps(line) + "\n" for line in [header, *lines])
    answer = client.post("/v1/batches", content=body.encode(), timeout=120)
    answer.raise_for_status()
    return str(answer.json()["id"])


def watched(client: httpx.Client, batch: str, items: int, hours: float) -> Samples:
    """The memory of all processes below this one, until the batch has ended."""
    found: Samples = defaultdict(list)
    while True:
        answer = client.get(f"/v1/batches/{batch}", timeout=60)
        if not answer.is_success:
            print(f"the batch was not told: {answer.status_code} {answer.text}", flush=True)
            time.sleep(EVERY_S)
            continue
        counts = answer.json()["counts"]
        ended = counts["unmet"] + counts["done"] + counts["failed"]
        if ended:
            for name, size in sizes().items():
                found[name].append((hours * ended / items, size))
        if ended == items:
            return found
        time.sleep(EVERY_S)


def sizes() -> dict[str, float]:
    """MB of each process by its name, the worker's children together."""
    found: dict[str, float] = defaultdict(float)
    for process in psutil.Process().children(recursive=True):
        try:
            words, size = " ".join(process.cmdline()), process.memory_info().rss / 1e6
            parent = process.parent()
            below = parent is not None and parent.cmdline() == process.cmdline()
        except psutil.NoSuchProcess:
            continue
        for name, word in {
            "redis": "redis-server",
            "s3": "rclone",
            "api": "api.app",
            "reconciler": "reconcile",
        }.items():
            if word in words:
                found[name] += size
        if "tests.perf.instant" in words:
            found["worker children" if below else "worker parent"] += size
    return found


if __name__ == "__main__":
    main()
