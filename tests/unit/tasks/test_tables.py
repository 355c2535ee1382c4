"""Results as a table."""

import csv
import io

import pytest

from tasks.batch.tables import COLUMNS, csv_lines


def row(**told: object) -> list[str]:
    lines = "".join(csv_lines([dict.fromkeys(COLUMNS) | told]))
    return list(csv.reader(io.StringIO(lines)))[1]


@pytest.mark.parametrize("words", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\n=1", "＝1+1"])
@pytest.mark.parametrize("column", ["custom_id", "title", "error"])
def test_no_cell_is_a_formula(words: str, column: str) -> None:
    assert row(**{column: words})[COLUMNS.index(column)] == f"'{words}"


def test_other_cells_are_as_they_are() -> None:
    assert row(title="A\r=B\r\nC")[COLUMNS.index("title")] == "A\n=B\nC"
    told = {"custom_id": "a=1", "met": -1, "coverage": 0.5, "title": 'A, "B"\nC', "error": None}
    assert [row(**told)[COLUMNS.index(name)] for name in told] == ["a=1", "-1", "0.5", 'A, "B"\nC', ""]
