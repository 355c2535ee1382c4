"""Which candidate is best: all in one question, or pairs in both orders.

VLMs rank better than they score, and prefer what stands first (GenArena, arXiv 2602.06013): asking about
a pair in both orders and averaging cancels that. Up to three candidates meet each other; more are halved first by
a knockout, so that N of them take no more than 2 N questions. What is wanted stands before the pictures: of all
questions of a step only the pictures differ.
"""

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

from director.prompts.vlm import Choice, Form, Percent, Reply, ReplyError, choice, curly, form, listed, parse
from director.seats import SelectRequest
from director.types import ImageHash

FIRST, SECOND = "A", "B"
_BEFORE = "Before the edit"
_EDITED = f"The picture “{_BEFORE}” is what the edit started from; it is no candidate. "
_ALL_MEET = 3


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
        _labels(request, [str(n) for n in range(1, count + 1)]),
        before=_EDITED if request.base else "",
        count=str(count),
        instruction=curly(request.instruction),
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


def pairs(standing: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """The pairs of the candidates still in it that meet now, each in both orders."""
    if len(standing) <= _ALL_MEET:
        return tuple(permutations(standing, 2))
    return tuple(pair for one, other in _matches(standing) for pair in ((one, other), (other, one)))


def through(standing: Sequence[int], answers: Mapping[tuple[int, int], Mapping[str, float]]) -> tuple[int, ...]:
    """Who is left after those pairs met; empty when it is over. An odd one out goes through."""
    if len(standing) <= _ALL_MEET:
        return ()
    winners = [one if _mean_among(one, (one, other), answers) >= 0.5 else other for one, other in _matches(standing)]
    return (*winners, *standing[len(standing) // 2 * 2 :])


def _matches(standing: Sequence[int]) -> list[tuple[int, int]]:
    return [*zip(standing[::2], standing[1::2], strict=False)]


def pairwise(request: SelectRequest, pair: tuple[int, int]) -> Choice:
    """Two candidates, the first of the pair as A."""
    return choice(
        "prefer",
        _pictures(request, tuple(request.candidates[n].image for n in pair)),
        (FIRST, SECOND),
        labels=_labels(request, (FIRST, SECOND)),
        before=_EDITED if request.base else "",
        instruction=curly(request.instruction),
        goals=listed(request.goals),
    )


def preferred(count: int, answers: Mapping[tuple[int, int], Mapping[str, float]]) -> tuple[int, tuple[float, ...], str]:
    """As `ranking`: a candidate's score is the mean probability that it is preferred to those it met.

    The winner is the best of those that no pair put out; the earliest of equals wins.
    """
    scores = tuple(
        _mean([_for(n, pair, answer) for pair, answer in answers.items() if n in pair]) for n in range(count)
    )
    left: tuple[int, ...] = tuple(range(count))
    while further := through(left, answers):
        left = further
    best = max(left, key=lambda n: (_mean_among(n, left, answers), -n))
    met = [other for other in range(count) if (best, other) in answers]
    both = [(answers[best, other][FIRST] > 0.5) == (answers[other, best][SECOND] > 0.5) for other in met]
    why = f"pairwise: preferred at {scores[best]:.2f}; the two orders agree on {sum(both)} of {len(both)} pairs"
    return best, scores, why


def _mean_among(n: int, others: Sequence[int], answers: Mapping[tuple[int, int], Mapping[str, float]]) -> float:
    met = [_for(n, pair, answer) for pair, answer in answers.items() if n in pair and {*pair} <= {*others}]
    return _mean(met)


def _for(candidate: int, pair: tuple[int, int], answer: Mapping[str, float]) -> float:
    return answer[FIRST if pair[0] == candidate else SECOND]


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def _pictures(request: SelectRequest, candidates: tuple[ImageHash, ...]) -> tuple[ImageHash, ...]:
    return (request.base, *candidates) if request.base else candidates


def _labels(request: SelectRequest, names: Sequence[str]) -> tuple[str, ...]:
    pictures = tuple(f"Picture {name}:" for name in names)
    return (f"{_BEFORE}:", *pictures) if request.base else pictures
