"""GenEval (Ghosh et al., arXiv 2310.11513): its prompts, its rules for one picture, and its score.

The rules are those of `evaluation/evaluate_images.py` of the official repository (MIT) and the figures those of
`summary_scores.py`. Nothing here looks at a picture: a `Detector` and a `ColourClassifier` do.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Annotated, Any, Literal, Protocol, Self, get_args

from pydantic import AfterValidator, ConfigDict, Field, StrictBool, ValidationError, model_validator

from director.errors import BriefError
from director.types import Value
from worker.bench import statistics as stats
from worker.bench.cases import Case
from worker.bench.statistics import Metric

Tag = Literal["single_object", "two_object", "counting", "colors", "position", "color_attr"]
Colour = Literal["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white"]
Relation = Literal["left of", "right of", "above", "below"]

TAGS: tuple[Tag, ...] = get_args(Tag)
COLOURS: tuple[Colour, ...] = get_args(Colour)
SAMPLES = 4  # pictures of each prompt
THRESHOLD, COUNTING_THRESHOLD = 0.3, 0.9  # a detection counts above it
MAX_OBJECTS = 16  # of one class; boxes may overlap, nothing is suppressed
POSITION_THRESHOLD = 0.1  # share of the two sizes by which centres must be apart to count as apart
GREY = "#999"  # behind a cut-out object whose colour is asked

CLASSES: tuple[str, ...] = tuple(
    """person|bicycle|car|motorcycle|airplane|bus|train|truck|boat|traffic light|fire hydrant|stop sign|parking meter
bench|bird|cat|dog|horse|sheep|cow|elephant|bear|zebra|giraffe|backpack|umbrella|handbag|tie|suitcase|frisbee
skis|snowboard|sports ball|kite|baseball bat|baseball glove|skateboard|surfboard|tennis racket|bottle|wine glass
cup|fork|knife|spoon|bowl|banana|apple|sandwich|orange|broccoli|carrot|hot dog|pizza|donut|cake|chair|couch
potted plant|bed|dining table|toilet|tv|laptop|computer mouse|tv remote|computer keyboard|cell phone|microwave
oven|toaster|sink|refrigerator|book|clock|vase|scissors|teddy bear|hair drier|toothbrush""".replace("\n", "|").split(
        "|"
    )
)
"""COCO's 80 classes in COCO's order, in the benchmark's words (its `object_names.txt`)."""


# --- prompts ----------------------------------------------------------------------------------


def _known(value: str) -> str:
    if value not in CLASSES:
        raise ValueError(f"there is no class {value!r} among the 80 of object_names.txt")
    return value


class Unwanted(Value):
    """`count` of a class, or more, spoil the picture."""

    name: Annotated[str, Field(alias="class"), AfterValidator(_known)]
    count: Annotated[int, Field(ge=1, strict=True)]


class Wanted(Unwanted):
    """At least `count` of a class, perhaps in a colour, perhaps beside an earlier entry of `include`."""

    color: Colour | None = None
    position: tuple[Relation, Annotated[int, Field(ge=0, strict=True)]] | None = None


class Prompt(Value):
    """One line of `evaluation_metadata.jsonl`."""

    tag: Tag
    include: Annotated[tuple[Wanted, ...], Field(min_length=1)]
    exclude: tuple[Unwanted, ...] = ()
    prompt: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _positions(self) -> Self:
        for n, wanted in enumerate(self.include):
            if wanted.position and wanted.position[1] >= n:
                raise ValueError(f"include.{n}.position: it may only name an entry before it")
        return self


@dataclass(frozen=True)
class Entry:
    """A prompt with its place in the file. `record` is its line, compact, as the official scripts copy it around."""

    index: int
    prompt: Prompt
    record: str

    @property
    def folder(self) -> str:
        """Name of its folder in the official layout."""
        return f"{self.index:05d}"

    @property
    def case(self) -> Case:
        """What the loop is given. The goals are the prompt's own: nothing of `include` is shown to it."""
        return Case(id=self.folder, text=self.prompt.prompt, group=self.prompt.tag)


def read_metadata(data: bytes, name: str = "metadata") -> list[Entry]:
    """The prompts of `evaluation_metadata.jsonl`. Raises BriefError that names the line and the field."""
    entries: list[Entry] = []
    lines: dict[str, int] = {}
    for number, line in _lines(data, name):
        where = f"line {number}"
        values = _object(line, name, where)
        prompt = _prompt(values, name, where)
        entry = Entry(len(entries), prompt, json.dumps(values))
        if entry.record in lines:
            raise BriefError(f"{where}: the same as line {lines[entry.record]}", "each prompt counts once", name)
        lines[entry.record] = number
        entries.append(entry)
    if not entries:
        raise BriefError("there is no prompt in it", "give GenEval's evaluation_metadata.jsonl", name)
    return entries


# --- one picture ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Detection:
    """A found object: corners in pixels, the detector's score, and, opaque here, its pixels if it is cut out."""

    x0: float
    y0: float
    x1: float
    y1: float
    score: float
    mask: Any = None


Found = Mapping[str, Sequence[Detection]]
"""Detections by class, the surest first."""


class Detector(Protocol):
    """Finds objects of `CLASSES`."""

    @property
    def name(self) -> str:
        """What the report says."""
        ...

    def detect(self, png: bytes, classes: Sequence[str]) -> Found:
        """All detections of these classes, at any score, in any order; those of others may be among them."""
        ...


class ColourClassifier(Protocol):
    """Says which of `COLOURS` an object has."""

    @property
    def name(self) -> str: ...

    def colours(self, png: bytes, kind: str, objects: Sequence[Detection]) -> Sequence[Colour]:
        """A colour for each object, cut out on `GREY`."""
        ...


class Judged(Value):
    """`reason` says in the official words what was wrong; empty when nothing was."""

    correct: bool
    reason: str = ""


def kept(found: Found, tag: Tag) -> Found:
    """What counts of a detector's finds: above the threshold, the surest first, at most 16 a class."""
    threshold = COUNTING_THRESHOLD if tag == "counting" else THRESHOLD
    return {
        name: sorted(above, key=lambda each: -each.score)[:MAX_OBJECTS]
        for name, objects in found.items()
        if (above := [each for each in objects if each.score > threshold])
    }


def judge(prompt: Prompt, found: Found, colours: Callable[[str, Sequence[Detection]], Sequence[Colour]]) -> Judged:
    """Whether a picture with these objects (of `kept`) is correct.

    Only the surest `count` boxes of a class are looked at for colour and position. Every entry of
    `include` must hold and none of `exclude`; one entry's failure does not hide another's.
    """
    problems: list[str] = []
    groups: list[Sequence[Detection] | None] = []
    for wanted in prompt.include:
        group = found.get(wanted.name, ())[: wanted.count]
        complaints = _complaints(wanted, group, groups, colours)
        problems += complaints
        groups.append(None if complaints else group)
    for unwanted in prompt.exclude:
        if (number := len(found.get(unwanted.name, ()))) >= unwanted.count:
            problems.append(f"expected {unwanted.name}<{unwanted.count}, found {number}")
    return Judged(correct=not problems, reason="\n".join(problems))


def _complaints(
    wanted: Wanted,
    group: Sequence[Detection],
    groups: Sequence[Sequence[Detection] | None],
    colours: Callable[[str, Sequence[Detection]], Sequence[Colour]],
) -> list[str]:
    if len(group) < wanted.count:
        return [f"expected {wanted.name}>={wanted.count}, found {len(group)}"]
    if wanted.color:
        seen = Counter(colours(wanted.name, group))
        if (right := seen[wanted.color]) < wanted.count:
            listed = ", ".join(f"{seen[each]} {each}" for each in COLOURS if each in seen)
            return [
                f"expected {wanted.color} {wanted.name}>={wanted.count}, found {right} {wanted.color}; and {listed}"
            ]
    if wanted.position:
        relation, target = wanted.position
        others = groups[target]
        if others is None:
            return [f"no target for {wanted.name} to be {relation}"]
        for each in group:
            for other in others:
                if relation not in (true := relations(each, other)):
                    return [f"expected {wanted.name} {relation} target, found {' and '.join(sorted(true))} target"]
    return []


def relations(a: Detection, b: Detection) -> frozenset[Relation]:
    """Where `a` lies as seen from `b`.

    The offset of the centres shrinks by a tenth of both sizes along each axis (the dead zone) and is then divided
    by the full distance of the centres: a relation holds where what is left is above one half, two at a diagonal.
    """
    dx, dy = (a.x0 + a.x1 - b.x0 - b.x1) / 2, (a.y0 + a.y1 - b.y0 - b.y1) / 2
    left_x = _beyond(dx, abs(a.x1 - a.x0) + abs(b.x1 - b.x0))
    left_y = _beyond(dy, abs(a.y1 - a.y0) + abs(b.y1 - b.y0))
    if abs(left_x) < 1e-3 and abs(left_y) < 1e-3:
        return frozenset()
    distance = math.hypot(dx, dy)
    x, y = left_x / distance, left_y / distance
    tests: dict[Relation, bool] = {"left of": x < -0.5, "right of": x > 0.5, "above": y < -0.5, "below": y > 0.5}
    return frozenset(relation for relation, holds in tests.items() if holds)


def _beyond(offset: float, size: float) -> float:
    return math.copysign(max(abs(offset) - POSITION_THRESHOLD * size, 0.0), offset)


# --- results ----------------------------------------------------------------------------------


class Row(Value):
    """One picture of the official `results.jsonl`. `metadata` is the prompt's record as a string of JSON."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # forks of the official script add columns

    filename: Annotated[str, Field(min_length=1)]
    tag: Tag
    prompt: str
    correct: StrictBool
    reason: str | None = ""
    metadata: str
    details: str = "{}"


def row(filename: str, entry: Entry, found: Found, judged: Judged) -> Row:
    """A picture's line of `results.jsonl`; `details` holds the boxes that counted, with their scores."""
    boxes = {name: [[e.x0, e.y0, e.x1, e.y1, e.score] for e in objects] for name, objects in found.items()}
    return Row(
        filename=filename,
        tag=entry.prompt.tag,
        prompt=entry.prompt.prompt,
        correct=judged.correct,
        reason=judged.reason,
        metadata=entry.record,
        details=json.dumps(boxes),
    )


def read_results(data: bytes, name: str = "results") -> list[Row]:
    """The rows of an official results file. Raises BriefError that names the line and the field.

    A picture that stands there twice is refused: it would count twice.
    """
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for number, line in _lines(data, name):
        where = f"line {number}"
        values = _object(line, name, where)
        try:
            found = Row.model_validate(values)
        except ValidationError as error:
            raise _complaint(error, name, where) from error
        record = _prompt(_object(found.metadata, name, f"{where}, metadata"), name, f"{where}, metadata")
        if (record.tag, record.prompt) != (found.tag, found.prompt):
            raise BriefError(f"{where}: tag or prompt differ from those in its metadata", "mend the line", name)
        if found.filename in seen:
            raise BriefError(
                f"{where}: {found.filename} stands on line {seen[found.filename]} too", "keep one of the two", name
            )
        seen[found.filename] = number
        rows.append(found)
    if not rows:
        raise BriefError("there is no picture in it", "give the results.jsonl of evaluate_images.py", name)
    return rows


def scored(rows: Sequence[Row], entries: Sequence[Entry] = (), samples: int = SAMPLES) -> dict[str, Any]:
    """The official figures, all shares in [0, 1].

    `overall` is the plain mean of the tags' accuracies over pictures. Intervals are 95 %, by bootstrap over prompts.
    With `entries`, pictures that they ask for and `rows` don't have are counted as unscored, never as wrong.
    Raises BriefError for a row whose prompt is not among the entries, and for more pictures than `samples` of one.
    """
    unscored = _unscored(rows, entries, samples) if entries else None
    parts = list(_parts(rows).values())
    present: tuple[Tag, ...] = tuple(tag for tag in TAGS if any(tag in each for each in parts))
    drawn = stats.draws(len(parts))
    totals = [part for each in parts for part in each.values()]
    tags = {tag: _tag(tag, rows, parts, drawn) for tag in present}
    return {
        "overall": fmean(figure["accuracy"] for figure in tags.values()),
        "overall_ci": stats.ends(stats.estimate(parts, Metric("overall", "overall", mean_of=present), drawn)),
        "tags": tags,
        "tags_missing": [tag for tag in TAGS if tag not in present],
        "images": len(rows),
        "images_correct": fmean(each.correct for each in rows),
        "prompts": len(totals),
        "prompts_any_correct": fmean(right > 0 for right, _ in totals),
        "prompts_all_correct": fmean(right == total for right, total in totals),
        "unscored": unscored,
    }


def _tag(tag: Tag, rows: Sequence[Row], parts: Sequence[stats.Parts], drawn: Sequence[stats.Draw]) -> dict[str, Any]:
    right = [each.correct for each in rows if each.tag == tag]
    return {
        "accuracy": fmean(right),
        "images": len(right),
        "correct": sum(right),
        "ci": stats.ends(stats.estimate(parts, Metric(tag, tag), drawn)),
        "prompts": sum(tag in each for each in parts),
    }


def compared(ours: Sequence[Row], theirs: Sequence[Row]) -> dict[str, Any]:
    """Ours less theirs, in `overall`, over the prompts that both have, with a paired 95 % interval.

    Raises BriefError when they share no prompt.
    """
    if found := stats.comparison(_parts(ours), _parts(theirs), TAGS):
        return found
    raise BriefError("the two files share no prompt", "compare results on the same metadata", "--control")


def _parts(rows: Sequence[Row]) -> dict[str, dict[str, tuple[float, float]]]:
    """Prompt -> tag -> (correct, pictures)."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for each in rows:
        right, total = found.setdefault(_canonical(each.metadata), {}).get(each.tag, (0.0, 0.0))
        found[_canonical(each.metadata)][each.tag] = right + each.correct, total + 1
    return found


def _unscored(rows: Sequence[Row], entries: Sequence[Entry], samples: int) -> int:
    """Pictures that the entries ask for and the rows don't have."""
    records = {_canonical(entry.record) for entry in entries}
    have = Counter(_canonical(each.metadata) for each in rows)
    for each in rows:
        key = _canonical(each.metadata)
        if key not in records:
            raise BriefError(
                f"{each.filename}: its prompt ({each.prompt}) is not in the metadata",
                "give the file that the pictures were made from",
                "--metadata",
            )
        if have[key] > samples:
            raise BriefError(
                f"{each.filename}: its prompt has {have[key]} pictures", f"a prompt has {samples}", "results"
            )
    return sum(samples - have[key] for key in records)


def _canonical(record: str) -> str:
    return json.dumps(json.loads(record), sort_keys=True)


# --- reading ----------------------------------------------------------------------------------


def _lines(data: bytes, name: str) -> list[tuple[int, str]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BriefError(f"byte {error.start} is not UTF-8", "give a file of JSON lines", name) from error
    # Not splitlines: a line may hold any other separator in its strings.
    return [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _object(line: str, name: str, where: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BriefError(f"{where}: the JSON is broken: {error}", "one object on each line", name) from error
    if not isinstance(values, dict):
        raise BriefError(f"{where}: this is no object", "one object on each line", name)
    return values  # pyright: ignore[reportUnknownVariableType]


def _prompt(values: Mapping[str, Any], name: str, where: str) -> Prompt:
    try:
        return Prompt.model_validate(values)
    except ValidationError as error:
        raise _complaint(error, name, where) from error


def _complaint(error: ValidationError, name: str, where: str) -> BriefError:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    return BriefError(f"{where}: {field}: {message}" if field else f"{where}: {message}", "", name)
