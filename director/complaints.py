"""What is wrong with a value, in words: pydantic's complaints as people read them."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from director.strategies import public_names


class Fault(NamedTuple):
    """What is wrong with a field (dotted, e.g. `settings.candidates`), and what mends it."""

    field: str
    message: str
    fix: str = ""


def fault(detail: Mapping[str, Any], models: Mapping[tuple[str, ...], type[BaseModel]]) -> Fault:
    """One of pydantic's `ValidationError.errors()`, with its field and a fix.

    `models` maps the path of a field (without list indexes) to its model, to suggest names.
    """
    path = tuple(str(part) for part in detail["loc"])
    kind, context = str(detail["type"]), detail.get("ctx", {})
    if kind == "extra_forbidden":
        model = models.get(tuple(str(p) for p in detail["loc"][:-1] if isinstance(p, str)))
        known = public_names(model) if model else []
        return Fault(_dotted(path), "there is no such field", _suggest(path[-1], known))
    if kind == "value_error":
        message, _, fix = str(context["error"]).partition(": ")
        model = models.get(tuple(str(p) for p in detail["loc"] if isinstance(p, str)))
        # The message of a rule over a whole model starts with the name of a field.
        subject = message.split(" ", 1)[0]
        if model and subject in public_names(model):
            path = (*path, subject)
        return Fault(_dotted(path), message, fix)
    return Fault(_dotted(path), complaint(detail))


def _suggest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    if close := difflib.get_close_matches(name, names, n=3, cutoff=0.5):
        return f"did you mean {' or '.join(close)}?"
    return f"leave it out; known here: {', '.join(names)}" if names else "leave it out"


def _dotted(path: Sequence[str]) -> str:
    return ".".join(part[:64] for part in path) or "body"


def complaint(detail: Mapping[str, Any]) -> str:
    """The words for one of pydantic's `ValidationError.errors()`, to stand behind the field's name."""
    kind, context = str(detail["type"]), detail.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], f"must match {context['pattern']}")
    known = _MESSAGES.get(kind)
    return known.format_map(context) if known else str(detail["msg"]).removeprefix("Value error, ")[:300]


_MESSAGES = {
    "missing": "is required",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must not be empty",
    "too_long": "must have at most {max_length} items",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a string",
    "string_unicode": "must be valid Unicode text",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
}

_PATTERNS = {
    r"^[0-9a-f]{64}$": "must be the hash of an uploaded picture: 64 of 0-9 and a-f",
    r"^[A-Za-z0-9_-]{1,32}$": "must be 1 to 32 letters, digits, _ or -, without spaces",
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$": "must be the name of a model: letters, digits, . _ or -, without spaces",
    r"^[a-z][a-z0-9_]{0,31}$": "must be a word of lower-case letters, digits and _",
    r"^[^\x00-\x1f\x7f]{1,128}$": "must have 1 to 128 characters, on one line",
    r"^[A-Za-z0-9._:-]{1,64}$": "must be one word: 1 to 64 letters, digits, . _ : or -, without spaces",
    r"^(ended-)?\d{1,15}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$": "must be `next` of the page before",
    r"^\d{1,15}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$": "must be `next` of the page before",
    r"^\d{1,9}$": "must be `next` of the page before",
    r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$": "must be the whole id, as lists show it",
}
"""What a value that has to match must be; without one of these the pattern itself is shown."""
