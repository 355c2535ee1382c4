"""TextMatch: a template of the string is laid over lines of ink, and over them with one letter amiss."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from director.types import Region
from worker.sketch import glyphs, typeset
from worker.sketch.draw import PixelBox
from worker.sketch.glyphs import Mask
from worker.sketch.segment import Segments

_ROWS = 18
"""Rows to which a line is reduced before a string is slid along it."""


@dataclass(frozen=True)
class TextMatch:
    """The best match of a line of a string: how well (0 to 1), where (pixels), in which face (and size, if slid)."""

    score: float
    box: PixelBox
    face: str
    written: str
    polarity: int = 0
    px: int = 0


NO_MATCH = TextMatch(0.0, (0, 0, 1, 1), "", "")


def best_match(segments: Segments, string: str, region: Region | None = None) -> list[TextMatch]:
    """The best match of a string on one to four lines; it is sought in `region` only."""
    best: list[TextMatch] = [NO_MATCH]
    splits = [typeset.broken(string, count) for count in range(1, min(4, len(string.split())) + 1)]
    for parts in splits:
        best = max(best, [find_line(segments, part, region) for part in parts], key=_worst)
        if _worst(best) > 0.8:
            break
    if _worst(best) < 0.62:
        for parts in splits[:2]:
            best = max(best, [find_along(segments, part, region) for part in parts], key=_worst)
    parts = splits[len(best) - 1]
    return [as_written(segments, part, r) for part, r in zip(parts, best, strict=True)]


def _worst(matches: list[TextMatch]) -> float:
    return min(r.score for r in matches)


def find_line(segments: Segments, string: str, region: Region | None = None) -> TextMatch:
    """Where the string stands in `region`, judged by boxes of about its proportions."""
    near: list[tuple[float, PixelBox, int, str]] = []
    for box, polarity in _within(segments, region):
        wide, tall = box[2] - box[0], box[3] - box[1]
        faces = [face for face in _faces(string) if abs(np.log(wide / tall / _ratio(string, face))) < 0.16]
        ink = segments.ink[polarity][box[1] : box[3], box[0] : box[2]] if faces else None
        near += [(_roughly(ink, string, face), box, polarity, face) for face in faces if ink is not None]
    best = NO_MATCH
    for rough, box, polarity, face in sorted(near, key=lambda one: -one[0])[:_FINALISTS]:
        if rough > best.score - _ROUGHLY:
            ink = segments.ink[polarity][box[1] : box[3], box[0] : box[2]]
            score = _match(ink, string, face)
            if score > best.score:
                best = TextMatch(score, box, face, string, polarity)
    return best


def find_along(segments: Segments, string: str, region: Region | None = None) -> TextMatch:
    """As `find_line`, for lines whose ends were lost or joined to something: the string is slid along them."""
    near: list[tuple[float, int, PixelBox, int, str]] = []
    seen: set[tuple[int, ...]] = set()
    for box, polarity in _within(segments, region):
        wide, tall = box[2] - box[0], box[3] - box[1]
        rough = (polarity, *(v // 6 for v in box))
        if tall < 9 or rough in seen:
            continue
        seen.add(rough)
        for face in _faces(string):
            ratio = _ratio(string, face)
            if 0.45 < wide / tall / ratio < 1.9:
                reach = round(0.3 * ratio * tall)
                x0, x1 = max(0, box[0] - reach), min(segments.full.shape[1], box[2] + reach)
                strip = segments.ink[polarity][box[1] : box[3], x0:x1]
                score = _slide_mask(strip, _master(string, face, round(ratio * tall)))[0]
                near.append((score, x0, (x0, box[1], x1, box[3]), polarity, face))
    best = NO_MATCH
    for rough, x0, (_, y0, x1, y1), polarity, face in sorted(near, key=lambda one: -one[0])[:_FINALISTS]:
        if rough > best.score - _ROUGHLY:
            strip = segments.ink[polarity][y0:y1, x0:x1]
            score, left, span, px = max(_slide(strip, string, face, px) for px in _sizes(string, face, y1 - y0))
            if score > best.score:
                best = TextMatch(score, (x0 + left, y0, x0 + left + span, y1), face, string, polarity, px)
    return best


_FINALISTS, _ROUGHLY = 4, 0.1
"""A first match is made with the string at one size; these many best are set at the size of their line,
while they could still win."""


@lru_cache(maxsize=256)
def _faces(string: str) -> tuple[str, ...]:
    return tuple(face for face in glyphs.FACES if glyphs.settable(string, face))


def _within(segments: Segments, region: Region | None) -> list[tuple[PixelBox, int]]:
    """The lines that reach into `region`."""
    height, width = segments.full.shape[:2]
    return [line for line in segments.lines if region is None or _overlaps(region, line[0], width, height)]


def _overlaps(region: Region, box: PixelBox, width: int, height: int) -> bool:
    across = box[2] >= region.x0 * width and box[0] <= region.x1 * width
    return across and box[3] >= region.y0 * height and box[1] <= region.y1 * height


def _slide(strip: Mask, string: str, face: str, px: int) -> tuple[float, int, int, int]:
    """The best correlation of a string slid along a strip of about its height; where, its width and its size."""
    score, left, width = _slide_mask(strip, glyphs.line(string, face, px))
    return score, left, width, px


def _slide_mask(strip: Mask, mask: Mask) -> tuple[float, int, int]:
    width, rows = mask.shape[1], min(strip.shape[0], _ROWS)
    if width >= strip.shape[1]:
        return 0.0, 0, width
    mask, strip = glyphs.resized(mask, width, rows), glyphs.resized(strip, strip.shape[1], rows)
    pattern = mask - mask.mean()
    size = fft.next_fast_len(strip.shape[1] + width, real=True)
    a, b = (np.asarray(fft.rfft(part, size, axis=1), np.complex128) for part in (strip, pattern))
    products: Mask = np.asarray(fft.irfft((a * b.conj()).sum(axis=0), size), np.float64)[: strip.shape[1] - width + 1]
    columns = np.pad(np.stack([strip.sum(axis=0), (strip * strip).sum(axis=0)]), ((0, 0), (1, 0))).cumsum(axis=1)
    sums, squares = columns[:, width:] - columns[:, :-width]
    spread = squares - sums * sums / mask.size
    scores = products / np.sqrt(np.maximum(spread * (pattern * pattern).sum(), 1e-3))
    left = int(scores.argmax())
    return float(scores[left]), left, width


def as_written(segments: Segments, string: str, found: TextMatch) -> TextMatch:
    """The match with what is really written: the string, or the slip of one letter that fits better."""
    if found.score < 0.45:
        return found
    x0, y0, x1, y1 = found.box
    tall = y1 - y0
    ink = segments.ink[found.polarity][y0:y1]
    if more := _one_more(ink, string, found):
        return more
    if found.px:
        return _as_written_along(ink, string, found)
    own = ink[:, x0:x1]
    px = size_of(string, found.face, own.shape)
    gap = np.abs(own - _set_to(string, found.face, px, own.shape))
    worst = float(ndimage.uniform_filter1d(gap.mean(axis=0), max(3, tall // 2)).max())
    if worst < 0.15 and found.score > 0.9:
        return found
    tried = ((_match(own, slip, found.face, px), slip) for slip in slips(string, found.score > 0.97))
    score, slip = max(tried, default=(0.0, ""))
    if score <= found.score + (0.02 if worst < 0.25 else 0.012):
        return found
    # an end lost on the way to the box, or a size rounded otherwise, is no slip: let both slide over the line
    strip = ink[:, max(0, x0 - tall) : x1 + tall]
    sizes = _sizes(string, found.face, tall)
    whole, other = (max(_slide(strip, text, found.face, size)[0] for size in sizes) for text in (string, slip))
    if whole > 0.8 and whole > other - (0.03 if slip in string else -0.004):
        return replace(found, score=max(whole, found.score))
    return replace(found, score=score, written=slip)


def _one_more(ink: Mask, string: str, found: TextMatch) -> TextMatch | None:
    """The match with its first or last letter doubled, when the second one stands just outside the box."""
    x0, y0, x1, y1 = found.box
    tall = y1 - y0
    for slip, start, end in ((string + string[-1], x0, x1 + 2 * tall), (string[0] + string, max(0, x0 - 2 * tall), x1)):
        edge = ink[:, x1 + 1 : x1 + tall // 2] if end > x1 else ink[:, max(0, x0 - tall // 2) : max(0, x0 - 1)]
        if float(edge.mean(axis=0).max(initial=0.0)) < 0.15:
            continue
        score = max(_slide(ink[:, start:end], slip, found.face, px)[0] for px in _sizes(string, found.face, tall))
        if score > min(found.score - 0.02, 0.95):
            return replace(found, score=score, written=slip)
    return None


def _as_written_along(ink: Mask, string: str, found: TextMatch) -> TextMatch:
    x0, y0, x1, y1 = found.box
    tall = y1 - y0
    strip = ink[:, max(0, x0 - tall) : x1 + tall]
    tried = ((_slide(strip, slip, found.face, found.px)[0], slip) for slip in slips(string, False))
    score, slip = max(tried, default=(0.0, ""))
    if score > found.score + 0.008:
        return replace(found, score=score, written=slip)
    ends = ink[:, max(0, x0 - tall // 5) : max(0, x0 - 1)], ink[:, x1 + 1 : x1 + tall // 5]
    more = max(float(end.mean(axis=0).max(initial=0.0)) for end in ends)
    return replace(found, written=f"…{string}…") if more > 0.22 else found


@lru_cache(maxsize=1024)
def _ratio(string: str, face: str) -> float:
    tall, wide = glyphs.line(string, face, 64).shape
    return wide / tall


@lru_cache(maxsize=1024)
def _master(string: str, face: str, width: int) -> Mask:
    """The string at one size, reduced to the rows that a slide compares and stretched to a width."""
    return glyphs.resized(glyphs.line(string, face, 64), max(1, width), _ROWS)


def _roughly(ink: Mask, string: str, face: str) -> float:
    """As `_match`, on few pixels and without setting the string at the size of the box."""
    wide = min(96, ink.shape[1])
    return _correlated(glyphs.resized(ink, wide, _ROWS), _master(string, face, wide))


def _match(ink: Mask, string: str, face: str, px: int = 0) -> float:
    """Correlation of ink with the string set to the same box (at a font size, when that is known)."""
    return _correlated(ink, _set_to(string, face, px or size_of(string, face, ink.shape), ink.shape))


def _correlated(ink: Mask, mask: Mask) -> float:
    a, b = ink - ink.mean(), mask - mask.mean()
    return float((a * b).sum() / np.sqrt(max((a * a).sum() * (b * b).sum(), 1e-6)))


@lru_cache(maxsize=1024)
def _set_to(string: str, face: str, px: int, shape: tuple[int, int]) -> Mask:
    return glyphs.resized(glyphs.line(string, face, px), shape[1], shape[0])


@lru_cache(maxsize=1024)
def size_of(string: str, face: str, shape: tuple[int, int]) -> int:
    """The font size in pixels at which the string comes nearest to a box: advances are rounded to
    pixels, so the widths at two sizes are not quite in proportion."""

    def off(px: int) -> float:
        tall, wide = glyphs.line(string, face, px).shape
        return 2 * abs(tall - shape[0]) + abs(wide - shape[1])

    near = max(10, round(64 * shape[0] / glyphs.line(string, face, 64).shape[0]))
    return min(range(near - 2, near + 3), key=off)


@lru_cache(maxsize=1024)
def _sizes(string: str, face: str, height: int) -> tuple[int, ...]:
    near = max(9, round(64 * height / glyphs.line(string, face, 64).shape[0]))
    return near - 1, near, near + 1


@lru_cache(maxsize=256)
def slips(string: str, swaps_only: bool) -> tuple[str, ...]:
    """Every way to swap two neighbours and, as that changes the width, to drop a letter or double one."""
    found: dict[str, None] = {}
    for i, letter in enumerate(string):
        if letter.isalnum():
            if not swaps_only:
                found[string[:i] + string[i + 1 :]] = None
                found[string[:i] + letter + string[i:]] = None
            if i + 1 < len(string):
                found[string[:i] + string[i + 1] + letter + string[i + 2 :]] = None
    found.pop(string, None)
    return tuple(slip.strip() for slip in found if len(slip.strip()) > 1)


class Field(NamedTuple):
    """Values in which patterns are looked for: their shape, their transform and its size, and the sums of them and of
    their squares from the corner."""

    shape: tuple[int, int]
    size: list[int]
    waves: NDArray[np.complex128]
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]


def field(values: Mask) -> Field:
    """Prepared once for many patterns."""
    level = values.astype(np.float64) - values.mean()
    # places that lie wholly inside never wrap around, so that nothing need be added to the sides
    size = [fft.next_fast_len(side, real=True) for side in level.shape]
    sums, squares = (np.pad(each.cumsum(0).cumsum(1), ((1, 0), (1, 0))) for each in (level, level * level))
    waves = np.asarray(fft.rfft2(level, size), np.complex128)
    return Field((level.shape[0], level.shape[1]), size, waves, sums, squares)


def correlations(within: Field, pattern: Mask) -> NDArray[np.float64]:
    """The correlation of a pattern with every place of a (larger) field where it lies wholly inside it."""
    pattern = pattern - pattern.mean()
    tall, wide = pattern.shape
    waves = np.asarray(fft.rfft2(pattern, within.size), np.complex128)
    products = np.asarray(fft.irfft2(within.waves * waves.conj(), within.size), np.float64)
    sums, squares = (_boxes(part, tall, wide) for part in (within.sums, within.squares))
    # A pattern without any ink, of letters too small to be set, is like nothing.
    ink = max(float((pattern * pattern).sum()), 1e-9)
    spread = np.maximum(squares - sums * sums / pattern.size, 1e-3) * ink
    return products[: sums.shape[0], : sums.shape[1]] / np.sqrt(spread)


def _boxes(sums: NDArray[np.float64], tall: int, wide: int) -> NDArray[np.float64]:
    """The sum of every box of that size, from sums from the corner."""
    return sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide] + sums[:-tall, :-wide]
