"""`python -m tests.perf.batch_upload [LINES]`: what it takes the API to receive a batch, and whether it needs more
memory for more lines.

The process is the real one, over a Redis and an S3 server of their own. Its memory is looked at every 50 ms.
"""

import json
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from tests.perf.__main__ import quantiles, reconciling, servers
from tests.perf.door import TOKEN, serving

LINES = 200_000
TEXT = "A harbour poster at dusk: a lighthouse, three boats, warm windows. The sign says 'HARBOUR'. " * 4


def main() -> int:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else LINES
    with tempfile.TemporaryDirectory() as name, servers(Path(name)), reconciling(), serving() as (url, process):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=600) as client:
            for count in (most // 100, most // 10, most):
                measure(client, process, count)
    return 0


def measure(client: httpx.Client, process: psutil.Process, count: int) -> None:
    seen: list[int] = []
    waits: list[float] = []
    with watching(process, str(client.base_url), seen, waits):
        began = time.perf_counter()
        response = client.post("/v1/batches", content=lines(count), headers={"Idempotency-Key": str(count)})
        seconds = time.perf_counter() - began
        assert response.status_code == 202, response.text
        assert response.json()["total"] == count
    took = quantiles(waits)
    print(
        f"{count:>9,} lines of {len(line(0))} bytes: {seconds:6.1f} s, {count / seconds:,.0f} lines a second; "
        f"memory of the API at most {max(seen) / 1e6:.0f} MB (before {seen[0] / 1e6:.0f}); "
        f"a GET beside it {took['p50']:.0f} ms (p50), {took['p99']:.0f} ms (p99)",
        flush=True,
    )


@contextmanager
def watching(process: psutil.Process, url: str, seen: list[int], waits: list[float]) -> Generator[None]:
    """Note the memory of the process, and how long it takes to answer meanwhile."""
    seen.append(process.memory_info().rss)
    stop = threading.Event()

    def watch() -> None:
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            while not stop.wait(0.05):
                began = time.perf_counter()
                client.get("/healthz")
                waits.append(1000 * (time.perf_counter() - began))
                seen.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def lines(count: int) -> Iterator[bytes]:
    """Some kB at a time, as a client sends them."""
    for start in range(0, count, 100):
        yield b"".join(line(n) for n in range(start, min(start + 100, count)))


def line(n: int) -> bytes:
    sent = {"custom_id": f"poster-{n:07d}", "brief": {"text": TEXT, "title": f"poster {n}"}}
    return json.dumps(sent).encode() + b"\n"


if __name__ == "__main__":
    sys.exit(main())
