"""Raster primitives on a canvas: float32 (height, width, 3), 0 to 255, changed in place or given anew."""

import colorsys
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from worker.sketch import glyphs
from worker.sketch.glyphs import Mask
from worker.sketch.lexicon import colours

Canvas = NDArray[np.floating[Any]]
Colour = NDArray[np.floating[Any]]
PixelBox = tuple[int, int, int, int]
"""left, top, right, bottom in pixels."""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@cache
def colour(name: str) -> Colour:
    """A colour word or "#rrggbb" as three floats."""
    value = colours().get(name, name).lstrip("#")
    return np.array([int(value[i : i + 2], 16) for i in (0, 2, 4)], np.float32)


def luma(rgb: Colour) -> float:
    return float(rgb @ LUMA)


def most(channels: Canvas) -> Canvas:
    """The largest of the three channels; several times faster than `max` over so short an axis."""
    return np.maximum(np.maximum(channels[..., 0], channels[..., 1]), channels[..., 2])


def mix(a: Colour, b: Colour, share: float) -> Colour:
    return (a * (1 - share) + b * share).astype(np.float32)


def opposite(rgb: Colour) -> Colour:
    """A clearly different colour: the opposite hue at a strong chroma."""
    h, s, v = colorsys.rgb_to_hsv(*(float(c) / 255 for c in rgb))
    h = (h + 0.45) % 1 if s > 0.25 else 0.6
    return np.array(colorsys.hsv_to_rgb(h, 0.75, 0.4 if v > 0.75 else 0.85), np.float32) * 255


# --- PNG ----------------------------------------------------------------------------------------


def from_png(png: bytes) -> Canvas:
    """The pixels of any picture that Pillow reads; transparency lies on white."""
    with Image.open(BytesIO(png)) as picture:
        return np.asarray(_plain(picture).convert("RGB"), np.float32)


def _plain(picture: Image.Image) -> Image.Image:
    """The picture without transparency and with 8 bits a channel."""
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    if not picture.mode.startswith(("I", "F")):
        return picture
    levels = np.asarray(picture, np.float64)
    low, high = float(levels.min()), float(levels.max())
    return Image.fromarray(((levels - low) * 255 / max(high - low, 1e-9)).astype(np.uint8))


def to_png(canvas: Canvas) -> bytes:
    """The same bytes for the same pixels: fixed compression, no metadata."""
    return encoded(pixels(canvas))


def encoded(rgb: NDArray[np.uint8]) -> bytes:
    """`to_png` of pixels in hand."""
    out = BytesIO()
    Image.fromarray(rgb).save(out, "PNG", compress_level=1)
    return out.getvalue()


def pixels(canvas: Canvas) -> NDArray[np.uint8]:
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


# --- stamps -------------------------------------------------------------------------------------


def blend(canvas: Canvas, mask: Mask, rgb: Colour, x: int, y: int, opacity: float = 1.0) -> None:
    """Lay a colour through a mask whose top left corner is at (x, y); what sticks out is cut."""
    height, width = canvas.shape[:2]
    x0, y0, x1, y1 = max(0, x), max(0, y), min(width, x + mask.shape[1]), min(height, y + mask.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = mask[y0 - y : y1 - y, x0 - x : x1 - x, None] * opacity
    canvas[y0:y1, x0:x1] += (rgb - canvas[y0:y1, x0:x1]) * part


def blurred(mask: Mask, radius: float) -> Mask:
    image = Image.fromarray((mask * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def stamp(canvas: Canvas, noun: str, rgb: Colour, box: PixelBox, grounded: bool) -> None:
    """A thing: contact shadow, silhouette in its colour, lines in a darker (or lighter) one."""
    x0, y0, x1, y1 = box
    filled, ink = glyphs.thing(noun, x1 - x0, y1 - y0)
    around = _surroundings(canvas, box)
    if grounded:
        _contact(canvas, box)
    line = line_colour(noun, rgb, float(ink.sum() / max(filled.sum(), 1)))
    clear = max(abs(luma(rgb) - luma(around)), float(np.abs(rgb - around).max()) * 0.5)
    if clear < 58 and noun != "steam":
        _keyline(canvas, filled, box, around)
    blend(canvas, filled, rgb, x0, y0)
    shade = np.linspace(0.06, -0.08, filled.shape[0], dtype=np.float32)[:, None] * filled
    blend(canvas, np.maximum(shade, 0), colour("#ffffff"), x0, y0)
    blend(canvas, np.maximum(-shade, 0), colour("#000000"), x0, y0)
    blend(canvas, ink, line, x0, y0)


def line_colour(noun: str, rgb: Colour, solid: float) -> Colour:
    """The colour of a thing's lines, which cover a share `solid` of it: where that is most, they carry its colour."""
    if noun == "steam":
        return rgb
    if luma(rgb) < 80:
        return mix(rgb, colour("#fff8ea"), 0.2 if solid > 0.5 else 0.34)
    return mix(rgb, colour("#1a1216"), 0.24 if solid > 0.6 else 0.45 if solid > 0.46 else 0.66)


def _surroundings(canvas: Canvas, box: PixelBox) -> Colour:
    height, width = canvas.shape[:2]
    x0, y0, x1, y1 = max(0, box[0]), max(0, box[1]), min(width, box[2]), min(height, box[3])
    part = canvas[y0:y1:3, x0:x1:3].reshape(-1, 3)
    return np.median(part, axis=0).astype(np.float32) if len(part) else colour("white")


def _contact(canvas: Canvas, box: PixelBox) -> None:
    x0, _, x1, y1 = box
    width = x1 - x0
    depth = max(4, width // 9)
    y, x = np.mgrid[-1 : 1 : (3 * depth) * 1j, -1 : 1 : int(width * 1.3) * 1j]
    shadow = np.exp(-3 * (x**2 + y**2)).astype(np.float32)
    blend(canvas, shadow, colour("black"), int(x0 - width * 0.15), int(y1 - depth * 1.5), 0.18)


def _keyline(canvas: Canvas, filled: Mask, box: PixelBox, around: Colour) -> None:
    """A thin contour in paper or ink, where thing and ground would melt together."""
    edge = 2 if box[3] - box[1] < 160 else 3
    grown = blurred(np.pad(filled, 2 * edge), edge * 0.8) * 3.2
    rgb = colour("#fdf8ec" if luma(around) < 140 else "#2a2226")
    blend(canvas, np.minimum(grown, 1), rgb, box[0] - 2 * edge, box[1] - 2 * edge)


def contrasting(canvas: Canvas, box: PixelBox, wanted: Colour) -> Colour:
    """The wanted ink, moved towards paper or black until it can be read on what is there."""
    around = luma(_surroundings(canvas, box))
    if abs(luma(wanted) - around) >= 85:
        return wanted
    if around < 135:
        tries = [mix(wanted, colour("#fffaf0"), share) for share in (0.35, 0.6, 0.8, 1.0)]
    else:
        tries = [mix(wanted * share, colour("#17131a"), 0.1) for share in (0.7, 0.5, 0.33, 0.15)]
    return next((rgb for rgb in tries if abs(luma(rgb) - around) >= 85), tries[-1])


# --- light --------------------------------------------------------------------------------------

DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}
CASTS = {"warm": np.array([0.10, 0.0, -0.16], np.float32), "cool": np.array([-0.13, 0.0, 0.12], np.float32)}


def towards(direction: str) -> tuple[float, float]:
    """The unit vector to a side or corner, such as "top left"."""
    x = sum(DIRECTIONS[word][0] for word in direction.split())
    y = sum(DIRECTIONS[word][1] for word in direction.split())
    length = max((x * x + y * y) ** 0.5, 1)
    return x / length, y / length


def grid(canvas: Canvas) -> tuple[Mask, Mask]:
    """x and y of every pixel from -1 to 1, as a row and a column."""
    height, width = canvas.shape[:2]
    return np.linspace(-1, 1, width, dtype=np.float32)[None], np.linspace(-1, 1, height, dtype=np.float32)[:, None]


def side_light(canvas: Canvas, direction: str, tint: str) -> Canvas:
    dx, dy = towards(direction)
    x, y = grid(canvas)
    ramp = (x * dx + y * dy)[..., None]
    return canvas * np.exp(ramp * (0.27 + (CASTS[tint] * 1.1 if tint else 0.0)) - 0.2)


def cast(canvas: Canvas, tint: str) -> Canvas:
    """The whole picture in a tint: as much of it as makes a wall of another colour warm or cool, within bounds."""
    red, _, blue = (max(float(v), 2.0) for v in np.median(canvas[::4, ::4].reshape(-1, 3), axis=0))
    wanted = _WARMTH[tint] - np.log(red / blue)
    strength = wanted / (CASTS[tint][0] - CASTS[tint][2])
    return canvas * np.exp(CASTS[tint] * min(max(strength, 1.3), 3.0))


_WARMTH = {"warm": 0.24, "cool": -0.12}
"""Log of red over blue of a picture in warm, and in cool light."""


def relight(canvas: Canvas, target: float) -> Canvas:
    """Towards a median luma (0 to 255): darkened in proportion, brightened by gamma, so that nothing clips."""
    middle = min(max(float(np.median(canvas[::4, ::4] @ LUMA)), 4), 250)
    if target <= middle:
        return canvas * (target / middle)
    gamma = np.log(target / 255) / np.log(middle / 255)
    return 255 * (np.clip(canvas, 0, 255) / 255) ** max(gamma, 0.2)


def halo(canvas: Canvas, centre: tuple[float, float], radius: float, tint: str) -> None:
    """Light around a point: strongest there, gone at three radii."""
    rgb = {"warm": colour("#ffd27a"), "cool": colour("#cfe4ff")}.get(tint, colour("#fff4d6"))
    y, x = np.ogrid[: canvas.shape[0], : canvas.shape[1]]
    distance = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / radius**2
    glow = (0.75 * np.exp(-0.55 * distance)).astype(np.float32)[..., None]
    canvas += (rgb - canvas) * glow


def spot(canvas: Canvas, centre: tuple[float, float]) -> None:
    """A pool of light: the picture outside it falls back."""
    height, width = canvas.shape[:2]
    y, x = np.ogrid[:height, :width]
    distance = ((x - centre[0]) / (0.42 * width)) ** 2 + ((y - centre[1]) / (0.42 * height)) ** 2
    canvas *= (0.62 + 0.5 * np.exp(-(distance**1.5))).astype(np.float32)[..., None]


# --- effects ------------------------------------------------------------------------------------


def grain(canvas: Canvas, amount: float, rng: np.random.Generator) -> Canvas:
    noise = rng.standard_normal(canvas.shape[:2], dtype=np.float32)
    return canvas + (noise * (24 * amount))[..., None]


def vignette(canvas: Canvas, amount: float) -> Canvas:
    x, y = grid(canvas)
    return canvas * (1 - (0.35 + 0.6 * amount) * np.clip((x * x + y * y) / 2, 0, 1) ** 1.6)[..., None]


def soft(canvas: Canvas, background: Mask, radius: float, rng: np.random.Generator) -> Canvas:
    """Defocus the background only, with a few discs of confusion in it."""
    height, width = canvas.shape[:2]
    discs = canvas.copy()
    y, x = np.ogrid[:height, :width]
    for _ in range(9):
        r = float(rng.uniform(0.025, 0.06)) * width
        centre = rng.uniform(0.02, 0.98) * width, rng.uniform(0.1, 0.66) * height
        disc = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < r * r
        discs += (disc * rng.uniform(10, 22))[..., None].astype(np.float32)
    weight = blurred(background, radius) + 1e-3
    image = Image.fromarray(pixels(discs * background[..., None]))
    out = np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32) / weight[..., None]
    keep = blurred(background, 1.0)[..., None] * (background[..., None] > 0.5)
    return canvas + (out - canvas) * keep


def rain(canvas: Canvas, amount: float, area: Mask, rng: np.random.Generator) -> Canvas:
    """Slanting streaks where `area` is free, so that type stays legible."""
    height, width = canvas.shape[:2]
    drops = np.zeros((height, width), np.float32)
    length, slope = height // 14, 0.22
    for _ in range(int(width * height * (0.0011 + 0.0008 * amount))):
        x, y, n = (int(v) for v in rng.uniform((-20, -length, 0.6 * length), (width, height, 1.2 * length)))
        for dy in range(max(0, -y), min(n, height - y)):
            at = x + int(dy * slope)
            if 0 <= at < width:
                drops[y + dy, at] = 1
    tone = colour("#eef4fa") if float(np.median(canvas[::8, ::8] @ LUMA)) < 170 else colour("#5b6b7c")
    return canvas + (tone - canvas) * (blurred(drops * area, 0.5) * (0.62 + 0.38 * amount))[..., None]


def dots(
    canvas: Canvas, count: int, radius: tuple[float, float], tones: list[Colour], area: Mask, rng: np.random.Generator
) -> None:
    """Round dots where `area` is free: snow, stars, confetti."""
    height, width = canvas.shape[:2]
    for i in range(count):
        x, y = (int(v) for v in rng.uniform((0, 0), (width, height)))
        r = float(rng.uniform(*radius)) * width / 512
        if area[y, x] < 0.5:
            continue
        span = int(r) + 2
        gy, gx = np.mgrid[-span : span + 1, -span : span + 1]
        dot = np.clip(r + 0.5 - np.hypot(gx, gy), 0, 1).astype(np.float32)
        blend(canvas, dot, tones[i % len(tones)], x - span, y - span, 0.95)


def fog(canvas: Canvas, amount: float, share: float = 1.0) -> Canvas:
    """A pale bank over the lower third, thinning upwards; `share` of its density."""
    _, y = grid(canvas)
    pale = "#eef0f0" if float(np.median(canvas[canvas.shape[0] // 2 :: 6, ::6] @ LUMA)) < 185 else "#aab6bd"
    bank = np.exp(-(((y - 0.42) / 0.30) ** 2)) * (0.5 + 0.35 * amount) * share
    return canvas + (colour(pale) - canvas) * bank[..., None].astype(np.float32)


def scanlines(canvas: Canvas, amount: float) -> Canvas:
    rows = np.resize(np.array([1, 1, 0, 0], np.float32), canvas.shape[0])
    return canvas * (1 - (0.08 + 0.3 * amount) * rows)[:, None, None]


def halftone(canvas: Canvas, amount: float) -> Canvas:
    x, y = (np.cos(np.arange(n, dtype=np.float32) * (np.pi / 3)) for n in (canvas.shape[1], canvas.shape[0]))
    return canvas * (1 - (0.1 + 0.4 * amount) * (x[None] + y[:, None] > 0.4))[..., None].astype(np.float32)


def frame(canvas: Canvas, rgb: Colour) -> None:
    """A line around the picture, inside a narrow margin."""
    height, width = canvas.shape[:2]
    inset, thick = round(0.022 * min(width, height)), max(3, round(0.009 * min(width, height)))
    inner = canvas.copy()
    around = _surroundings(canvas, (inset, inset, width - inset, 3 * inset))
    if abs(luma(rgb) - luma(around)) < 40:  # a white frame on white paper: a hairline tells it apart
        canvas[inset - 1 : height - inset + 1, inset - 1 : width - inset + 1] = mix(around, colour("black"), 0.3)
        thick += 1
    canvas[inset : height - inset, inset : width - inset] = rgb
    inside = slice(inset + thick, height - inset - thick), slice(inset + thick, width - inset - thick)
    canvas[inside] = inner[inside]


# --- colour -------------------------------------------------------------------------------------


def saturation(canvas: Canvas) -> float:
    """How saturated the most colourful twentieth of the picture is (HSV), 0 to 1."""
    return _colourful(canvas[::3, ::3])


def _colourful(part: Canvas) -> float:
    part = np.clip(part, 0, 255)
    high, low = most(part), -most(-part)
    lit = high > 40
    return float(np.quantile((high - low)[lit] / high[lit], 0.95)) if lit.any() else 0.0


def saturated(canvas: Canvas, target: float) -> Canvas:
    """The canvas with its chroma scaled until `saturation` is `target`."""
    grey = (canvas @ LUMA)[..., None]
    small = canvas[::3, ::3]
    low, high = 0.0, 4.0
    for _ in range(12):
        factor = (low + high) / 2
        mid = grey[::3, ::3] + (small - grey[::3, ::3]) * factor
        low, high = (factor, high) if _colourful(mid) < target else (low, factor)
    return np.clip(grey + (canvas - grey) * ((low + high) / 2), 0, 255).astype(np.float32)
