"""A plan is simulated hour by hour, so it can't reach far."""

import time

import httpx


def test_a_plan_reaches_a_year(alice: httpx.Client) -> None:
    far = alice.get("/v1/plan", params={"briefs": 1, "by": time.time() + 400 * 86_400})
    assert (far.status_code, [wrong["field"] for wrong in far.json()["errors"]]) == (422, ["by"])
    assert alice.get("/v1/plan", params={"briefs": 1, "cards": 1, "by": time.time() + 3600}).status_code == 200


def test_a_plan_of_more_cards_than_it_knows_names_the_field(alice: httpx.Client) -> None:
    many = alice.get("/v1/plan", params={"briefs": 1_000_000, "by": time.time() + 60})
    assert (many.status_code, [wrong["field"] for wrong in many.json()["errors"]]) == (422, ["by"])
