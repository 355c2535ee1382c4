"""What is wrong with a page, as a list to compare with an empty one."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import Tab


def overflow(page: Page) -> list[str]:
    """What sticks out of the window to the side."""
    return page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("body *")]
        .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + "." + e.className)"""
    )


def faults(tab: Tab) -> list[str]:
    """What axe holds against the page."""
    found = Axe().run(tab.page).response["violations"]
    return [f"{each['id']}: {node['html'][:160]}" for each in found for node in each["nodes"]]
