"""Instructions in the brief's own words, for when reprompting is off: no model is asked."""

from functools import reduce

from director.prompts.absence import forbids, worded
from director.seats import PlanRequest
from director.types import Action, ActionKind, Goal, Region

_MARGIN = 0.06
_LARGEST_MASK = 0.6


def verbatim(request: PlanRequest) -> Action:
    """The brief as it stands when everything is wanted at once, else the goals' own sentences."""
    edit = request.action is ActionKind.EDIT
    said = (worded(goal, edit) if goal.absent and not forbids(goal.text) else goal.text for goal in request.targets)
    instruction = request.brief.text if request.everything else "\n".join(said)
    return Action(
        kind=request.action,
        instruction=instruction,
        targets=tuple(goal.id for goal in request.targets),
        region=mask_region(request.targets) if request.masks and request.base and not request.whole else None,
    )


def mask_region(targets: tuple[Goal, ...]) -> Region | None:
    """One box with some margin around all targets; None when one has no region or the box is large."""
    regions = [goal.region for goal in targets]
    if not regions or None in regions:
        return None
    box = reduce(Region.union, (region for region in regions if region))
    box = Region(
        x0=max(0.0, box.x0 - _MARGIN),
        y0=max(0.0, box.y0 - _MARGIN),
        x1=min(1.0, box.x1 + _MARGIN),
        y1=min(1.0, box.y1 + _MARGIN),
    )
    return box if box.area <= _LARGEST_MASK else None
