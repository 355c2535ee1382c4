from itertools import pairwise

import pytest

from director.prompts.clauses import clauses, quotations

BRIEF = (
    "Build it around one large cup, approx. 10 cm wide, at 7.30 p.m. sharp. To the left, a ginger cat sleeps, and on "
    "the other side we stack two books; set “First. Press, and Coffee” across the top. Let’s keep e.g. the price, "
    "£4.50, small!"
)


def texts(brief: str) -> list[str]:
    return [clause.text for clause in clauses(brief)]


def test_clauses_are_exact_slices_numbered_from_one() -> None:
    found = clauses(BRIEF)
    assert [clause.id for clause in found] == list(range(1, len(found) + 1))
    assert all(clause.text == BRIEF[clause.start : clause.end] for clause in found)
    assert all(a.end <= b.start for a, b in pairwise(found))


def test_nothing_is_cut_inside_quotes_abbreviations_numbers_or_times() -> None:
    joined = "|".join(texts(BRIEF))
    for whole in ("approx. 10 cm", "7.30 p.m.", "“First. Press, and Coffee”", "e.g. the price", "£4.50"):
        assert whole in joined


def test_cuts() -> None:
    assert texts("A red kite flies on the left, and a blue one on the right. Keep it calm; add grain.") == [
        "A red kite flies on the left",
        "and a blue one on the right",
        "Keep it calm",
        "add grain",
    ]


def test_a_place_stays_with_what_stands_there() -> None:
    assert texts("On the left, a tall birch tree grows.") == ["On the left, a tall birch tree grows"]


def test_lines_and_bullets() -> None:
    assert texts("• a cat\n• a dog\n") == ["a cat", "a dog"]


@pytest.mark.parametrize("text", ["", "   ", "…", "—;—", "\n\n"])
def test_nothing_to_say(text: str) -> None:
    assert clauses(text) == ()


def test_quotations_of_all_kinds() -> None:
    text = "‘one’ “two” \"three\" «four» 'five' it's six' „seven”"
    assert [text[a:b] for a, b in quotations(text)] == ["one", "two", "three", "four", "five", "seven"]


@pytest.mark.parametrize("piece", ["'", '"', "a, and a ", "e.g. ", "“", ". ", "<", "\u202e", "ﬀ", "1.2.3, "])
@pytest.mark.timeout(30)  # a pattern that backtracks takes hours
def test_twenty_kilobytes_of_anything_are_no_trap(piece: str) -> None:
    text = (piece * 20_000)[:20_000]
    found = clauses(text)
    assert all(clause.text == text[clause.start : clause.end] for clause in found)
