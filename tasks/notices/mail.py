"""Hands a mail to the mail server of the settings, and says in words what went wrong with it."""

import smtplib
import socket
import ssl
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

SCHEMES = ("smtp", "smtp+starttls", "smtps")
_SETTING, _FROM = "VISIONDIRECTOR_SMTP_URL", "VISIONDIRECTOR_MAIL_FROM"


def check_server(url: str) -> str:
    """The URL of a mail server. Raises ValueError, which does not repeat it: it may hold a password."""
    server = urlsplit(url)
    if server.scheme not in SCHEMES or not server.hostname:
        raise ValueError("must be smtp://, smtp+starttls:// or smtps:// with a host behind it")
    try:
        _ = server.port
    except ValueError:
        raise ValueError("has a port that is none: write a number up to 65535") from None
    return url


def deliver(url: str, message: EmailMessage, seconds: float) -> str:
    """Send it through that server; "", or what went wrong. The server's certificate is checked."""
    server, tls = urlsplit(url), ssl.create_default_context()
    host, port = server.hostname or "", server.port or 0
    try:
        with (
            smtplib.SMTP_SSL(host, port, timeout=seconds, context=tls)
            if server.scheme == "smtps"
            else smtplib.SMTP(host, port, timeout=seconds)
        ) as smtp:
            if server.scheme == "smtp+starttls":
                smtp.starttls(context=tls)
            if server.username:
                smtp.login(unquote(server.username), unquote(server.password or ""))
            smtp.send_message(message)
    except (smtplib.SMTPException, OSError) as error:
        return _words(error)
    return ""


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
            return f"the mail server can't do what {_SETTING} asks for: {error}"
        case smtplib.SMTPResponseException():
            return f"the mail server refuses: {_answer(error)}"
        case smtplib.SMTPServerDisconnected():
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
        case TimeoutError():
            return f"the mail server does not answer in time; see {_SETTING}"
        case _:
            return f"no mail server can be reached: {error}; see {_SETTING}"


def _answer(error: smtplib.SMTPResponseException) -> str:
    return _said(error.smtp_code, error.smtp_error)


def _said(code: int, text: bytes | str) -> str:
    """In one line: it is the server's word, and may be anything."""
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(''.join(char if char.isprintable() else ' ' for char in words).split())}"[:200]
