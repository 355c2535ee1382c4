"""What the small policy reads of a question, and the names that it can answer with.

The words say nothing of one brief's wording, so that what was learned on some tasks fits all. An id is a place in a
list that only grows at its end: a policy's file holds the number of words that it was made with.
"""

from director.seats import DecideRequest
from director.types import GoalType, Mode, Outcome

LONGEST = 48
"""Words of a question, at most."""
_GOALS = 24
_UNKNOWN = "?"
_KINDS = (*(kind.value for kind in GoalType), "other")
_RENDERS_LEFT = (1, 2, 4, 8, 16, 32)


def _names() -> tuple[str, ...]:
    grids = (1, 2, 4, 8, 16)
    moves = ["one-shot", "staged", "anchor", "scene", *(f"edit-{width}" for width in ("1", "2", "3", "4", "all"))]
    plain = [f"{move}-n{grid}" for move in moves for grid in grids]
    return (_UNKNOWN, "stop", *plain, *(f"{name}-targets" for name in plain if name.startswith("edit")))


NAMES = _names()
"""The options that a policy tells apart; any other is the first."""
WORDS = (
    "<pad>",
    *(f"round {n}" for n in range(1, 9)),
    *(f"left {n}" for n in range(9)),
    *(f"renders {n}" for n in ("any", *_RENDERS_LEFT)),
    *(f"mode {mode}" for mode in ("none", *Mode)),
    *(f"chained {n}" for n in range(6)),
    *(f"met {n}" for n in range(11)),
    *(f"goals {n}" for n in range(0, 33, 4)),
    *(f"gained {n}" for n in range(6)),
    *(f"lost {n}" for n in range(4)),
    "accepted", "refused", "first",
    *(f"{kind} {word}" for kind in _KINDS for word in ("new", "unsure", *range(5))),
    *(f"last {name}" for name in NAMES),
    *(f"own {name}" for name in NAMES),
    "choose",
)  # fmt: skip
_IDS = {word: number for number, word in enumerate(WORDS)}


def question(request: DecideRequest) -> tuple[int, ...]:
    """The ids of what is asked; "choose" is the last."""
    met = sum(each.outcome is Outcome.MET for each in request.goals)
    words = [
        f"round {min(request.round, 8)}",
        f"left {min(request.rounds_left, 8)}",
        f"renders {_renders(request.renders_left)}",
        f"mode {request.mode or 'none'}",
        f"chained {min(request.chained, 5)}",
        f"met {10 * met // len(request.goals)}",
        f"goals {min(len(request.goals), 32) // 4 * 4}",
        *_last(request),
        *_missing(request),
        f"own {known(request.options[0].name)}",
        "choose",
    ]
    return tuple(_IDS[word] for word in words)


def menu(request: DecideRequest) -> tuple[int, ...]:
    """The places of the options in `NAMES`, in the order of the menu."""
    return tuple(NAMES.index(known(option.name)) for option in request.options)


def known(name: str) -> str:
    return name if name in NAMES else _UNKNOWN


def _renders(left: int | None) -> str:
    return "any" if left is None else str(max((n for n in _RENDERS_LEFT if n <= left), default=1))


def _last(request: DecideRequest) -> list[str]:
    last = request.last
    if last is None:
        return ["first"]
    words = [f"gained {min(last.gained, 5)}", f"lost {min(last.lost, 3)}", "accepted" if last.accepted else "refused"]
    return [f"last {known(last.option)}", *words]


def _missing(request: DecideRequest) -> list[str]:
    """A word for each goal that is not met, by its type and how often an edit failed to bring it."""
    words: list[str] = []
    for each in request.goals:
        if each.outcome is Outcome.MET:
            continue
        kind = each.goal.type if each.goal.type in _KINDS else "other"
        state = {None: "new", Outcome.UNSURE: "unsure"}.get(each.outcome, str(min(each.failures, 4)))
        words.append(f"{kind} {state}")
    return words[:_GOALS]
