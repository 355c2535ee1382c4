"""The results of a batch as a table."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

COLUMNS = (
    "custom_id", "status", "stop", "met", "total", "coverage", "rounds", "renders", "image", "job", "title", "error",
    "take", "created", "ended", "picked",
)  # fmt: skip
_FORMULAS = ("=", "+", "-", "@", "\t", "\n", "＝", "＋", "－", "＠")


def csv_lines(results: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A line of names, then one for each result; a value may hold line breaks."""
    out = io.StringIO(newline="")
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(COLUMNS)
    for result in results:
        yield out.getvalue()
        out.seek(0)
        out.truncate()
        rows.writerow([_cell(result[name]) for name in COLUMNS])
    yield out.getvalue()


def _cell(value: object) -> object:
    """A word that a spreadsheet would take for a formula, and run, gets a ' in front, as OWASP says."""
    if not isinstance(value, str):
        return "" if value is None else value
    value = value.replace("\r\n", "\n").replace("\r", "\n")  # csv would leave a lone \r unquoted: two lines
    return f"'{value}" if value.startswith(_FORMULAS) else value
