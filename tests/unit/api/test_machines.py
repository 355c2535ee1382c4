"""What is held and who is sick, as users and operators see it."""

import html
import json

import httpx
import pytest

from director.errors import Actor
from tasks.ledger.types import Claim
from tests.support.api import House
from tests.unit.api.test_metrics import OPERATOR, Scrape, browse

ERROR = {
    "boundary": "planner", "message": "http://vlm/v1 (m): Connection refused", "fix": "start the server",
    "actor": "outage", "resource": "http://vlm/v1 (m)",
}  # fmt: skip


def submit(client: httpx.Client) -> str:
    return client.post("/v1/jobs", json={"brief": "A lamp"}).json()["id"]


def hold(house: House, id: str) -> None:
    house.ledger.announce("thinker@a", ["planner"], 60_000)
    claim = house.ledger.claim(id, 0, "thinker@a")
    assert isinstance(claim, Claim)
    house.ledger.fail(id, 0, claim.nonce, json.dumps(ERROR), Actor.OUTAGE, "thinker@a")


@pytest.fixture
def operator(house: House):
    house.tokens["olga"] = {"token": "olga-token", "scopes": ["operate", "read", "write"]}
    with browse(house.app(), **OPERATOR) as client:
        yield client


def test_a_job_says_what_it_waits_for_since_when_and_what_mends_it(house: House, alice: httpx.Client) -> None:
    id, other = submit(alice), submit(alice)
    hold(house, id)
    for doing in (
        alice.get(f"/v1/jobs/{id}").json()["doing"],
        alice.get(f"/v1/jobs/{other}").json()["doing"],
        alice.get("/v1/jobs").json()["jobs"][0]["doing"],
    ):
        assert doing.startswith("waiting: http://vlm/v1 (m): Connection refused since ")
        assert doing.endswith(" UTC; start the server")


class TestAQueueWhoseWorkersAreAllOut:
    """Its jobs say so, since when and what mends it: for their owner, in lists and on the page of jobs."""

    PLANNERS = ("planner-0@a", "planner-1@b")

    def doing(self, client: httpx.Client, id: str) -> str:
        told = client.get(f"/v1/jobs/{id}").json()["doing"]
        assert client.get("/v1/jobs").json()["jobs"][0]["doing"] == told
        assert html.escape(told, quote=False)[:40] in client.get("/jobs").text
        return told

    def serve(self, house: House) -> None:
        for worker in self.PLANNERS:
            house.ledger.announce(worker, ["planner"], 60_000)

    def test_all_in_quarantine(self, house: House, alice: httpx.Client) -> None:
        id = submit(alice)
        self.serve(house)
        house.ledger.quarantine("planner-0@a", "the fan")
        assert self.doing(alice, id) == "reading the brief: waiting for planner"  # the other one works
        house.ledger.quarantine("planner-1@b", "its card")
        told = self.doing(alice, id)
        assert told.startswith("waiting: each of the 2 workers of planner takes no steps since ")
        assert told.endswith("; an operator mends it: `visiondirector holds`, then `restore`")
        assert ": the fan;" in told or ": its card;" in told
        assert "@" not in told  # names of machines are for operators
        house.ledger.restore_worker("planner-1@b")
        assert self.doing(alice, id) == "reading the brief: waiting for planner"

    def test_one_that_rests(self, house: House, alice: httpx.Client) -> None:
        id = submit(alice)
        self.serve(house)
        house.ledger.announce("planner-2@c", ["planner"], 60_000)  # most are well, or the queue would be held
        claim = house.ledger.claim(id, 0, "planner-0@a")
        assert isinstance(claim, Claim)
        house.ledger.fail(id, 0, claim.nonce, json.dumps(ERROR), Actor.OUTAGE, "planner-0@a", retry_after_ms=60_000)
        assert self.doing(alice, id) == "reading the brief: waiting for planner"
        for worker in ("planner-1@b", "planner-2@c"):
            house.ledger.announce(worker, ["planner"], 0)
        told = self.doing(alice, id)
        assert told.startswith("waiting: the only worker of planner rests after failures until ")
        assert told.endswith(" UTC: http://vlm/v1 (m): Connection refused")

    def test_a_cancelled_job_waits_for_none_of_them(self, house: House, alice: httpx.Client) -> None:
        id = submit(alice)
        house.ledger.announce("control@a", ["control"], 60_000)
        house.ledger.quarantine("control@a", "the fan")
        assert alice.post(f"/v1/jobs/{id}/cancel").json()["doing"] == "cancelling: waiting for control"


def test_operators_see_what_is_held(house: House, operator: httpx.Client) -> None:
    hold(house, submit(operator))
    found = operator.get("/v1/machines").json()
    assert found["workers"] == {"thinker@a": ["planner"]}
    [held] = found["held"]
    assert (held["queue"], held["actor"], held["waiting"], held["tries"]) == ("planner", "outage", 1, 1)
    assert held["next_try"] > held["since"] > 0
    assert found["sick"][0]["quarantined"] is None
    assert Scrape(operator)["queue_held", "outage", "planner"] == 1


def test_operators_take_a_worker_out_and_bring_it_back(house: House, operator: httpx.Client) -> None:
    house.ledger.announce("editor-0@gpu-3", ["editor.flux-krea"], 60_000)
    path = "/v1/machines/editor-0@gpu-3"
    [sick] = operator.post(f"{path}/quarantine", params={"why": "fan"}).json()["sick"]
    assert (sick["worker"], sick["why"], sick["by_hand"], sick["next_canary"]) == ("editor-0@gpu-3", "fan", True, None)
    assert house.ledger.standing("editor-0@gpu-3").quarantined
    assert Scrape(operator)["worker_quarantined", "editor-0@gpu-3"] == 1
    assert operator.post(f"{path}/restore").json()["sick"] == []
    assert house.ledger.standing("editor-0@gpu-3").may_work
    assert operator.post(f"{path}/restore").status_code == 200  # as when an answer was lost
    assert operator.post("/v1/machines/nobody/restore").status_code == 404
    assert operator.post("/v1/machines/nobody/quarantine").status_code == 404


def test_it_is_no_matter_of_users(alice: httpx.Client) -> None:
    assert alice.get("/v1/machines").status_code == 403
    assert alice.post("/v1/machines/a/quarantine").status_code == 403
    assert alice.post("/v1/machines/a/restore").status_code == 403
