"""What is told to whom.

A *notice* is one transition of a batch or of a job. A *hook* is an address that an owner gave; a *delivery* is one
notice for one hook. A notice has the same id however often it is told, and whatever was lost in between.
"""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from director.types import Value

MAX_HOOKS = 20
"""Of one owner."""
SECRET_BYTES = 24
_NAMESPACE = uuid.UUID("6a3f3a2e-6a30-5d8e-9d3e-9c2f0c1b5a44")


class Event(StrEnum):
    STARTED = "batch.started"  # its first item is drawn
    HALF = "batch.half"  # half of its items have ended
    ENDED = "batch.ended"
    LATE = "batch.late"  # its deadline passed
    BUDGET = "batch.budget"  # 90 % of its budget are spent: nothing new starts
    HELD = "batch.held"  # its budget is spent: it is held
    JOB_ENDED = "job.ended"
    TEST = "hook.test"  # somebody tries the hook


BATCH_EVENTS = (Event.STARTED, Event.HALF, Event.ENDED, Event.LATE, Event.BUDGET, Event.HELD)
CHOICE = (*BATCH_EVENTS, Event.JOB_ENDED)
"""What a hook can ask for."""


class Secret(Value):
    """Signs until `until` (seconds since the epoch); None: for as long as the hook has it."""

    key: str  # whsec_ and base64
    until: float | None = None


class Hook(Value):
    """An address of an owner; `secrets` the newest first. `off` says why nothing is sent any more."""

    contract: Literal[1] = 1
    id: str
    owner: str
    url: Annotated[str, Field(max_length=1000)]  # https:, or mailto:
    events: tuple[Event, ...] = BATCH_EVENTS
    secrets: tuple[Secret, ...] = ()
    created: float
    off: str = ""

    def keys(self, now: float) -> list[str]:
        """Those that sign now."""
        return [secret.key for secret in self.secrets if secret.until is None or now < secret.until]


class Notice(Value):
    """`body` is what is sent, byte for byte, each time."""

    contract: Literal[1] = 1
    id: str
    owner: str
    type: Event
    body: str

    @property
    def told(self) -> dict[str, Any]:
        """The body's `data`."""
        return json.loads(self.body)["data"]

    @property
    def timestamp(self) -> str:
        """When it happened: ISO 8601, UTC."""
        return json.loads(self.body)["timestamp"]


class Delivered(Value):
    """How a delivery ended. `status` is the answer's, 0 for e-mail and for what had none."""

    notice: str
    subject: str = ""  # id of the batch or job; "" in records of older programs
    type: Event
    at: float
    tries: int
    status: int = 0
    error: str = ""  # "": it was delivered


class Untold(Value):
    """What a hook was not told. Times are in seconds since the epoch.

    `waiting` notices will be tried, the first at `next_try` (None: none is scheduled), and `dead` were given up.
    `error` is what went wrong at `failed`, the last time that one of them was tried ("", None: nothing that is known).
    """

    waiting: int
    dead: int
    next_try: float | None = None
    error: str = ""
    failed: float | None = None


def notice_id(subject: str, event: Event, mark: str) -> str:
    """The same for the same transition: `mark` tells it from others of its kind."""
    return f"msg_{uuid.uuid5(_NAMESPACE, f'{subject} {event} {mark}').hex}"


def notice_of(owner: str, subject: str, event: Event, mark: str, at: float, data: Mapping[str, Any]) -> Notice:
    """`subject` is the id of a batch, a job or a hook, `at` in seconds since the epoch."""
    timestamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = {"type": event.value, "timestamp": timestamp, "data": dict(data)}
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Notice(id=notice_id(subject, event, mark), owner=owner, type=event, body=text)
