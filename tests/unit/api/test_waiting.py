"""`Prefer: wait=N`: answers come when the job has ended, and no sooner than asked."""

import threading

import httpx
import pytest

from api.waiting import preferred_wait
from tests.support.api import BOB, House, opening, stopped

LONG = {"Prefer": "wait=60"}


def test_a_wait_ends_with_the_job(house: House, alice: httpx.Client) -> None:
    id = alice.post("/v1/jobs", json={"brief": "A lamp"}).json()["id"]
    answers: list[httpx.Response] = []
    ready = threading.Semaphore(0)

    def ask() -> None:
        ready.release()
        answers.append(alice.get(f"/v1/jobs/{id}", headers=LONG))

    waiting = [threading.Thread(target=ask) for _ in range(3)]
    for thread in waiting:
        thread.start()
    for _ in waiting:
        assert ready.acquire(timeout=30)
    house.commit(id, *opening())
    # While this one waits its second, the others have long begun to.
    assert alice.get(f"/v1/jobs/{id}", headers={"Prefer": "wait=1"}).json()["status"] == "running"
    assert [answer.text for answer in answers] == []
    house.commit(id, stopped())
    for thread in waiting:
        thread.join(30)
    assert [(answer.json()["status"], answer.headers["Preference-Applied"]) for answer in answers] == [
        ("done", "wait=60")
    ] * 3


def test_when_the_time_is_over_it_tells_how_the_job_stands(alice: httpx.Client) -> None:
    response = alice.post("/v1/jobs", json={"brief": "A lamp"}, headers={"Prefer": "wait=1"})
    assert (response.status_code, response.json()["status"]) == (202, "queued")
    assert response.headers["Preference-Applied"] == "wait=1"
    assert response.headers["Location"] == response.json()["links"]["self"]


def test_a_job_that_has_ended_is_not_waited_for(house: House, alice: httpx.Client) -> None:
    first = alice.post("/v1/jobs", json={"brief": "A lamp"}, headers={"Idempotency-Key": "k"})
    house.commit(first.json()["id"], *opening(), stopped())
    again = alice.post("/v1/jobs", json={"brief": "A lamp"}, headers={"Idempotency-Key": "k", **LONG})
    assert (again.status_code, again.json()["status"]) == (200, "done")


def test_nobody_waits_for_another_owners_job(alice: httpx.Client) -> None:
    id = alice.post("/v1/jobs", json={"brief": "A lamp"}).json()["id"]
    assert alice.get(f"/v1/jobs/{id}", headers={**BOB, **LONG}).status_code == 404


def test_an_outage_is_waited_through(house: House, alice: httpx.Client) -> None:
    id = alice.post("/v1/jobs", json={"brief": "A lamp"}).json()["id"]
    house.wipe()
    response = alice.get(f"/v1/jobs/{id}", headers={"Prefer": "wait=1"})
    assert response.status_code == 503


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (None, 0), (["wait=5"], 5), (["respond-async, WAIT = 7"], 7), (["wait=0"], 0), (["wait=9999"], 60),
        (['wait="3"; x=y'], 3), (["wait=-1"], 0), (["wait=soon"], 0), (["return=minimal", "wait=2"], 2), ([""], 0),
    ],
)  # fmt: skip
def test_what_a_preference_says(given: list[str] | None, seconds: int) -> None:
    assert preferred_wait(given) == seconds
