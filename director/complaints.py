"""What is wrong with a value, in words: pydantic's complaints as people read them."""

from collections.abc import Mapping
from typing import Any


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
}

_PATTERNS = {
    r"^[0-9a-f]{64}$": "must be the hash of an uploaded picture: 64 of 0-9 and a-f",
    r"^[A-Za-z0-9_-]{1,32}$": "must be 1 to 32 letters, digits, _ or -, without spaces",
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$": "must be the name of a model: letters, digits, . _ or -, without spaces",
    r"^[a-z][a-z0-9_]{0,31}$": "must be a word of lower-case letters, digits and _",
    r"^[A-Za-z0-9._:-]{1,64}$": "must be one word: 1 to 64 letters, digits, . _ : or -, without spaces",
    r"^\d{1,15}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$": "must be `next` of the page before",
}
"""What a value that has to match must be; without one of these the pattern itself is shown."""
