"""The wide schedule: an edit takes all that is missing, half as much where that brought little, if that pays at all.

Models that edit by instruction carry out many wishes at once about as well as few; where one does not, halving finds
what it can carry. What a further edit brings is reckoned from how often its goals failed before and from how this
job's edits went; below the price that the settings put on a render, the loop ends.
"""

from collections.abc import Sequence

from director.state import Round, State
from director.types import MAX_GOALS, ActionKind, Goal, GoalId

_LITTLE = 0.15
"""Share of an edit's goals that it must bring, or the next takes half as many."""
_CHANCES = (0.18, 0.09, 0.05, 0.03, 0.02)
"""Of a missing goal to come with the next edit, by how many edits failed to bring it."""
_TRUST = 2.0
"""Goals' worth of belief in these chances, beside what the job's own edits show."""


def width(state: State) -> int:
    """How many goals the next edit may take."""
    size = min(state.settings.batch, MAX_GOALS)
    for each in _edits(state.rounds):
        aimed = len(each.planned.action.targets)
        if len(_brought(each)) < max(1.0, _LITTLE * aimed):
            size = max(1, min(size, aimed) // 2)
    return size


def expected(state: State, batch: Sequence[Goal]) -> float:
    """The weight of goals that an edit of this batch is expected to bring."""
    tries: dict[GoalId, int] = {}
    hoped, came = 0.0, 0
    for each in _edits(state.rounds):
        brought = _brought(each)
        for goal in each.planned.action.targets:
            hoped += _chance(tries.get(goal, 0))
            tries[goal] = 0 if goal in brought else tries.get(goal, 0) + 1
        came += len(brought)
    luck = (_TRUST + came) / (_TRUST + hoped)
    return luck * sum(goal.weight * _chance(tries.get(goal.id, 0)) for goal in batch)


def _chance(failures: int) -> float:
    return _CHANCES[min(failures, len(_CHANCES) - 1)]


def _edits(past: Sequence[Round]) -> list[Round]:
    """Those of the best picture; an edit of the anchor also says once more what is met."""
    found: list[Round] = []
    best = None
    for each in past:
        if each.decided and each.planned.action.kind is ActionKind.EDIT and each.planned.base == best:
            found.append(each)
        if each.decided and each.decided.accepted:
            best = each.decided.image
    return found


def _brought(each: Round) -> set[GoalId]:
    return {*each.gained}.intersection(each.planned.action.targets)
