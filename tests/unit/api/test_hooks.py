"""Hooks over the API, and the command."""

import time
from collections.abc import Iterator
from io import BytesIO, StringIO

import httpx
import pytest
from rich.console import Console as RichConsole

from api.cli import run
from api.cli.console import SATISFIED, SHORT, USAGE, Console, Screen
from api.cli.parser import parser
from api.client import Client
from tasks.notices.shelf import NoticeShelf
from tasks.notices.types import Delivered, Event, notice_of
from tests.support.api import ALICE, BOB, House, browse
from tests.support.receivers import Answer, Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def app(house: House) -> Iterator[httpx.Client]:
    """Where private receivers are allowed."""
    with browse(house.app(private_hooks=True), **ALICE) as client:
        yield client


def test_a_hook_is_added_tried_listed_and_removed(app: httpx.Client, receiver: Receiver) -> None:
    answer = app.post("/v1/hooks", json={"url": receiver.url})
    made = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"/v1/hooks/{made['id']}")
    assert "batch.ended" in made["events"]
    assert "job.ended" not in made["events"]
    receiver.secret = made["secret"]
    assert app.post(f"/v1/hooks/{made['id']}/test").json() == {"ok": True, "status": 204, "error": ""}
    assert [notice.verified for notice in receiver.notices] == [True]
    assert app.get("/v1/hooks").json()["hooks"] == [{**made, "secret": None}]
    assert app.delete(f"/v1/hooks/{made['id']}").status_code == 204
    assert app.get("/v1/hooks").json() == {"hooks": []}


def test_another_secret(app: httpx.Client, receiver: Receiver) -> None:
    made = app.post("/v1/hooks", json={"url": receiver.url}).json()
    changed = app.post(f"/v1/hooks/{made['id']}/rotate").json()
    for receiver.secret in (made["secret"], changed["secret"]):
        app.post(f"/v1/hooks/{made['id']}/test")
    assert made["secret"] != changed["secret"]
    assert [notice.verified for notice in receiver.notices] == [True, True]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "http://127.0.0.1/"}, "url"), ({"url": "https://10.0.0.1/"}, "url"), ({"url": "night"}, "url"),
        ({"url": "mailto:ada@example.org"}, "url"), ({}, "url"), ({"url": "https://1.1.1.1", "events": []}, "events"),
        ({"url": "https://1.1.1.1", "events": ["batch.done"]}, "events.0"),
        ({"url": "https://1.1.1.1", "events": ["hook.test"]}, "events"),
        ({"url": "https://1.1.1.1", "evnts": []}, "evnts"),
    ],
)  # fmt: skip
def test_what_can_not_be_used(alice: httpx.Client, body: object, field: str) -> None:
    answer = alice.post("/v1/hooks", json=body)
    assert answer.status_code == 422
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert alice.get("/v1/hooks").json() == {"hooks": []}


def test_of_others_nobody_hears(house: House, app: httpx.Client, receiver: Receiver) -> None:
    made = app.post("/v1/hooks", json={"url": receiver.url}).json()
    with browse(house.app(private_hooks=True), **BOB) as bob:
        assert bob.get("/v1/hooks").json() == {"hooks": []}
        for method, path in (("DELETE", ""), ("POST", "/rotate"), ("POST", "/test"), ("POST", "/replay")):
            assert bob.request(method, f"/v1/hooks/{made['id']}{path}").status_code == 404
    assert receiver.notices == []


class TestTheCommand:
    def call(self, app: httpx.Client, line: str) -> tuple[int, str]:
        args, output = parser().parse_args(line.split()), StringIO()
        screen = Screen(RichConsole(file=output, highlight=False, width=200), args.json, RichConsole(stderr=True))

        def ask(request: httpx.Request) -> httpx.Response:
            return app.request(
                request.method, str(request.url), content=request.read(), headers=dict(request.headers) | ALICE
            )

        with Client("http://127.0.0.1", transport=httpx.MockTransport(ask)) as client:
            code = run(args, Console(client, screen, BytesIO(), lambda _: None))
        return code, output.getvalue()

    def test_every_action(self, app: httpx.Client, receiver: Receiver) -> None:
        answers: list[Answer] = [(500, {}), (204, {})]
        receiver.answer = answers.pop
        code, told = self.call(app, f"hook add {receiver.url} --event batch.ended")
        assert code == SATISFIED
        assert "whsec_" in told
        id = app.get("/v1/hooks").json()["hooks"][0]["id"]
        assert self.call(app, f"hook test {id}") == (SATISFIED, "well        it answered 204\n")
        assert self.call(app, f"hook test {id}") == (SHORT, "failed      answered 500\n")
        code, told = self.call(app, "hook list")
        assert (code, id in told, "ended" in told, "whsec_" in told) == (SATISFIED, True, True, False)
        assert "whsec_" in self.call(app, f"hook rotate {id}")[1]
        assert self.call(app, f"hook replay {id}")[0] == SATISFIED
        assert self.call(app, f"hook remove {id}")[0] == SATISFIED
        assert "no hooks" in self.call(app, "hook list")[1]

    def test_what_was_not_told(self, house: House, app: httpx.Client) -> None:
        self.call(app, "hook add http://127.0.0.1:9/night")
        [made] = app.get("/v1/hooks").json()["hooks"]
        shelf = NoticeShelf(house.shelf.store)
        notices = [notice_of("alice", f"b{n}", Event.ENDED, "0", 1.0, {"id": f"b{n}"}) for n in range(3)]
        for notice in notices:
            shelf.add(made["id"], notice)
            house.ledger.run("noted", "", f"{made['id']}|{notice.id}")
        assert "3 to be told; the next try is due\n" in self.call(app, "hook list")[1]
        for notice in notices[1:]:
            house.ledger.run("tried", f"{made['id']}|{notice.id}", 3_600_000, "answered 500")
        ended = Delivered(notice=notices[0].id, type=Event.ENDED, at=1.0, tries=10, error="x")
        shelf.settle(made["id"], ended, notices[0])
        house.ledger.run("tried", f"{made['id']}|{notices[0].id}", "", "answered 503")

        told = app.get("/v1/hooks").json()["hooks"][0]
        assert (told["waiting"], told["dead"], told["error"]) == (2, 1, "answered 503")
        assert (round(told["failed"] - time.time(), -1), round(told["next_try"] - time.time(), -1)) == (0, 3600)
        _, waiting, dead, error = self.call(app, "hook list")[1].splitlines()
        assert waiting.strip().startswith("2 to be told; the next try is at ")
        assert dead.strip() == f"1 given up: visiondirector hook replay {made['id']}"
        assert error.strip().endswith(": answered 503")
        assert "sent        3 notices" in self.call(app, f"hook replay {made['id']}")[1]
        assert "3 to be told; the next try is due\n" in self.call(app, "hook list")[1]

    def test_a_bad_address(self, app: httpx.Client) -> None:
        code, _ = self.call(app, "hook add ftp://x")
        assert code == USAGE
