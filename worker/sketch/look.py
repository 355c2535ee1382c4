"""Measures over the whole picture: light, tone, colour shares and the traces of effects."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage

from worker.sketch import draw
from worker.sketch.draw import colour
from worker.sketch.glyphs import Mask
from worker.sketch.see import Sight


class Light(NamedTuple):
    """Log luma per half picture towards the right and the foot, the same of red over blue, the fall
    of the corners (share), the pale bank of a fog (log luma) and the middle tone (0 to 255)."""

    x: float
    y: float
    warm_x: float
    warm_y: float
    corners: float
    bank: float
    level: float


@lru_cache(maxsize=8)
def light(sight: Sight) -> Light:
    """The light on the background, by least squares over its smooth areas; outliers are dropped once."""
    height, width = sight.flat.shape
    ys, xs = np.nonzero(sight.flat)
    level = float(np.median(sight.calm[::3, ::3] @ draw.LUMA))
    if len(ys) < 200:
        return Light(0, 0, 0, 0, 0, 0, level)
    step = max(1, len(ys) // 6000)
    ys, xs = ys[::step], xs[::step]
    x, y = 2 * xs / (width - 1) - 1, 2 * ys / (height - 1) - 1
    areas = sight.flat[ys, xs][:, None] == np.arange(1, sight.flat.max() + 1)
    corner = (np.clip((x * x + y * y) / 2, 0, 1)) ** 1.6
    terms = np.column_stack([x, y, corner, np.exp(-(((y - 0.42) / 0.3) ** 2)), areas]).astype(np.float32)
    rgb = np.maximum(sight.calm[ys, xs], 2)
    tone = np.log(rgb @ draw.LUMA)
    warmth = np.log(rgb[:, 0] / rgb[:, 2])
    fit = np.linalg.lstsq(terms, tone, rcond=None)[0]
    rest = np.abs(tone - terms @ fit)
    good = rest <= np.quantile(rest, 0.85)
    fit = np.linalg.lstsq(terms[good], tone[good], rcond=None)[0]
    warm = np.linalg.lstsq(terms[good], warmth[good], rcond=None)[0]
    return Light(float(fit[0]), float(fit[1]), float(warm[0]), float(warm[1]), float(1 - np.exp(fit[2])), float(fit[3]), level)


def background(sight: Sight) -> tuple[float, float, float]:
    """The median colour of the largest smooth area (of everything, when there is none)."""
    own = sight.calm[sight.flat == 1] if sight.flat.max() else sight.calm.reshape(-1, 3)
    r, g, b = np.median(own, axis=0)
    return float(r), float(g), float(b)


# --- colour -------------------------------------------------------------------------------------


def lab(rgb: NDArray[np.float32]) -> NDArray[np.float64]:
    """OKLab (Ottosson 2020) of sRGB colours, one a row."""
    c = np.clip(rgb / 255, 0, 1)
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T


_TO_LMS = np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]])
_TO_LAB = np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]])


def near(rgb: NDArray[np.float32], name: str, slack: float) -> NDArray[np.bool_]:
    """Which colours, seen under light and grading, pass for the named one; `slack` in lightness."""
    seen, wanted = lab(rgb), lab(colour(name)[None])[0]
    chroma, asked = np.hypot(seen[:, 1], seen[:, 2]), float(np.hypot(wanted[1], wanted[2]))
    lightness = np.abs(seen[:, 0] - wanted[0])
    if asked < 0.035:  # black, grey, white: little chroma and about as light
        return (chroma < 0.065) & (lightness < min(slack, 0.27))
    turn = np.abs(np.arctan2(seen[:, 2], seen[:, 1]) - np.arctan2(wanted[2], wanted[1]))
    turn = np.minimum(turn, 2 * np.pi - turn)
    return (chroma > 0.012) & (turn < np.where(chroma > 0.05, 0.62, 0.8)) & (lightness < slack)


def shares(sight: Sight, names: tuple[str, ...]) -> list[float]:
    """The share of the picture that passes for each colour."""
    part = sight.calm[::4, ::4].reshape(-1, 3)
    return [float(near(part, name, 0.36).mean()) for name in names]


# --- traces -------------------------------------------------------------------------------------


def crispness(sight: Sight) -> float | None:
    """How much steeper the background's steepest edges are at a fine than at a coarse scale (4 to 1)."""
    luma = sight.small @ draw.LUMA
    things = ndimage.maximum_filter(sight.front & ~_level_lines(sight), 13)
    fine, coarse = (_slope(luma, sigma) for sigma in (1.2, 5.0))
    coarse[things] = 0
    strong = coarse > max(1.2, 0.6 * float(coarse.max()))
    return float(np.median(fine[strong] / coarse[strong])) if strong.sum() > 60 and coarse.max() > 1.2 else None


def _level_lines(sight: Sight) -> NDArray[np.bool_]:
    rows = sight.front.mean(axis=1) > 0.5
    return np.broadcast_to(rows[:, None], sight.front.shape)


def _slope(luma: Mask, sigma: float) -> Mask:
    return ndimage.gaussian_gradient_magnitude(luma, sigma, truncate=3.0)


def slant(sight: Sight) -> float:
    """How much more the fine structure agrees along the rain's slant than across it, -1 to 1."""
    fine = _fine(sight)
    own = sight.flat > 0
    lag, shift = 10, 2
    here, there, mirror = fine[:-lag, shift:-shift], fine[lag:, 2 * shift :], fine[lag:, : -2 * shift]
    ok = own[:-lag, shift:-shift] | True
    energy = float((here * here)[ok].mean())
    return float(((here * there)[ok].mean() - (here * mirror)[ok].mean()) / max(energy, 1e-3)) if energy > 0.2 else 0.0


def _fine(sight: Sight) -> Mask:
    """Fine structure of the luma, with edges of things and type cut off."""
    luma = sight.small @ draw.LUMA
    image = Image.fromarray(np.clip(luma, 0, 255).astype(np.uint8)).filter(ImageFilter.MedianFilter(7))
    return np.clip(luma - np.asarray(image, np.float32), -18, 18)


def bank(sight: Sight) -> float:
    return abs(light(sight).bank)


def periodic(sight: Sight, period: int) -> tuple[float, float]:
    """Amplitude in levels of the luma's rows and columns at a period in pixels of the full size."""
    luma = sight.full @ draw.LUMA
    found: list[float] = []
    for profile in (luma.mean(axis=1), luma.mean(axis=0)):
        rest = profile - ndimage.uniform_filter1d(profile, 2 * period)
        rest = rest[: len(rest) // period * period]
        wave = np.exp(-2j * np.pi * np.arange(len(rest)) / period)
        found.append(2 * float(np.abs((rest * wave).mean())))
    return found[0], found[1]


def specks(sight: Sight) -> NDArray[np.float32]:
    """Small round blobs, one a row: x, y (fractions) and HSV saturation against what is around."""
    rgb = sight.full
    around = np.asarray(Image.fromarray(draw.pixels(rgb)).filter(ImageFilter.MedianFilter(11)), np.float32)
    labels, count = ndimage.label(np.abs(rgb - around).max(axis=2) > 26 + 3 * sight.noise)
    if not count:
        return np.zeros((0, 3), np.float32)
    height, width = labels.shape
    most = (9 * min(height, width) / 512) ** 2
    sizes = np.bincount(labels.ravel())
    rows: list[tuple[float, float, float]] = []
    for label, place in enumerate(ndimage.find_objects(labels), 1):
        tall, wide = place[0].stop - place[0].start, place[1].stop - place[1].start
        if 3 <= sizes[label] <= most and max(tall, wide) <= 1.7 * min(tall, wide) + 1 and sizes[label] > 0.55 * tall * wide:
            y, x = (place[0].start + place[0].stop) / 2, (place[1].start + place[1].stop) / 2
            r = rgb[int(y), int(x)]
            rows.append((x / width, y / height, float((r.max() - r.min()) / max(r.max(), 1))))
    return np.array(rows, np.float32).reshape(-1, 3)


def framed(sight: Sight) -> float:
    """How much a line around the picture stands out from both its sides, in levels."""
    height, width = sight.full.shape[:2]
    unit = min(height, width)
    inset, thick = round(0.022 * unit), max(3, round(0.009 * unit))
    steps: list[float] = []
    for view in (sight.full, sight.full[::-1], sight.full.transpose(1, 0, 2), sight.full.transpose(1, 0, 2)[::-1]):
        run = slice(2 * inset, -2 * inset)
        line = view[inset + 1 : inset + thick - 1, run].mean(axis=0)
        outside, inner = view[inset - 4 : inset - 1, run].mean(axis=0), view[inset + thick + 1 : inset + thick + 4, run].mean(axis=0)
        steps.append(min(float(np.median(np.abs(line - side).max(axis=1))) for side in (outside, inner)))
    return min(steps)


def ring(sight: Sight, x: float, y: float, half: float) -> float:
    """How many levels the background close around a point is brighter than further out."""
    height, width = sight.flat.shape
    gy, gx = np.mgrid[:height, :width]
    near_by = max(half * max(height, width), 0.05 * min(height, width))
    distance = np.hypot(gx - x * width, gy - y * height) / near_by
    luma = sight.calm @ draw.LUMA
    fit = light(sight)
    luma = luma * np.exp(-(fit.x * (2 * gx / width - 1) + fit.y * (2 * gy / height - 1)))
    free = ~ndimage.maximum_filter(sight.front, 5)
    close, far = luma[free & (distance < 1.45)], luma[free & (distance > 2.6) & (distance < 4.0)]
    return float(np.median(close) - np.median(far)) if len(close) > 30 and len(far) > 30 else 0.0


def pool(sight: Sight, centre: tuple[float, float]) -> float:
    """How much brighter (log luma) the background is near a point than far from it."""
    height, width = sight.flat.shape
    gy, gx = np.mgrid[:height, :width]
    distance = np.hypot((gx / width - centre[0]) / 0.42, (gy / height - centre[1]) / 0.42)
    tone = np.log(np.maximum(sight.calm @ draw.LUMA, 2))
    gains: list[float] = []
    for label in range(1, int(sight.flat.max()) + 1):
        own = sight.flat == label
        inner, outer = tone[own & (distance < 0.6)], tone[own & (distance > 1.3)]
        if len(inner) > 50 and len(outer) > 50:
            gains.append(float(np.median(inner) - np.median(outer)))
    return max(gains, default=0.0)
