"""Pad and un-pad, the mask's raster, compositing: what a pipeline works on and what comes back."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from director.types import Region
from worker.diffusion import canvas
from worker.diffusion.canvas import Frame, Pixels, Size, box_of, composited, on_edit_canvas, on_grid

sides = st.integers(64, 300)
sizes = st.tuples(sides, sides)


def noise(size: Size, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)


def smooth(size: Size) -> Pixels:
    """A picture that resampling hardly changes, bright at one spot off the middle."""
    y, x = np.mgrid[: size[1], : size[0]]
    spot = 255 * np.exp(-(((x / size[0] - 0.3) / 0.15) ** 2) - ((y / size[1] - 0.6) / 0.15) ** 2)
    return np.repeat(spot[..., None], 3, axis=2).astype(np.uint8)


@given(sizes, st.sampled_from([8, 16, 32]))
def test_padded_to_the_grid_and_back_is_bit_identical(size: Size, grid: int):
    frame, picture = on_grid(size, grid), noise(size)
    padded = frame.pad(picture)
    assert padded.shape[:2] == frame.canvas[::-1]
    assert all(side % grid == 0 for side in frame.canvas)
    assert (frame.unpad(padded) == picture).all()


@pytest.mark.parametrize("size", [(1024, 1024), (1000, 1000), (1344, 768), (960, 1000)])
def test_a_picture_that_nearly_fills_the_edit_canvas_is_not_resampled(size: Size):
    frame, picture = on_edit_canvas(size), noise(size)
    assert frame.inner == size
    assert (frame.unpad(frame.pad(picture)) == picture).all()


@given(st.tuples(st.integers(64, 4096), st.integers(64, 4096)))
def test_the_edit_canvas_holds_the_whole_picture_at_one_megapixel(size: Size):
    frame = on_edit_canvas(size)
    assert all(inner <= side for inner, side in zip(frame.inner, frame.canvas, strict=True))
    assert all(side % 32 == 0 for side in frame.canvas)
    assert 0.75 < frame.canvas[0] * frame.canvas[1] / canvas.EDIT_AREA < 1.25
    assert max(frame.inner[0] / frame.canvas[0], frame.inner[1] / frame.canvas[1]) > 0.85


@pytest.mark.parametrize("size", [(512, 512), (640, 480), (333, 500), (2000, 1500)])
def test_there_and_back_neither_shifts_nor_stretches(size: Size):
    frame, picture = on_edit_canvas(size), smooth(size)
    back = frame.unpad(frame.pad(picture))
    assert back.shape == picture.shape
    assert np.abs(back.astype(int) - picture).max() <= 3
    scale = [inner / side for inner, side in zip(frame.inner, frame.picture, strict=True)]
    assert abs(scale[0] / scale[1] - 1) < 0.01


def test_a_draft_of_an_edit_has_half_the_sides():
    assert on_edit_canvas((800, 800), 512 * 512).canvas == (512, 512)
    assert on_edit_canvas((800, 800), 1024 * 1024).canvas == (1024, 1024)


def test_a_smaller_area_scales_the_picture_and_gives_its_size_back():
    frame = on_grid((400, 300), 16, 160 * 120)
    assert frame.inner == (160, 120)
    assert frame.canvas == (160, 128)
    assert frame.unpad(noise(frame.canvas)).shape == (300, 400, 3)


def test_the_padding_repeats_the_edge():
    frame, picture = on_grid((70, 65), 16), noise((70, 65))
    padded = frame.pad(picture)
    assert (padded[:65, 70:] == picture[:, -1:]).all()
    assert (padded[65:, :70] == picture[-1:]).all()


def test_the_mask_covers_the_box_grown_and_never_the_padding():
    frame = Frame((100, 100), (200, 200), (224, 256))
    raster = frame.mask((10, 20, 30, 100), grow=16)
    assert raster.shape == (256, 224)
    filled = np.argwhere(raster == 255)
    assert filled.min(axis=0).tolist() == [24, 4]
    assert filled.max(axis=0).tolist() == [199, 75]
    assert len(filled) == (200 - 24) * (76 - 4)


def test_pixels_that_the_regions_edge_cuts_are_outside():
    assert box_of(Region(x0=0.25, y0=0.255, x1=0.75, y1=0.999), (10, 10)) == (3, 3, 7, 9)
    assert box_of(Region(x0=0.07, y0=0, x1=0.14, y1=1), (100, 10)) == (7, 0, 14, 10)
    with pytest.raises(ValueError, match="no whole pixel"):
        box_of(Region(x0=0.51, y0=0, x1=0.52, y1=1), (10, 10))


@given(sizes, st.integers(0, 20), st.tuples(st.integers(0, 30), st.integers(0, 30)))
def test_outside_the_box_every_bit_is_the_bases(size: Size, feather: int, corner: Size):
    base, edited = noise(size), noise(size, 1)
    left, top = corner
    box = (left, top, left + 33, top + 34)
    out = composited(base, edited, box, feather)
    inside = np.zeros(out.shape[:2], bool)
    inside[top : top + 34, left : left + 33] = True
    assert (out[~inside] == base[~inside]).all()
    middle = (slice(top + 9, top + 25), slice(left + 9, left + 24))
    assert (out[middle] == edited[middle]).all()


def test_without_a_feather_the_inside_is_the_edit():
    base, edited = noise((64, 64)), noise((64, 64), 1)
    out = composited(base, edited, (8, 8, 40, 40), 0)
    assert (out[8:40, 8:40] == edited[8:40, 8:40]).all()


def test_a_box_to_the_pictures_edge_is_not_feathered_there():
    base, edited = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    out = composited(base, edited, (0, 0, 64, 32), 8)
    assert (out[:20] == 255).all()
    assert (np.diff(out[23:33, 30, 0].astype(int)) < 0).all()


def test_a_png_keeps_its_pixels_and_clear_ones_lie_on_white():
    picture = noise((30, 20))
    assert (canvas.from_png(canvas.to_png(picture)) == picture).all()
    output = BytesIO()
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(output, "PNG")
    assert (canvas.from_png(output.getvalue()) == 255).all()
