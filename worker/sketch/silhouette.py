"""Whether a thing is whole: its silhouette is stamped anew where it was found, and held against the pixels."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from worker.sketch import draw, glyphs
from worker.sketch.draw import PixelBox
from worker.sketch.match_text import correlations
from worker.sketch.segment import Segments, solved

WHOLE, BROKEN = 0.9, 0.82
"""A share of a silhouette that is as stamped: from the first on it is whole, below the second it is not."""
_PART = 0.75
"""As good as this the worst ninth of a whole thing must be."""


class Stamp(NamedTuple):
    """How much of a silhouette is as it would be stamped, of all and of its worst part (0 to 1); how far off its pixels
    are on average; how much too wide or too tall it is (log); the colour of its fill; its box in pixels."""

    share: float
    worst: float
    off: float
    stretched: float
    fill: tuple[float, float, float]
    box: PixelBox

    @property
    def whole(self) -> bool:
        return self.share >= WHOLE and self.worst >= _PART and not self.misshapen

    @property
    def broken(self) -> bool:
        return self.share < BROKEN or self.worst < 0.7 * _PART or self.misshapen

    @property
    def misshapen(self) -> bool:
        return self.stretched > 0.1 + 3 / min(self.box[2] - self.box[0], self.box[3] - self.box[1])


@lru_cache(maxsize=32)
def stamp(segments: Segments, at: tuple[float, float, float, float], noun: str) -> Stamp:
    """The best stamp of the noun at about the place of a thing."""
    height, width = segments.full.shape[:2]
    x0, y0, x1, y1 = at
    box = round(x0 * width), round(y0 * height), round(x1 * width), round(y1 * height)
    best = min((_compared(segments, noun, _inset(box, (inset,) * 4), 2) for inset in (0, 2, 4)), key=_off)
    for step in (4, 2, 1):
        for move in _MOVES:
            for sign in (step, -step):
                found = _compared(segments, noun, _inset(best.box, tuple(sign * by for by in move)), 2)
                best = min(best, found, key=_off)
    return _compared(segments, noun, best.box, 1)


_MOVES = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (1, 0, -1, 0), (0, 1, 0, -1))
"""Sides of a box that move inwards, each alone; then the whole box, across and down."""


def _off(one: Stamp) -> float:
    return one.off - one.share


def repeats(segments: Segments, one: Stamp, noun: str, known: list[PixelBox]) -> int:
    """How many more things are just like a stamped one, beside those whose boxes are known."""
    x0, y0, x1, y1 = one.box
    luma = _softened(segments)[1] @ draw.LUMA
    scores = correlations(luma, luma[max(0, y0) : y1, max(0, x0) : x1])
    height, width = luma.shape
    taken, number = [*known, one.box], 0
    for _ in range(12):
        top, left = (int(v) for v in np.unravel_index(int(scores.argmax()), scores.shape))
        if scores[top, left] < 0.7:
            break
        box = left, top, left + x1 - x0, top + y1 - y0
        if not any(_overlap(box, other) for other in taken):
            again = stamp(segments, (box[0] / width, box[1] / height, box[2] / width, box[3] / height), noun)
            alike = max(abs(a - b) for a, b in zip(again.fill, one.fill, strict=True)) < 40
            number += again.whole and alike
            taken.append(box)
        reach = (y1 - y0) // 3, (x1 - x0) // 3
        scores[max(0, top - reach[0]) : top + reach[0] + 1, max(0, left - reach[1]) : left + reach[1] + 1] = 0
    return number


def _overlap(one: PixelBox, other: PixelBox) -> bool:
    """Whether the middle of the one lies in the other."""
    x, y = (one[0] + one[2]) / 2, (one[1] + one[3]) / 2
    return other[0] < x < other[2] and other[1] < y < other[3]


def _inset(box: PixelBox, by: tuple[int, ...]) -> PixelBox:
    x0, y0, x1, y1 = box
    return x0 + by[0], y0 + by[1], max(x1 - by[2], x0 + by[0] + 6), max(y1 - by[3], y0 + by[1] + 6)


def _compared(segments: Segments, noun: str, box: PixelBox, step: int) -> Stamp:
    height, width = segments.full.shape[:2]
    filled, ink = glyphs.thing(noun, box[2] - box[0], box[3] - box[1])
    rows = slice(max(0, -box[1]), min(filled.shape[0], height - box[1]), step)
    columns = slice(max(0, -box[0]), min(filled.shape[1], width - box[0]), step)
    size, picture = _softened(segments)
    own = filled[rows, columns] > 0.5
    # where thing and ground would melt together there is a line around it
    ring = ndimage.maximum_filter(filled, 5) - filled
    filled, ink, ring = (
        ndimage.uniform_filter(mask, size, mode="constant")[rows, columns] for mask in (filled, ink, ring)
    )
    part = picture[max(0, box[1]) : box[3] : step, max(0, box[0]) : box[2] : step]
    part = part[: filled.shape[0], : filled.shape[1]].astype(np.float64)
    y, x = np.mgrid[-1 : 1 : filled.shape[0] * 1j, -1 : 1 : filled.shape[1] * 1j]
    terms = np.stack([np.ones_like(x), x, y, filled, filled * x, filled * y, ink, ring], axis=-1).reshape(
        filled.size, -1
    )
    values = part.reshape(-1, 3)
    use = np.ones(len(values), bool)
    off = contrast = np.ones(1)
    for _ in range(3):
        found = solved(terms[use], values[use])
        contrast = max(float(np.abs(found[3]).max()), float(np.abs(found[6]).max()), 30.0)
        off = np.abs(values - terms @ found).max(axis=1)
        use = off < max(0.25 * contrast, float(np.median(off)))
    off = off.reshape(filled.shape)
    good = off < 0.18 * contrast + 2.5 / size * segments.noise
    fill = np.median(part[own & (ink < 0.3)], axis=0) if (own & (ink < 0.3)).any() else np.median(part[own], axis=0)
    r, g, b = (float(v) for v in fill)
    mean = float(np.minimum(off / contrast, 0.5).mean())
    stretched = abs(float(np.log((box[2] - box[0]) / (box[3] - box[1]) / glyphs.aspect(noun))))
    return Stamp(float(good[own].mean()), _worst(good, own), mean, stretched, (r, g, b), box)


def _worst(good: NDArray[np.bool_], own: NDArray[np.bool_]) -> float:
    """The least share of good pixels in a ninth of the box that holds a fair part of the silhouette."""
    cells: list[float] = []
    for some, mine in zip(np.array_split(good, 3), np.array_split(own, 3), strict=True):
        for a, b in zip(np.array_split(some, 3, axis=1), np.array_split(mine, 3, axis=1), strict=True):
            if b.sum() > 0.05 * own.sum():
                cells.append(float(a[b].mean()))
    return min(cells, default=0.0)


@lru_cache(maxsize=8)
def _softened(segments: Segments) -> tuple[int, draw.Canvas]:
    """The picture under a square as wide as grain or a screen needs, and the side of that square."""
    rows, dots = (max(segments.screens[period]) for period in (4, 6))
    size = 7 if dots > 1.6 else 5 if rows > 1.6 or segments.noise > 6 else 3
    return size, ndimage.uniform_filter(np.asarray(segments.clean, np.float32), (size, size, 1))
