"""Authentication: a token names its owner and its scopes. Without tokens only this machine may call."""

import base64
import binascii
import difflib
import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from fastapi import Request
from pydantic import SecretStr

from api.client.connection import is_loopback
from api.problems import Problem
from tasks.settings import Settings
from tasks.tokens import BadSettings, Grant, Scope

LOCAL_OWNER = "local"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Caller:
    """The owner of a request, the scopes of the token, and its limits."""

    owner: str
    scopes: frozenset[Scope]
    max_in_flight: int
    max_brief_bytes: int
    max_image_bytes: int

    @classmethod
    def of(cls, grant: Grant, settings: Settings) -> Self:
        limits = ("max_in_flight", "max_brief_bytes", "max_image_bytes")
        return cls(grant.owner, grant.scopes, *(getattr(grant, each) or getattr(settings, each) for each in limits))

    @property
    def reach(self) -> str | None:
        """The owner whose jobs it may see, cancel and requeue; None: of all owners."""
        return None if Scope.OPERATE in self.scopes else self.owner

    @property
    def may_order(self) -> bool:
        """It may pause, cancel and the like: then pages have buttons."""
        return not self.scopes.isdisjoint({Scope.WRITE, Scope.OPERATE})

    def check(self, *scopes: Scope) -> None:
        """Raises Problem 403 unless the caller has one of `scopes`."""
        if self.scopes.isdisjoint(scopes):
            raise Problem(403, "scope", "This token may not do that", f"It needs the scope {' or '.join(scopes)}.")


class Authenticator:
    """Finds the caller of a request. It holds digests of tokens only, so that no token can leak from it."""

    def __init__(self, settings: Settings) -> None:
        self._callers = {
            _digest(grant.token.get_secret_value()): Caller.of(grant, settings) for grant in settings.grants()
        }
        everything = Grant(owner=LOCAL_OWNER, token=SecretStr("-"), scopes=frozenset(Scope))
        self._local = Caller.of(everything, settings)

    def check_bind(self, host: str) -> None:
        """Raises BadSettings when another machine could reach an API without tokens."""
        if not self._callers and not is_loopback(host):
            raise BadSettings(
                f"VISIONDIRECTOR_API_HOST: refusing to listen on {host} without tokens",
                "set VISIONDIRECTOR_TOKENS, or listen on 127.0.0.1",
            )

    def check_owners(self, ruled: Iterable[str]) -> None:
        """Name in the log whom the settings rule and nobody can be: a name may be misspelt."""
        known = {caller.owner for caller in self._callers.values()} or {LOCAL_OWNER}
        for owner in sorted(set(ruled) - known):
            near = difflib.get_close_matches(owner, known, 1)
            fix = f": did you mean {near[0]}?" if near else ""
            log.warning("VISIONDIRECTOR_OWNERS names %s, who has no token here%s", owner, fix)

    def caller(self, request: Request) -> Caller:
        """Raises Problem 401 or 403."""
        return self._caller(request, request.method in {"GET", "HEAD"})

    def form_caller(self, request: Request) -> Caller:
        """Who sends a form of a page: api/forms.py sees to it that the page was ours."""
        return self._caller(request, True)

    def _caller(self, request: Request, reads: bool) -> Caller:
        if not self._callers:
            _check_local(request)
            return self._local
        token = _token(request.headers.get("authorization", ""), reads)
        if not token:
            raise _unauthorized("A bearer token is missing", reads)
        # The key is a digest: the time of the look-up says nothing about the tokens.
        caller = self._callers.get(_digest(token))
        if not caller:
            raise _unauthorized("The token is unknown", reads)
        return caller


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def basic_or_bearer(header: str) -> str:
    """The token that a browser or a program sent; "" without one."""
    return _token(header, True)


def _token(header: str, reads: bool) -> str:
    """The bearer token or, for reads by a browser, the password of Basic; "" for anything else."""
    scheme, _, given = header.partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    if scheme.lower() != "basic" or not reads:
        return ""
    try:
        return base64.b64decode(given.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _check_local(request: Request) -> None:
    # A foreign page can make a browser on this machine send requests here: through a name that was rebound
    # to loopback (Host), or through a form that posts across origins (Origin).
    hosts = [request.client.host if request.client else "", _hostname("//" + request.headers.get("host", ""))]
    if origin := request.headers.get("origin"):
        hosts.append(_hostname(origin))
    if not all(is_loopback(host) for host in hosts):
        raise Problem(403, "loopback-only", "A service without tokens answers only its own machine")


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _unauthorized(title: str, reads: bool) -> Problem:
    # A browser asks for a password when Basic is offered; Chromium only when Basic is offered first.
    offered = ["Basic", "Bearer"] if reads else ["Bearer"]
    challenge = ", ".join(f'{scheme} realm="visiondirector"' for scheme in offered)
    return Problem(
        401, "unauthorized", title, "Send the header Authorization: Bearer TOKEN.",
        headers={"WWW-Authenticate": challenge},
    )  # fmt: skip
