"""Jobs that ended and have left the ledger: every route answers from storage, as it did before."""

import json
import re
from html import unescape
from typing import Any

import httpx
import pytest

from director.errors import Actor
from director.types import Outcome
from tasks.jobs import JobStatus
from tasks.ledger.types import Claim
from tests.support.api import BOB, House, browse, decided, opening, planned, png, rendered, sse, stopped, verified

ERROR = {"boundary": "editor", "message": "the card is full", "fix": "", "actor": "seat"}


def submit(client: httpx.Client, text: str = "A lamp and a chair") -> str:
    return client.post("/v1/jobs", json={"brief": {"text": text, "title": "Room"}}).json()["id"]


def ended(house: House, client: httpx.Client) -> str:
    id, picture = submit(client), house.images.put(png())
    house.commit(id, *opening())
    house.commit(id, planned(), rendered(picture), verified(picture, Outcome.MET, Outcome.MISSED), decided(picture))
    house.commit(id, stopped())
    house.archive.unmark_live(id)
    return id


def dead(house: House, client: httpx.Client, steps: int = 1) -> str:
    """A dead letter, filed."""
    id = submit(client)
    for _ in range(steps):
        house.commit(id, *opening())
    for _ in range(3):
        claim = house.ledger.claim(id, steps, "w1")
        assert isinstance(claim, Claim)
        house.ledger.fail(id, steps, claim.nonce, json.dumps(ERROR), Actor.SEAT, "w1")
    file(house, id)
    return id


def file(house: House, id: str) -> None:
    """What the reconciler does with a dead letter."""
    (record,) = house.ledger.dead_letters()
    about = {"n": record.step, "error": record.error, "at": record.ended_ms / 1000}
    house.archive.save_control(id, "dead", record.dead_letter, about)
    house.ledger.file_dead_letter(id, record.dead_letter)


def forget(house: House, id: str) -> None:
    house.archive.unmark_live(id)
    assert house.ledger.drop(id)
    assert house.ledger.get(id) is None


def leave(house: House, *ids: str) -> None:
    """What the reconciler does with jobs that ended long ago: storage lists them, and the ledger forgets them."""
    records = [record for record in house.ledger.unlisted() if record.job in ids]
    house.archive.ended.add(records)
    house.ledger.listed(list(ids))
    for id in ids:
        house.archive.unmark_live(id)
    house.ledger.forget(older_than_ms=-60_000, limit=len(ids))  # those that ended first
    assert not any(house.ledger.get(id) for id in ids)


def listed(client: httpx.Client, limit: int = 50, **params: Any) -> list[str]:
    found: list[str] = []
    params["limit"] = limit
    while True:
        page = client.get("/v1/jobs", params=params).json()
        assert len(page["jobs"]) <= limit
        found += [job["id"] for job in page["jobs"]]
        if page["next"] is None:
            return found
        params["cursor"] = page["next"]


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_lists_go_on_in_storage(house: House, alice: httpx.Client, limit: int) -> None:
    ids = [ended(house, alice) for _ in range(5)]
    active = submit(alice)
    before = {job["id"]: job for job in alice.get("/v1/jobs").json()["jobs"]}
    leave(house, *ids[:3])
    assert listed(alice, limit) == [active, *reversed(ids)]
    assert listed(alice, limit, status="done") == [*reversed(ids)]
    assert listed(alice, limit, status=["queued", "running"]) == [active]
    assert listed(alice, limit, label="none") == []
    with browse(house.app(), **BOB) as bob:
        assert listed(bob, limit) == []
    first = alice.get("/v1/jobs").json()
    page = [*first["jobs"], *alice.get("/v1/jobs", params={"cursor": first["next"]}).json()["jobs"]]
    assert [job == before[job["id"]] for job in page] == [True] * 6
    shown = alice.get("/jobs?status=done").text
    (older,) = re.findall(r'href="(/jobs[^"]*cursor=ended-[^"]*)"', shown)
    assert (shown.count("<img"), alice.get(unescape(older)).text.count("<img")) == (2, 3)


def test_what_was_deleted_is_listed_no_more(house: House, alice: httpx.Client) -> None:
    ids = [ended(house, alice) for _ in range(3)]
    leave(house, *ids)
    assert alice.delete(f"/v1/jobs/{ids[1]}").status_code == 204
    assert listed(alice) == [ids[2], ids[0]]


def test_a_job_in_both_lists_comes_once(house: House, alice: httpx.Client) -> None:
    id = ended(house, alice)
    house.archive.ended.add(house.ledger.unlisted())
    assert listed(alice) == [id]


def test_while_storage_is_away_the_ledger_still_lists(house: House, alice: httpx.Client) -> None:
    ids = [ended(house, alice) for _ in range(2)]
    leave(house, ids[0])
    hidden = house.folder.with_name("away")
    house.folder.rename(hidden)
    house.folder.write_text("no folder")
    page = alice.get("/v1/jobs").json()
    assert [job["id"] for job in page["jobs"]] == [ids[1]]
    assert alice.get("/v1/jobs", params={"cursor": page["next"]}).status_code == 503
    house.folder.unlink()
    hidden.rename(house.folder)
    assert [job["id"] for job in alice.get("/v1/jobs", params={"cursor": page["next"]}).json()["jobs"]] == [ids[0]]


def test_every_route_answers_as_before(house: House, alice: httpx.Client) -> None:
    id = ended(house, alice)
    paths = ["", "/attempts", "/trajectory", "/image", "/report", "/images/best", "/events"]
    before = {path: alice.get(f"/v1/jobs/{id}{path}") for path in paths}
    forget(house, id)
    for path in paths:
        after = alice.get(f"/v1/jobs/{id}{path}")
        assert (path, after.status_code) == (path, 200)
        if path not in {"", "/events", "/report"}:
            assert after.content == before[path].content, path
    shown = alice.get(f"/v1/jobs/{id}").json()
    assert {**shown, "ended": 0} == {**before[""].json(), "ended": 0}
    events = sse(alice.get(f"/v1/jobs/{id}/events").text)
    told = sse(before["/events"].text)
    assert [event.get("id") for event in events] == [event.get("id") for event in told]
    assert events[-1]["event"] == "end"
    last = {"Last-Event-ID": events[-1]["id"]}
    assert alice.get(f"/v1/jobs/{id}/events", headers=last).status_code == 204
    with browse(house.app(), **BOB) as bob:
        assert {bob.get(f"/v1/jobs/{id}{path}").status_code for path in paths} == {404}


def test_orders_about_it_are_answered(house: House, alice: httpx.Client) -> None:
    id = ended(house, alice)
    forget(house, id)
    assert alice.post(f"/v1/jobs/{id}/cancel").status_code == 200
    assert alice.post(f"/v1/jobs/{id}/requeue").status_code == 409
    assert alice.delete(f"/v1/jobs/{id}").status_code == 204
    assert alice.get(f"/v1/jobs/{id}").status_code == 404


@pytest.mark.parametrize("steps", [0, 1])
def test_a_dead_letter_is_shown_and_comes_back(house: House, alice: httpx.Client, steps: int) -> None:
    id = dead(house, alice, steps)
    before = alice.get(f"/v1/jobs/{id}").json()
    forget(house, id)
    shown = alice.get(f"/v1/jobs/{id}").json()
    assert (shown["status"], shown["error"]) == ("failed", before["error"])
    assert {**shown, "step": 0} == {**before, "step": 0}
    assert alice.get(f"/v1/jobs/{id}/report").status_code == 200
    house.sent.clear()
    again = alice.post(f"/v1/jobs/{id}/requeue")
    assert (again.status_code, again.json()["status"]) == (202, "running" if steps else "queued")
    assert [(hint.job, hint.n) for hint in house.sent] == [(id, steps)]
    assert house.archive.live() == [id]
    assert alice.post(f"/v1/jobs/{id}/requeue").status_code == 409


def test_a_dead_letter_that_died_again_shows_its_last_error(house: House, alice: httpx.Client) -> None:
    id = dead(house, alice)
    forget(house, id)
    assert alice.get(f"/v1/jobs/{id}").json()["error"]["message"] == "the card is full"
    assert alice.post(f"/v1/jobs/{id}/requeue").status_code == 202
    for _ in range(3):
        claim = house.ledger.claim(id, 1, "w1")
        assert isinstance(claim, Claim)
        house.ledger.fail(id, 1, claim.nonce, json.dumps({**ERROR, "message": "again"}), Actor.SEAT, "w1")
    file(house, id)
    forget(house, id)
    shown = alice.get(f"/v1/jobs/{id}").json()
    assert (shown["status"], shown["error"]["message"]) == (JobStatus.FAILED, "again")


def test_a_repeated_submit_does_not_start_it_again(house: House, alice: httpx.Client) -> None:
    body, key = {"brief": {"text": "A lamp"}}, {"Idempotency-Key": "k"}
    id = alice.post("/v1/jobs", json=body, headers=key).json()["id"]
    for _ in range(3):
        claim = house.ledger.claim(id, 0, "w1")
        assert isinstance(claim, Claim)
        house.ledger.fail(id, 0, claim.nonce, json.dumps(ERROR), Actor.SEAT, "w1")
    file(house, id)
    forget(house, id)
    again = alice.post("/v1/jobs", json=body, headers=key)
    assert (again.status_code, again.json()["status"]) == (200, "failed")
    assert house.ledger.get(id) is None
