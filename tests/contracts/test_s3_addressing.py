"""Where the bucket stands in an address: in the path, or before the host's name. Against a real server of each kind."""

import http.client
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from director.errors import StoreError
from infra.servers import free_port, s3_command, s3_environment
from tasks.settings import Settings
from tasks.store import S3Store


class Front(ThreadingHTTPServer):
    """A proxy before the S3 server on `port`, as every host name leads there. Keeps the hosts that were asked."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        self.hosts: list[str] = []
        self.port = port
        super().__init__(("127.0.0.1", 0), Forward)


class Forward(BaseHTTPRequestHandler):
    server: Front  # pyright: ignore[reportIncompatibleVariableOverride]

    def forward(self) -> None:
        self.server.hosts.append(self.headers["Host"])
        url = httpx.URL(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)) as connection:
            connection.putrequest(self.command, url.raw_path.decode(), skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"transfer-encoding", "content-length", "date", "server"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = forward

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(params=["path", "virtual"])
def kind(request: pytest.FixtureRequest) -> str:
    """How the server wants to be addressed."""
    return request.param


@pytest.fixture
def front(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    port = free_port()
    command = s3_command(tmp_path / "objects", port)
    command.insert(-1, f"--force-path-style={'true' if kind == 'path' else 'false'}")
    environment = {**os.environ, **s3_environment("key", "secret")}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as server, Front(port) as front:
        threading.Thread(target=front.serve_forever, daemon=True).start()
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{front.server_address[1]}")
        monkeypatch.setenv("NO_PROXY", "")
        _until_up(port)
        yield front
        front.shutdown()
        server.terminate()


def _until_up(port: int) -> None:
    while True:
        with suppress(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}", trust_env=False)
            return
        time.sleep(0.05)


def settings(addressing: str) -> Settings:
    return Settings.model_validate(
        {
            "s3_endpoint": "http://s3.test", "s3_bucket": "pictures", "s3_access_key": "key", "s3_secret_key": "secret",
            "s3_addressing": addressing,
        }
    )  # fmt: skip


def test_a_store_is_reached_where_it_keeps_its_buckets(front: Front, kind: str) -> None:
    with closing(S3Store(settings(kind))) as store:
        store.put("images/aa.png", b"data")
        assert store.get("images/aa.png") == b"data"
        assert store.list("images/") == ["images/aa.png"]
    assert set(front.hosts) == {"s3.test" if kind == "path" else "pictures.s3.test"}


def test_the_other_way_it_is_not(front: Front, kind: str) -> None:
    other = "virtual" if kind == "path" else "path"
    with closing(S3Store(settings(kind))) as store:
        store.put("images/aa.png", b"data")
    with closing(S3Store(settings(other))) as store, pytest.raises(StoreError):
        store.get("images/aa.png")


def test_only_these_words_are_known() -> None:
    with pytest.raises(ValidationError, match="s3_addressing"):
        settings("dns")
