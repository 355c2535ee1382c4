"""What the service answers. Unknown fields are ignored, so that an older client reads a newer service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

ACTIVE = ("queued", "running")


class GoalCount(BaseModel):
    """Goals by their standing on the best picture. Those not looked at yet are in `total` only."""

    met: int = 0
    missed: int = 0
    unsure: int = 0
    total: int = 0


class JobError(BaseModel):
    """Where a job failed, what was said, and what a person can do."""

    boundary: str
    message: str
    fix: str = ""


class Job(BaseModel):
    """A job. `status` is queued, running, done, cancelled or failed; `stop` says why it ended."""

    id: str
    title: str = ""
    status: str
    stop: str = ""
    step: int = 0
    doing: str = ""
    goals: GoalCount = GoalCount()
    rounds: int = 0
    renders: int = 0
    error: JobError | None = None
    created: float = 0.0

    @property
    def ended(self) -> bool:
        return self.status not in ACTIVE

    @property
    def satisfied(self) -> bool:
        """Every goal that was asked for is met."""
        return self.stop == "satisfied"


class Uploaded(BaseModel):
    """A stored picture: `image` is what a brief's `source` takes."""

    image: str
    width: int
    height: int


@dataclass(frozen=True)
class Event:
    """One event of a job. `id` is what `Client.events(after=…)` takes; the last event's kind is `end`.

    An `end` without an id belongs to a job that failed before its first step was done.
    """

    id: str
    kind: str
    data: dict[str, Any]
