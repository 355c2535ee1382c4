"""Orders as the buttons of one form. What can't be taken back is asked for once more, by a page without a script."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from api.forms import TOKEN
from director.report.html import Html, html, join

FORM = "orders"
"""The id of the form, for buttons that stand elsewhere on the page."""


@dataclass(frozen=True)
class Buttons:
    """`words` of orders by name. Those in `asks` lead to the page `ask(name)`, where `asked` is that name, and which
    says these words before it lets anybody go on."""

    to: str
    words: Mapping[str, str]
    asks: Mapping[str, str]
    asked: str
    ask: Callable[[str], str]


def form(buttons: Buttons, token: str) -> Html:
    """`token` is that of api/forms.py."""
    if buttons.asked in buttons.asks and buttons.asked in buttons.words:
        inside = _asked(buttons)
    else:
        inside = join((_button(buttons, name) for name in buttons.words), "\n")
    return html(
        '<form class="orders" id="$id" method="post" action="$to"><input type="hidden" name="$field" value="$token">'
        "$inside</form>",
        id=FORM, to=buttons.to, field=TOKEN, token=token, inside=inside,
    )  # fmt: skip


def _button(buttons: Buttons, name: str) -> Html:
    if name in buttons.asks:
        return html('<a class="act" href="$to">$words …</a>', to=buttons.ask(name), words=buttons.words[name])
    return html('<button class="act" name="order" value="$name">$words</button>', name=name, words=buttons.words[name])


def _asked(buttons: Buttons) -> Html:
    name = buttons.asked
    return html(
        '<div class="ask" role="group" aria-label="$words"><p>$asks</p>'
        '<button class="act grave" name="order" value="$name">$words</button> '
        '<a class="act" href="$back">Leave it as it is</a></div>',
        asks=buttons.asks[name], name=name, words=buttons.words[name], back=buttons.ask(""),
    )  # fmt: skip


def elsewhere(name: str, words: str, about: str) -> Html:
    """A button of the form that stands somewhere else; `about` says for a screen reader which one it is."""
    return html(
        '<button class="act small" form="$form" name="order" value="$name" aria-label="$about">$words</button>',
        form=FORM, name=name, words=words, about=about,
    )  # fmt: skip
