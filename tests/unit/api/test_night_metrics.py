"""What the API tells Prometheus of nights, as it stands on /metrics; and that the dashboard finds what it asks for."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, generate_latest

from infra.servers import CHECKOUT
from tasks.metrics import ReconcilerMeter, StepMeter, WorkerMemory
from tasks.notices.hooks import Hooks
from tasks.notices.post import Poster
from tasks.notices.shelf import NoticeShelf
from tasks.notices.types import CHOICE
from tasks.settings import MAX_STEP_S
from tests.support.api import ALICE, House, browse
from tests.support.mornings import drawn
from tests.unit.api.test_metrics import OPERATOR, Scrape

DASHBOARD = CHECKOUT / "infra" / "grafana" / "dashboards" / "visiondirector.json"
OWNERS = {"alice": {"budget": {"renders": 100}, "windows": ["00:00-12:00 UTC", "12:00-00:00 UTC"]}}
MODELS = {"flux-krea": {"windows": ["mon 03:00-03:01 UTC"]}}


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(tmp_path)
    house.tokens["olga"] = {"token": "olga-token", "scopes": ["read", "write", "operate"]}
    house.batches_ruled(owners=OWNERS, models=MODELS)
    return house


@pytest.fixture
def app(house: House) -> FastAPI:
    return house.app()


@pytest.fixture
def alice(app: FastAPI) -> Iterator[httpx.Client]:
    with browse(app, **ALICE) as client:
        yield client


def scrape(app: FastAPI) -> Scrape:
    with browse(app, **OPERATOR) as operator:
        return Scrape(operator)


def sent(client: httpx.Client, title: str, editor: str, items: int = 2, **about: object) -> str:
    header = {"batch": {"title": title, "settings": {"editor": editor}, **about}}
    lines = [header, *({"custom_id": f"{n}", "brief": {"text": "A harbour"}} for n in range(items))]
    answer = client.post("/v1/batches", content="".join(json.dumps(line) + "\n" for line in lines).encode())
    assert answer.status_code < 300, answer.text
    return str(answer.json()["id"])


def test_batches_by_how_they_stand(app: FastAPI, alice: httpx.Client) -> None:
    sent(alice, "shut", "flux-krea")
    sent(alice, "open", "sketch")
    paused = sent(alice, "paused", "sketch", items=3, budget={"renders": 10})
    assert alice.post(f"/v1/batches/{paused}/pause").status_code == 200
    found = scrape(app)
    by_standing = {name: found["batches", name] for name in ("drawing", "window", "paused", "budget", "unknown")}
    assert by_standing == {"drawing": 1, "window": 1, "paused": 1, "budget": 0, "unknown": 0}
    assert found["batch_items_left",] == 7
    assert found["batch_budget_used_ratio",] == 0
    assert (found["window_open", "owner", "alice"], found["window_open", "model", "flux-krea"]) == (1, 0)


def test_a_batch_is_late_once_its_deadline_has_passed(house: House, app: FastAPI, alice: httpx.Client) -> None:
    sent(alice, "due", "sketch", deadline=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    sent(alice, "whenever", "sketch")
    assert scrape(app)["batches_late",] == 0
    house.ledger.clock_offset_ms += 7_200_000
    assert scrape(app)["batches_late",] == 1


def test_items_that_ended_and_what_is_used(house: House, app: FastAPI, alice: httpx.Client) -> None:
    drawn(house, alice, "a", "b", "c")
    found = scrape(app)
    assert [found["batch_items_ended_total", outcome] for outcome in ("done", "unmet", "failed", "cancelled")] == [
        1, 2, 0, 0,
    ]  # fmt: skip
    assert (found["batch_items_left",], found["batches", "drawing"]) == (0, 0)
    assert found["owner_budget_used_ratio", "alice"] == 0
    assert found["batch_budget_used_ratio",] is None, "no batch has one"


def test_when_it_will_have_ended_comes_with_a_later_scrape(app: FastAPI, house: House, alice: httpx.Client) -> None:
    house.ledger.announce("editor@test", ["editor.sketch"], 3_600_000)
    house.ledger.announce("others@test", ["planner", "judge", "verifier"], 3_600_000)
    sent(alice, "open", "sketch")
    scrape(app)  # it waits for no forecast
    app.state.api.night_eta.wait()
    told = scrape(app)["night_eta_timestamp",]
    eta = alice.get("/v1/batches").json()["batches"][0]["eta"]
    assert told == eta["p50"]


def test_what_hooks_were_not_told(house: House, app: FastAPI, alice: httpx.Client) -> None:
    store = house.shelf.store
    Hooks(house.ledger, NoticeShelf(store), Poster(private=True)).add("alice", "http://127.0.0.1:9/", CHOICE)
    drawn(house, alice, "a")
    assert scrape(app)["notices_untold",] == 4, "it started, is half done, a job and all of it have ended"


def test_what_nobody_knows_is_no_number(house: House, app: FastAPI) -> None:
    house.wipe()
    assert not any(name.startswith(("batch", "night", "owner")) for name, *_ in scrape(app).samples)


def test_all_that_the_dashboard_asks_for_is_on_the_pages_of_the_programs(
    house: House, app: FastAPI, alice: httpx.Client
) -> None:
    """The API's page over HTTP, and what a reconciler and a worker answer."""
    house.ledger.announce("editor@test", ["editor.sketch"], 3_600_000)
    house.ledger.announce("others@test", ["planner", "judge", "verifier"], 3_600_000)
    sent(alice, "open", "sketch", budget={"renders": 1_000})
    scrape(app)
    app.state.api.night_eta.wait()
    registry = CollectorRegistry()
    StepMeter(registry, MAX_STEP_S)
    ReconcilerMeter(registry)
    registry.register(WorkerMemory())
    pages = scrape(app).text + generate_latest(registry).decode()
    told = set(re.findall(r"^# TYPE (\S+)", pages, re.M)) | set(re.findall(r"^(visiondirector_\w+)", pages, re.M))
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = {name for panel in panels for each in panel.get("targets", ()) for name in _names(each["expr"])}
    assert len(asked) > 30
    assert {name for name in asked if not _is_told(name, told)} == set()


def _names(expression: str) -> list[str]:
    return re.findall(r"\bvisiondirector_\w+", expression)


def _is_told(name: str, told: set[str]) -> bool:
    """A histogram's parts and a counter without an event are told by their type."""
    return name in told or re.sub("_(bucket|count|sum|total)$", "", name) in told
