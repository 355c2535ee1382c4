"""ImgEdit's basic suite (Ye et al., arXiv 2505.20275): its edits, what its judge is asked, and its score.

Follows `Benchmark/Basic` of the official repository, whose data and judge prompts are the user's files. Two things
differ, both on purpose: a reply such as `**X:** 4`, which the public script drops, is read; and a reply without
three scores is counted as unscored, where the public script averages what it found, or stops.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from statistics import fmean
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from director.errors import BriefError
from director.types import Value
from worker.bench import statistics as stats
from worker.bench.statistics import Metric

EditType = Literal["add", "adjust", "extract", "replace", "remove", "background", "style", "compose", "action"]
TYPES: tuple[EditType, ...] = get_args(EditType)
"""In the order of the published tables, where `compose` is Hybrid."""

PLACE = "<edit_prompt>"
_LONGEST_REPLY, _LONGEST_LINE = 20_000, 300  # characters that are looked at: patterns over more could take minutes
_AXIS = re.compile(r"^(.+?)\s*:\s*A number from 1 to 5\b", re.MULTILINE)
_NUMBER = (
    r"(?P<value>\d+(?:\.\d+)?)(?P<range>[ \t]*(?:[-–—~,]|to\b|or\b)[ \t]*\d)?"
    r"(?:[ \t]*(?:/|(?:out )?of)[ \t]*(?P<scale>\d+))?"
)
# A label, a colon, a number, and behind it only marks or a remark.
_LINE = re.compile(
    rf"^\W*(?:\d+[.)]\s*)?(?P<label>[^\W\d][^:\n]*?)\W*[:：]\W*{_NUMBER}(?:\W*|\W*[(\[].*|\s*[-–—;,](?!\s*\d).*)$"
)
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
_REASON = re.compile(r"^[^\w\n]*(?:brief\W+)?reason.*$", re.IGNORECASE | re.MULTILINE)
_SUMMARY = re.compile(r"overall|average|total|mean", re.IGNORECASE)


class Unreadable(Exception):
    """A judge's reply without three scores from 1 to 5."""


# --- the user's files -------------------------------------------------------------------------


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if path.startswith("/") or "\\" in path or not parts or ".." in parts:
        raise ValueError("must be a path below the folder of the source pictures")
    return path


class Edit(Value):
    """One record of `basic_edit.json`. `id` is the source picture's path below the folder of originals."""

    id: Annotated[str, Field(min_length=1), AfterValidator(_inside)]
    prompt: Annotated[str, Field(min_length=1)]
    edit_type: EditType


Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
_EDITS: TypeAdapter[dict[Key, Edit]] = TypeAdapter(dict[Key, Edit])


def read_edits(data: bytes, name: str = "basic_edit.json") -> dict[str, Edit]:
    """The edits by key, in the file's order. Raises BriefError that names the record and the field."""
    values = _json(data, name)
    try:
        edits = _EDITS.validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise BriefError(f"{field}: {str(first['msg']).removeprefix('Value error, ')}", "", name) from error
    if not edits:
        raise BriefError("there is no edit in it", "give ImgEdit's basic_edit.json", name)
    return edits


def read_judge_prompts(data: bytes, name: str = "prompts.json") -> dict[str, str]:
    """What the judge is asked, by type of edit. Raises BriefError when a type is missing or names no three scores."""
    values = _json(data, name)
    prompts: dict[str, str] = {}
    for kind in TYPES:
        text = values.get(kind)
        if not isinstance(text, str) or PLACE not in text:
            raise BriefError(f"{kind}: there is no prompt with {PLACE} in it", "give ImgEdit's prompts.json", name)
        if len(axes(text)) != 3:
            raise BriefError(
                f"{kind}: it asks for {len(axes(text))} scores, not three",
                'write each as "<Name>: A number from 1 to 5."',
                name,
            )
        prompts[kind] = text
    return prompts


def question(prompts: Mapping[str, str], edit: Edit) -> str:
    """The text that goes before the original and the edited picture."""
    return prompts[edit.edit_type].replace(PLACE, edit.prompt)


def axes(prompt: str) -> tuple[str, ...]:
    """The names of the scores that a judge prompt asks for."""
    return tuple(match[1].strip() for match in _AXIS.finditer(prompt))


# --- one reply --------------------------------------------------------------------------------


def read_scores(reply: str, names: Sequence[str] = ()) -> tuple[float, float, float]:
    """The three scores of a judge's reply, in the order asked for. Raises Unreadable.

    Each stands behind its name: `X: 4`, `**X:** 4`, `- X: **4**`, `2. X: 4.`, `X: 4/5`, `| X | 4 |`, `"X": 4`. With the
    `names` that the prompt asked for they are found anywhere, in any order; else each has a line of its own.
    """
    said = _THOUGHT.sub("", reply[-_LONGEST_REPLY:])
    plain = _REASON.sub("", said)
    # A judge that writes everything on one line has its scores behind its reasons.
    scores = _by_name(plain, names) or _by_name(said, names) or _by_line(plain)
    if len(scores) != 3:
        raise Unreadable(f"{len(scores)} scores where there must be three")
    return scores[0], scores[1], scores[2]


def _by_name(text: str, names: Sequence[str]) -> list[float]:
    """Empty where a name does not occur: a judge may call a score by another."""
    scores: list[float] = []
    for name in names:
        words = r"\W+".join(re.escape(word) for word in re.findall(r"\w+", name))
        between = r"(?:\W{0,4}(?:score|rating))?(?:[^\w\n]{0,4}\([^)\n]*\))?[^\w\n]{1,12}"
        matches = re.finditer(rf"\b{words}\b{between}{_NUMBER}(?![\w.]*\w)", text, re.IGNORECASE)
        values = {_score(match) for match in matches}
        if not values:
            return []
        if len(values) > 1:
            raise Unreadable(f"two different scores for {name}")
        scores += values
    return scores


def _by_line(text: str) -> list[float]:
    """Scores on lines of their own. A name that comes again with the same score counts once."""
    scores: dict[str, float] = {}
    for line in text.splitlines():
        if (match := _LINE.match(line[:_LONGEST_LINE])) and not _SUMMARY.match(match["label"]):
            label, value = match["label"].casefold(), _score(match)
            if scores.setdefault(label, value) != value:
                raise Unreadable(f"two different scores for {match['label'][:60]}")
    return list(scores.values())


def _score(match: re.Match[str]) -> float:
    value = float(match["value"])
    if match["range"]:
        raise Unreadable(f"no single score: {match[0][:80]}")
    if match["scale"] not in (None, "5") or not 1 <= value <= 5:
        raise Unreadable(f"not a score from 1 to 5: {match[0][:80]}")
    return value


# --- the figures ------------------------------------------------------------------------------


def item_score(scores: Sequence[float], cap: bool = False) -> float:
    """The mean of an edit's three scores, to 2 decimals as published.

    `cap`: the second and the third count no more than the first, as the judge is told but not held to.
    """
    held = [scores[0], *(min(each, scores[0]) for each in scores[1:])] if cap else scores
    return round(sum(held) / len(held), 2)


def read_results(data: bytes, edits: Mapping[str, Edit], name: str = "result.json") -> dict[str, str | None]:
    """The judge's replies by key, of an official result file. None: an error stands there instead of a reply.

    Raises BriefError for broken JSON, a key twice, and a key that is not among the edits.
    """
    values = _json(data, name)
    replies: dict[str, str | None] = {}
    for key, value in values.items():
        if key not in edits:
            raise BriefError(f"there is no edit {key[:80]!r}", "give the basic_edit.json that it was made from", name)
        if value is None or (isinstance(value, dict) and "error" in value):
            replies[key] = None
        elif isinstance(value, str):
            replies[key] = value
        else:
            raise BriefError(f"{key}: this is no reply", 'write a string, or {"error": …}', name)
    return replies


def scored(
    replies: Mapping[str, str | None],
    edits: Mapping[str, Edit],
    prompts: Mapping[str, str] | None = None,
    cap: bool = False,
) -> dict[str, Any]:
    """The official figures, scores in [1, 5]: edit (mean of three) -> type (mean of edits) -> overall (mean of types).

    Edits and types are rounded to 2 decimals before they are averaged, as the public scripts do; so is `overall`.
    An edit without a readable reply is in no mean; `unscored` counts why. Intervals are 95 %, by bootstrap over
    edits. Raises BriefError when not one reply can be read.
    """
    items, failed = _items(replies, edits, prompts, cap)
    if not items:
        raise BriefError("not one edit has a reply with three scores", "look at what the judge says", "results")
    by_type = {kind: [items[key] for key in items if edits[key].edit_type == kind] for kind in TYPES}
    types = {kind: round(sum(scores) / len(scores), 2) for kind, scores in by_type.items() if scores}
    parts = list(_parts(items, edits).values())
    drawn = stats.draws(len(parts))

    def interval(metric: Metric) -> list[float] | None:
        return stats.ends(stats.estimate(parts, metric, drawn))

    return {
        "overall": round(fmean(types.values()), 2),
        "overall_unrounded": fmean(types.values()),
        "overall_ci": interval(Metric("overall", "overall", share=False, mean_of=tuple(types))),
        "types": {
            kind: {"score": score, "ci": interval(Metric(kind, kind, share=False)), "edits": len(by_type[kind])}
            for kind, score in types.items()
        },
        "types_missing": [kind for kind in TYPES if kind not in types],
        "cap": cap,
        "edits": len(edits),
        "scored": len(items),
        "unscored": dict(sorted(Counter(failed.values()).items())),
        "unscored_keys": failed,
    }


def compared(
    ours: Mapping[str, str | None],
    theirs: Mapping[str, str | None],
    edits: Mapping[str, Edit],
    prompts: Mapping[str, str] | None = None,
    cap: bool = False,
) -> dict[str, Any]:
    """Ours less theirs, as the mean of types, over the edits that both have a score of, with a paired 95 % interval.

    Raises BriefError when they share none.
    """
    mine, other = (_parts(_items(each, edits, prompts, cap)[0], edits) for each in (ours, theirs))
    if found := stats.comparison(mine, other, TYPES):
        return found
    raise BriefError("the two files share no edit with a score", "compare results on the same edits", "--control")


def _parts(items: Mapping[str, float], edits: Mapping[str, Edit]) -> dict[str, stats.Parts]:
    return {key: {edits[key].edit_type: (score, 1.0)} for key, score in items.items()}


def _items(
    replies: Mapping[str, str | None], edits: Mapping[str, Edit], prompts: Mapping[str, str] | None, cap: bool
) -> tuple[dict[str, float], dict[str, str]]:
    """Scores by key, and why others have none."""
    items: dict[str, float] = {}
    failed: dict[str, str] = {}
    for key, edit in edits.items():
        reply = replies.get(key)
        if not reply:
            failed[key] = "no reply" if key in replies else "missing"
            continue
        try:
            items[key] = item_score(read_scores(reply, axes(prompts[edit.edit_type]) if prompts else ()), cap)
        except Unreadable:
            failed[key] = "unreadable"
    return items, failed


def _json(data: bytes, name: str) -> dict[str, Any]:
    """One JSON object. A key that stands in it twice is refused: one of the two would be lost."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(key for key, _ in pairs)
        if twice := [key for key, count in counts.items() if count > 1]:
            raise BriefError(f"{twice[0][:80]!r} stands there twice", "keep one of the two", name)
        return dict(pairs)

    try:
        values = json.loads(data.decode("utf-8-sig"), object_pairs_hook=once)
    except UnicodeDecodeError as error:
        raise BriefError(f"byte {error.start} is not UTF-8", "give a file of JSON", name) from error
    except (ValueError, RecursionError) as error:
        raise BriefError(f"the JSON is broken: {error}", "give one object", name) from error
    if not isinstance(values, dict):
        raise BriefError("this is no object", "give one object, by key", name)
    return values  # pyright: ignore[reportUnknownVariableType]
