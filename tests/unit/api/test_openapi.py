"""The OpenAPI document keeps what it promises: examples fit their schemas, and answers fit both.

schemathesis asks every route for what it promises: generated requests, right and wrong, against the real routes over
the API in process.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema_rs import validator_for
from schemathesis import GenerationMode, checks

from api import docs
from tests.support.api import ALICE, House, browse, decided, opening, planned, png, rendered, stopped

EXAMPLES = 15
# Rules between two fields, and sizes in bytes, are beyond a schema; a preference that nobody knows is to be ignored.
BEYOND = [checks.positive_data_acceptance, checks.negative_data_rejection]
RIGHT_AND_WRONG = [
    *((name, GenerationMode.POSITIVE) for name in docs.OPERATIONS),
    *((name, GenerationMode.NEGATIVE) for name in docs.OPERATIONS if name not in docs.OPEN),
]


@schemathesis.serializer("application/x-ndjson")
def lines(_: schemathesis.SerializationContext, value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="module")
def document(house: House) -> dict[str, Any]:
    return house.app().openapi()


@pytest.fixture(scope="module")
def ended(house: House) -> str:
    """A job with a picture, that has ended."""
    with browse(house.app(), **ALICE) as alice:
        id = alice.post("/v1/jobs", json={"brief": "A lamp", "labels": ["x"]}).json()["id"]
    picture = house.images.put(png())
    house.commit(id, *opening(), planned(), rendered(picture), decided(picture), stopped())
    return id


@pytest.fixture(scope="module")
def batch(house: House) -> str:
    """A batch of two items that wait."""
    with browse(house.app(), **ALICE) as alice:
        return alice.post("/v1/batches", content=b'{"brief": "A lamp"}\n{"brief": "A chair"}\n').json()["id"]


@pytest.fixture(scope="module")
def promised(house: House) -> Any:
    return schemathesis.openapi.from_asgi("/v1/openapi.json", house.app())


@pytest.mark.parametrize(("name", "mode"), RIGHT_AND_WRONG)
def test_every_route_does_what_the_document_says(
    promised: Any, ended: str, batch: str, name: str, mode: GenerationMode
) -> None:
    method, path = name.split()
    operation = promised[path][method]

    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=HealthCheck)
    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    def ask(case: schemathesis.Case, known: bool) -> None:
        if known and method != "delete" and "id" in case.path_parameters:
            case.path_parameters["id"] = batch if "/batches/" in path else ended
        case.call_and_validate(headers={**ALICE}, excluded_checks=BEYOND)

    ask()


def examples(document: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Where it stands, the schema, and the example."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            bodies = [("request", operation.get("requestBody", {"content": {}}))]
            bodies += list(operation["responses"].items())
            for status, body in bodies:
                for media, content in body.get("content", {}).items():
                    if media not in {"application/octet-stream", "image/png", "image/webp", "text/event-stream"}:
                        yield f"{method} {path} {status}", content["schema"], content.get("example")


def test_every_json_has_an_example_that_fits_its_schema(document: dict[str, Any]) -> None:
    seen = 0
    for where, schema, example in examples(document):
        assert example is not None, where
        validator_for({**schema, "components": document["components"]}).validate(example)
        seen += 1
    assert seen > 60


def test_no_operation_is_left_undescribed(house: House, document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description"), f"{method} {path}"
            # What is asked with a wrong token is told so.
            assert path in {"/healthz", "/readyz"} or {"401", "403", "503"} <= set(operation["responses"])


def test_it_can_be_read_without_a_token(house: House, tmp_path: Path) -> None:
    with browse(house.app()) as stranger:
        assert stranger.get("/v1/openapi.json").status_code == 200
