"""The way back when an object that a step needs is lost: to the step that makes it again.

A snapshot is made by the step before the one that needs it, a drawn picture by its render step. What the user
sent (job.json, an upload) nothing makes again.
"""

from dataclasses import dataclass, field

from director.types import Rendered, Trajectory
from tasks.jobs import Job
from tasks.store import Archive, Corrupt, Snapshot

BRING_BACK = "bring this object back and requeue the job, or delete the job"


@dataclass(frozen=True)
class WayBack:
    """Go on at step `to` behind `snapshot` ("" before step 0); `void` are the snapshots that count no more."""

    to: int
    snapshot: str
    trajectory: Trajectory | None  # None: as before step 0
    void: list[str] = field(default_factory=list[str])


def check_belongs(job: Job, key: str, snapshot: Snapshot) -> None:
    """Raises Corrupt when the snapshot is of another job."""
    if not belongs(job, snapshot):
        raise Corrupt(f"{key} is of another brief than job {job.id}", key=key)


def belongs(job: Job, snapshot: Snapshot) -> bool:
    trajectory = snapshot.trajectory
    return (trajectory.brief, trajectory.settings, trajectory.seed) == (job.brief, job.settings, job.seed)


def way_back(archive: Archive, job: Job, n: int, trajectory: Trajectory | None, lost: str) -> WayBack | None:
    """The way for a step n that can't read the object `lost`; None: nothing makes that object again.

    `trajectory` is None when `lost` is the snapshot that step n goes on from.
    """
    if trajectory is not None and not _drew(trajectory, lost):
        return None

    def fits(found: Snapshot) -> bool:
        if not belongs(job, found):
            return False
        events = found.trajectory.events
        before = trajectory is None or trajectory.events[: len(events)] == events
        return before and not _drew(found.trajectory, lost)

    key = archive.latest(job.id, below=n, fits=fits, lost=lost)
    snapshot = archive.load_snapshot(key) if key else None
    to = snapshot.n + 1 if snapshot else 0
    void = archive.snapshots_from(job.id, to)
    if trajectory is None and lost not in void:
        void.append(lost)  # it may come back
    return WayBack(to, key or "", snapshot.trajectory if snapshot else None, void)


def _drew(trajectory: Trajectory, key: str) -> bool:
    """True when this object is a picture that was rendered for the trajectory."""
    drawn = (event for event in trajectory.events if isinstance(event, Rendered))
    return any(key == f"images/{candidate.image}.png" for event in drawn for candidate in event.candidates)
