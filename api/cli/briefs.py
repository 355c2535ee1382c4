"""Brief files of the command line."""

from pathlib import Path
from typing import Any, BinaryIO

from director import intake
from director.errors import BriefError

MAX_TITLE = 120


def read_brief(name: str, stdin: BinaryIO, with_goals: bool, title: str) -> dict[str, Any]:
    """The brief in file `name` ("-" is standard input), in the form of the API.

    Raises BriefError that names the file and the fault.
    """
    try:
        data = stdin.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise BriefError(f"{name}: {error.strerror}", "name a readable file", field=name) from error
    try:
        brief = intake.read_brief(data, annotated=with_goals)
    except BriefError as error:
        raise BriefError(f"{name}: {error.message}", error.fix, field=name) from error
    stem = "" if name == "-" else Path(name).stem
    named = (title or brief.title or stem)[:MAX_TITLE]
    return brief.model_copy(update={"title": named}).model_dump(mode="json", exclude_defaults=True)
