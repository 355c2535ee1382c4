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


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (360, False)])
def test_axe_finds_nothing(town: Town, tab: Open, width: int, dark: bool) -> None:
    opened = tab(f"{town.url}/jobs", width=width, dark=dark)
    assert faults(opened) == []
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


def test_it_loads_itself_again(town: Town, tab: Open) -> None:
    page = tab(f"{town.url}/jobs").page
    with page.expect_navigation(timeout=30_000):
        pass
    assert page.get_by_role("table").is_visible()


def test_a_browser_asks_for_the_token_as_a_password(tab: Open, tmp_path: Path) -> None:
    with serving(House(tmp_path)) as guarded:
        page = tab(guarded.url, token="alice-token").page
        assert page.get_by_role("heading", level=2, name="No jobs yet").is_visible()
        refused = tab(guarded.url, token="wrong").page
        assert not refused.get_by_role("heading", level=2, name="No jobs yet").is_visible()
