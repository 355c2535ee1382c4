"""Hands a mail to the mail server of the settings, and says in words what went wrong with it."""

import smtplib
import socket
import ssl
import time
from contextlib import suppress
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import getaddresses
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

SCHEMES = ("smtp", "smtp+starttls", "smtps")
_SETTING, _FROM = "VISIONDIRECTOR_SMTP_URL", "VISIONDIRECTOR_MAIL_FROM"
_NEVER = {*' ,:;?<>()[]"\\@'}  # in an address as people write it
_LEAST_S = 0.01  # a socket without any time left would not wait at all, which is another error


class Unsent(NamedTuple):
    """`final`: the server will say the same to this mail whenever it comes (RFC 5321, 4.2.1)."""

    why: str
    final: bool = False


def check_server(url: str) -> str:
    """The URL of a mail server. Raises ValueError, which does not repeat it: it may hold a password."""
    server = urlsplit(url)
    if server.scheme not in SCHEMES or not server.hostname:
        raise ValueError("must be smtp://, smtp+starttls:// or smtps:// with a host behind it")
    try:
        _ = server.port
    except ValueError:
        raise ValueError("has a port that is none: write a number up to 65535") from None
    if not unquote(f"{server.username}{server.password}").isascii():
        raise ValueError("has a user or a password with letters beyond ASCII, which can't be sent: choose another")
    return url


def parse_address(text: str) -> Address:
    """`name@example.org`; letters beyond ASCII are allowed. Raises ValueError for what is no address."""
    name, _, domain = text.partition("@")
    if not (name and text.isprintable() and all(domain.split("."))) or _NEVER & {*text.replace("@", "", 1)}:
        raise ValueError("is no e-mail address")
    return Address(username=name, domain=domain)


def parse_sender(text: str) -> Address:
    """`name@example.org`, or `A name <name@example.org>`. Raises ValueError."""
    found = getaddresses([text])
    if len(found) != 1 or not text.isprintable():
        raise ValueError("is no e-mail address")
    shown, spec = found[0]
    address = parse_address(spec)
    return Address(shown, address.username, address.domain)


def deliver(url: str, message: EmailMessage, seconds: float) -> Unsent | None:
    """Send it through that server, which has so many seconds for all of it; None: it was taken.

    The server's certificate is checked.
    """
    try:
        _send(urlsplit(url), message, seconds)
    except (smtplib.SMTPException, OSError) as error:
        return Unsent(_words(error), _is_final(error))
    return None


def _send(server: SplitResult, message: EmailMessage, seconds: float) -> None:
    tls, host, port = ssl.create_default_context(), server.hostname or "", server.port or 0
    smtp = _Secure(host, port, seconds, context=tls) if server.scheme == "smtps" else _Plain(host, port, seconds)
    try:
        if server.scheme == "smtp+starttls":
            smtp.starttls(context=tls)
        if server.username:
            smtp.login(unquote(server.username), unquote(server.password or ""))
        smtp.send_message(message)
    finally:
        with suppress(smtplib.SMTPException, OSError):  # what is said to a goodbye undoes nothing
            smtp.quit()
        smtp.close()


class _InTime(smtplib.SMTP):
    """Gives all replies together so many seconds; smtplib gives them to each, and a mail has up to ten."""

    def __init__(self, host: str, port: int, seconds: float, **more: Any) -> None:
        self._ends = time.monotonic() + seconds
        super().__init__(host, port, timeout=seconds, **more)

    def getreply(self) -> tuple[int, bytes]:
        if self.sock:
            self.sock.settimeout(max(_LEAST_S, self._ends - time.monotonic()))
        return super().getreply()


class _Plain(_InTime): ...


class _Secure(_InTime, smtplib.SMTP_SSL): ...


def _is_final(error: Exception) -> bool:
    """5xx to the address or to the mail. To user, sender or greeting it is about settings, which get mended."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            return all(code >= 500 for code, _ in error.recipients.values())
        case smtplib.SMTPDataError():
            return error.smtp_code >= 500
        case _:
            return False


def _words(error: Exception) -> str:
    match error:
        case smtplib.SMTPAuthenticationError():
            return f"the mail server takes no user with this password: {_answer(error)}; see {_SETTING}"
        case smtplib.SMTPSenderRefused():
            return f"the mail server refuses the sender: {_answer(error)}; see {_FROM}"
        case smtplib.SMTPRecipientsRefused():
            code, said = next(iter(error.recipients.values()))
            return f"the mail server refuses this address: {_said(code, said)}"
        case smtplib.SMTPNotSupportedError():
            return f"the mail server can't do what {_SETTING} or the address asks for: {error}"
        case smtplib.SMTPResponseException():
            return f"the mail server refuses: {_answer(error)}"
        case smtplib.SMTPServerDisconnected() if not isinstance(error.__context__, TimeoutError):
            return f"the mail server ended the connection: {error}"
        case _:
            return _of_connection(error)


def _of_connection(error: Exception) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            fix = "SSL_CERT_FILE names the authorities that are trusted"
            return f"the certificate of the mail server can't be trusted: {error.verify_message}; {fix}"
        case ssl.SSLError():
            return f"the mail server does not speak TLS there: {error.reason}; see {_SETTING}"
        case socket.gaierror():
            return f"the name of the mail server is unknown: {error.strerror}; see {_SETTING}"
        case TimeoutError() | smtplib.SMTPServerDisconnected():
            return f"the mail server does not answer in time; see {_SETTING}"
        case _:
            return f"no mail server can be reached: {error}; see {_SETTING}"


def _answer(error: smtplib.SMTPResponseException) -> str:
    return _said(error.smtp_code, error.smtp_error)


def _said(code: int, text: bytes | str) -> str:
    """In one line: it is the server's word, and may be anything."""
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(''.join(char if char.isprintable() else ' ' for char in words).split())}"[:200]
