"""What stands in quotation marks, as people write them."""

import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from director.prompts.quotes import quotations, quotes


def found(text: str) -> list[str]:
    return [text[start:end] for start, end in quotations(text)]


@pytest.mark.parametrize(
    ("text", "strings"),
    [
        ("English: \"Open\", “Late Show”, ‘Free’ and 'Tickets'.", ["Open", "Late Show", "Free", "Tickets"]),
        ('Deutsch: „Markt“, ‚Tel. 12‘, »Eintritt« und „Ende".', ["Markt", "Tel. 12", "Eintritt", "Ende"]),
        ("Français : « Été », «\u00a0L’Automne\u00a0» et l’«\u202fHiver\u202f».", ["Été", "L’Automne", "Hiver"]),
        ('Español: «Feria», “Entrada ‘libre’” y "¡Hola!".', ["Feria", "Entrada ‘libre’", "¡Hola!"]),
        ("Svenska: ”Höst”, »Vår» och ’Sommar’, det är Lars’ hund.", ["Höst", "Vår", "Sommar"]),
        ("Polski: „Jesień ‚w’ mieście” oraz «lato».", ["Jesień ‚w’ mieście", "lato"]),
        ("Русский: «Осень „в“ городе» и “Ярмарка”.", ["Осень „в“ городе", "Ярмарка"]),
        ("Ελληνικά: «Φθινόπωρο» και “Χειμώνας”.", ["Φθινόπωρο", "Χειμώνας"]),
        ("中文：写「夜市」、『免费』、《指南》和“开张”在上", ["夜市", "免费", "指南", "开张"]),
        ("日本語：上に『秋祭り「夜」編』と〝夢〟と書く。", ["秋祭り「夜」編", "夢"]),
        ("한국어: 위에 \"가을 축제\"라고, 아래에 '무료'라고 쓰세요.", ["가을 축제", "무료"]),
        ('العربية: اكتب "مرحبا" و"أهلا" و«مجانا».', ["مرحبا", "أهلا", "مجانا"]),
        ('עברית: כתוב "שלום עולם" ו"חינם", רוחב 30 ס"מ, ליד צה"ל.', ["שלום עולם", "חינם"]),
        ("हिन्दी: ऊपर “शरद मेला” और 'नि:शुल्क' लिखें।", ["शरद मेला", "नि:शुल्क"]),
        ('ไทย: ด้านบนเขียน“ตลาดนัด”ล่างเขียน"ฟรี"', ["ตลาดนัด", "ฟรี"]),
        ('Tiếng Việt: viết “Chợ đêm” và "Miễn phí".', ["Chợ đêm", "Miễn phí"]),
        ("Türkçe: “Güz Şenliği” ve 'Ücretsiz' yaz.", ["Güz Şenliği", "Ücretsiz"]),
        ("Mark-up: `OLD TOWN` and ``SALE``, but no ```fence```.", ["OLD TOWN", "SALE"]),
        ("Two apostrophes: ''HELLO''.", ["HELLO"]),
        ("Ornaments: ❝Fancy❞ and ❛plain❜.", ["Fancy", "plain"]),
        ("Double primes: ″OPEN″ and ″Bed 24″, 5″ tall.", ["OPEN", "Bed 24"]),
    ],
)
def test_the_marks_of_all_languages(text: str, strings: list[str]) -> None:
    assert found(text) == strings


@pytest.mark.parametrize(
    ("text", "strings"),
    [
        ("Put 'Kids' Corner, 5 o'clock' on the left.", ["Kids' Corner, 5 o'clock"]),
        ("Put 'News' at the top and 'Sport' below.", ["News", "Sport"]),
        ("Put 'News' at the top. Mind the Smiths' fence.", ["News"]),
        ("Write ‘Ladies’ Night’ and ‘Kids’ Day’.", ["Ladies’ Night", "Kids’ Day"]),
        ("It's the dogs' bowl and the cats' too; don't touch.", []),
        ("Rock 'n' roll in the '90s, with 'SALE' on it.", ["SALE"]),
        ("She wrote \"He said 'Stop!' and left\".", ["He said 'Stop!' and left"]),
        ('Logo“夜市”ABC and text "A"and "B".', ["夜市", "A", "B"]),
    ],
)
def test_apostrophes(text: str, strings: list[str]) -> None:
    assert found(text) == strings


@pytest.mark.parametrize(
    ("text", "strings"),
    [
        ('Write "He said "hi" to me" on top.', ['He said "hi" to me']),
        ("Set 'Say 'cheese' now' below, then 'OPEN'.", ["Say 'cheese' now", "OPEN"]),
        ('The sign "The "Old" and the "New" town", and "SALE".', ['The "Old" and the "New" town', "SALE"]),
        ('It reads "We are "OPEN"".', ['We are "OPEN"']),
        ('"News" and "Sport" on top', ["News", "Sport"]),
        ('An open "mark and then "SALE" below', ["SALE"]),
        ('An open "mark, then "SALE", 12" wide and red', ["SALE"]),
    ],
)
def test_straight_marks_within_straight_marks(text: str, strings: list[str]) -> None:
    assert found(text) == strings


@pytest.mark.parametrize(
    "text",
    [
        'A 10" x 12" print.',
        'A 24"x36" sheet with a 5" margin.',
        "He is 6' 2\" tall, and she 5'.",
        "At 40°26'46\" north.",
        "A 30′ by 20′ wall, 5″ thick.",
        "15' x 20' and 12 ' more",
    ],
)
def test_lengths_and_angles_are_no_quotations(text: str) -> None:
    assert found(text) == []


def test_a_length_beside_a_string() -> None:
    assert found('A 24" x 36" poster that says "OPEN 24" and \'Since 1990\'.') == ["OPEN 24", "Since 1990"]


def test_a_quotation_goes_over_lines_but_not_over_paragraphs_and_list_items() -> None:
    assert found("Set “SPRING\nFAIR” large.") == ["SPRING\nFAIR"]
    assert found("Set “SPRING\n\nFAIR” large.") == []
    assert found('- a 5" pipe\n- "Hi"\n- "open\n1. "Last"') == ["Hi", "Last"]


@pytest.mark.parametrize(
    ("text", "strings"),
    [
        ("An “unclosed mark and then “Real” text.", ["Real"]),
        ('An "unclosed mark and then "Real" text.', ["Real"]),
        ("An «unclosed mark. " + "word " * 400 + "» end", []),
        ('Empty: "" and “ ”.', []),
    ],
)
def test_what_nobody_closes_swallows_nothing(text: str, strings: list[str]) -> None:
    assert found(text) == strings


MARKS = "\"'“”‘’„‚«»‹›「」『』《》`ab 1s.\n-"


@given(st.text(MARKS, max_size=80))
def test_quotations_are_apart_and_in_order(text: str) -> None:
    spans = quotes(text)
    assert all(q.opens < q.start < q.end < q.closes for q in spans)
    assert all(a.closes <= b.opens for a, b in pairwise(spans))


def calls(text: str) -> int:
    """Functions of Python that are called for the quotations of `text`."""
    count = 0

    def seen(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(seen)
    try:
        quotations(text)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("piece", ["'", '"', "“", "«", "「", "`", "‘a", " 'a", '"a ', "„“", "s' ", '5" '])
def test_twice_the_text_is_twice_the_work(piece: str) -> None:
    assert calls(piece * 1000) <= 2.5 * calls(piece * 500) + 1000
