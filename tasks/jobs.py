"""A job as users submit it, and the states it can be in."""

import hashlib
import uuid
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from director.types import AcceptRule, Brief, Goal, LoopSettings, Seed, Value

JobId = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]
MAX_LABELS = 16
PRIORITIES = (0, 3, 6, 9)
"""The steps of priority that Redis queues have here; 0 goes first."""

_NAMESPACE = uuid.UUID("6c1f8a52-6e0b-5d0e-9a35-1f6d1c1f7d11")


CONTRACT = 7
"""The newest form in which jobs and snapshots are stored; each is stored as the oldest that can hold it.

2 has goals of absence, 3 settings of wide edits and of a planner that decides, 4 a brief that goes on from a picture
and knows what that has, 5 edits of what is alike, 6 pictures that win a tie, 7 edits that are looked at for their
targets first.
"""
Contract = Annotated[int, Field(ge=1, le=CONTRACT, exclude_if=lambda number: number == 1)]


def contract_of(brief: Brief, goals: Iterable[Goal], settings: LoopSettings) -> int:
    """The oldest contract whose readers understand all of these."""
    if settings.targets_first:
        return 7
    if settings.accept is AcceptRule.ALIGNMENT_OR_TIE:
        return 6
    if settings.edits == "alike":
        return 5
    if brief.continues:
        return 4
    fields = LoopSettings.model_fields.items()
    later = any(field.exclude_if and not field.exclude_if(getattr(settings, name)) for name, field in fields)
    if later or settings.batch > _OLDER_BATCH:
        return 3
    return 2 if any(goal.absent for goal in goals) else 1


_OLDER_BATCH = 4


class JobStatus(StrEnum):
    """People are told RUNNING from the first step on, also while the job waits for the next one (`Record.shown`)."""

    QUEUED = "queued"  # no step of it is running
    RUNNING = "running"  # a worker holds its lease
    DONE = "done"  # ended by itself: satisfied, unverified, budget or stalled
    CANCELLED = "cancelled"
    FAILED = "failed"  # a dead letter: attempts used up; requeue brings it back


ACTIVE = frozenset({JobStatus.QUEUED, JobStatus.RUNNING})
TERMINAL = frozenset(JobStatus) - ACTIVE


class Place(Value):
    """Where a job belongs in a batch (tasks/batch/types.py). `order` is the batch's last order when it was admitted."""

    batch: JobId
    index: Annotated[int, Field(ge=0)]
    custom_id: str
    generation: Annotated[int, Field(ge=0)] = 0
    take: Annotated[int, Field(ge=0)] = 0
    order: Annotated[int, Field(ge=0)] = 0


class Job(Value):
    """What `jobs/<id>/job.json` holds: written once, before the ledger hears of the job.

    `created` is in seconds since the epoch; `body_sha256` tells a repeated submit from a
    different one under the same key.
    """

    contract: Contract = 1
    id: JobId
    owner: str
    brief: Brief
    settings: LoopSettings
    seed: Seed
    priority: Annotated[int, Field(ge=0, le=9)] = 6
    labels: Annotated[tuple[Label, ...], Field(max_length=MAX_LABELS)] = ()
    created: float
    body_sha256: str = ""
    batch: Annotated[Place | None, Field(exclude_if=lambda place: place is None)] = None


def batch_of(job: Job) -> str:
    """The id of the batch that it belongs to; "" for none."""
    return job.batch.batch if job.batch else ""


def job_id(owner: str, key: str) -> str:
    """The id of the job that `owner` submits under `key`: the same for a repeated submit, even after a wipe."""
    return str(uuid.uuid5(_NAMESPACE, f"{owner}\n{key}"))


def implied_seed(id: str) -> int:
    """The seed of a job that names none: 53 bits of its id, a number that JavaScript reads back unchanged."""
    return int.from_bytes(hashlib.blake2b(id.encode(), digest_size=8).digest()) >> 11


def size_of(settings: LoopSettings) -> str:
    """How much there is to draw: `<width>x<height>x<pictures>`, 0x0 for the sides that the model draws best."""
    return f"{settings.width or 0}x{settings.height or 0}x{settings.candidates}"
