"""How the client asks: one request, tried again while the service is away or busy."""

from __future__ import annotations

import ipaddress
import os
import re
import time
from collections.abc import Callable
from typing import Any

import httpx

from .errors import ApiError, Unavailable, from_response

DEFAULT_URL = "http://127.0.0.1:8100"
URL_NAME, TOKEN_NAME = "VISIONDIRECTOR_URL", "VISIONDIRECTOR_TOKEN"
RETRIES = 5
LONGEST_PAUSE = 8.0
AGAIN = frozenset({0, 408, 409, 429, 503})
"""Status of what may be asked again, 0 for no answer. Callers try 409 and 429 again only where that can help."""


class Connection:
    """One service, with its token. A context manager; one thread at a time may use it."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if url is None:
            url, token = os.environ.get(URL_NAME, DEFAULT_URL), token or os.environ.get(TOKEN_NAME)
        if token and not (token.isascii() and token.isprintable()):  # httpx would show it
            raise ValueError("the token has a character that no header can hold, such as a line break")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(
            base_url=url,
            headers=headers,
            timeout=timeout,
            transport=transport,
            # A proxy or .netrc of the environment has no business with this machine's own service.
            trust_env=not is_loopback(httpx.URL(url).host),
        )
        self._timeout = timeout
        self._sleep = sleep

    def close(self) -> None:
        self._http.close()

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        tries = self._tries()
        while True:
            try:
                response = self._http.request(method, path, **options)
                if response.is_error:
                    raise from_response(response)
                return response
            except (httpx.TransportError, Unavailable) as error:
                tries.failed(error)
            except ApiError as error:
                error.tries = tries.made + 1
                raise

    def _tries(self) -> Tries:
        return Tries(str(self._http.base_url), self._sleep)


class Tries:
    """Failures in a row, and the pauses between them."""

    def __init__(self, url: str, sleep: Callable[[float], None]) -> None:
        self._url = url.rstrip("/")
        self._sleep = sleep
        self._most = RETRIES
        self.made = 0

    def reset(self, most: int) -> None:
        """It works; from now on `most` failures in a row are borne."""
        self._most = most
        self.made = 0

    def failed(self, error: httpx.TransportError | ApiError) -> None:
        """Pause before the next try. Raises when another one is no use, or was the last."""
        lost = error if isinstance(error, ApiError) else Unavailable(f"no answer from {self._url}: {_why(error)}")
        self.made += 1
        if self.made > self._most or lost.status not in AGAIN:
            lost.tries = self.made
            raise lost from error
        self._sleep(min(lost.retry_after or 0.25 * 2 ** (self.made - 1), LONGEST_PAUSE))


def _why(error: httpx.TransportError) -> str:
    """What happened, without the number that an operating system gives it."""
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__


def is_loopback(host: str) -> bool:
    """True for a name or address that only this machine can reach."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
