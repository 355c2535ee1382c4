"""The list of jobs, what it shows of each, and what each attempt took."""

from typing import Any

import httpx
import pytest

from director.errors import Actor
from tasks.ledger.types import Claim
from tasks.summary import Cost
from tests.support.api import BOB, House, opening, planned, png, rendered, stopped

COST = Cost(ms=2500, gpu_ms=1500, renders=4, denoising_steps=80, attempts=1)
RECORD: dict[str, Any] = {
    "kind": "render", "attempt": 1, "host": "gpu-1", "pid": 7, "started": 1000.5, "seconds": 2.0, "renders": 4,
    "committed": True, "progress": "4/4", "counts": {"gpu_ms": 1900, "denoising_steps": 80, "prompt_tokens": 12},
    "blobs": {}, "error": None,
}  # fmt: skip
ASKED: dict[str, Any] = {
    **RECORD, "kind": "verify", "seconds": 0.5, "renders": 0, "committed": False, "host": "vlm-1",
    "counts": {"vlm_calls": 2, "prompt_tokens": 900, "completion_tokens": 40},
    "error": {"boundary": "verifier", "message": "no JSON", "fix": ""},
}  # fmt: skip


def submit(client: httpx.Client, n: int = 0, **more: Any) -> str:
    response = client.post("/v1/jobs", json={"brief": {"text": "A lamp", "title": f"lamp {n}"}, **more})
    assert response.status_code == 202, response.text
    return response.json()["id"]


def titles(client: httpx.Client, **params: Any) -> list[str]:
    response = client.get("/v1/jobs", params=params)
    assert response.status_code == 200, response.text
    return [job["title"] for job in response.json()["jobs"]]


def test_pages_go_from_new_to_old(house: House, alice: httpx.Client) -> None:
    for n in range(5):
        submit(alice, n)
    first = alice.get("/v1/jobs", params={"limit": 2}).json()
    second = alice.get("/v1/jobs", params={"limit": 2, "cursor": first["next"]}).json()
    third = alice.get("/v1/jobs", params={"limit": 2, "cursor": second["next"]}).json()
    seen = [job["id"] for page in (first, second, third) for job in page["jobs"]]
    assert len(set(seen)) == 5
    assert third["next"] is None
    times = [job["created"] for page in (first, second, third) for job in page["jobs"]]
    assert times == sorted(times, reverse=True)


def test_it_lists_what_show_shows_and_reads_no_snapshot(house: House, alice: httpx.Client) -> None:
    id = submit(alice, labels=["night", "poster"], priority=3)
    picture = house.images.put(png())
    house.commit(id, *opening(), planned(), rendered(picture))
    for path in house.folder.rglob("steps/*"):
        path.unlink()
    [listed] = alice.get("/v1/jobs").json()["jobs"]
    assert listed.items() <= alice.get(f"/v1/jobs/{id}").json().items()
    assert (listed["labels"], listed["priority"], listed["rounds"], listed["renders"]) == (["night", "poster"], 3, 1, 1)
    assert listed["goals"]["total"] == 2


def test_filters_hold_together(house: House, alice: httpx.Client) -> None:
    ids = [submit(alice, n, labels=["even"] if n % 2 == 0 else ["odd", "x"]) for n in range(4)]
    house.commit(ids[0], *opening(), stopped())
    house.commit(ids[1], *opening(), stopped())
    assert sorted(titles(alice, label="even")) == ["lamp 0", "lamp 2"]
    assert titles(alice, label=["odd", "x"], status="done") == ["lamp 1"]
    assert titles(alice, label=["odd", "even"]) == []
    assert sorted(titles(alice, status=["queued", "running"])) == ["lamp 2", "lamp 3"]
    created = alice.get(f"/v1/jobs/{ids[2]}").json()["created"]
    assert "lamp 2" in titles(alice, created_after=created)
    assert "lamp 2" not in titles(alice, created_before=created)


def test_a_job_that_waits_between_steps_is_running_and_says_for_what(house: House, alice: httpx.Client) -> None:
    begun, waiting = submit(alice, 0), submit(alice, 1)
    house.ledger.announce("editor", ["editor.flux-krea"], 60_000)
    house.commit(begun, *opening())
    shown = alice.get(f"/v1/jobs/{begun}").json()
    assert (shown["status"], shown["doing"]) == ("running", "rendering: waiting for editor.flux-krea")
    assert alice.get(f"/v1/jobs/{waiting}").json()["status"] == "queued"
    assert (titles(alice, status="running"), titles(alice, status="queued")) == (["lamp 0"], ["lamp 1"])


def test_each_owner_has_a_list(alice: httpx.Client) -> None:
    submit(alice)
    assert alice.get("/v1/jobs", headers=BOB).json() == {"jobs": [], "next": None}


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"status": "finished"}, "status.0"), ({"label": "a b"}, "label.0"), ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"), ({"cursor": "x"}, "cursor"), ({"created_after": "nan"}, "created_after"),
        ({"created_before": "today"}, "created_before"), ({"sort": "title"}, "sort"),
    ],
)  # fmt: skip
def test_a_filter_that_can_not_be_used_is_named(alice: httpx.Client, params: dict[str, Any], field: str) -> None:
    response = alice.get("/v1/jobs", params=params)
    assert response.status_code == 422
    assert response.headers["Content-Type"] == "application/problem+json"
    assert [error["field"] for error in response.json()["errors"]] == [field]


@pytest.mark.parametrize("labels", [["a b"], [""], ["x" * 65], ["ä"], ["x,y"], [f"l{n}" for n in range(17)], "night"])
def test_a_label_is_a_short_plain_word(alice: httpx.Client, labels: Any) -> None:
    response = alice.post("/v1/jobs", json={"brief": "A lamp", "labels": labels})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"].startswith("labels")


def test_a_label_counts_once(alice: httpx.Client) -> None:
    id = submit(alice, labels=["b", "a", "b"])
    assert alice.get(f"/v1/jobs/{id}").json()["labels"] == ["b", "a"]


def test_the_cost_is_that_of_all_attempts(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    claim = house.ledger.claim(id, 0, "w1")
    assert isinstance(claim, Claim)
    house.ledger.fail(
        id, 0, claim.nonce, "{}", Actor.SEAT, "host-1", 0, 0, Cost(ms=500, vlm_calls=2, prompt_tokens=9, attempts=1)
    )
    house.commit(id, *opening(), cost=COST)
    shown = alice.get(f"/v1/jobs/{id}").json()["cost"]
    assert shown == {
        "seconds": 3.0, "gpu_seconds": 1.5, "renders": 4, "denoising_steps": 80, "vlm_calls": 2, "prompt_tokens": 9,
        "completion_tokens": 0, "attempts": 2, "wasted_attempts": 1,
    }  # fmt: skip


def test_attempts_are_told_with_their_sum(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    house.archive.save_attempt(id, 0, "aa", {"n": 0, "nonce": "aa", **ASKED})
    house.archive.save_attempt(id, 1, "bb", {"n": 1, "nonce": "bb", **RECORD})
    told = alice.get(f"/v1/jobs/{id}/attempts").json()
    assert [(attempt["n"], attempt["committed"]) for attempt in told["attempts"]] == [(0, False), (1, True)]
    assert told["attempts"][0]["error"]["message"] == "no JSON"
    assert told["cost"] == {
        "seconds": 2.5, "gpu_seconds": 1.9, "renders": 4, "denoising_steps": 80, "vlm_calls": 2, "prompt_tokens": 900,
        "completion_tokens": 40, "attempts": 2, "wasted_attempts": 1,
    }  # fmt: skip
    assert alice.get(f"/v1/jobs/{id}/attempts", headers=BOB).status_code == 404


def test_a_job_that_only_storage_knows_has_a_summary_and_a_cost(house: House, alice: httpx.Client) -> None:
    id = submit(alice, labels=["night"])
    house.commit(id, *opening(), planned(), rendered(house.images.put(png())), stopped())
    house.archive.save_attempt(id, 0, "bb", {"n": 0, "nonce": "bb", **RECORD})
    house.wipe()
    house.rebuild()
    shown = alice.get(f"/v1/jobs/{id}").json()
    assert (shown["status"], shown["labels"], shown["renders"], shown["goals"]["total"]) == ("done", ["night"], 1, 2)
    assert (shown["cost"]["seconds"], shown["cost"]["denoising_steps"]) == (2.0, 80)
    assert shown["ended"] == 1002.5
