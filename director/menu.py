"""What a planner may choose between two rounds. The first option is what the schedule would do.

Every option keeps to the rules: conflicts stand apart, parents come first, a must-have that can still be tried
forbids the end, and nobody gets more renders than the job has. A picture becomes the best only when all of its goals
were looked at, so that no choice ends a job on a picture that was looked at in part.
"""

from collections.abc import Iterator, Sequence

from director import schedule
from director.gate import gate
from director.schedule import Opening
from director.seats import Chance, DecideRequest, LastRound
from director.state import State
from director.types import MAX_GOALS, Chosen, Gated, Goal, Mode, Move, Option, Stopped, StopReason

_WIDTHS = (1, 2, 4, MAX_GOALS)
"""Goals in one edit; the last takes all that is missing."""
_GRIDS = (1, 2, 4)
"""Candidates of one round."""

_STOP = Option(name=Move.STOP.value, move=Move.STOP)


def question(state: State) -> DecideRequest | None:
    """What to ask the planner before a round opens; None where nobody asks it, or where there is one way only."""
    if state.settings.decide != "planner" or state.chosen or state.open_round:
        return None
    menu = options(state)
    if len(menu) < 2:
        return None
    settings = state.settings
    most = settings.round_renders
    return DecideRequest(
        brief=state.trajectory.brief,
        mode=state.mode,
        goals=tuple(_chance(state, goal) for goal in state.goals),
        picture=state.best,
        last=_last(state),
        chained=state.anchor.chained,
        round=len(state.rounds) + 1,
        rounds_left=settings.rounds - len(state.rounds),
        renders_left=None if most is None else most - len(state.candidates),
        options=menu,
    )


def options(state: State) -> tuple[Option, ...]:
    """The menu between two rounds, or before the first; each option once. Empty when nothing can be tried."""
    found = _openings(state) if state.rounds else _first(state)
    by_name: dict[str, Option] = {}
    for option in found:
        by_name.setdefault(option.name, option)
    return tuple(by_name.values())


def opening_of(state: State, chosen: Chosen) -> Opening:
    """The round that a choice opens."""
    option = chosen.option
    targets = tuple(goal for goal in state.goals if goal.id in option.targets)
    ranked = tuple(sorted(targets, key=lambda goal: option.targets.index(goal.id)))
    return Opening(option.whole, option.everything, ranked, option.base, f"chosen by {chosen.by}: {option.name}")


def gated(chosen: Chosen) -> Gated:
    """The mode that a choice stands for."""
    mode = Mode.ONE_SHOT if chosen.option.move is Move.ONE_SHOT else Mode.STAGED
    return Gated(mode=mode, why=f"chosen by {chosen.by}")


def stopped(chosen: Chosen) -> Stopped | None:
    """The end, if that was chosen."""
    if chosen.option.move is not Move.STOP:
        return None
    return Stopped(reason=StopReason.STALLED, why=f"{chosen.by} expects no gain that is worth its cost")


def _first(state: State) -> Iterator[Option]:
    """One shot or staged, the gate's own first."""
    settings = state.settings
    own = state.mode or gate(state.trajectory.brief, state.wanted, settings).mode
    modes = [own, *(mode for mode in Mode if mode is not own and settings.gate == "auto")]
    for mode in modes:
        opening = schedule.first(state, mode)
        for count in _grids(state, schedule.grid(state, opening.base)):
            yield _option(Move(mode.value), opening, count)


def _openings(state: State) -> Iterator[Option]:
    own = schedule.opening(state)
    if own is None:
        return
    grids = _grids(state, schedule.grid(state, own.base))
    first = grids[0]
    missing = schedule.widest(state, MAX_GOALS)
    if not schedule.pays(state, own, state.settings.price_of_render) and _may_stop(state, missing):
        yield _STOP
    yield _option(_move(own), own, first, missing)
    for size in _WIDTHS:
        batch = missing if size >= len(missing) else schedule.widest(state, size)
        edit = Opening(False, False, batch, state.best, "")
        yield from (_option(Move.EDIT, edit, count, missing) for count in grids)
        if state.settings.rollback and not state.settings.targets_first:
            yield _option(Move.EDIT, edit, first, missing, targets_first=True)
    if back := schedule.merged(state, missing):
        yield _option(Move.ANCHOR, back, first)
    if state.trajectory.brief.source is None:
        yield _option(Move.SCENE, schedule.new_scene(state, ""), first)
    if _may_stop(state, missing):
        yield _STOP


def _move(opening: Opening) -> Move:
    if not opening.whole:
        return Move.EDIT
    return Move.ANCHOR if opening.base else Move.SCENE


def _grids(state: State, own: int) -> list[int]:
    """N of the micro-grid: the schedule's own first, then the others that the settings allow."""
    most = state.settings.candidates
    if state.settings.round_renders is not None:
        most = min(most, state.settings.round_renders - len(state.candidates))
    return [*dict.fromkeys([min(own, most), *(count for count in _GRIDS if count <= most)])]


def _option(
    move: Move, opening: Opening, candidates: int, missing: Sequence[Goal] = (), targets_first: bool = False
) -> Option:
    width = f"-{_width(opening, missing)}" if move is Move.EDIT else ""
    return Option(
        name=f"{move.value}{width}-n{candidates}{'-targets' if targets_first else ''}",
        move=move,
        targets=tuple(goal.id for goal in opening.targets),
        base=opening.base,
        whole=opening.whole,
        everything=opening.everything,
        candidates=candidates,
        targets_first=targets_first,
    )


def _width(opening: Opening, missing: Sequence[Goal]) -> str:
    every = len(opening.targets) == len(missing)
    return "all" if every else str(len(opening.targets))


def _may_stop(state: State, missing: Sequence[Goal]) -> bool:
    """There is a picture that was looked at as a whole, and no must-have that an edit could still bring."""
    seen = all(goal.id in state.standing for goal in state.goals)
    return seen and not any(goal.must_have for goal in missing)


def _chance(state: State, goal: Goal) -> Chance:
    verdict = state.standing.get(goal.id)
    outcome = verdict.outcome if verdict else None
    return Chance(goal=goal, outcome=outcome, failures=schedule.tries(goal.id, state))


def _last(state: State) -> LastRound | None:
    if not state.rounds:
        return None
    each = state.rounds[-1]
    decided = each.decided
    return LastRound(
        option=each.chosen.option.name if each.chosen else "",
        targets=len(each.planned.action.targets),
        renders=len(each.candidates),
        accepted=bool(decided and decided.accepted),
        gained=len(decided.gained) if decided else 0,
        lost=len(decided.lost) if decided else 0,
    )
