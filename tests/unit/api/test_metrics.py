"""What the API tells Prometheus."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.metrics import MOST_QUEUES, bounded
from director.errors import Actor, StoreError
from tasks.ledger.types import Claim, QueueDepth
from tasks.reconcile import entry_of
from tests.support.api import ALICE, House, browse, opening, stopped

OPERATOR = {"Authorization": "Bearer olga-token"}


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(tmp_path)
    house.tokens["olga"] = {"token": "olga-token", "scopes": ["read", "write", "operate"]}
    return house


@pytest.fixture
def operator(house: House) -> Iterator[httpx.Client]:
    with browse(house.app(), **OPERATOR) as client:
        yield client


class Scrape:
    def __init__(self, client: httpx.Client) -> None:
        response = client.get("/metrics")
        assert response.status_code == 200
        self.text = response.text
        self.samples = {
            (sample.name.removeprefix("visiondirector_"), *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
        }

    def __getitem__(self, key: tuple[str, ...]) -> float | None:
        return self.samples.get((key[0], *sorted(key[1:])))


def test_a_scrape_needs_a_token_that_operates(house: House) -> None:
    with browse(house.app()) as stranger:
        assert stranger.get("/metrics").status_code == 401
    with browse(house.app(), **ALICE) as alice:
        assert alice.get("/metrics").status_code == 403


def test_without_tokens_this_machine_may_scrape(house: House) -> None:
    house.tokens = {}
    with browse(house.app()) as local:
        assert local.get("/metrics").status_code == 200
    with browse(house.app(), host="192.0.2.7") as stranger:
        assert stranger.get("/metrics").status_code == 403


def test_a_record_that_was_lost_is_counted_and_stands_until_it_is_entered_again(
    house: House, operator: httpx.Client
) -> None:
    job = operator.post("/v1/jobs", json={"brief": "A lamp"}).json()["id"]
    now = Scrape(operator)
    assert (now["records_broken",], now["records_set_aside_total",]) == (0, 0)
    house.ledger._redis.delete(f"{house.ledger.prefix}job:{job}")  # pyright: ignore[reportPrivateUsage]
    house.ledger.jobs()
    now = Scrape(operator)
    assert (now["records_broken",], now["records_set_aside_total",]) == (1, 1)
    entry = entry_of(house.archive, job)
    assert entry
    assert house.ledger.create(entry)
    now = Scrape(operator)
    assert (now["records_broken",], now["records_set_aside_total",]) == (0, 1)


def test_queues_move_as_a_job_does(house: House, operator: httpx.Client) -> None:
    house.ledger.announce("thinker@a", ["planner", "judge"], 60_000)
    assert Scrape(operator)["queue_waiting", "planner"] == 0
    job = operator.post("/v1/jobs", json={"brief": "A lamp"}).json()["id"]
    now = Scrape(operator)
    assert (now["queue_waiting", "planner"], now["queue_leased", "planner"]) == (1, 0)
    assert (now["queue_workers", "planner"], now["workers", "planner"]) == (1, 1)
    assert now["jobs", "queued"] == 1
    claim = house.ledger.claim(job, 0, "host")
    assert isinstance(claim, Claim)
    now = Scrape(operator)
    assert (now["queue_waiting", "planner"], now["queue_leased", "planner"], now["jobs", "running"]) == (0, 1, 1)
    for _ in range(3):
        house.ledger.fail(job, 0, claim.nonce, "{}", Actor.SEAT, "host-1", 0, 0)
        again = house.ledger.claim(job, 0, "host")
        claim = again if isinstance(again, Claim) else claim
    now = Scrape(operator)
    assert (now["jobs", "failed"], now["dead_letters_total", "planner"]) == (1, 1)


def test_what_nobody_knows_is_not_zero(house: House, operator: httpx.Client) -> None:
    class Away:
        def __getattr__(self, name: str) -> object:
            raise StoreError("away")

    app = house.app()
    app.state.api = replace(
        app.state.api,
        service=type("S", (), {"ledger": Away()})(),
        checks={"ledger": lambda: False, "storage": lambda: True},
    )
    with browse(app, **OPERATOR) as client:
        now = Scrape(client)
    assert (now["ready", "ledger"], now["ready", "storage"]) == (0, 1)
    assert not any(name.startswith(("queue_", "jobs")) for name, *_ in now.samples)


def test_routes_are_counted_and_ids_are_not_labels(house: House, operator: httpx.Client) -> None:
    job = operator.post("/v1/jobs", json={"brief": "A lamp", "settings": {"editor": "dall-e"}}).json()["id"]
    house.commit(job, *opening())
    house.commit(job, stopped())
    operator.get(f"/v1/jobs/{job}")
    operator.get("/v1/jobs/no-such-job")
    operator.get("/secret/path?token=x")
    operator.request("BREW", "/pot")
    now = Scrape(operator)
    assert now["api_seconds_count", "GET", "/v1/jobs/{id}", "200"] == 1
    assert now["api_seconds_count", "GET", "/v1/jobs/{id}", "404"] == 1
    assert now["api_seconds_count", "GET", "none", "404"] == 1
    assert now["api_seconds_count", "other", "none", "404"] == 1
    for word in (job, "secret", "BREW", "olga"):
        assert word not in now.text


@pytest.fixture
def many() -> list[QueueDepth]:
    return [QueueDepth(queue=f"editor.m{n:03}", waiting=n, leased=0, oldest_ms=n) for n in range(1, 100)]


def test_users_cannot_grow_the_labels(many: list[QueueDepth]) -> None:
    found = bounded([*many, QueueDepth(queue="planner", waiting=1, leased=0)], {"planner": ["a"], "judge": ["a"]})
    assert [depth.queue for depth in found[:3]] == ["judge", "planner", "editor.m099"]
    assert len(found) == 2 + MOST_QUEUES + 1
    assert found[-1].queue == "other"
    assert sum(depth.waiting for depth in found) == 1 + sum(range(1, 100))
    assert found[-1].oldest_ms == 99 - MOST_QUEUES


def test_a_queue_that_nobody_serves_and_that_is_empty_is_left_out() -> None:
    assert bounded([QueueDepth(queue="editor.gone", waiting=0, leased=0)], {}) == []
