"""A lettering that the brief calls its headline is a must-have, in each language that briefs come in."""

import pytest

from director.prompts.headlines import insisted
from director.types import Goal


def insists(text: str, string: str, **fields: object) -> bool:
    goal = Goal.model_validate({"id": "g1", "text": text, "type": "text", "string": string, **fields})
    return insisted([goal])[0].must_have


@pytest.mark.parametrize(
    ("text", "string"),
    [
        ("The headline NIGHT MARKET in wide capitals", "NIGHT MARKET"),
        ('"Sunday, Slowly" as the title across the top', "Sunday, Slowly"),
        ('Set "Open daily" below the headline "FIRST PRESS"', "FIRST PRESS"),
        ("Oben die Überschrift „Hoffest im Grünen“", "Hoffest im Grünen"),
        ("En haut, le titre « Lire sous la pluie »", "Lire sous la pluie"),
        ("Título: «Feria de otoño» en rojo", "Feria de otoño"),
        ("In alto il titolo «Luna park»", "Luna park"),
        ("De titel “Zomerfeest” bovenaan", "Zomerfeest"),
        ("Rubriken ”Höstmarknad” i rött", "Höstmarknad"),
        ("Tytuł „Noc muzeów” u góry", "Noc muzeów"),
        ("Заголовок «Ночь музеев» вверху", "Ночь музеев"),
        ("顶部写标题「夜市开张」", "夜市开张"),
        ("見出しは「夜市」", "夜市"),
        ("제목은 “야시장”", "야시장"),
        ("العنوان «سوق الخريف»", "سوق الخريف"),
    ],
)
def test_what_is_called_the_headline_must_be_there(text: str, string: str) -> None:
    assert insists(text, string)


@pytest.mark.parametrize(
    ("text", "string"),
    [
        ('Under the headline write "from 7 to 3"', "from 7 to 3"),
        ('A subtitle reads "The sea"', "The sea"),
        ("副标题「免费入场」", "免费入场"),
        ('Below the title stands "Act one"', "Act one"),
        ('The sign says "OPEN"', "OPEN"),
        ('On the title page "12"', "12"),
    ],
)
def test_what_stands_beside_it_need_not(text: str, string: str) -> None:
    assert not insists(text, string)


def test_what_is_ruled_out_or_no_lettering_is_no_headline() -> None:
    assert not insists('No headline "SALE"', "SALE", absent=True)
    assert not insists('The headline "SALE" is red', "SALE", type="color")
