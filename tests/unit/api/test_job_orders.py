"""The buttons of a job's page: what each does, when it is there, and that only our own pages press them."""

import base64
from pathlib import Path

import httpx
import pytest
from justhtml import JustHTML

from director.errors import Actor
from tasks.ledger.types import Claim
from tests.support.api import ALICE, House, browse
from tests.support.gallery import regatta


def basic(token: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'me:{token}'.encode()).decode()}", "Accept": "text/html"}


ALICE_AT_HER_BROWSER = basic("alice-token")


def report(client: httpx.Client, job: str, query: str = "") -> JustHTML:
    answer = client.get(f"/v1/jobs/{job}/report{query}")
    assert answer.status_code == 200
    return JustHTML(answer.text, sanitize=False, strict=True)


def buttons(page: JustHTML) -> list[str]:
    """Orders of the form, those that are asked about first among them."""
    pressed = [button.attrs["value"] for button in page.query("form.orders button")]
    return pressed + [link.attrs["href"].partition("ask=")[2] for link in page.query("form.orders a")]


def press(client: httpx.Client, job: str, order: str, **more: str) -> httpx.Response:
    [field] = report(client, job).query("input[name=form]")
    return client.post(f"/jobs/{job}/orders", data={"order": order, "form": field.attrs["value"], **more})


@pytest.fixture
def job(alice: httpx.Client) -> str:
    return alice.post("/v1/jobs", json={"brief": "A lamp"}).json()["id"]


@pytest.fixture
def done(alice: httpx.Client, house: House) -> str:
    id = alice.post("/v1/jobs", json={"brief": "A harbour"}).json()["id"]
    house.commit(id, *regatta(house.images.put, rounds=2, candidates=2).events)
    return id


def test_a_job_is_paused_hurried_and_resumed(house: House, alice: httpx.Client, job: str) -> None:
    with browse(house.app(), **ALICE_AT_HER_BROWSER) as browser:
        assert buttons(report(browser, job)) == ["pause", "sooner", "cancel"]
        answer = press(browser, job, "pause")
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/v1/jobs/{job}/report")
        assert alice.get(f"/v1/jobs/{job}").json()["paused"]
        assert buttons(report(browser, job)) == ["resume", "sooner", "cancel"]
        press(browser, job, "resume")
        assert not alice.get(f"/v1/jobs/{job}").json()["paused"]
        for priority in (3, 0, 0):
            press(browser, job, "sooner")
            assert alice.get(f"/v1/jobs/{job}").json()["priority"] == priority
        assert buttons(report(browser, job)) == ["pause", "cancel"]


def test_what_cant_be_taken_back_is_asked_once_more(house: House, alice: httpx.Client, job: str) -> None:
    with browse(house.app(), **ALICE_AT_HER_BROWSER) as browser:
        answer = browser.get(f"/v1/jobs/{job}/report?ask=cancel")
        assert "Refresh" not in answer.headers  # nobody answers against a clock
        asked = report(browser, job, "?ask=cancel")
        assert buttons(asked) == ["cancel", ""]
        assert "can’t be taken back" in asked.query(".ask")[0].to_text()
        press(browser, job, "cancel")
        assert house.ledger.get(job).cancel
        assert "cancel" not in buttons(report(browser, job))
        assert buttons(report(browser, job, "?ask=explode")) == ["pause", "sooner"]


def test_another_candidate_is_delivered_until_that_is_undone(house: House, alice: httpx.Client, done: str) -> None:
    with browse(house.app(), **ALICE_AT_HER_BROWSER) as browser:
        page = report(browser, done)
        assert buttons(page) == []
        picks = [button.attrs["value"] for button in page.query(".grid button")]
        assert picks == ["pick 1.1", "pick 1.2", "pick 2.2"]  # 2.1 is what is delivered
        assert all(button.attrs["form"] == "orders" for button in page.query(".grid button"))
        press(browser, done, "pick 1.2")
        picked = alice.get(f"/v1/jobs/{done}").json()["picked"]
        assert (picked["round"], picked["candidate"]) == (1, 2)
        page = report(browser, done)
        assert [button.attrs["value"] for button in page.query(".grid button")] == ["pick 1.1", "pick 2.1", "pick 2.2"]
        assert "picked by hand" in page.query("#r1-c2")[0].to_text()
        assert buttons(page) == ["undo"]
        press(browser, done, "undo")
        assert "picked" not in alice.get(f"/v1/jobs/{done}").json()
        assert press(browser, done, "pick 9.1").status_code == 422
        for nonsense in ("pick", "pick x.y", "pick 0.1", "explode", ""):
            assert press(browser, done, nonsense).status_code == 422
        assert press(browser, done, "pause").status_code == 409


def test_a_dead_letter_is_tried_again(house: House, alice: httpx.Client, job: str) -> None:
    for _ in range(3):
        claim = house.ledger.claim(job, 0, "worker-1")
        assert isinstance(claim, Claim)
        house.ledger.fail(job, 0, claim.nonce, '{"boundary": "planner", "message": "no"}', Actor.SEAT, "worker-1")
    assert alice.get(f"/v1/jobs/{job}").json()["status"] == "failed"
    with browse(house.app(), **ALICE_AT_HER_BROWSER) as browser:
        assert buttons(report(browser, job)) == ["requeue"]
        press(browser, job, "requeue")
    assert alice.get(f"/v1/jobs/{job}").json()["status"] == "queued"


def test_a_foreign_page_presses_nothing(house: House, job: str) -> None:
    with browse(house.app(), **ALICE_AT_HER_BROWSER) as browser:
        place = f"/jobs/{job}/orders"
        assert browser.post(place, data={"order": "cancel"}).status_code == 403
        assert browser.post(place, data={"order": "cancel", "form": "0" * 64}).status_code == 403
        foreign = {"Origin": "https://evil.example"}
        [field] = report(browser, job).query("input[name=form]")
        token = {"form": field.attrs["value"]}
        assert browser.post(place, data={"order": "cancel", **token}, headers=foreign).status_code == 403
    with browse(house.app(), **basic("bob-token")) as bob:
        assert bob.post(place, data={"order": "cancel", **token}).status_code == 403
    assert not house.ledger.get(job).cancel


def test_who_may_only_read_gets_no_buttons(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("alice reader-token read\n")
    house = House(tmp_path / "house")
    app = house.app(tokens_file=tokens)
    with browse(app, **ALICE) as alice:
        id = alice.post("/v1/jobs", json={"brief": "A harbour"}).json()["id"]
        house.commit(id, *regatta(house.images.put, rounds=1, candidates=2).events)
        alone = alice.get(f"/v1/jobs/{id}/report?standalone=true").text
        assert "<form" not in alone and "<button class" not in alone
    with browse(app, **basic("reader-token")) as browser:
        page = report(browser, id)
        assert not page.query("form, .grid button")
        assert browser.get(f"/v1/jobs/{id}/report").headers["Referrer-Policy"] == "no-referrer"
        assert browser.post(f"/jobs/{id}/orders", data={"order": "cancel", "form": "x"}).status_code == 403
