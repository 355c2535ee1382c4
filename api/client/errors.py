"""What a call can raise.

ApiError
├── BadRequest     the service can't use what was sent; `fields` names what to mend
├── Unauthorized   the token is missing or unknown
├── NotFound       no such job, or no picture yet
├── Conflict       the job, or the idempotency key, is in a state that forbids it
├── TooMany        as much is under way as this token may have; `retry_after` says when to ask again
└── Unavailable    no answer, 408 or 5xx; for the bounded retries that were made
"""

from __future__ import annotations

import httpx
from pydantic import BaseModel, ValidationError


class FieldError(BaseModel):
    """One field that is at fault, and what to do about it. `line` and `custom_id` are of a batch's lines."""

    field: str
    message: str
    fix: str = ""
    line: int | None = None
    custom_id: str | None = None

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        return f"{where}{self.field}: {self.message}" + (f" ({self.fix})" if self.fix else "")


class ApiError(Exception):
    """The root. `status` is 0 when there was no answer; `tries` counts the requests that were made.

    `retry_after` is in seconds, if the service said when to ask again.
    """

    tries: int = 1
    retry_after: float | None = None

    def __init__(self, message: str, status: int = 0, fields: tuple[FieldError, ...] = ()) -> None:
        super().__init__(message, status, fields)
        self.message = message
        self.status = status
        self.fields = fields

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  {field}" for field in self.fields)])


class BadRequest(ApiError):
    """4xx: what was sent can't be used."""


class Unauthorized(ApiError):
    """401 or 403."""


class NotFound(ApiError):
    """404."""


class Conflict(ApiError):
    """409."""


class TooMany(ApiError):
    """429."""


class Unavailable(ApiError):
    """The service can't be reached, or answers 5xx."""


class _Document(BaseModel):
    title: str = ""
    detail: str = ""
    errors: tuple[FieldError, ...] = ()


def from_response(response: httpx.Response) -> ApiError:
    """The error that a response with status 4xx or 5xx stands for. Its body must have been read."""
    try:
        document = _Document.model_validate_json(response.content)
    except ValidationError:
        document = _Document()
    message = document.title or f"HTTP {response.status_code}"
    if document.detail and not document.errors:
        # A person at a command line sends no headers by hand.
        of_headers = response.status_code == 401 and "Authorization" in document.detail
        detail = "set VISIONDIRECTOR_TOKEN" if of_headers else document.detail
        message = f"{message}: {detail}"
    status = response.status_code
    kinds = {401: Unauthorized, 403: Unauthorized, 404: NotFound, 409: Conflict, 429: TooMany}
    # 408: the service heard nothing for a while, and keeps what came.
    kind = Unavailable if status >= 500 or status == 408 else kinds.get(status, BadRequest)
    error = kind(message, status, document.errors)
    asked = response.headers.get("Retry-After", "")
    error.retry_after = float(asked) if asked.isdigit() else None
    return error
