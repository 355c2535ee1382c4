"""What of a brief was not read, and why."""

from director.reading import unread
from director.types import Brief, Goal

TEXT = """Hello Anna,

Colours:
- navy
- coral

We sell boats. A red boat in the bay. A red
 boat on the beach.

Cheers,
Tom

> On Monday you wrote:
> A red boat in the bay.
"""


def rows(text: str, *goals: str, given: bool = False) -> list[tuple[str, str]]:
    found = tuple(Goal(id=f"g{n}", text=goal) for n, goal in enumerate(goals, 1))
    return [(each.reason, each.text) for each in unread(Brief(text=text, goals=found if given else ()), found)]


def test_before_the_goals_are_known_only_what_no_planner_is_asked_about_is_said():
    assert [reason for reason, _ in rows(TEXT)] == ["greeting", "heading", "signature", "quoted mail"]


def test_a_clause_that_no_goal_covers_became_none():
    found = rows(TEXT, "navy", "A red boat in the bay", "A red boat on the beach")
    assert [text for reason, text in found if reason == "became no goal"] == ["coral", "We sell boats"]


def test_the_lines_of_a_mail_are_one_passage():
    mail = [text for reason, text in rows(TEXT) if reason == "quoted mail"]
    assert [text.count("\n") for text in mail] == [1]


def test_words_in_a_quoted_mail_do_not_stand_for_the_sender_s_own():
    text = "> A red kite.\n\nA red kite. A blue kite."
    assert [text for reason, text in rows(text, "A red kite") if reason == "became no goal"] == ["A blue kite"]


def test_a_goal_of_several_clauses_covers_each():
    assert rows("On the left, a cat; and a dog.", "On the left, a cat; and a dog") == []


def test_a_part_of_a_clause_covers_it():
    assert rows("山の上に赤い凧、青い凧。犬が一匹。", "赤い凧") == [("became no goal", "犬が一匹")]


def test_list_numbers_are_no_words():
    assert rows("1. A cat\n2. A dog\n", "A cat", "A dog") == []


def test_a_sender_who_gives_the_goals_need_not_quote_the_text():
    assert rows("A quiet room.", "a lamp", given=True) == []
