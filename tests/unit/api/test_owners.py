"""What a token owns, what it may do, and how much."""

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest

from director.errors import Actor
from tasks.ledger.types import Claim
from tests.support.api import ALICE, BOB, House, browse, decided, opening, planned, png, rendered, stopped

OPERATOR = {"Authorization": "Bearer op-token"}


def rules(token: str, *scopes: str, **limits: int) -> dict[str, Any]:
    return {"token": token, "scopes": list(scopes), **limits}


@pytest.fixture
def house(tmp_path: Path) -> House:
    tokens = {
        "alice": "alice-token", "bob": "bob-token", "eve": rules("eve-token", "read"),
        "ops": rules("op-token", "operate"), "tiny": rules("tiny-token", "read", "write", max_in_flight=2,
        max_brief_bytes=10, max_image_bytes=1024), "drop": rules("drop-token", "write"),
    }  # fmt: skip
    return House(tmp_path, tokens=tokens)


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}-token"}


def basic(password: str, user: str = "anybody") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def submit(client: httpx.Client, headers: dict[str, str] = ALICE, **brief: Any) -> httpx.Response:
    return client.post("/v1/jobs", json={"brief": {"text": "A lamp", **brief}}, headers=headers)


def die(house: House, id: str) -> None:
    """Three failures: a dead letter."""
    for _ in range(3):
        claim = house.ledger.claim(id, 0, "w1")
        assert isinstance(claim, Claim)
        house.ledger.fail(id, 0, claim.nonce, '{"boundary":"planner","message":"no JSON"}', Actor.SEAT, "host-1", 0, 0)


def everything(id: str) -> list[tuple[str, str]]:
    """Every route about one job."""
    place = f"/v1/jobs/{id}"
    reads = [("GET", place + end) for end in ("", "/events", "/image", "/trajectory", "/attempts")]
    return [*reads, ("POST", f"{place}/cancel"), ("POST", f"{place}/requeue"), ("DELETE", place),
            ("POST", f"{place}/pause"), ("POST", f"{place}/resume"), ("PATCH", place)]  # fmt: skip


class TestJobs:
    def test_another_token_is_told_nothing(self, house: House, alice: httpx.Client) -> None:
        id = submit(alice).json()["id"]
        die(house, id)
        for method, path in everything(id):
            response = alice.request(method, path, headers=BOB)
            assert (response.status_code, response.json()["detail"]) == (404, f"There is no job {id!r}."), path
        assert alice.get(f"/v1/jobs/{id}").json()["status"] == "failed"
        assert house.archive.controls(id) == []

    def test_a_key_is_the_owners(self, alice: httpx.Client) -> None:
        keyed = {"Idempotency-Key": "k"}
        mine = submit(alice, {**ALICE, **keyed}).json()["id"]
        theirs = submit(alice, {**BOB, **keyed}, title="other")
        assert theirs.status_code == 202
        assert theirs.json()["id"] != mine


class TestImages:
    def test_only_who_uploaded_it_may_name_it(self, alice: httpx.Client) -> None:
        image = alice.put("/v1/images", content=png()).json()["image"]
        refused = submit(alice, BOB, source=image)
        unknown = submit(alice, BOB, source="ab" * 32)
        assert refused.status_code == unknown.status_code == 422
        assert refused.json()["errors"] == unknown.json()["errors"]
        assert submit(alice, ALICE, source=image).status_code == 202
        assert alice.put("/v1/images", content=png(), headers=BOB).json()["image"] == image
        assert submit(alice, BOB, source=image).status_code == 202

    def test_what_a_job_drew_is_not_an_upload(self, house: House, alice: httpx.Client) -> None:
        image = house.images.put(png())
        assert submit(alice, source=image).status_code == 422

    def test_a_picture_that_was_swept_away_is_named(self, house: House, alice: httpx.Client) -> None:
        image = alice.put("/v1/images", content=png()).json()["image"]
        (house.folder / "images" / f"{image}.png").unlink()
        error = submit(alice, source=image).json()["errors"][0]
        assert (error["field"], error["fix"]) == ("brief.source", "PUT it to /v1/images first")
        assert house.archive.live() == []
        assert list(house.folder.glob("jobs/*")) == []


class TestScopes:
    def test_a_reader_only_reads(self, house: House) -> None:
        with browse(house.app(), **bearer("eve")) as eve:
            assert eve.get("/v1/jobs").status_code == 200
            for method, path in [("POST", "/v1/jobs"), ("PUT", "/v1/images"), *everything("x")[5:]]:
                response = eve.request(method, path, content=b"{}")
                assert (response.status_code, response.json()["type"]) == (403, "urn:visiondirector:problem:scope")

    def test_a_writer_may_be_blind(self, house: House) -> None:
        with browse(house.app(), **bearer("drop")) as drop:
            id = submit(drop, {}).json()["id"]
            assert drop.get(f"/v1/jobs/{id}").status_code == 403
            assert drop.post(f"/v1/jobs/{id}/cancel").status_code == 202

    def test_an_operator_sees_cancels_and_requeues_everybodys_jobs(self, house: House, alice: httpx.Client) -> None:
        mine, theirs = submit(alice).json()["id"], submit(alice, BOB).json()["id"]
        with browse(house.app(), **OPERATOR) as ops:
            listed = {job["id"]: job["owner"] for job in ops.get("/v1/jobs").json()["jobs"]}
            assert listed == {mine: "alice", theirs: "bob"}
            assert [job["id"] for job in ops.get("/v1/jobs", params={"owner": "bob"}).json()["jobs"]] == [theirs]
            die(house, mine)
            assert ops.post(f"/v1/jobs/{mine}/requeue").json()["status"] == "queued"
            assert ops.post(f"/v1/jobs/{theirs}/cancel").status_code == 202
            assert submit(ops, {}).status_code == 403
            assert ops.delete(f"/v1/jobs/{mine}").status_code == 403
        assert house.archive.controls(theirs)[0].record["by"] == "ops"

    def test_naming_another_owner_lists_nothing(self, alice: httpx.Client) -> None:
        submit(alice)
        assert alice.get("/v1/jobs", params={"owner": "alice"}, headers=BOB).json()["jobs"] == []
        assert len(alice.get("/v1/jobs", params={"owner": "alice"}).json()["jobs"]) == 1


class TestBasic:
    def test_a_browser_reads_with_the_token_as_its_password(self, house: House, alice: httpx.Client) -> None:
        id = submit(alice).json()["id"]
        with browse(house.app()) as browser:
            assert browser.get(f"/v1/jobs/{id}", headers=basic("alice-token")).status_code == 200
            assert browser.get(f"/v1/jobs/{id}", headers=basic("bob-token", "alice")).status_code == 404
            assert browser.get(f"/v1/jobs/{id}", headers=basic("wrong")).status_code == 401
            refused = browser.post(f"/v1/jobs/{id}/cancel", headers=basic("alice-token"))
            assert (refused.status_code, "Basic" in refused.headers["WWW-Authenticate"]) == (401, False)
            asked = browser.get(f"/v1/jobs/{id}")
            assert asked.headers["WWW-Authenticate"] == 'Basic realm="visiondirector", Bearer realm="visiondirector"'

    @pytest.mark.parametrize("given", ["", "=", "!!!", "YWxpY2U", "/////w==", base64.b64encode(b"alice").decode()])
    def test_what_is_no_password_is_refused(self, house: House, given: str) -> None:
        with browse(house.app()) as browser:
            assert browser.get("/v1/jobs", headers={"Authorization": f"Basic {given}"}).status_code == 401


class TestLimits:
    def test_jobs_in_flight(self, house: House) -> None:
        with browse(house.app(), **bearer("tiny")) as tiny:
            first = tiny.post("/v1/jobs", json={"brief": "a"}, headers={"Idempotency-Key": "k"})
            tiny.post("/v1/jobs", json={"brief": "b"})
            refused = tiny.post("/v1/jobs", json={"brief": "c"})
            assert refused.status_code == 429
            assert refused.headers["Retry-After"] == "10"
            assert refused.json()["type"] == "urn:visiondirector:problem:too-many-jobs"
            assert len(house.archive.live()) == len(house.sent) == 2
            again = tiny.post("/v1/jobs", json={"brief": "a"}, headers={"Idempotency-Key": "k"})
            assert again.status_code == 200
            house.commit(first.json()["id"], *opening(), stopped())
            assert tiny.post("/v1/jobs", json={"brief": "c"}).status_code == 202

    def test_a_requeue_counts_too(self, house: House) -> None:
        with browse(house.app(), **bearer("tiny")) as tiny:
            id = tiny.post("/v1/jobs", json={"brief": "a"}).json()["id"]
            die(house, id)
            for text in "bc":
                tiny.post("/v1/jobs", json={"brief": text})
            assert tiny.post(f"/v1/jobs/{id}/requeue").status_code == 429

    def test_sizes(self, house: House) -> None:
        with browse(house.app(), **bearer("tiny")) as tiny:
            error = tiny.post("/v1/jobs", json={"brief": "eleven char"}).json()["errors"][0]
            assert error["message"] == "the text has 11 bytes; the most for this token is 10"
            assert tiny.put("/v1/images", content=b"x" * 1025).status_code == 413


class TestDelete:
    def test_it_is_gone_and_its_key_is_free(self, house: House, alice: httpx.Client) -> None:
        keyed = {**ALICE, "Idempotency-Key": "k"}
        id = submit(alice, keyed).json()["id"]
        picture = house.images.put(png())
        house.commit(id, *opening(), planned(), rendered(picture), decided(picture), stopped())
        house.archive.save_attempt(id, 0, "aa", {})
        assert alice.delete(f"/v1/jobs/{id}").status_code == 204
        for method, path in everything(id):
            assert alice.request(method, path).status_code == 404, path
        assert alice.get("/v1/jobs").json()["jobs"] == []
        assert list(house.folder.glob(f"jobs/{id}/*/*")) == []
        assert house.images.has(picture)  # another job may name it: the sweep knows
        again = submit(alice, keyed, title="another")
        assert (again.status_code, again.json()["id"], again.json()["title"]) == (202, id, "another")
        assert alice.get(f"/v1/jobs/{id}/trajectory").json()["brief"]["title"] == "another"

    def test_an_active_job_is_cancelled_first(self, house: House, alice: httpx.Client) -> None:
        id = submit(alice).json()["id"]
        response = alice.delete(f"/v1/jobs/{id}")
        assert (response.status_code, response.json()["type"]) == (409, "urn:visiondirector:problem:active")
        assert house.archive.find_job(id)

    def test_a_dead_letter_is_not_brought_back(self, house: House, alice: httpx.Client) -> None:
        id = submit(alice).json()["id"]
        die(house, id)
        assert alice.delete(f"/v1/jobs/{id}").status_code == 204
        assert house.archive.live() == []
        assert alice.get(f"/v1/jobs/{id}").status_code == 404

    def test_one_that_only_storage_knows(self, house: House, alice: httpx.Client) -> None:
        id = submit(alice).json()["id"]
        house.commit(id, *opening(), stopped())
        house.wipe()
        assert alice.delete(f"/v1/jobs/{id}").status_code == 503
        house.rebuild()
        assert alice.delete(f"/v1/jobs/{id}").status_code == 204
        assert alice.get(f"/v1/jobs/{id}").status_code == 404


class TestRequeue:
    def test_a_dead_letter_goes_on(self, house: House, alice: httpx.Client) -> None:
        id = submit(alice).json()["id"]
        die(house, id)
        response = alice.post(f"/v1/jobs/{id}/requeue")
        assert (response.status_code, response.json()["status"], response.json()["error"]) == (202, "queued", None)
        assert [hint.n for hint in house.sent] == [0, 0]
        assert [control.kind for control in house.archive.controls(id)] == ["requeue"]

    def test_nothing_else_does(self, house: House, alice: httpx.Client) -> None:
        id = submit(alice).json()["id"]
        assert alice.post(f"/v1/jobs/{id}/requeue").status_code == 409
        house.commit(id, *opening(), stopped())
        response = alice.post(f"/v1/jobs/{id}/requeue")
        assert (response.status_code, response.json()["title"]) == (409, "This job can't be requeued")
