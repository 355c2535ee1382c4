"""Batches that ended long ago are on the lists, behind those that the ledger knows; and what nobody draws is told."""

import uuid
from typing import Any

import httpx

from director.types import Outcome
from tests.support.api import BOB, House
from tests.unit.api.test_batches import EDITOR, admit, briefs, end, made

OLDEST = f"ended-{10**14}-{uuid.UUID(int=2**128 - 1)}"


def forgotten(house: House, client: httpx.Client, *titles: str) -> None:
    """Batches that have ended and that the ledger has dropped."""
    for title in titles:
        made(client, {"batch": {"title": title}}, *briefs("x"), key=title)
        for job in admit(house):
            end(house, job, Outcome.MET, Outcome.MET)
    dispatcher = house.dispatcher(report_every_s=0.001)
    dispatcher.report()
    dispatcher.close()
    assert dispatcher.batches.ledger.forget(0) == len(titles)


def pages(client: httpx.Client, **asked: Any) -> list[list[str]]:
    found, cursor = list[list[str]](), None
    while True:
        params = asked | ({"cursor": cursor} if cursor else {})
        answer = client.get("/v1/batches", params=params).json()
        found.append([batch["title"] for batch in answer["batches"]])
        if not (cursor := answer["next"]):
            return found


def test_they_are_listed_behind_the_others(house: House, alice: httpx.Client) -> None:
    forgotten(house, alice, "first", "second")
    made(alice, {"batch": {"title": "now"}}, *briefs("x"), key="now")
    assert pages(alice) == [["now"], ["second", "first"]]
    assert [page for page in pages(alice, limit=1) if page] == [["now"], ["second"], ["first"]]
    assert pages(alice, status="open") == [["now"]]
    assert pages(alice, status="ended") == [[], ["second", "first"]]
    assert alice.get("/v1/batches", headers=BOB, params={"cursor": OLDEST}).json()["batches"] == []


def test_the_page_shows_them_where_there_are_no_others(house: House, alice: httpx.Client) -> None:
    forgotten(house, alice, "the only night")
    assert "the only night" in alice.get("/batches").text


def test_a_part_that_nobody_draws_is_told(house: House, alice: httpx.Client) -> None:
    house.ledger.announce("worker", [EDITOR], 60_000)
    found = made(alice, {"batch": {"matrix": {"editor": ["flux-krea", "nobody"]}}}, *briefs("x"))
    assert found["waits"] == "waiting: no worker serves editor.nobody"
