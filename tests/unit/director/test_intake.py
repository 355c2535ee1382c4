"""Bad input is refused with the name of the field; good input arrives unchanged."""

import json

import pytest

from director.errors import BriefError
from director.intake import assignments, loop_settings, read_brief
from director.types import Brief, Goal, LoopSettings, Trajectory


@pytest.mark.parametrize(
    ("data", "field", "message"),
    [
        (b"", "brief.text", "it is empty"),
        (b"  \n ", "brief.text", "it is empty"),
        (b"\x89PNG\r\n", "brief.text", "it is a picture, no brief"),
        (b"\0\0\0 ftypheic", "brief.text", "it is a picture, no brief"),
        (b"PK\3\4", "brief.text", "save it as plain text"),
        ("A lamp".encode("utf-16"), "brief.text", "it is UTF-16 text"),
        (b"x" * 200_000, "brief", "200000 bytes"),
        (b"x" * 2_000_000, "brief.text", "2000000 bytes"),
        (b"A cat\0", "brief.text", "it holds zero bytes"),
        (b"caf\xe9 poster", "brief.text", "byte 3 is not UTF-8"),
        (b'{"prompt": "x"', "brief", "Expecting"),
        (b'{"prompt": 3}', "brief.text", "string"),
        (b'{"prompt": "x", "goals": 4}', "brief.goals", "no list of objects"),
        (b'{"prompt": "x", "goals": ["snow"]}', "brief.goals", "no list of objects"),
        (
            b'{"prompt": "x", "goals": [{"type": "A b", "description": "y"}]}',
            "brief.goals.0.type",
            "a word of lower-case",
        ),
        (b'{"goals": []}', "brief.text", "the JSON has no prompt"),
    ],
)
def test_unusable_briefs(data: bytes, field: str, message: str):
    with pytest.raises(BriefError, match=message) as caught:
        read_brief(data, annotated=True)
    assert caught.value.field == field


def test_a_task_gives_its_prompt_and_if_asked_its_goals():
    task = {"prompt": "A poster", "category": "Poster", "subcategory": "Café", "goals": [
        {"type": "text", "description": "Include the text 'It's on' at the top"},
        {"type": "texture", "description": "rough"},
    ]}  # fmt: skip
    data = json.dumps(task).encode()
    assert read_brief(data) == Brief(text="A poster", title="Poster · Café")
    goals = read_brief(data, annotated=True).goals
    assert [(goal.id, goal.type, goal.string) for goal in goals] == [
        ("g01", "text", "It's on"),
        ("g02", "texture", None),
    ]


@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        ({"candidates": 0}, "settings.candidates", "must be at least 1"),
        ({"candidates": 17}, "settings.candidates", "must be at most 16"),
        ({"candidate": 4}, "settings.candidate", "did you mean candidates"),
        ({"gate": "maybe"}, "settings.gate", "staged"),
        ({"judge": False}, "settings", "nobody would pick"),
        ({"width": 500}, "settings.width", "multiple of 16"),
        ({"width": 1080, "height": 1920}, "settings.width", "multiple of 16.*the nearest are 1072 and 1088"),
        ({"height": 2050}, "settings.height", "must be at most 2048"),
        ({"height": 50}, "settings.height", "must be at least 64"),
    ],
)
def test_unusable_settings(values: dict[str, object], field: str, message: str):
    with pytest.raises(BriefError, match=message) as caught:
        loop_settings(values)
    assert caught.value.field == field


def test_a_job_names_both_sides_or_none():
    assert (loop_settings({}).width, loop_settings({}).height) == (None, None)
    assert (loop_settings({"width": 1024}).width, loop_settings({"width": 1024}).height) == (1024, 512)
    assert (loop_settings({"width": None, "height": 640}).width, loop_settings({"height": 640}).height) == (512, 640)


def test_an_unknown_strategy_lists_those_there_are():
    with pytest.raises(BriefError, match="best-of-4"):
        loop_settings({}, "luck")


def test_words_become_values():
    assert assignments(["candidates=4", "gate=staged", "judge=false", "max_renders=null"]) == {
        "candidates": 4, "gate": "staged", "judge": False, "max_renders": None,
    }  # fmt: skip
    assert assignments(["width=NaN", "rounds=1e999"]) == {"width": "NaN", "rounds": "1e999"}
    with pytest.raises(BriefError, match="key=value"):
        assignments(["candidates"])


def test_guard_is_the_public_name_of_weigh_kept():
    settings = loop_settings(assignments(["guard=false"]))
    assert not settings.weigh_kept
    for stored in (settings.model_dump(), Trajectory(brief=Brief(text="x"), settings=settings, seed=1).model_dump()):
        named = stored.get("settings", stored)
        assert named["guard"] is False
        assert "weigh_kept" not in named
    with pytest.raises(BriefError, match="no setting 'weigh_kept'"):
        loop_settings({"weigh_kept": False})


def test_settings_over_a_strategy():
    assert loop_settings({"rounds": 3}, "all") == LoopSettings(
        rounds=3, adaptive=False, guard=False, accept="alignment", anchor_after=0
    )


@pytest.mark.parametrize(
    "goals", [[{"id": "a"}, {"id": "a"}], [{"id": "a", "parents": ["b"]}], [{"id": "a", "parents": ["a"]}]]
)
def test_goals_that_do_not_fit_together(goals: list[dict[str, object]]):
    with pytest.raises(ValueError, match=r"id: give|no such other goal"):
        Brief(text="x", goals=tuple(Goal.model_validate({"text": "y", **goal}) for goal in goals))


def test_a_file_that_is_called_json_and_holds_prose_is_told():
    with pytest.raises(BriefError, match=r"ends in \.json, but it holds no JSON") as told:
        read_brief(b"A red kite on the left", named_json=True)
    assert told.value.fix == "name it .txt, or write JSON"
    assert read_brief(b'{"prompt": "A red kite"}', named_json=True).text == "A red kite"
    assert read_brief(b"A red kite on the left").text == "A red kite on the left"
