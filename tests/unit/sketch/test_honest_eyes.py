"""What a verdict quotes is in the pixels: damages are seen, and said as they are seen."""

from collections.abc import Callable

import numpy as np
import pytest

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
