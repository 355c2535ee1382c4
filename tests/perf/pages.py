"""What a report costs: `python -m tests.perf.pages`. Six rounds of four candidates, through the API in process.

Times depend on the machine and on what else it does; sizes do not. The pictures are made by code, with noise that
compresses as badly as film grain.
"""

import io
import statistics
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from director.types import LoopSettings, Trajectory
from tests.browser.conftest import ARGUMENTS, CHROMIUM, Town, serving
from tests.support.api import House
from tests.support.gallery import regatta

SIZES = ((512, 640), (1024, 1024))
REPEATS = 5


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            with serving(House(Path(folder) / f"{size[0]}", tokens={})) as town:
                measure(town, size)
    return 0


def measure(town: Town, size: tuple[int, int]) -> None:
    """Print a line of times in milliseconds and sizes in kB."""
    width, height = size
    trajectory = regatta(lambda data: town.house.images.put(grainy(data, size)))
    trajectory = Trajectory(**{**dict(trajectory), "settings": LoopSettings(width=width, height=height)})
    with httpx.Client(base_url=town.url, trust_env=False, timeout=60) as client:
        settings = {"width": width, "height": height}
        id = client.post("/v1/jobs", json={"brief": "A harbour", "settings": settings}).json()["id"]
        town.house.commit(id, *trajectory.events)
        place = f"/v1/jobs/{id}/report"
        first = timed(client, place)
        warm = statistics.median(timed(client, place)[0] for _ in range(REPEATS))
        alone = timed(client, f"{place}?standalone=true")
    shown = in_browser(town.url + place)
    print(
        f"{width} x {height}: first {first[0]:.0f} ms, again {warm:.0f} ms, {first[1] / 1000:.0f} kB; "
        f"in Chromium, load event after {shown:.0f} ms; standalone {alone[0]:.0f} ms, {alone[1] / 1000:.0f} kB"
    )


def timed(client: httpx.Client, path: str) -> tuple[float, int]:
    started = time.perf_counter()
    size = len(client.get(path).raise_for_status().content)
    return 1000 * (time.perf_counter() - started), size


def in_browser(url: str) -> float:
    """Median milliseconds from the navigation to the end of the load event."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        times: list[float] = []
        for _ in range(REPEATS):
            page.goto(url, wait_until="load")
            times.append(page.evaluate("() => performance.getEntriesByType('navigation')[0].loadEventEnd"))
        browser.close()
    return statistics.median(times)


def grainy(data: bytes, size: tuple[int, int]) -> bytes:
    """The picture in that size, under noise of six levels."""
    with Image.open(io.BytesIO(data)) as drawn:
        pixels = np.asarray(drawn.convert("RGB").resize(size), np.int16)
    noise = np.random.default_rng(len(data)).normal(0, 6, (*pixels.shape[:2], 1))
    output = io.BytesIO()
    Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(output, "PNG", compress_level=1)
    return output.getvalue()


if __name__ == "__main__":
    raise SystemExit(main())
