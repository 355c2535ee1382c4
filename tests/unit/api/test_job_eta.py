"""When a job will have ended: in the API and on its page, and why that is not known."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.forecasts import SOON, Forecasts
from director.errors import StoreError
from tasks.batch.shelf import Shelf
from tasks.batch.types import Batch
from tasks.ledger.ledger import Ledger
from tasks.store import FolderStore
from tests.support.api import ALICE, House, browse, opening
from tests.unit.api.test_batches import admit, briefs, made

SEATS = ["planner", "judge", "verifier"]


@pytest.fixture
def served(house: House) -> House:
    house.ledger.announce("editor@test", ["editor.flux-krea"], 3_600_000)
    house.ledger.announce("thinker@test", SEATS, 3_600_000)
    return house


def told(client: httpx.Client, job: str) -> dict[str, Any]:
    """The job, once its forecast is made: another one may be made before it."""
    end = time.monotonic() + 60
    while (found := client.get(f"/v1/jobs/{job}").json())["eta_unknown"] == SOON:
        assert time.monotonic() < end
    return found


def submit(client: httpx.Client, text: str = "A lamp") -> str:
    return client.post("/v1/jobs", json={"brief": text}).json()["id"]


def test_a_job_says_when_it_will_have_ended(served: House, alice: httpx.Client) -> None:
    job = submit(alice)
    found = told(alice, job)
    eta = found["eta"]
    assert time.time() < eta["p10"] <= eta["p50"] <= eta["p90"]
    assert (found["eta_unknown"], eta["limits"]) == ("", "editors of flux-krea")
    assert "0 render steps of flux-krea at its native size x4 measured; 20 needed" in eta["knows_little_of"]
    assert not [words for words in eta["knows_little_of"] if "items" in words]
    assert "Ends about " in alice.get(f"/v1/jobs/{job}/report").text
    assert alice.get("/v1/jobs").json()["jobs"][0].get("eta") is None, "lists don't tell it"


def test_a_job_costs_what_settings_say(served: House) -> None:
    with browse(served.app(models={"flux-krea": {"gpu_hour": 2.5, "render": 0.1}}), **ALICE) as alice:
        job = submit(alice)
        served.batches_ruled(models={"flux-krea": {"gpu_hour": 2.5, "render": 0.1}})
        eta = told(alice, job)["eta"]
    assert eta["money"] > 0.4 and eta["currency"] == "eur"


def test_why_it_is_not_known(house: House, alice: httpx.Client) -> None:
    job = submit(alice)
    found = told(alice, job)
    assert (found["eta"], found["eta_unknown"]) == (None, "waiting: no worker serves planner")
    alice.post(f"/v1/jobs/{job}/pause")
    assert told(alice, job)["eta_unknown"] == "paused: resume it to go on"
    alice.post(f"/v1/jobs/{job}/cancel")
    cancelled = told(alice, job)
    assert (cancelled["eta"], cancelled["eta_unknown"]) == (None, cancelled["doing"])


def test_an_item_of_a_batch_ends_before_its_batch(served: House, alice: httpx.Client) -> None:
    id = made(alice, *briefs(*map(str, range(12))))["id"]
    job, *_ = admit(served)
    served.commit(job, *opening())
    eta, whole = told(alice, job)["eta"], alice.get(f"/v1/batches/{id}").json()["eta"]
    assert eta["p50"] < whole["p50"]
    alice.post(f"/v1/batches/{id}/pause")
    with browse(served.app(), **ALICE) as later:
        assert told(later, job)["eta_unknown"] == "paused with its batch"


def test_a_batch_that_can_not_end_in_time_says_so_and_what_helps(served: House, alice: httpx.Client) -> None:
    soon, later = (datetime.fromtimestamp(time.time() + s, UTC).isoformat() for s in (60, 86_400))
    id = made(alice, {"batch": {"by": soon}}, *briefs(*map(str, range(40))))["id"]
    words = "likely, even with one picture a brief: fewer briefs, more cards or a later time help"
    assert alice.get(f"/v1/batches/{id}").json()["eta"]["late"] == words
    assert f"Late is {words}" in alice.get(f"/batches/{id}").text
    alice.patch(f"/v1/batches/{id}", json={"by": later})
    assert alice.get(f"/v1/batches/{id}").json()["eta"]["late"] == ""
    alice.patch(f"/v1/batches/{id}", json={"deadline": soon})
    assert alice.get(f"/v1/batches/{id}").json()["eta"]["late"].startswith("likely: with --by briefs draw less")


def test_an_order_makes_a_forecast_old(served: House, alice: httpx.Client) -> None:
    opens = datetime.fromtimestamp(time.time() + 7200, UTC)
    window = f"{opens:%H:%M}-{opens + timedelta(hours=1):%H:%M} UTC"
    id = made(alice, {"batch": {"windows": [window], "by": (opens - timedelta(hours=1)).isoformat()}}, *briefs("x"))[
        "id"
    ]
    behind = alice.get(f"/v1/batches/{id}").json()["eta"]
    assert behind["p50"] > opens.timestamp() - 60
    assert behind["late"] == "certain: its windows do not open before then; a later time or another window helps"
    alice.patch(f"/v1/batches/{id}", json={"windows": None})
    assert alice.get(f"/v1/batches/{id}").json()["eta"]["p50"] < opens.timestamp() - 3600
    alice.post(f"/v1/batches/{id}/pause")
    assert alice.get(f"/v1/batches/{id}").json()["eta"] is None


def test_a_batch_with_too_small_a_budget_says_why_it_has_no_end(served: House, alice: httpx.Client) -> None:
    id = made(alice, {"batch": {"budget": {"renders": 30}}}, *briefs(*map(str, range(40))))["id"]
    shown = alice.get(f"/v1/batches/{id}").json()
    assert (shown["eta"], shown["waits"]) == (None, "")
    assert shown["eta_unknown"].startswith("its budget is likely to be spent before it has ended")
    assert "Ends: not known, its budget is likely" in alice.get(f"/batches/{id}").text
    alice.patch(f"/v1/batches/{id}", json={"budget": None})
    shown = alice.get(f"/v1/batches/{id}").json()
    assert shown["eta"]["p50"] > time.time()
    assert shown["eta_unknown"] == ""


def test_what_takes_too_long_is_waited_for_by_nobody(served: House, alice: httpx.Client) -> None:
    read, go_on = threading.Event(), threading.Event()

    class Hanging(Shelf):
        def load_batch(self, id: str) -> Batch:
            read.set()
            go_on.wait()
            return super().load_batch(id)

    id = made(alice, *briefs("x"))["id"]
    record = served.ledger.get(submit(alice))
    assert record
    shelf = Hanging(FolderStore(served.folder))
    forecasts = Forecasts(served.ledger, shelf, served.settings(), list, patience_s=0.01)
    standings = [one for one in served.dispatcher().batches.listed(None, 10) if one.batch == id]
    try:
        assert forecasts.etas(standings) == {}
        assert read.wait(60)
        assert forecasts.etas(standings) == {}, "it is not begun twice"
        assert forecasts.of_job(record, "drawing") == (None, SOON)
    finally:
        go_on.set()


def test_a_batch_is_told_though_its_forecast_fails(served: House) -> None:
    class Busy(Ledger):
        def run(self, script: str, *arguments: Any) -> Any:
            if script == "census":
                raise StoreError("Redis: TimeoutError")
            return super().run(script, *arguments)

    served.ledger = Busy(served.redis, served.settings().limits)
    with browse(served.app(), **ALICE) as alice:
        found = alice.get(f"/v1/batches/{made(alice, *briefs('x'))['id']}")
        assert (found.status_code, found.json()["eta"], found.json()["counts"]["waiting"]) == (200, None, 1)
