"""The nouns: what a brief, a goal, a verdict and a trajectory are.

Every value is frozen, strict about unknown fields and the same bytes whenever it is dumped again.
Coordinates are fractions of the picture, (0, 0) top left; scores and confidences are in [0, 1].
"""

from collections.abc import Callable
from enum import StrEnum
from operator import not_
from typing import Annotated, Any, Literal, Self, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from director.kinds import GoalType, Scope

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


class Region(Value):
    """A box in fractions of the picture: left, top, right, bottom."""

    x0: Share
    y0: Share
    x1: Share
    y1: Share

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.x0 >= self.x1 or self.y0 >= self.y1:
            raise ValueError("a region needs x0 < x1 and y0 < y1, as fractions of the picture")
        return self

    @property
    def area(self) -> float:
        """Share of the picture that the region covers."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    def union(self, other: "Region") -> "Region":
        """The smallest box that holds both."""
        return Region(
            x0=min(self.x0, other.x0),
            y0=min(self.y0, other.y0),
            x1=max(self.x1, other.x1),
            y1=max(self.y1, other.y1),
        )

    def disjoint(self, other: "Region") -> bool:
        """True when the two share no area."""
        return self.x1 <= other.x0 or other.x1 <= self.x0 or self.y1 <= other.y0 or other.y1 <= self.y0


class Goal(Value):
    """One thing that the brief asks for, or rules out, in the brief's own words.

    `string` is the exact text to be set in the picture (text goals only), `count` how many of a
    thing there must be, if the brief says so. `absent` says that it must not be there, in any number;
    where that is false, it is not stored. `region` is where the goal is asked to be, if the brief says
    so. `parents` must be met before this can be; no two `conflicts` share an instruction. `feasibility`
    is the chance that one shot gets it right.
    """

    id: GoalId
    text: Annotated[str, Field(min_length=1, max_length=1000)]
    type: Kind = GoalType.ADD_OBJECT.value
    scope: Scope = Scope.LOCAL
    string: Annotated[str, Field(max_length=1000)] | None = None
    count: Annotated[int, Field(ge=0, le=100)] | None = None
    absent: Annotated[bool, Field(exclude_if=not_)] = False
    region: Region | None = None
    parents: tuple[GoalId, ...] = ()
    conflicts: tuple[GoalId, ...] = ()
    weight: Annotated[float, Field(gt=0, le=10)] = 1.0
    must_have: bool = False
    feasibility: Share = 0.7

    @property
    def wish(self) -> str:
        """Its words for lists and logs; of a thing that must be absent they alone may say the contrary."""
        return f"absent: {self.text}" if self.absent else self.text


class Outcome(StrEnum):
    MET = "met"
    MISSED = "missed"
    UNSURE = "unsure"


class Verdict(Value):
    """What a verifier says of one goal. `score` is the probability that the goal is met."""

    goal: GoalId
    outcome: Outcome
    score: Share
    confidence: Share
    evidence: Annotated[str, Field(max_length=300)] = ""
    by: Annotated[str, Field(max_length=64)]


class Continues(Value):
    """What the picture that a brief starts from has already: goals, and a verdict on each in their order.

    They are kept, and not planned unless an edit loses them.
    """

    goals: Annotated[tuple[Goal, ...], Field(max_length=MAX_GOALS)]
    verdicts: Annotated[tuple[Verdict, ...], Field(max_length=MAX_GOALS)]

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        if [goal.id for goal in self.goals] != [verdict.goal for verdict in self.verdicts]:
            raise ValueError("the verdicts are not those of the goals: give one for each, in their order")
        return self


class Brief(Value):
    """What a designer sends: prose, perhaps a picture to start from, perhaps explicit goals.

    `continues` says what that picture has already: then text and goals are only what is to change.
    """

    text: Annotated[str, Field(min_length=1)]
    title: Annotated[str, Field(max_length=120)] = ""
    source: ImageHash | None = None
    goals: Annotated[tuple[Goal, ...], Field(max_length=MAX_GOALS)] = ()
    continues: Annotated[Continues | None, Field(exclude_if=not_)] = None

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if not self.text.strip():
            raise ValueError("the text of the brief is empty: write what the picture must show")
        if (size := len(self.text.encode())) > MAX_BRIEF_BYTES:
            raise ValueError(f"the text of the brief has {size} bytes; the most is {MAX_BRIEF_BYTES}: shorten it")
        kept = self.continues.goals if self.continues else ()
        ids = {goal.id for goal in (*kept, *self.goals)}
        if len(ids) < len(kept) + len(self.goals):
            raise ValueError("two goals have the same id: give each its own")
        if self.continues and not self.source:
            raise ValueError("there is no picture to go on from: name it as source")
        for goal in self.goals:
            if unknown := sorted({*goal.parents, *goal.conflicts} - (ids - {goal.id})):
                raise ValueError(
                    f"goal {goal.id} names {unknown[0]} as parent or conflict: there is no such other goal"
                )
        return self

    @property
    def name(self) -> str:
        """The title, or the brief's first words: for lists, logs and Flower."""
        return self.title or " ".join(self.text.split()[:8])[:60]


class Mode(StrEnum):
    """What the gate decided: everything in one instruction, or a scene and then edits."""

    ONE_SHOT = "one-shot"
    STAGED = "staged"


class Move(StrEnum):
    """What can be done between two rounds."""

    ONE_SHOT = "one-shot"  # the first picture, with all goals
    STAGED = "staged"  # the first picture as a scene, or the first edits of a source
    EDIT = "edit"  # some of what is missing, into the best picture
    ANCHOR = "anchor"  # all that the edits brought, once more into the picture they started from
    SCENE = "scene"  # a new picture with all goals
    STOP = "stop"


class Option(Value):
    """One line of the menu of `director.menu`: a next round that the rules allow, or the end.

    `name` tells it from the others and is spelt alike for every job ("edit-all-n2", "stop"). `candidates` is N of the
    micro-grid. With `targets_first` a picture is asked for its targets, and for the rest only if one of them came.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]
    move: Move
    targets: tuple[GoalId, ...] = ()
    base: ImageHash | None = None
    whole: bool = False
    everything: bool = False
    candidates: Annotated[int, Field(ge=0, le=16)] = 0
    targets_first: bool = False


class AcceptRule(StrEnum):
    """`alignment`: roll back unless the overall score rose. `alignment-or-tie`: when it fell, as the paper has it.
    `no-loss`: when a goal was lost. Whichever it is, a lost must-have is rolled back.
    """

    ALIGNMENT = "alignment"
    ALIGNMENT_OR_TIE = "alignment-or-tie"
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
        False, exclude_if=_is(False), description="the editor's draft draws the rounds; the best is then edited in full"
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
    edits: Literal["few", "wide", "alike"] = Field(
        "few",
        exclude_if=_is("few"),
        description="wide: all that is missing in one edit, half as much where that fails; alike: all of one reach",
    )
    targets_first: bool = Field(
        False, exclude_if=_is(False), description="an edit's targets are looked at, and the rest only if one came"
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
        most = self.max_renders
        return most - 1 if most and most > 1 and self.draft_rounds else most


class ActionKind(StrEnum):
    GENERATE = "generate"
    EDIT = "edit"


class Action(Value):
    """One instruction to the editor: what to draw or change, for which goals, and where."""

    kind: ActionKind
    instruction: Annotated[str, Field(min_length=1, max_length=MAX_BRIEF_BYTES)]
    targets: tuple[GoalId, ...]
    region: Region | None = None


class Candidate(Value):
    """One rendered picture of a micro-grid."""

    image: ImageHash
    seed: Seed


class StopReason(StrEnum):
    SATISFIED = "satisfied"  # every goal (or `stop_at` of them, and every must-have) is met
    UNVERIFIED = "unverified"  # nothing missed, something unsure
    BUDGET = "budget"  # rounds, renders or seconds used up
    STALLED = "stalled"  # nothing improves any more
    CANCELLED = "cancelled"
    FAILED = "failed"


# --- events: what a trajectory is made of ------------------------------------------------------


class Extracted(Value):
    kind: Literal["extracted"] = "extracted"
    goals: Annotated[tuple[Goal, ...], Field(max_length=MAX_GOALS)]
    by: str


class Gated(Value):
    kind: Literal["gated"] = "gated"
    mode: Mode
    why: str


class Chosen(Value):
    """What the planner chose from a menu: its place there, the option itself, and what was said of the picture.

    Only jobs with `decide: planner` have it. `inspect` says what is wrong, `revise` what the next instruction should
    do about it.
    """

    kind: Literal["chosen"] = "chosen"
    number: Annotated[int, Field(ge=0)]
    option: Option
    inspect: Annotated[str, Field(max_length=300)] = ""
    revise: Annotated[str, Field(max_length=300)] = ""
    by: Annotated[str, Field(max_length=200)]


class Planned(Value):
    """Opens a round. `base` is the picture that an edit starts from.

    `final` marks the full edit of the best draft; where that is false, it is not stored.
    """

    kind: Literal["planned"] = "planned"
    action: Action
    base: ImageHash | None = None
    final: Annotated[bool, Field(exclude_if=not_)] = False
    by: str


class Rendered(Value):
    kind: Literal["rendered"] = "rendered"
    candidates: Annotated[tuple[Candidate, ...], Field(min_length=1)]
    by: str


class Selected(Value):
    """`scores` stand in the order of the candidates that were asked about."""

    kind: Literal["selected"] = "selected"
    image: ImageHash
    scores: tuple[Share, ...] = ()
    why: Annotated[str, Field(max_length=300)] = ""
    by: str


class Preservation(Value):
    """How far an edit moved the picture outside what was asked, measured in pixels.

    Means and perceptual hashes don't see a small leak, so these are extremes: the minimum of the SSIM
    map, the 99.9th percentile of the colour difference (CIEDE2000), and the share of pixels that
    changed by more than 8 of 255.
    """

    min_ssim: float = Field(ge=-1, le=1)
    p999_delta_e: float = Field(ge=0)
    changed_share: Share


class Verified(Value):
    """Verdicts on `image`. `again` marks the second look at goals that went from met to unsure.

    `preservation` is None for a picture that is no edit, or where the verifier does not measure it.
    """

    kind: Literal["verified"] = "verified"
    image: ImageHash
    verdicts: tuple[Verdict, ...]
    again: bool = False
    preservation: Preservation | None = None
    by: str


class Decided(Value):
    """Closes a round: the picture became the best, or the best so far stays."""

    kind: Literal["decided"] = "decided"
    accepted: bool
    image: ImageHash
    gained: tuple[GoalId, ...] = ()
    lost: tuple[GoalId, ...] = ()
    why: str


class Stopped(Value):
    kind: Literal["stopped"] = "stopped"
    reason: StopReason
    why: str


Reply = Extracted | Chosen | Planned | Rendered | Selected | Verified | Stopped
"""What comes from outside: the answer of a seat, or a stop that was ordered (cancel, clock)."""

Event = Annotated[
    Extracted | Gated | Chosen | Planned | Rendered | Selected | Verified | Decided | Stopped,
    Field(discriminator="kind"),
]


class Usage(Value):
    """What a trajectory cost, counted from its events (clock and tokens: the attempt records)."""

    rounds: int = 0
    renders: int = 0
    planner_calls: int = 0
    judge_calls: int = 0
    verifier_calls: int = 0


class Trajectory(Value):
    """An immutable, append-only record of a job. It holds no time, host, attempt or job id."""

    brief: Brief
    settings: LoopSettings
    seed: Seed
    events: tuple[Event, ...] = ()

    def with_events(self, *events: Event) -> "Trajectory":
        """The same trajectory, longer."""
        return self.model_copy(update={"events": (*self.events, *events)})

    @property
    def stop(self) -> Stopped | None:
        """Why the loop ended, or None while it runs."""
        last = self.events[-1] if self.events else None
        return last if isinstance(last, Stopped) else None
