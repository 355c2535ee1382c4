"""Whether a thing is whole: its silhouette is stamped anew where it was found, and held against the pixels."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from worker.sketch import draw, glyphs
from worker.sketch.draw import PixelBox
from worker.sketch.match_text import correlations
from worker.sketch.segment import Segments, Thing, solved

Rgb = tuple[float, float, float]
Values = NDArray[np.floating]

_SOLID = 0.9
"""From this share on lines cover so much of a silhouette that they and its fill are one."""


class Stamp(NamedTuple):
    """How a thing compares with its stamp.

    The share of its silhouette that is as stamped, and the same of its worst part (0 to 1); how far off its pixels are
    on average; how strong its lines are (1: as stamped); how much of what is fine in the pixels, edges and lines, the
    stamp explains (0 to 1); the colours of its fill and of its lines; its box in pixels.
    """

    share: float
    worst: float
    off: float
    lines: float
    fine: float
    fill: Rgb
    line: Rgb
    box: PixelBox

    @property
    def whole(self) -> bool:
        """The finer the agreement, the less must the flat parts agree: things are small, and their lines thin."""
        close = self.fine >= 0.55 and self.share >= 0.85 and self.worst >= 0.5
        fair = self.fine >= 0.33 and self.share >= 0.9 and self.worst >= 0.7
        return (close or fair) and self.lines >= 0.3

    @property
    def broken(self) -> bool:
        return self.fine < 0.25 or self.share < 0.8 or self.worst < 0.4 or self.lines < 0.2


@lru_cache(maxsize=64)
def stamp(segments: Segments, at: tuple[float, float, float, float], noun: str) -> Stamp:
    """The best stamp of the noun at about the place of a thing; its proportions are those of the noun."""
    height, width = segments.full.shape[:2]
    x0, y0, x1, y1 = at[0] * width, at[1] * height, at[2] * width, at[3] * height
    middle = (x0 + x1) / 2, (y0 + y1) / 2
    talls = {round(tall) - inset for tall in (y1 - y0, (x1 - x0) / glyphs.aspect(noun)) for inset in (0, 3, 6)}
    every = max(2, min(round(x1 - x0), round(y1 - y0)) // 20)
    tried = [_compared(segments, noun, _box(noun, *middle, max(tall, 6)), every) for tall in sorted(talls)]
    best = min(tried, key=_off)
    for step in (4, 2, 1):
        for _ in range(_MOVES):
            if _off(best) < _GOOD:
                break
            nearer = min((_compared(segments, noun, box, every) for box in _near(noun, best.box, step)), key=_off)
            if _off(nearer) >= _off(best):
                break
            best = nearer
    return _seen_closely(segments, noun, best.box)


_MOVES = 2
"""Of each step; a segment is seldom further off."""
_GOOD = -1.18
"""No better place is looked for than one as good as this."""


def _seen_closely(segments: Segments, noun: str, box: PixelBox) -> Stamp:
    """The stamp in a box by each pixel, with what takes longer to measure."""
    found = _compared(segments, noun, box, 1)
    return found._replace(worst=_worst(segments, noun, found), fine=_fine(segments, noun, box))


def _off(one: Stamp) -> float:
    return one.off - one.share - 0.3 * min(one.lines, 1.0)


def _box(noun: str, x: float, y: float, tall: int) -> PixelBox:
    """The box of a noun of a height in pixels around a centre."""
    wide = max(6, round(tall * glyphs.aspect(noun)))
    left, top = round(x - wide / 2), round(y - tall / 2)
    return left, top, left + wide, top + tall


def _near(noun: str, box: PixelBox, step: int) -> list[PixelBox]:
    """Boxes moved by a step, and those that have grown or shrunk by one towards a side or a corner."""
    x, y, tall = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[3] - box[1]
    found = [(x + step, y, tall), (x - step, y, tall), (x, y + step, tall), (x, y - step, tall)]
    sides = [(dx * step / 2, dy * step / 2) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
    found += [(x + dx, y + dy, tall + by) for by in (step, -step) for dx, dy in sides]
    return [_box(noun, *each) for each in found if each[2] >= 6]


# --- one stamp ------------------------------------------------------------------------------------


def _compared(segments: Segments, noun: str, box: PixelBox, step: int) -> Stamp:
    """The stamp in a box, held against every `step`th pixel; `worst` and `fine` are left open."""
    size, picture = _softened(segments)
    own, masks, part = _here(picture, noun, box, size, step)
    found, off, contrast = _fitted(masks, part)
    good = _good(segments, off, contrast)
    filled, ink, solid = found[3], found[6], _solid(noun)
    fill, line = found[0] + filled, found[0] + filled + ink
    seen = abs(draw.luma(ink if solid < _SOLID else filled + ink))
    usual = abs(draw.luma(draw.line_colour(noun, fill, solid) - fill)) if solid < _SOLID else 40.0
    return Stamp(
        share=float(good[own].mean()) if own.any() else 0.0,
        worst=0.0,
        off=float(np.minimum(off / contrast, 0.5).mean()),
        lines=seen / max(usual, 12.0),
        fine=0.0,
        fill=_rgb(fill if solid < _SOLID else line),
        line=_rgb(line),
        box=box,
    )


def _rgb(values: Values) -> Rgb:
    r, g, b = (float(v) for v in np.clip(values, 0, 255))
    return r, g, b


@lru_cache(maxsize=8)
def _softened(segments: Segments) -> tuple[int, draw.Canvas]:
    """The picture under a square as wide as grain or a screen needs, and the side of that square."""
    rows, dots = (max(segments.screens[period]) for period in (4, 6))
    size = 7 if dots > 1.6 else 5 if rows > 1.6 or segments.noise > 6 else 3
    return size, ndimage.uniform_filter(np.asarray(segments.clean, np.float32), (size, size, 1))


def _here(
    picture: draw.Canvas, noun: str, box: PixelBox, size: int, step: int
) -> tuple[NDArray[np.bool_], Values, draw.Canvas]:
    """The silhouette, its masks and the picture in a box, as far as it lies in the picture."""
    height, width = picture.shape[:2]
    own, masks = _masks(noun, box[2] - box[0], box[3] - box[1], size)
    rows = slice(max(0, -box[1]), max(0, min(own.shape[0], height - box[1])), step)
    columns = slice(max(0, -box[0]), max(0, min(own.shape[1], width - box[0])), step)
    part = picture[max(0, box[1]) : max(0, box[3]) : step, max(0, box[0]) : max(0, box[2]) : step]
    own, masks = own[rows, columns], masks[rows, columns]
    return own, masks, part[: own.shape[0], : own.shape[1]]


@lru_cache(maxsize=512)
def _masks(noun: str, wide: int, tall: int, size: int) -> tuple[NDArray[np.bool_], Values]:
    """The silhouette; then silhouette, lines and keyline under a square of `size`, stacked."""
    filled, ink = glyphs.thing(noun, wide, tall)
    # where thing and ground would melt together there is a line around it
    ring = ndimage.maximum_filter(filled, 5) - filled
    soft = [ndimage.uniform_filter(mask, size, mode="constant") for mask in (filled, ink, ring)]
    return filled > 0.5, np.stack(soft, axis=-1)


@lru_cache(maxsize=256)
def _solid(noun: str) -> float:
    """The share of a silhouette that its lines cover."""
    filled, ink = glyphs.thing(noun, 64, 64)
    return float(ink.sum() / max(filled.sum(), 1))


def _fitted(masks: Values, part: draw.Canvas) -> tuple[Values, Values, float]:
    """Least squares of the pixels by ground and silhouette (each with a slope), lines and keyline, without outliers.

    Gives the colours of the terms, how far off each pixel is, and the contrast of what was drawn with its ground.
    """
    tall, wide = masks.shape[:2]
    y, x = np.mgrid[-1 : 1 : tall * 1j, -1 : 1 : wide * 1j]
    filled, ink, ring = masks[..., 0], masks[..., 1], masks[..., 2]
    terms = np.stack([np.ones_like(x), x, y, filled, filled * x, filled * y, ink, ring], axis=-1).reshape(-1, 8)
    values = part.reshape(-1, 3).astype(np.float64)
    use = np.ones(len(values), bool)
    found, off, contrast = np.zeros((8, 3), np.float32), np.ones(len(values)), 1.0
    for _ in range(3 if len(values) else 0):
        found = solved(terms[use], values[use])
        contrast = max(float(np.abs(found[3]).max()), float(np.abs(found[6]).max()), 30.0)
        off = np.abs(values - terms @ found).max(axis=1)
        use = off < max(0.25 * contrast, float(np.median(off)))
    return found, off.reshape(tall, wide), contrast


def _good(segments: Segments, off: Values, contrast: float) -> NDArray[np.bool_]:
    """Which pixels are as stamped."""
    return off < 0.18 * contrast + 2.5 / _softened(segments)[0] * segments.noise


def _worst(segments: Segments, noun: str, one: Stamp) -> float:
    """The least share of good pixels in a ninth of the box that holds a fair part of the silhouette."""
    size, picture = _softened(segments)
    own, masks, part = _here(picture, noun, one.box, size, 1)
    _, off, contrast = _fitted(masks, part)
    good = _good(segments, off, contrast)
    cells: list[float] = []
    for some, mine in zip(np.array_split(good, 3), np.array_split(own, 3), strict=True):
        for a, b in zip(np.array_split(some, 3, axis=1), np.array_split(mine, 3, axis=1), strict=True):
            if b.sum() > 0.05 * own.sum():
                cells.append(float(a[b].mean()))
    return min(cells, default=0.0)


def _fine(segments: Segments, noun: str, box: PixelBox) -> float:
    """How much of what is fine in the pixels the stamp explains, grain aside."""
    size, picture = _softened(segments)
    _, masks, part = _here(picture, noun, box, size, 1)
    wide = max(5, min(masks.shape[:2]) // 8 | 1)
    terms, values = ((each - ndimage.uniform_filter(each, (wide, wide, 1))).reshape(-1, 3) for each in (masks, part))
    if not len(values):
        return 0.0
    rest = values - terms @ solved(terms, values)
    grain = 3 * len(values) * (segments.noise / size) ** 2
    total = float((values**2).sum())
    return (total - float((rest**2).sum())) / max(total - grain, 0.6 * total, 1e-6)


# --- more of the same -----------------------------------------------------------------------------


def repeats(segments: Segments, known: list[Stamp], noun: str) -> int:
    """How many more things are just like the known ones, such as one that touches another or stands on a patch."""
    best = max(known, key=lambda one: one.fine)
    x0, y0, x1, y1 = best.box
    luma = _softened(segments)[1] @ draw.LUMA
    height, width = luma.shape
    scores = correlations(luma, luma[max(0, y0) : y1, max(0, x0) : x1])
    taken, number = [one.box for one in known], 0
    for _ in range(12):
        top, left = (int(v) for v in np.unravel_index(int(scores.argmax()), scores.shape))
        if scores[top, left] < 0.7:
            break
        box = left, top, left + x1 - x0, top + y1 - y0
        if not any(_overlap(box, other) for other in taken):
            again = stamp(segments, (box[0] / width, box[1] / height, box[2] / width, box[3] / height), noun)
            alike = max(abs(a - b) for a, b in zip(again.fill, best.fill, strict=True)) < 40
            number += again.whole and alike
            taken.append(box)
        reach = (y1 - y0) // 3, (x1 - x0) // 3
        scores[max(0, top - reach[0]) : top + reach[0] + 1, max(0, left - reach[1]) : left + reach[1] + 1] = 0
    return number


@lru_cache(maxsize=64)
def sought(segments: Segments, noun: str) -> tuple[Thing, ...]:
    """The noun where no segment shows it, as on a ground of its own colour: by its edges, at any size; one at most."""
    edges, height = _edges(segments), segments.full.shape[0]
    best: tuple[float, PixelBox] = (0.0, (0, 0, 1, 1))
    for tall in _TALLS:
        high = round(tall * min(edges.shape))
        wide = round(high * glyphs.aspect(noun))
        if high < 8 or wide < 8 or high >= edges.shape[0] or wide >= edges.shape[1]:
            continue
        scores = correlations(edges, _edged(noun, wide, high))
        top, left = (int(v) for v in np.unravel_index(int(scores.argmax()), scores.shape))
        best = max(best, (float(scores[top, left]), (left, top, left + wide, top + high)))
    if best[0] < 0.45:
        return ()
    scale = edges.shape[0] / height
    at = [v / side / scale for v, side in zip(best[1], (segments.full.shape[1], height) * 2, strict=True)]
    one = stamp(segments, (at[0], at[1], at[2], at[3]), noun)
    if not one.whole or one.fine < 0.55:
        return ()
    x0, y0, x1, y1 = (v / side for v, side in zip(one.box, (segments.full.shape[1], height) * 2, strict=True))
    return (Thing((x0, y0, x1, y1), (one.fill, one.line), {noun: 1.0}),)


_TALLS = tuple(0.06 * 1.13**n for n in range(17))
"""Heights of things as shares of the picture's shorter side."""


@lru_cache(maxsize=8)
def _edges(segments: Segments) -> Values:
    """How much the luma changes, at half the size."""
    luma = _softened(segments)[1] @ draw.LUMA
    return np.minimum(_slope(luma[::2, ::2]), 40.0)


def _slope(tone: Values) -> Values:
    down, across = np.gradient(tone.astype(np.float64))
    return np.sqrt(down * down + across * across)


@lru_cache(maxsize=512)
def _edged(noun: str, wide: int, tall: int) -> Values:
    filled, ink = glyphs.thing(noun, wide, tall)
    tone = ndimage.uniform_filter(np.pad(filled - 0.5 * ink, 2), 2)
    return _slope(tone)


def _overlap(one: PixelBox, other: PixelBox) -> bool:
    """Whether the middle of the one lies in the other."""
    x, y = (one[0] + one[2]) / 2, (one[1] + one[3]) / 2
    return other[0] < x < other[2] and other[1] < y < other[3]
