"""A job as lines for a person: its events, what it does now, and how it ended."""

from pydantic import TypeAdapter, ValidationError

from api.client import Event, Job
from director import types
from director.story import Line, Narrator, count, plain

_EVENTS: TypeAdapter[types.Event] = TypeAdapter(types.Event)

NOBODY = "waiting: no worker"


def told(narrator: Narrator, event: Event) -> Line:
    """What to print for a durable event (not for `end`)."""
    try:
        read = _EVENTS.validate_python(event.data)
    except ValidationError:
        # A newer service may tell of more than this version knows.
        return Line(plain(event.kind, 11), "")
    return narrator.tell(read)


def progress(doing: str) -> Line:
    """What a quiet job does or waits for."""
    return Line("now", plain(doing), "yellow" if doing.startswith(NOBODY) else "dim")


def summary(job: Job) -> list[Line]:
    """A job in a few lines, for `show` and for the end of `watch`."""
    style = {"done": "bold green", "failed": "bold red", "cancelled": "bold yellow"}.get(job.status, "bold")
    state = job.status + (f", {job.stop}" if job.stop and job.stop != job.status else "")
    lines = [Line("job", f"{job.id}  {plain(job.title)}"), Line("status", plain(state), style)]
    if job.doing:
        lines.append(progress(job.doing))
    if job.goals.total:
        unsure = f", {job.goals.unsure} unsure" if job.goals.unsure else ""
        lines.append(Line("goals", f"{job.goals.met}/{job.goals.total} met{unsure}"))
    lines.append(Line("cost", f"{count(job.rounds, 'round')}, {count(job.renders, 'render')}"))
    if job.error:
        fix = f" ({job.error.fix})" if job.error.fix else ""
        lines.append(Line("error", plain(f"{job.error.boundary}: {job.error.message}{fix}", 400), "red"))
    return lines
