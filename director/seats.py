"""The four seats, what is asked of them, and what they may ask of their host.

A request names its seat and, for the editor, its model, so that it can be routed unread.
Seats raise plain exceptions; `perform` (in `loop`) attributes them. Pictures travel as hashes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal, Protocol

from pydantic import Field

from director.types import (
    Action,
    ActionKind,
    Brief,
    Candidate,
    Chosen,
    Extracted,
    Goal,
    ImageHash,
    Mode,
    ModelName,
    Option,
    Outcome,
    Planned,
    Region,
    Rendered,
    Seed,
    Selected,
    Value,
    Verified,
)


class Seat(StrEnum):
    PLANNER = "planner"
    EDITOR = "editor"
    JUDGE = "judge"
    VERIFIER = "verifier"


@dataclass(frozen=True)
class StepKind:
    """One kind of step: whose seat does it, and which event answers it."""

    name: str
    seat: Seat
    reply: str  # the kind of the event
    doing: str  # for people, as in "rendering: waiting for editor"
    heading: str  # for people, in a table of costs
    max_seconds: float  # unless the settings say otherwise, a step that runs longer has hung


STEP_KINDS = {
    kind.name: kind
    for kind in (
        StepKind("extract", Seat.PLANNER, "extracted", "reading the brief", "Reading the brief", 120.0),
        StepKind("decide", Seat.PLANNER, "chosen", "deciding what comes next", "Deciding", 120.0),
        StepKind("plan", Seat.PLANNER, "planned", "planning", "Planning", 120.0),
        StepKind("render", Seat.EDITOR, "rendered", "rendering", "Rendering", 600.0),
        StepKind("select", Seat.JUDGE, "selected", "choosing a candidate", "Choosing", 120.0),
        StepKind("verify", Seat.VERIFIER, "verified", "checking the goals", "Checking goals", 180.0),
    )
}
"""Every kind of step, by its name, in the order of a round."""


class ExtractRequest(Value):
    """Turn the brief into goals, verbatim."""

    kind: Literal["extract"] = "extract"
    brief: Brief

    @property
    def seat(self) -> Seat:
        return Seat.PLANNER


class Chance(Value):
    """A goal as it stands on the best picture (None: not looked at yet), and how many edits failed to bring it."""

    goal: Goal
    outcome: Outcome | None
    failures: int


class LastRound(Value):
    """What became of the round before. What it gained and lost is that of its picture, kept or not."""

    option: str  # its name on the menu; empty where the schedule opened it
    targets: int
    renders: int
    accepted: bool
    gained: int
    lost: int


class DecideRequest(Value):
    """Choose one of `options`: the first is what the schedule would do, and all of them keep to the rules.

    `picture` is the best so far, `round` the number of the round to be opened, `chained` how many edits the picture
    has behind it. A choice is given as `request.chosen(…)`.
    """

    kind: Literal["decide"] = "decide"
    brief: Brief
    mode: Mode | None
    goals: tuple[Chance, ...]
    picture: ImageHash | None = None
    last: LastRound | None = None
    chained: int = 0
    round: int
    rounds_left: int
    renders_left: int | None
    options: Annotated[tuple[Option, ...], Field(min_length=1)]

    @property
    def seat(self) -> Seat:
        return Seat.PLANNER

    def chosen(self, number: int, by: str, inspect: str = "", revise: str = "") -> Chosen:
        """The choice of an option by its place. Raises IndexError when there is none."""
        if number < 0:
            raise IndexError(f"there is no option {number}")
        option = self.options[number]
        return Chosen(number=number, option=option, inspect=inspect[:300], revise=revise[:300], by=by)


class Failure(Value):
    """An instruction that did not work, so that the planner says it differently."""

    instruction: str
    goals: tuple[str, ...]
    evidence: tuple[str, ...] = ()


class PlanRequest(Value):
    """Word one instruction for `targets`. `kept` are met goals that must survive it.

    `whole` asks for a complete picture (first round, regeneration, anchor), `everything` says that
    this picture is the whole brief; otherwise the action is an edit of `base` and may be confined
    to a region when `masks` is on. `advice` is what was said when the round
    was chosen (`Chosen.revise`). `model` will read the instruction, and no more than `most_tokens` of it where that is
    known; `perform` fills it in from the studio.
    """

    kind: Literal["plan"] = "plan"
    brief: Brief
    mode: Mode
    whole: bool
    everything: bool = False
    targets: tuple[Goal, ...]
    kept: tuple[Goal, ...] = ()
    base: ImageHash | None = None
    masks: bool = True
    failures: tuple[Failure, ...] = ()
    advice: str = ""
    model: ModelName | None = None
    most_tokens: int | None = None

    @property
    def seat(self) -> Seat:
        return Seat.PLANNER

    @property
    def action(self) -> ActionKind:
        """An edit when there is a picture to start from."""
        return ActionKind.EDIT if self.base else ActionKind.GENERATE


class RenderRequest(Value):
    """Render one candidate for each seed. Pixels outside `action.region` must stay as in `base`.

    A new picture without a size is as large as the model draws best.
    """

    kind: Literal["render"] = "render"
    model: ModelName
    action: Action
    base: ImageHash | None = None
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=16)]
    width: int | None = None
    height: int | None = None

    @property
    def seat(self) -> Seat:
        return Seat.EDITOR


class SelectRequest(Value):
    """Which candidate serves `goals` best? `base` is the picture before the edit."""

    kind: Literal["select"] = "select"
    candidates: Annotated[tuple[Candidate, ...], Field(min_length=2)]
    instruction: str
    goals: tuple[Goal, ...]
    base: ImageHash | None = None

    @property
    def seat(self) -> Seat:
        return Seat.JUDGE


class VerifyRequest(Value):
    """Give one verdict for each of `goals`, in their order, on `image`.

    After an edit `base` is the picture before it, and `region` where the change was asked for (None:
    anywhere); what moved outside may be measured as `Verified.preservation`.
    """

    kind: Literal["verify"] = "verify"
    image: ImageHash
    goals: Annotated[tuple[Goal, ...], Field(min_length=1)]
    again: bool = False
    base: ImageHash | None = None
    region: Region | None = None

    @property
    def seat(self) -> Seat:
        return Seat.VERIFIER


Request = ExtractRequest | DecideRequest | PlanRequest | RenderRequest | SelectRequest | VerifyRequest


@dataclass(frozen=True)
class Raster:
    """A picture in memory: `mode` is Pillow's 1, L, LA, RGB or RGBA, `data` the rows from the top, without gaps."""

    mode: str
    width: int
    height: int
    data: bytes


class Images(Protocol):
    """Pictures by the hash of their mode, size and raw pixels."""

    def get(self, image: ImageHash) -> bytes:
        """The PNG. Raises StoreError when it is not there or can't be read."""
        ...

    def raster(self, image: ImageHash) -> Raster:
        """Its pixels, decoded once for all who ask in a process. Raises as `get` does."""
        ...

    def put(self, png: bytes) -> ImageHash:
        """Store a PNG and give its hash; storing the same pixels again is harmless."""
        ...

    def put_raster(self, raster: Raster, encode: Callable[[], bytes]) -> ImageHash:
        """The hash of pixels in hand. `encode` makes the PNG, perhaps in another thread and later than this returns.

        The PNG is stored when the step is committed. If that fails, so does the step, and not this call.
        """
        ...


class Context(Protocol):
    """What a seat may ask of the process that hosts it."""

    @property
    def images(self) -> Images: ...

    def progress(self, message: str, done: int, total: int) -> None:
        """Say how far the step is, for people; never part of a trajectory."""
        ...

    def count(self, name: str, amount: int) -> None:
        """Add to a number of this attempt: calls, tokens, re-asks, memory errors. Never part of a trajectory."""
        ...

    def keep(self, name: str, data: bytes) -> None:
        """Store what was said or answered beside the attempt, for audit and training."""
        ...

    def check(self) -> None:
        """Raise Cancelled when the step should end now. Cheap: call it often."""
        ...


class Planner(Protocol):
    def extract(self, request: ExtractRequest, context: Context) -> Extracted: ...

    def plan(self, request: PlanRequest, context: Context) -> Planned: ...


class Decider(Protocol):
    def decide(self, request: DecideRequest, context: Context) -> Chosen: ...


class Editor(Protocol):
    def render(self, request: RenderRequest, context: Context) -> Rendered: ...


class Judge(Protocol):
    def select(self, request: SelectRequest, context: Context) -> Selected: ...


class Verifier(Protocol):
    def verify(self, request: VerifyRequest, context: Context) -> Verified: ...


@dataclass(frozen=True)
class Studio:
    """The four seats, ready to use. `limits`: how many tokens of an instruction an editor's model reads.

    `decider` chooses for jobs with `decide: planner`; without one the schedule's own option is taken.
    """

    planner: Planner
    editor: Editor
    judge: Judge
    verifier: Verifier
    limits: Mapping[tuple[ModelName, ActionKind], int] = field(default_factory=dict[tuple[ModelName, ActionKind], int])
    decider: Decider | None = None
