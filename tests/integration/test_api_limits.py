"""What one client, or a storage that hangs, does to everybody else: nothing. The API process over real servers."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from PIL import Image

from infra.servers import CHECKOUT
from tests.support.ledgers import entry
from tests.support.place import Place, until

ALICE = {"Authorization": "Bearer secret"}
BOB = {"Authorization": "Bearer other"}
KNOWN, UNKNOWN = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"


@contextmanager
def crowded(place: Place, log: Path, descriptors: int) -> Generator[None]:
    """The API process, with so many descriptors."""
    command = f'ulimit -n {descriptors}; exec "$0" -m api.app'
    with (
        log.open("w") as output,
        subprocess.Popen(
            ["bash", "-c", command, sys.executable], cwd=CHECKOUT, env=place.environment, stderr=output
        ) as process,
    ):
        try:
            until(lambda: place.get("/readyz") == 200)
            yield
        finally:
            process.terminate()
            process.wait(20)


def test_three_hundred_half_open_requests_keep_nobody_out(place: Place, tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    with crowded(place, log, 256), ExitStack() as half_open:
        for _ in range(300):
            connection = socket.create_connection(("127.0.0.1", place.settings.api_port), timeout=20)
            half_open.enter_context(connection)
            with suppress(ConnectionError):  # it may be gone already
                connection.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow:")
        for path in ("/healthz", "/readyz"):
            assert place.get(path) == 200
    assert len(log.read_text().splitlines()) < 100


@pytest.mark.parametrize("path", ["PUT /v1/images", "POST /v1/jobs"])
def test_a_client_that_leaves_in_its_body_is_no_fault_of_the_service(place: Place, tmp_path: Path, path: str) -> None:
    log = tmp_path / "api.log"
    with crowded(place, log, 256):
        with socket.create_connection(("127.0.0.1", place.settings.api_port), timeout=20) as connection:
            head = f"{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\nContent-Length: 1000\r\n\r\nx"
            connection.sendall(head.encode())
        until(lambda: path.partition(" ")[2] in log.read_text())
    assert "Traceback" not in log.read_text()


@pytest.fixture
def hanging(place: Place) -> Iterator[Place]:
    """The API, over a storage that takes every request and answers none."""
    with socket.create_server(("127.0.0.1", 0), backlog=500) as storage:
        url = f"http://127.0.0.1:{storage.getsockname()[1]}"
        place = replace(place, environment={**os.environ, **place.environment, "VISIONDIRECTOR_S3_ENDPOINT": url})
        place.ledger.create(entry(KNOWN, owner="bob", created_ms=1))
        with place.api():
            yield place


def ask(place: Place, requests: list[httpx.Request]) -> list[Future[None]]:
    """Send all of them at once, each in a thread of its own."""
    asked: list[Future[None]] = []

    def send(request: httpx.Request, future: Future[None]) -> None:
        with httpx.Client(trust_env=False, timeout=100) as client, suppress(httpx.TransportError):
            client.send(request)
        future.set_result(None)

    for request in requests:
        asked.append(Future())
        threading.Thread(target=send, args=(request, asked[-1]), daemon=True).start()
    return asked


def bobs(place: Place, path: str) -> httpx.Response:
    return httpx.get(f"{place.url}{path}", headers=BOB, trust_env=False, timeout=60)


def test_lists_need_no_storage(hanging: Place) -> None:
    """Half a hundred requests hang in storage, more than there are threads."""
    stuck = ask(hanging, [httpx.Request("GET", f"{hanging.url}/v1/jobs/{UNKNOWN}", headers=ALICE) for _ in range(50)])
    for path in ("/v1/jobs", "/jobs", "/healthz"):
        answer = bobs(hanging, path)
        assert answer.status_code == 200
    assert KNOWN in bobs(hanging, "/v1/jobs").text
    assert not any(one.done() for one in stuck)


def test_one_owners_uploads_hold_up_nobody_else(hanging: Place) -> None:
    """They wait in turn, for a storage that hangs; other requests find a thread."""
    png = BytesIO()
    Image.new("RGB", (64, 64)).save(png, "PNG")
    request = httpx.Request("PUT", f"{hanging.url}/v1/images", headers=ALICE, content=png.getvalue())
    stuck = ask(hanging, [request] * 60)
    with httpx.stream(
        "GET", f"{hanging.url}/v1/jobs/{KNOWN}/events", headers=BOB, trust_env=False, timeout=60
    ) as events:
        assert any("no worker serves" in line for line in events.iter_lines())
    assert not any(one.done() for one in stuck)


def test_uploads_of_many_and_of_one_are_all_stored(place: Place) -> None:
    pictures = []
    for n in range(24):
        png = BytesIO()
        Image.new("RGB", (300, 300), (n, 0, 0)).save(png, "PNG")
        pictures.append(png.getvalue())

    def upload(n: int) -> int:
        headers = ALICE if n % 3 else BOB
        return httpx.put(f"{place.url}/v1/images", content=pictures[n], headers=headers, trust_env=False).status_code

    with place.api(), ThreadPoolExecutor(24) as pool:
        assert set(pool.map(upload, range(24))) == {200}
    assert len(place.archive._store.list("images/")) == 24  # pyright: ignore[reportPrivateUsage]
