"""Who is calling: a bearer token names its owner; without tokens only this machine may call."""

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request

from api.problems import Problem
from tasks.settings import BadSettings

LOCAL_OWNER = "local"


def is_loopback(host: str) -> bool:
    """True for a name or address that only this machine can reach."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True)
class Doorkeeper:
    """Tells the owner of a request. `tokens` maps each bearer token to its owner."""

    tokens: Mapping[str, str]

    def check_bind(self, host: str) -> None:
        """Raises BadSettings when an API without tokens would be reachable from elsewhere."""
        if not self.tokens and not is_loopback(host):
            raise BadSettings(
                f"VISIONDIRECTOR_API_HOST: refusing to listen on {host} without tokens",
                "set VISIONDIRECTOR_TOKENS, or listen on 127.0.0.1",
            )

    def owner(self, request: Request) -> str:
        """Raises Problem 401 or 403."""
        if not self.tokens:
            return _local(request)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _unauthorized("A bearer token is missing")
        # Every token is compared, so that the time taken tells nothing about which one is near.
        given = token.strip().encode()
        owners = [owner for known, owner in self.tokens.items() if hmac.compare_digest(known.encode(), given)]
        if not owners:
            raise _unauthorized("The bearer token is unknown")
        return owners[0]


def _local(request: Request) -> str:
    # A browser on this machine can be led here by a foreign page: by a name that was rebound to
    # loopback (Host), or by a form that posts across origins (Origin).
    places = [request.client.host if request.client else "", _hostname("//" + request.headers.get("host", ""))]
    if origin := request.headers.get("origin"):
        places.append(_hostname(origin))
    if not all(is_loopback(place) for place in places):
        raise Problem(403, "loopback-only", "Without tokens this service answers this machine only")
    return LOCAL_OWNER


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _unauthorized(title: str) -> Problem:
    return Problem(
        401, "unauthorized", title, "Send the header Authorization: Bearer TOKEN.",
        headers={"WWW-Authenticate": 'Bearer realm="visiondirector"'},
    )  # fmt: skip
