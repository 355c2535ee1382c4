"""The damages of `bench verifier --damage`: only the pixels of what is damaged change, and the table counts them."""

import json
from pathlib import Path

import numpy as np
import pytest

from director.types import Goal, Outcome
from worker.bench.sketch_lab import damage, pixel_damage
from worker.bench.sketch_lab.damage import Look
from worker.cli import main
from worker.sketch.language import parse

LINE = pixel_damage.Line(
    (20, 20, 80, 40),
    (("A", (20, 20, 34, 40)), ("b", (38, 20, 50, 40)), (" ", None), ("m", (56, 26, 66, 40)), ("i", (70, 20, 78, 40))),
)


def picture() -> pixel_damage.Picture:
    return np.random.default_rng(5).integers(0, 256, (96, 128, 3), np.uint8)


@pytest.mark.parametrize("kind", pixel_damage.LETTERING)
def test_a_damaged_line_is_another_and_the_rest_stays(kind: str) -> None:
    before = picture()
    after = pixel_damage.LETTERING[kind](before, LINE, np.random.default_rng(2))
    assert after is not None
    assert after.shape == before.shape and after.dtype == np.uint8
    assert (after != before).any()
    assert (after[60:] == before[60:]).all() and (before == picture()).all()


@pytest.mark.parametrize("kind", pixel_damage.THINGS)
def test_a_damaged_thing_is_another_and_the_rest_stays(kind: str) -> None:
    before = picture()
    after = pixel_damage.THINGS[kind](before, (30, 20, 70, 60), np.random.default_rng(2))
    assert (after != before).any()
    assert (after[80:] == before[80:]).all() and (after[:, 100:] == before[:, 100:]).all()


def test_what_is_counted() -> None:
    looks = [
        Look(0, "gap", "a", Outcome.MET, ""),
        Look(0, "gap", "b", Outcome.MISSED, ""),
        Look(0, "", "c", Outcome.MET, ""),
        Look(0, "", "d", Outcome.UNSURE, ""),
    ]
    found = damage.result(looks, 1, 7, 384)
    assert found["kinds"]["gap"] == {"goals": 2, "met": 0.5, "missed": 0.5, "unsure": 0.0}
    assert [row["goal"] for row in found["wrong"]] == ["a", "d"]
    text = damage.table(found)
    assert "too many" in text and "right ones refused: 0.500" in text


def test_a_scene_is_damaged_alike_each_time() -> None:
    looks = damage.looked_at(1, 1, 256)
    assert {bool(look.kind) for look in looks} == {True, False}
    assert looks == damage.looked_at(1, 1, 256)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "verifier", "--damage", "2", "--size", "192", "--json", str(tmp_path / "d.json")]) == 0
    found = json.loads((tmp_path / "d.json").read_text())
    assert found["damaged"]["goals"] >= 2
    assert "left alone" in capsys.readouterr().out


def test_a_damage_that_nobody_sees_is_not_planted() -> None:
    apple = Goal(id="g", text="Add a red apple")
    target = damage.Target(apple, parse(apple.text)[0], boxes=((20, 20, 60, 60),))
    before = np.full((96, 96, 3), 120, np.uint8)
    faint, clear, turned, moved = (before.copy() for _ in range(4))
    faint[20:60, 20:60] += 12
    clear[20:60, 20:45] += 60
    turned[20:30, 20:60] += 60
    moved[70:90, 0:90] += 60
    seen = [damage._visible("ghost of a thing", before, after, target) for after in (faint, clear, turned, moved)]
    assert seen == [False, True, True, True]
    # its lines alone, or what is beside it, have another colour
    assert not damage._visible("recoloured thing", before, turned, target)
    assert damage._visible("recoloured thing", before, clear, target)


def test_discarded_damages_are_counted_and_judge_nobody() -> None:
    looks = [
        Look(0, "gap", "a", Outcome.MISSED, ""),
        Look(0, "discarded", "b", Outcome.UNSURE, "gap"),
        Look(0, "", "c", Outcome.MET, ""),
    ]
    found = damage.result(looks, 1, 1, 384)
    assert (found["discarded"], found["damaged"]["goals"], found["left alone"]["goals"]) == (1, 1, 1)
    assert (list(found["kinds"]), found["wrong"]) == (["gap"], [])
    assert "1 more damages were discarded" in damage.table(found)
