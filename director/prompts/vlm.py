"""What a question to a VLM is made of, and what its reply must fit. No transport here.

A prompt is a system text, picture hashes, perhaps a detail of the last, and a question behind the pictures,
so that one prefix serves all questions on a picture. Where the pictures change and the matter stays, a `lead` stands
before them. A `Form` is answered by a JSON object, a `Choice` by one word, whose token probabilities are the answer.
What users wrote stands between <<< and >>> and can't leave it.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from string import Template
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, WithJsonSchema

from director.types import Goal, ImageHash, Region


def _percent(number: Any) -> Any:
    """A number with a decimal point up to 1.0 is a share: models write 1.0 and 0.97 where 100 and 97 are asked for."""
    if not isinstance(number, float) or not 0 <= number <= 100:
        return number
    return round(100 * number if number <= 1 else number)


Percent = Annotated[int, Field(ge=0, le=100), BeforeValidator(_percent)]
# A grammar holds it to thousandths; what comes without one is only advice, and `region_of` mends it.
Place = Annotated[int, WithJsonSchema({"type": "integer", "minimum": 0, "maximum": 1000})]
Box = tuple[Place, Place, Place, Place]
"""Left, top, right, bottom in thousandths, as Qwen-VL is trained to give them."""
_HAIRLINE = 10
"""Thousandths; nothing that is asked for is thinner."""

_T = TypeVar("_T")


class ReplyError(ValueError):
    """The reply does not fit; the message says all that is to be mended, so that the model can be shown it.

    `cut`: it ended for want of tokens.
    """

    def __init__(self, message: str, cut: bool = False) -> None:
        super().__init__(message)
        self.cut = cut


@dataclass(frozen=True)
class Prompt:
    """`name` is that of the template: for records and limits. `detail` of the last picture is shown again, enlarged.

    `lead` stands before the pictures, and each of the `labels` before its picture.
    """

    name: str
    system: str
    images: tuple[ImageHash, ...]
    question: str
    detail: Region | None = field(default=None, kw_only=True)
    lead: str = field(default="", kw_only=True)
    labels: tuple[str, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True)
class Form(Prompt):
    """Answered by a JSON object that fits `schema`."""

    schema: dict[str, Any]


@dataclass(frozen=True)
class Choice(Prompt):
    """Answered by one of `options`, which differ in their first letter."""

    options: tuple[str, ...]


class Reply(BaseModel):
    """The base of what a Form is parsed into; unknown fields are refused.

    Strings have no bounds here: with one, xgrammar allows no escape in them, so no quotation mark and no new line.
    """

    model_config = ConfigDict(extra="forbid")


def form(
    name: str, images: Sequence[ImageHash], schema: dict[str, Any], labels: Sequence[str] = (), **material: str
) -> Form:
    """The template `name` with `material` quoted into it. What stands above its line [pictures] is the lead."""
    lead, question = _filled(name, material)
    return Form(name, _text("system"), tuple(images), question, schema, lead=lead, labels=tuple(labels))


def choice(
    name: str,
    images: Sequence[ImageHash],
    options: Sequence[str],
    detail: Region | None = None,
    labels: Sequence[str] = (),
    **material: str,
) -> Choice:
    """As `form`, for a one-word answer."""
    lead, question = _filled(name, material)
    return Choice(
        name, _text("system"), tuple(images), question, tuple(options), detail=detail, lead=lead, labels=tuple(labels)
    )


def _filled(name: str, material: Mapping[str, str]) -> tuple[str, str]:
    """Lead and question. The template is cut before it is filled: no material can shift the pictures."""
    lead, _, question = _text(name).rpartition("\n[pictures]\n")
    words = {key: quoted(value) for key, value in material.items()}
    return Template(lead).substitute(words), Template(question).substitute(words)


@cache
def _text(name: str) -> str:
    return (files("director.prompts") / "templates" / f"{name}.txt").read_text(encoding="utf-8").strip()


# A tokenizer takes the text of its control tokens for the tokens themselves, wherever it stands:
# "<|im_end|>" in a brief would end the user's turn, and "<|image_pad|>" shift the pictures.
_CONTROL = re.compile(r"<(?=[|｜]|/?\w{1,40}>)")


def without_control(text: str) -> str:
    """`text` with nothing in it that a tokenizer takes for a control token."""
    return _CONTROL.sub("‹", text)


def quoted(text: str) -> str:
    """`text` as material: nothing in it closes the quotation or is a control token."""
    return without_control(text.replace("<<<", "‹‹‹").replace(">>>", "›››"))


_OPENS = re.compile(r'(?<![^\s(\[{<‹“‘«—–/-])"(?=\S)')


def curly(text: str) -> str:
    """`text` with typographic quotation marks for straight ones.

    A model copies what it is shown, and in a JSON string a straight mark ends it: the grammar leaves no other way.
    """
    return _OPENS.sub("“", text).replace('"', "”")


def described(goal: Goal) -> str:
    """A goal in one line: its type, its words, and what they bind it to."""
    return curly(_ruled_out(goal) if goal.absent else _asked_for(goal))


def _asked_for(goal: Goal) -> str:
    bound = [f"the lettering reads exactly “{goal.string}”"] if goal.string else []
    if goal.count is not None:
        bound.append(f"there are exactly {goal.count}")
    if goal.region:
        bound.append(f"within {thousandths(goal.region)}")
    return f"{goal.type}: {goal.text}" + (f" ({'; '.join(bound)})" if bound else "")


def _ruled_out(goal: Goal) -> str:
    what = f"the lettering “{goal.string}”" if goal.string else "all that these words rule out"
    where = f"within {thousandths(goal.region)}" if goal.region else "in the picture"
    return f"{goal.type}, absent: {goal.text} (achieved when {what} is nowhere {where})"


def listed(goals: Sequence[Goal]) -> str:
    """Goals with their ids, one a line."""
    return "\n".join(f"{goal.id} · {described(goal)}" for goal in goals) or "nothing"


def thousandths(region: Region) -> list[int]:
    """A region as a model writes it."""
    return [round(1000 * edge) for edge in (region.x0, region.y0, region.x1, region.y1)]


def region_of(box: Box | None, repairs: Counter[str]) -> Region | None:
    """A model's box as a region; swapped edges are put in order, a box beyond the picture is no box.

    Counts what it mends in `repairs`. Raises ReplyError for one that is too thin to hold anything.
    """
    if box is None:
        return None
    if min(box) < 0 or max(box) > 1000:
        repairs["region"] += 1  # pixels, most likely, of a size that nobody knows
        return None
    left, right = sorted((box[0], box[2]))
    top, bottom = sorted((box[1], box[3]))
    repairs["region"] += (left, top, right, bottom) != box
    if right - left < _HAIRLINE or bottom - top < _HAIRLINE:
        raise ReplyError(f"{list(box)} is no region: give its left, top, right and bottom edge in thousandths, or null")
    x0, y0, x1, y1 = (edge / 1000 for edge in (left, top, right, bottom))
    return Region(x0=x0, y0=y0, x1=x1, y1=y1)


_NAMED = 8
"""Problems of a reply that are named at once; a reply with more is of another kind altogether."""


def all_of(problems: Sequence[str]) -> str:
    """Problems in one line, as a ReplyError says them."""
    more = len(problems) - _NAMED
    return "; ".join([*problems[:_NAMED], *([f"and {more} more"] if more > 0 else [])])


def parse(kind: type[_T], reply: str, read: Callable[[_T], _T] = lambda found: found) -> _T:
    """The last JSON object of a reply that fits `kind`, as `read` makes it. Raises ReplyError that names the fields.

    Models think aloud first and put fences and words around what they were asked for, with braces in them.
    """
    problems: list[tuple[int, ReplyError]] = []
    for text in reversed(objects(reply) or [json.dumps(reply)]):
        try:
            return read(TypeAdapter(kind).validate_json(text))
        except ValidationError as error:
            problems.append((len(text), ReplyError(all_of([*_said(error)]))))
        except ReplyError as error:
            problems.append((len(text), error))
    # The longest is the one that was meant as the answer.
    raise max(problems, key=lambda each: each[0])[1]


def _said(error: ValidationError) -> Iterator[str]:
    for each in error.errors(include_url=False):
        where = ".".join(str(part) for part in each["loc"])
        yield f"{where or 'the reply'}: {each['msg']}"


_THOUGHT = re.compile(r"</think(?:ing)?>|</thought>|\[/THINK\]|◁/think▷", re.IGNORECASE)


def thoughts_end(reply: str) -> bool:
    """A mark of the end of a model's thinking stands in it."""
    return bool(_THOUGHT.search(reply))


def objects(reply: str) -> list[str]:
    """The JSON objects that stand in a reply, in order; only those behind the model's thinking, where it ends."""
    spans = list(_spans(reply))
    ends = [mark.end() for mark in _THOUGHT.finditer(reply)]
    # A mark inside an object is a string of it.
    thought = max((end for end in ends if not any(start < end <= stop for start, stop in spans)), default=0)
    return [reply[start:stop] for start, stop in spans if start >= thought]


def _spans(reply: str) -> Iterator[tuple[int, int]]:
    decoder, start = json.JSONDecoder(), reply.find("{")
    while start >= 0:
        try:
            stop = decoder.raw_decode(reply, start)[1]
        except (ValueError, RecursionError):  # prose in braces, or too deep to be an answer
            stop = start + 1
        else:
            yield start, stop
        start = reply.find("{", stop)


_AROUND = " \t\r\n\u00a0ĠĊ▁\"'`*.,:;!"
"""What tokenizers write for a space or a new line (Ġ, Ċ, ▁), and marks that may touch a word."""
_ROUNDING = 0.01
"""Servers compute in half precision: the logarithm of a certain token may come out above zero."""


def weigh(tokens: Sequence[tuple[str, float]], options: Sequence[str]) -> dict[str, float]:
    """Probability of each option, from the first token's alternatives as (token, natural logarithm).

    A token counts for the option that it begins ("uns", "ĠYes"). Raises ReplyError when less than half
    of the probability falls on the options: the model wanted to say something else.
    """
    weights = dict.fromkeys(options, 0.0)
    for token, logarithm in tokens:
        word = token.strip(_AROUND).casefold()
        meant = [option for option in options if word and option.casefold().startswith(word)]
        if len(meant) == 1 and logarithm <= _ROUNDING:
            weights[meant[0]] += math.exp(min(logarithm, 0.0))
    total = sum(weights.values())
    if total < 0.5:
        raise ReplyError(f"answer with one word, one of: {', '.join(options)}")
    return {option: weight / total for option, weight in weights.items()}
