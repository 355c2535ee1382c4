"""Words on a narrow terminal: cut behind a word, wide characters count two, and lines go on below their text."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console as RichConsole
from rich.table import Table
from rich.text import Text

from api.cli.console import Screen
from api.cli.words import Cut, cut
from director.transcript import Line


@pytest.mark.parametrize(
    ("words", "width", "shown"),
    [
        ("Autumn menus for the lake", 25, "Autumn menus for the lake"),
        ("Autumn menus for the lake", 24, "Autumn menus for the…"),
        ("Autumn menus for the lake", 21, "Autumn menus for the…"),
        ("Autumn menus for the lake", 20, "Autumn menus for…"),
        ("Donaudampfschifffahrtsgesellschaft", 10, "Donaudamp…"),
        ("A Donaudampfschifffahrtsgesellschaft", 10, "A Donauda…"),
        ("港のポスター 秋", 15, "港のポスター 秋"),
        ("港のポスター 秋", 14, "港のポスター…"),
        ("港のポスター 秋", 10, "港のポス…"),
        ("港のポスター 秋", 9, "港のポス…"),
        ("🚤🚤🚤 boats", 9, "🚤🚤🚤…"),
        ("lamp", 1, "…"),
    ],
)
def test_a_text_is_cut_behind_a_word(words: str, width: int, shown: str) -> None:
    found = cut(Text(words), width).plain
    assert found == shown
    assert cell_len(found) <= width


def screen(width: int, terminal: bool, color: bool = False) -> tuple[Screen, io.StringIO]:
    out = io.StringIO()
    system = "standard" if color else None
    console = RichConsole(
        file=out,
        width=width,
        force_terminal=terminal,
        color_system=system,
        legacy_windows=False,
        _environ={"TERM": "xterm"},
    )
    return Screen(console, False, console), out


ENDS = Line("ends", "about 15:20 (15:17 to 15:22); editors of flux-krea and the judge limits", "cyan")


def test_a_long_line_goes_on_below_its_text() -> None:
    shown, out = screen(40, terminal=True)
    shown.line(ENDS)
    assert [line.rstrip() for line in out.getvalue().splitlines()] == [
        "ends        about 15:20 (15:17 to",
        "            15:22); editors of flux-krea",
        "            and the judge limits",
    ]


def test_a_pipe_gets_it_whole() -> None:
    shown, out = screen(40, terminal=False)
    shown.line(ENDS)
    assert out.getvalue() == f"{ENDS}\n"


def test_a_path_stays_whole() -> None:
    shown, out = screen(40, terminal=True)
    shown.line(Line("saved", "results of the night/" + "x" * 60))
    assert out.getvalue().splitlines() == ["saved       results of the night/" + "x" * 60]


def test_columns_with_wide_characters_are_aligned() -> None:
    shown, out = screen(24, terminal=True)
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True, ratio=1)
    table.add_column(no_wrap=True)
    for title in ("港のポスター 秋の夜", "A lamp", "🚤🚤 boats in a row and more"):
        table.add_row(Cut(Text(title)), Text("3/7"))
    shown.show(table)
    lines = out.getvalue().splitlines()
    assert [cell_len(line[: line.index("3/7")]) for line in lines] == [21, 21, 21]
