"""What a brief rules out or only mentions, how it is asked for, and how it is told."""

import json

import pytest

from director.intake import task_goal
from director.prompts import extract, plan, verify
from director.prompts.absence import forbids, items, only_mentions, parts, plain, points_back, worded
from director.prompts.verbatim import verbatim
from director.schedule import scene
from director.seats import ExtractRequest, PlanRequest
from director.transcript import Transcript
from director.types import Brief, Extracted, Goal, Mode, Scope


@pytest.mark.parametrize(
    "text",
    [
        "No balloons, please.", "Please do not show any faces", "there should be no logo", "Without shadows",
        "Remove the text \"SALE\" from the window.", "The dog must not appear.", "Keep the ladder out of the picture",
        "Our previous flyer said \"Half price\": please don't print it.", "We don't want any clocks",
        "Keine Autos zeigen!", "Bitte ohne Schatten", "Die Leiter bitte weglassen", "Pas de voitures", "Sans texte",
        "Il n'y a aucune personne", "Sin coches", "Que no haya gente", "Senza persone", "Nessuna scritta",
        "Sem pessoas", "Não mostre carros", "Geen mensen", "Inga bilar", "Ingen tekst", "Ilman ihmisiä",
        "Bez samochodów", "Žádní lidé",
        "Без машин", "Не показывайте людей", "Без людей, без тексту", "Χωρίς αυτοκίνητα",
        "İnsan olmasın.", "Không có người", "不要出现汽车", "画面里不要有文字", "把窗上的“特价”去掉",
        "車は入れないでください", "자동차는 넣지 마세요", "بدون سيارات",
        "בלי מכוניות",
        "कारें नहीं", "ไม่มีรถ",
        "There must not be any text", "I'd rather not see any faces.", "Faces: none.", "Nothing red in the picture.",
        "Take the hat off the dog.", "Hide the cables.", "Skip the frame.", "Free of clutter",
        "Nichts Rotes im Bild", "Weder Hunde noch Katzen", "Auf dem Bild darf kein Auto sein", "Die Lampe muss weg.",
        "Nimm die Uhr raus", "Haal de boom weg", "Ni perros ni gatos", "Enlève le panneau", "Ne pas ajouter de logo",
        "On ne doit voir personne", "Pas un seul nuage", "Togli la macchina", "Apague a placa", "Tire o carro",
        "Fără oameni", "Jangan ada orang", "Людей быть не должно", "不需要边框", "文字は入れない",
    ],
)  # fmt: skip
def test_a_negative_wish(text: str):
    assert forbids(text)


@pytest.mark.parametrize(
    "text",
    [
        "A red kite on the left", "No. 5 in gold", "no more than 10% grain", "Set in slim sans capitals",
        "Write \"No parking\"",
        "readable without squinting", "No text other than the above", "a no-nonsense headline",
        "eyes on the road and not up",
        "Keine Farben außer Grün und Weiß", "无衬线字体写“你好”", "特别大的标题", "文字不要太大",
        "Нетто 500 г", "Notice the cat",
        "Do not forget the moon", "Vergiss den Mond nicht", "N'oubliez pas la lune", "No olvides la luna", "别忘了月亮",
        "忘れずに月を描く", "Keine Frage: ein roter Drache", "Gelber Sand ohne Ende", "a sign: free of charge",
        "Nichts als Sand", "Noch ein Hund links", "Ni hao in red", "A bare tree under a clear sky",
    ],
)  # fmt: skip
def test_no_negative_wish(text: str):
    assert not any(part.absent for part in parts(text))


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        ("A beach with no people", ["with no people"]),
        ("The red car, not the blue car, stands in front", ["not the blue car,"]),
        ("Hausfarbe Grün, kein Rosa.", ["kein Rosa."]),
        ("No cats, dogs or birds: think of an empty street", ["No cats, dogs or birds:"]),
        ("Avoid: cats, dogs", ["Avoid: cats, dogs"]),
        ("Ein Strand ohne Menschen", ["ohne Menschen"]),
        ("The clock has no hands", ["no hands"]),
        ("A hall, though there are no chairs", ["there are no chairs"]),
        ("Keep the top third clear of objects", ["clear of objects"]),
        ("The shop shows no logo but a red lamp", ["no logo"]),
    ],
)
def test_a_clause_is_cut_where_it_turns(text: str, absent: list[str]):
    assert [text[start:end].strip() for start, end, negative in parts(text) if negative] == absent
    assert "".join(text[part.start : part.end] for part in parts(text)) == text


def test_the_things_that_are_ruled_out():
    assert items("No people, no hands, no clip-art sunflowers.") == ("people", "hands", "clip-art sunflowers")
    assert items("A beach without dogs or cats") == ("dogs", "cats")
    assert items("a blue car") == ("a blue car",)


def test_questions_and_old_pictures_ask_for_nothing_but_polite_requests_do():
    for text in ("Would you like a dog?", 'Our old sign said "Open".', "Möchten Sie ein Auto?", "要不要加一只狗？"):
        assert only_mentions(plain(text)), text
    for text in (
        "Could you add a dog?",
        'Set "Ready for summer?" on top',
        "Könnten Sie einen Hund malen?",
        "能加一只狗吗？",
    ):
        assert not only_mentions(plain(text)), text
    assert points_back("please don't put it on!")
    assert not points_back("don't put it on the right")


GONE = Goal(id="g01", text="No blue car, thanks", absent=True)
SIGN = Goal(id="g02", text='Remove the text "OPEN" from the sign', type="text", string="OPEN", absent=True, count=2)


def test_it_is_worded_as_absence():
    assert worded(GONE, edit=False) == "There is no blue car"
    assert worded(GONE, edit=True) == "Remove blue car"
    assert worded(SIGN, edit=False) == 'There is no text "OPEN"'
    assert worded(SIGN, edit=True) == 'Remove the text "OPEN"'
    assert worded(Goal(id="a", text="the red kite", absent=True), edit=False) == "There is no red kite"
    assert worded(Goal(id="a", text="不要出现汽车。", absent=True), edit=True) == "不要出现汽车"


def asked(**changes: object) -> PlanRequest:
    targets = (GONE, SIGN, Goal(id="g03", text="kites", absent=True))
    return PlanRequest.model_validate(
        {"brief": Brief(text="x"), "mode": Mode.STAGED, "whole": True, "targets": targets, **changes}
    )


def test_instructions_in_the_briefs_own_words_say_it_too():
    assert verbatim(asked()).instruction.splitlines() == [GONE.text, SIGN.text, "There is no kites"]
    edit = asked(base="0" * 64)
    assert verbatim(edit).instruction.splitlines()[-1] == "Remove kites"


def test_the_planner_is_told_and_needs_not_quote_the_string():
    question = plan.prompt(asked()).question
    assert "There is no …" in question
    assert "add_object, absent: No blue car, thanks (achieved when all that these words rule out is nowhere" in question
    assert "exactly" not in question.split("<<<")[1]
    assert plan.action(json.dumps({"instruction": "An empty street.", "region": None}), asked()).instruction
    assert "absent" not in plan.prompt(asked(targets=(Goal(id="a", text="a dog"),))).question


def test_the_verifier_is_asked_for_absence():
    question = verify.soft("0" * 64, SIGN)
    assert question.name == "verify_soft_absent"
    assert "the lettering “OPEN” is nowhere in the picture" in question.question
    assert "yes if it is nowhere to be seen" in question.question


BRIEF = Brief(text='Remove the text "OPEN" from the sign. A red cup.')


@pytest.mark.parametrize(("said", "absent"), [({"absent": True}, True), ({"absent": False}, False), ({}, True)])
def test_a_planners_model_says_it_and_where_it_says_nothing_the_words_do(said: dict[str, bool], absent: bool):
    reply = {
        "clauses": [1], "type": "text", "string": 1, "scope": "text", "region": None, "count": 1, "parents": [],
        "conflicts": [], "must_have": False, "feasibility": 80, **said,
    }  # fmt: skip
    (goal,) = extract.goals(json.dumps({"goals": [reply]}), ExtractRequest(brief=BRIEF))
    assert (goal.absent, goal.string, goal.count) == (absent, "OPEN", None if absent else 1)


def test_under_a_grammar_it_must_be_said():
    goal = extract.prompt(ExtractRequest(brief=BRIEF)).schema["$defs"]["GoalReply"]
    assert goal["properties"]["absent"] == {"type": "boolean"}
    assert "absent" in goal["required"]


def test_what_is_not_absent_is_stored_as_before():
    assert "absent" not in Goal(id="a", text="a dog").model_dump_json()
    assert Goal.model_validate_json(GONE.model_dump_json()) == GONE
    assert Goal.model_validate_json('{"id":"a","text":"a dog"}').absent is False


def test_a_first_scene_leaves_no_absence_for_later_edits():
    local = Goal(id="g03", text="a dog", scope=Scope.LOCAL)
    assert scene((GONE, local), left_for_edits=2) == (GONE,)


def test_it_is_shown_as_absence():
    told = Extracted(goals=(GONE, SIGN), by="x")
    assert "absent: No blue car, thanks" in Transcript().line(told).text


def test_a_task_may_carry_it():
    assert task_goal(1, {"type": "text", "description": 'No "OPEN"', "absent": True})["absent"]
    assert not task_goal(1, {"type": "text", "description": 'Add "OPEN"'})["absent"]
