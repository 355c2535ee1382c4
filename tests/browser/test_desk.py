"""The desk and the gallery in a real browser."""

import io
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.browser.conftest import Open, Town, serving
from tests.browser.looking import faults, overflow
from tests.support.api import House
from tests.support.mornings import Morning, drawn

SIZES = [(1440, False), (1440, True), (390, False), (390, True)]


@pytest.fixture(scope="module")
def night(town: Town) -> Morning:
    with httpx.Client(base_url=town.url, trust_env=False, timeout=60) as client:
        made = drawn(town.house, client, *(f"poster {n}" for n in range(6)), title="Autumn night")
        client.put(f"/v1/jobs/{made.jobs['poster 3']}/pick", json={"round": 2, "candidate": 1})
        client.post("/v1/batches", content=b'{"batch": {"title": "Waiting"}}\n{"brief": "A lamp"}\n{"brief": "B"}\n')
    return made


@pytest.fixture(scope="module")
def gallery(town: Town, night: Morning, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of the gallery of an unpacked archive."""
    folder = tmp_path_factory.mktemp("unpacked")
    answer = httpx.get(f"{town.url}/v1/batches/{night.batch}/archive.zip", trust_env=False, timeout=120)
    zipfile.ZipFile(io.BytesIO(answer.content)).extractall(folder)
    return next(folder.glob("*/index.html")).as_uri()


@pytest.mark.parametrize(("width", "dark"), SIZES)
def test_axe_finds_nothing(town: Town, night: Morning, gallery: str, tab: Open, width: int, dark: bool) -> None:
    waiting = httpx.get(f"{town.url}/v1/batches?limit=1", trust_env=False).json()["batches"][0]["id"]
    desk = ("?words=t&sort=worst", f"/{night.batch}", f"/{waiting}?ask=cancel")
    for url in (*(f"{town.url}/batches{each}" for each in desk), gallery):
        opened = tab(url, width=width, dark=dark)
        assert faults(opened) == []
        assert overflow(opened.page) == []
        assert opened.complaints == []


def test_the_gallery_filters_sorts_and_asks_for_nothing_elsewhere(gallery: str, tab: Open) -> None:
    opened = tab(gallery)
    page = opened.page
    shown = page.locator(".card:visible")
    assert shown.count() == 6
    page.get_by_label("Show").select_option("picked")
    assert [card.get_attribute("data-name") for card in shown.all()] == ["poster 3"]
    page.get_by_label("Show").select_option("")
    page.get_by_label("Order").select_option("best")
    assert shown.first.get_attribute("data-name") == "poster 0"
    page.get_by_label("Search").fill("poster 4")
    assert shown.count() == 1
    assert page.locator("output").inner_text() == "1 of 6"
    assert all(url.startswith(("file:", "data:")) for url in opened.asked)
    assert shown.first.locator("img").evaluate("img => img.decode().then(() => img.naturalWidth)") == 512
    shown.first.get_by_role("link", name="poster 4 title", exact=True).click()
    assert page.get_by_role("heading", name="Goals by rounds").is_visible()


def test_the_gallery_works_without_scripts(gallery: str, tab: Open) -> None:
    page = tab(gallery, scripts=False).page
    assert page.locator(".card:visible").count() == 6
    assert not page.locator(".filters").is_visible()


def test_buttons_work_with_a_password(tab: Open, tmp_path: Path) -> None:
    with serving(House(tmp_path)) as guarded:
        headers = {"Authorization": "Bearer alice-token"}
        with httpx.Client(base_url=guarded.url, trust_env=False, headers=headers) as alice:
            id = alice.post("/v1/batches", content=b'{"brief": "A lamp"}\n{"brief": "B"}\n').json()["id"]
            page = tab(f"{guarded.url}/batches/{id}", token="alice-token").page
            page.get_by_role("button", name="Pause").click()
            page.get_by_role("button", name="Resume").wait_for()
            assert alice.get(f"/v1/batches/{id}").json()["status"] == "paused"


def test_a_batch_is_found_by_its_picture(town: Town, night: Morning, tab: Open) -> None:
    page = tab(f"{town.url}/batches").page
    page.get_by_role("link", name="Autumn night").first.click()
    page.get_by_role("link", name="All met", exact=True).click()
    assert page.locator(".card").count() == 1
    assert page.get_by_role("heading", level=2, name="poster 0 title").is_visible()
