"""The nouns: what a brief, a goal, a verdict and a trajectory are.

Every value is frozen, strict about unknown fields and the same bytes whenever it is dumped again.
Coordinates are fractions of the picture, (0, 0) top left; scores and confidences are in [0, 1].
"""

from collections.abc import Mapping
from enum import StrEnum
from operator import not_
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from director.settings import (
    DRAFT as DRAFT,
    GRID as GRID,
    MAX_BRIEF_BYTES as MAX_BRIEF_BYTES,
    MAX_GOALS as MAX_GOALS,
    SIDE as SIDE,
    STRATEGIES as STRATEGIES,
    AcceptRule as AcceptRule,
    GoalId as GoalId,
    ImageHash as ImageHash,
    Kind as Kind,
    LoopSettings as LoopSettings,
    ModelName as ModelName,
    Seed as Seed,
    Share as Share,
    Side as Side,
    Value as Value,
    public_names as public_names,
)


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
    string: Annotated[str, Field(max_length=200)] | None = None
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


class Brief(Value):
    """What a designer sends: prose, perhaps a picture to start from, perhaps explicit goals."""

    text: Annotated[str, Field(min_length=1)]
    title: Annotated[str, Field(max_length=120)] = ""
    source: ImageHash | None = None
    goals: Annotated[tuple[Goal, ...], Field(max_length=MAX_GOALS)] = ()

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if not self.text.strip():
            raise ValueError("the text of the brief is empty: write what the picture must show")
        if (size := len(self.text.encode())) > MAX_BRIEF_BYTES:
            raise ValueError(f"the text of the brief has {size} bytes; the most is {MAX_BRIEF_BYTES}: shorten it")
        ids = {goal.id for goal in self.goals}
        if len(ids) < len(self.goals):
            raise ValueError("two goals have the same id: give each its own")
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
