"""A brief that goes on from a picture: what that meets is kept, and only what is asked for now is drawn."""

from collections.abc import Iterable, Sequence

from director.prompts.absence import items, plain
from director.state import State
from director.types import Brief, Continues, Goal, GoalId, ImageHash, Outcome, Verdict

_FIRM = 3  # letters of a word that can name a thing


def changed(state: State, image: ImageHash, text: str, title: str) -> Brief:
    """The brief that asks for a change of a picture of this trajectory. Its goals are in `text` alone.

    What the picture meets is kept under new names, so that no goal of the change has one of them.
    """
    met = [(goal, verdict) for goal, verdict in _seen(state, image) if verdict.outcome is not Outcome.MISSED]
    names = {goal.id: f"k{n:02d}" for n, (goal, _) in enumerate(met, 1)}

    def renamed(ids: Iterable[GoalId]) -> tuple[GoalId, ...]:
        return tuple(names[id] for id in ids if id in names)

    goals = tuple(
        goal.model_copy(
            update={"id": names[goal.id], "parents": renamed(goal.parents), "conflicts": renamed(goal.conflicts)}
        )
        for goal, _ in met
    )
    verdicts = tuple(verdict.model_copy(update={"goal": names[goal.id]}) for goal, verdict in met)
    return Brief(text=text, title=title, source=image, continues=Continues(goals=goals, verdicts=verdicts))


def tried_again(state: State, image: ImageHash) -> Brief | None:
    """The same brief from a picture of this trajectory on: only what it does not meet is asked for.

    None where all is met, or the goals are not known.
    """
    met = [(goal, verdict) for goal, verdict in _seen(state, image) if verdict.outcome is Outcome.MET]
    kept = {goal.id for goal, _ in met}
    wanted = tuple(goal for goal in state.goals if goal.id not in kept)
    if not wanted:
        return None
    continues = Continues(goals=tuple(goal for goal, _ in met), verdicts=tuple(verdict for _, verdict in met))
    change = {"source": image, "goals": wanted, "continues": continues if met else None}
    return state.trajectory.brief.model_copy(update=change)


def _seen(state: State, image: ImageHash) -> list[tuple[Goal, Verdict]]:
    """Goals and how they stand on the picture.

    Of a candidate that no verifier looked at nobody knows: what the best picture meets is likely met there, too, and
    counts as unsure, so that it is looked at but not drawn.
    """
    standing = state.standing_on(image)
    if not standing:
        doubt = {"outcome": Outcome.UNSURE, "evidence": "seen on another candidate", "by": "director"}
        standing = {g: v.model_copy(update=doubt) for g, v in state.standing.items() if v.outcome is Outcome.MET}
    return [(goal, standing[goal.id]) for goal in state.goals if goal.id in standing]


def change_of(wanted: Sequence[Goal], continues: Continues) -> tuple[Goal, ...]:
    """The goals of a change, as they are recorded: each names among its conflicts the kept goals that it takes back.

    They count twice: what they contradict gives way, though nobody may have said so.
    """
    return tuple(
        goal.model_copy(
            update={
                "weight": min(10.0, 2 * goal.weight),
                "conflicts": tuple(dict.fromkeys((*goal.conflicts, *_taken_back(goal, continues.goals)))),
            }
        )
        for goal in wanted
    )


def _taken_back(wanted: Goal, kept: Sequence[Goal]) -> list[GoalId]:
    """Of a thing that is to go, the kept goals that ask for it."""
    gone = [words for item in items(wanted.text) if (words := _words(item))] if wanted.absent else []
    return [goal.id for goal in kept if not goal.absent and any(words <= _words(goal.text) for words in gone)]


def _words(text: str) -> frozenset[str]:
    """The words that can name a thing, in the singular as far as a letter tells."""
    cut = "".join(c if c.isalnum() else " " for c in plain(text).casefold()).split()
    return frozenset(word.removesuffix("s") for word in cut if len(word) >= _FIRM and word not in _FILLING)


_FILLING = frozenset(
    ("the", "this", "that", "these", "those", "any", "some", "all", "its", "and", "der", "die", "das", "les")
)
