"""Sends one notice to one hook: by HTTP, or by e-mail.

This machine may stand in a network that outsiders must not reach, and an owner's hook is no way in: a name is resolved
once, every address it has must be a public one, and the connection goes to that address. No redirect is followed, no
proxy of the environment is used, and of the answer nothing but status and Retry-After is read.
"""

import ipaddress
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import anyio
import httpx
from anyio import to_thread

from director.errors import BriefError
from tasks.notices.letter import MAIL, letter, recipient
from tasks.notices.mail import deliver
from tasks.notices.signing import headers
from tasks.notices.types import Hook, Notice
from tasks.settings import Settings

SECONDS = 15.0
"""A try may take so long."""
_FIELD = "url"
_LAST_PORT = 65_535
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # an IPv4 address in the last bits
_GLOBAL = ipaddress.IPv6Network("2000::/3")  # the only part of IPv6 that is given out
_NOT_GLOBAL = (ipaddress.IPv6Network("3fff::/20"),)  # for documents: newer than the interpreter's own table


class Outcome(NamedTuple):
    """`wait_s` is the answer's Retry-After. `gone`: the receiver wants no more. `final`: it never takes this one."""

    ok: bool
    status: int = 0
    why: str = ""
    wait_s: float | None = None
    gone: bool = False
    final: bool = False


class Refused(BriefError):
    """An address that is not used."""


@dataclass(frozen=True)
class Poster:
    """`private`: notices may go to private addresses, and over http. `smtp` is "" where no mail is sent, `pages` where
    mails have no links."""

    private: bool = False
    smtp: str = ""
    mail_from: str = ""
    pages: str = ""

    @classmethod
    def of(cls, settings: Settings) -> "Poster":
        smtp = settings.smtp_url.get_secret_value()
        return cls(settings.private_hooks, smtp, settings.mail_from, settings.public_url)

    def check(self, url: str) -> None:
        """Raises Refused for an address that can't be used."""
        if url.startswith(MAIL):
            self._check_mail(url)
        else:
            anyio.run(self._address, url)

    def send(self, hook: Hook, notice: Notice) -> Outcome:
        """Try once. Never raises for what the receiver does."""
        try:
            if hook.url.startswith(MAIL):
                return self._mail(hook, notice)
            return anyio.run(self._post, hook, notice)
        except Refused as refused:
            return Outcome(False, why=refused.message)
        except TimeoutError:
            return Outcome(False, why=f"no answer within {SECONDS:.0f} seconds")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as failed:
            return Outcome(False, why=f"{type(failed).__name__}: {failed}"[:300])

    # --- HTTP -------------------------------------------------------------------------------------

    async def _post(self, hook: Hook, notice: Notice) -> Outcome:
        with anyio.fail_after(SECONDS):
            url, address = await self._address(hook.url)
            now = int(time.time())
            sent = {
                **headers(notice, hook.keys(now), now), "Content-Type": "application/json",
                "Host": url.netloc.decode("ascii"), "User-Agent": "VisionDirector",
            }  # fmt: skip
            request = httpx.Request(
                "POST", url.copy_with(host=address), content=notice.body.encode(), headers=sent,
                extensions={"sni_hostname": url.host, "timeout": httpx.Timeout(SECONDS).as_dict()},
            )  # fmt: skip
            async with httpx.AsyncClient(follow_redirects=False, trust_env=False) as client:
                answer = await client.send(request, stream=True)
                await answer.aclose()
        return _outcome(answer)

    async def _address(self, text: str) -> tuple[httpx.URL, str]:
        """The URL, and the address that its name stands for now."""
        url = _parsed(text)
        if url.scheme != "https" and not self.private:
            raise _refused("must begin with https://", "plain http could be read and changed on its way")
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            found = await to_thread.run_sync(
                lambda: socket.getaddrinfo(url.host, port, type=socket.SOCK_STREAM), abandon_on_cancel=True
            )
        except (OSError, UnicodeError) as unknown:
            raise _refused(f"the name {url.host[:100]!r} can't be resolved: {unknown}", "check it") from unknown
        addresses = [str(info[4][0]) for info in found]
        private = [address for address in addresses if not is_public(address)]
        if not addresses or (private and not self.private):
            raise _refused(
                f"{url.host[:100]!r} is no public address", "name one that anybody can reach, or let whoever runs the "
                "service set VISIONDIRECTOR_PRIVATE_HOOKS=true",
            )  # fmt: skip
        return url, addresses[0]

    # --- e-mail -----------------------------------------------------------------------------------

    def _check_mail(self, url: str) -> None:
        if not self.smtp:
            raise _refused("this service sends no e-mail", "let whoever runs it set VISIONDIRECTOR_SMTP_URL")
        try:
            address = recipient(url)
        except ValueError as wrong:
            raise _refused(str(wrong), "write mailto:name@example.org") from None
        if "." not in address.domain:
            raise _refused("is no e-mail address of the Internet", "write mailto:name@example.org")

    def _mail(self, hook: Hook, notice: Notice) -> Outcome:
        self._check_mail(hook.url)
        message = letter(notice, hook, self.mail_from, self.pages, datetime.now(UTC))
        unsent = deliver(self.smtp, message, SECONDS)
        return Outcome(True) if unsent is None else Outcome(False, why=unsent.why, final=unsent.final)


def is_public(address: str) -> bool:
    """Whether anybody may be asked there: no private, loopback, link-local or reserved address, however wrapped."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner:
            return _is_global(inner)
        if ip not in _GLOBAL or any(ip in network for network in _NOT_GLOBAL):
            return False
    return _is_global(ip)


def _is_global(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return ip.is_global and not ip.is_multicast


def _parsed(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as wrong:
        raise _refused(f"is no URL: {wrong}", "write https://example.org/path") from wrong
    if url.scheme not in ("https", "http") or not url.host or url.userinfo or url.fragment:
        raise _refused(
            "must be https:// with a host and without user, password and #", "write https://example.org/path, or "
            "mailto:name@example.org",
        )  # fmt: skip
    if url.port is not None and not 0 < url.port <= _LAST_PORT:
        raise _refused(f"has the port {url.port}", f"name one from 1 to {_LAST_PORT}, or none")
    return url


def _refused(why: str, fix: str) -> Refused:
    return Refused(why, fix, _FIELD)


def _outcome(answer: httpx.Response) -> Outcome:
    status = answer.status_code
    if 200 <= status < 300:
        return Outcome(True, status)
    why = f"answered {status}"
    if 300 <= status < 400:
        why += ", and redirects are not followed: change the hook's URL"
    return Outcome(False, status, why, _wait(answer.headers.get("retry-after", "")), gone=status == 410)


def _wait(told: str) -> float | None:
    """Seconds of a Retry-After (RFC 9110, 10.2.3): a number, or a date."""
    if told.isascii() and told.isdigit():
        return float(told)
    try:
        return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
    except (ValueError, OverflowError):  # no date, or one that no calendar has
        return None
