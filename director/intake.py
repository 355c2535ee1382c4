"""What a person hands in, turned into a Brief and LoopSettings, or into a BriefError that names the field."""

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from director.complaints import complaint
from director.errors import BriefError
from director.kinds import SCOPES
from director.prompts.quotes import quotations
from director.strategies import STRATEGIES, public_names
from director.types import MAX_BRIEF_BYTES, Brief, GoalType, LoopSettings, Scope

_T = TypeVar("_T", Brief, LoopSettings)


def read_brief(data: bytes, annotated: bool = False, named_json: bool = False) -> Brief:
    """A brief from a file: prose, or an LGBench-like JSON task {"prompt", "goals": [{"type", "description"}]}.

    `annotated` takes the task's goals as explicit goals; else only its prompt counts. `named_json`: the file's name
    says that it is JSON, so prose in it is a slip.
    Raises BriefError for broken UTF-8, broken JSON, an empty or an oversized text.
    """
    if len(data) > 50 * MAX_BRIEF_BYTES:
        raise BriefError(f"the file has {len(data)} bytes", f"a brief has at most {MAX_BRIEF_BYTES}", "brief.text")
    if kind := _kind_of(data):
        text_first = "write the brief in a text file, and give the picture to start from with --source"
        fix = text_first if kind == _PICTURE else "save it as plain text, in UTF-8"
        raise BriefError(f"it is {kind}, no brief", fix, "brief.text")
    text = _decoded(data)
    if not text.strip():
        raise BriefError("it is empty", "write what the picture must show", "brief.text")
    if named_json and not text.lstrip().startswith(("{", "[")):
        raise BriefError("its name ends in .json, but it holds no JSON", "name it .txt, or write JSON", "brief")
    task: dict[str, Any] = _task(text) if named_json or text.lstrip().startswith(("{", "[{")) else {"prompt": text}
    if not task.get("prompt"):
        raise BriefError("the JSON has no prompt", 'write {"prompt": "what the picture must show"}', "brief.text")
    goals = [task_goal(n, goal) for n, goal in enumerate(_records(task), 1)] if annotated else []
    title = " · ".join(str(task[k]) for k in ("category", "subcategory") if task.get(k))[:120]
    return checked(Brief, {"text": task.get("prompt", ""), "title": title, "goals": goals}, "brief")


def _decoded(data: bytes) -> str:
    if b"\0" in data:
        raise BriefError("it holds zero bytes, so it is no text", "save it as plain text, in UTF-8", "brief.text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BriefError(f"byte {error.start} is not UTF-8", "save the brief as UTF-8", "brief.text") from error


def is_picture(start: bytes) -> bool:
    """True for a file that begins as pictures do; 12 bytes are enough."""
    return _kind_of(start) == _PICTURE


def _kind_of(data: bytes) -> str:
    """What the file is by its first bytes, if it is no text; else ""."""
    if data.startswith(_PICTURES) or data[4:8] == b"ftyp":
        return _PICTURE
    return next((kind for start, kind in _DOCUMENTS.items() if data.startswith(start)), "")


_PICTURE = "a picture"
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"8BPS")
_DOCUMENTS = {
    b"%PDF": "a PDF", b"PK\3\4": "a Word file or an archive", b"\xd0\xcf\x11\xe0": "a Word file",
    b"{\\rtf": "an RTF file", b"\xff\xfe": "UTF-16 text", b"\xfe\xff": "UTF-16 text",
}  # fmt: skip


def _task(text: str) -> dict[str, Any]:
    try:
        task = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise BriefError(f"the JSON is broken: {error}", "mend it, or send prose", "brief") from error
    if not isinstance(task, dict):
        raise BriefError("the JSON is a list", "a brief is one task: one JSON object with a prompt", "brief")
    return cast(dict[str, Any], task)


def _records(task: dict[str, Any]) -> list[dict[str, Any]]:
    goals: Any = task.get("goals", [])
    listed = cast(list[Any], goals) if isinstance(goals, list) else [None]
    if not all(isinstance(goal, dict) for goal in listed):
        raise BriefError("goals is no list of objects", 'write [{"type": …, "description": …}, …]', "brief.goals")
    return cast(list[dict[str, Any]], listed)


def task_goal(number: int, goal: Mapping[str, Any]) -> dict[str, Any]:
    """One annotated goal of an LGBench task as the fields of a Goal; ours may say `absent`.

    A text goal sets one string: the first that is quoted; others say where it stands ("under 'MENU'").
    """
    kind, text = str(goal.get("type", "")), str(goal.get("description", ""))
    spans = quotations(text) if kind == GoalType.TEXT else ()
    scope = SCOPES.get(kind, Scope.LOCAL)
    return {
        "id": f"g{number:02d}",
        "text": text,
        "type": kind,
        "scope": scope,
        "string": text[slice(*spans[0])] if spans else None,
        "absent": goal.get("absent", False),
    }


def loop_settings(values: Mapping[str, Any], strategy: str = "ours") -> LoopSettings:
    """The settings of a strategy with `values` over them. Raises BriefError that names the setting."""
    if strategy not in STRATEGIES:
        raise BriefError(f"there is no strategy {strategy!r}", f"choose from {', '.join(STRATEGIES)}", "strategy")
    known = public_names(LoopSettings)
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            fix = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise BriefError(f"there is no setting {name!r}", fix, f"settings.{name}")
    return checked(LoopSettings, {**STRATEGIES[strategy], **values}, "settings")


def assignments(pairs: Iterable[str]) -> dict[str, Any]:
    """`key=value` words as a mapping; a value is JSON where it can be (4, true, 0.5, null), else a string."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise BriefError(f"{pair!r} is no setting", "write key=value", f"settings.{name or '?'}")
        try:
            found[name] = read_json(value)
        except ValueError:
            found[name] = value
    return found


def read_json(text: str) -> Any:
    """As JSON says it: Python would also take NaN, and make infinity of 1e999. Raises ValueError."""
    return json.loads(text, parse_constant=_refuse, parse_float=_finite)


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _finite(word: str) -> float:
    return number if math.isfinite(number := float(word)) else _refuse(word)


def checked(kind: type[_T], values: Mapping[str, Any], field: str) -> _T:
    """Validate, and turn the first complaint into a BriefError with the dotted name of the field."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join([field, *(str(part) for part in first["loc"])])
        message, fix = complaint(first), ""
        if first["type"] == "value_error":
            message, _, fix = message.partition(": ")
        raise BriefError(f"{where}: {message}", fix, where) from error
