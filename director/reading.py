"""What of a brief was read: where the words of each goal stand, and which words became no goal, with the reason."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from director.prompts.clauses import Clause, split
from director.prompts.skipped import MARKUP, NUMBER
from director.state import State
from director.types import Brief, Goal, Trajectory, Value

NO_GOAL = "became no goal"


class Unread(Value):
    """Words of a brief, as they stand there, and why nothing came of them: "heading", "signature", "became no goal"."""

    text: str
    reason: str


def unread_of(trajectory: Trajectory) -> tuple[Unread, ...]:
    """What was not read of the brief of a trajectory, by as many of its events as there are."""
    return unread(trajectory.brief, State.of(trajectory).goals)


def unread(brief: Brief, goals: Sequence[Goal]) -> tuple[Unread, ...]:
    """In the order of the brief. While there are no `goals` yet only what no planner is asked about is known.

    A sender who gives the goals need not quote the text, so that clauses without a goal say nothing then.
    """
    clauses = [clause for clause in split(brief.text) if clause.skipped not in (NUMBER, MARKUP)]
    silent = _without_goal(brief.text, clauses, goals) if goals and not brief.goals else set[Clause]()
    reasons = ((NO_GOAL if clause in silent else clause.skipped, clause) for clause in clauses)
    return tuple(Unread(text=words, reason=reason) for reason, words in _passages(brief.text, reasons))


def _without_goal(text: str, clauses: Iterable[Clause], goals: Iterable[Goal]) -> set[Clause]:
    asking = [clause for clause in clauses if not clause.skipped]
    starts = {clause.start for clause in asking}
    read: list[tuple[int, int]] = []
    for goal in goals:
        places = find(goal.text, text)
        # The same words may stand elsewhere, too: in a mail that is answered, or inside a longer word.
        read += [place for place in places if place[0] in starts] or places
    return {clause for clause in asking if not any(a < clause.end and clause.start < b for a, b in read)}


def _passages(text: str, clauses: Iterable[tuple[str, Clause]]) -> Iterable[tuple[str, str]]:
    """Reason and words of what was not read; the lines of one mail or signature are one passage."""
    for (reason, _), run in groupby(clauses, key=lambda each: (each[0], each[1].start if each[0] == NO_GOAL else 0)):
        found = [clause for _, clause in run]
        if reason:
            yield reason, text[found[0].start : found[-1].end]


def find(words: str, text: str) -> list[tuple[int, int]]:
    """All places of the words in the text; white space may differ."""
    wanted = r"\s+".join(re.escape(word) for word in words.split())
    return [match.span() for match in re.finditer(wanted, text)] if wanted else []
