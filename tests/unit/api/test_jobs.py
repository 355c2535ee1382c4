import hashlib

import httpx
import pytest

from director.errors import RULES, Actor, PlannerError
from director.types import Outcome, StopReason
from tasks.attempt import error_json
from tasks.jobs import JobStatus
from tasks.ledger.types import CONTROL, Claim
from tasks.png_metadata import read_png_metadata
from tasks.store import Archive, FolderStore, image_hash
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

NOBODY = "00000000-0000-5000-8000-000000000000"


def submit(client: httpx.Client, editor: str = "flux-krea") -> str:
    body = {"brief": {"text": "A lamp and a chair", "title": "Room"}, "settings": {"editor": editor}}
    return client.post("/v1/jobs", json=body).json()["id"]


def test_an_envelope_tells_how_a_job_stands(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    picture = house.images.put(png())
    house.commit(id, *opening())
    house.commit(id, planned(), rendered(picture), verified(picture, Outcome.MET, Outcome.MISSED), decided(picture))
    envelope = alice.get(f"/v1/jobs/{id}").json()
    assert envelope["goals"] == {"met": 1, "missed": 1, "unsure": 0, "total": 2}
    assert (envelope["step"], envelope["rounds"], envelope["renders"]) == (2, 1, 1)
    assert envelope["coverage"] == 0.5
    assert sorted(envelope["links"]) == [
        "attempts", "cancel", "events", "image", "pause", "report", "requeue", "resume", "self", "trajectory",
    ]  # fmt: skip
    house.commit(id, stopped())
    envelope = alice.get(f"/v1/jobs/{id}").json()
    assert (envelope["status"], envelope["stop"], envelope["doing"]) == ("done", "satisfied", "")


def test_doing_says_what_a_job_does_or_waits_for(house: House, alice: httpx.Client) -> None:
    def doing() -> str:
        return alice.get(f"/v1/jobs/{id}").json()["doing"]

    id = submit(alice, "foo")
    house.ledger.announce("w1", ["planner"], 60_000)
    assert doing() == "reading the brief: waiting for planner"
    claim = house.ledger.claim(id, 0, "w1")
    assert isinstance(claim, Claim)
    assert doing() == "reading the brief"
    house.ledger.fail(
        id, 0, claim.nonce, '{"boundary":"planner","message":"no JSON","fix":"retry"}', Actor.SEAT, "host-1", 0, 60_000
    )
    assert doing() == "reading the brief: waiting to try again"


def test_a_model_that_nobody_serves_is_named(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    house.ledger.announce("w1", ["planner", "judge"], 60_000)
    house.commit(id, *opening())
    assert alice.get(f"/v1/jobs/{id}").json()["doing"] == "waiting: no worker serves editor.flux-krea"


def test_a_submit_is_told_who_serves_what(house: House, alice: httpx.Client) -> None:
    house.ledger.announce("w1", ["planner", "editor.flux-dev", "editor.flux-krea"], 60_000)
    [told] = alice.get(f"/v1/jobs/{submit(alice, 'flux-drea')}").json()["warnings"]
    assert told == {
        "kind": "editor-not-served",
        "message": "no worker serves the editor flux-drea now; there are flux-dev, flux-krea",
        "fix": "did you mean flux-krea? the job waits until one does; cancel it to send another",
    }
    id = submit(alice)
    assert alice.get(f"/v1/jobs/{id}").json()["warnings"] == []
    drafts = alice.post("/v1/jobs", json={"brief": "A lamp", "settings": {"draft_rounds": True}}).json()
    assert [each["message"] for each in drafts["warnings"]] == [
        "no worker serves the editor flux-krea.draft now; there are flux-dev, flux-krea"
    ]


def test_what_was_not_read_is_told_and_again_once_the_goals_are_known(house: House, alice: httpx.Client) -> None:
    sent = {"brief": {"text": "Hello Anna, we sell lamps. Move the lamp to the left.", "title": "Room"}}
    answer = alice.post("/v1/jobs", json=sent).json()
    assert answer["unread"] == [{"text": "Hello Anna", "reason": "greeting"}]
    assert [told["kind"] for told in answer["warnings"]] == ["no-source", "editor-not-served"]
    house.commit(answer["id"], *opening())
    unread = alice.get(f"/v1/jobs/{answer['id']}").json()["unread"]
    assert [each["reason"] for each in unread] == ["greeting", "became no goal", "became no goal"]
    house.commit(answer["id"], stopped())
    assert [told["kind"] for told in alice.get(f"/v1/jobs/{answer['id']}").json()["warnings"]] == ["no-source"]


def test_errors_show_while_they_matter(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    for attempt in range(3):
        claim = house.ledger.claim(id, 0, "w1")
        assert isinstance(claim, Claim), attempt
        house.ledger.fail(
            id,
            0,
            claim.nonce,
            '{"boundary":"planner","message":"no JSON","fix":"ask again"}',
            Actor.SEAT,
            "host-1",
            0,
            0,
        )
    envelope = alice.get(f"/v1/jobs/{id}").json()
    assert envelope["status"] == "failed"
    assert envelope["error"] == {
        "boundary": "planner", "message": "no JSON", "fix": "ask again", "actor": None, "resource": "",
    }  # fmt: skip


def test_an_error_says_who_has_to_act_in_the_envelope_and_in_the_report(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    claim = house.ledger.claim(id, 0, "w1")
    assert isinstance(claim, Claim)
    failed = PlannerError("401", "mend the key", actor=Actor.OPERATOR, resource="http://vlm/v1 (m)")
    house.ledger.fail(id, 0, claim.nonce, error_json(failed), Actor.OPERATOR, "w1")
    error = {"boundary": "planner", "message": "401", "fix": "mend the key", "actor": "operator"}
    assert alice.get(f"/v1/jobs/{id}").json()["error"] == error | {"resource": "http://vlm/v1 (m)"}
    assert RULES[Actor.OPERATOR].then in alice.get(f"/v1/jobs/{id}/report").text


def test_a_loop_that_failed_says_why(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    house.commit(id, stopped(StopReason.FAILED).model_copy(update={"why": "there is nothing to draw"}))
    error = {
        "boundary": "director", "message": "there is nothing to draw", "fix": "", "actor": "user", "resource": "",
    }  # fmt: skip
    assert alice.get(f"/v1/jobs/{id}").json()["error"] == error
    house.wipe()
    assert alice.get(f"/v1/jobs/{id}").json()["error"] == error


def test_an_unknown_job_is_404_and_one_of_another_owner_too(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    for path in ("", "/events", "/image", "/trajectory"):
        assert alice.get(f"/v1/jobs/{id}{path}", headers=BOB).status_code == 404
        for unknown in (NOBODY, "x", "..%5cjob", "%00", NOBODY + "%0A"):
            response = alice.get(f"/v1/jobs/{unknown}{path}")
            assert response.status_code == 404
            assert response.json()["type"] == "urn:visiondirector:problem:unknown-job"
    assert alice.post(f"/v1/jobs/{id}/cancel", headers=BOB).status_code == 404
    assert house.archive.controls(id) == []


def test_after_a_wipe_an_ended_job_is_read_from_storage(house: House, alice: httpx.Client) -> None:
    id, waiting = submit(alice), submit(alice)
    picture = house.images.put(png())
    house.commit(id, *opening(), planned(), rendered(picture), decided(picture), stopped(StopReason.BUDGET))
    before = alice.get(f"/v1/jobs/{id}").json()
    house.wipe()
    after = alice.get(f"/v1/jobs/{id}").json()
    # No worker left an attempt record here, from which to read when it ended.
    assert after | {"ended": None} == before | {"ended": None}
    assert alice.get(f"/v1/jobs/{id}/image").status_code == 200
    assert alice.get(f"/v1/jobs/{id}", headers=BOB).status_code == 404
    assert alice.get(f"/v1/jobs/{NOBODY}").status_code == 404
    refused = alice.get(f"/v1/jobs/{waiting}")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")


def test_cancel_is_stored_asked_for_and_hinted(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    response = alice.post(f"/v1/jobs/{id}/cancel")
    assert response.status_code == 202
    assert response.json()["doing"] == "waiting: no worker is up"
    [control] = house.archive.controls(id)
    assert (control.kind, control.record["by"]) == ("cancel", "alice")
    record = house.ledger.get(id)
    assert record
    assert (record.cancel, record.queue) == (True, CONTROL)
    assert house.sent[-1].queue == CONTROL


def test_cancel_of_a_running_step_leaves_it_to_the_holder(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    house.ledger.claim(id, 0, "w1")
    assert alice.post(f"/v1/jobs/{id}/cancel").json()["doing"] == "cancelling"
    assert [hint.queue for hint in house.sent] == ["planner"]


def test_cancel_of_an_ended_job_changes_nothing(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    house.commit(id, *opening(), stopped())
    response = alice.post(f"/v1/jobs/{id}/cancel")
    assert (response.status_code, response.json()["status"]) == (200, JobStatus.DONE)
    assert house.archive.controls(id) == []


def test_pause_and_resume_are_stored_and_told(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    house.ledger.announce("thinker", ["planner"], 60_000)
    paused = alice.post(f"/v1/jobs/{id}/pause")
    assert (paused.status_code, paused.json()["paused"]) == (202, True)
    assert paused.json()["doing"] == "paused: resume it to go on"
    assert alice.post(f"/v1/jobs/{id}/pause").status_code == 202
    assert len(house.sent) == 1
    resumed = alice.post(f"/v1/jobs/{id}/resume")
    assert (resumed.status_code, resumed.json()["paused"]) == (202, False)
    assert resumed.json()["doing"] == "reading the brief: waiting for planner"
    assert [hint.n for hint in house.sent] == [0, 0]
    assert sorted(control.kind for control in house.archive.controls(id)) == ["pause", "pause", "resume"]
    assert {control.record["by"] for control in house.archive.controls(id)} == {"alice"}
    house.ledger.claim(id, 0, "w1")
    assert alice.post(f"/v1/jobs/{id}/pause").json()["doing"] == "reading the brief: pauses behind this step"


def test_a_paused_job_is_cancelled(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    alice.post(f"/v1/jobs/{id}/pause")
    assert alice.post(f"/v1/jobs/{id}/cancel").json()["doing"] == "waiting: no worker is up"
    assert house.sent[-1].queue == CONTROL


def test_the_priority_is_changed(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    changed = alice.patch(f"/v1/jobs/{id}", json={"priority": 0})
    assert (changed.status_code, changed.json()["priority"]) == (200, 0)
    assert house.sent[-1].priority == 0
    assert alice.patch(f"/v1/jobs/{id}", json={"priority": 9}, headers=BOB).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"priority": 10}, "priority"),
        ({"priority": "high"}, "priority"),
        ({}, "priority"),
        ({"priority": 1, "title": "a"}, "title"),
    ],
)
def test_a_change_that_can_not_be_made_is_named(alice: httpx.Client, body: dict[str, object], field: str) -> None:
    refused = alice.patch(f"/v1/jobs/{submit(alice)}", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)


def test_an_ended_job_takes_no_order(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    house.commit(id, *opening(), stopped())
    for refused in (
        alice.post(f"/v1/jobs/{id}/pause"), alice.post(f"/v1/jobs/{id}/resume"),
        alice.patch(f"/v1/jobs/{id}", json={"priority": 1}),
    ):  # fmt: skip
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:visiondirector:problem:ended")
    assert house.archive.controls(id) == []


def test_the_image_is_the_best_so_far(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    nothing = alice.get(f"/v1/jobs/{id}/image")
    assert (nothing.status_code, nothing.json()["title"]) == (404, "There is no picture yet")
    red, blue = house.images.put(png()), house.images.put(png(color="blue"))
    house.commit(id, *opening(), planned(), rendered(red), decided(red))
    house.commit(id, planned(), rendered(blue), decided(blue, accepted=False))
    response = alice.get(f"/v1/jobs/{id}/image?metadata=false")
    assert response.headers["Content-Type"] == "image/png"
    assert response.headers["ETag"] == f'"{red}"'
    assert response.content == house.images.get(red)
    again = alice.get(f"/v1/jobs/{id}/image?metadata=false", headers={"If-None-Match": f'"{red}"'})
    assert (again.status_code, again.content) == (304, b"")


def test_an_image_says_what_made_it(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    red = house.images.put(png())
    house.commit(id, *opening(), planned(), rendered(red))
    before = alice.get(f"/v1/jobs/{id}/image")
    house.commit(id, verified(red, Outcome.MET, Outcome.MISSED), decided(red))
    response = alice.get(f"/v1/jobs/{id}/image")
    said = read_png_metadata(response.content)
    assert (said.brief.text, said.image, said.software.editor) == ("A lamp and a chair", red, "flux-krea")
    assert (said.goals.met, said.goals.missed, said.goals.total) == (1, 1, 2)
    assert image_hash(response.content) == red
    tags = {answer.headers["ETag"] for answer in (before, response)} | {f'"{red}"'}
    assert len(tags) == 3
    for tag, status in [(response.headers["ETag"], 304), (f'"{red}"', 200), (before.headers["ETag"], 200)]:
        assert alice.get(f"/v1/jobs/{id}/image", headers={"If-None-Match": tag}).status_code == status
    plain = alice.get(f"/v1/jobs/{id}/image?metadata=false", headers={"If-None-Match": response.headers["ETag"]})
    assert plain.content == house.images.get(red)


def test_a_service_may_keep_what_made_an_image_to_itself(house: House) -> None:
    with browse(house.app(image_metadata=False), **ALICE) as alice:
        id = submit(alice)
        red = house.images.put(png())
        house.commit(id, *opening(), planned(), rendered(red), decided(red))
        assert alice.get(f"/v1/jobs/{id}/image").content == house.images.get(red)


def test_the_trajectory_is_that_of_the_newest_snapshot(house: House, alice: httpx.Client) -> None:
    id = submit(alice)
    fresh = alice.get(f"/v1/jobs/{id}/trajectory").json()
    assert (fresh["brief"]["text"], fresh["events"]) == ("A lamp and a chair", [])
    key = house.commit(id, *opening())
    response = alice.get(f"/v1/jobs/{id}/trajectory")
    assert response.text == house.archive.load_snapshot(key).trajectory.model_dump_json()


@pytest.mark.parametrize("path", ["/nothing", "/v1/jobs/x/y/z"])
def test_an_unknown_path_is_a_problem_too(alice: httpx.Client, path: str) -> None:
    response = alice.get(path)
    assert response.status_code == 404
    assert response.headers["Content-Type"] == "application/problem+json"
    assert alice.delete("/v1/jobs").status_code == 405


@pytest.mark.parametrize("path", ["image", "report", "report?standalone=true"])
@pytest.mark.parametrize("data", [None, b"", b"another"])
def test_a_picture_that_is_lost_or_damaged_is_named(
    house: House, alice: httpx.Client, path: str, data: bytes | None
) -> None:
    id, picture = submit(alice), "ab" * 32
    house.commit(id, *opening(), planned(), rendered(picture), decided(picture))
    if data is not None:
        (house.folder / "images").mkdir()
        (house.folder / "images" / f"{picture}.png").write_bytes(data)
    response = alice.get(f"/v1/jobs/{id}/{path}")
    if data is None and path != "image":
        assert response.status_code == 200  # the page shows where it was
        return
    assert (response.status_code, response.json()["title"]) == (410, "Something that was stored is lost")
    assert f"images/{picture}.png" in response.json()["detail"]


@pytest.mark.parametrize("path", ["trajectory", "image", "report"])
@pytest.mark.parametrize("data", [None, b"5"])
def test_a_lost_snapshot_is_named(house: House, alice: httpx.Client, path: str, data: bytes | None) -> None:
    id = submit(alice)
    key = house.commit(id, *opening())
    lose(house, key, data)
    with browse(house.app(), **ALICE) as another:
        response = another.get(f"/v1/jobs/{id}/{path}")
    assert (response.status_code, response.json()["type"]) == (410, "urn:visiondirector:problem:lost")
    assert key in response.json()["detail"]


@pytest.mark.parametrize(
    ("change", "status", "kind"),
    [((b'"kind":"gated"', b'"kind":"gated" '), 410, "lost"), ((b"{", b'{"contract":99,'), 503, "newer")],
)
def test_a_snapshot_that_was_changed_is_lost_and_one_of_a_newer_version_is_not(
    house: House, alice: httpx.Client, change: tuple[bytes, bytes], status: int, kind: str
) -> None:
    id = submit(alice)
    house.commit(id, *opening())
    record = house.ledger.get(id)
    assert record
    key, whole = record.snapshot, (house.folder / record.snapshot).read_bytes()
    lose(house, key, whole.replace(*change, 1))
    if kind == "newer":
        redis, place = house.ledger._redis, f"{house.ledger.prefix}job:{id}"  # pyright: ignore[reportPrivateUsage]
        redis.hset(place, "snapshot_sha256", hashlib.sha256((house.folder / key).read_bytes()).hexdigest())
    with browse(house.app(), **ALICE) as another:
        response = another.get(f"/v1/jobs/{id}/trajectory")
    assert (response.status_code, response.json()["type"]) == (status, f"urn:visiondirector:problem:{kind}")
    assert key in response.json()["detail"]


def lose(house: House, key: str, data: bytes | None) -> None:
    place = house.folder / key
    place.unlink() if data is None else place.write_bytes(data)
    house.archive = Archive(FolderStore(house.folder))  # as another process has it


@pytest.mark.parametrize("data", [None, b"5"])
@pytest.mark.parametrize("steps", [0, 1])
def test_a_job_without_its_job_json_can_be_seen_cancelled_and_deleted(
    house: House, data: bytes | None, steps: int
) -> None:
    with browse(house.app(), **ALICE) as alice:
        id = submit(alice)
        if steps:
            house.commit(id, *opening())
    lose(house, f"jobs/{id}/job.json", data)
    with browse(house.app(), **ALICE) as alice:
        assert len(alice.get("/v1/jobs").json()["jobs"]) == 1
        assert alice.get(f"/v1/jobs/{id}").status_code == (200 if steps else 410)
        assert alice.post(f"/v1/jobs/{id}/cancel").status_code == (202 if steps else 410)
        assert alice.get("/v1/jobs").json()["jobs"][0]["doing"] == "waiting: no worker is up"
        record = house.ledger.get(id)
        assert record and record.cancel
        make_end(house, id)
        assert alice.delete(f"/v1/jobs/{id}").status_code == 204
        assert alice.get("/v1/jobs").json()["jobs"] == []


def make_end(house: House, id: str) -> None:
    record = house.ledger.get(id)
    assert record
    claim = house.ledger.claim(id, record.step, "w")
    assert isinstance(claim, Claim)
    house.ledger.commit(id, claim.n, claim.nonce, "", None, JobStatus.CANCELLED, "cancelled", True)


@pytest.mark.parametrize("data", [b"5", b"", b'{"seconds": 1}', b'{"n": "x"}'])
def test_a_bad_attempt_record_is_left_out_and_said(house: House, alice: httpx.Client, data: bytes) -> None:
    id = submit(alice)
    house.commit(id, *opening())
    record = {"n": 0, "nonce": "aa", "kind": "extract", "attempt": 1, "started": 1.0, "seconds": 2.0, "committed": True}
    house.archive.save_attempt(id, 0, "aa", record)
    house.archive.save_attempt(id, 0, "bb", {})
    (house.folder / f"jobs/{id}/attempts/0000-bb.json").write_bytes(data)
    found = alice.get(f"/v1/jobs/{id}/attempts").json()
    assert [attempt["nonce"] for attempt in found["attempts"]] == ["aa"]
    assert found["unreadable"] == [f"jobs/{id}/attempts/0000-bb.json"]
    assert found["cost"]["seconds"] == 2.0
    page = alice.get(f"/v1/jobs/{id}/report")
    assert page.status_code == 200
    assert "Left out: 1 record of tries" in page.text or data == b'{"seconds": 1}'
