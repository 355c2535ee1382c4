"""HTML templates: whatever is filled in is escaped, unless it is markup that was made here."""

import html as stdlib
import unicodedata
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from string import Template
from typing import LiteralString

_HIDDEN = "\N{REPLACEMENT CHARACTER}"
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of the text behind them, out of sight."""


class Html(str):
    """Markup. Joined with `+` it becomes a plain string again, and is escaped when it is filled in."""

    __slots__ = ()


def text(value: object) -> Html:
    """Anything as text: escaped, and characters that steer rather than show replaced by a visible mark."""
    shown = str(value)
    # A look at each character takes most of a report's time, in pictures written as data: URLs.
    if not shown.isprintable():
        shown = "".join(_shown(c) for c in shown)
    return Html(stdlib.escape(shown, quote=True))


def _shown(c: str) -> str:
    if c.isprintable() or c in "\n\t":
        return c
    # Not printable are also odd spaces, which are harmless, and the invisible joiners of emoji and scripts.
    kind = unicodedata.category(c)
    if c in _TURNING or kind in ("Cc", "Cs", "Cn", "Co"):
        return _HIDDEN
    return c


def html(template: LiteralString, /, **values: object) -> Html:
    """A line of markup from the source code with `$names` filled in."""
    return _filled(Template(template), values)


def fill(name: str, /, **values: object) -> Html:
    """`templates/<name>.html` beside this file with its `$names` filled in. Raises KeyError for one that is missing."""
    return fill_from("director.report", name, **values)


def fill_from(package: str, name: str, /, **values: object) -> Html:
    """The same for the templates of another package."""
    return _filled(_template(package, name), values)


def join(parts: Iterable[Html], between: LiteralString = "") -> Html:
    """Markup after markup."""
    return Html(between.join(parts))


def _filled(template: Template, values: dict[str, object]) -> Html:
    return Html(template.substitute({k: v if isinstance(v, Html) else text(v) for k, v in values.items()}))


@cache
def _template(package: str, name: str) -> Template:
    return Template((files(package) / "templates" / f"{name}.html").read_text("utf-8").strip("\n"))


NOTHING = Html("")
