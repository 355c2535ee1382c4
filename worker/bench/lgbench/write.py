"""The built-in writer: templates and seeded chance, no model. It writes one text with every goal verbatim in it."""

import random
from collections.abc import Sequence

from director.types import GoalType
from worker.bench.lgbench.compose import Draft, core
from worker.bench.lgbench.records import GoalRecord

_FIRST: dict[GoalType, tuple[str, ...]] = {
    GoalType.ADD_OBJECT: ("Start with {}", "First of all, show {}", "What matters most is {}", "Build it around {}"),
    GoalType.TEXT: ("Set {}", "The wording comes next: {}", "In type we need {}", "Letter {}"),
    GoalType.EFFECT: ("For the finish we would like {}", "Give it {}", "On top of that comes {}"),
    GoalType.COLOR: ("We ask for {}", "The printer expects {}", "Our brand wants {}"),
    GoalType.LIGHTING: ("As for light: {}", "It wants {}", "We imagine {}"),
    GoalType.COMPOSITION: ("The layout is simple: {}", "Mind the layout: {}", "We insist on {}"),
}
_NEXT: dict[GoalType, tuple[str, ...]] = {
    GoalType.ADD_OBJECT: ("then {}", "add {}", "there is also {}", "we would love {}", "do not forget {}"),
    GoalType.TEXT: ("then {}", "followed by {}", "and last {}", "the next line is {}"),
    GoalType.EFFECT: ("then {}", "also {}", "plus {}"),
    GoalType.COLOR: ("then {}", "plus {}", "we also ask for {}"),
    GoalType.LIGHTING: ("then {}", "plus {}", "also {}"),
    GoalType.COMPOSITION: ("then {}", "we also ask for {}", "plus {}"),
}
_EDIT = (
    "Start from the picture as it is and keep what nobody mentions.",
    "The picture is fine; only these changes, please.",
)
_CLOSE = (
    "It should be understood in three seconds.",
    "Nothing else, please; restraint is what sells it.",
    "Take your time, we would rather have it right.",
    "If in doubt, leave it out.",
    "That is all we need.",
)


def write(draft: Draft) -> str:
    """The opening, a paragraph for each type of goal, and a closing line."""
    dice = draft.dice
    by_type = {kind: [goal for goal in draft.goals if goal.type is kind] for kind in GoalType}
    # Things come before what is said of them.
    rest = [kind for kind in GoalType if kind is not GoalType.ADD_OBJECT]
    dice.shuffle(rest)
    paragraphs = [_paragraph(by_type[kind], dice) for kind in (GoalType.ADD_OBJECT, *rest) if by_type[kind]]
    edit = [dice.choice(_EDIT)] if draft.modality == "i2i" else []
    return " ".join([draft.opening, *edit, *paragraphs, dice.choice(_CLOSE)])


def _paragraph(goals: Sequence[GoalRecord], dice: random.Random) -> str:
    sentences: list[str] = []
    left = list(goals)
    while left:
        taken, left = left[: (size := dice.randint(1, 3))], left[size:]
        sentences.append(_sentence(taken, dice, opens=not sentences))
    return " ".join(sentences)


def _sentence(goals: Sequence[GoalRecord], dice: random.Random, opens: bool) -> str:
    """One to three goals, parted by semicolons: each is a clause of its own."""
    said: list[str] = []
    for n, goal in enumerate(goals):
        form, whole = dice.choice((_FIRST if opens and n == 0 else _NEXT)[goal.type]), core(goal)
        # A goal's description has a capital, its place in a sentence often has not: `missing` knows that.
        starts = goal.type in (GoalType.ADD_OBJECT, GoalType.TEXT)
        said.append(form.format(whole if starts else whole[0].lower() + whole[1:]))
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}."
