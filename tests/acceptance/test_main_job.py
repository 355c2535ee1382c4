"""The main job through the real stack: a long brief in, a verified picture and its trajectory out."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from api.client import Client, Event, Job
from director.intake import loop_settings
from director.types import Brief, Trajectory
from infra.stack import Stack
from tasks.settings import Settings
from worker.local import direct_to

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

TEXT = (
    "A red cup stands in the middle. Set the text 'FIRST PRESS' at the top. Soft light comes from the left. "
    "Put a ginger cat at the lower left. Scatter three orange leaves at the bottom. A vignette darkens the edges."
)
SETTINGS = {"candidates": 2, "rounds": 3, "width": 256, "height": 256}


def finish(client: Client, settings: dict[str, object], seed: int = 5, text: str = TEXT) -> tuple[Job, list[Event]]:
    events: list[Event] = []
    job = client.submit({"text": text, "title": "café"}, settings, seed)
    return client.wait(job.id, timeout=120, on_event=events.append), events


def test_queue_and_direct_give_the_same_bytes_twice(client: Client, tmp_path: Path):
    first, second = finish(client, SETTINGS)[0], finish(client, SETTINGS)[0]
    brief = Brief(text=TEXT, title="café")
    for folder in (tmp_path / "a", tmp_path / "b"):
        direct_to(folder, brief, loop_settings(SETTINGS), 5, Settings())
        alone = Trajectory.model_validate_json((folder / "trajectory.json").read_bytes())
        picture = (folder / "final.png").read_bytes()
        for job in (first, second):
            queued = Trajectory.model_validate(client.trajectory(job.id))
            assert queued.model_dump_json() == alone.model_dump_json()
            assert client.image(job.id) == picture


def test_the_event_stream_is_the_trajectory(client: Client):
    job, events = finish(client, SETTINGS)
    assert [e.data for e in events[:-1]] == client.trajectory(job.id)["events"]
    assert len({e.id for e in events[:-1]}) == len(events) - 1
    again = list(client.events(job.id))
    assert [(e.id, e.data) for e in again[:-1]] == [(e.id, e.data) for e in events[:-1]]
    half = list(client.events(job.id, after=events[4].id))
    assert [e.id for e in half] == [e.id for e in again[5:]]


def test_an_image_to_image_job_starts_from_the_upload(client: Client, tmp_path: Path):
    done, _ = finish(client, SETTINGS)
    source = client.image(done.id)
    job = client.submit("Put a yellow star at the upper right.", SETTINGS, 1, source=source)
    assert client.wait(job.id, timeout=120).ended
    planned = [e for e in client.trajectory(job.id)["events"] if e["kind"] == "planned"]
    assert planned[0]["action"]["kind"] == "edit"
    assert planned[0]["base"] == client.trajectory(job.id)["brief"]["source"]


def until(client: Client, job: str, says: str) -> Job:
    end = time.monotonic() + 60
    while says not in (now := client.job(job)).doing:
        assert time.monotonic() < end, now
        time.sleep(0.05)
    return now


def test_a_job_that_nobody_can_render_says_so_and_can_be_cancelled(client: Client):
    job = client.submit(TEXT, {**SETTINGS, "editor": "dall-e"})
    assert until(client, job.id, "no worker serves editor.dall-e").status == "running"
    client.cancel(job.id)
    done = client.wait(job.id, timeout=60)
    assert (done.status, done.stop) == ("cancelled", "cancelled")


def test_cancel_reaches_a_step_at_work(client: Client, slow_worker: Path):
    job = client.submit("A red cup waits in the middle.", {**SETTINGS, "editor": "slow", "reprompt": False})
    until(client, job.id, "rendering")
    while client.job(job.id).doing != "rendering":  # no longer waiting for it
        time.sleep(0.05)
    began = time.monotonic()
    client.cancel(job.id)
    done = client.wait(job.id, timeout=60)
    print(f"cancelled after {time.monotonic() - began:.2f} s")
    assert done.status == "cancelled"


def test_a_hung_step_is_killed_and_tried_again(client: Client, slow_worker: Path):
    job = client.submit("A red cup hangs in the middle.", {**SETTINGS, "editor": "slow", "reprompt": False}, seed=1)
    done = client.wait(job.id, timeout=90)
    assert (slow_worker / "hung").exists()
    assert done.status == "done"


def test_a_seat_that_fails_three_times_makes_a_dead_letter_and_is_red(client: Client, stack: Stack, slow_worker: Path):
    job = client.submit("A red cup breaks in the middle.", {**SETTINGS, "editor": "slow", "reprompt": False})
    done = client.wait(job.id, timeout=90)
    assert (done.status, done.stop) == ("failed", "failed")
    assert done.error and done.error.boundary == "editor"
    assert "broke on purpose" in done.error.message
    assert done.error.actor == "seat"
    tasks = flower_tasks(stack, job.id, lambda tasks: [task["state"] for task in tasks].count("FAILURE") >= 3)
    failed = [task for task in tasks if task["state"] == "FAILURE"]
    assert [task["name"] for task in failed] == ["director.render"] * 3
    assert all(task["exception"].startswith("EditorError[seat](") for task in failed)


def flower_tasks(stack: Stack, job: str, enough: Callable[[list[dict[str, str]]], bool]) -> list[dict[str, str]]:
    """The tasks of a job, once Flower knows enough of them: it hears of their end behind the job's client."""
    state, mine, end = stack.state, list[dict[str, str]](), time.monotonic() + 60
    login = (state.flower_user, state.flower_password)
    with httpx.Client(base_url=state.flower_url, auth=login, trust_env=False, timeout=60) as flower:
        while not enough(mine) and time.monotonic() < end:
            time.sleep(0.1)
            tasks = flower.get("/api/tasks", params={"limit": 1000}).json()
            mine = [task for task in tasks.values() if job in (task["args"] or "")]
    return mine


def test_flower_tells_the_story(client: Client, stack: Stack):
    job, _ = finish(client, SETTINGS)
    assert httpx.get(f"{stack.state.flower_url}/api/tasks", trust_env=False).status_code == 401
    mine = flower_tasks(stack, job.id, lambda tasks: [task["state"] for task in tasks].count("SUCCESS") >= job.step)
    assert {task["name"] for task in mine} >= {f"director.{kind}" for kind in ("extract", "plan", "render", "verify")}
    assert all("café" in task["args"] for task in mine)
    assert "FIRST PRESS" not in json.dumps(mine)
    assert {task["state"] for task in mine} == {"SUCCESS"}
