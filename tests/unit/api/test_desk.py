"""The desk: batches with pictures, filters, and buttons that only our own pages can press."""

import base64
import json
from pathlib import Path

import httpx
import pytest
from justhtml import JustHTML

from tests.support.api import ALICE, House, browse
from tests.support.mornings import Morning, drawn


def basic(token: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'me:{token}'.encode()).decode()}", "Accept": "text/html"}


ALICE_AT_HER_BROWSER = basic("alice-token")


@pytest.fixture
def morning(alice: httpx.Client, house: House) -> Morning:
    return drawn(house, alice, "good", "short", "worse")


def read(client: httpx.Client, path: str) -> JustHTML:
    answer = client.get(path)
    assert answer.status_code == 200
    return JustHTML(answer.text, sanitize=False, strict=True)


def names(page: JustHTML) -> list[str]:
    return [card.attrs["data-name"] for card in page.query(".card")]


def pressed(client: httpx.Client, batch: str, order: str, **more: str) -> httpx.Response:
    fields = {"order": order, **more}
    return client.post(f"/batches/{batch}/orders", data=fields, follow_redirects=False)


def token_of(client: httpx.Client, batch: str) -> str:
    return read(client, f"/batches/{batch}").query("input[name=form]")[0].attrs["value"]


def test_batches_are_listed_with_a_picture(alice: httpx.Client, morning: Morning) -> None:
    page = read(alice, "/batches")
    [tile] = page.query(".card")
    assert "3 of 3 ended: 1 done, 2 unmet" in tile.to_text()
    [link] = tile.query("h2 a")
    assert link.attrs["href"] == f"/batches/{morning.batch}"
    [cover] = tile.query("img")
    assert alice.get(cover.attrs["src"]).headers["Content-Type"] == "image/webp"


def test_a_batch_shows_what_its_items_miss(alice: httpx.Client, morning: Morning) -> None:
    page = read(alice, f"/batches/{morning.batch}")
    assert names(page) == ["short", "worse", "good"]
    pictures = [img.attrs["src"] for img in page.query(".card img")]
    assert all(alice.get(src).status_code == 200 for src in pictures) and len(pictures) == 3
    assert "Fog lies over the water" in page.query(".card")[0].to_text()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("sort=name", ["good", "short", "worse"]),
        ("sort=best", ["good", "short", "worse"]),
        ("show=done", ["good"]),
        ("show=unmet&words=WOR", ["worse"]),
        ("words=nothing", []),
        ("page=2", []),
    ],
)
def test_a_batch_is_searched_filtered_and_sorted(
    alice: httpx.Client, morning: Morning, query: str, found: list[str]
) -> None:
    assert names(read(alice, f"/batches/{morning.batch}?{query}")) == found


def test_a_button_of_the_page_does_what_it_says(house: House, alice: httpx.Client) -> None:
    lines = b'{"brief": "A lamp"}\n{"brief": "A chair"}\n'
    batch = alice.post("/v1/batches", content=lines).json()["id"]
    with browse(house.app(), **ALICE_AT_HER_BROWSER) as browser:
        token = token_of(browser, batch)
        answer = pressed(browser, batch, "pause", form=token)
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/batches/{batch}")
        assert alice.get(f"/v1/batches/{batch}").json()["status"] == "paused"
        assert "Resume" in read(browser, f"/batches/{batch}").to_text()
        pressed(browser, batch, "resume", form=token)
        assert alice.get(f"/v1/batches/{batch}").json()["status"] == "open"
        pressed(browser, batch, "front", form=token)
        pressed(browser, batch, "cancel", form=token)
        assert alice.get(f"/v1/batches/{batch}").json()["counts"]["cancelled"] == 2
        assert pressed(browser, batch, "explode", form=token).status_code == 422


def test_a_foreign_page_presses_nothing(house: House, morning: Morning) -> None:
    with browse(house.app(), **ALICE_AT_HER_BROWSER) as browser:
        token = token_of(browser, morning.batch)
        assert pressed(browser, morning.batch, "retry").status_code == 403
        for wrong in ("0" * 64, "é" * 64):
            assert pressed(browser, morning.batch, "retry", form=wrong).status_code == 403
        foreign = {"Origin": "https://evil.example"}
        answer = browser.post(
            f"/batches/{morning.batch}/orders", data={"order": "retry", "form": token}, headers=foreign
        )
        assert answer.status_code == 403
        # What is no form of a page still takes a bearer token, and no password.
        assert browser.post(f"/v1/batches/{morning.batch}/pause").status_code == 401
    with browse(house.app(), **basic("bob-token")) as bob:
        assert pressed(bob, morning.batch, "retry", form=token).status_code == 403
        assert bob.get(f"/batches/{morning.batch}").status_code == 404


def test_who_may_only_read_gets_no_buttons(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("alice reader-token read\n")
    house = House(tmp_path / "house")
    app = house.app(tokens_file=tokens)
    with browse(app, **ALICE) as alice:
        batch = alice.post("/v1/batches", content=json.dumps({"brief": "A lamp"}).encode()).json()["id"]
    with browse(app, **basic("reader-token")) as browser:
        assert not read(browser, f"/batches/{batch}").query("form.orders")
        assert pressed(browser, batch, "pause", form="x").status_code == 403
