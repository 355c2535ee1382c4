"""Receivers of notices: an HTTP server that checks signatures, and an SMTP server that keeps what comes."""

import base64
import json
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

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


@dataclass
class Certificate:
    """Of localhost, signed by itself: who shall trust it is told so."""

    chain: Path
    key: Path

    @classmethod
    def made(cls, folder: Path) -> "Certificate":
        found = cls(folder / "chain.pem", folder / "key.pem")
        words = f"openssl req -x509 -nodes -days 2 -newkey ec -keyout {found.key} -out {found.chain}"
        more = "-pkeyopt ec_paramgen_curve:prime256v1 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
        subprocess.run([*words.split(), *more.split()], check=True, capture_output=True)
        return found


Tls = Literal["starttls", "at once"]


@contextmanager
def mailbox(
    certificate: Certificate | None = None,
    tls: Tls = "starttls",
    user: tuple[str, str] | None = None,
    answers: Mapping[bytes, str] | None = None,
) -> Generator[tuple[str, list[str]]]:
    """The URL of an SMTP server (RFC 5321, 3207 and 4954, as much of them as a sender needs), and the messages that
    came. `user` and password are asked for; `answers` are said in place of the usual ones, by word.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate:
        context.load_cert_chain(certificate.chain, certificate.key)
    kind = {"starttls": "smtp+starttls", "at once": "smtps"}[tls] if certificate else "smtp"
    who = f"{quote(user[0], safe='')}:{quote(user[1], safe='')}@" if user else ""
    with _MailServer(kind, context, user, answers or {}) as server:
        threading.Thread(target=server.serve_forever, args=(_LOOK_S,), daemon=True).start()
        yield f"{kind}://{who}localhost:{server.server_address[1]}", server.mails
        server.shutdown()


class _MailServer(socketserver.ThreadingTCPServer):
    def __init__(
        self, kind: str, context: ssl.SSLContext, user: tuple[str, str] | None, answers: Mapping[bytes, str]
    ) -> None:
        self.kind, self.context, self.user, self.answers = kind, context, user, answers
        self.mails: list[str] = []
        super().__init__(("127.0.0.1", 0), _MailHandler)


class _MailHandler(socketserver.StreamRequestHandler):
    server: _MailServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def handle(self) -> None:
        self.secure = self.server.kind == "smtps"
        with suppress(OSError):  # a client that trusts nobody leaves
            if self.secure:
                self._wrap()
            self._say("220 test")
            while line := self.rfile.readline():
                word = line.split(b" ")[0].strip().upper()
                self._obey(word, line.strip())
                if word == b"QUIT":
                    return

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def _obey(self, word: bytes, line: bytes) -> None:
        if word in self.server.answers:
            return self._say(self.server.answers[word])
        match word:
            case b"EHLO":
                self._offer()
            case b"STARTTLS":
                self._say("220 go on")
                self.secure = True
                self._wrap()
            case b"AUTH":
                right = base64.b64encode("\0".join(("", *(self.server.user or ()))).encode())
                self._say("235 welcome" if line.split()[-1] == right else "535 5.7.8 who are\x07 you?")
            case b"DATA":
                self._say("354 go on")
                self.server.mails.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
                self._say("250 ok")
            case _:
                self._say("221 bye" if word == b"QUIT" else "250 ok")

    def _offer(self) -> None:
        """A password over TLS only, where there is TLS."""
        waits = self.server.kind == "smtp+starttls" and not self.secure
        more = ["STARTTLS"] if waits else ["AUTH PLAIN"] if self.server.user else []
        for name in ("test", *more[:-1]):
            self._say(f"250-{name}")
        self._say(f"250 {(more or ['ok'])[-1]}")

    def _wrap(self) -> None:
        self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)

    def _say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")
