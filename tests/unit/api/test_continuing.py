"""`continues`: a job that goes on from another one's picture."""

from typing import Any

import httpx
import pytest

from director.state import State
from director.types import Trajectory
from tests.support.api import BOB, House, browse
from tests.support.gallery import regatta


@pytest.fixture
def done(alice: httpx.Client, house: House) -> str:
    sent = {"brief": {"text": "A harbour", "title": "Harbour"}, "settings": {"width": 512, "height": 640, "rounds": 3}}
    id = alice.post("/v1/jobs", json=sent).json()["id"]
    house.commit(id, *regatta(house.images.put).events)
    return id


def change(client: httpx.Client, done: str, key: str = "k", **more: Any) -> httpx.Response:
    body = {"brief": "the fog goes", "continues": done, **more}
    return client.post("/v1/jobs", json=body, headers={"Idempotency-Key": key})


def test_it_starts_from_the_picture_and_knows_what_that_has(alice: httpx.Client, house: House, done: str) -> None:
    before = State.of(Trajectory.model_validate(alice.get(f"/v1/jobs/{done}/trajectory").json()))
    answer = change(alice, done, settings={"candidates": 2})
    made = answer.json()
    assert (answer.status_code, made["title"], made["brief"]["text"]) == (202, "Harbour, changed", "the fog goes")
    assert made["brief"]["source"] == before.best
    told = made["settings"]
    assert (told["width"], told["height"], told["rounds"], told["candidates"]) == (512, 640, 3, 2)
    job = house.archive.load_job(made["id"])
    assert job.contract == 4
    assert job.brief.continues
    assert len(job.brief.continues.goals) == before.counts.met
    assert change(alice, done, settings={"candidates": 2}).status_code == 200, "again it is the same job"


def test_it_starts_from_what_was_picked(alice: httpx.Client, done: str) -> None:
    picked = alice.put(f"/v1/jobs/{done}/pick", json={"round": 1, "candidate": 2}).json()["picked"]["image"]
    assert change(alice, done).json()["brief"]["source"] == picked


def test_a_repeat_needs_the_old_job_no_more(alice: httpx.Client, done: str) -> None:
    made = change(alice, done).json()["id"]
    assert alice.delete(f"/v1/jobs/{done}").status_code == 204
    again = change(alice, done)
    assert (again.status_code, again.json()["id"]) == (200, made)


def test_what_can_not_be_continued_is_refused_by_field(alice: httpx.Client, house: House, done: str) -> None:
    def refused(answer: httpx.Response) -> tuple[int, str, str]:
        return answer.status_code, answer.json()["errors"][0]["field"], answer.json()["errors"][0]["message"]

    fresh = alice.post("/v1/jobs", json={"brief": "A lamp"}).json()["id"]
    assert refused(change(alice, fresh)) == (422, "continues", "this job has not ended")
    assert refused(change(alice, "0" * 8 + done[8:])) == (422, "continues", "there is no such job of yours")
    assert refused(change(alice, "x"))[:2] == (422, "continues")
    sourced = alice.post("/v1/jobs", json={"brief": {"text": "x", "source": "a" * 64}, "continues": done})
    assert refused(sourced)[:2] == (422, "brief")
    alice.post(f"/v1/jobs/{fresh}/cancel")
    with browse(house.app(), **BOB) as bob:
        assert refused(change(bob, done)) == (422, "continues", "there is no such job of yours")
