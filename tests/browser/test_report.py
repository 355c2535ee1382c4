"""The report in a real browser: readable by everybody, on everything, without scripts or a network."""

import pytest

from tests.browser.conftest import Open, Town
from tests.browser.looking import faults, overflow

NARROW = (320, 360, 400)


@pytest.fixture(params=["done", "alone"])
def report(request: pytest.FixtureRequest) -> str:
    """Both forms of the page: served, and as a file."""
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (360, False), (360, True)])
def test_axe_finds_nothing(done: str, tab: Open, width: int, dark: bool) -> None:
    assert faults(tab(done, width=width, dark=dark)) == []


def test_axe_finds_nothing_in_the_file(alone: str, tab: Open) -> None:
    assert faults(tab(alone)) == []


def test_it_asks_for_nothing_elsewhere_and_breaks_no_policy(report: str, tab: Open) -> None:
    opened = tab(report)
    opened.page.mouse.wheel(0, 20_000)
    assert {url for url in opened.asked if not url.startswith("data:")} == {report}
    assert opened.complaints == []


@pytest.mark.parametrize("width", NARROW)
def test_a_phone_need_not_scroll_sideways(report: str, tab: Open, width: int) -> None:
    assert overflow(tab(report, width=width).page) == []


def test_every_picture_is_drawn(report: str, tab: Open) -> None:
    page = tab(report).page
    sizes = page.evaluate("() => Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth)))")
    assert len(sizes) == 25
    assert min(sizes) > 200


def test_the_dark_is_dark(done: str, tab: Open) -> None:
    shades = [
        tab(done, dark=dark).page.evaluate("() => getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
        for dark in (False, True)
    ]
    assert int(shades[0]) > 200
    assert int(shades[1]) < 60


def test_evidence_is_reached_by_pointer_and_by_keyboard(report: str, tab: Open) -> None:
    page = tab(report).page
    tip = page.locator("#e-1-g4")
    assert not tip.is_visible()
    page.locator("#goal-g4 button").first.hover()
    assert tip.is_visible()
    page.mouse.move(0, 0)
    assert not tip.is_visible()
    page.locator("#goal-g3 button").last.focus()
    page.keyboard.press("Tab")
    assert tip.is_visible()
    assert "OCR reads 'HARRBOUR DAYS'" in tip.inner_text()
    box = tip.bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= 1200


def test_evidence_fits_a_phone(done: str, tab: Open) -> None:
    page = tab(done, width=360).page
    page.locator("#goal-g4 button").last.click()
    box = page.locator("#e-best-g4").bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= 360


def test_the_keyboard_goes_past_the_table(done: str, tab: Open) -> None:
    page = tab(done).page
    page.get_by_role("link", name="Skip the table").focus()
    page.keyboard.press("Enter")
    assert page.url.endswith("#cost")


@pytest.mark.parametrize("width", [1200, 360])
def test_a_screen_reader_finds_its_way(done: str, tab: Open, width: int) -> None:
    page = tab(done, width=width).page
    for role in ("banner", "navigation", "main", "contentinfo"):
        assert page.get_by_role(role).count() == 1, role
    table = page.get_by_role("region", name="Table of goals").get_by_role("table")
    assert table.get_by_role("rowheader").count() == 8
    assert table.get_by_role("columnheader", name="Round 3 rolled back").count() == 1
    cell = table.get_by_role("row", name="Set “HARBOUR DAYS”").get_by_role("cell").nth(3)
    button = cell.get_by_role("button", name="missed")
    assert button.evaluate("b => document.getElementById(b.getAttribute('aria-describedby')).textContent.length") > 20
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.get_by_role("img", name="Round 2, candidate 3 of 4: picked, accepted").count() == 1


def test_the_brief_leads_to_the_goals(done: str, tab: Open) -> None:
    page = tab(done).page
    page.locator(".prose a", has_text="goal 4").click()
    assert page.url.endswith("#goal-g4")
    assert page.locator("#goal-g4").is_visible()


def test_a_click_opens_the_full_size(done: str, tab: Open) -> None:
    page = tab(done).page
    page.locator("#r2-c3 .frame a").click()
    page.wait_for_url("**/images/*")
    assert page.evaluate("() => document.images[0].naturalWidth") == 512


def test_in_a_file_a_picture_enlarges_itself(alone: str, tab: Open) -> None:
    page = tab(alone).page
    picture = page.locator("#r2-c3 img")
    before = picture.bounding_box()
    page.locator("#r2-c3 .frame a").click()
    after = picture.bounding_box()
    assert before and after and after["height"] > 2 * before["height"]
    page.get_by_role("link", name="Close").locator("visible=true").click()
    assert picture.bounding_box() != after


def test_it_works_without_scripts(done: str, tab: Open) -> None:
    page = tab(done, scripts=False).page
    page.locator("#goal-g4 button").first.hover()
    assert page.locator("#e-1-g4").is_visible()


def test_it_prints_on_white_without_what_only_a_screen_needs(done: str, tab: Open) -> None:
    page = tab(done, dark=True).page
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.get_by_role("navigation").is_visible()
    box = page.locator(".lead img").bounding_box()
    assert box and box["height"] / box["width"] == pytest.approx(640 / 512, rel=0.02)
    assert page.locator("#round-1 blockquote").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_a_running_job_says_that_it_reloads(town: Town, tab: Open) -> None:
    opened = tab(f"{town.url}/v1/jobs/{town.job(rounds=2, stop=False)}/report")
    assert faults(opened) == []
    opened.page.get_by_role("link", name="Stop that").click()
    assert opened.page.get_by_role("link", name="Keep it up to date").is_visible()
