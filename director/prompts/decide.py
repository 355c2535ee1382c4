"""What comes next: a look at what is wrong, what to do about it, and one letter of the menu."""

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from director.prompts.vlm import Form, Reply, ReplyError, curly, described, form, parse
from director.seats import Chance, DecideRequest
from director.types import Chosen, Move, Option, Outcome


class _Decision(Reply):
    inspect: str
    revise: str
    option: str


def prompt(request: DecideRequest) -> Form:
    """Goals and how they stand, what is left to spend, and the menu, behind the best picture so far."""
    return form(
        "decide",
        (request.picture,) if request.picture else (),
        _schema(len(request.options)),
        goals="\n".join(_goal(each) for each in request.goals),
        last=_last(request),
        left=_left(request),
        options="\n".join(_options(request)),
    )


def choice(reply: str, request: DecideRequest, by: str) -> Chosen:
    """The choice of a reply. Raises ReplyError for a letter that is not on the menu."""
    found = parse(_Decision, reply)
    letters = ascii_uppercase[: len(request.options)]
    letter = found.option.strip(" .()").upper()
    if len(letter) != 1 or letter not in letters:
        raise ReplyError(f"there is no such option: answer with one letter from {letters[0]} to {letters[-1]}")
    return request.chosen(letters.index(letter), by, found.inspect.strip(), found.revise.strip())


def _schema(count: int) -> dict[str, Any]:
    schema = _Decision.model_json_schema()
    schema["properties"]["option"] |= {"enum": list(ascii_uppercase[:count])}
    return schema


def _goal(each: Chance) -> str:
    stands = "not drawn yet" if each.outcome is None else _STANDS[each.outcome]
    tried = f" after {each.failures} edits that did not bring it" if each.failures else ""
    must = "; a must" if each.goal.must_have else ""
    return f"{each.goal.id} · {described(each.goal)} · {stands}{tried}{must}"


_STANDS = {
    Outcome.MET: "achieved",
    Outcome.MISSED: "not achieved",
    Outcome.UNSURE: "can't be told from the picture",
}


def _last(request: DecideRequest) -> str:
    last = request.last
    if last is None:
        return "Nothing is drawn yet."
    kept = "and was kept" if last.accepted else "and was undone"
    what = f"{last.targets} goals, {last.renders} candidates"
    return f"The last round ({what}) brought {last.gained} goals, lost {last.lost}, {kept}."


def _left(request: DecideRequest) -> str:
    renders = "" if request.renders_left is None else f" and {request.renders_left} candidates"
    return f"{request.rounds_left} rounds{renders}"


def _options(request: DecideRequest) -> Sequence[str]:
    lines = zip(ascii_uppercase, request.options, strict=False)
    return [f"{letter}. {_option(option)}" for letter, option in lines]


def _option(option: Option) -> str:
    goals = ", ".join(option.targets)
    words = {
        Move.ONE_SHOT: "draw all goals in one picture",
        Move.STAGED: f"begin with the goals {goals}",
        Move.EDIT: f"edit the picture for the goals {goals}",
        Move.ANCHOR: "edit the picture that the edits began with, for all that they brought and all that is missing",
        Move.SCENE: "draw a new picture of all goals",
        Move.STOP: "stop, and deliver the picture as it is",
    }[option.move]
    grid = "" if option.move is Move.STOP else f"; candidates: {option.candidates}"
    return curly(words + grid + ("; check these goals before the others" if option.targets_first else ""))
