"""The brief with the words of each goal marked where they stand."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from director import reading
from director.report.html import NOTHING, Html, fill, html, join, text
from director.report.marks import mark_of
from director.state import Standing
from director.types import Goal, GoalId


class Span(NamedTuple):
    start: int
    end: int
    goal: GoalId


def section(brief: str, goals: Sequence[Goal], numbers: Mapping[GoalId, int], standing: Standing) -> Html:
    """The brief as prose, each goal's words linked to its row."""
    spans = find(brief, goals)
    found = {span.goal for span in spans}
    others = [goal for goal in goals if goal.id not in found]
    named = join((_reference(goal.id, numbers, standing) for goal in others), " ")
    note = html('<p class="note">Not in these words in the brief: $goals</p>', goals=named) if others else NOTHING
    return fill("brief", prose=_prose(brief, spans, numbers, standing), note=note)


def find(brief: str, goals: Sequence[Goal]) -> list[Span]:
    """Where the words of each goal stand in the brief; white space may differ.

    The same words asked for twice are two places, if the brief has two.
    """
    spans: list[Span] = []
    taken: dict[str, int] = {}
    for goal in goals:
        words = " ".join(goal.text.split())
        if places := reading.find(words, brief):
            start, end = places[min(taken.get(words, 0), len(places) - 1)]
            taken[words] = taken.get(words, 0) + 1
            spans.append(Span(start, end, goal.id))
    return sorted(spans)


def _prose(brief: str, spans: Sequence[Span], numbers: Mapping[GoalId, int], standing: Standing) -> Html:
    """Cut at each border of a span, so that goals which overlap need no crossing elements."""
    borders = sorted({0, len(brief), *(s.start for s in spans), *(s.end for s in spans)})
    pieces: list[Html] = []
    for start, end in pairwise(borders):
        over = [span for span in spans if span.start < end and start < span.end]
        pieces.append(_piece(brief[start:end], over, numbers, standing))
        ends = [span for span in over if span.end == end]
        pieces += [_reference(span.goal, numbers, standing) for span in ends]
    return join(pieces)


def _piece(words: str, over: Sequence[Span], numbers: Mapping[GoalId, int], standing: Standing) -> Html:
    if not over:
        return text(words)
    # The shortest goal that covers it is the one that these words are most about.
    nearest = min(over, key=lambda span: (span.end - span.start, numbers[span.goal]))
    state = mark_of(standing.get(nearest.goal))
    return html(
        '<mark class="$state$more">$words</mark>',
        state=state.name, words=words, more=" shared" if len(over) > 1 else "",
    )  # fmt: skip


def _reference(goal: GoalId, numbers: Mapping[GoalId, int], standing: Standing) -> Html:
    state = mark_of(standing.get(goal))
    return html(
        '<a class="ref $state" href="#goal-$goal"><span class="sr">goal </span>$number<span aria-hidden="true">$sign'
        '</span><span class="sr">, $word</span></a>',
        state=state.name, goal=goal, number=numbers[goal], sign=state.sign, word=state.word,
    )  # fmt: skip
