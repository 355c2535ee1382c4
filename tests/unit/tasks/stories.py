"""Jobs whose steps are written by hand: what a test of storage or of the reconciler starts from."""

import hashlib

from director.types import Action, ActionKind, Brief, LoopSettings, Planned, Stopped, StopReason, Trajectory
from tasks.jobs import Job, job_id
from tasks.ledger.types import Next
from tasks.store import Archive

PLAN = Next(queue="planner", kind="plan")


def job(key: str = "a", created: float = 1_000.5) -> Job:
    brief = Brief(text=f"a red square, {key}")
    return Job(id=job_id("alice", key), owner="alice", brief=brief, settings=LoopSettings(), seed=7, created=created)


def nonce(n: int, attempt: str = "") -> str:
    """A nonce that sorts by `attempt` first."""
    return attempt + hashlib.sha256(f"{n}".encode()).hexdigest()[: 32 - len(attempt)]


def trajectory(story: Job, steps: int, stop: StopReason | None = None) -> Trajectory:
    """As after `steps` steps, the last of which stopped it if a reason is given."""
    actions = [Action(kind=ActionKind.GENERATE, instruction=f"step {n}", targets=()) for n in range(steps - bool(stop))]
    events = [Planned(action=action, by="test") for action in actions]
    end = [Stopped(reason=stop, why="because")] if stop else []
    return Trajectory(brief=story.brief, settings=story.settings, seed=story.seed).with_events(*events, *end)


def save_step(
    archive: Archive, story: Job, n: int, previous: str = "", attempt: str = "", stop: StopReason | None = None
) -> str:
    """The snapshot after step n; gives its key."""
    following = None if stop else PLAN
    return archive.save_snapshot(story.id, n, nonce(n, attempt), previous, following, trajectory(story, n + 1, stop))


def submitted(archive: Archive, story: Job) -> Job:
    """What a submit leaves in storage."""
    archive.save_job(story)
    archive.mark_live(story.id)
    return story


def run(archive: Archive, story: Job, steps: int, stop: StopReason | None = None) -> str:
    """A submitted job after so many steps; gives the key of the last snapshot."""
    submitted(archive, story)
    key = ""
    for n in range(steps):
        key = save_step(archive, story, n, key, stop=stop if n == steps - 1 else None)
    return key
