"""What a verdict quotes is in the pixels: damages are seen, and said as they are seen."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from director.seats import VerifyRequest
from director.types import Goal, Outcome, Verdict
from tests.unit.sketch.host import STUDIO, SketchContext, changed, drawn
from worker.sketch import draw
from worker.sketch.draw import Canvas, PixelBox
from worker.sketch.read_text import UNREADABLE, read
from worker.sketch.segment import Segments

LINE = "Include the text 'Open Tue, 7 to 3'"


def verdict(png: bytes, goal: str) -> Verdict:
    context = SketchContext()
    request = VerifyRequest(image=context.images.put(png), goals=(Goal(id="g", text=goal),))
    return STUDIO.verifier.verify(request, context).verdicts[0]


@pytest.fixture(scope="module")
def lettered() -> tuple[bytes, PixelBox]:
    """A line of type, and its box in pixels."""
    png = drawn(f"{LINE} across the top\nAdd a red apple on the left")[0]
    return png, read(Segments(draw.from_png(png)), "Open Tue, 7 to 3").box


def _smeared(canvas: Canvas, box: PixelBox) -> Canvas:
    x0, y0, x1, y1 = box
    canvas[y0:y1, x0:x1] = canvas[y0:y1, x0:x1].mean(axis=1, keepdims=True)
    return canvas


def _cut(canvas: Canvas, box: PixelBox) -> Canvas:
    x0, y0, x1, y1 = box
    canvas[(y0 + y1) // 2 : y1 + 1, x0:x1] = canvas[y1 + 3, x0:x1]
    return canvas


def _ghost(canvas: Canvas, box: PixelBox) -> Canvas:
    x0, y0, x1, y1 = box
    part = canvas[y0:y1, x0:x1]
    canvas[y0:y1, x0:x1] = (part + np.roll(part, (y1 - y0) // 3, axis=0)) / 2
    return canvas


@pytest.mark.parametrize("damage", [_smeared, _cut, _ghost])
@pytest.mark.parametrize("part", [(0.0, 0.2), (0.55, 0.7), (0.9, 1.0)])
def test_letters_that_are_not_there_are_not_read(
    lettered: tuple[bytes, PixelBox], damage: Callable[[Canvas, PixelBox], Canvas], part: tuple[float, float]
) -> None:
    png, (x0, y0, x1, y1) = lettered
    assert verdict(png, LINE).outcome is Outcome.MET
    a, b = (round(x0 + share * (x1 - x0)) for share in part)
    found = verdict(changed(png, lambda canvas: damage(canvas.copy(), (a, y0, b, y1))), LINE)
    assert found.outcome is Outcome.MISSED
    assert "read 'Open Tue, 7 to 3'" not in found.evidence
    assert UNREADABLE in found.evidence or "nowhere" in found.evidence


BIRDS = "Add three pink birds"


def test_one_thing_more_is_counted_also_where_it_stands_on_a_patch() -> None:
    png = drawn(f"{BIRDS} in the upper half\nA strong vignette (50%)")[0]
    assert verdict(png, BIRDS).outcome is Outcome.MET
    found = next(t for t in Segments(draw.from_png(png)).things if t.like("bird") > 0.5)
    x0, y0, x1, y1 = (round(512 * v) for v in found.box)

    def copied(canvas: Canvas) -> Canvas:
        canvas = canvas.copy()
        canvas[440 : 440 + y1 - y0 + 8, 30 : 30 + x1 - x0 + 8] = canvas[y0 - 4 : y1 + 4, x0 - 4 : x1 + 4]
        return canvas

    seen = verdict(changed(png, copied), BIRDS)
    assert (seen.outcome, seen.evidence) == (Outcome.MISSED, "sketch: found 4 of 3 pink bird")


@pytest.mark.parametrize("half", ["left", "top", "covered", "smeared", "doubled"])
def test_half_a_thing_is_not_the_thing(half: str) -> None:
    goal = "Add a large red apple in the centre"
    png = drawn(goal)[0]
    assert verdict(png, goal).outcome is Outcome.MET
    apple = next(t for t in Segments(draw.from_png(png)).things if t.like("apple") > 0.5)
    x0, y0, x1, y1 = (round(512 * v) for v in apple.box)

    def without(canvas: Canvas) -> Canvas:
        canvas = canvas.copy()
        rows = slice(y0 - 6, (y0 + y1) // 2 if half == "top" else y1 + 6)
        columns = slice(x0 - 6, x1 + 6 if half != "left" else (x0 + x1) // 2)
        if half == "smeared":
            canvas[rows, columns] = uniform_filter(canvas[rows, columns], ((y1 - y0) // 2, (x1 - x0) // 2, 1))
        elif half == "doubled":
            canvas[rows, columns] = (canvas[rows, columns] + np.roll(canvas[rows, columns], (x1 - x0) // 2, 1)) / 2
        else:
            canvas[rows, columns] = (20, 90, 200) if half == "covered" else canvas[y0 - 12, x0 - 12]
        return canvas

    assert verdict(changed(png, without), goal).outcome is not Outcome.MET


def test_a_thing_has_the_colour_of_its_fill_not_of_its_lines() -> None:
    """A blue pear that has turned green keeps its dark blue lines."""
    goal = "Add a blue pear in the centre"
    png = drawn(goal)[0]
    blue = draw.colour("blue")

    def turned(canvas: Canvas) -> Canvas:
        return np.where(np.abs(canvas - blue).max(axis=2, keepdims=True) < 40, draw.colour("green"), canvas)

    assert verdict(png, goal).outcome is Outcome.MET
    assert verdict(changed(png, turned), goal).outcome is Outcome.MISSED


def test_what_is_ruled_out_and_still_stands_there_is_seen() -> None:
    png = drawn("Add a red trumpet on the left\nAdd a blue cup on the right")[0]
    context = SketchContext()
    goals = tuple(Goal(id=f"g{n}", text=text, absent=True) for n, text in enumerate(("No trumpet", "No violin")))
    request = VerifyRequest(image=context.images.put(png), goals=goals)
    there, away = STUDIO.verifier.verify(request, context).verdicts
    assert (there.outcome, there.evidence) == (Outcome.MISSED, "sketch: 1 trumpet left")
    assert (away.outcome, away.evidence) == (Outcome.MET, "sketch: 0 violin left")
