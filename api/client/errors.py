"""What a call can raise.

ApiError
├── BadRequest     the service can't use what was sent; `fields` names what to mend
├── Unauthorized   the token is missing or unknown
├── NotFound       no such job, or no picture yet
├── Conflict       the job, or the idempotency key, is in a state that forbids it
└── Unavailable    no answer, or 5xx; for the bounded retries that were made
"""

from __future__ import annotations

import httpx
from pydantic import BaseModel, ValidationError


class FieldError(BaseModel):
    """One field that is at fault, and what to do about it."""

    field: str
    message: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" + (f" ({self.fix})" if self.fix else "")


class ApiError(Exception):
    """The root. `status` is 0 when there was no answer; `tries` counts the requests that were made."""

    tries: int = 1

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


class Unavailable(ApiError):
    """The service can't be reached, or answers 5xx. `retry_after` is in seconds, if it said."""

    retry_after: float | None = None


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
    if response.status_code >= 500:
        error = Unavailable(message, response.status_code, document.errors)
        asked = response.headers.get("Retry-After", "")
        error.retry_after = float(asked) if asked.isdigit() else None
        return error
    kinds = {401: Unauthorized, 403: Unauthorized, 404: NotFound, 409: Conflict}
    return kinds.get(response.status_code, BadRequest)(message, response.status_code, document.errors)
