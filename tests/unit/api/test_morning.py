"""What people look at in the morning: tables, the archive, and the gallery."""

import csv
import io
import json
import zipfile

import httpx
import pytest
from justhtml import JustHTML

from tasks.files import file_stem
from tasks.png_metadata import read_png_metadata
from tasks.store import FolderStore, Images
from tests.support.api import ALICE, BOB, House, browse
from tests.support.mornings import Morning, drawn

ODD = "50% #1/../<b>"


@pytest.fixture
def morning(alice: httpx.Client, house: House) -> Morning:
    return drawn(house, alice, "good", "short", ODD)


def opened(alice: httpx.Client, morning: Morning, query: str = "") -> zipfile.ZipFile:
    response = alice.get(f"/v1/batches/{morning.batch}/archive.zip{query}")
    assert response.headers["Content-Type"] == "application/zip"
    found = zipfile.ZipFile(io.BytesIO(response.content))
    assert found.testzip() is None
    return found


@pytest.mark.parametrize("asked", ["query", "header"])
def test_results_are_a_table_on_demand(alice: httpx.Client, morning: Morning, asked: str) -> None:
    path = f"/v1/batches/{morning.batch}/results"
    csv_headers = {"Accept": "text/csv"}
    response = alice.get(f"{path}?format=csv") if asked == "query" else alice.get(path, headers=csv_headers)
    assert response.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(response.text, newline="")))
    told = [json.loads(line) for line in alice.get(path).text.splitlines()]
    assert [row["custom_id"] for row in rows] == [each["custom_id"] for each in told]
    assert [int(row["met"]) for row in rows] == [each["met"] for each in told]
    assert alice.get(f"{path}?format=jsonl", headers=csv_headers).text == alice.get(path).text


def test_an_archive_holds_everything_under_the_names_of_the_items(alice: httpx.Client, morning: Morning) -> None:
    found, stem = opened(alice, morning), file_stem(ODD)
    folder = f"night-{morning.batch[:8]}"
    names = {f"{folder}/{name}" for name in ("index.html", "results.csv", "results.jsonl")}
    for item in ("good", "short", stem):
        names |= {f"{folder}/{item}.png", f"{folder}/thumbs/{item}.webp", f"{folder}/reports/{item}.html"}
    assert set(found.namelist()) == names
    told = [json.loads(line) for line in found.read(f"{folder}/results.jsonl").splitlines()]
    assert {each["custom_id"] for each in told} == {"good", "short", ODD}
    for each in told:
        picture = read_png_metadata(found.read(f"{folder}/{file_stem(each['custom_id'])}.png"))
        assert picture.image == each["image"]
    assert b"Goals by rounds" in found.read(f"{folder}/reports/good.html")


def test_an_archive_without_reports_is_smaller(alice: httpx.Client, morning: Morning) -> None:
    found = opened(alice, morning, "?reports=false")
    assert not [name for name in found.namelist() if "/reports/" in name]
    assert b"reports/" not in found.read(f"night-{morning.batch[:8]}/index.html")


def test_a_picked_candidate_is_in_archive_and_gallery(alice: httpx.Client, morning: Morning) -> None:
    alice.put(f"/v1/jobs/{morning.jobs['short']}/pick", json={"round": 2, "candidate": 1})
    wanted = alice.get(f"/v1/jobs/{morning.jobs['short']}").json()["picked"]["image"]
    found, folder = opened(alice, morning), f"night-{morning.batch[:8]}"
    assert read_png_metadata(found.read(f"{folder}/short.png")).image == wanted
    page = JustHTML(found.read(f"{folder}/index.html").decode(), sanitize=False, strict=True)
    [card] = page.query("[data-picked]")
    assert card.attrs["data-name"] == "short"
    assert "round 2, candidate 1; no verifier looked at it" in card.to_text()


def test_a_picture_that_is_lost_is_named_and_harms_nobody(alice: httpx.Client, house: House, morning: Morning) -> None:
    picked = alice.put(f"/v1/jobs/{morning.jobs['short']}/pick", json={"round": 1, "candidate": 1}).json()["picked"]
    (house.folder / "images" / f"{picked['image']}.png").unlink()
    house.images = Images(FolderStore(house.folder))  # it has not read the picture before
    with browse(house.app(), **ALICE) as fresh:
        found, folder = opened(fresh, morning, "?reports=false"), f"night-{morning.batch[:8]}"
    assert found.read(f"{folder}/missing.txt").decode().splitlines() == ["short.png", "thumbs/short.webp"]
    assert f"{folder}/good.png" in found.namelist()


def test_the_gallery_shows_the_worst_first_and_what_they_miss(alice: httpx.Client, morning: Morning) -> None:
    response = alice.get(f"/v1/batches/{morning.batch}/gallery?pictures=jpg&reports=true")
    page = JustHTML(response.text, sanitize=False, strict=True)
    cards = page.query(".card")
    assert [card.attrs["data-name"] for card in cards] == [ODD, "short", "good"]
    assert [card.attrs["data-status"] for card in cards] == ["unmet", "unmet", "done"]
    assert "fog lies over the water" in cards[0].to_text().lower()
    assert page.query(".card .shot a")[1].attrs["href"] == "short.jpg"
    assert page.query(".card h2 a")[1].attrs["href"] == "reports/short.html"
    odd = page.query(".card .shot a")[0].attrs["href"]
    assert odd == f"{file_stem(ODD).replace(' ', '%20')}.jpg"
    assert not set(odd) & set('#<>"/')
    policy = response.headers["Content-Security-Policy"]
    assert "script-src 'sha256-" in policy and "unsafe" not in policy and "default-src 'none'" in policy


def test_others_get_nothing(house: House, morning: Morning) -> None:
    with browse(house.app(), **BOB) as bob:
        for name in ("archive.zip", "gallery", "results?format=csv"):
            assert bob.get(f"/v1/batches/{morning.batch}/{name}").status_code == 404
