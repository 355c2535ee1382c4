"""What is really written where a string was matched: it is set anew and held against the picture, letter by letter."""

from collections.abc import Iterable
from functools import lru_cache, partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from director.types import Region
from worker.sketch import glyphs, typeset
from worker.sketch.draw import PixelBox
from worker.sketch.glyphs import Mask
from worker.sketch.match_text import (
    NO_MATCH,
    Field,
    TextMatch,
    as_written,
    correlations,
    field,
    find_along,
    find_line,
    size_of,
)
from worker.sketch.segment import Segments, of_picture, solved

UNREADABLE = "▒"
_CLEAR, _WRONG = 0.11, 0.22
"""A letter less wrong than the first is as it was set; one more wrong than the second is no such letter."""
_LEAST = 0.3
"""Matches worse than this are not worth setting."""
_FAINT = 28
"""Levels between ink and paper below which nothing is read: grain is like any letter then."""


class Reading(NamedTuple):
    """What is written (a sign for what is no letter; "" when nothing like it is there), whether that is sure, where."""

    text: str
    sure: bool
    box: PixelBox


class Letters(NamedTuple):
    """For each character of a line how wrong its pixels are (0: as set; 1: as if it were not there), the same of
    what stands beside the line, and the line's box in pixels."""

    wrong: tuple[float, ...]
    beside: float
    box: PixelBox

    @property
    def worst(self) -> float:
        return max(*self.wrong, self.beside)


def read(segments: Segments, string: str, region: Region | None = None, faces: Iterable[str] = ()) -> Reading:
    """The string, if it stands there on one to four lines; else what comes nearest to it.

    Where segments show no such line, it is looked for everywhere as small type in `faces`.
    """
    best: tuple[float, list[tuple[str, TextMatch, Letters]]] = (0.0, [])
    splits = [typeset.broken(string, count) for count in range(1, min(4, len(string.split())) + 1)]
    scan = partial(_scanned, faces=tuple(sorted(set(faces))))
    for find, tried in ((find_line, splits), (find_along, splits[:2]), (scan, splits)):
        if find is scan and best[0] > 0.5:
            break
        for parts in tried:
            matches = [find(segments, part, region) for part in parts]
            if min(match.score for match in matches) < _LEAST or not _stacked(matches):
                continue
            lines = [(part, match, _letters(segments, part, match)) for part, match in zip(parts, matches, strict=True)]
            if max(line.worst for *_, line in lines) < _CLEAR:
                return Reading(" ".join(parts), True, _around(lines))
            best = max(best, (_share_right(lines), lines), key=lambda one: one[0])
    share, lines = best
    if share < 0.4:
        return Reading("", True, (0, 0, 1, 1))
    text = " ".join(_written(segments, *line) for line in lines)
    return Reading(text, text != " ".join(string.split()), _around(lines))


def _scanned(segments: Segments, string: str, region: Region | None, faces: tuple[str, ...]) -> TextMatch:
    """The best place of a line of small type, wherever it is."""
    height, width = segments.plain.shape
    left, top = (int(region.x0 * width), int(region.y0 * height)) if region else (0, 0)
    right, foot = (int(region.x1 * width), int(region.y1 * height)) if region else (width, height)
    strip, best = field(segments.plain[top:foot, left:right]), NO_MATCH
    for face in faces:
        for px in range(typeset.SMALLEST, _LARGE):
            mask = glyphs.line(string, face, px)
            score, row, column = _placed(strip, mask)
            if score > best.score:
                x, y = left + column, top + row
                best = TextMatch(score, (x, y, x + mask.shape[1], y + mask.shape[0]), face, string, 0, px)
    return max(best, _scanned_large(segments, string, (left, top, right, foot), faces), key=lambda one: one.score)


def _scanned_large(segments: Segments, string: str, within: PixelBox, faces: tuple[str, ...]) -> TextMatch:
    """As `_scanned`, for type that can be found at half the size of the picture."""
    left, top, right, foot = within
    strip, best = field(_halved(segments)[top // 2 : foot // 2, left // 2 : right // 2]), NO_MATCH
    for face in faces:
        most = min(glyphs.fitted(string, face, right - left, 0.15 * segments.plain.shape[0]), 8 * typeset.SMALLEST)
        for px in range(_LARGE, most + 2, 2):
            mask = glyphs.line(string, face, px // 2)
            score, row, column = _placed(strip, mask)
            if score > best.score:
                x, y = left + 2 * column, top + 2 * row
                best = TextMatch(score, (x, y, x + 2 * mask.shape[1], y + 2 * mask.shape[0]), face, string, 0, px)
    return best


_LARGE = 24


@of_picture
def _halved(segments: Segments) -> Mask:
    height, width = (side // 2 * 2 for side in segments.plain.shape)
    return segments.plain[:height, :width].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))


def _stacked(matches: list[TextMatch]) -> bool:
    """Whether each line stands close below the one before, and over or under a part of it."""
    return all(
        (a.box[1] + a.box[3]) / 2 < b.box[1] < a.box[3] + 1.5 * max(a.box[3] - a.box[1], b.box[3] - b.box[1])
        and a.box[0] < b.box[2]
        and b.box[0] < a.box[2]
        for a, b in pairwise(matches)
    )


def _share_right(lines: list[tuple[str, TextMatch, Letters]]) -> float:
    wrong = [value for *_, line in lines for value in line.wrong]
    return sum(value < _WRONG for value in wrong) / len(wrong)


def _around(lines: list[tuple[str, TextMatch, Letters]]) -> PixelBox:
    boxes = np.array([line.box for *_, line in lines])
    (x0, y0), (x1, y1) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    return int(x0), int(y0), int(x1), int(y1)


def _written(segments: Segments, part: str, match: TextMatch, line: Letters) -> str:
    """The line as it stands: as a slip of one letter where one fits, else with a sign for what is no letter."""
    if line.worst < _WRONG:
        return part
    slip = as_written(segments, part, match)
    settable = slip.written != part and glyphs.settable(slip.written, match.face)
    if settable and _letters(segments, slip.written, slip).worst < _WRONG:
        return slip.written
    text = "".join(letter if value < _WRONG else UNREADABLE for letter, value in zip(part, line.wrong, strict=True))
    return f"{text}{UNREADABLE}" if line.beside >= _WRONG else text


def _letters(segments: Segments, string: str, match: TextMatch) -> Letters:
    """The line set at the size and place, near its match, at which it fits best."""
    x0, y0, x1, y1 = match.box
    tall = y1 - y0
    near = match.px or size_of(string, match.face, (tall, x1 - x0))
    left, top = max(0, x0 - tall), max(0, y0 - max(3, tall // 4))
    strip = field(segments.plain[top : y1 + max(3, tall // 4), left : x1 + tall])
    sizes = range(near - 2, near + 3)
    (_, row, column), px = max((_placed(strip, glyphs.line(string, match.face, px)), px) for px in sizes)
    high, wide = glyphs.line(string, match.face, px).shape
    own = (left + column, top + row, left + column + wide, top + row + high)
    return _compared(segments, string, match.face, px, own)


def _placed(strip: Field, mask: Mask) -> tuple[float, int, int]:
    """The strongest correlation of a mask moved over a strip, of either sign, and where: row, column."""
    if mask.shape[0] > strip.shape[0] or mask.shape[1] > strip.shape[1]:
        return 0.0, 0, 0
    scores = np.abs(correlations(strip, mask))
    top, left = np.unravel_index(int(scores.argmax()), scores.shape)
    return float(scores[top, left]), int(top), int(left)


def _compared(segments: Segments, string: str, face: str, px: int, box: PixelBox) -> Letters:
    height, width = segments.plain.shape
    beside = max(3, min(px // 3, round(0.028 * min(height, width))))
    left, top = min(beside, box[0]), min(2, box[1])
    right, foot = min(beside, max(0, width - box[2])), min(2, max(0, height - box[3]))
    mask = np.pad(glyphs.line(string, face, px), ((top, foot), (left, right)))
    part = segments.plain[box[1] - top : box[3] + foot, box[0] - left : box[2] + right]
    mask = mask[: part.shape[0], : part.shape[1]]
    off, contrast = _off(part, mask, segments.noise)
    if contrast < _FAINT or px < typeset.SMALLEST - 1:
        return Letters(tuple(1.0 for _ in string), 1.0, box)
    spans = _spans(string, face, px)
    inks = [max(float(mask[:, left + a : left + b].sum()), 1.0) for a, b in spans]
    usual = float(np.median([ink for ink, letter in zip(inks, string, strict=True) if letter != " "]))
    sums = [float(off[:, left + a : left + b].sum()) for a, b in spans]
    ends = off[:, :left], off[:, left + box[2] - box[0] :]
    return Letters(
        tuple(total / max(ink, 0.4 * usual) for total, ink in zip(sums, inks, strict=True)),
        max(float(end.sum()) for end in ends) / usual,
        box,
    )


def _off(part: Mask, mask: Mask, noise: float) -> tuple[Mask, float]:
    """By how much of the ink's contrast each pixel differs from ink or paper, less what grain explains; the contrast
    in levels where there is least of it."""
    rows, columns = np.mgrid[-1 : 1 : part.shape[0] * 1j, -1 : 1 : part.shape[1] * 1j]
    paper = (np.ones_like(rows), rows, columns, columns**2, columns**3)
    terms = np.stack([*paper, mask, mask * columns, mask * columns**2], axis=-1).reshape(part.size, -1)
    values, use = part.reshape(-1), np.ones(part.size, bool)
    rest = contrast = levels = np.ones(part.size)
    for _ in range(3):
        found = solved(terms[use], values[use])
        levels = terms[:, [0, 2, 3]] @ found[5:]
        contrast = np.maximum(np.abs(levels), 20)
        rest = (values - terms @ found) / contrast
        use = np.abs(rest) < max(0.2, 1.5 * float(np.median(np.abs(rest))))
    smooth = np.abs(ndimage.uniform_filter(rest.reshape(part.shape), 3))
    least = float(max(levels.min(), -levels.max()))
    return np.maximum(smooth - 0.05 - 0.8 * noise / contrast.reshape(part.shape), 0), least


@lru_cache(maxsize=512)
def _spans(string: str, face: str, px: int) -> tuple[tuple[int, int], ...]:
    """For each character its columns in the line, half of the gaps beside it included."""
    font = glyphs.font(face, px)
    left, wide = font.getbbox(string)[0], glyphs.line(string, face, px).shape[1]
    edges: list[tuple[float, float]] = []
    for i, letter in enumerate(string):
        start = font.getlength(string[: i + 1]) - font.getlength(letter) - left
        a, _, c, _ = font.getbbox(letter)
        edges.append((start + a, start + c) if letter != " " else (start, start + font.getlength(" ")))
    cuts = [0.0, *((edges[i][1] + edges[i + 1][0]) / 2 for i in range(len(edges) - 1)), float(wide)]
    cuts = [min(max(round(cut), 0), wide) for cut in cuts]
    return tuple((a, max(b, a + 1)) for a, b in pairwise(cuts))
