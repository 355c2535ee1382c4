"""Words on a terminal of some width: a word that fits is never cut, and wide characters count two."""

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from director.transcript import Line

_LABEL = 12  # cells, as `str(Line)` has them


class Cut:
    """A cell of one line: what does not fit is left out behind a whole word."""

    def __init__(self, text: Text) -> None:
        self._text = text

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, max(1, self._text.cell_len))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield cut(self._text, options.max_width)


def cut(text: Text, width: int) -> Text:
    """At most `width` cells. A word as long as half of them is cut itself."""
    if text.cell_len <= width:
        return text
    fits = set_cell_size(text.plain, max(0, width - 1)).rstrip()
    while not text.plain.startswith(fits):  # half of a wide character became a space
        fits = fits[:-1].rstrip()
    whole = fits if text.plain[len(fits) : len(fits) + 1].isspace() else fits.rpartition(" ")[0]
    shown = whole.rstrip() if cell_len(whole) >= width // 2 else fits
    short = text.copy()
    short.right_crop(len(text.plain) - len(shown))
    return short.append("…")


def wrapped(line: Line, width: int) -> RenderableType:
    """The line, with what is too long below its text. A word that fits nowhere is left to the terminal: a path that is
    copied must stay whole."""
    whole = Text(str(line), style=line.style)
    longest = max(map(cell_len, line.text.split()), default=0)
    if whole.cell_len <= width or len(line.label) >= _LABEL or longest > width - _LABEL:
        return whole
    table = Table.grid(padding=0)
    table.add_column(width=_LABEL, no_wrap=True)
    table.add_column(width=width - _LABEL)
    table.add_row(Text(line.label, style=line.style), Text(line.text, style=line.style))
    return table
