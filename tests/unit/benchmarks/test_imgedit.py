"""ImgEdit: replies as judges write them, and the published rounding, held to numbers worked out by hand."""

import json
from collections import Counter

import pytest

from director.errors import BriefError
from tests.support.user_data import user_file
from worker.bench.imgedit.scoring import (
    TYPES,
    Edit,
    Unreadable,
    axes,
    item_score,
    question,
    read_edits,
    read_judge_prompts,
    read_results,
    read_scores,
    scored,
)

NAMES = ("Prompt Compliance", "Visual Naturalness", "Physical & Detail Integrity")
PROMPT = """Rate the edit on a 5-point scale.

Prompt Compliance
1  Nothing was done.

Example Response Format:
Brief reasoning: no more than 20 words.
Prompt Compliance: A number from 1 to 5.
Visual Naturalness: A number from 1 to 5.
Physical & Detail Integrity: A number from 1 to 5.
editing instruction is : <edit_prompt>.
"""


def said(a: object, b: object, c: object, form: str = "{}: {}") -> str:
    return "\n".join(form.format(name, score) for name, score in zip(NAMES, (a, b, c), strict=True))


# --- replies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [NAMES, ()], ids=["names", "lines"])
@pytest.mark.parametrize(
    "reply",
    [
        "Brief reasoning: the dog is 3 times larger: odd.\n" + said(4, 3, 2),
        "**Brief reasoning:** fine.\n" + said(4, 3, 2, "**{}:** {}"),
        said(4, 3, 2, "**{}**: {}"),
        said(4, 3, 2, "{}: **{}**"),
        said(4, 3, 2, "- {}: {}."),
        said(4, 3, 2, "{}: {}/5"),
        said(4, 3, 2, "{}: {} out of 5."),
        said(4, 3, 2, "{}: {} (small seams, 2 of them)"),
        said(4, 3, 2, "{}: {} - small seams"),
        said(4, 3, 2, "* **{}**: {} / 5  "),
        said(4, 3, 2, "{}：{}").replace("\n", "\r\n"),
        said(4, 3, 2, "{} (1-5): {}"),
        "{" + said(4, 3, 2, '"{}": {},') + "}",
        "<think>" + said(1, 1, 1) + "</think>\n" + said(4, 3, 2),
        said(4, 3, 2) + "\nOverall: 3",
        said(4, 3, 2) + "\n\nIn short:\n" + said(4, 3, 2),
        said("4.0", 3, "2.0"),
        "1. Prompt Compliance: 4\n2. Visual Naturalness: 3\n3. Physical & Detail Integrity: 2",
    ],
)
def test_replies_that_are_read(reply: str, names: tuple[str, ...]):
    assert read_scores(reply, names) == (4, 3, 2)


@pytest.mark.parametrize(
    "reply",
    [
        "Brief reasoning: fine. Prompt Compliance: 4, Visual Naturalness: 3, Physical & Detail Integrity: 2",
        "| Prompt Compliance | 4 |\n| Visual Naturalness | 3 |\n| Physical & Detail Integrity | 2 |",
        "Physical & Detail Integrity: 2\nVisual Naturalness: 3\nPrompt Compliance: 4",
        "Seams: 5\n" + said(4, 3, 2),
    ],
)
def test_with_the_names_of_the_scores_more_is_read(reply: str):
    assert read_scores(reply, NAMES) == (4, 3, 2)


def test_a_judge_may_call_a_score_by_another_name():
    assert read_scores("Action / Expression Fidelity: 4\nIdentity: 3\nCoherence: 2", ("Action Fidelity", "A", "B")) == (
        4,
        3,
        2,
    )


@pytest.mark.parametrize("names", [NAMES, ()], ids=["names", "lines"])
@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("", "0 scores"),
        ("I'm sorry, but I can't help with that.", "0 scores"),
        ("Prompt Compliance: 4\nVisual Naturalness: 3", "2 scores"),
        (said("N/A", 3, 2), "2 scores"),
        (said("4-5", 3, 2), "no single score"),
        (said("4 or 5", 3, 2), "no single score"),
        (said("4,5", 3, 2), "no single score"),
        (said("8/10", 3, 2), "not a score from 1 to 5"),
        (said(4, 0, 2), "not a score from 1 to 5"),
        (said(4, 6, 2), "not a score from 1 to 5"),
        (said(45, 3, 2), "not a score from 1 to 5"),
        (said(4, 3, 2) + "\nPrompt Compliance: 5", "two different scores"),
        ("4 3 2", "0 scores"),
    ],
)  # fmt: skip
def test_replies_without_three_scores_are_no_number(reply: str, why: str, names: tuple[str, ...]):
    with pytest.raises(Unreadable, match=why):
        read_scores(reply, names)


@pytest.mark.parametrize("noise", ["A" + " " * 100_000, "\n" * 100_000, "Prompt Compliance (" * 10_000, ": 1" * 50_000])
def test_a_reply_made_to_stop_the_reader_does_not(noise: str):
    with pytest.raises(Unreadable):
        read_scores(noise, NAMES)


# --- figures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "expected", "capped"),
    [
        ((4, 4, 4), 4.0, 4.0),
        ((1, 4, 4), 3.0, 1.0),
        ((5, 4, 4), 4.33, 4.33),  # 13 / 3 = 4.333…
        ((2, 5, 4), 3.67, 2.0),  # 11 / 3 = 3.666…
        ((3, 5, 2), 3.33, 2.67),  # 10 / 3; with the cap (3 + 3 + 2) / 3 = 2.666…
    ],
)
def test_an_edit_is_the_mean_of_its_scores_to_two_decimals(scores: tuple[float, ...], expected: float, capped: float):
    assert item_score(scores) == expected
    assert item_score(scores, cap=True) == capped


def edits(*kinds: str) -> dict[str, Edit]:
    return {
        str(n): Edit.model_validate({"id": f"animal/{n}.jpg", "prompt": "Remove the dog.", "edit_type": kind})
        for n, kind in enumerate(kinds)
    }


def test_types_are_rounded_before_they_are_averaged():
    replies = {"0": said(5, 4, 4), "1": said(5, 4, 4), "2": said(2, 5, 4), "3": said(5, 5, 5), "4": said(4, 4, 3)}
    figures = scored(replies, edits("add", "add", "add", "style", "remove"))
    # add: (4.33 + 4.33 + 3.67) / 3 = 12.33 / 3 = 4.11; style 5.0; remove 11 / 3 -> 3.67.
    assert {kind: each["score"] for kind, each in figures["types"].items()} == {
        "add": 4.11,
        "remove": 3.67,
        "style": 5.0,
    }
    # (4.11 + 3.67 + 5.00) / 3 = 12.78 / 3 = 4.26. The mean of edits would be (4.33 * 2 + 3.67 + 5 + 3.67) / 5 = 4.20.
    assert figures["overall"] == 4.26
    assert figures["types_missing"] == [kind for kind in TYPES if kind not in {"add", "remove", "style"}]
    assert (figures["edits"], figures["scored"], figures["unscored"]) == (5, 5, {})


def test_a_published_row_is_the_mean_of_its_types():
    # BAGEL in the published tables, in their order: 28.77 / 9 = 3.1967 -> 3.20.
    row = dict(zip(TYPES, (3.56, 3.31, 1.70, 3.30, 2.62, 3.24, 4.49, 2.38, 4.17), strict=True))
    kinds, replies = [], {}
    for kind, mean in row.items():
        # A hundred edits, each scored alike on its three axes, whose mean is the type's.
        low, share = int(mean), round((mean - int(mean)) * 100)
        for n in range(100):
            replies[str(len(kinds))] = said(*[low + 1 if n < share else low] * 3)
            kinds.append(kind)
    figures = scored(replies, edits(*kinds))
    assert {kind: each["score"] for kind, each in figures["types"].items()} == row
    assert figures["overall"] == 3.2
    assert figures["overall_unrounded"] == pytest.approx(28.77 / 9)
    low, high = figures["overall_ci"]
    assert low < 28.77 / 9 < high


def test_what_could_not_be_judged_is_counted_and_in_no_mean():
    replies = {"0": said(4, 4, 4), "1": "I can't.", "2": None, "3": ""}
    figures = scored(replies, edits("add", "add", "add", "add", "add", "style"))
    assert figures["overall"] == 4.0
    assert figures["unscored"] == {"missing": 2, "no reply": 2, "unreadable": 1}
    assert figures["unscored_keys"]["1"] == "unreadable"
    assert figures["scored"] == 1


def test_one_edit_has_no_interval():
    figures = scored({"0": said(4, 4, 4), "1": said(5, 5, 5), "2": said(1, 1, 1)}, edits("add", "style", "style"))
    assert figures["types"]["add"]["ci"] is None
    assert figures["types"]["style"]["ci"] == [1.0, 5.0]


def test_nothing_to_score_is_an_error_and_no_zero():
    with pytest.raises(BriefError, match="not one edit"):
        scored({"0": "I can't."}, edits("add"))


def test_the_cap_is_a_setting():
    replies = {"0": said(1, 4, 4)}
    assert scored(replies, edits("add"))["overall"] == 3.0
    assert scored(replies, edits("add"), cap=True)["overall"] == 1.0


def test_results_are_replies_or_errors():
    data = json.dumps({"0": said(4, 4, 4), "1": {"error": "Connection error."}, "2": None}).encode()
    assert read_results(data, edits("add", "add", "add")) == {"0": said(4, 4, 4), "1": None, "2": None}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"7": "x"}', "there is no edit '7'"),
        (b'{"0": 4}', "0: this is no reply"),
        (b'{"0": {"score": 4}}', "0: this is no reply"),
        (b'{"0": "a", "0": "b"}', "'0' stands there twice"),
        (b"[]", "this is no object"),
        (b"{", "the JSON is broken"),
        (b"\xff", "byte 0 is not UTF-8"),
    ],
)
def test_bad_results_are_refused(data: bytes, message: str):
    with pytest.raises(BriefError, match=message):
        read_results(data, edits("add"))


# --- the user's files ---------------------------------------------------------------------------

EDIT = {"id": "animal/1.jpg", "prompt": "Remove the dog.", "edit_type": "remove"}


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ({}, "there is no edit in it"),
        ({"7": {**EDIT, "edit_type": "delete"}}, "7.edit_type: "),
        ({"7": {**EDIT, "prompt": ""}}, "7.prompt: "),
        ({"7": {**EDIT, "id": "../1.jpg"}}, "7.id: must be a path below"),
        ({"7": {**EDIT, "id": "/etc/1.jpg"}}, "7.id: must be a path below"),
        ({"7": {**EDIT, "type": "remove"}}, "7.type: "),
        ({"../7": EDIT}, "String should match pattern"),
        ({"7": "remove"}, "7: "),
    ],
)
def test_a_bad_edit_is_refused_with_its_key_and_field(records: object, message: str):
    with pytest.raises(BriefError, match=message):
        read_edits(json.dumps(records).encode())


def test_the_judge_prompts_name_their_scores():
    prompts = read_judge_prompts(json.dumps(dict.fromkeys(TYPES, PROMPT)).encode())
    assert axes(prompts["add"]) == NAMES
    assert "instruction is : Remove the dog.." in question(prompts, Edit.model_validate(EDIT))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"style": None}, "style: there is no prompt with <edit_prompt>"),
        ({"style": "Rate it."}, "style: there is no prompt with <edit_prompt>"),
        ({"style": "Rate it. <edit_prompt>"}, "style: it asks for 0 scores"),
    ],
)
def test_bad_judge_prompts_are_refused(changed: dict[str, str], message: str):
    with pytest.raises(BriefError, match=message):
        read_judge_prompts(json.dumps({**dict.fromkeys(TYPES, PROMPT), **changed}).encode())


def test_the_official_files_are_read():
    official = read_edits(user_file("imgedit/basic_edit.json"))
    assert len(official) == 737
    assert len({edit.id for edit in official.values()}) == 171
    assert Counter(edit.edit_type for edit in official.values()) == {
        "extract": 117, "style": 100, "add": 95, "adjust": 94, "background": 94, "replace": 92, "remove": 86,
        "action": 36, "compose": 23,
    }  # fmt: skip
    prompts = read_judge_prompts(user_file("imgedit/prompts.json"))
    assert axes(prompts["style"]) == ("Style Fidelity", "Content Preservation", "Rendering Quality")
    assert axes(prompts["action"]) == ("Action Fidelity", "Identity Preservation", "Visual & Anatomical Coherence")
