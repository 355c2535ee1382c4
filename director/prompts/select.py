"""Which candidate is best: all in one question, or each pair in both orders.

VLMs rank better than they score, and prefer what stands first (GenArena, arXiv 2602.06013): asking about
a pair in both orders and averaging cancels that.
"""

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

from director.prompts.vlm import Choice, Form, Percent, Reply, ReplyError, choice, form, listed, parse
from director.seats import SelectRequest
from director.types import ImageHash

FIRST, SECOND = "A", "B"
_EDITED = "The first picture shows what the edit started from; it is no candidate. "


class _Ranking(Reply):
    best: int
    scores: list[Percent]
    why: str


def listwise(request: SelectRequest) -> Form:
    """All candidates in one question."""
    count = len(request.candidates)
    return form(
        "select",
        _pictures(request, tuple(candidate.image for candidate in request.candidates)),
        _schema(count),
        before=_EDITED if request.base else "",
        count=str(count),
        instruction=request.instruction,
        goals=listed(request.goals),
    )


def ranking(reply: str, request: SelectRequest) -> tuple[int, tuple[float, ...], str]:
    """The winner's index, the scores in the candidates' order, and why. Raises ReplyError."""
    found, count = parse(_Ranking, reply), len(request.candidates)
    if not 1 <= found.best <= count or len(found.scores) != count:
        raise ReplyError(f"there are {count} candidates: give {count} scores and a best from 1 to {count}")
    return found.best - 1, tuple(score / 100 for score in found.scores), found.why[:200]


def _schema(count: int) -> dict[str, Any]:
    """The reply's schema for so many candidates."""
    schema = _Ranking.model_json_schema()
    schema["properties"]["best"] |= {"minimum": 1, "maximum": count}
    schema["properties"]["scores"] |= {"minItems": count, "maxItems": count}
    return schema


def pairs(count: int) -> tuple[tuple[int, int], ...]:
    """Every ordered pair of candidates, so that each two meet in both orders."""
    return tuple(permutations(range(count), 2))


def pairwise(request: SelectRequest, pair: tuple[int, int]) -> Choice:
    """Two candidates, the first of the pair as A."""
    return choice(
        "prefer",
        _pictures(request, tuple(request.candidates[n].image for n in pair)),
        (FIRST, SECOND),
        before=_EDITED if request.base else "",
        instruction=request.instruction,
        goals=listed(request.goals),
    )


def preferred(count: int, answers: Mapping[tuple[int, int], Mapping[str, float]]) -> tuple[int, tuple[float, ...], str]:
    """As `ranking`: a candidate's score is the mean probability that it is preferred; the earliest of equals wins."""
    scores = tuple(
        _mean([_for(n, pair, answer) for pair, answer in answers.items() if n in pair]) for n in range(count)
    )
    best = scores.index(max(scores))
    both = [
        (answers[best, other][FIRST] > 0.5) == (answers[other, best][SECOND] > 0.5)
        for other in range(count)
        if other != best
    ]
    return (
        best,
        scores,
        f"pairwise: preferred at {scores[best]:.2f}; the two orders agree on {sum(both)} of {len(both)} pairs",
    )


def _for(candidate: int, pair: tuple[int, int], answer: Mapping[str, float]) -> float:
    return answer[FIRST if pair[0] == candidate else SECOND]


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def _pictures(request: SelectRequest, candidates: tuple[ImageHash, ...]) -> tuple[ImageHash, ...]:
    return (request.base, *candidates) if request.base else candidates
