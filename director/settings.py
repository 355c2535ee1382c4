"""The scalars that all values are made of, and everything about the loop that a job may choose.

Import both from `director.types`.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

MAX_BRIEF_BYTES = 20_000
MAX_GOALS = 64
SIDE = 512
"""Pixels of a picture's sides where neither the job nor the image model says."""
DRAFT = ".draft"
"""Behind an editor's name: the same editor, drawing faster and worse."""
GRID = 16
"""Pixels of which a picture's sides are multiples."""


class Value(BaseModel):
    """A frozen value; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_enum_values=False)


def _four_digits(value: float) -> float:
    # Scores are rounded before they are stored or compared, so that a last-bit difference
    # between two machines can't turn into a different decision.
    return round(value, 4)


Share = Annotated[float, Field(ge=0.0, le=1.0), AfterValidator(_four_digits)]
ImageHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
GoalId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
_NAME = 64
Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


def _on_grid(side: int) -> int:
    if rest := side % GRID:
        raise ValueError(f"must be a multiple of {GRID}: the nearest are {side - rest} and {side - rest + GRID}")
    return side


Side = Annotated[int, Field(ge=64, le=2048, json_schema_extra={"multipleOf": GRID}), AfterValidator(_on_grid)]
"""Of a picture, in pixels."""


class AcceptRule(StrEnum):
    """`alignment`: roll back unless the overall score rose (the paper keeps a tie). `no-loss`: when a goal was lost.

    Whichever it is, a lost must-have is rolled back.
    """

    ALIGNMENT = "alignment"
    NO_LOSS = "no-loss"


def _is(value: object) -> Callable[[object], bool]:
    """For settings that came later: where they say nothing new, they are not stored, and older programs read it."""
    return lambda given: given == value


class LoopSettings(Value):
    """Everything about the loop that a job may choose; it travels with the job.

    The paper's strategies are values of these (`STRATEGIES`), never code.
    """

    # `guard` is the public and stored name of `weigh_kept`.
    model_config = ConfigDict(serialize_by_alias=True)

    gate: Literal["auto", "one-shot", "staged"] = "auto"
    editor: ModelName = "flux-krea"
    draft_rounds: bool = Field(
        False,
        exclude_if=_is(False),
        description="the editor's draft draws the rounds; a full edit of the best ends the job",
    )
    candidates: int = Field(4, ge=1, le=16, description="N of the micro-grid")
    edit_candidates: int | None = Field(
        None, ge=1, le=16, exclude_if=_is(None), description="N of an edit, if that is less; none: as candidates"
    )
    adaptive: bool = Field(True, description="render two candidates first, the rest only if needed")
    enough: Share = Field(0.75, description="share of an instruction's goals met that needs no more candidates")
    judge: bool = Field(True, description="a judge picks; without one, candidates must be 1")
    weigh_kept: bool = Field(True, alias="guard", description="the judge also weighs what the picture meets already")
    rollback: bool = Field(True, description="a picture that breaks the accept rule does not become the best")
    reprompt: bool = Field(True, description="the planner words instructions; off: the brief's own words")
    masks: bool = Field(True, description="local misses are edited inside a mask")
    anchor_after: int = Field(4, ge=0, le=20, description="chained edits before a merged edit of the anchor; 0: never")
    accept: AcceptRule = AcceptRule.ALIGNMENT
    margin: Share = Field(0.1, description="a met goal's score must fall by more than this to count as lost")
    max_changed: float = Field(1.0, ge=0, le=1, description="share of pixels that may change outside the asked region")
    stop_at: float = Field(1.0, gt=0, le=1, description="share of goal weight met that is enough")
    patience: int = Field(3, ge=1, le=20, description="rounds without a gain before the loop is stalled")
    batch: int = Field(2, ge=1, le=MAX_GOALS, description="goals in one edit, at most")
    edits: Literal["few", "wide"] = Field(
        "few", exclude_if=_is("few"), description="wide: all that is missing in one edit, half as much where that fails"
    )
    price_of_render: float = Field(
        0.0, ge=0, le=MAX_GOALS, exclude_if=_is(0.0), description="goals that a render must promise, or it is not made"
    )
    decide: Literal["schedule", "planner"] = Field(
        "schedule",
        exclude_if=_is("schedule"),
        description="who opens a round: the schedule, or the planner from its menu",
    )
    rounds: int = Field(6, ge=1, le=20)
    max_renders: int | None = Field(None, ge=1, le=320, description="pictures")
    max_seconds: float | None = Field(None, gt=0, le=86_400, description="wall clock from the submit")
    width: Side | None = Field(None, description="pixels; neither side named: what the editor's model draws best")
    height: Side | None = Field(None, description="pixels; of two sides one that is not named is 512")

    @model_validator(mode="before")
    @classmethod
    def _both_sides(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        values = cast(dict[str, Any], given)
        named = {side: values[side] for side in ("width", "height") if values.get(side) is not None}
        return {**values, "width": SIDE, "height": SIDE, **named} if len(named) == 1 else values

    @model_validator(mode="after")
    def _somebody_picks(self) -> Self:
        if not self.judge and self.candidates > 1:
            raise ValueError("candidates must be 1 when judge is off: nobody would pick")
        return self

    @model_validator(mode="after")
    def _draft_can_be_named(self) -> Self:
        if self.draft_rounds and self.editor.endswith(DRAFT):
            raise ValueError(
                f"editor {self.editor} is a draft itself: with draft_rounds name {self.editor.removesuffix(DRAFT)}"
            )
        if self.draft_rounds and len(self.round_editor) > _NAME:
            raise ValueError(f"editor has a name too long for its draft's: at most {_NAME - len(DRAFT)} characters")
        return self

    @property
    def round_editor(self) -> ModelName:
        """The model that draws the rounds; with drafts the last picture is `editor`'s."""
        return self.editor + DRAFT if self.draft_rounds else self.editor

    @property
    def round_renders(self) -> int | None:
        """Pictures that the rounds may draw: of several, drafts leave one for the end."""
        return (
            self.max_renders - 1
            if self.max_renders and self.max_renders > 1 and self.draft_rounds
            else self.max_renders
        )

    @property
    def later(self) -> bool:
        """Programs that knew edits of one or two goals only can't read them."""
        fields = LoopSettings.model_fields.items()
        said = any(field.exclude_if and not field.exclude_if(getattr(self, name)) for name, field in fields)
        return said or self.batch > _OLDER_BATCH


_OLDER_BATCH = 4


def public_names(model: type[BaseModel]) -> list[str]:
    """The names of its fields as people write them."""
    return [field.alias or name for name, field in model.model_fields.items()]


_PLAIN: dict[str, object] = {
    "gate": "one-shot", "rounds": 1, "candidates": 1, "adaptive": False, "judge": False, "guard": False,
    "reprompt": False, "accept": "alignment", "anchor_after": 0,
}  # fmt: skip
STRATEGIES: dict[str, dict[str, object]] = {
    "one-shot": _PLAIN,
    "reprompt": {**_PLAIN, "reprompt": True},
    "best-of-4": {**_PLAIN, "candidates": 4, "judge": True},
    "refinement": {**_PLAIN, "rounds": 6},
    "all": {**_PLAIN, "gate": "auto", "rounds": 6, "candidates": 4, "judge": True, "reprompt": True},
    "wide": {"edits": "wide", "batch": MAX_GOALS, "edit_candidates": 2, "enough": 0.9, "price_of_render": 0.05},
    "paper": {},
    "ours": {},
}
"""The arms of the paper's ablation (arXiv 2512.19243) as settings, and loops that go past it.

`wide` spends less than half, `paper` edits one or two goals at a time, and `ours` is what a job gets that names none.
"""
