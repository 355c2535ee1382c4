"""A mail server (aiosmtpd) that keeps what comes, and that can refuse, be silent, or break off at each word."""

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from aiosmtpd.controller import UnthreadedController
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

SILENT, BREAK = "silent", "break"
"""Answers that are none: nothing comes, the connection ends."""
Word = Literal["EHLO", "HELO", "MAIL", "RCPT", "DATA", "QUIT"]
Tls = Literal["starttls", "at once"]


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


@dataclass
class Mailbox:
    """`answers` are said in place of the usual ones, by word, and may change at any time. That to DATA comes when the
    mail is there, which is not kept then. `raw` holds mails as they came, with lines that end as on the wire."""

    url: str = ""
    answers: dict[Word, str] = field(default_factory=dict[Word, str])
    recipients: list[str] = field(default_factory=list[str])
    raw: list[bytes] = field(default_factory=list[bytes])

    @property
    def mails(self) -> list[EmailMessage]:
        return [message_from_bytes(mail, policy=policy.default) for mail in self.raw]


@contextmanager
def mailbox(
    certificate: Certificate | None = None,
    tls: Tls = "starttls",
    user: tuple[str, str] | None = None,
    answers: dict[Word, str] | None = None,
    port: int = 0,
) -> Generator[Mailbox]:
    """A server on this machine, with TLS if there is a certificate. `user` and password are asked for."""
    box = Mailbox(answers=answers or {})
    kind = {"starttls": "smtp+starttls", "at once": "smtps"}[tls] if certificate else "smtp"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate:
        context.load_cert_chain(certificate.chain, certificate.key)
    server = UnthreadedController(
        _Handler(box, user is not None), "127.0.0.1", port, asyncio.new_event_loop(),
        ssl_context=context if kind == "smtps" else None, tls_context=context if kind == "smtp+starttls" else None,
        # To aiosmtpd a connection that began with TLS has none, and it warns of a password that it asks for there.
        auth_require_tls=kind != "smtps", authenticator=_check(user),
        auth_exclude_mechanism=None if user else ["PLAIN", "LOGIN"],
    )  # fmt: skip
    with _running(server) as found:
        who = f"{quote(user[0], safe='')}:{quote(user[1], safe='')}@" if user else ""
        box.url = f"{kind}://{who}localhost:{found}"
        yield box


def _check(user: tuple[str, str] | None) -> Any:
    right = LoginPassword(*(word.encode() for word in user)) if user else None

    def check(server: SMTP, session: Session, envelope: Envelope, mechanism: str, told: LoginPassword) -> AuthResult:
        if told == right:
            return AuthResult(success=True)
        return AuthResult(success=False, handled=False, message="535 5.7.8 who are\x07 you?")

    return check


@contextmanager
def _running(server: UnthreadedController) -> Generator[int]:
    """Its port. The server is in a thread of its own; connections that are left end with it."""
    ready, loop, found = threading.Event(), server.loop, list[int]()

    def serve() -> None:
        server.begin()
        assert server.server
        found.extend(socket.getsockname()[1] for socket in server.server.sockets)
        loop.call_soon(ready.set)
        loop.run_forever()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert ready.wait(10), "the mail server did not start"
    try:
        yield found[0]
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: UnthreadedController) -> None:
    assert server.server
    server.server.close()
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


class _Handler:
    """What aiosmtpd asks at each word."""

    def __init__(self, box: Mailbox, closed: bool) -> None:
        self._box, self._closed = box, closed

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, name: str, usual: list[str]
    ) -> list[str]:
        session.host_name = name
        other = await self._other("EHLO", server)
        return [other] if other else usual

    async def handle_HELO(self, server: SMTP, session: Session, envelope: Envelope, name: str) -> str:
        session.host_name = name
        return await self._other("HELO", server) or "250 test"

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, sender: str, options: list[str]
    ) -> str:
        if self._closed and not session.authenticated:
            return "530 5.7.0 who are you?"
        envelope.mail_from = sender
        return await self._other("MAIL", server) or "250 ok"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, recipient: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(recipient)
        return await self._other("RCPT", server) or "250 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        other = await self._other("DATA", server)
        if not other:
            assert isinstance(envelope.original_content, bytes)
            self._box.recipients += envelope.rcpt_tos
            self._box.raw.append(envelope.original_content)
        return other or "250 ok"

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        return await self._other("QUIT", server) or "221 bye"

    async def _other(self, word: Word, server: SMTP) -> str:
        other = self._box.answers.get(word, "")
        if other == BREAK:
            assert server.transport
            server.transport.abort()
        if other in (BREAK, SILENT):
            await asyncio.Event().wait()  # until the connection ends
        return other
