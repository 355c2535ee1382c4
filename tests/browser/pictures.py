"""The pictures of README.md and docs/: `python -m tests.browser.pictures [--demo FOLDER] [--flower URL USER:PASSWORD]`.

Of what `make demo` left: docs/demo.jpg, its three pictures, and docs/report.jpg, two views of the report of the last
one. With the address of a Flower, docs/flower.png, its list of tasks.
"""

import argparse
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, ViewportSize, sync_playwright

from infra.servers import CHECKOUT
from tests.browser.conftest import ARGUMENTS, CHROMIUM

DOCS = CHECKOUT / "docs"
DEMO = ("night-owl", "moor-star-party", "harbour-at-dusk")
GAP = 14  # pixels
VIEW = ViewportSize(width=1100, height=1090)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, default=CHECKOUT / "out" / "demo")
    parser.add_argument("--flower", nargs=2, metavar=("URL", "USER:PASSWORD"))
    asked = parser.parse_args()
    found = [next(asked.demo.glob(f"{name}-*.png")) for name in DEMO]
    beside([Image.open(path) for path in found], 520).save(DOCS / "demo.jpg", quality=88)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        report(browser, found[-1].with_suffix(".html")).save(DOCS / "report.jpg", quality=82)
        if asked.flower:
            flower(browser, *asked.flower)
        browser.close()


def beside(pictures: list[Image.Image], height: int) -> Image.Image:
    """All of one height, with a gap between them."""
    scaled = [each.convert("RGB").resize((each.width * height // each.height, height)) for each in pictures]
    whole = Image.new("RGB", (sum(each.width + GAP for each in scaled) - GAP, height), "white")
    at = 0
    for each in scaled:
        whole.paste(each, (at, 0))
        at += each.width + GAP
    return whole


def report(browser: Browser, page: Path) -> Image.Image:
    """Its top, and its goals by rounds with the evidence for the first that was missed."""
    tab = browser.new_page(viewport=VIEW)
    tab.goto(page.as_uri())
    views = [tab.screenshot()]
    tab.locator("#goals td.missed button").first.focus()
    tab.wait_for_timeout(500)  # what lies above is drawn on the way, and moves it
    tab.evaluate("document.querySelector('#goals').scrollIntoView()")
    views.append(tab.screenshot())
    return beside([Image.open(BytesIO(view)) for view in views], 790)


def flower(browser: Browser, url: str, login: str) -> None:
    user, _, password = login.partition(":")
    tab = browser.new_page(
        viewport={"width": 1440, "height": 900}, http_credentials={"username": user, "password": password}
    )
    tab.goto(f"{url}/tasks")
    tab.get_by_text("· step").first.wait_for()
    Image.open(BytesIO(tab.screenshot())).quantize(64).save(DOCS / "flower.png", optimize=True)


if __name__ == "__main__":
    main()
