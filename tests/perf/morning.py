"""The morning after 500 briefs: `python -m tests.perf.morning [ITEMS] [--reports] [--rounds N]`.

The real API process over HTTP; pictures of 512 x 640 of noise, about 1 MB each, all different. Printed: the archive's
size and time, the memory of the process meanwhile, and how long Chromium takes to open the gallery from a disk.
"""

import argparse
import os
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import httpx
import psutil
from PIL import Image
from playwright.sync_api import sync_playwright

from api.allocator import give_back_freed
from tests.browser.conftest import ARGUMENTS, CHROMIUM, serving
from tests.support.api import House
from tests.support.mornings import drawn

SIZE = (512, 640)


class Noisy(House):
    """Stores another picture for each that is put: no two items share one, as in life."""

    def __post_init__(self) -> None:
        super().__post_init__()
        put = self.images.put

        def noise(_: bytes) -> str:
            out = BytesIO()
            Image.frombytes("RGB", SIZE, os.urandom(3 * SIZE[0] * SIZE[1])).save(out, "PNG", compress_level=1)
            return put(out.getvalue())

        self.images.put = noise  # pyright: ignore[reportAttributeAccessIssue]


@contextmanager
def memory() -> Iterator[list[float]]:
    """The memory of this process, which serves, in MB, twenty times a second."""
    seen, over, process = list[float](), threading.Event(), psutil.Process()

    def look() -> None:
        while not over.wait(0.05):
            seen.append(process.memory_info().rss / 1e6)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("items", type=int, nargs="?", default=500)
    parser.add_argument("--reports", action="store_true", help="the archive has a report of each item")
    parser.add_argument("--rounds", type=int, default=1, help="of each item: a report shows the pictures of all")
    asked = parser.parse_args()
    give_back_freed()  # as api.app does at its start
    items = asked.items
    with tempfile.TemporaryDirectory() as name, serving(Noisy(Path(name, "house"), tokens={})) as town:
        with httpx.Client(base_url=town.url, trust_env=False, timeout=900) as client:
            made = drawn(town.house, client, *(f"item-{n}" for n in range(items)), rounds=asked.rounds)
            path = Path(name, "night.zip")
            with memory() as seen:
                began, cpu = time.perf_counter(), time.process_time()
                wanted = f"/v1/batches/{made.batch}/archive.zip?reports={str(asked.reports).lower()}"
                with client.stream("GET", wanted) as answer, path.open("wb") as file:
                    for piece in answer.iter_bytes():
                        file.write(piece)
                took, cpu = time.perf_counter() - began, time.process_time() - cpu
        quarter = max(1, len(seen) // 4)
        means = [sum(seen[n : n + quarter]) / quarter for n in range(0, 4 * quarter, quarter)]
        size, load = path.stat().st_size / 1e6, os.getloadavg()[0]
        kind = f"with reports of {asked.rounds} rounds" if asked.reports else "without reports"
        print(f"archive of {items} {kind}: {size:.0f} MB, {took:.0f} s, {cpu:.0f} s of CPU, load {load:.0f}")
        print("memory by quarters:", ", ".join(f"{mean:.0f}" for mean in means), f"MB, at most {max(seen):.0f} MB")
        zipfile.ZipFile(path).extractall(Path(name, "out"))
        _open(next(Path(name, "out").glob("*/index.html")))


def _open(page: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for _ in range(3):
            tab = browser.new_page(viewport={"width": 1440, "height": 900})
            tab.goto(page.as_uri(), wait_until="load")
            timing = tab.evaluate("() => performance.getEntriesByType('navigation')[0].toJSON()")
            ready, loaded = timing["domContentLoadedEventEnd"], timing["loadEventEnd"]
            size, load = page.stat().st_size / 1e3, os.getloadavg()[0]
            print(f"gallery, {size:.0f} kB: ready after {ready:.0f} ms, loaded after {loaded:.0f} ms, load {load:.0f}")
            tab.close()
        browser.close()


if __name__ == "__main__":
    main()
