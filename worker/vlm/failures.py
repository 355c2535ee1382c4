"""What a VLM server's refusal or silence means: who has to act, what failed, and when another try is welcome."""

import json
import math
import re
import socket
import ssl
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any, cast

import httpx2
from openai import APIStatusError, APITimeoutError, OpenAIError

from director.errors import Actor
from worker.vlm.config import Server

_PASSING = frozenset({408, 425, 429})
"""With every 5xx: the server is away, in trouble or busy, and the same request may do later."""
_BUSY = 429
_BUSY_S = 1.0
"""The pause that a busy server is given that names none. One that names a pause can't be held against a job."""
_ABOUT_CONTENT = frozenset({400, 413, 422})
"""The request's own content may be to blame. The message tells; a schema or a setting may be to blame as well."""
_KEY = frozenset({401, 403})
_PLACE = frozenset({404, 405})

_SETTING = re.compile(
    r"\b(?:schema|response_format|grammar|regex|guided|max_(?:completion_)?tokens|max_new_tokens|api key)\b"
    r"|\blora\b|\badapter\b|\bentity too large\b",
    re.IGNORECASE,
)
"""Words that blame what the operator has set, whatever else the message says. A proxy's limit on a request's bytes too:
pictures have the size that the seat's `pixels` gives them."""
_TOO_LARGE = re.compile(
    r"\bcontext[ _-](?:length|window|size)|(?<!took )\btoo long\b|\btoo many (?:\w+ )?tokens\b"
    r"|\blonger than the (?:model|max)|\btoken(?:s| count)\b.{0,40}\bexceeds?\b|\bexceeds?\b.{0,40}\btokens\b"
    r"|\b(?:image|picture)s?\b.{0,80}\b(?:too (?:large|big|many)|exceeds?)\b|\btoo large (?:an )?image"
    r"|\b(?:prompt|input|message)s?\b.{0,40}\btoo large\b",
    re.IGNORECASE | re.DOTALL,
)
_NOT_ALLOWED = re.compile(
    r"\bcontent[ _-](?:policy|filter|management)|\bsafety (?:system|policy)\b|\bmoderation\b", re.IGNORECASE
)
_CONTEXT = re.compile(r"context length (?:of|is) (\d+)", re.IGNORECASE)

_FIX_TOO_LARGE = "shorten the brief, or use smaller pictures"
_FIX_NOT_ALLOWED = "change what the brief asks for"
_FIX_AWAY = "start the server, or wait until it answers"
_FIX_BUSY = "wait, or give the server less to do"
_FIX_PAGE = "see what answers at the seat's url, or wait until the server does"
_FIX_PLACE = "mend the seat's url, model or adapter"
_FIX_URL = "mend the seat's url"
_FIX_TLS = "mend the seat's url, or the server's certificate"
_FIX_ROOM = "lower the seat's max_tokens, or give the server a longer context"
_FIX_ELSE = "read what the server says, and mend the server or the seat's settings"


class _VlmError(Exception):
    """Its attributes are what `director.errors.boundary` looks for."""

    actor = Actor.OUTAGE

    def __init__(
        self, message: str, resource: str = "", fix: str = "", actor: Actor | None = None, retry_after_s: float = 0.0
    ) -> None:
        super().__init__(message)
        self.resource = resource
        self.fix = fix
        self.actor = actor or self.actor
        self.retry_after_s = retry_after_s


class VlmUnavailable(_VlmError):
    """The server does not answer, or not now; the same request may do later."""


class VlmRefused(_VlmError):
    """The server refuses the request as it is. What must be mended first is the brief or this installation."""

    actor = Actor.OPERATOR


def resource_of(server: Server) -> str:
    """The name of a server and its model in errors, as a person who has to mend it looks for it."""
    return f"{server.url} ({server.model})"


def failure(error: OpenAIError | UnicodeError, server: Server, max_tokens: int) -> VlmUnavailable | VlmRefused:
    """What an exception of the SDK means. `max_tokens` is what the request allowed for the reply."""
    if isinstance(error, APIStatusError):
        return _of_status(error, server, max_tokens)
    if isinstance(error, APITimeoutError):
        return _away(f"{error}", server)
    causes = list(_causes(error))
    said = f"{str(error).rstrip('.')}: {causes[-1]}" if len(causes) > 1 else str(error)
    for cause in causes:
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return _refused(said, server, _FIX_TLS)
        if isinstance(cause, socket.gaierror | UnicodeError | httpx2.UnsupportedProtocol | httpx2.TooManyRedirects):
            return _refused(said, server, _FIX_URL)
        if isinstance(cause, httpx2.LocalProtocolError):  # a line break in a key or a url
            return _refused("the request can't be sent", server, f"{_FIX_URL} or {_key(server)}")
    return _away(said, server)


def page_failure(raw: bytes, headers: httpx2.Headers, server: Server) -> VlmUnavailable | None:
    """What a body with status 200 means that no model said: a proxy in between sent it, or another program."""
    page = "a web page" if "html" in headers.get("content-type", "") else "" if raw.strip() else "nothing"
    return _away(f"{page} came with status 200", server, _FIX_PAGE) if page else None


def spoken_failure(raw: bytes, server: Server) -> VlmUnavailable | VlmRefused | None:
    """What a body with status 200 says when it is an error and no completion."""
    if b'"error"' not in raw:
        return None
    try:
        body: Any = json.loads(raw)
    except ValueError:
        return None
    found = cast(dict[str, Any], body) if isinstance(body, dict) else {}
    if "choices" in found or not (found.get("object") == "error" or found.get("error")):
        return None
    told = found.get("error") or found
    said = _message(told)
    code: Any = cast(dict[str, Any], told).get("code") if isinstance(told, dict) else None
    if _TOO_LARGE.search(said) and not _SETTING.search(said):
        return _refused(said, server, _FIX_TOO_LARGE, Actor.USER)
    if isinstance(code, int) and 400 <= code < 500 and code not in _PASSING:
        return _refused(said, server, _FIX_ELSE)
    pause = _BUSY_S * (code == _BUSY)
    return _away(said or "an error without words", server, retry_after_s=pause)


def _of_status(error: APIStatusError, server: Server, max_tokens: int) -> VlmUnavailable | VlmRefused:
    status, said = error.status_code, _message(error.body)
    told = _told(error, said)
    if status >= 500 or status in _PASSING:
        pause = retry_after(error.response.headers)
        if status == _BUSY:
            return _away(told, server, _FIX_BUSY, pause or _BUSY_S)
        return _away(told, server, _FIX_AWAY, pause)
    if status in _KEY:
        return _refused(told, server, _key(server))
    if status in _PLACE:
        return _refused(told, server, _FIX_PLACE)
    if status in _ABOUT_CONTENT:
        room = _CONTEXT.search(said)
        if room and max_tokens >= int(room[1]):  # no request of this seat fits
            return _refused(told, server, _FIX_ROOM)
        if _TOO_LARGE.search(said) and not _SETTING.search(said):
            return _refused(told, server, _FIX_TOO_LARGE, Actor.USER)
        if _NOT_ALLOWED.search(said) and not _SETTING.search(said):
            return _refused(told, server, _FIX_NOT_ALLOWED, Actor.USER)
    return _refused(told, server, _FIX_ELSE)


def _told(error: APIStatusError, said: str) -> str:
    """The SDK finds few of the places where an error has its words."""
    return f"{error}" if said in str(error) or said.lstrip().startswith("<") else f"{error} - {said}"


def retry_after(headers: httpx2.Headers) -> float:
    """The seconds of a Retry-After, which counts them or names a date; 0 without one that can be read.

    A date is measured from the answer's own date: the clocks of two machines need not agree.
    """
    said = headers.get("retry-after", "")
    try:
        seconds = float(said)
    except ValueError:
        until, now = _date(said), _date(headers.get("date", ""))
        seconds = until - (time.time() if now is None else now) if until is not None else 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0


def _date(said: str) -> float | None:
    try:
        return parsedate_to_datetime(said).timestamp()
    except (ValueError, OverflowError):
        return None


def _message(body: Any) -> str:
    """The words of an error, without what it echoes of the request: a user's words are not the server's."""
    if isinstance(body, str):
        return body[:1000]
    if isinstance(body, list):
        return "; ".join(_message(each) for each in cast(list[Any], body)[:10])[:1000]
    if not isinstance(body, dict):
        return ""
    parts = (_message(body[name]) for name in ("message", "msg", "detail", "error", "code") if body.get(name))
    return "; ".join(part for part in parts if part)[:1000]


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause:
        yield cause
        cause = cause.__cause__ or cause.__context__  # httpcore gives its own only the latter


def _key(server: Server) -> str:
    return f"mend the key in {server.api_key_env}" if server.api_key_env else "name the key in the seat's api_key_env"


def _away(said: str, server: Server, fix: str = _FIX_AWAY, retry_after_s: float = 0.0) -> VlmUnavailable:
    where = resource_of(server)
    return VlmUnavailable(f"{where}: {said}", where, fix, retry_after_s=retry_after_s)


def _refused(said: str, server: Server, fix: str, actor: Actor = Actor.OPERATOR) -> VlmRefused:
    where = resource_of(server)
    return VlmRefused(f"{where}: {said}", where, fix, actor)
