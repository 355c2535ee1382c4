"""The end of a job whose rounds were drafts: the best of them, drawn once more in all steps of its editor."""

from director.prompts.vlm import curly
from director.state import State
from director.types import Action, ActionKind, Planned

_WORDS = (
    "Draw this picture again in full quality: fine detail, clean edges, no artefacts. Keep everything that it shows, "
    "its places, colours and light as they are."
)


def full_edit(state: State) -> Planned | None:
    """The edit that ends the job instead of a stop; None when there is nothing to draw again, or it was drawn.

    No planner is asked. What is missing is not asked for again: an edit that brings something is one more round.
    """
    settings, most = state.settings, state.settings.max_renders
    if not settings.draft_rounds or state.best is None or any(each.planned.final for each in state.rounds):
        return None
    if most is not None and len(state.candidates) >= most:
        return None
    strings = [goal.string for goal in state.goals if goal.string and goal.id in state.met and not goal.absent]
    kept = [f"The lettering “{curly(string)}” stays as it is." for string in dict.fromkeys(strings)]
    action = Action(kind=ActionKind.EDIT, instruction=" ".join([_WORDS, *kept]), targets=())
    return Planned(action=action, base=state.best, final=True, by="director")
