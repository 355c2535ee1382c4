"""Errors as RFC 9457 problem documents that name the field and say what to do."""

import logging
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from director.complaints import fault
from director.errors import BriefError, StoreError
from tasks.ledger.types import Wiped
from tasks.store import Corrupt, Newer, NotFound

log = logging.getLogger("visiondirector.api")

MAX_ERRORS = 20
RETRY_SECONDS = 2


def _is_none(value: object) -> bool:
    return value is None


class FieldError(BaseModel):
    """`field` is dotted, e.g. `settings.candidates`; for headers it is the header's name.

    Of a batch, `line` is the line of what was sent, and `custom_id` its name, if it could be read.
    """

    field: str
    message: str
    fix: str = ""
    line: Annotated[int | None, Field(exclude_if=_is_none)] = None
    custom_id: Annotated[str | None, Field(exclude_if=_is_none)] = None


class ProblemDocument(BaseModel):
    """RFC 9457. `type` is a stable name for programs; `errors` name the fields at fault."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldError] = []


_UNUSABLE = {  # (slug, title) by status
    400: ("unreadable", "The request can't be read"),
    413: ("too-large", "Too large"),
    422: ("invalid", "The request can't be used"),
}


class Problem(Exception):
    """Ends a request with a problem document. `slug` is the stable part of its `type`."""

    def __init__(
        self, status: int, slug: str, title: str, detail: str = "",
        errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(title)
        self.status = status
        self.slug = slug
        self.title = title
        self.detail = detail or "; ".join(f"{e.field}: {e.message}" for e in errors[:3])
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def response(self, instance: str) -> JSONResponse:
        document = ProblemDocument(
            type=f"urn:visiondirector:problem:{self.slug}",
            title=self.title,
            status=self.status,
            detail=self.detail,
            instance=instance,
            errors=list(self.errors),
        )
        return JSONResponse(document.model_dump(), self.status, self.headers, "application/problem+json")


def invalid(field: str, message: str, fix: str = "", status: int = 422) -> Problem:
    """The problem of a field that can't be used."""
    return Problem(status, *_UNUSABLE[status], errors=[FieldError(field=field, message=message, fix=fix)])


def unavailable(error: StoreError) -> Problem:
    """The problem of a backend that does not answer, or of stored data that is missing."""
    if isinstance(error, NotFound):
        return lost(error)
    wiped = isinstance(error, Wiped)
    title = "The ledger is being rebuilt" if wiped else "Storage or the ledger is out of reach"
    # The text of the error may name hosts and keys: it is logged and not sent.
    log.warning("unavailable error=%s %s", type(error).__name__, error)
    return Problem(
        503, "unavailable", title, "Nothing is lost: send the same request again in a moment.",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )  # fmt: skip


def lost(error: NotFound | Corrupt) -> Problem:
    """The problem of a stored object that is gone, or is not what was written. A key holds ids and hashes only."""
    what = "is not stored any more" if isinstance(error, NotFound) else "is not what was stored under this name"
    log.error("lost: %s", error)
    return Problem(
        410, "lost", "Something that was stored is lost",
        f"{error.key or 'an object'} {what}. A job that still runs makes it again, if it can.",
    )  # fmt: skip


def newer(error: Newer) -> Problem:
    """The problem of a stored object that this program is too old to read."""
    log.error("too old: %s", error)
    return Problem(
        503, "newer", "Stored by a newer version",
        f"{error.key} was stored by a newer version of this service. Nothing is lost: update the API.",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )  # fmt: skip


def install(app: FastAPI) -> None:
    """Let the app answer every error with a problem document."""

    async def answer(request: Request, error: Exception) -> Response:
        return problem_of(error).response(request.url.path)

    for kind in (Problem, RequestValidationError, StoreError, Corrupt, BriefError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)


def problem_of(error: Exception) -> Problem:
    """The problem that any error of a request stands for."""
    match error:
        case Problem():
            return error
        case StoreError():
            return unavailable(error)
        case Newer():
            return newer(error)
        case Corrupt():
            return lost(error)
        case BriefError():
            return invalid(error.field, error.message, error.fix)
        case RequestValidationError():
            # The first part of each path is "query" or "header", which the name of the parameter makes clear.
            return from_pydantic([{**detail, "loc": detail["loc"][1:]} for detail in error.errors()], {})
        case HTTPException():
            return Problem(error.status_code, "http", str(error.detail), headers=error.headers)
        case _:
            # Starlette raises it again after this answer, and the server logs it with its traceback.
            return Problem(500, "fault", "The service has a fault", "It has been logged.")


def from_pydantic(details: Sequence[Any], models: Mapping[tuple[str, ...], type[BaseModel]]) -> Problem:
    """The problem of a body or parameter, from pydantic's `ValidationError.errors()`.

    `models` maps the path of a field (without list indexes) to its model, to suggest names.
    """
    errors = [FieldError(**fault(detail, models)._asdict()) for detail in details[:MAX_ERRORS]]
    return Problem(422, *_UNUSABLE[422], errors=errors)
