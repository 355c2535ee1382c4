"""Clients that send slowly or never, over real sockets: they lose their own connection and nobody else's."""

import asyncio
import socket
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import httpx
import pytest
import uvicorn

from api.sockets import BoundedProtocol


class Quick(BoundedProtocol):
    headers_s = 0.3
    body_s = 0.3


class Fair(BoundedProtocol):
    """Longer than a machine with much to do needs to send a few bytes."""

    headers_s = 1.0


class Told(asyncio.SelectorEventLoop):
    """Its clock jumps: what was due in hours is due now, and nobody has waited."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead

    async def jump(self) -> None:
        self.ahead += 3600
        for _ in range(3):
            await asyncio.sleep(0)


class Narrow(BoundedProtocol):
    most = 20


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the size of the body; /slow later than a request may take to come."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    if scope["path"] == "/slow":
        await told().jump()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


def told() -> Told:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Told)
    return loop


@contextmanager
def served(protocol: type[BoundedProtocol], app: Any = app) -> Generator[tuple[int, uvicorn.Server]]:
    config = uvicorn.Config(app, http=protocol, lifespan="off", log_config=None, port=0, loop=f"{__name__}:Told")
    listening = config.bind_socket()
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield listening.getsockname()[1], server
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture
def quick() -> Iterator[int]:
    with served(Quick) as (port, _):
        yield port


def opened(port: int, start: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(start)
    return connection


def is_closed(connection: socket.socket) -> bool:
    """Waits until the server closes it."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


HEADERS = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize("start", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n", HEADERS, HEADERS + b"x" * 99])
def test_a_request_that_does_not_come_loses_its_connection(quick: int, start: bytes) -> None:
    with opened(quick, start) as connection:
        assert is_closed(connection)


def test_a_byte_now_and_then_keeps_nothing_open(quick: int) -> None:
    with opened(quick, b"GET / HTTP/1.1\r\n") as connection, suppress(ConnectionError):
        while True:  # until the server closes it
            connection.sendall(b"X-Slow: 1\r\n")
            time.sleep(0.05)


def test_neither_does_one_in_the_second_request() -> None:
    with served(Fair) as (port, _), opened(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET / HT")
        while connection.recv(1000):
            pass


def test_an_answer_may_take_its_time() -> None:
    with (
        served(BoundedProtocol) as (port, _),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client,
    ):
        for path in ("/slow", "/slow", "/"):
            assert client.post(path, content=b"x" * 300_000).text == "300000"


def paused(connection: object) -> bool:
    return isinstance(connection, BoundedProtocol) and connection.flow.read_paused


def test_a_body_that_nobody_reads_yet_is_not_slow() -> None:
    running: list[uvicorn.Server] = []

    async def later(scope: Any, receive: Any, send: Any) -> None:
        while not any(paused(each) for each in running[0].server_state.connections):
            await asyncio.sleep(0.01)
        await told().jump()
        await app(scope, receive, send)

    with served(BoundedProtocol, later) as (port, server):
        running.append(server)
        answer = httpx.post(f"http://127.0.0.1:{port}", content=b"x" * 9_000_000, trust_env=False, timeout=60)
    assert answer.text == "9000000"


def test_beyond_so_many_connections_the_slowest_goes() -> None:
    with served(Narrow) as (port, _), ExitStack() as open_ones:
        lazy = [open_ones.enter_context(opened(port, b"GET / HTTP/1.1\r\n")) for _ in range(60)]
        for _ in range(3):
            assert httpx.get(f"http://127.0.0.1:{port}", trust_env=False, timeout=60).text == "0"
        assert all(is_closed(connection) for connection in lazy[:40])


def test_who_waits_for_an_answer_is_not_the_slowest() -> None:
    go_on = threading.Event()

    async def held(scope: Any, receive: Any, send: Any) -> None:
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        await app(scope, receive, send)

    with served(Narrow, held) as (port, server), ExitStack() as open_ones:
        asked = [
            open_ones.enter_context(opened(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")) for _ in range(Narrow.most - 1)
        ]
        while len(server.server_state.tasks) < len(asked):
            time.sleep(0.01)
        for _ in range(40):
            open_ones.enter_context(opened(port, b"GET / HTTP/1.1\r\n"))
        go_on.set()
        assert all(connection.recv(1000).startswith(b"HTTP/1.1 200") for connection in asked)
