"""What a report needs beside the trajectory, which holds no time, host, attempt or job id."""

from collections.abc import Callable
from typing import Annotated, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

from director.errors import Actor
from director.report.html import NOTHING, Html
from director.state import GoalCounts
from director.types import ImageHash, Value


class Attempt(BaseModel):
    """One attempt at a step: what of an attempt record a report shows."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    n: int
    kind: str
    attempt: int = 1
    seconds: Annotated[float, Field(ge=0)] = 0.0
    started: float = 0.0  # seconds since the epoch
    renders: int = 0
    committed: bool = True
    counts: dict[str, int] = {}
    error: "Trouble | None" = None


class Trouble(BaseModel):
    """Where something failed, what was said, what a person can do, and who has to act (None: not known)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    boundary: str
    message: str
    fix: str = ""
    actor: Actor | None = None


class Picked(Value):
    """What a person chose to deliver in place of the loop's choice; `goals` are the verdicts on that very picture."""

    image: ImageHash
    goals: GoalCounts


class RunInfo(Value):
    """`doing` says what happens now, "" once it is over. Times are seconds since the epoch, None where unknown."""

    job: str = ""  # its id; "" for a brief that was run without a queue
    doing: str = ""
    ends: str = ""  # when it will have ended, in words
    trouble: Trouble | None = None
    created: float | None = None
    ended: float | None = None
    attempts: tuple[Attempt, ...] = ()
    unreadable: int = 0  # records of attempts that can't be read
    refresh: int = 0  # the page is loaded again after so many seconds; 0: never
    other: str = ""  # where the same page is with the refresh switched the other way; "" if nowhere
    home: str = ""  # where the list of jobs is; "" if nowhere
    picked: Picked | None = None


class Controls(NamedTuple):
    """What people can do on a page that is served, as markup: with the job, and with a candidate that is not what is
    delivered, by its round and its place."""

    orders: Html = NOTHING
    pick: Callable[[int, int], Html] = lambda round, place: NOTHING


class Pictures(Protocol):
    """How a page refers to a picture. "" where the picture is no longer stored."""

    def lead(self, image: ImageHash) -> str:
        """The `src` of the one that is shown large."""
        ...

    def thumb(self, image: ImageHash) -> str:
        """The `src` of one among many."""
        ...

    def full(self, image: ImageHash) -> str:
        """Where it is in its full size; "" where the page has to enlarge what it holds."""
        ...
