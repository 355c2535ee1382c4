"""Where a job stands, from its trajectory: what the ledger is told of it."""

from collections.abc import Iterable

from director.loop import begin, next_step
from director.seats import RenderRequest, Request, Seat
from director.types import Stopped, StopReason, Trajectory
from tasks.jobs import Job, JobStatus, size_of
from tasks.ledger.types import CONTROL, Entry, Next, Record
from tasks.summary import GoalSummary

EDITOR = "editor."
"""Before a model's name: the name of its queue."""
_ORDER = (CONTROL, Seat.VERIFIER.value, Seat.JUDGE.value, Seat.PLANNER.value)


def queue_of(request: Request) -> str:
    """The queue on which a request is served: its seat's, and for the editor its model's."""
    return f"{EDITOR}{request.model}" if isinstance(request, RenderRequest) else request.seat.value


def serving_order(queues: Iterable[str]) -> list[str]:
    """The order in which a worker takes from several queues: what is nearest to its end goes first, editors last.

    Ending a cancelled job takes no time. The lists of the users' priorities outrank this order (`PRIORITIES`).
    """
    return sorted(queues, key=lambda queue: _ORDER.index(queue) if queue in _ORDER else len(_ORDER))


def next_of(trajectory: Trajectory) -> Next | None:
    """Where a trajectory's next step runs; None when it has stopped."""
    request = next_step(trajectory)
    return Next(queue=queue_of(request), kind=request.kind) if request else None


def first_step(job: Job) -> Next:
    """Where a job's step 0 runs."""
    found = next_of(begin(job.brief, job.settings, job.seed))
    return found or Next(queue=Seat.PLANNER.value, kind="extract")


def new_entry(job: Job) -> Entry:
    """What the ledger is told of a job that has not run yet."""
    return _entry(job, begin(job.brief, job.settings, job.seed), first_step(job))


def entry_after(job: Job, key: str, n: int, trajectory: Trajectory, following: Next | None) -> Entry:
    """What the ledger is told of a job after its step n, whose snapshot has this key."""
    stop = trajectory.stop
    ended = {"status": status_of(stop), "stop": stop.reason.value if stop else ""}
    entry = _entry(job, trajectory, following)
    return entry.model_copy(update={"step": n + 1, "snapshot": key, **ended})


def _entry(job: Job, trajectory: Trajectory, following: Next | None) -> Entry:
    return Entry(
        job=job.id,
        owner=job.owner,
        title=job.brief.name,
        created_ms=int(job.created * 1000),
        priority=job.priority,
        labels=job.labels,
        summary=GoalSummary.of(trajectory),
        next=following,
        model=job.settings.editor,
        size=size_of(job.settings),
        place=job.batch,
    )


def ended_record(entry: Entry) -> Record:
    """The ledger's record of a job that has ended, as it would be if the ledger had not forgotten it."""
    told = {name: value for name, value in dict(entry).items() if name in Record.model_fields}
    if place := entry.place:
        told |= {"batch": place.batch, "item": place.index, "take": place.take, "generation": place.generation}
        told |= {"custom_id": place.custom_id}
    return Record(**told, queue="", kind="", seat_failures=0, lease_deaths=0, not_before_ms=0, hinted_ms=0, holder="")


def status_of(stop: Stopped | None) -> JobStatus:
    """The status of a job whose trajectory ended so (None: it goes on)."""
    if stop is None:
        return JobStatus.QUEUED
    special = {StopReason.CANCELLED: JobStatus.CANCELLED, StopReason.FAILED: JobStatus.FAILED}
    return special.get(stop.reason, JobStatus.DONE)
