"""Batches over HTTP: lines in, how they stand, orders, results."""

import json
from typing import Any

import httpx
import pytest

from api.batch_schemas import ItemResult
from director.types import Outcome, StopReason
from tasks.batch.batches import Batches
from tasks.batch.types import BatchStatus, ItemStatus, batch_id, child_id
from tasks.tokens import Rules
from tests.support.api import (
    ALICE,
    BOB,
    House,
    browse,
    decided,
    opening,
    planned,
    png,
    rendered,
    stopped,
    verified,
)

EDITOR = "editor.flux-krea"
NDJSON = {"Content-Type": "application/x-ndjson"}


def manifest(*lines: Any) -> bytes:
    return b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)


def briefs(*names: str) -> list[Any]:
    return [{"custom_id": name, "brief": f"A lamp and a chair: {name}"} for name in names]


def post(client: httpx.Client, data: bytes | list[Any], key: str | None = "night", **headers: str) -> httpx.Response:
    content = data if isinstance(data, bytes) else manifest(*data)
    keyed = {"Idempotency-Key": key} if key else {}
    return client.post("/v1/batches", content=content, headers={**NDJSON, **keyed, **headers})


def made(client: httpx.Client, *lines: Any, key: str = "night") -> dict[str, Any]:
    response = post(client, list(lines), key)
    assert response.status_code == 202, response.text
    return response.json()


def errors(response: httpx.Response, status: int = 422) -> list[dict[str, Any]]:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    return response.json()["errors"]


def admit(house: House, workers: int = 1) -> list[str]:
    """Let as many items begin as these workers take; their jobs."""
    house.sent.clear()
    for n in range(workers):
        house.ledger.announce(f"worker-{n}", ["planner", "judge", "verifier", EDITOR], 60_000)
    house.dispatcher().admit()
    return [hint.job for hint in house.sent]


def end(house: House, job: str, *outcomes: Outcome) -> str:
    """Run a job to its end; its picture."""
    picture = house.images.put(png())
    stop = stopped() if set(outcomes) == {Outcome.MET} else stopped(StopReason.BUDGET)
    house.commit(job, *opening(), planned(), rendered(picture), verified(picture, *outcomes), decided(picture), stop)
    return picture


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


# --- in ---------------------------------------------------------------------------------------------


def test_a_batch_is_stored_and_waits(house: House, alice: httpx.Client) -> None:
    header = {"batch": {"title": "Night", "labels": ["a", "b"], "priority": 3, "max_in_flight": 5}}
    response = post(alice, [header, *briefs("x", "y", "z")])
    assert response.status_code == 202, response.text
    id = batch_id("alice", "night")
    found = response.json()
    assert response.headers["Location"] == f"/v1/batches/{id}" == found["links"]["self"]
    assert found["cost"].pop("seconds") == 0
    assert set(found.pop("cost").values()) == {0}
    terms = {
        "windows": [],
        "at_close": "finish",
        "deadline": None,
        "late": False,
        "by": False,
        "price": None,
        "spread": False,
    }
    assert found.pop("terms") == {**terms, "budget": None}
    assert found | {"created": 0, "links": {}} == {
        "id": id, "owner": "alice", "title": "Night", "labels": ["a", "b"], "priority": 3, "status": "open",
        "counts": {"waiting": 3, "running": 0, "done": 0, "unmet": 0, "failed": 0, "cancelled": 0}, "total": 3,
        "waits": "waiting: no worker serves editor.flux-krea", "eta": None, "eta_unknown": "", "max_in_flight": 5,
            "created": 0,
        "ended": None, "links": {}, "drawing": [], "warnings": [], "looked_at": 3,
    }  # fmt: skip
    assert house.archive.live() == []
    assert house.shelf.live() == [id]
    assert house.shelf.upload(id) is None
    assert house.sent == []


def test_the_same_key_and_lines_are_the_same_batch(alice: httpx.Client) -> None:
    first = post(alice, briefs("x", "y"))
    again = post(alice, b"\xef\xbb\xbf" + manifest(*briefs("x", "y")).replace(b"\n", b"\r\n\r\n"))
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json()["id"] == first.json()["id"]
    [error] = errors(post(alice, briefs("x")), 409)
    assert error == {
        "field": "Idempotency-Key",
        "message": "was used with other briefs or options",
        "fix": "send a new key",
    }
    assert len(alice.get("/v1/batches").json()["batches"]) == 1


def test_without_a_key_each_is_a_batch_and_owners_are_apart(house: House, alice: httpx.Client) -> None:
    assert post(alice, briefs("x"), None).json()["id"] != post(alice, briefs("x"), None).json()["id"]
    with browse(house.app(), **BOB) as bob:
        assert post(bob, briefs("x")).json()["id"] != post(alice, briefs("x")).json()["id"]


def test_a_batch_that_broke_off_before_the_ledger_knew_it_goes_on_when_sent_again(
    house: House, alice: httpx.Client
) -> None:
    id = made(alice, *briefs("x", "y"))["id"]
    house.wipe()
    house.rebuild()
    house.shelf.unmark_live(id)
    assert alice.get(f"/v1/batches/{id}").status_code == 503
    again = post(alice, briefs("x", "y"))
    assert (again.status_code, again.json()["counts"]["waiting"]) == (200, 2)
    assert house.shelf.live() == [id]


def test_an_ended_batch_sent_again_is_not_drawn_again(house: House, alice: httpx.Client) -> None:
    id = made(alice, *briefs("x"))["id"]
    [job] = admit(house)
    end(house, job, Outcome.MET, Outcome.MET)
    for part in house.dispatcher().parts():
        part()
    house.wipe()
    house.rebuild()
    again = post(alice, briefs("x"))
    assert (again.status_code, again.json()["status"], again.json()["counts"]["done"]) == (200, "ended", 1)
    assert alice.get(f"/v1/batches/{id}").json()["counts"]["done"] == 1
    assert admit(house) == []


BAD: list[tuple[bytes, int, str, str, str]] = [
    (b'{"custom_id": "broken", "brief": "x"\n', 2, "line", "is not valid JSON", "send one JSON object"),
    (b'{"brief": "\xff"}\n', 2, "line", "is not valid UTF-8", "send UTF-8"),
    (manifest(*briefs("first")), 2, "custom_id", "is that of line 1, too", "give each line its own"),
    (manifest({"brief": {"text": "x", "source": "ab" * 32}}), 2, "brief.source", "you have no picture", "/v1/images"),
    (b'{"brief": "' + b"x" * 10_000_000 + b'"}\n', 2, "line", "has more than 262144 bytes", "shorten it"),
    (b"\r\n" * 1_000_000 + b"{}\n", 1_000_002, "brief", "is required", ""),
    (manifest({"brief": "x", "settings": {"candidats": 2}}), 2, "settings.candidats", "there is no", "did you mean"),
]


@pytest.mark.parametrize(("data", "line", "field", "message", "fix"), BAD)
def test_a_bad_line_is_named_and_nothing_starts(
    house: House, alice: httpx.Client, data: bytes, line: int, field: str, message: str, fix: str
) -> None:
    response = post(alice, manifest(*briefs("first")) + data)
    [error] = errors(response)
    assert (error["line"], error["field"]) == (line, field)
    assert message in error["message"]
    assert fix in error["fix"]
    assert response.json()["type"] == "urn:visiondirector:problem:manifest"
    assert response.json()["detail"] == f"One error in line {line}. Nothing was started."
    assert [path for path in house.folder.rglob("batches*/**/*") if path.is_file()] == []
    assert alice.get("/v1/batches").json() == {"batches": [], "next": None}


def test_a_corrected_batch_may_use_the_same_key(alice: httpx.Client) -> None:
    assert post(alice, [*briefs("x"), {}]).status_code == 422
    assert post(alice, briefs("x", "y")).json()["total"] == 2


def test_all_errors_are_counted_and_a_hundred_told(alice: httpx.Client) -> None:
    response = post(alice, [{"custom_id": f"b{n}", "brief": ""} for n in range(250)])
    told = errors(response)
    assert [error["line"] for error in told] == list(range(1, 101))
    assert told[0]["custom_id"] == "b0"
    assert response.json()["detail"] == (
        "250 errors in 250 lines; the first 100 are told. Nothing was started."
    )  # fmt: skip


def test_nothing_is_no_batch(alice: httpx.Client) -> None:
    [error] = errors(post(alice, b""))
    assert (error["field"], error["message"]) == ("body", "has no brief")


def test_the_limit_of_a_token_holds_for_every_line(house: House) -> None:
    house.tokens["alice"] = Rules.model_validate({"token": "alice-token", "max_brief_bytes": 10})
    with browse(house.app(), **ALICE) as alice:
        [error] = errors(post(alice, [{"brief": "A lamp"}, {"brief": "A lamp and a chair"}]))
    assert (error["line"], error["field"]) == (2, "brief.text")
    assert "the most for this token is 10" in error["message"]


def test_an_own_picture_is_a_source(alice: httpx.Client) -> None:
    image = alice.put("/v1/images", content=png()).json()["image"]
    assert post(alice, [{"brief": {"text": "make it blue", "source": image}}]).status_code == 202


def test_warnings_are_told_once(alice: httpx.Client) -> None:
    found = made(alice, *({"brief": "Remove the car."} for _ in range(8)), {"brief": "A lamp"})
    [warning] = found["warnings"]
    assert (warning["kind"], warning["count"], warning["lines"]) == ("no-source", 8, [1, 2, 3, 4, 5])
    assert found["looked_at"] == 9


@pytest.mark.parametrize(
    ("headers", "status", "field"),
    [
        ({"Idempotency-Key": "x" * 201}, 422, "Idempotency-Key"),
        ({"Upload-Offset": "-1"}, 422, "upload-offset"),
        ({"Upload-Offset": "10"}, 409, "Upload-Offset"),
        ({"Content-Encoding": "gzip"}, 422, "Content-Encoding"),
    ],
)
def test_bad_headers_are_named(alice: httpx.Client, headers: dict[str, str], status: int, field: str) -> None:
    [error] = errors(post(alice, briefs("x"), None, **headers), status)
    assert error["field"] == field


def test_who_may_only_read_sends_nothing(house: House) -> None:
    house.tokens["eve"] = Rules.model_validate({"token": "eve-token", "scopes": ["read"]})
    with browse(house.app(), Authorization="Bearer eve-token") as eve:
        assert post(eve, briefs("x")).status_code == 403
        assert eve.get("/v1/batches").status_code == 200
    with browse(house.app()) as stranger:
        assert post(stranger, briefs("x")).status_code == 401


def test_two_uploads_of_a_key_do_not_run_at_once(house: House, alice: httpx.Client) -> None:
    batches = Batches(house.ledger, house.shelf, house.archive, house.sent.append)
    id = batch_id("alice", "night")
    assert batches.ledger.lock(f"upload:{id}", "somebody")
    refused = post(alice, briefs("x"))
    assert (refused.status_code, refused.headers["Retry-After"]) == (409, "5")
    assert post(alice, briefs("x"), "another").status_code == 202
    batches.ledger.unlock(f"upload:{id}", "somebody")
    assert post(alice, briefs("x")).status_code == 202
    assert batches.ledger.lock(f"upload:{id}", "somebody")  # it was given back


def test_an_upload_that_is_not_there_is_unknown(alice: httpx.Client) -> None:
    assert alice.get("/v1/batches/uploads/never").status_code == 404
    made(alice, *briefs("x"), key="a/b c")
    found = alice.get("/v1/batches/uploads/a%2Fb%20c").json()
    assert (found["bytes"], found["lines"], found["batch"]) == (0, 0, batch_id("alice", "a/b c"))
    batch = alice.get(f"/v1/batches/{found['batch']}")
    assert batch.status_code == 200


# --- how it stands ----------------------------------------------------------------------------------


def test_an_item_from_its_line_to_its_result(house: House, alice: httpx.Client) -> None:
    id = made(alice, {"batch": {"labels": ["night"]}}, *briefs("x", "y"))["id"]
    first, second = admit(house)
    shown = alice.get(f"/v1/batches/{id}").json()
    assert (shown["counts"]["waiting"], shown["counts"]["running"], shown["waits"]) == (0, 2, "")
    assert shown["drawing"] == [
        {"custom_id": name, "job": job, "doing": "reading the brief: waiting for planner",
         "goals": {"met": 0, "missed": 0, "unsure": 0, "total": 0}}
        for name, job in (("x", first), ("y", second))
    ]  # fmt: skip
    job = alice.get(f"/v1/jobs/{first}").json()
    assert (job["batch"], job["labels"], job["brief"]["text"]) == (
        {"id": id, "custom_id": "x"}, ["night"], "A lamp and a chair: x",
    )  # fmt: skip
    picture = end(house, first, Outcome.MET, Outcome.MET)
    end(house, second, Outcome.MET, Outcome.MISSED)
    for part in house.dispatcher().parts():
        part()
    shown = alice.get(f"/v1/batches/{id}").json()
    assert (shown["status"], shown["counts"]["done"], shown["counts"]["unmet"]) == ("ended", 1, 1)
    assert shown["ended"] >= shown["created"]
    x, y = sorted(lines(alice.get(f"/v1/batches/{id}/results")), key=lambda line: line["index"])
    assert [ItemResult.model_validate(line).model_dump(mode="json") for line in (x, y)] == [x, y]
    assert (x["custom_id"], x["status"], x["job"], x["image"], x["met"], x["total"]) == (
        "x", "done", first, picture, 2, 2,
    )  # fmt: skip
    assert (y["custom_id"], y["status"], y["stop"]) == ("y", "unmet", "budget")
    assert alice.get(f"/v1/jobs/{first}/images/{picture}").content == png()
    gone = alice.get(f"/v1/jobs/{first}").json()  # it has left the ledger
    assert (gone["status"], gone["batch"]) == ("done", {"id": id, "custom_id": "x"})


def test_items_are_listed_page_by_page(house: House, alice: httpx.Client) -> None:
    id = made(alice, {"batch": {"matrix": {"seed": [1, 2]}}}, *briefs("x", "y", "z"))["id"]
    jobs = admit(house)
    first = alice.get(f"/v1/batches/{id}/items", params={"limit": 4}).json()
    assert [(item["custom_id"], item["index"]) for item in first["items"]] == [
        ("x@seed=1", 0), ("x@seed=2", 1), ("y@seed=1", 2), ("y@seed=2", 3),
    ]  # fmt: skip
    assert [item["job"] for item in first["items"]] == [*jobs, *[None] * (4 - len(jobs))]
    second = alice.get(f"/v1/batches/{id}/items", params={"limit": 4, "cursor": first["next"]}).json()
    assert [item["custom_id"] for item in second["items"]] == ["z@seed=1", "z@seed=2"]
    assert second["next"] is None
    running = alice.get(f"/v1/batches/{id}/items", params={"status": "running"}).json()["items"]
    assert [item["job"] for item in running] == jobs
    both = alice.get(f"/v1/batches/{id}/items", params={"status": ["waiting", "running"]}).json()["items"]
    assert len(both) == 6
    assert alice.get(f"/v1/batches/{id}/items", params={"cursor": "x"}).status_code == 422


def test_the_jobs_of_a_batch_are_listed_by_index(house: House, alice: httpx.Client) -> None:
    id = made(alice, *briefs("x", "y", "z"))["id"]
    alice.post("/v1/jobs", json={"brief": "alone"})
    jobs = admit(house)
    page = alice.get("/v1/jobs", params={"batch": id, "limit": 2}).json()
    assert [job["id"] for job in page["jobs"]] == jobs[:2]
    assert page["links"] == {"items": f"/v1/batches/{id}/items"}
    rest = alice.get("/v1/jobs", params={"batch": id, "limit": 2, "cursor": page["next"]}).json()
    assert ([job["id"] for job in rest["jobs"]], rest["next"]) == (jobs[2:], None)
    assert alice.get("/v1/jobs", params={"batch": id, "status": "done"}).json()["jobs"] == []
    everything = alice.get("/v1/jobs").json()["jobs"]
    assert sorted(job["batch"]["custom_id"] if job["batch"] else "" for job in everything) == ["", "x", "y", "z"]


def test_batches_are_listed_newest_first(house: House, alice: httpx.Client) -> None:
    ids = [made(alice, {"batch": {"labels": [f"n{n % 2}"]}}, *briefs("x"), key=f"k{n}")["id"] for n in range(5)]
    alice.post(f"/v1/batches/{ids[3]}/pause")

    def listed(**params: Any) -> list[str]:
        found, cursor = list[str](), None
        while True:
            page = alice.get("/v1/batches", params={**params, "limit": 2, **({"cursor": cursor} if cursor else {})})
            assert page.status_code == 200, page.text
            found += [batch["id"] for batch in page.json()["batches"]]
            if not (cursor := page.json()["next"]):
                return found

    assert sorted(listed()) == sorted(ids)
    times = [batch["created"] for batch in alice.get("/v1/batches").json()["batches"]]
    assert times == sorted(times, reverse=True)
    assert set(listed(label="n1")) == {ids[1], ids[3]}
    assert listed(status="paused") == [ids[3]]
    assert (
        listed(
            status=["paused", "open"],
            label="n0",
        )
        != []
    )
    with browse(house.app(), **BOB) as bob:
        assert bob.get("/v1/batches").json() == {"batches": [], "next": None}
        assert bob.get(f"/v1/batches/{ids[0]}").status_code == 404


@pytest.mark.parametrize("path", ["", "/items", "/results"])
def test_what_is_no_batch_is_unknown(alice: httpx.Client, path: str) -> None:
    for id in ("nobody", "4f2c1d0a-7b7e-5b3c-9a51-0c6d1f2e3a4b", "..%5Cjobs"):
        response = alice.get(f"/v1/batches/{id}{path}")
        assert (response.status_code, response.json()["type"]) == (404, "urn:visiondirector:problem:unknown-batch")


# --- orders -----------------------------------------------------------------------------------------


def test_pause_and_resume(house: House, alice: httpx.Client) -> None:
    id = made(alice, *briefs("x", "y"))["id"]
    paused = alice.post(f"/v1/batches/{id}/pause").json()
    assert (paused["status"], paused["waits"]) == ("paused", "paused: resume it")
    assert admit(house) == []
    assert alice.post(f"/v1/batches/{id}/resume").json()["status"] == "open"
    assert len(admit(house)) == 2


def test_cancel_all_or_some(house: House, alice: httpx.Client) -> None:
    id = made(alice, *briefs("x", "y", "z"))["id"]
    some = alice.post(f"/v1/batches/{id}/cancel", json={"items": ["y"]}).json()
    assert (some["status"], some["counts"]["cancelled"], some["counts"]["waiting"]) == ("open", 1, 2)
    every = alice.post(f"/v1/batches/{id}/cancel").json()
    assert (every["status"], every["counts"]["cancelled"]) == ("cancelled", 3)
    results = lines(alice.get(f"/v1/batches/{id}/results"))
    assert [(line["custom_id"], line["status"], line["job"]) for line in results] == [
        ("x", "cancelled", None), ("y", "cancelled", None), ("z", "cancelled", None),
    ]  # fmt: skip
    assert [ItemResult.model_validate(line).model_dump(mode="json") for line in results] == results
    back = alice.post(f"/v1/batches/{id}/retry", json={"what": ["cancelled"], "items": ["x"]}).json()
    assert (back["status"], back["counts"]["waiting"]) == ("open", 1)


def test_an_unmet_item_is_taken_up_again(house: House, alice: httpx.Client) -> None:
    id = made(alice, *briefs("x"))["id"]
    [job] = admit(house)
    end(house, job, Outcome.MET, Outcome.MISSED)
    house.dispatcher().report()
    again = alice.post(f"/v1/batches/{id}/retry", json={"what": ["unmet"], "rounds": 2}).json()
    assert again["counts"]["waiting"] == 1
    [second] = admit(house)
    assert second == child_id(id, 0, 1)
    end(house, second, Outcome.MET, Outcome.MET)
    house.dispatcher().report()
    assert [line["status"] for line in lines(alice.get(f"/v1/batches/{id}/results"))] == ["done"]
    every = lines(alice.get(f"/v1/batches/{id}/results", params={"all": "true"}))
    assert [(line["take"], line["status"], line["job"]) for line in every] == [(0, "unmet", job), (1, "done", second)]


def test_order_cap_and_title_change(house: House, alice: httpx.Client) -> None:
    id = made(alice, *briefs("x", "y"))["id"]
    changed = alice.patch(f"/v1/batches/{id}", json={"priority": 3, "max_in_flight": 1, "title": "Night"}).json()
    assert (changed["priority"], changed["max_in_flight"], changed["title"]) == (3, 1, "Night")
    assert len(admit(house)) == 1
    assert alice.patch(f"/v1/batches/{id}", json={"max_in_flight": 0, "front": True}).json()["max_in_flight"] is None


def test_items_that_wait_are_put_first(house: House, alice: httpx.Client) -> None:
    id = made(alice, {"batch": {"max_in_flight": 2}}, *briefs("w", "x", "y", "z"))["id"]
    path = f"/v1/batches/{id}"
    assert alice.patch(path, json={"front": True, "items": ["z", "y"]}).json()["counts"]["waiting"] == 4
    admit(house)
    items = {each["custom_id"]: each["status"] for each in alice.get(f"{path}/items").json()["items"]}
    assert items == {"w": "waiting", "x": "waiting", "y": "running", "z": "running"}
    refused = alice.patch(path, json={"front": True, "items": ["z"]})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:visiondirector:problem:not-waiting")
    assert alice.patch(path, json={"front": True, "items": ["z", "x"]}).status_code == 200


WRONG: list[tuple[str, str, Any, str, str]] = [
    ("post", "cancel", {"items": ["nobody"]}, "items.0", "there is no item 'nobody' in this batch"),
    ("post", "cancel", {"item": ["x"]}, "item", "there is no such field"),
    ("post", "cancel", {"items": "x"}, "items", "must be a list"),
    ("post", "retry", {"what": ["done"]}, "what.0", "must be 'failed', 'unmet' or 'cancelled'"),
    ("post", "retry", {"what": []}, "what", "must not be empty"),
    ("post", "retry", {"rounds": 2}, "rounds", "is for unmet items"),
    ("post", "retry", {"what": ["unmet"], "rounds": 21}, "rounds", "must be at most 20"),
    ("patch", "", {}, "body", "changes nothing"),
    ("patch", "", {"priority": 10}, "priority", "must be at most 9"),
    ("patch", "", {"priority": True}, "priority", "must be a whole number"),
    ("patch", "", {"titel": "x"}, "titel", "there is no such field"),
    ("patch", "", {"items": ["x"]}, "items", "are for front alone"),
    ("patch", "", {"items": ["x"], "front": True, "priority": 1}, "items", "are for front alone"),
    ("patch", "", {"items": ["nobody"], "front": True}, "items.0", "there is no item 'nobody' in this batch"),
    ("patch", "", [], "body", "must be an object"),
]


@pytest.mark.parametrize(("method", "name", "body", "field", "message"), WRONG)
def test_a_bad_order_names_its_field(
    alice: httpx.Client, method: str, name: str, body: Any, field: str, message: str
) -> None:
    id = made(alice, *briefs("x"))["id"]
    path = f"/v1/batches/{id}/{name}".rstrip("/")
    [error] = errors(alice.request(method, path, json=body))
    assert error["field"] == field
    assert message in error["message"]
    [broken] = errors(alice.request(method, path, content=b"{"), 400)
    assert broken["message"].startswith("is not valid JSON")
    assert alice.get(f"/v1/batches/{id}").json()["counts"]["waiting"] == 1


def test_orders_are_for_owners_and_operators(house: House, alice: httpx.Client) -> None:
    id = made(alice, *briefs("x"))["id"]
    house.tokens["eve"] = Rules.model_validate({"token": "eve-token", "scopes": ["read"]})
    house.tokens["olga"] = Rules.model_validate({"token": "olga-token", "scopes": ["operate"]})
    for headers, status in ((BOB, 404), ({"Authorization": "Bearer eve-token"}, 403), ({}, 401)):
        with browse(house.app(), **headers) as client:
            assert client.post(f"/v1/batches/{id}/pause").status_code == status
    with browse(house.app(), Authorization="Bearer olga-token") as olga:
        assert olga.post(f"/v1/batches/{id}/pause").json()["status"] == BatchStatus.PAUSED
        assert olga.get(f"/v1/batches/{id}/items").json()["items"][0]["status"] == ItemStatus.WAITING


def test_an_order_outlives_a_wipe(house: House, alice: httpx.Client) -> None:
    id = made(alice, *briefs("x", "y"))["id"]
    alice.post(f"/v1/batches/{id}/cancel", json={"items": ["y"]})
    alice.post(f"/v1/batches/{id}/pause")
    house.wipe()
    house.rebuild()
    post(alice, briefs("x", "y"))
    shown = alice.get(f"/v1/batches/{id}").json()
    assert (shown["status"], shown["counts"]["waiting"], shown["counts"]["cancelled"]) == ("paused", 1, 1)
