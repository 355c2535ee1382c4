"""The OpenAPI document: the answers and problems of each route, with an example of each.

FastAPI knows parameters and models; `OPERATIONS` has the rest in one place. tests/unit/api/test_openapi.py holds
every example against its schema, and schemathesis every route against what is promised here.
"""

from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from api import examples
from api.batch_schemas import Cancelling, ItemResult, Patching, Retrying
from api.hooks import HookIn
from api.picking import Picking
from api.problems import ProblemDocument
from api.schemas import JobPatch, Submission
from director.types import Trajectory

_JSON, _PROBLEM, _PNG, _PAGE = "application/json", "application/problem+json", "image/png", "text/html"
_REF = "#/components/schemas/{model}"
_TEXT, _BYTES = {"type": "string"}, {"type": "string", "format": "binary"}
_EVENT = {"type": "object", "properties": {"event": _TEXT, "data": _TEXT, "id": _TEXT}}
_WORDS = {"type": "object", "additionalProperties": _TEXT}


class Answer(NamedTuple):
    """`schema` is the name of a component or a schema; None: no body."""

    about: str
    schema: str | dict[str, Any] | None = None
    example: Any = None
    media: str = _JSON


class Operation(NamedTuple):
    """The answers of a route, and the statuses of its problems beside 401, 403 and 503."""

    answers: dict[int, Answer]
    problems: tuple[int, ...] = (404, 422)
    body: Any = None  # example of the body of the request
    takes: str | dict[str, Any] = Submission.__name__  # its schema


_BODIES = (Submission, JobPatch, Picking, Cancelling, Retrying, Patching, HookIn)
_BATCH = Answer("the batch", "BatchEnvelope", examples.BATCH)
_ENVELOPE = Answer("the job", "Envelope", examples.ENVELOPE)
_ORDER_PROBLEMS = (400, 404, 410, 413, 422)
OPERATIONS: dict[str, Operation] = {
    "post /v1/jobs": Operation(
        {
            202: Answer("the new job", "Envelope", examples.SUBMITTED),
            200: Answer("the job of an earlier submit, or a new job that ended within the wait", "Envelope",
                        examples.ENVELOPE),
        },
        (400, 409, 413, 422, 429), examples.SUBMISSION,
    ),
    "get /v1/jobs": Operation({200: Answer("a page of jobs", "JobList", examples.JOBS)}, (404, 410, 422)),
    "get /v1/jobs/{id}": Operation({200: _ENVELOPE}, (404, 410, 422)),
    "delete /v1/jobs/{id}": Operation({204: Answer("the job was deleted")}, (404, 409, 422)),
    "post /v1/jobs/{id}/cancel": Operation(
        {
            202: Answer("the job will stop", "Envelope", examples.CANCELLING),
            200: _ENVELOPE._replace(about="the job had ended"),
        },
        (404, 410, 422),
    ),
    "post /v1/jobs/{id}/pause": Operation(
        {202: Answer("the job will wait", "Envelope", examples.PAUSED)}, (404, 409, 410, 422)
    ),
    "post /v1/jobs/{id}/resume": Operation(
        {202: Answer("the job goes on", "Envelope", examples.SUBMITTED)}, (404, 409, 410, 422)
    ),
    "patch /v1/jobs/{id}": Operation(
        {200: _ENVELOPE._replace(example=examples.SUBMITTED)}, (404, 409, 410, 413, 422),
        {"priority": 3}, JobPatch.__name__,
    ),
    "post /v1/jobs/{id}/requeue": Operation(
        {202: Answer("the job continues", "Envelope", examples.SUBMITTED)}, (404, 409, 410, 422, 429)
    ),
    "put /v1/jobs/{id}/pick": Operation(
        {200: _ENVELOPE._replace(about="the job, and what was picked", example=examples.PICKED)},
        (400, 404, 409, 410, 413, 422), {"round": 2, "candidate": 3}, Picking.__name__,
    ),
    "delete /v1/jobs/{id}/pick": Operation({200: _ENVELOPE}, (404, 409, 410, 422)),
    "get /v1/jobs/{id}/attempts": Operation({200: Answer("attempts and their cost", "Attempts", examples.ATTEMPTS)}),
    "get /v1/jobs/{id}/trajectory": Operation(
        {200: Answer("trajectory so far", "Trajectory", examples.TRAJECTORY)}, (404, 410, 422)
    ),
    "get /v1/jobs/{id}/image": Operation(
        {
            200: Answer("the best picture so far, or what was picked", _BYTES, media=_PNG),
            304: Answer("the picture has not changed"),
        },
        (404, 410, 422),
    ),
    "get /v1/jobs/{id}/images/{image}": Operation(
        {
            200: Answer("a picture, or a thumbnail as image/webp", _BYTES, media=f"{_PNG} image/webp"),
            304: Answer("the picture has not changed"),
        },
        (404, 410, 422),
    ),
    "get /v1/jobs/{id}/events": Operation(
        {
            200: Answer("events as they happen, then `end`", _EVENT, examples.EVENTS, "text/event-stream"),
            204: Answer("the last event was received"),
        },
        (400, 404, 422),
    ),
    "get /v1/jobs/{id}/report": Operation(
        {200: Answer("an HTML page", _TEXT, "<!doctype html>…", _PAGE)}, (404, 410, 422)
    ),
    "get /v1/me": Operation({200: Answer("the caller", "Me", examples.ME)}, ()),
    "get /v1/plan": Operation({200: Answer("the plan", "PlanOut", examples.PLAN)}, (422,)),
    "post /v1/batches": Operation(
        {
            202: Answer("the new batch", "BatchEnvelope", examples.NEW_BATCH),
            200: _BATCH._replace(about="the batch of an earlier upload"),
        },
        (408, 409, 422), examples.MANIFEST, _TEXT,
    ),
    "get /v1/batches/uploads/{key}": Operation({200: Answer("what was received", "Received", examples.RECEIVED)}),
    "get /v1/batches": Operation({200: Answer("a page of batches", "BatchList", examples.BATCHES)}, (422,)),
    "get /v1/batches/{id}": Operation({200: _BATCH}, (404, 410, 422)),
    "patch /v1/batches/{id}": Operation({200: _BATCH}, _ORDER_PROBLEMS, examples.PATCHING, "Patching"),
    "get /v1/batches/{id}/items": Operation(
        {200: Answer("a page of items", "ItemList", examples.ITEMS)}, (404, 410, 422)
    ),
    "get /v1/batches/{id}/results": Operation(
        {
            200: Answer(
                "an ItemResult on each line, or a table", _TEXT, examples.RESULTS, "application/x-ndjson text/csv"
            )
        },
        (404, 410, 422),
    ),
    "get /v1/batches/{id}/archive.zip": Operation(
        {200: Answer("a ZIP file", _BYTES, "PK…", "application/zip")}, (404, 410, 422)
    ),
    "get /v1/batches/{id}/gallery": Operation(
        {200: Answer("an HTML page", _TEXT, "<!doctype html>…", _PAGE)}, (404, 410, 422)
    ),
    "post /v1/batches/{id}/pause": Operation({200: _BATCH}, (404, 410, 422)),
    "post /v1/batches/{id}/resume": Operation({200: _BATCH}, (404, 410, 422)),
    "post /v1/batches/{id}/cancel": Operation({200: _BATCH}, _ORDER_PROBLEMS, examples.CANCELLING_ITEMS, "Cancelling"),
    "post /v1/batches/{id}/retry": Operation({200: _BATCH}, _ORDER_PROBLEMS, examples.RETRYING, "Retrying"),
    "put /v1/images": Operation({200: Answer("the picture is stored", "Uploaded", examples.UPLOADED)}, (413, 422)),
    "get /v1/machines": Operation({200: Answer("what is held, and who is sick", "Machines", examples.MACHINES)}, ()),
    "post /v1/machines/{worker}/quarantine": Operation(
        {200: Answer("the worker takes no more steps", "Machines", examples.MACHINES)}
    ),
    "post /v1/machines/{worker}/restore": Operation(
        {200: Answer("the worker takes steps again", "Machines", examples.MACHINES)}
    ),
    "post /v1/hooks": Operation(
        {201: Answer("the new hook, with its secret", "HookOut", examples.NEW_HOOK)}, (400, 413, 422),
        examples.HOOK_SENT, "HookIn",
    ),
    "get /v1/hooks": Operation({200: Answer("your hooks", "HookList", examples.HOOKS)}, ()),
    "delete /v1/hooks/{id}": Operation({204: Answer("the hook is gone")}),
    "post /v1/hooks/{id}/rotate": Operation({200: Answer("with its new secret", "HookOut", examples.NEW_HOOK)}),
    "post /v1/hooks/{id}/test": Operation({200: Answer("what came of it", "Tried", examples.TRIED)}),
    "post /v1/hooks/{id}/replay": Operation({200: Answer("so many are sent again", "Replayed", {"notices": 3})}),
    "get /healthz": Operation({200: Answer("the process answers", _WORDS, {"status": "ok"})}, ()),
    "get /readyz": Operation(
        {200: Answer("ready", _WORDS, examples.READY), 503: Answer("not ready", _WORDS, examples.NOT_READY)}, ()
    ),
}  # fmt: skip
OPEN = ("get /healthz", "get /readyz")
"""These need no token."""


def install(app: FastAPI) -> None:
    """Serve this document in place of FastAPI's own."""

    def document() -> dict[str, Any]:
        if not app.openapi_schema:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document


def _document(app: FastAPI) -> dict[str, Any]:
    found: dict[str, Any] = get_openapi(
        title=app.title, version=app.version, routes=app.routes,
        summary="Long briefs in, verified pictures out.",
        description="Errors are problem documents (RFC 9457) that name the field and say what to do.",
    )  # fmt: skip
    parts = found["components"]
    for name in ("HTTPValidationError", "ValidationError"):
        parts["schemas"].pop(name, None)
    for model in (*_BODIES, Trajectory, ItemResult, ProblemDocument):
        parts["schemas"] |= _schemas(model)
    # BriefIn accepts a plain string, too.
    brief = parts["schemas"]["Submission"]["properties"]["brief"]
    parts["schemas"]["Submission"]["properties"]["brief"] = {"anyOf": [brief, {"type": "string", "minLength": 1}]}
    parts["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "password": {"type": "http", "scheme": "basic", "description": "GET only: the token is the password"},
    }
    for path, methods in found["paths"].items():
        for method, described in methods.items():
            _describe(f"{method} {path}", described)
    return found


def _schemas(model: type[BaseModel]) -> dict[str, Any]:
    mode = "validation" if model in _BODIES else "serialization"
    schema = model.model_json_schema(mode=mode, ref_template=_REF)
    return {**schema.pop("$defs", {}), model.__name__: schema}


def _describe(name: str, described: dict[str, Any]) -> None:
    operation = OPERATIONS[name]
    described["responses"] = {str(status): _answer(answer) for status, answer in operation.answers.items()}
    problems = operation.problems if name in OPEN else (*operation.problems, 401, 403, 503)
    for status in sorted(problems):
        about = examples.PROBLEMS[status]["title"]
        answer = Answer(about, "ProblemDocument", examples.PROBLEMS[status], _PROBLEM)
        described["responses"][str(status)] = _answer(answer)
    if name not in OPEN:
        described["security"] = [{"token": []}, {"password": []}] if name.startswith("get") else [{"token": []}]
    if operation.body:
        [content] = described["requestBody"]["content"].values()
        content |= {"schema": _schema(operation.takes), "example": operation.body}
    for parameter in described.get("parameters", ()):
        if parameter["name"] == "id":
            parameter["example"] = examples.BATCH["id"] if "/batches/" in name else examples.JOB


def _answer(answer: Answer) -> dict[str, Any]:
    if answer.schema is None:
        return {"description": answer.about}
    body: dict[str, Any] = {"schema": _schema(answer.schema)}
    if answer.example is not None:
        body["example"] = answer.example
    return {"description": answer.about, "content": dict.fromkeys(answer.media.split(), body)}


def _schema(given: str | dict[str, Any]) -> dict[str, Any]:
    return {"$ref": _REF.format(model=given)} if isinstance(given, str) else given
