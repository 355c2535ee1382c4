"""Fits pictures to a pipeline's canvas and back: padding, the mask's raster, compositing. numpy and Pillow only.

Pixels are uint8 (height, width, 3); sizes are (width, height); boxes are left, top, right, bottom in pixels.
"""

import math
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from director.seats import Raster
from director.types import Region

Pixels = NDArray[np.uint8]
Size = tuple[int, int]
PixelBox = tuple[int, int, int, int]

EDIT_AREA = 1024 * 1024
"""The canvas of the Qwen-Image-Edit pipelines, in pixels; no argument of theirs changes it."""
WHOLE = 1_200_000
"""Pixels that an autoencoder takes in one piece: at 2048 x 2048 its tensors alone would fill 13 GiB."""
_ROUNDING = 32
_WORTH_SCALING = 1.15


def from_png(png: bytes) -> Pixels:
    """The pixels of a picture; transparency lies on white."""
    with Image.open(BytesIO(png)) as picture:
        return _flat(picture)


def from_raster(raster: Raster) -> Pixels:
    """The pixels of a decoded picture; transparency lies on white. They can't be written to."""
    if raster.mode == "RGB":
        return np.frombuffer(raster.data, np.uint8).reshape(raster.height, raster.width, 3)
    return _flat(Image.frombytes(raster.mode, (raster.width, raster.height), raster.data))


def _flat(picture: Image.Image) -> Pixels:
    if not picture.has_transparency_data:
        return np.asarray(picture.convert("RGB"), np.uint8)
    layer = picture.convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.asarray(flat.convert("RGB"), np.uint8)


def to_raster(pixels: Pixels) -> Raster:
    """A picture in hand."""
    return Raster("RGB", pixels.shape[1], pixels.shape[0], pixels.tobytes())


def to_png(pixels: Pixels) -> bytes:
    """An RGB PNG of exactly these pixels."""
    output = BytesIO()
    Image.fromarray(pixels).save(output, "PNG")
    return output.getvalue()


@dataclass(frozen=True)
class Frame:
    """How a picture lies on a pipeline's canvas: scaled to `inner`, at the top left, the rest padded.

    With `inner` equal to `picture` nothing is resampled, and un-padding what was padded gives back every pixel.
    """

    picture: Size
    inner: Size
    canvas: Size

    def pad(self, pixels: Pixels) -> Pixels:
        """The picture on its canvas; the padding repeats the picture's edge, so that no border is seen there."""
        width, height = self.canvas
        scaled = resized(pixels, self.inner)
        below, beside = height - self.inner[1], width - self.inner[0]
        return np.pad(scaled, ((0, below), (0, beside), (0, 0)), mode="edge")

    def unpad(self, pixels: Pixels) -> Pixels:
        """The picture back from its canvas, in its own size."""
        width, height = self.inner
        return resized(pixels[:height, :width], self.picture)

    def mask(self, box: PixelBox, grow: int) -> Pixels:
        """The box of the picture on the canvas, as (height, width): 255 is repainted, 0 is kept.

        It is `grow` canvas pixels larger on each side, because a latent reaches over its cell's edge;
        compositing takes the excess away again. The padding is never repainted.
        """
        across, down = self.inner[0] / self.picture[0], self.inner[1] / self.picture[1]
        left, top = max(0, math.floor(box[0] * across) - grow), max(0, math.floor(box[1] * down) - grow)
        right = min(self.inner[0], math.ceil(box[2] * across) + grow)
        bottom = min(self.inner[1], math.ceil(box[3] * down) + grow)
        raster = np.zeros((self.canvas[1], self.canvas[0]), np.uint8)
        raster[top:bottom, left:right] = 255
        return raster


def on_grid(picture: Size, grid: int, area: int | None = None) -> Frame:
    """For a pipeline that takes any multiple of `grid`: padded up to it, and scaled down to `area` pixels if larger."""
    width, height = picture
    scale = min(1.0, math.sqrt(area / (width * height))) if area else 1.0
    inner = picture if scale == 1.0 else (max(1, round(width * scale)), max(1, round(height * scale)))
    return Frame(picture, inner, (math.ceil(inner[0] / grid) * grid, math.ceil(inner[1] / grid) * grid))


def on_edit_canvas(picture: Size, area: int | None = None) -> Frame:
    """For the Qwen-Image-Edit pipelines, which resize what they are given to about one megapixel.

    The canvas is one that they leave as it is, so that they neither stretch nor shift the picture; it is halved where
    `area` asks for a draft of at most half the pixels (their reference picture stays as it is).
    """
    canvas = _dimensions(picture[0] / picture[1])
    while (again := _dimensions(canvas[0] / canvas[1])) != canvas:  # ends within four turns for sides up to 1:32
        canvas = again
    if area is not None and area <= EDIT_AREA // 2:
        canvas = (canvas[0] // 2, canvas[1] // 2)
    return Frame(picture, _fit(picture, canvas), canvas)


def _dimensions(ratio: float) -> Size:
    # `calculate_dimensions` of diffusers/pipelines/qwenimage, for one megapixel; the rounding is theirs.
    width = math.sqrt(EDIT_AREA * ratio)
    return max(1, round(width / _ROUNDING)) * _ROUNDING, max(1, round(width / ratio / _ROUNDING)) * _ROUNDING


def _fit(picture: Size, canvas: Size) -> Size:
    """As large as the canvas holds; a picture that nearly fills it is not resampled for the rest."""
    scale = min(canvas[0] / picture[0], canvas[1] / picture[1])
    if 1.0 <= scale < _WORTH_SCALING:
        return picture
    return max(1, int(picture[0] * scale)), max(1, int(picture[1] * scale))


def resized(pixels: Pixels, size: Size) -> Pixels:
    """Lanczos; the same pixels when the size is theirs already."""
    height, width = pixels.shape[:2]
    if size == (width, height):
        return pixels
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.LANCZOS), np.uint8)


def box_of(region: Region, picture: Size) -> PixelBox:
    """The region's whole pixels: one that its edge cuts is outside. Raises ValueError when none is whole."""
    width, height = picture
    # Fractions such as 0.07 of 100 pixels come out as 7.000000000000001.
    left, top = math.ceil(round(region.x0 * width, 6)), math.ceil(round(region.y0 * height, 6))
    right, bottom = math.floor(round(region.x1 * width, 6)), math.floor(round(region.y1 * height, 6))
    if left >= right or top >= bottom:
        raise ValueError(f"the region {region} holds no whole pixel of a picture of {width} x {height}")
    return left, top, right, bottom


def composited(base: Pixels, edited: Pixels, box: PixelBox, feather: int) -> Pixels:
    """`edited` inside the box and `base` outside it, bit for bit.

    Over `feather` pixels inside the box one passes into the other, except where the box ends with the picture.
    """
    left, top, right, bottom = box
    height, width = base.shape[:2]
    across = _ramp(right - left, feather, left > 0, right < width)
    down = _ramp(bottom - top, feather, top > 0, bottom < height)
    weight = np.minimum.outer(down, across)[..., None]
    out = base.copy()
    old, new = base[top:bottom, left:right].astype(np.float32), edited[top:bottom, left:right].astype(np.float32)
    out[top:bottom, left:right] = np.rint(old + (new - old) * weight).astype(np.uint8)
    return out


def _ramp(length: int, feather: int, at_start: bool, at_end: bool) -> NDArray[np.float32]:
    """Weights of `edited` along one side of a box: 1, less towards an end that lies in the picture."""
    reach = min(feather, length // 4)
    weights = np.ones(length, np.float32)
    slope = (np.arange(reach, dtype=np.float32) + 1) / (reach + 1)
    if reach and at_start:
        weights[:reach] = slope
    if reach and at_end:
        weights[-reach:] = slope[::-1]
    return weights
