"""A night in small: sixty briefs on the local stack, as one batch and as sixty single submits.

    python -m tests.perf.night_real [--briefs 60] [--only batch|singles]

Prints how many pictures were whole at half of the time that all of them took, and at nine tenths of it; when the first
was whole; and how many were in flight.
"""

import argparse
import os
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

from api.client import Client
from infra.stack import Stack
from worker.bench.lgbench.compose import compose
from worker.bench.lgbench.pool import pool
from worker.bench.lgbench.write import write

BRIEFS = 60
SETTINGS = {"width": 320, "height": 320, "candidates": 2, "rounds": 3}
GOALS = {0.5: 0.40, 0.9: 0.85}
"""Of the time, and how many must be whole by then."""
_LOOK_S = 1.0

Way = Callable[[Client, Sequence[str]], tuple[list[float], list[int]]]


def as_batch(client: Client, briefs: Sequence[str]) -> tuple[list[float], list[int]]:
    """Seconds after the submit at which each ended, and how many were in flight, every second."""
    began, flying = time.time(), list[int]()
    batch = client.submit_batch(({"brief": text, "seed": 1} for text in briefs), {"settings": SETTINGS}, "night")
    while not batch.ended:
        time.sleep(_LOOK_S)
        batch = client.batch(batch.id)
        flying.append(batch.counts.running)
    return sorted((result.ended or 0.0) - began for result in client.batch_results(batch.id)), flying


def as_singles(client: Client, briefs: Sequence[str]) -> tuple[list[float], list[int]]:
    began = time.time()
    jobs = [client.submit(text, settings=SETTINGS, seed=1).id for text in briefs]
    return sorted((client.wait(job).ended_at or 0.0) - began for job in jobs), [len(jobs)]


WAYS: dict[str, Way] = {"batch": as_batch, "singles": as_singles}


def whole(ends: Sequence[float], share: float) -> float:
    """Which part of the briefs has ended when that share of the whole time is over."""
    return bisect_right(ends, share * ends[-1]) / len(ends)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Whole pictures over time, on the local stack.")
    parser.add_argument("--briefs", type=int, default=BRIEFS)
    parser.add_argument("--only", choices=WAYS)
    parsed = parser.parse_args(arguments)
    briefs = [record.prompt for record in compose(pool(), parsed.briefs, (4, 8), 1, "t2i", write)]
    missed = False
    for name in [parsed.only] if parsed.only else WAYS:
        with (
            tempfile.TemporaryDirectory(prefix="vd-night-") as var,
            Stack(Path(var), flower=False) as stack,
            Client(stack.api_url, stack.token) as client,
        ):
            before = os.getloadavg()[0]
            ends, flying = WAYS[name](client, briefs)
        load = f"load {before:.1f} to {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        found = {share: whole(ends, share) for share in GOALS}
        told = ", ".join(f"{part:.0%} whole at {share:.0%}" for share, part in found.items())
        when = f"the first after {ends[0]:.0f} s, on average after {fmean(ends):.0f} s"
        flew = f"in flight {fmean(flying):.1f}, at most {max(flying)}"
        print(f"{name:<8} {len(ends)} briefs in {ends[-1]:.0f} s: {told}; {when}; {flew}; {load}")
        sys.stdout.flush()
        missed |= name == "batch" and any(found[share] < goal for share, goal in GOALS.items())
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
