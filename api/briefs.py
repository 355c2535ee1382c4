"""Briefs as people keep them in files: prose, or a task in LGBench's JSON."""

import json
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from director.errors import BriefError
from director.prompts.clauses import quotations
from director.types import GoalType, Scope

MAX_TITLE = 120
_SCOPES = {
    GoalType.TEXT: Scope.TEXT,
    GoalType.EFFECT: Scope.GLOBAL,
    GoalType.COLOR: Scope.GLOBAL,
    GoalType.LIGHTING: Scope.GLOBAL,
    GoalType.COMPOSITION: Scope.LAYOUT,
}


class _TaskGoal(BaseModel):
    type: str
    description: str


class _Task(BaseModel):
    """LGBench's record; its other fields are of no use here."""

    model_config = ConfigDict(extra="ignore")

    prompt: str
    subcategory: str = ""
    goals: tuple[_TaskGoal, ...] = Field(default=())


def read_brief(name: str, stdin: BinaryIO, with_goals: bool, title: str) -> dict[str, Any]:
    """The brief in file `name` ("-" is standard input), as the service takes it.

    Raises BriefError that names the file and what is wrong with it.
    """
    try:
        text = (stdin.read() if name == "-" else Path(name).read_bytes()).decode("utf-8-sig")
    except OSError as error:
        raise BriefError(f"{name}: {error.strerror}", "name a readable file", field=name) from error
    except UnicodeDecodeError as error:
        raise BriefError(f"{name}: not valid UTF-8 at byte {error.start}", "save it as UTF-8", field=name) from error
    stem = "" if name == "-" else Path(name).stem
    if Path(name).suffix.lower() != ".json":
        return {"text": text, "title": title or stem[:MAX_TITLE]}
    try:
        task = _Task.model_validate(json.loads(text))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BriefError(f"{name}: {where}: {first['msg']}", 'one task is {"prompt": …, "goals": […]}', name) from error
    except (ValueError, RecursionError) as error:
        raise BriefError(f"{name}: not valid JSON: {error}", "a prose brief is a .txt file", field=name) from error
    brief: dict[str, Any] = {"text": task.prompt, "title": title or (task.subcategory or stem)[:MAX_TITLE]}
    if with_goals:
        brief["goals"] = [_goal(number, goal) for number, goal in enumerate(task.goals, 1)]
    return brief


def _goal(number: int, goal: _TaskGoal) -> dict[str, Any]:
    scope = next((scope for type_, scope in _SCOPES.items() if type_ == goal.type), Scope.LOCAL)
    made: dict[str, Any] = {"id": f"g{number:02d}", "text": goal.description, "type": goal.type, "scope": scope}
    spans = quotations(goal.description) if goal.type == GoalType.TEXT else ()
    if spans:
        start, end = spans[0]
        made["string"] = goal.description[start:end]
    return made
