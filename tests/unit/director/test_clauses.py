from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from director.prompts.clauses import MAX_CLAUSE, clauses, left_out, split
from director.prompts.quotes import quotations

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
def test_twenty_kilobytes_of_anything_are_no_trap(piece: str) -> None:
    text = (piece * 20_000)[:20_000]
    found = clauses(text)
    assert all(clause.text == text[clause.start : clause.end] for clause in found)


@pytest.mark.parametrize(
    ("brief", "wanted"),
    [
        ("Am 3. Mai, z. B. um 14.30 Uhr, d. h. bald. Im 2. Stock ein Hund. Genau 7. Der Rest bleibt.", 4),
        ("So., 4. Aug., ab 9 Uhr am Markt. Nr. 8 in der St. Pauli-Str. bleibt frei.", 2),
        ("Mme Rey et M. Petit, p. ex. à gauche. Prix : 12,50 €. Rien d’autre !", 3),
        ("Pon a la Sra. Ruiz a la izquierda. ¿Y el gato? ¡A la derecha! Nada más.", 4),
        ("Bilden visar en hund, t.ex. till vänster. Ovanför: ”Vår. Snart”. Inga människor.", 3),
        ("Godz. 18, ul. Krótka 3, np. pies. Kot po prawej.", 2),
        ("Собака, т. е. рыжая, слева. Дата: 3 мая 2027 г. Внизу луна. Без людей!", 4),
        ("Ένας σκύλος αριστερά. Πού; Πάνω ένα φεγγάρι.", 3),
        ("一条狗坐在左边。右上角挂月亮！不要人物？写「开张。大吉」在上。", 4),
        ("左に青い犬。右上に月を描く！人物は入れない。", 3),
        ("왼쪽에 개를 그려 주세요. 위에 “봄. 축제”라고 써 주세요! 사람은 빼 주세요.", 3),
        ("كلب في اليسار؟ قمر في الأعلى۔ لا أشخاص.", 3),
        ("כלב בצד שמאל. ירח למעלה! בלי אנשים.", 3),
        ("बाईं ओर एक कुत्ता। ऊपर चाँद। लोग नहीं॥", 3),
        ("วางสุนัขสีน้ำตาลไว้ทางซ้าย มุมขวาบนมีพระจันทร์ดวงใหญ่", 2),
        ("Một con chó bên trái. Chợ ở TP. Huế. Không có người.", 3),
        ("Solda bir köpek. Örn. Dr. Kaya burada. İnsan yok.", 3),
        ("በግራ ውሻ። በላይ ጨረቃ።", 2),
        ("Շուն ձախից։ Լուսին վերևում։", 2),
        ("See https://example.org/a.b?c=d. Then logo_v2.png at 7 p.m. The cat costs $4.50... and stays.", 3),
        ("Über 3 Mio. Menschen, seit 300 v. Chr. in der Stadt. Oben „Ab 9 Uhr. Jeden Sa.“ in Rot.", 2),
        ("「開店。」と上に書く。３．５メートルの犬。", 2),
        ("Tel. +49 30 123. Fig. 2 shows a fig. A dog eats it.", 3),
        ("Two lines make a loose X. At the left a dog. By J. Smith of 5 St. Mary Rd.", 3),
    ],
)
def test_sentences_end_by_the_marks_of_their_script(brief: str, wanted: int) -> None:
    assert len(texts(brief)) == wanted, texts(brief)


@pytest.mark.parametrize(
    "brief",
    [
        "- a cat\n* a dog\n• a fish\n– a tree",
        "1. a cat\n2) a dog\n(3) a fish\n4.\ta tree",
        "a) a cat\n(b) a dog\n[ ] a fish\n[x] a tree",
        "① a cat\n② a dog\n一、a fish\n（二）a tree",
        "a cat\r\na dog\u2028a fish\r\n\r\na tree",
        "+ a cat\n  + a dog\n    - a fish\n► a tree",
    ],
)
def test_list_items_stand_without_their_bullets(brief: str) -> None:
    assert texts(brief) == ["a cat", "a dog", "a fish", "a tree"]


def test_a_date_at_the_start_of_a_line_is_no_number_of_a_list() -> None:
    assert texts("12. Oktober: Konzert\n3. 5. 2027: Lesung\n1.5 m tall dog") == [
        "12. Oktober: Konzert", "3. 5. 2027: Lesung", "1.5 m tall dog",
    ]  # fmt: skip


def test_a_letter_counts_a_list_only_beside_its_neighbour() -> None:
    assert texts("a. a cat\nb. a dog") == texts("A) a cat\nB) a dog") == ["a cat", "a dog"]
    assert texts("J. Smith is the host\nT. Jones sings") == ["J. Smith is the host", "T. Jones sings"]


def reasons(brief: str) -> list[tuple[str, str]]:
    return [(clause.skipped, clause.text) for clause in left_out(brief) if clause.skipped != "list number"]


def test_mail_around_a_brief_is_left_out_with_the_reason() -> None:
    brief = (
        "Hallo Jana,\n\nein Plakat mit einem Hund, bitte.\nOben „Sommer“.\n\nViele Grüße\nTom\n\nPS: Kein Kater.\n\n"
        "Am 3. Mai schrieb Jana <j@example.org>:\n> Soll ein Auto hinein?\n> Ja?\n"
    )
    assert texts(brief) == ["ein Plakat mit einem Hund, bitte", "Oben „Sommer“", "PS: Kein Kater"]
    assert reasons(brief) == [
        ("greeting", "Hallo Jana"),
        ("signature", "Viele Grüße"), ("signature", "Tom"),
        ("quoted mail", "Am 3. Mai schrieb Jana <j@example.org>:"),
        ("quoted mail", "Soll ein Auto hinein?"), ("quoted mail", "Ja?"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        ("Hi all,", "Best,\nAnna"),
        ("Dear Ms. Lee,", "Kind regards\n\nAnna Roe\nACME Ltd.\n+44 20 7946 0000"),
        ("Bonjour Paul,", "Cordialement,\nAnne"),
        ("Hola:", "Un saludo,\nAna"),
        ("Cześć,", "Pozdrawiam\nAnia"),
        ("Здравствуйте!", "С уважением,\nАнна"),
        ("您好：", "谢谢！\n王芳"),
        ("こんにちは。", "よろしくお願いします。\n田中"),
        ("안녕하세요,", "감사합니다.\n김민수"),
        ("مرحبا،", "مع تحياتي،\nسارة"),
        ("Hej!", "Hälsningar\nÅsa"),
        ("Merhaba,", "Saygılarımla,\nAyşe"),
        ("Hello,", "--\nAnna Roe"),
        ("Hello,", "Sent from my phone"),
        ("Hello,", "Thx\nBob"),
        ("Hello,", "-----Original Message-----\nFrom: a@example.org\nSubject: dog\nA dog, please."),
        ("Hello,", "On 3 May 2027, Bob <b@example.org> wrote:\n> A dog, please."),
    ],
)
def test_greetings_and_signatures_in_many_languages(head: str, tail: str) -> None:
    assert texts(f"{head}\n\nA red kite over a hill.\n\n{tail}\n") == ["A red kite over a hill"]
    assert all(clause.skipped for clause in left_out(f"{head}\n\nA red kite.\n\n{tail}\n"))


@pytest.mark.parametrize(
    "brief",
    ["> a red kite\n> a dog", "Hello!", "Love\nPeace\nHope", "A dog\n--\nA red kite on a hill", "From: 5 pm\nTo: 9 pm",
     "Liebe ist alles. Ein Hund.", "A red kite\n---\nA dog"],
)  # fmt: skip
def test_what_may_be_the_brief_itself_is_read(brief: str) -> None:
    assert left_out(brief) == ()


def test_a_line_above_a_list_that_asks_for_something_is_no_heading() -> None:
    assert texts("请设计一张海报，要求如下：\n1、画一只狗；\n2、不要人物。") == [
        "请设计一张海报，要求如下：",
        "画一只狗",
        "不要人物",
    ]
    assert texts("Under a big moon, on the left:\n- a dog") == ["Under a big moon, on the left:", "a dog"]


def test_headings_and_tables() -> None:
    brief = (
        "# Poster\n\nMUST HAVE\n- a dog\n\n**Colours**\n- red\n\nOn the left, a tree with:\n- three apples\n\n"
        "| what | text |\n|---|---|\n| top | “Now, here” |\n| tag | 'Free' |\n"
    )
    assert texts(brief) == [
        "a dog", "red", "On the left, a tree with:", "three apples", "top | “Now, here”", "tag | 'Free'",
    ]  # fmt: skip
    assert reasons(brief) == [("heading", text) for text in ("Poster", "MUST HAVE", "Colours", "what | text")]


def test_a_wrapped_line_and_a_string_on_its_own_line_stay_whole() -> None:
    assert texts(
        "We would like a big picture of the old harbour with its cranes and\nwith many boats. The sign says\n"
        "“OLD\nPORT”\nin red.\nA dog"
    ) == [
        "We would like a big picture of the old harbour with its cranes and\nwith many boats",
        "The sign says\n“OLD\nPORT”\nin red",
        "A dog",
    ]


def test_a_long_clause_is_cut_at_the_best_place_and_never_inside_a_quotation_that_fits() -> None:
    quote = "“" + "so " * 60 + "on”"
    brief = "word " * 180 + quote + " and more" * 200
    found = texts(brief)
    assert all(len(text) <= MAX_CLAUSE for text in found)
    assert any(quote in text for text in found)
    assert len(texts("夜里有灯，" * 900)) == 5
    assert len(texts("“" + "a b " * 280 + "”")) == 2
    assert [len(text) for text in texts("x" * 2500)] == [1000, 1000, 500]


PIECES = st.sampled_from(
    ["a cat", "Ein Hund", "猫が", " ", "\n", "\n\n", ". ", "。", "! ", "“", "”", '"', "'", "«", "»", "- ", "1. ", "> ",
     "# ", "|", "--\n", "Best,\n", "Hi,\n", "z. B. ", ", a ", "; ", "12. Mai", "MUST HAVE\n", ":", "…", "ก ข", "①",
     "<b>", "b. ", "J. "]
)  # fmt: skip


@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=200))
def test_clauses_are_slices_in_order_that_hold_every_letter(text: str) -> None:
    found = split(text)
    assert all(clause.text == text[clause.start : clause.end] and clause.text for clause in found)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert [clause.id for clause in found if not clause.skipped] == list(range(1, len(clauses(text)) + 1))
    assert all(clause.id == 0 for clause in left_out(text))
    held = {n for clause in found for n in range(clause.start, clause.end)}
    assert not [n for n, char in enumerate(text) if char.isalnum() and n not in held]
