"""From a brief to goals, a question for each clause: what does it ask for? The other way is `extract`.

A small model can name one thing at a time that loses itself in a long list. No place, count or order is asked for.
"""

from collections.abc import Mapping, Sequence

from director.kinds import SCOPES
from director.prompts.absence import forbids
from director.prompts.extract import material_of, numbered
from director.prompts.goals import Material
from director.prompts.headlines import insisted
from director.prompts.vlm import Choice, choice
from director.seats import ExtractRequest
from director.types import MAX_GOALS, Goal, GoalType, Scope

_TYPES: Mapping[str, GoalType | None] = {
    "object": GoalType.ADD_OBJECT,
    "text": GoalType.TEXT,
    "effect": GoalType.EFFECT,
    "color": GoalType.COLOR,
    "light": GoalType.LIGHTING,
    "arrangement": GoalType.COMPOSITION,
    "nothing": None,
}
"""The words to answer with. They begin with different letters, so that one token tells."""
_NOTHING = "nothing"


def questions(request: ExtractRequest) -> tuple[Choice, ...]:
    """One for each clause; all share what stands before it."""
    material = material_of(request)
    brief = "\n".join(numbered(material))
    images = (request.brief.source,) if request.brief.source else ()
    return tuple(
        choice("label", images, tuple(_TYPES), clauses=brief, clause=f"{n}. {clause.text}")
        for n, clause in material.clauses.items()
    )


def goals(request: ExtractRequest, answers: Sequence[Mapping[str, float]]) -> tuple[Goal, ...]:
    """A goal for each clause that asks for something, for each of its strings if that is text; at least one.

    Of more than MAX_GOALS those are left out that most likely ask for nothing.
    """
    material = material_of(request)
    labelled = [*zip(material.clauses, answers, strict=True)]
    wanted = [each for each in labelled if max(each[1], key=each[1].__getitem__) != _NOTHING]
    wanted = wanted or sorted(labelled, key=lambda each: each[1][_NOTHING])[:1]
    made = [(answer[_NOTHING], goal) for n, answer in wanted for goal in _goals(n, _kind(answer), material)]
    surest = sorted(range(len(made)), key=lambda n: made[n][0])[:MAX_GOALS]
    kept = [made[n][1].model_copy(update={"id": f"g{place:02d}"}) for place, n in enumerate(sorted(surest), 1)]
    return insisted(kept)


def _kind(answer: Mapping[str, float]) -> GoalType:
    """The likeliest type; never nothing."""
    return max(((weight, kind) for word, weight in answer.items() if (kind := _TYPES[word])), key=lambda each: each[0])[
        1
    ]


def _goals(number: int, kind: GoalType, material: Material) -> list[Goal]:
    text = material.clauses[number].text
    strings = [material.brief[slice(*material.strings[n])] for n in material.held.get(number, ())]
    scope, absent = SCOPES.get(kind, Scope.LOCAL), forbids(text)
    return [
        Goal(id="g00", text=text, type=kind.value, scope=scope, string=string, absent=absent)
        for string in (strings if kind is GoalType.TEXT and strings else [None])
    ]
