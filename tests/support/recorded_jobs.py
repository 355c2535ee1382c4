"""Jobs whose steps are written by hand: what a test of storage or of the reconciler starts from."""

import hashlib

from director.types import Action, ActionKind, Brief, LoopSettings, Planned, Stopped, StopReason, Trajectory
from tasks.jobs import Job, job_id
from tasks.store import Archive
from tests.support.ledgers import PLAN


def job(key: str = "a", created: float = 1_000.5) -> Job:
    brief = Brief(text=f"a red square, {key}")
    return Job(id=job_id("alice", key), owner="alice", brief=brief, settings=LoopSettings(), seed=7, created=created)


def nonce(n: int, attempt: str = "") -> str:
    """A nonce that sorts by `attempt` first."""
    return attempt + hashlib.sha256(f"{n}".encode()).hexdigest()[: 32 - len(attempt)]


def trajectory(job: Job, steps: int, stop: StopReason | None = None) -> Trajectory:
    """As after `steps` steps, the last of which stopped it if a reason is given."""
    actions = [Action(kind=ActionKind.GENERATE, instruction=f"step {n}", targets=()) for n in range(steps - bool(stop))]
    events = [Planned(action=action, by="test") for action in actions]
    end = [Stopped(reason=stop, why="because")] if stop else []
    return Trajectory(brief=job.brief, settings=job.settings, seed=job.seed).with_events(*events, *end)


def save_step(
    archive: Archive, job: Job, n: int, previous: str = "", attempt: str = "", stop: StopReason | None = None
) -> str:
    """The snapshot after step n; gives its key."""
    following = None if stop else PLAN
    return archive.save_snapshot(job.id, n, nonce(n, attempt), previous, following, trajectory(job, n + 1, stop))


def submitted(archive: Archive, job: Job) -> Job:
    """What a submit leaves in storage."""
    archive.save_job(job)
    archive.mark_live(job.id)
    return job


def run(archive: Archive, job: Job, steps: int, stop: StopReason | None = None) -> str:
    """A submitted job after so many steps; gives the key of the last snapshot."""
    submitted(archive, job)
    key = ""
    for n in range(steps):
        key = save_step(archive, job, n, key, stop=stop if n == steps - 1 else None)
    return key
