"""A client for VisionDirector's HTTP API. It needs httpx and pydantic, and nothing else of the project.

with Client("http://127.0.0.1:8100") as director:
    job = director.submit("A lighthouse at dusk; the sign says HARBOUR")
    done = director.wait(job.id)
    picture = director.image(job.id)
"""

from .client import Client
from .errors import (
    ApiError,
    BadRequest,
    Conflict,
    FieldError,
    NotFound,
    Unauthorized,
    Unavailable,
)
from .models import Event, GoalCount, Job, JobError, Uploaded

__all__ = [
    "ApiError",
    "BadRequest",
    "Client",
    "Conflict",
    "Event",
    "FieldError",
    "GoalCount",
    "Job",
    "JobError",
    "NotFound",
    "Unauthorized",
    "Unavailable",
    "Uploaded",
]
