"""The list of jobs in a real browser."""

from pathlib import Path

import httpx
import pytest

from tests.browser.conftest import Open, Town, serving
from tests.browser.looking import faults, overflow
from tests.support.api import House


@pytest.fixture(scope="module", autouse=True)
def busy(town: Town) -> None:
    """One done, one at work, one waiting with a title that nothing could break well."""
    town.job()
    town.job(rounds=3, stop=False)
    body = {"brief": {"text": "A lamp", "title": "W" * 120}, "labels": ["autumn", "poster"]}
    httpx.post(f"{town.url}/v1/jobs", json=body, trust_env=False)


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (1440, True), (360, False), (360, True)])
def test_axe_finds_nothing(town: Town, tab: Open, width: int, dark: bool) -> None:
    waiting = httpx.get(f"{town.url}/v1/jobs?status=queued", trust_env=False).json()["jobs"][0]["id"]
    for path in ("/jobs?words=harbour&sort=worst", f"/v1/jobs/{waiting}/report?ask=cancel"):
        opened = tab(f"{town.url}{path}", width=width, dark=dark)
        assert faults(opened) == []
        assert overflow(opened.page) == []
        assert opened.complaints == []


def test_axe_finds_nothing_in_an_empty_list(town: Town, tab: Open) -> None:
    assert faults(tab(f"{town.url}/jobs?status=cancelled")) == []


@pytest.mark.parametrize("width", [320, 360, 400])
def test_a_phone_need_not_scroll_sideways(town: Town, tab: Open, width: int) -> None:
    assert overflow(tab(f"{town.url}/jobs", width=width).page) == []


def test_it_leads_to_a_report(town: Town, tab: Open) -> None:
    page = tab(f"{town.url}/").page
    page.locator(".jobs").get_by_role("link", name="Harbour Days").first.click()
    assert page.get_by_role("heading", level=1, name="Harbour Days").is_visible()
    page.get_by_role("link", name="All jobs").click()
    assert page.get_by_role("heading", level=1, name="Jobs").is_visible()


def test_its_picture_leads_there_too(town: Town, tab: Open) -> None:
    page = tab(f"{town.url}/jobs").page
    card = page.locator(".jobs .card", has_text="Harbour Days").first
    card.locator(".shot").click(force=True)  # the link of the title lies over it
    page.get_by_role("heading", level=1, name="Harbour Days").wait_for()


def test_a_search_needs_no_script(town: Town, tab: Open) -> None:
    page = tab(f"{town.url}/jobs?status=queued&status=running", scripts=False).page
    page.get_by_label("Search").fill("harbour")
    page.get_by_label("Order").select_option("worst")
    page.get_by_role("button", name="Apply").click()
    assert "status=queued&status=running&words=harbour&sort=worst" in page.url
    assert [card.inner_text() for card in page.locator(".jobs h2").all()] == ["Harbour Days"]


def test_a_job_is_cancelled_in_two_presses(tab: Open, tmp_path: Path) -> None:
    with serving(House(tmp_path)) as guarded:
        headers = {"Authorization": "Bearer alice-token"}
        with httpx.Client(base_url=guarded.url, trust_env=False, headers=headers) as alice:
            id = alice.post("/v1/jobs", json={"brief": "A lamp"}).json()["id"]
            page = tab(f"{guarded.url}/v1/jobs/{id}/report", token="alice-token", scripts=False).page
            page.get_by_role("button", name="Pause").click()
            page.get_by_role("button", name="Resume").wait_for()
            page.get_by_role("link", name="Cancel the job …").click()
            assert not guarded.house.ledger.get(id).cancel
            page.get_by_role("button", name="Cancel the job").click()
            page.wait_for_url(f"**/v1/jobs/{id}/report")
            assert guarded.house.ledger.get(id).cancel


def test_another_candidate_is_delivered(town: Town, tab: Open) -> None:
    id = town.job(rounds=2)
    page = tab(f"{town.url}/v1/jobs/{id}/report").page
    page.get_by_role("button", name="Deliver candidate 4 of round 2").click()
    page.get_by_text("Picked by hand in place of").wait_for()
    assert faults(tab(page.url)) == []
    page.get_by_role("button", name="Deliver the loop’s choice again").click()
    page.get_by_text("Final picture: round 2").wait_for()


def test_it_loads_itself_again(town: Town, tab: Open) -> None:
    page = tab(f"{town.url}/jobs").page
    with page.expect_navigation(timeout=30_000):
        pass
    assert page.get_by_role("list").last.is_visible()


def test_a_browser_asks_for_the_token_as_a_password(tab: Open, tmp_path: Path) -> None:
    with serving(House(tmp_path)) as guarded:
        page = tab(guarded.url, token="alice-token").page
        assert page.get_by_role("heading", level=2, name="No jobs yet").is_visible()
        refused = tab(guarded.url, token="wrong").page
        assert not refused.get_by_role("heading", level=2, name="No jobs yet").is_visible()
