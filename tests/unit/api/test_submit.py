import json
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from api.auth import Caller
from api.problems import Problem
from api.schemas import Envelope
from api.service import Service
from director.strategies import STRATEGIES
from director.types import LoopSettings
from tasks.jobs import Job, job_id
from tasks.store import Archive, FolderStore
from tasks.tokens import DEFAULT_SCOPES
from tests.support.api import ALICE, BOB, House, browse, opening, png, stopped

CALLER = Caller("alice", DEFAULT_SCOPES, 100, 20_000, 1)
JSON = {"Content-Type": "application/json"}


def post(client: httpx.Client, body: Any, key: str | None = None, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    keyed = {"Idempotency-Key": key} if key else {}
    return client.post("/v1/jobs", content=content, headers={**JSON, **keyed, **headers})


def only_error(response: httpx.Response, status: int = 422) -> dict[str, str]:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["instance"] == response.url.path
    [error] = document["errors"]
    return error


def test_a_submit_is_stored_entered_and_hinted(house: House, alice: httpx.Client) -> None:
    response = post(alice, {"brief": {"text": "A lamp on a table", "title": "Lamp"}, "seed": 5}, "key-1")
    assert response.status_code == 202
    id = job_id("alice", "key-1")
    envelope = response.json()
    assert response.headers["Location"] == f"/v1/jobs/{id}" == envelope["links"]["self"]
    assert envelope["cost"].pop("seconds") == 0
    assert set(envelope.pop("cost").values()) == {0}
    assert envelope.pop("settings") == LoopSettings().model_dump(mode="json")
    assert envelope | {"created": 0, "links": {}} == {
        "id": id, "owner": "alice", "title": "Lamp", "status": "queued", "stop": "", "step": 0,
        "doing": "waiting: no worker serves planner", "labels": [], "priority": 6, "paused": False, "batch": None,
        "goals": {"met": 0, "missed": 0, "unsure": 0, "total": 0}, "coverage": None,
        "rounds": 0, "renders": 0, "error": None, "created": 0, "ended": None, "links": {},
        "brief": {"text": "A lamp on a table", "title": "Lamp", "source": None}, "seed": 5,
        "eta": None, "eta_unknown": "", "unread": [], "warnings": [
            {"kind": "editor-not-served", "message": "no worker serves the editor flux-krea now, nor any other",
             "fix": "the job waits until one does; cancel it to send another"},
        ],
    }  # fmt: skip
    stored = house.archive.load_job(id)
    assert (stored.owner, stored.brief.text, stored.seed) == ("alice", "A lamp on a table", 5)
    assert house.archive.live() == [id]
    record = house.ledger.get(id)
    assert record
    assert (record.owner, record.step, record.queue, record.kind) == ("alice", 0, "planner", "extract")
    assert [(hint.job, hint.n, hint.queue, hint.title) for hint in house.sent] == [(id, 0, "planner", "Lamp")]


def test_a_brief_may_be_just_its_text(house: House, alice: httpx.Client) -> None:
    envelope = post(alice, {"brief": "A lamp"}).json()
    assert house.archive.load_job(envelope["id"]).brief.text == "A lamp"


def test_the_same_key_and_body_are_the_same_job(house: House, alice: httpx.Client) -> None:
    first = post(alice, {"brief": "A lamp", "priority": 3}, "key-1")
    again = post(alice, b'{ "priority": 3,  "brief": "A lamp" }', "key-1")
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    assert len(house.sent) == 1


def test_without_a_key_each_submit_is_a_job(alice: httpx.Client) -> None:
    assert post(alice, {"brief": "A lamp"}).json()["id"] != post(alice, {"brief": "A lamp"}).json()["id"]


def test_the_same_key_with_another_body_is_refused(house: House, alice: httpx.Client) -> None:
    post(alice, {"brief": "A lamp"}, "key-1")
    error = only_error(post(alice, {"brief": "A chair"}, "key-1"), 409)
    assert error == {
        "field": "Idempotency-Key", "message": "was used with another body", "fix": "send a new key",
    }  # fmt: skip
    assert house.archive.load_job(job_id("alice", "key-1")).brief.text == "A lamp"


def test_of_two_bodies_that_race_for_a_key_one_wins(house: House) -> None:
    service = Service(house.ledger, house.archive, house.images, house.sent.append, 1)

    def submit(n: int) -> int:
        try:
            service.submit(CALLER, json.dumps({"brief": f"lamp {n}"}).encode(), "key-1")
        except Problem as problem:
            return problem.status
        return n

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(submit, range(8)))
    [winner] = [result for result in results if result != 409]
    assert house.archive.load_job(job_id("alice", "key-1")).brief.text == f"lamp {winner}"
    assert len(house.sent) == 1


def test_of_two_bodies_that_come_to_two_apis_at_one_moment_one_is_stored(house: House) -> None:
    class Late(Archive):
        """Of an API that has looked for the job before the other one stores it."""

        def find_job(self, job: str) -> Job | None:
            found = super().find_job(job)
            if not first.done():
                first.set_result(other.submit(CALLER, b'{"brief": "A lamp"}', "key-1"))
            return found

    first: Future[tuple[Envelope, bool]] = Future()
    other = Service(house.ledger, house.archive, house.images, house.sent.append, 1)
    late = Service(house.ledger, Late(FolderStore(house.folder)), house.images, house.sent.append, 1)
    with pytest.raises(Problem, match="another request") as refused:
        late.submit(CALLER, b'{"brief": "A chair"}', "key-1")
    assert (refused.value.status, refused.value.slug) == (409, "key-reused")
    assert first.result()[1]
    assert house.archive.load_job(job_id("alice", "key-1")).brief.text == "A lamp"
    assert len(house.sent) == 1


def test_a_key_is_free_again_once_its_job_is_deleted(house: House, alice: httpx.Client) -> None:
    id = post(alice, {"brief": "A lamp"}, "key-1").json()["id"]
    house.commit(id, *opening(), stopped())
    assert alice.delete(f"/v1/jobs/{id}").status_code == 204
    assert post(alice, {"brief": "A chair"}, "key-1").status_code == 202


@pytest.mark.parametrize("key", [None, "key-1"])
def test_a_submit_that_broke_off_names_the_key_to_repeat_it_with(
    house: House, alice: httpx.Client, key: str | None
) -> None:
    house.wipe()
    headers = {"Idempotency-Key": key} if key else {}
    refused = alice.post("/v1/jobs", json={"brief": "A lamp"}, headers=headers)
    told = refused.headers["Idempotency-Key"]
    assert (refused.status_code, key or told) == (503, told)
    assert f"Idempotency-Key: {told}" in refused.json()["detail"]
    house.rebuild()
    ids = {post(alice, {"brief": "A lamp"}, told).json()["id"] for _ in range(2)}
    assert ids == {job_id("alice", told)}
    assert len(house.sent) == 1


def test_two_owners_may_use_the_same_key(house: House, alice: httpx.Client) -> None:
    mine = post(alice, {"brief": "A lamp"}, "key-1")
    theirs = post(alice, {"brief": "A chair"}, "key-1", **BOB)
    assert (mine.status_code, theirs.status_code) == (202, 202)


def test_the_seed_is_implied_by_the_key(house: House, alice: httpx.Client) -> None:
    post(alice, {"brief": "A lamp"}, "key-1")
    post(alice, {"brief": "A lamp"}, "key-2")
    seeds = [house.archive.load_job(job_id("alice", key)).seed for key in ("key-1", "key-2")]
    assert seeds[0] != seeds[1]
    assert all(0 <= seed < 2**53 for seed in seeds)


@pytest.mark.parametrize("broken_after", ["job.json", "live"])
def test_a_repeated_submit_completes_one_that_broke_off(house: House, alice: httpx.Client, broken_after: str) -> None:
    id = post(alice, {"brief": "A lamp"}, "key-1").json()["id"]
    house.wipe()
    house.rebuild()
    house.sent.clear()
    if broken_after == "job.json":
        house.archive.unmark_live(id)
    assert alice.get(f"/v1/jobs/{id}").status_code == 503
    assert post(alice, {"brief": "A lamp"}, "key-1").status_code == 200
    assert house.archive.live() == [id]
    assert [hint.n for hint in house.sent] == [0]
    assert alice.get(f"/v1/jobs/{id}").json()["status"] == "queued"


def test_a_repeated_submit_does_not_start_an_ended_job_again(house: House, alice: httpx.Client) -> None:
    id = post(alice, {"brief": "A lamp"}, "key-1").json()["id"]
    house.commit(id, *opening(), stopped())
    house.wipe()
    house.rebuild()
    again = post(alice, {"brief": "A lamp"}, "key-1")
    assert (again.status_code, again.json()["status"], again.json()["stop"]) == (200, "done", "satisfied")
    assert house.ledger.get(id) is None
    assert len(house.sent) == 1


def test_a_wiped_ledger_asks_for_patience_and_then_takes_the_same_submit(house: House, alice: httpx.Client) -> None:
    house.wipe()
    refused = post(alice, {"brief": "A lamp"}, "key-1")
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "2"
    assert house.archive.live() == []
    house.rebuild()
    assert post(alice, {"brief": "A lamp"}, "key-1").status_code == 202
    assert len(house.sent) == 1


def test_a_strategy_is_a_set_of_settings_under_the_explicit_ones(house: House, alice: httpx.Client) -> None:
    settings = {"strategy": "best-of-4", "candidates": 6}
    id = post(alice, {"brief": "A lamp", "settings": settings}).json()["id"]
    assert house.archive.load_job(id).settings == LoopSettings.model_validate(
        {**STRATEGIES["best-of-4"], "candidates": 6}
    )


def test_markup_and_control_characters_are_data(house: House, alice: httpx.Client) -> None:
    text = "<script>alert(1)</script> \x00\x1b[2J\r\n\u2028 \U0001f3ee {{7*7}} %s ../../etc/passwd '; --"
    id = post(alice, {"brief": {"text": text, "title": "<b>\x1b[31m"}}).json()["id"]
    assert house.archive.load_job(id).brief.text == text
    assert alice.get(f"/v1/jobs/{id}").json()["title"] == "<b>\x1b[31m"
    assert alice.get(f"/v1/jobs/{id}/trajectory").json()["brief"]["text"] == text


@pytest.mark.parametrize(
    ("body", "field", "message", "fix"),
    [
        ({"brief": ""}, "brief.text", "the text of the brief is empty", "write what the picture must show"),
        ({"brief": {"text": " \n\t"}}, "brief.text", "the text of the brief is empty", "write what"),
        ({"brief": {}}, "brief.text", "is required", ""),
        ({}, "brief", "is required", ""),
        ({"brief": 7}, "brief", "must be an object", ""),
        ({"brief": "é" * 100_000}, "brief.text", "the text of the brief has 200000 bytes", "shorten it"),
        ({"brief": "x", "settings": {"candidates": 0}}, "settings.candidates", "must be at least 1", ""),
        ({"brief": "x", "settings": {"candidates": 17}}, "settings.candidates", "must be at most 16", ""),
        ({"brief": "x", "settings": {"candidates": "four"}}, "settings.candidates", "must be a whole number", ""),
        ({"brief": "x", "settings": {"width": 500}}, "settings.width", "must be a multiple of 16", ""),
        (
            {"brief": "x", "settings": {"width": 1080}}, "settings.width", "must be a multiple of 16",
            "the nearest are 1072 and 1088",
        ),
        ({"brief": "x", "settings": {"candidats": 2}}, "settings.candidats", "there is no", "mean candidates"),
        ({"brief": "x", "settings": {"zzz": 2}}, "settings.zzz", "there is no", "known here: gate, editor"),
        ({"brief": "x", "settings": {"gate": "open"}}, "settings.gate", "must be 'auto', 'one-shot' or", ""),
        ({"brief": "x", "settings": {"accept": "all"}}, "settings.accept", "must be 'alignment' or", ""),
        ({"brief": "x", "settings": {"strategy": "best"}}, "settings.strategy", "there is no strategy", "choose"),
        ({"brief": "x", "settings": {"strategy": 4}}, "settings.strategy", "must be a string", ""),
        ({"brief": "x", "settings": []}, "settings", "must be an object", ""),
        ({"brief": "x", "settings": {"judge": False}}, "settings.candidates", "candidates must be 1", "nobody"),
        ({"brief": {"text": "x", "goal": []}}, "brief.goal", "there is no", "mean goals?"),
        ({"brief": {"text": "x", "goals": [{"id": "a", "txt": "b"}]}}, "brief.goals.0.txt", "there is no", "text"),
        ({"brief": {"text": "x", "source": "http://a/b.png"}}, "brief.source", "must be the hash of an", ""),
        ({"brief": {"text": "x", "source": "ab" * 32}}, "brief.source", "you have no picture", "/v1/images"),
        ({"brief": "x", "seed": -1}, "seed", "must be at least 0", ""),
        ({"brief": "x", "priority": 10}, "priority", "must be at most 9", ""),
        ({"brief": "x", "sead": 1}, "sead", "there is no", "mean seed?"),
        ([], "body", "must be an object", ""),
    ],
)  # fmt: skip
def test_bad_input_names_its_field(
    house: House, alice: httpx.Client, body: Any, field: str, message: str, fix: str
) -> None:
    document = post(alice, body)
    assert document.status_code == 422
    found = {error["field"]: error for error in document.json()["errors"]}
    assert field in found, found
    assert message in found[field]["message"]
    assert fix in found[field]["fix"]
    assert house.archive.live() == []
    assert house.sent == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"brief": "\xff\xfe"}', "is not valid UTF-8"),
        (b'{"brief": ', "is not valid JSON"),
        (b"", "is not valid JSON"),
        (b'{"brief": "x", "seed": NaN}', "is not valid JSON"),
        (b'{"brief": "\\ud800"}', "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
    ],
)
def test_an_unreadable_body_is_named(alice: httpx.Client, body: bytes, message: str) -> None:
    error = only_error(post(alice, body), 400)
    assert error["field"] == "body"
    assert error["message"].startswith(message)


def test_a_huge_body_is_refused_announced_or_not(house: House, alice: httpx.Client) -> None:
    body = json.dumps({"brief": "x" * 1_000_001}).encode()
    error = only_error(post(alice, body), 413)
    assert (error["field"], error["message"]) == ("body", "must have at most 1000000 bytes")
    unannounced = alice.post("/v1/jobs", content=body, headers={"Content-Length": "10"})
    assert unannounced.status_code == 413


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_a_bad_key_is_named(alice: httpx.Client, key: str) -> None:
    response = alice.post("/v1/jobs", json={"brief": "x"}, headers={"Idempotency-Key": key})
    assert only_error(response)["field"] == "Idempotency-Key"


def test_a_stored_source_is_accepted(house: House, alice: httpx.Client) -> None:
    image = alice.put("/v1/images", content=png()).json()["image"]
    response = post(alice, {"brief": {"text": "make it blue", "source": image}})
    assert response.status_code == 202
    assert house.archive.load_job(response.json()["id"]).brief.source == image


def test_no_url_is_fetched(house: House) -> None:
    # The only thing that could look like one is `source`, and it takes a hash.
    with browse(house.app(), **ALICE) as client:
        response = post(client, {"brief": {"text": "x", "source": "file:///etc/passwd"}})
    assert only_error(response)["field"] == "brief.source"
