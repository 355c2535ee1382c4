"""A client for VisionDirector's HTTP API. It needs httpx and pydantic, and nothing else of the project.

with Client("http://127.0.0.1:8100") as director:
    job = director.submit("A lighthouse at dusk; the sign says HARBOUR")
    done = director.wait(job.id)
    picture = director.image(job.id)
    goals = director.goals(job.id)
"""

from .batch_models import (
    Batch,
    BatchItem,
    BatchResult,
    BatchWarning,
    CardsChance,
    Drawing,
    ItemCounts,
    Me,
    OwnerBudget,
    Plan,
)
from .client import Client
from .errors import ApiError, BadRequest, Conflict, FieldError, NotFound, TooMany, Unauthorized, Unavailable
from .hooks import Hook, HookTest
from .models import (
    Attempt,
    Attempts,
    BriefSent,
    Cost,
    Eta,
    Event,
    Goal,
    GoalCount,
    HeldQueue,
    Job,
    JobError,
    Machines,
    SickWorker,
    Unread,
    Uploaded,
    Warned,
)

__all__ = [
    "ApiError",
    "Attempt",
    "Attempts",
    "BadRequest",
    "Batch",
    "BatchItem",
    "BatchResult",
    "BatchWarning",
    "BriefSent",
    "CardsChance",
    "Client",
    "Conflict",
    "Cost",
    "Drawing",
    "Eta",
    "Event",
    "FieldError",
    "Goal",
    "GoalCount",
    "HeldQueue",
    "Hook",
    "HookTest",
    "ItemCounts",
    "Job",
    "JobError",
    "Machines",
    "Me",
    "NotFound",
    "OwnerBudget",
    "Plan",
    "SickWorker",
    "TooMany",
    "Unauthorized",
    "Unavailable",
    "Unread",
    "Uploaded",
    "Warned",
]
