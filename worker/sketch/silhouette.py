"""Whether a thing is whole: its silhouette is stamped anew where it was found, and held against the pixels."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from worker.sketch import draw, glyphs
from worker.sketch.draw import PixelBox
from worker.sketch.match_text import correlations, field
from worker.sketch.segment import Segments, Thing, of_picture, solved

Rgb = tuple[float, float, float]
Values = NDArray[np.floating]

_SOLID = 0.9
"""From this share on lines cover so much of a silhouette that they and its fill are one."""
_CLOSE, _FAIR, _BROKEN = 0.85, 0.74, 0.62
"""How fine a whole thing mostly is, and at least, and a broken one at most. Of 539 whole things of simulated pictures
nine in ten were as fine as the first and all but three as the second; of 160 half covered, cut, smeared or doubled
ones, one was as fine as the second, and had hardly a line."""
_ANOTHER = 0.5
"""How fine one more of a known thing is at least: the edge of a patch that it stands on takes from it."""
_LEAST_TALL = 0.05
"""Nothing is drawn smaller, as a share of the picture's shorter side: anything is like a speck."""


class Stamp(NamedTuple):
    """How a thing compares with its stamp.

    How much of what is fine in the pixels, edges and lines, the stamp explains (0 to 1); the share of its silhouette
    that is as stamped, and the same of its worst part (0 to 1); how strong its lines are (1: as stamped); the colours
    of its fill and of its lines; its box in pixels; whether that is as large as things are drawn.
    """

    fine: float
    share: float
    worst: float
    lines: float
    fill: Rgb
    line: Rgb
    box: PixelBox
    large: bool

    @property
    def whole(self) -> bool:
        if self.fine >= _CLOSE:
            return self.large and self.share >= 0.8 and self.worst >= 0.4
        return self.large and self.fine >= _FAIR and self.lines >= 0.4 and self.share >= 0.85 and self.worst >= 0.5

    @property
    def broken(self) -> bool:
        return not self.large or self.fine < _BROKEN or self.share < 0.7 or self.worst < 0.3


@of_picture
def stamp(segments: Segments, at: tuple[float, float, float, float], noun: str) -> Stamp:
    """The best stamp of the noun at about the place of a thing; its proportions are those of the noun."""
    height, width = segments.full.shape[:2]
    x0, y0, x1, y1 = at[0] * width, at[1] * height, at[2] * width, at[3] * height
    step = max(1, round(max(y1 - y0, x1 - x0) / _NEAR))
    fine, box = _laid(segments, noun, (x0 / step, y0 / step, x1 / step, y1 / step), step)
    own, off, found, contrast = _held_against(segments, noun, box, step)
    good = off < 0.18 * contrast + 2.5 / _softened(segments, step)[0] * segments.noise / step
    fill, line, solid = found[0] + found[3], found[0] + found[3] + found[6], _solid(noun)
    seen = abs(draw.luma(found[6] if solid < _SOLID else found[3] + found[6]))
    usual = abs(draw.luma(draw.line_colour(noun, fill, solid) - fill)) if solid < _SOLID else 40.0
    x0, y0, x1, y1 = (v * step for v in box)
    return Stamp(
        fine=fine,
        share=float(good[own].mean()) if own.any() else 0.0,
        worst=_worst(good, own),
        lines=seen / max(usual, 12.0),
        fill=_rgb(fill if solid < _SOLID else line),
        line=_rgb(line),
        box=(x0, y0, x1, y1),
        large=y1 - y0 >= _LEAST_TALL * min(width, height),
    )


_NEAR = 144
"""A thing much larger than these pixels is looked at in a reduced picture."""


def _rgb(values: Values) -> Rgb:
    r, g, b = (float(v) for v in np.clip(values, 0, 255))
    return r, g, b


@of_picture
def _softened(segments: Segments, step: int) -> tuple[int, draw.Canvas]:
    """The picture reduced `step` times, under a square as wide as grain or a screen needs; the side of that square."""
    rows, dots = (max(segments.screens[period]) for period in (4, 6))
    size = 7 if dots > 1.6 else 5 if rows > 1.6 or segments.noise > 6 else 3
    size = max(3, size // step | 1)
    pixels = np.asarray(segments.clean if step == 1 else segments.clean.reduce(step), np.float32)
    return size, ndimage.uniform_filter(pixels, (size, size, 1))


@lru_cache(maxsize=1024)
def _masks(noun: str, wide: int, tall: int, size: int) -> tuple[NDArray[np.bool_], Values]:
    """The silhouette; then silhouette, lines and keyline under a square of `size`, stacked; each with a margin."""
    filled, ink = (np.pad(mask, _MARGIN) for mask in glyphs.thing(noun, wide, tall))
    # where thing and ground would melt together there is a line around it
    ring = ndimage.maximum_filter(filled, 5) - filled
    soft = [ndimage.uniform_filter(mask, size, mode="constant") for mask in (filled, ink, ring)]
    return filled > 0.5, np.stack(soft, axis=-1).astype(np.float32)


_MARGIN = 3
"""Pixels around a silhouette that belong to its stamp: its edge is told by both sides."""


@lru_cache(maxsize=256)
def _solid(noun: str) -> float:
    """The share of a silhouette that its lines cover."""
    filled, ink = glyphs.thing(noun, 64, 64)
    return float(ink.sum() / max(filled.sum(), 1))


# --- where it fits best ---------------------------------------------------------------------------


class _Patch(NamedTuple):
    """What is fine in a part of the picture: its transform, sums of its squares from the corner, its corner, the width
    of the square that its mean was taken from, the side of the square it is under, and what grain adds a pixel."""

    waves: NDArray[np.complexfloating]
    shape: tuple[int, int]
    squares: Values
    corner: tuple[int, int]
    wide: int
    size: int
    grain: float


def _laid(segments: Segments, noun: str, at: tuple[float, float, float, float], step: int) -> tuple[float, PixelBox]:
    """How fine the best place of the noun at about a box is, and that place: sizes and places near it are tried."""
    x0, y0, x1, y1 = at
    tall, other = sorted((y1 - y0, (x1 - x0) / glyphs.aspect(noun)))
    most, least = max(6, round(other) + 3), max(6, round(tall) - 7)
    reach = 3 + max(1, round(0.12 * max(y1 - y0, x1 - x0)))
    patch = _patch(segments, noun, ((x0 + x1) / 2, (y0 + y1) / 2), most, reach, step)
    tried = {each: _best_place(patch, noun, each) for each in range(most, least - 1, -max(3, (most - least) // 6))}
    for by in (2, 1):
        around = max(tried, key=lambda each: tried[each][0])
        tried |= {each: _best_place(patch, noun, each) for each in (around - by, around + by) if each not in tried}
    return max(tried.values())


def _patch(segments: Segments, noun: str, middle: tuple[float, float], most: int, reach: int, step: int) -> _Patch:
    size, picture = _softened(segments, step)
    wide = round(most * glyphs.aspect(noun))
    left, top = (round(at - side / 2) - reach - _MARGIN for at, side in zip(middle, (wide, most), strict=True))
    rows = np.arange(top, top + most + 2 * (reach + _MARGIN)).clip(0, picture.shape[0] - 1)
    columns = np.arange(left, left + wide + 2 * (reach + _MARGIN)).clip(0, picture.shape[1] - 1)
    mean_of = max(5, min(wide, most) // 4 | 1)
    part = _what_is_fine(picture[np.ix_(rows, columns)], mean_of)
    shape = part.shape[0], part.shape[1]
    sizes = [fft.next_fast_len(side, real=True) for side in shape]
    squares = np.pad((part.astype(np.float64) ** 2).sum(axis=2).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    waves = np.asarray(fft.rfft2(part, sizes, axes=(0, 1)))
    return _Patch(waves, shape, squares, (left, top), mean_of, size, 3 * (segments.noise / size / step) ** 2)


def _what_is_fine(values: Values, wide: int) -> Values:
    return values - ndimage.uniform_filter(values, (wide, wide, 1))


@lru_cache(maxsize=1024)
def _fine_masks(noun: str, wide: int, tall: int, size: int, mean_of: int) -> tuple[Values, Values]:
    """What is fine in the masks of a stamp, and the inverse of how they go together."""
    masks = _what_is_fine(_masks(noun, wide, tall, size)[1], mean_of)
    flat = masks.reshape(-1, masks.shape[2]).astype(np.float64)
    return masks, np.linalg.inv(flat.T @ flat + 1e-3 * np.eye(flat.shape[1]))


def _best_place(patch: _Patch, noun: str, tall: int) -> tuple[float, PixelBox]:
    """The place in a patch where least squares by the masks of a noun explain most of it, grain aside."""
    wide = max(2, round(tall * glyphs.aspect(noun)))
    masks, together = _fine_masks(noun, wide, tall, patch.size, patch.wide)
    high, long = masks.shape[:2]
    rows, columns = patch.shape[0] - high + 1, patch.shape[1] - long + 1
    if rows < 1 or columns < 1 or tall < 6:
        return 0.0, (0, 0, 1, 1)
    sizes = [fft.next_fast_len(side, real=True) for side in patch.shape]
    waves = np.asarray(fft.rfft2(masks, sizes, axes=(0, 1)))
    products = patch.waves[:, :, None, :] * waves.conj()[:, :, :, None]
    shared = np.asarray(fft.irfft2(products, sizes, axes=(0, 1)))[:rows, :columns].astype(np.float64)
    explained = (np.einsum("kl,ijlc->ijkc", together, shared) * shared).sum(axis=(2, 3))
    s = patch.squares
    total = s[high:, long:] - s[:-high, long:] - s[high:, :-long] + s[:-high, :-long]
    share = explained / np.maximum(np.maximum(total - patch.grain * high * long, 0.6 * total), 1e-6)
    top, left = (int(v) for v in np.unravel_index(int(share.argmax()), share.shape))
    x, y = patch.corner[0] + left + _MARGIN, patch.corner[1] + top + _MARGIN
    return float(share[top, left]), (x, y, x + wide, y + tall)


# --- what stands there ----------------------------------------------------------------------------


def _held_against(
    segments: Segments, noun: str, box: PixelBox, step: int
) -> tuple[NDArray[np.bool_], Values, Values, float]:
    """The stamp held against the pixels in its box, as far as that lies in the picture: the silhouette, how far off
    each pixel is, the colours of the terms, and the contrast of what was drawn with its ground."""
    size, picture = _softened(segments, step)
    own, masks = _masks(noun, box[2] - box[0], box[3] - box[1], size)
    x, y = box[0] - _MARGIN, box[1] - _MARGIN
    rows = slice(max(0, -y), max(0, min(own.shape[0], picture.shape[0] - y)))
    columns = slice(max(0, -x), max(0, min(own.shape[1], picture.shape[1] - x)))
    own, masks = own[rows, columns], masks[rows, columns]
    part = picture[max(0, y) : max(0, y) + own.shape[0], max(0, x) : max(0, x) + own.shape[1]]
    found, off, contrast = _fitted(masks, part)
    return own, off, found, contrast


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


def _worst(good: NDArray[np.bool_], own: NDArray[np.bool_]) -> float:
    """The least share of good pixels in a ninth of the box that holds a fair part of the silhouette."""
    cells: list[float] = []
    for some, mine in zip(np.array_split(good, 3), np.array_split(own, 3), strict=True):
        for a, b in zip(np.array_split(some, 3, axis=1), np.array_split(mine, 3, axis=1), strict=True):
            if b.sum() > 0.05 * own.sum():
                cells.append(float(a[b].mean()))
    return min(cells, default=0.0)


# --- more of the same -----------------------------------------------------------------------------


def repeats(segments: Segments, known: list[Stamp], noun: str) -> int:
    """How many more things are just like the known ones, such as one that touches another or stands on a patch."""
    best = max(known, key=lambda one: one.fine)
    x0, y0, x1, y1 = best.box
    luma = _softened(segments, 1)[1] @ draw.LUMA
    height, width = luma.shape
    scores = correlations(field(luma), luma[max(0, y0) : y1, max(0, x0) : x1])
    taken, number = [one.box for one in known], 0
    for _ in range(12):
        top, left = (int(v) for v in np.unravel_index(int(scores.argmax()), scores.shape))
        if scores[top, left] < 0.7:
            break
        box = left, top, left + x1 - x0, top + y1 - y0
        if not any(_overlap(box, other) for other in taken):
            again = stamp(segments, (box[0] / width, box[1] / height, box[2] / width, box[3] / height), noun)
            alike = max(abs(a - b) for a, b in zip(again.fill, best.fill, strict=True)) < 40
            number += again.large and again.fine >= _ANOTHER and alike
            taken.append(box)
        reach = (y1 - y0) // 3, (x1 - x0) // 3
        scores[max(0, top - reach[0]) : top + reach[0] + 1, max(0, left - reach[1]) : left + reach[1] + 1] = 0
    return number


def sought(segments: Segments, noun: str) -> tuple[Thing, ...]:
    """Whole ones of the noun where no segment shows them, as on a ground of their own colour."""
    return tuple(as_thing(segments, one, noun) for one in likeliest(segments, noun) if one.whole)


def as_thing(segments: Segments, one: Stamp, noun: str) -> Thing:
    height, width = segments.full.shape[:2]
    x0, y0, x1, y1 = (v / side for v, side in zip(one.box, (width, height) * 2, strict=True))
    return Thing((x0, y0, x1, y1), (one.fill, one.line), {noun: 1.0})


@of_picture
def likeliest(segments: Segments, noun: str) -> tuple[Stamp, ...]:
    """The stamps in the places whose edges are most like those of the noun, at any size: the finest first."""
    edges = _edges(segments)
    apart: list[PixelBox] = []
    for score, box in sorted(_alike(edges, noun), reverse=True):
        if score > 0.25 and len(apart) < _PLACES and not any(_overlap(box, other) for other in apart):
            apart.append(box)
    sides = (edges.shape[1], edges.shape[0]) * 2
    boxes = [tuple(v / side for v, side in zip(box, sides, strict=True)) for box in apart]
    stamps = [stamp(segments, (x0, y0, x1, y1), noun) for x0, y0, x1, y1 in boxes]
    return tuple(sorted(stamps, key=lambda one: (-one.fine, one.box)))


def _alike(edges: Values, noun: str) -> Iterator[tuple[float, PixelBox]]:
    """Two places for each size, with how much their edges are like the noun's."""
    within = field(edges)
    for tall in _TALLS:
        high = round(tall * min(edges.shape))
        wide = round(high * glyphs.aspect(noun))
        if high < 6 or wide < 6 or high >= edges.shape[0] or wide >= edges.shape[1]:
            continue
        scores = correlations(within, _edged(noun, wide, high))
        for _ in range(2):
            top, left = (int(v) for v in np.unravel_index(int(scores.argmax()), scores.shape))
            yield float(scores[top, left]), (left, top, left + wide, top + high)
            scores[max(0, top - high // 2) : top + high // 2 + 1, max(0, left - wide // 2) : left + wide // 2 + 1] = -1


_TALLS = tuple(0.06 * 1.13**n for n in range(17))
"""Heights of things as shares of the picture's shorter side."""
_PLACES = 4


@of_picture
def _edges(segments: Segments) -> Values:
    """How much the colour changes, in a reduced picture."""
    step = max(2, round(min(segments.full.shape[:2]) / 192))
    picture = _softened(segments, step)[1]
    return np.minimum(draw.most(np.stack([_slope(picture[..., n]) for n in range(3)], axis=-1)), 40.0)


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
