"""The kinds of goals, and how much of a picture each reaches. They are imported from `types`."""

from collections.abc import Mapping
from enum import StrEnum


class GoalType(StrEnum):
    """LGBench's six types. `Goal.type` takes any other lower-case word too."""

    ADD_OBJECT = "add_object"
    TEXT = "text"
    EFFECT = "effect"
    COLOR = "color"
    LIGHTING = "lighting"
    COMPOSITION = "composition"


class Scope(StrEnum):
    """How much of the picture a goal reaches."""

    GLOBAL = "global"
    LOCAL = "local"
    TEXT = "text"
    LAYOUT = "layout"


SCOPES: Mapping[str, Scope] = {
    GoalType.TEXT: Scope.TEXT,
    GoalType.COLOR: Scope.GLOBAL,
    GoalType.LIGHTING: Scope.GLOBAL,
    GoalType.COMPOSITION: Scope.LAYOUT,
    GoalType.EFFECT: Scope.GLOBAL,
}
"""How much of the picture a goal reaches by its type, where nobody said; others are local."""
