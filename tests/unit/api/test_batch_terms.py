"""Windows, deadlines and budgets over HTTP: what is taken, what is shown, why a batch waits, and what is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tasks.summary import Cost
from tests.support.api import ALICE, House, browse, opening
from tests.unit.api.test_batches import admit, briefs, errors, made, post

SOON = datetime.now(UTC) + timedelta(hours=2)
WINDOW = f"{SOON:%H:%M}-{SOON + timedelta(hours=3):%H:%M} UTC"


def start(client: httpx.Client, *names: str, **terms: Any) -> dict[str, Any]:
    return made(client, {"batch": terms}, *briefs(*names))


def show(client: httpx.Client, id: str) -> dict[str, Any]:
    response = client.get(f"/v1/batches/{id}")
    assert response.status_code == 200, response.text
    return response.json()


def test_terms_are_taken_and_shown(house: House, alice: httpx.Client) -> None:
    found = start(
        alice, "x", windows=[f"mon-fri {WINDOW}"], at_close="hold", by="2030-01-01T07:00+01:00", spread=True,
        budget={"renders": 400, "gpu": "1h30m"},
    )["terms"]  # fmt: skip
    assert found == {
        "windows": [f"mon,tue,wed,thu,fri {WINDOW}"], "at_close": "hold", "deadline": 1893477600.0, "late": False,
        "by": True, "price": None, "spread": True,
        "budget": {
            "renders": 400, "gpu_seconds": 5400.0, "money": None, "currency": "", "spent_renders": 0,
            "spent_gpu_seconds": 0.0, "spent_money": 0.0, "share": 0.0,
        },
    }  # fmt: skip


def test_a_deadline_by_the_clock_is_the_next_one_behind_the_submit(house: House, alice: httpx.Client) -> None:
    found = start(alice, "x", deadline="07:00 Europe/Zurich")
    at = datetime.fromtimestamp(found["terms"]["deadline"], UTC)
    assert 0 < found["terms"]["deadline"] - found["created"] <= 90_000
    assert at.hour in {5, 6}
    again = post(alice, [{"batch": {"deadline": "07:00 Europe/Zurich"}}, *briefs("x")])
    assert (again.status_code, again.json()["terms"]["deadline"]) == (200, found["terms"]["deadline"])


def test_a_deadline_by_date_and_zone(alice: httpx.Client) -> None:
    for words, at in (
        ("2030-01-01 07:00 Europe/Zurich", 1893477600.0), ("2030-01-01T07:00 UTC", 1893481200.0),
        ("2030-01-01 07:00+01:00", 1893477600.0), ("2030-03-31 02:30 Europe/Zurich", 1901149200.0),
    ):  # fmt: skip
        response = post(alice, [{"batch": {"deadline": words}}, *briefs("x")], key=words)
        assert response.json()["terms"]["deadline"] == at


def test_why_it_waits_for_its_window(house: House, alice: httpx.Client) -> None:
    found = start(alice, "x", windows=[WINDOW])
    admit(house)
    assert show(alice, found["id"])["waits"] == f"waits for its window until {SOON:%H:%M} UTC"
    patched = alice.patch(f"/v1/batches/{found['id']}", json={"windows": None})
    assert (patched.json()["waits"], patched.json()["terms"]["windows"]) == ("", [])
    assert len(admit(house)) == 1


def test_what_has_begun_ends_while_the_rest_waits(house: House, alice: httpx.Client) -> None:
    id = start(alice, *"uvwxyz")["id"]
    assert len(admit(house)) == 4
    behind = made(alice, *briefs("later"), key="behind")["id"]
    assert show(alice, behind)["waits"] == "waits for its turn behind 4 items of other batches"
    shut = alice.patch(f"/v1/batches/{id}", json={"windows": [WINDOW]}).json()
    assert shut["waits"] == f"what has not begun waits for its window until {SOON:%H:%M} UTC"
    held = alice.patch(f"/v1/batches/{id}", json={"at_close": "hold"}).json()
    assert held["waits"] == f"waits for its window until {SOON:%H:%M} UTC"


def test_why_it_is_held_and_what_lets_it_on(house: House, alice: httpx.Client) -> None:
    found = start(alice, *"uvwxyz", budget={"renders": 4})
    [job, *_] = admit(house)
    house.commit(job, *opening(), cost=Cost(renders=4))
    shown = show(alice, found["id"])
    fix = f"visiondirector batch patch {found['id'][:8]} --budget renders=8"
    assert shown["waits"] == f"held: its budget of 4 renders is spent; {fix}"
    assert (shown["terms"]["budget"]["spent_renders"], shown["terms"]["budget"]["share"]) == (4, 1.0)
    drawing = {each["job"]: each["doing"] for each in shown["drawing"]}
    assert drawing[job] == "held: the budget of its batch is spent"
    assert alice.get(f"/v1/jobs/{job}").json()["doing"] == "held: the budget of its batch is spent"
    patched = alice.patch(f"/v1/batches/{found['id']}", json={"budget": {"renders": 8}})
    assert patched.json()["waits"] == ""
    lowered = alice.patch(f"/v1/batches/{found['id']}", json={"budget": {"renders": 1}})
    assert lowered.json()["waits"].endswith("its budget of 1 renders is spent; " + fix)


def test_what_nothing_bars_any_more_is_not_told_to_be_paused(house: House, alice: httpx.Client) -> None:
    """As after a wipe, when what was spent is known again, and the reconciler's next pass lets it go on."""
    id = start(alice, "x")["id"]
    [job] = admit(house)
    house.batches_ruled(owners={"alice": {"budget": {"renders": 4}, "per": "day"}})
    house.commit(job, *opening(), cost=Cost(renders=4))
    house.batches_ruled(owners={})
    assert alice.get(f"/v1/jobs/{job}").json()["doing"] == "goes on in a moment"
    alice.post(f"/v1/batches/{id}/pause")
    assert alice.get(f"/v1/jobs/{job}").json()["doing"] == "paused with its batch"


def test_what_is_being_drawn_costs_something_already(house: House, alice: httpx.Client) -> None:
    id = start(alice, "x")["id"]
    [job] = admit(house)
    house.commit(job, *opening(), cost=Cost(renders=4, gpu_ms=1500))
    cost = show(alice, id)["cost"]
    assert (cost["renders"], cost["gpu_seconds"]) == (4, 1.5)


def test_what_the_settings_say_of_an_owner_and_a_model(house: House) -> None:
    owners = {"alice": {"windows": [WINDOW]}}
    with browse(house.app(owners=owners), **ALICE) as alice:
        found = start(alice, "x")
        house.batches_ruled(owners=owners)
        assert show(alice, found["id"])["waits"] == f"waits for the window of alice until {SOON:%H:%M} UTC"
    models = {"flux-krea": {"windows": [WINDOW]}}
    with browse(house.app(models=models), **ALICE) as alice:
        house.batches_ruled(models=models)
        assert show(alice, found["id"])["waits"] == f"waits for the window of flux-krea until {SOON:%H:%M} UTC"
    budgets = {"alice": {"budget": {"renders": 4}, "per": "day"}}
    with browse(house.app(owners=budgets), **ALICE) as alice:
        house.batches_ruled(owners=budgets)
        [job, *_] = admit(house)
        house.batches_ruled(owners=budgets)
        house.commit(job, *opening(), cost=Cost(renders=4))
        start_more = made(alice, *briefs("y"), key="more")
        waits = show(alice, start_more["id"])["waits"]
        assert waits.startswith("held: the budget of alice of 4 renders a day is spent (20")
        assert "VISIONDIRECTOR_OWNERS" in waits


def test_money_needs_prices(house: House, alice: httpx.Client) -> None:
    [wrong] = errors(post(alice, [{"batch": {"budget": {"eur": 20}}}, *briefs("x")]))
    assert (wrong["field"], wrong["message"]) == ("batch.budget.eur", "no model has a price")
    with browse(house.app(models={"flux-krea": {"gpu_hour": 2.5}}), **ALICE) as priced:
        [wrong] = errors(post(priced, [{"batch": {"budget": {"usd": 20}}}, *briefs("x")]))
        assert (wrong["field"], wrong["message"]) == ("batch.budget.usd", "the prices of models are in eur")
        found = start(priced, "x", budget={"eur": 20})
        assert found["terms"]["budget"]["money"] == 20.0
        [wrong] = errors(priced.patch(f"/v1/batches/{found['id']}", json={"budget": {"usd": 1}}))
        assert wrong["field"] == "budget.usd"


@pytest.mark.parametrize(
    ("terms", "field", "message"),
    [
        ({"windows": ["22:00-07:00"]}, "batch.windows.0", "zone is missing"),
        ({"windows": ["22:00-07:00 Mars/Base"]}, "batch.windows.0", "no time zone"),
        ({"windows": "22:00-07:00 UTC"}, "batch.windows", ""),
        ({"at_close": "stop"}, "batch.at_close", ""),
        ({"deadline": "tomorrow"}, "batch.deadline", "no time"),
        ({"by": "2026-11-29T07:00"}, "batch.by", "has no zone"),
        ({"by": "07:00 UTC", "deadline": "08:00 UTC"}, "batch.deadline", "both given"),
        ({"budget": {"renders": 0}}, "batch.budget", "above 0"),
        ({"budget": {"renders": 1.5}}, "batch.budget", "whole numbers"),
        ({"budget": {"gpu": "2 days"}}, "batch.budget", "no duration"),
        ({"budget": {"pictures": 4}}, "batch.budget", "no unit"),
        ({"budget": {"renders": "many"}}, "batch.budget", "must be a number"),
        ({"budget": {"renders": "inf"}}, "batch.budget", "at most a million million"),
        ({"budget": {"gpu": "nan"}}, "batch.budget", "no duration"),
        ({"budget": {"renders": 10**400}}, "batch.budget", "at most a million million"),
        ({"by": "2026-11-29T07:00+01:00 Europe/Zurich"}, "batch.by", "has two zones"),
        ({"by": "0001-01-01 00:00 Europe/Zurich"}, "batch.by", "too far away"),
    ],
)
def test_what_can_not_be_used_is_named(alice: httpx.Client, terms: dict[str, Any], field: str, message: str) -> None:
    [wrong, *_] = errors(post(alice, [{"batch": terms}, *briefs("x")]))
    assert wrong["field"] == field
    assert message in wrong["message"]


def test_a_plan_until_a_time_that_has_passed_is_refused(house: House, alice: httpx.Client) -> None:
    response = alice.get("/v1/plan", params={"briefs": 10, "by": 1_000_000_000})
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {
            "field": "by", "message": "is a time that has passed",
            "fix": "write one to come, in seconds since the epoch",
        }
    ]  # fmt: skip


def test_a_plan_has_the_price_of_the_settings(house: House) -> None:
    asked = {"briefs": 4, "by": (datetime.now(UTC) + timedelta(hours=8)).timestamp(), "editor": "flux-krea"}
    with browse(house.app(models={"flux-krea": {"gpu_hour": 2.5, "render": 0.1}}), **ALICE) as priced:
        found = priced.get("/v1/plan", params=asked).json()
    assert (found["card_price"], found["currency"]) == (2.5, "eur")
    assert found["money"] == pytest.approx(found["gpu_hours"] * 2.5 + found["renders"] * 0.1)
    with browse(house.app(), **ALICE) as free:
        assert free.get("/v1/plan", params=asked).json()["money"] is None
