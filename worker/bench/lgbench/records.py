"""LGBench's files: strict to read, the same bytes whenever they are written again.

A task is {"id", "category", "subcategory", "prompt", "goals": [{"type", "description"}, …]}. Our own
tasks may also say their `modality`, a sentence that describes the `source` picture, and for each goal
the places (from 0) of the goals it depends on (`parents`) or pulls against (`conflicts`), and `absent`
where it must not be there.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import Field, StringConstraints, ValidationError, model_validator

from director.errors import BriefError
from director.intake import task_goal
from director.types import MAX_BRIEF_BYTES, MAX_GOALS, Goal, GoalType, Value
from worker.bench.cases import Case

Modality = Literal["t2i", "i2i"]
SOURCE = "i2i_source_images/task_{:04d}/source_image.png"
"""Where the picture of an i2i task lies, beside the file of its records."""
_SHOWN = 5

Said = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1)]
Index = Annotated[int, Field(strict=True, ge=0)]


class GoalRecord(Value):
    type: GoalType
    description: Annotated[Said, Field(max_length=1000)]
    parents: tuple[Index, ...] = ()
    conflicts: tuple[Index, ...] = ()
    absent: bool = False


class Record(Value):
    """One task as it stands in a file."""

    id: Annotated[int, Field(strict=True, ge=0)]
    modality: Modality = "t2i"
    category: str = ""
    subcategory: str = ""
    prompt: Said
    goals: Annotated[tuple[GoalRecord, ...], Field(min_length=1, max_length=MAX_GOALS)]
    source: str | None = None

    @model_validator(mode="after")
    def _fits(self) -> "Record":
        if (size := len(self.prompt.encode())) > MAX_BRIEF_BYTES:
            raise ValueError(f"the prompt has {size} bytes; the most is {MAX_BRIEF_BYTES}")
        for n, goal in enumerate(self.goals):
            for name, others in (("parents", goal.parents), ("conflicts", goal.conflicts)):
                if wrong := [other for other in others if other == n or other >= len(self.goals)]:
                    raise ValueError(f"goals.{n}.{name} names goal {wrong[0]}: there is no such other goal")
        return self

    def goal_values(self) -> tuple[Goal, ...]:
        """The annotated goals as a verifier is asked about them."""
        plain = [
            task_goal(n, {"type": g.type.value, "description": g.description, "absent": g.absent})
            for n, g in enumerate(self.goals, 1)
        ]
        return tuple(
            Goal.model_validate(
                {
                    **fields,
                    "parents": [plain[p]["id"] for p in goal.parents],
                    "conflicts": [plain[c]["id"] for c in goal.conflicts],
                }
            )
            for fields, goal in zip(plain, self.goals, strict=True)
        )


def read_cases(path: Path, modality: Modality | None = None) -> list[Case]:
    """The tasks in a file of one or many records, or in a folder of such files, sorted by modality and id.

    Raises BriefError that names file, record and field of what is wrong, and missing source pictures.
    """
    found = [(file, record) for file in _files(path) for record in read_records(file)]
    if modality:
        found = [(file, record) for file, record in found if record.modality == modality]
    if not found:
        raise BriefError(f"{path} holds no {modality or ''} tasks".replace("  ", " "), "name an LGBench file", "TASKS")
    return sorted(_cases(found), key=lambda case: case.id)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        # Results may lie in the same folder; tasks are JSON files on its first level.
        return sorted(file for file in path.glob("*.json") if file.is_file())
    return [path]


def read_records(file: Path) -> list[Record]:
    """The records of one file. `t2i` or `i2i` in front of its name says what they are when they don't.

    Raises BriefError with up to five complaints: file, record, field.
    """
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BriefError(f"{file}: {error}", "name a readable UTF-8 file", "TASKS") from error
    try:
        data: Any = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise BriefError(f"{file}: the JSON is broken: {error}", "mend the file", "TASKS") from error
    records = cast(list[Any], data) if isinstance(data, list) else [data]
    usual: Modality = "i2i" if file.name.startswith("i2i") else "t2i"
    read: list[Record] = []
    problems: list[str] = []
    for number, record in enumerate(records):
        try:
            read.append(_record(record, usual))
        except (ValidationError, ValueError) as error:
            problems += [f"record {number}{_named(record)}: {said}" for said in _complaints(error)]
    if problems:
        more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        listed = "\n  ".join(problems[:_SHOWN])
        raise BriefError(f"{file}:\n  {listed}{more}", "see the format of LGBench", "TASKS")
    return read


def _record(record: Any, usual: Modality) -> Record:
    if not isinstance(record, dict):
        raise ValueError(f"is {type(record).__name__}, not an object with id, prompt and goals")
    fields = cast(dict[str, Any], record)
    # The official files may carry more than their page says: extra fields are left alone, slips are not.
    for name in fields.keys() - Record.model_fields.keys():
        if near := difflib.get_close_matches(name.lower(), Record.model_fields.keys() - fields.keys(), 1):
            raise ValueError(f"there is no field {name!r}: did you mean {near[0]!r}?")
    known = {name: value for name, value in fields.items() if name in Record.model_fields}
    return Record.model_validate({"modality": usual, **known})


def _named(record: Any) -> str:
    name: Any = cast(dict[str, Any], record).get("id") if isinstance(record, dict) else None
    return "" if name is None else f" (id {name})"


def _complaints(error: ValueError) -> Iterator[str]:
    if not isinstance(error, ValidationError):
        yield str(error)
        return
    for problem in error.errors(include_url=False, include_input=True):
        where = ".".join(str(part) for part in problem["loc"])
        given = "" if problem["type"] in ("missing", "value_error") else f" (it is {json.dumps(problem['input'])[:60]})"
        yield f"{where + ': ' if where else ''}{problem['msg'].removeprefix('Value error, ')}{given}"


def _cases(found: Sequence[tuple[Path, Record]]) -> Iterator[Case]:
    seen: dict[str, Path] = {}
    for file, record in found:
        name = case_id(record)
        if name in seen:
            raise BriefError(f"id {record.id} stands in {seen[name]} and again in {file}", "give each its own", "TASKS")
        seen[name] = file
        yield case_of(record, file.parent)


def case_id(record: Record) -> str:
    return f"{record.modality}-{record.id:04d}"


def case_of(record: Record, folder: Path) -> Case:
    """A record as a case. Raises BriefError when the picture of an i2i task is not where it belongs."""
    source = folder / SOURCE.format(record.id) if record.modality == "i2i" else None
    if source and not source.is_file():
        raise BriefError(
            f"task {case_id(record)} edits a picture that is not there: {source}",
            "put the source picture there" + (f": {record.source}" if record.source else ""),
            "TASKS",
        )
    title = " · ".join(part for part in (record.category, record.subcategory) if part)[:120]
    return Case(
        id=case_id(record),
        text=record.prompt,
        title=title,
        group=record.category,
        goals=record.goal_values(),
        source=source,
    )


def dumped(records: Iterable[Record]) -> str:
    """The records as the text of an LGBench file."""
    return json.dumps([_plain(record) for record in records], ensure_ascii=False, indent=1) + "\n"


def _plain(record: Record) -> Mapping[str, Any]:
    fields = record.model_dump(mode="json", exclude_none=True)
    fields["goals"] = [
        {name: value for name, value in goal.items() if value not in ([], False)} for goal in fields["goals"]
    ]
    return fields
