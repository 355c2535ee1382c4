"""A receiver of notices: an HTTP server that checks signatures. For e-mail: mailbox.py."""

import json
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

_LOOK_S = 0.02  # whether a server is to end
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
    thread = threading.Thread(target=server.serve_forever, args=(_LOOK_S,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
