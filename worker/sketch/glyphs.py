"""Silhouettes and type as masks: what the studio draws with and what it recognises by."""

import json
from functools import cache, lru_cache
from importlib.resources import files
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from worker.sketch.lexicon import nouns

Mask = NDArray[np.floating[Any]]
"""(height, width), 0 to 1."""

FACES = ("Oswald-SemiBold", "Inter-Medium", "SketchSerif-Bold", "SketchItalic-SemiBold", "Caveat-Bold")
_MASTER = 320
_HALF = [0] * 128 + [255] * 128


@cache
def _font_file(name: str) -> bytes:
    return (files("worker.sketch") / "fonts" / f"{name}.ttf").read_bytes()


@lru_cache(maxsize=256)
def font(name: str, px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(BytesIO(_font_file(name)), px, layout_engine=ImageFont.Layout.BASIC)


# --- things -------------------------------------------------------------------------------------


@cache
def _master(noun: str) -> tuple[Image.Image, Image.Image]:
    """The filled silhouette and the ink lines of a noun, cropped to its box."""
    code = nouns()[noun].code
    ink = _inked(code) if code else _shaped(noun)
    box = ink.getbbox() or (0, 0, 1, 1)
    ink = ink.crop(box)
    lines = np.asarray(ink, np.float32) / 255
    filled = np.maximum(lines, ndimage.binary_fill_holes(lines > 0.5))
    return _image(filled), ink


def _inked(code: str) -> Image.Image:
    canvas = Image.new("L", (_MASTER * 2, _MASTER * 2))
    ImageDraw.Draw(canvas).text(
        (_MASTER // 2, _MASTER // 4), chr(int(code, 16)), fill=255, font=font("NotoEmoji-Objects", _MASTER)
    )
    return canvas


@cache
def _shapes() -> dict[str, list[tuple[str, list[float]]]]:
    return json.loads((files("worker.sketch") / "words" / "shapes.json").read_text("utf-8"))


def _shaped(noun: str) -> Image.Image:
    """The ink of a noun that the glyph font lacks, from polygons in a 100 by 100 box."""
    canvas = Image.new("L", (_MASTER + 40, _MASTER + 40))
    pen = ImageDraw.Draw(canvas)
    for form, numbers in _shapes()[noun]:
        points = [
            (20 + x * _MASTER / 100, 20 + y * _MASTER / 100) for x, y in zip(numbers[::2], numbers[1::2], strict=True)
        ]
        if form in ("oval", "ring", "dot"):
            pen.ellipse(
                [*points[0], *points[1]],
                fill={"oval": 0, "ring": None, "dot": 255}[form],
                outline=255,
                width=22 if form == "ring" else 9,
            )
        elif form == "solid":
            pen.polygon(points, fill=255)
        else:
            pen.polygon(points, fill=0)
            pen.line([*points, points[0], points[1]], fill=255, width=9, joint="curve")
    return canvas


def aspect(noun: str) -> float:
    """Width over height of a noun's silhouette."""
    width, height = _master(noun)[0].size
    return width / height


@lru_cache(maxsize=1024)
def thing(noun: str, width: int, height: int) -> tuple[Mask, Mask]:
    """The silhouette and the ink lines of a noun at a size in pixels."""
    filled, ink = _master(noun)
    size = (max(2, width), max(2, height))
    return _mask(filled.resize(size, Image.Resampling.BOX, reducing_gap=2)), _mask(
        ink.resize(size, Image.Resampling.BOX)
    )


# --- type ---------------------------------------------------------------------------------------


@cache
def _covered(face: str) -> frozenset[str]:
    """Characters that the face can't set look like its empty box."""
    looks = {c: _look(face, c) for c in map(chr, (0xE000, *range(33, 0x2300)))}
    empty = looks.pop(chr(0xE000))
    return frozenset(c for c, look in looks.items() if look not in (b"", empty))


def _look(face: str, character: str) -> bytes:
    canvas = Image.new("L", (40, 48))
    ImageDraw.Draw(canvas).text((4, 4), character, fill=255, font=font(face, 24))
    return canvas.tobytes() if canvas.getbbox() else b""


def settable(string: str, face: str = "Inter-Medium") -> bool:
    """Whether the face has every character of the string."""
    return bool(string.strip()) and all(c == " " or c in _covered(face) for c in string)


@lru_cache(maxsize=2048)
def line(string: str, face: str, px: int) -> Mask:
    """One line of type at a font size in pixels, cropped to its ink."""
    left, top, right, bottom = font(face, px).getbbox(string)
    canvas = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
    ImageDraw.Draw(canvas).text((2 - left, 2 - top), string, fill=255, font=font(face, px))
    return _mask(canvas.crop(canvas.point(_HALF).getbbox() or (0, 0, 1, 1)))


def fitted(string: str, face: str, width: float, height: float) -> int:
    """The largest font size in pixels at which the line fits into the box; at least 9."""
    tall, wide = line(string, face, 64).shape
    return max(9, int(64 * min(width / wide, height / tall)))


def resized(mask: Mask, width: int, height: int) -> Mask:
    return _mask(_image(mask).resize((max(1, width), max(1, height)), Image.Resampling.BILINEAR))


def _image(mask: Mask) -> Image.Image:
    return Image.fromarray((mask * 255).astype(np.uint8))


def _mask(image: Image.Image) -> Mask:
    return np.asarray(image, np.float32) / 255
