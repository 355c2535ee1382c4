"""What a sender is told at submit, and that ordinary briefs are left alone."""

import pytest

from director.cautions import cautions
from director.types import Brief, Goal


def kinds(text: str, source: str | None = None) -> list[str]:
    return [each.kind for each in cautions(Brief(text=text, source=source))]


@pytest.mark.parametrize(
    "text",
    [
        "Replace the sky with a storm.",
        "Please move the cat to the left.",
        "A kite above. Then remove the text OPEN.",
        "1. Swap her coat for a red one\n2. Add a dog",
        "Change the sofa's colour to green.",
        "Keep the tower and the boats where they are, and add snow.",
        "Put our logo on the attached photo.",
        "Ersetze den Himmel durch Wolken.",
        "Supprimez l'homme à droite.",
        "Elimina el coche rojo.",
        "Rimuovi la scritta.",
        "Удалите машину.",
        "把天空换成晚霞。",
        "空を夕焼けに置き換えてください。",
        "하늘을 노을로 바꿔 주세요.",
    ],
)
def test_an_edit_without_its_picture_is_told(text: str):
    assert kinds(text) == ["no-source"]
    assert kinds(text, source="ab" * 32) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("The headline says “SALE”. A beach. The headline is “SPRING”.", "two headlines, “SALE” and “SPRING”"),
        ('Set "TEN" as the headline. Use "NINE" as the headline.', "“TEN” and “NINE”"),
        ("Überschrift: „Hoffest“\nÜberschrift: „Herbstfest“", "„Hoffest“ and „Herbstfest“"),
        ("标题：“春”。标题：“夏”", "“春” and “夏”"),
        ("One cat on the sofa. Two cats on the sofa.", "one cat and for two cats"),
        ("A single black cat. Exactly 3 black cats.", "one cat and for three cats"),
        ("Two people walk. Three people walk.", "two people and for three people"),
        ("Two cats sit on the roof. There are no cats.", "two cats and for no cats"),
        ("Two cats. Three cats. The headline is “A”. The headline is “B”.", "“B”; the brief asks for two cats and"),
    ],
)
def test_a_contradiction_is_told(text: str, said: str):
    [caution] = cautions(Brief(text=text))
    assert caution.kind == "contradiction"
    assert said.translate(_NO_MARKS) in caution.message.translate(_NO_MARKS)


_NO_MARKS = str.maketrans("", "", "“”„")


@pytest.mark.parametrize(
    "text",
    [
        "A cat on a chair. Move the cat to the left.",
        "Turn the palette to navy. Make the sky orange. Blur the edges.",
        'Write "X" below the headline. The headline reads "Y".',
        'Headline “Hoffest”, 中文标题“农场节”',
        'The headline is "GO". Repeat "GO" as the headline on the back.',
        "One cat on the left. Two cats on the right.",
        "One black cat. Two white cats. Two of the cats sleep.",
        "Three gulls fly. No gulls on the ground. No two gulls are alike, and there are no people.",
        "Three gulls in the sky. The two gulls in front are grey.",
        'Two boats. The line says "Ten boats, one lamp".',
        "Set it in two lines. Leave three lines free. 2 October, 7 to 3, 20%.",
    ],
)  # fmt: skip
def test_an_ordinary_brief_raises_no_alarm(text: str):
    assert kinds(text) == []


def test_goals_that_rule_each_other_out_are_told_once_with_the_rest():
    goals = [Goal(id="g1", text="deep night", conflicts=("g2",)), Goal(id="g2", text="high key", conflicts=("g1",))]
    [caution] = cautions(Brief(text="Deep night, high key."), goals)
    assert caution.message == "“deep night” and “high key” rule each other out"
