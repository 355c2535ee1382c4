"""What a verdict quotes is in the pixels: damages are seen, and said as they are seen."""

import gc
import weakref
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import uniform_filter

from director.seats import VerifyRequest
from director.types import Goal, Outcome, Verdict
from tests.unit.sketch.host import STUDIO, SketchContext, changed, drawn
from worker.sketch import draw, measure
from worker.sketch.draw import Canvas, PixelBox
from worker.sketch.read_text import UNREADABLE, read
from worker.sketch.segment import Segments
from worker.sketch.silhouette import likeliest

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


SMALL = "Add a small tulip on the left"
NIGHT = "\nAdd a green bus on the right\nA low-key night scene\nFilm grain (30%)"


@pytest.fixture(scope="module")
def night() -> tuple[bytes, PixelBox]:
    """A small tulip in a dark and grainy picture, and its box in pixels."""
    png = drawn(SMALL + NIGHT, size=(384, 384))[0]
    (tulip,) = [one for one in likeliest(Segments(draw.from_png(png)), "tulip") if one.whole]
    return png, tulip.box


@pytest.mark.parametrize("rgb", [(0, 0, 0), (40, 160, 50)])
def test_a_patch_of_about_the_size_of_a_small_thing_is_not_the_thing(
    night: tuple[bytes, PixelBox], rgb: tuple[int, int, int]
) -> None:
    png, (x0, y0, x1, y1) = night

    def patched(canvas: Canvas) -> Canvas:
        canvas = canvas.copy()
        canvas[y0 + 1 : y1 - 2, x0 + 2 : x1 - 1] = rgb
        return canvas

    assert verdict(png, SMALL).outcome is Outcome.MET
    assert verdict(changed(png, patched), SMALL).outcome is not Outcome.MET


def test_a_speck_is_like_anything_and_no_thing() -> None:
    png = drawn("Add a large red apple in the centre")[0]
    apple = next(t for t in Segments(draw.from_png(png)).things if t.like("apple") > 0.5)
    x0, y0, x1, y1 = (round(512 * v) for v in apple.box)

    def shrunk(canvas: Canvas) -> Canvas:
        small = np.asarray(Image.fromarray(draw.pixels(canvas[y0:y1, x0:x1])).resize((16, 16)), np.float32)
        canvas = canvas.copy()
        canvas[y0:y1, x0:x1] = canvas[y0 - 8, x0 - 8]
        canvas[y0 : y0 + 16, x0 : x0 + 16] = small
        return canvas

    assert verdict(changed(png, shrunk), "Add an apple").outcome is Outcome.MISSED


def test_grain_where_a_line_was_is_no_line() -> None:
    goal = "Include the text 'HONEST GREENS' in bold capitals across the top"
    png = drawn(f"{goal}\nFilm grain (45%)", size=(384, 384))[0]
    x0, y0, x1, y1 = read(Segments(draw.from_png(png)), "HONEST GREENS").box

    def erased(canvas: Canvas) -> Canvas:
        canvas = canvas.copy()
        canvas[y0 - 2 : y1 + 2, x0 - 2 : x1 + 2] = canvas[y0 - 4, x0 - 2 : x1 + 2]
        return canvas

    assert verdict(png, goal).outcome is Outcome.MET
    assert verdict(changed(png, erased), goal).outcome is Outcome.MISSED


def test_two_texts_are_not_two_lines_of_one() -> None:
    texts = "Include the text 'Open' across the top\nInclude the text 'late' along the bottom edge"
    png = drawn(texts, size=(256, 256))[0]
    assert verdict(png, "Include the text 'Open late'").outcome is Outcome.MISSED
    assert verdict(png, "Include the text 'late'").outcome is Outcome.MET


@pytest.mark.parametrize(
    "wish",
    ["A poster on navy ground: the headline 'OPEN' at the top", "Set 'OPEN' across the top on a deep navy background"],
)
def test_what_lettering_stands_on_is_a_wish_of_its_own(wish: str) -> None:
    seen = verdict(drawn(wish, size=(256, 256))[0], wish)
    assert (seen.outcome, seen.evidence.endswith("background navy")) == (Outcome.MET, True)
    light = verdict(drawn("Include the text 'OPEN' across the top in navy", size=(256, 256))[0], wish)
    assert (light.outcome, light.evidence) == (Outcome.MISSED, "sketch: background not navy")


def test_what_is_ruled_out_is_seen_in_the_dark(night: tuple[bytes, PixelBox]) -> None:
    context = SketchContext()
    goals = tuple(Goal(id=f"g{n}", text=text, absent=True) for n, text in enumerate(("No tulip", "No swan")))
    request = VerifyRequest(image=context.images.put(night[0]), goals=goals)
    there, away = STUDIO.verifier.verify(request, context).verdicts
    assert away.outcome is Outcome.MET
    assert (there.outcome, there.evidence) == (Outcome.MISSED, "sketch: 1 tulip left")


@pytest.mark.parametrize("place", ["to the left of the swan", "next to the swan"])
def test_a_place_beside_what_is_not_there_is_not_known(night: tuple[bytes, PixelBox], place: str) -> None:
    seen = verdict(night[0], f"Add a tulip {place}")
    assert (seen.outcome, seen.evidence) == (
        Outcome.UNSURE,
        "sketch: found tulip, but no swan to judge its place by",
    )
    assert verdict(night[0], f"Add a tulip {place.replace('swan', 'bus')}").outcome is Outcome.MET


@pytest.mark.parametrize("soft", [True, False])
def test_softness_is_judged_in_the_dark_too(soft: bool) -> None:
    goal = "The background softly blurred"
    scene = "Add a red apple\nAdd a green bus on the right\nA low-key night scene"
    found = verdict(drawn(f"{scene}\n{goal}" if soft else scene, size=(384, 384))[0], goal).outcome
    assert (found is Outcome.MET) == soft


def test_what_was_found_in_a_picture_goes_with_it() -> None:
    segments = Segments(draw.from_png(drawn("A red apple on the left")[0]))
    gone = weakref.ref(segments)
    assert likeliest(segments, "apple") is likeliest(segments, "apple")
    assert measure.background(segments) == measure.background(segments)
    assert measure.light(segments) is measure.light(segments)
    del segments
    gc.collect()
    assert gone() is None
