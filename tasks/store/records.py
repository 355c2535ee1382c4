"""How values and records are written as JSON, and read again, and owners in keys. Reading raises Corrupt, which names
the key."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from director.types import Value
from tasks.jobs import CONTRACT
from tasks.store.objects import Corrupt, Newer
from tasks.summary import Cost, end_of

V = TypeVar("V", bound=Value)


def owner_folder(owner: str) -> str:
    """An owner's name may hold anything; a key may not."""
    return hashlib.sha256(owner.encode()).hexdigest()[:32]


def packed(value: Value) -> bytes:
    # Fields in the order of their class and no spaces: one value always gives the same bytes.
    return value.model_dump_json().encode()


def dumped(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode()


def parse(kind: type[V], key: str, data: bytes) -> V:
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        if any((problem["loc"], problem["type"]) == (("contract",), "less_than_equal") for problem in problems):
            fix = f"this program reads up to contract {CONTRACT}: update this worker"
            raise Newer(f"{key} was stored by a newer version", fix, key=key) from error
        raise Corrupt(f"{key} is no {kind.__name__}: {error.error_count()} problems", key=key) from error


def attempt_record(key: str, data: bytes) -> dict[str, Any]:
    """An attempt record whose numbers are numbers. Raises Corrupt, AttributeError, TypeError or ValueError."""
    record = parsed(key, data)
    Cost.total([record])
    end_of([record])
    return record


def parsed(key: str, data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise Corrupt(f"{key} is no JSON: {error}", key=key) from error
    if not isinstance(found, dict):
        raise Corrupt(f"{key} holds no record", key=key)
    return cast("dict[str, Any]", found)
