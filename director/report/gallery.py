"""The gallery of a batch: a card for each item, the worst first. Its script only hides and orders what is there."""

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from director.report.html import NOTHING, Html, fill, html, join
from director.report.page import bar, document
from director.transcript import count

MAX_CARDS = 2000
"""In one page; the table beside it has the others, too."""
_FEW = 3  # goals that a card shows unfolded
_STATES = {  # class and words of each status, the worst first
    "failed": ("missed", "failed"),
    "unmet": ("unsure", "not all met"),
    "cancelled": ("unseen", "cancelled"),
    "done": ("met", "all met"),
}
_RANKS = {name: rank for rank, name in enumerate(_STATES)}


class Card(NamedTuple):
    """An item that has ended. `picture`, `thumb` and `report` are references, "" where there is nothing.

    `met` of `total` goals are met by what the loop ended with; `missed` and `unsure` are goals of the picture that is
    shown. `picked` says in words what a person picked in its place.
    """

    custom_id: str
    title: str
    status: str
    met: int
    total: int
    missed: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()
    picked: str = ""
    error: str = ""
    width: int = 1
    height: int = 1
    picture: str = ""
    thumb: str = ""
    report: str = ""

    @property
    def badness(self) -> tuple[int, float, str]:
        """A smaller one stands before: what failed, then what misses most."""
        return _RANKS.get(self.status, 0), self.met / self.total if self.total else 0.0, self.custom_id


def card(each: Card) -> Html:
    state, words = _STATES.get(each.status, ("unseen", each.status))
    return fill(
        "card",
        status=each.status,
        hand=html(' data-picked="yes"') if each.picked else NOTHING,
        name=each.custom_id,
        picture=_picture(each),
        title=html('<a href="$to">$title</a>', to=each.report, title=each.title) if each.report else each.title,
        id=html('<code>$id</code>', id=each.custom_id) if each.custom_id != each.title else NOTHING,
        state=state,
        words=words,
        score=f"{each.met} of {count(each.total, 'goal')} met" if each.total else "",
        bar=_bar(each) if each.total else NOTHING,
        picked=html('<p class="small picked">$words</p>', words=each.picked) if each.picked else NOTHING,
        goals=join([_goals("missed", each.missed), _goals("not judged", each.unsure)]),
        error=html('<p class="small"><bdi>$error</bdi></p>', error=each.error[:300]) if each.error else NOTHING,
    )  # fmt: skip


def _picture(each: Card) -> Html:
    if not each.thumb:
        return html('<span class="none">no picture</span>')
    shown = html(
        '<img src="$src" alt="$alt" width="$width" height="$height" loading="lazy" decoding="async">',
        src=each.thumb, alt=f"Picture for “{each.title}”", width=each.width, height=each.height,
    )  # fmt: skip
    return html('<a href="$to">$shown</a>', to=each.picture, shown=shown) if each.picture else shown


def _bar(each: Card) -> Html:
    return bar([("met", each.met), ("unseen", each.total - each.met)], f"{each.met} of {each.total} goals met")


def _goals(what: str, words: Sequence[str]) -> Html:
    """Goals that are not met: a few to read at once, more to unfold."""
    if not words:
        return NOTHING
    items = join(html("<li><bdi>$words</bdi></li>", words=_short(each)) for each in words)
    if len(words) <= _FEW:
        return html('<p class="small">$what:</p><ul class="open">$items</ul>', what=what.capitalize(), items=items)
    said = f"{len(words)} {what}"
    return html('<details class="small"><summary>$said</summary><ul class="open">$items</ul></details>',
                said=said, items=items)  # fmt: skip


def _short(words: str, most: int = 140) -> str:
    line = " ".join(words.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def gallery(title: str, about: str, cards: Iterable[Html], left_out: int = 0) -> str:
    """The whole page as a file: it works from a disk and asks for nothing but its pictures. `cards` are in order."""
    shown = list(cards)
    more = NOTHING
    if left_out:
        more = html(
            '<p class="note">The $n that stand best are left out here: results.csv has them all.</p>', n=f"{left_out:,}"
        )
    body = fill("gallery", title=title, about=about, count=len(shown), cards=join(shown, "\n"), more=more)
    return document(f"{title} · gallery", body, script())


@cache
def script() -> str:
    return (files("director.report") / "gallery.js").read_text("utf-8")
