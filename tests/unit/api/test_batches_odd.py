"""Orders, names and moments that nobody is meant to send, and that somebody will."""

import json
from typing import Any

import httpx
import pytest

from director.errors import Actor
from director.types import Outcome
from tasks.ledger.types import Claim
from tests.support.api import BOB, House, browse
from tests.unit.api.test_batches import admit, briefs, end, errors, lines, made

LONG = "n" * 128


@pytest.mark.parametrize("order", ["cancel", "retry"])
def test_an_empty_list_of_items_is_not_all_of_them(alice: httpx.Client, order: str) -> None:
    id = made(alice, *briefs("x", "y"))["id"]
    [error] = errors(alice.post(f"/v1/batches/{id}/{order}", json={"items": []}))
    assert (error["field"], error["message"]) == ("items", "must not be empty")
    assert alice.get(f"/v1/batches/{id}").json()["counts"]["waiting"] == 2


def test_the_longest_name_with_a_matrix_can_be_named(house: House, alice: httpx.Client) -> None:
    id = made(alice, {"batch": {"matrix": {"seed": [1, 2]}}}, *briefs(LONG))["id"]
    assert alice.post(f"/v1/batches/{id}/cancel", json={"items": [f"{LONG}@seed=1"]}).status_code == 200
    admit(house)
    shown = alice.get(f"/v1/batches/{id}/items").json()["items"]
    assert {item["custom_id"]: item["status"] for item in shown} == {
        f"{LONG}@seed=1": "cancelled", f"{LONG}@seed=2": "running",
    }  # fmt: skip


ODD = ["/etc/passwd", "../../x", "..", "...", " ", "a\u2028b", "\u0085", "a@b", "%2e%2e%2f", "\U0001f600" * 128]


def test_odd_names_are_names_and_no_more(alice: httpx.Client) -> None:
    id = made(alice, *({"custom_id": odd, "brief": "A lamp and a chair"} for odd in ODD))["id"]
    assert alice.post(f"/v1/batches/{id}/cancel", json={"items": ODD[:4]}).json()["counts"]["cancelled"] == 4
    alice.post(f"/v1/batches/{id}/cancel", json={"items": ODD})
    assert [line["custom_id"] for line in lines(alice.get(f"/v1/batches/{id}/results"))] == ODD


def test_a_name_that_is_no_text_is_refused(alice: httpx.Client) -> None:
    for n, odd in enumerate(("\ud800", 5, True, ["a"], {}, "", "\n", "x" * 129)):
        data = json.dumps({"custom_id": odd, "brief": "A lamp"}).encode()
        response = alice.post("/v1/batches", content=data, headers={"Idempotency-Key": f"k{n}"})
        assert (errors(response)[0]["line"], response.json()["type"]) == (1, "urn:visiondirector:problem:manifest")


def test_the_wrong_item_is_named_by_its_place_in_the_list(alice: httpx.Client) -> None:
    id = made(alice, *briefs("x", "y"))["id"]
    [error] = errors(alice.post(f"/v1/batches/{id}/cancel", json={"items": ["x", "x", "nobody", "y"]}))
    assert error["field"] == "items.2"
    assert alice.get(f"/v1/batches/{id}").json()["counts"]["waiting"] == 2


def test_many_thousand_items_are_cancelled_by_name(alice: httpx.Client) -> None:
    """More than one shard of names holds, and more than a body of another route may have."""
    names = [f"{n:0100d}" for n in range(12_000)]
    id = made(alice, *({"custom_id": name, "brief": "A lamp"} for name in names))["id"]
    named = [*reversed(names[1:])]
    assert len(json.dumps(named)) > 1_000_000
    counts = alice.post(f"/v1/batches/{id}/cancel", json={"items": named}).json()["counts"]
    assert (counts["cancelled"], counts["waiting"]) == (11_999, 1)


def test_orders_that_come_too_late_change_nothing(house: House, alice: httpx.Client) -> None:
    id = made(alice, *briefs("x", "y"))["id"]
    for job in admit(house, 2):
        end(house, job, Outcome.MET, Outcome.MISSED)
    _settle(house)
    for order in ("pause", "resume", "pause"):
        assert alice.post(f"/v1/batches/{id}/{order}").json()["status"] == "ended"
    unchanged = alice.post(f"/v1/batches/{id}/retry", json={"what": ["failed", "cancelled"]}).json()
    assert unchanged["counts"]["unmet"] == 2


def test_nothing_is_taken_up_again_that_still_runs(house: House, alice: httpx.Client) -> None:
    id = made(alice, *briefs("x", "y"))["id"]
    admit(house, 1)
    again = alice.post(f"/v1/batches/{id}/retry", json={"what": ["failed", "unmet", "cancelled"]}).json()
    assert again["counts"]["running"] == 2
    assert {item["take"] for item in alice.get(f"/v1/batches/{id}/items").json()["items"]} == {0}


def test_cancelling_twice_is_cancelling_once(house: House, alice: httpx.Client) -> None:
    id = made(alice, *briefs("x", "y", "z"))["id"]
    first = alice.post(f"/v1/batches/{id}/cancel").json()
    second = alice.post(f"/v1/batches/{id}/cancel").json()
    assert first["counts"] == second["counts"]
    _settle(house)
    names = [line["custom_id"] for line in lines(alice.get(f"/v1/batches/{id}/results"))]
    assert sorted(names) == ["x", "y", "z"]


@pytest.mark.parametrize("path", ["", "/items", "/results"])
def test_another_owner_learns_nothing(house: House, alice: httpx.Client, path: str) -> None:
    id = made(alice, *briefs("secret"))["id"]
    with browse(house.app(), **BOB) as bob:
        there, nowhere = bob.get(f"/v1/batches/{id}{path}"), bob.get(f"/v1/batches/{id[:-4]}0000{path}")
        assert there.status_code == nowhere.status_code == 404
        assert there.text.replace(id, "") == nowhere.text.replace(f"{id[:-4]}0000", "")
        for order in ("pause", "resume", "cancel", "retry"):
            assert bob.post(f"/v1/batches/{id}/{order}", json={"items": ["secret"]}).status_code in (404, 422)
        assert bob.post(f"/v1/batches/{id}/cancel", json={"items": ["secret"]}).status_code == 404
        assert bob.patch(f"/v1/batches/{id}", json={"title": "mine"}).status_code == 404
        assert bob.get("/v1/batches/uploads/night").status_code == 404
        assert bob.get("/v1/batches").json()["batches"] == []
        assert bob.get("/v1/jobs", params={"batch": id}).status_code == 404


def test_a_child_whose_result_is_not_stored_is_not_deleted(house: House, alice: httpx.Client) -> None:
    id = made(alice, *briefs("x"))["id"]
    [job] = admit(house)
    assert "Cancel it first" in alice.delete(f"/v1/jobs/{job}").json()["detail"]
    end(house, job, Outcome.MET, Outcome.MET)
    refused = alice.delete(f"/v1/jobs/{job}")
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        "Its result is being stored: delete it in a moment.",
    )
    _settle(house)
    assert alice.delete(f"/v1/jobs/{job}").status_code == 204
    assert alice.get(f"/v1/jobs/{job}").status_code == 404
    assert [line["status"] for line in lines(alice.get(f"/v1/batches/{id}/results"))] == ["done"]
    assert alice.get(f"/v1/batches/{id}/items").json()["items"][0]["job"] == job


def test_an_item_whose_job_was_deleted_is_drawn_anew(house: House, alice: httpx.Client) -> None:
    id = made(alice, *briefs("x"))["id"]
    [job] = admit(house)
    end(house, job, Outcome.MET, Outcome.MISSED)
    _settle(house)
    assert alice.delete(f"/v1/jobs/{job}").status_code == 204
    alice.post(f"/v1/batches/{id}/retry", json={"what": ["unmet"], "rounds": 2})
    [again] = admit(house)
    end(house, again, Outcome.MET, Outcome.MET)
    _settle(house)
    results: list[Any] = lines(alice.get(f"/v1/batches/{id}/results"))
    assert [(line["take"], line["status"], line["job"]) for line in results] == [(1, "done", again)]


def test_every_route_of_a_child_answers_when_it_has_left_the_ledger(house: House, alice: httpx.Client) -> None:
    made(alice, *briefs("x"))
    [job] = admit(house)
    end(house, job, Outcome.MET, Outcome.MET)
    before = {path: alice.get(f"/v1/jobs/{job}{path}").status_code for path in _PATHS}
    _settle(house)
    assert house.ledger.get(job) is None
    assert {path: alice.get(f"/v1/jobs/{job}{path}").status_code for path in _PATHS} == before
    assert set(before.values()) == {200}
    assert alice.get(f"/v1/jobs/{job}").json()["batch"]["custom_id"] == "x"
    assert alice.post(f"/v1/jobs/{job}/requeue").status_code == 409


def test_a_dead_child_comes_back_by_itself_until_its_result_is_stored(house: House, alice: httpx.Client) -> None:
    id = made(alice, *briefs("x"))["id"]
    [job] = admit(house)
    _die(house, job)
    assert alice.post(f"/v1/jobs/{job}/requeue").status_code == 202
    assert alice.get(f"/v1/batches/{id}").json()["counts"]["running"] == 1
    _die(house, job)
    _settle(house)
    refused = alice.post(f"/v1/jobs/{job}/requeue")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:visiondirector:problem:of-a-batch")
    [result] = lines(alice.get(f"/v1/batches/{id}/results"))
    assert (result["status"], result["error"]) == ("failed", "editor: the card is full")
    assert (result["fix"], result["actor"]) == ("use a smaller size", "seat")
    alice.post(f"/v1/batches/{id}/retry")
    assert admit(house) == [job]
    end(house, job, Outcome.MET, Outcome.MET)
    _settle(house)
    [result] = lines(alice.get(f"/v1/batches/{id}/results"))
    assert (result["status"], result["take"], result["job"]) == ("done", 1, job)


def _die(house: House, job: str) -> None:
    """Its step fails too often, and the dead letter is filed."""
    error = json.dumps(
        {"boundary": "editor", "message": "the card is full", "fix": "use a smaller size", "actor": "seat"}
    )
    for _ in range(3):
        record = house.ledger.get(job)
        assert record
        claim = house.ledger.claim(job, record.step, "w1")
        assert isinstance(claim, Claim)
        house.ledger.fail(job, record.step, claim.nonce, error, Actor.SEAT, "w1")
    (dead,) = house.ledger.dead_letters()
    about = {"n": dead.step, "error": dead.error, "at": dead.ended_ms / 1000}
    house.archive.save_control(job, "dead", dead.dead_letter, about)
    house.ledger.file_dead_letter(job, dead.dead_letter)


_PATHS = ("", "/report", "/image", "/trajectory", "/attempts", "/events")


# --- for those who own tasks/batch ------------------------------------------------------------------


def test_an_ended_batch_is_not_cancelled(house: House, alice: httpx.Client) -> None:
    id = made(alice, *briefs("x"))["id"]
    [job] = admit(house)
    end(house, job, Outcome.MET, Outcome.MET)
    _settle(house)
    assert alice.post(f"/v1/batches/{id}/cancel").json()["status"] == "ended"


def test_the_title_of_an_ended_batch_stays_changed(house: House, alice: httpx.Client) -> None:
    id = made(alice, *briefs("x"))["id"]
    [job] = admit(house)
    end(house, job, Outcome.MET, Outcome.MET)
    _settle(house)
    assert alice.patch(f"/v1/batches/{id}", json={"title": "mended"}).json()["title"] == "mended"
    _settle(house)
    assert house.dispatcher().batches.ledger.forget(-1000) == 1
    assert alice.get(f"/v1/batches/{id}").json()["title"] == "mended"


def _settle(house: House) -> None:
    """Two passes of a dispatcher: results are stored, then batches end."""
    for part in house.dispatcher().parts():
        part()
