"""A headless Chromium of this machine, and the API in process on a port of its own.

Without Chromium these tests are skipped; `make setup-browser` installs it.
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from infra.servers import free_port
from tests.support.api import House
from tests.support.gallery import TEXT, regatta

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="there is no Chromium on this machine: `make setup-browser` installs it")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if not CHROMIUM:
                item.add_marker(skip)


# Not for the session: while Playwright runs, this thread has a running event loop, and other tests start their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Tab:
    """A page, what it asked for and what it complained of."""

    page: Page
    asked: list[str]
    complaints: list[str]


Open = Callable[..., Tab]


@pytest.fixture
def tab(browser: Browser) -> Iterator[Open]:
    """Opens an address: tab(url, width=, dark=, scripts=, token=)."""
    contexts: list[BrowserContext] = []

    def open(url: str, width: int = 1200, dark: bool = False, scripts: bool = True, token: str = "") -> Tab:
        scheme = "dark" if dark else "light"
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            java_script_enabled=scripts,
            http_credentials={"username": "anybody", "password": token} if token else None,
        )
        contexts.append(context)
        made = Tab(context.new_page(), [], [])
        made.page.on("request", lambda request: made.asked.append(request.url))
        made.page.on("console", lambda message: made.complaints.append(message.text))
        made.page.on("pageerror", lambda error: made.complaints.append(str(error)))
        made.page.goto(url, wait_until="load")
        return made

    yield open
    for context in contexts:
        context.close()


@dataclass
class Town:
    """An API that anybody on this machine may use, with jobs."""

    house: House
    url: str

    def job(self, rounds: int = 6, stop: bool = True) -> str:
        """A job that has come so far."""
        body = {"brief": {"text": TEXT, "title": "Harbour Days"}, "settings": {"width": 512, "height": 640}}
        id = httpx.post(f"{self.url}/v1/jobs", json=body, trust_env=False).json()["id"]
        self.house.commit(id, *regatta(self.house.images.put, rounds=rounds, stop=stop).events)
        for n, kind in enumerate(("extract", "plan", "render", "render", "select", "verify")):
            wrong = {"boundary": "editor", "message": "out of memory", "fix": ""} if n == 2 else None
            facts = {"n": n, "kind": kind, "seconds": 21.5 * n, "committed": n != 2, "error": wrong}
            self.house.archive.save_attempt(id, n, f"{n:02x}", facts)
        return id


@contextmanager
def serving(house: House) -> Iterator[Town]:
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(house.app(), port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield Town(house, f"http://127.0.0.1:{port}")
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with serving(House(tmp_path_factory.mktemp("house"), tokens={})) as town:
        yield town


@pytest.fixture(scope="session")
def done(town: Town) -> str:
    """Address of the report of a job that has ended."""
    return f"{town.url}/v1/jobs/{town.job()}/report"


@pytest.fixture(scope="session")
def alone(done: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of the same report as a file."""
    path = tmp_path_factory.mktemp("file") / "report.html"
    path.write_bytes(httpx.get(f"{done}?standalone=true", trust_env=False, timeout=30).content)
    return path.as_uri()
