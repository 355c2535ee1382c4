"""Receivers of notices: an HTTP server that checks signatures, and an SMTP server that keeps what comes."""

import json
import socketserver
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

Answer = tuple[int, dict[str, str]]
"""Status and headers."""


@dataclass
class Received:
    """`verified` is by the library of Standard Webhooks, with the receiver's secret."""

    id: str
    type: str
    data: dict[str, Any]
    verified: bool


@dataclass
class Receiver:
    """`answer` gives status and headers for each notice; it may sleep."""

    url: str
    secret: str = ""
    answer: Callable[[], Answer] = lambda: (204, {})
    notices: list[Received] = field(default_factory=list[Received])

    def types(self) -> list[str]:
        return [notice.type for notice in self.notices]

    def wait(self, count: int, seconds: float = 60.0) -> list[Received]:
        """Until so many have come."""
        end = time.monotonic() + seconds
        while len(self.notices) < count:
            assert time.monotonic() < end, f"{count} notices were to come, and these did: {self.types()}"
            time.sleep(0.02)
        return self.notices


@contextmanager
def receiving(port: int = 0) -> Generator[Receiver]:
    """A receiver on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told = json.loads(body)
            receiver.notices.append(
                Received(self.headers["webhook-id"], told["type"], told["data"], self._verified(body))
            )
            status, headers = receiver.answer()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _verified(self, body: bytes) -> bool:
            if not receiver.secret:
                return False
            try:
                Webhook(receiver.secret).verify(body, {name.lower(): value for name, value in self.headers.items()})
            except WebhookVerificationError:
                return False
            return True

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}/night")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def mailbox() -> Generator[tuple[str, list[str]]]:
    """The URL of an SMTP server (RFC 5321, as much of it as a sender needs), and the messages that came."""
    mails: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 test")
            while line := self.rfile.readline():
                word = line.split(b" ")[0].strip().upper()
                if word == b"DATA":
                    self._say("354 go on")
                    mails.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
                self._say("221 bye" if word == b"QUIT" else "250 ok")
                if word == b"QUIT":
                    return

        def _say(self, line: str) -> None:
            self.wfile.write(line.encode() + b"\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"smtp://127.0.0.1:{server.server_address[1]}", mails
        server.shutdown()
