"""GenEval: the official rules and figures, held to cases that are worked out by hand."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from director.errors import BriefError
from tests.support.user_data import user_file
from worker.bench.geneval.scoring import (
    CLASSES,
    TAGS,
    Colour,
    Detection,
    Entry,
    Judged,
    Prompt,
    judge,
    kept,
    read_metadata,
    read_results,
    relations,
    row,
    scored,
)


def at(x0: float, y0: float, x1: float, y1: float, score: float = 0.99) -> Detection:
    return Detection(x0, y0, x1, y1, score)


def prompt(tag: str, include: list[dict[str, Any]], exclude: Sequence[dict[str, Any]] = ()) -> Prompt:
    return Prompt.model_validate({"tag": tag, "include": include, "exclude": exclude, "prompt": "a photo"})


def colourless(kind: str, objects: Sequence[Detection]) -> Sequence[Colour]:
    raise AssertionError("nobody asked for a colour")


class Paints:
    """A classifier that knows each object's colour by its left edge."""

    def __init__(self, **by_edge: Colour) -> None:
        self.by_edge = by_edge
        self.asked: list[int] = []

    def __call__(self, kind: str, objects: Sequence[Detection]) -> Sequence[Colour]:
        self.asked.append(len(objects))
        return [self.by_edge[f"x{each.x0:.0f}"] for each in objects]


# --- what counts as found -----------------------------------------------------------------------


def test_a_detection_counts_strictly_above_the_threshold():
    found = {"cup": [at(0, 0, 9, 9, 0.30), at(0, 0, 9, 9, 0.31)], "dog": [at(0, 0, 9, 9, 0.30)]}
    assert {name: [each.score for each in boxes] for name, boxes in kept(found, "two_object").items()} == {
        "cup": [0.31]
    }


def test_counting_asks_for_more_confidence():
    found = {"cup": [at(0, 0, 9, 9, 0.90), at(0, 0, 9, 9, 0.91), at(0, 0, 9, 9, 0.95)]}
    assert [each.score for each in kept(found, "counting")["cup"]] == [0.95, 0.91]


def test_sixteen_of_a_class_and_none_is_suppressed():
    same_place = [at(0, 0, 9, 9, 0.5 + n / 100) for n in range(20)]
    found = kept({"cup": same_place}, "colors")["cup"]
    assert len(found) == 16
    assert [found[0].score, found[-1].score] == [0.69, 0.54]  # 0.50 + 19/100 first, the four lowest gone


# --- position -----------------------------------------------------------------------------------

LEFT = at(0, 0, 10, 10)  # centre (5, 5), 10 x 10


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        # Centres 20 apart along x. Dead zone 0.1 * (10 + 10) = 2, so 18 are left; 18 / 20 = 0.9 > 0.5.
        (LEFT, at(20, 0, 30, 10), {"left of"}),
        (at(20, 0, 30, 10), LEFT, {"right of"}),
        (LEFT, at(0, 20, 10, 30), {"above"}),
        (at(0, 20, 10, 30), LEFT, {"below"}),
        # Offset 15, dead zone 0.1 * (100 + 100) = 20: nothing is left.
        (at(0, 0, 100, 100), at(15, 0, 115, 100), set()),
        # Offset 40, dead zone 20: 20 / 40 = 0.5 is not above one half.
        (at(0, 0, 100, 100), at(40, 0, 140, 100), set()),
        # Offset 41: 21 / 41 = 0.512.
        (at(0, 0, 100, 100), at(41, 0, 141, 100), {"left of"}),
        # Offset (40, 30), distance 50; dead zone 2 on both axes: 38/50 = 0.76 and 28/50 = 0.56.
        (LEFT, at(40, 30, 50, 40), {"left of", "above"}),
        # Centres (10, 20) and (50, 50), distance 50. Along x 40 - 0.1 * (20 + 20) = 36 -> 0.72. Along y
        # 30 - 0.1 * (40 + 40) = 22 -> 22 / 50 = 0.44: no. (By what is left, 22 / 42.2 = 0.52, it would be.)
        (at(0, 0, 20, 40), at(40, 30, 60, 70), {"left of"}),
        (LEFT, LEFT, set()),
    ],
)
def test_relations(a: Detection, b: Detection, expected: set[str]):
    assert relations(a, b) == expected


BESIDE = [{"class": "dog", "count": 1}, {"class": "cat", "count": 1, "position": ["right of", 0]}]


def test_position_looks_at_the_surest_boxes_only():
    # The surest cat is left of the dog; a less sure one right of it does not help.
    found = {"dog": [at(50, 0, 60, 10)], "cat": [at(0, 0, 10, 10, 0.9), at(90, 0, 99, 10, 0.8)]}
    assert judge(prompt("position", BESIDE), found, colourless) == Judged(
        correct=False, reason="expected cat right of target, found left of target"
    )
    turned = {"dog": [at(50, 0, 60, 10)], "cat": [at(90, 0, 99, 10, 0.9), at(0, 0, 10, 10, 0.8)]}
    assert judge(prompt("position", BESIDE), turned, colourless) == Judged(correct=True)


def test_without_a_target_there_is_no_position():
    found = {"cat": [at(0, 0, 10, 10)]}
    assert judge(prompt("position", BESIDE), found, colourless).reason == (
        "expected dog>=1, found 0\nno target for cat to be right of"
    )


def test_every_box_must_stand_right_of_every_target():
    two = [{"class": "dog", "count": 2}, {"class": "cat", "count": 1, "position": ["right of", 0]}]
    dogs = [at(0, 0, 10, 10), at(60, 0, 70, 10)]
    assert judge(prompt("position", two), {"dog": dogs, "cat": [at(90, 0, 99, 10)]}, colourless).correct
    assert not judge(prompt("position", two), {"dog": dogs, "cat": [at(30, 0, 40, 10)]}, colourless).correct


# --- counting -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "reason"),
    [(2, "expected bus>=3, found 2"), (3, ""), (4, "expected bus<4, found 4"), (0, "expected bus>=3, found 0")],
)
def test_counting_includes_and_excludes(number: int, reason: str):
    three = prompt("counting", [{"class": "bus", "count": 3}], [{"class": "bus", "count": 4}])
    found = {"bus": [at(n, 0, n + 9, 9) for n in range(number)]} if number else {}
    assert judge(three, found, colourless) == Judged(correct=not reason, reason=reason)


def test_only_what_is_excluded_may_not_be_there():
    one = prompt("single_object", [{"class": "bus", "count": 1}])
    assert judge(one, {"bus": [LEFT] * 5, "dog": [LEFT]}, colourless).correct


# --- colour -------------------------------------------------------------------------------------

RED_CUP = [{"class": "cup", "count": 1, "color": "red"}]


def test_colour_looks_at_the_surest_box_only():
    found = {"cup": [at(0, 0, 9, 9, 0.9), at(50, 0, 59, 9, 0.8)]}
    paints = Paints(x0="blue", x50="red")
    assert judge(prompt("colors", RED_CUP), found, paints) == Judged(
        correct=False, reason="expected red cup>=1, found 0 red; and 1 blue"
    )
    assert paints.asked == [1]
    assert judge(prompt("colors", RED_CUP), found, Paints(x0="red", x50="blue")).correct


def test_each_of_the_counted_boxes_must_have_the_colour():
    two = prompt("colors", [{"class": "cup", "count": 2, "color": "red"}])
    found = {"cup": [at(0, 0, 9, 9, 0.9), at(20, 0, 29, 9, 0.8), at(50, 0, 59, 9, 0.7)]}
    assert judge(two, found, Paints(x0="red", x20="white", x50="red")).reason == (
        "expected red cup>=2, found 1 red; and 1 red, 1 white"
    )


def test_both_objects_of_a_pair_are_judged_even_if_the_first_fails():
    pair = prompt("color_attr", [*RED_CUP, {"class": "dog", "count": 1, "color": "blue"}])
    found = {"cup": [at(0, 0, 9, 9)], "dog": [at(50, 0, 59, 9)]}
    assert judge(pair, found, Paints(x0="blue", x50="red")).reason == (
        "expected red cup>=1, found 0 red; and 1 blue\nexpected blue dog>=1, found 0 blue; and 1 red"
    )
    assert judge(pair, found, Paints(x0="red", x50="blue")).correct


def test_a_colour_is_not_asked_of_what_is_missing():
    assert judge(prompt("colors", RED_CUP), {}, colourless).reason == "expected cup>=1, found 0"


# --- the figures --------------------------------------------------------------------------------


def record(tag: str, name: str) -> str:
    return json.dumps({"tag": tag, "include": [{"class": name, "count": 1}], "prompt": f"a photo of a {name}"})


def lines(*groups: tuple[str, str, str]) -> bytes:
    """Rows as the official script writes them, from (tag, class, a + or - for each picture)."""
    rows = [
        {
            "filename": f"images/{n:05d}/samples/{k:04d}.png", "tag": tag, "prompt": f"a photo of a {name}",
            "correct": mark == "+", "reason": "" if mark == "+" else f"expected {name}>=1, found 0",
            "metadata": record(tag, name), "details": "{}",
        }
        for n, (tag, name, marks) in enumerate(groups)
        for k, mark in enumerate(marks)
    ]  # fmt: skip
    return b"".join(json.dumps(each).encode() + b"\n" for each in rows)


GROUPS = (
    ("single_object", "cup", "++++"), ("single_object", "dog", "+++-"), ("two_object", "cat", "++--"),
    ("counting", "bus", "+---"), ("colors", "cake", "++++"),
    ("position", "bed", "----"), ("color_attr", "sink", "+-+-"),
)  # fmt: skip


def test_overall_is_the_mean_of_tags_and_not_of_pictures():
    figures = scored(read_results(lines(*GROUPS)))
    # 7/8, 2/4, 1/4, 4/4, 0/4, 2/4.
    assert [figures["tags"][tag]["accuracy"] for tag in TAGS] == [0.875, 0.5, 0.25, 1.0, 0.0, 0.5]
    assert figures["overall"] == pytest.approx((0.875 + 0.5 + 0.25 + 1.0 + 0.0 + 0.5) / 6, abs=1e-12)  # 0.52083
    assert figures["images_correct"] == pytest.approx(16 / 28)  # 0.571, which is another number
    assert (figures["images"], figures["prompts"]) == (28, 7)
    assert figures["prompts_any_correct"] == pytest.approx(6 / 7)
    assert figures["prompts_all_correct"] == pytest.approx(2 / 7)
    assert figures["tags_missing"] == []
    low, high = figures["overall_ci"]
    assert low < figures["overall"] < high
    assert figures["tags"]["colors"]["ci"] is None  # one prompt
    low, high = figures["tags"]["single_object"]["ci"]
    assert (low, high) == (0.75, 1.0)


def test_a_published_row_is_the_mean_of_its_tags():
    # Stable Diffusion 1.5 in the official table: .97 .38 .35 .76 .04 .06 -> 0.43.
    shares = {"single_object": 97, "two_object": 38, "counting": 35, "colors": 76, "position": 4, "color_attr": 6}
    groups = [(tag, CLASSES[n], "+" * share + "-" * (100 - share)) for n, (tag, share) in enumerate(shares.items())]
    assert f"{scored(read_results(lines(*groups)))['overall']:.2f}" == "0.43"


def test_tags_that_are_missing_are_named_and_not_zero():
    figures = scored(read_results(lines(("colors", "cup", "++--"))))
    assert figures["overall"] == 0.5
    assert figures["tags_missing"] == [tag for tag in TAGS if tag != "colors"]


def test_pictures_without_a_row_are_unscored_and_not_wrong():
    entries = read_metadata("\n".join([record("colors", "cup"), record("colors", "dog")]).encode())
    figures = scored(read_results(lines(("colors", "cup", "++-"))), entries)
    assert figures["unscored"] == 5  # one of the first, all four of the second
    assert figures["overall"] == pytest.approx(2 / 3)
    with pytest.raises(BriefError, match="is not in the metadata"):
        scored(read_results(lines(("colors", "bus", "+"))), entries)
    with pytest.raises(BriefError, match="has 5 pictures"):
        scored(read_results(lines(("colors", "cup", "+++++"))), entries)


def test_a_row_is_written_as_the_official_script_does_and_reads_back():
    entry = Entry(3, Prompt.model_validate_json(record("colors", "cup")), record("colors", "cup"))
    made = row("x/00003/samples/0000.png", entry, {"cup": [at(1, 2, 3, 4, 0.5)]}, Judged(correct=True))
    values = json.loads(made.model_dump_json())
    assert list(values) == ["filename", "tag", "prompt", "correct", "reason", "metadata", "details"]
    assert json.loads(values["details"]) == {"cup": [[1, 2, 3, 4, 0.5]]}
    assert read_results(made.model_dump_json().encode()) == [made]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "there is no picture in it"),
        (b"\xff", "byte 0 is not UTF-8"),
        (b"{", "line 1: the JSON is broken"),
        (b"[1]", "line 1: this is no object"),
        (lines(("colors", "cup", "+")).replace(b"true", b'"yes"'), "line 1: correct: "),
        (lines(("colors", "cup", "+")).replace(b'"correct": true, ', b""), "line 1: correct: "),
        (lines(("colors", "cup", "+")) * 2, "line 2: images/00000/samples/0000.png stands on line 1 too"),
        (lines(("colours", "cup", "+")), "line 1: tag: "),
        (
            lines(("colors", "cup", "+")).replace(b'"tag": "colors"', b'"tag": "counting"', 1),
            "differ from those in its",
        ),
        (lines(("colors", "cup", "+")).replace(b'\\"cup\\"', b'\\"grail\\"'), "no class 'grail'"),
    ],
)
def test_bad_results_are_refused_with_their_line(data: bytes, message: str):
    with pytest.raises(BriefError, match=message):
        read_results(data)


# --- the metadata -------------------------------------------------------------------------------

GOOD = record("colors", "cup")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (GOOD, "line 2: the same as line 1"),
        (GOOD.replace('"cup"', '"unicorn"'), "line 2: include.0.class: there is no class 'unicorn'"),
        (GOOD.replace("colors", "colours"), "line 2: tag: "),
        (GOOD.replace('"count": 1', '"count": 0'), "line 2: include.0.count: "),
        (GOOD.replace('"count": 1', '"count": "1"'), "line 2: include.0.count: "),
        (GOOD.replace('"count": 1', '"count": 1, "color": "teal"'), "line 2: include.0.color: "),
        (GOOD.replace('"count": 1', '"count": 1, "colour": "red"'), "line 2: include.0.colour: "),
        (GOOD.replace('"count": 1', '"count": 1, "position": ["above", 0]'), "an entry before it"),
        (GOOD.replace('"count": 1', '"count": 1, "position": ["near", 0]'), "line 2: include.0.position.0: "),
        (GOOD.replace('"prompt": "a photo of a cup"', '"prompt": ""'), "line 2: prompt: "),
        ('{"tag": "colors", "include": [], "prompt": "x"}', "line 2: include: "),
        ("nothing", "line 2: the JSON is broken"),
    ],
)
def test_a_bad_prompt_is_refused_with_its_line_and_field(line: str, message: str):
    with pytest.raises(BriefError, match=message):
        read_metadata(f"{GOOD}\n{line}\n".encode())


def test_an_empty_metadata_file_is_refused():
    with pytest.raises(BriefError, match="no prompt"):
        read_metadata(b"\n\n")


def test_the_official_metadata_is_read():
    entries = read_metadata(user_file("geneval/evaluation_metadata.jsonl"))
    assert len(entries) == 553
    assert Counter(each.prompt.tag for each in entries) == {
        "single_object": 80, "two_object": 99, "counting": 80, "colors": 94, "position": 100, "color_attr": 100,
    }  # fmt: skip
    assert entries[7].folder == "00007"
    assert tuple(user_file("geneval/object_names.txt").decode().split("\n"))[:80] == CLASSES
