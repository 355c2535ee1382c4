"""Is there lettering at all, whatever it says? Marks that look like letters, several in a row."""

from collections.abc import Sequence
from functools import cache
from string import ascii_letters, digits

import numpy as np
from numpy.typing import NDArray

from worker.sketch import glyphs
from worker.sketch.checks import Finding, third
from worker.sketch.draw import PixelBox
from worker.sketch.segment import Segments, around, letter_marks

_ROWS, _COLUMNS, _PX = 16, 12, 48
_LIKE = 0.86
"""Correlation with a letter above which a mark looks like it."""


_ROW, _MAYBE = 4, 2
"""Marks on one level, one of them like a letter, that make a row of lettering, and those that may be one. Of 60
pictures without lettering none had two; of 60 with one string, some of them left out by the editor, 55 had four."""

_Mark = tuple[PixelBox, float]
"""A mark's box in pixels and its likeness to a letter."""


def beside(segments: Segments, boxes: Sequence[PixelBox]) -> Finding:
    """`truth` is the probability that there is no lettering outside the boxes, in pixels."""
    outside = [row for row in _rows(segments) if not any(_within(row, box) for box in boxes)]
    longest = max(outside, key=len, default=list[PixelBox]())
    other = "other lettering" if boxes else "lettering"
    if len(longest) < _MAYBE:
        return Finding(0.95, f"no {other}")
    where = third(segments, around(longest[0], longest[-1]))
    sure = len(longest) >= _ROW
    return Finding(0.05 if sure else None, f"{'' if sure else 'perhaps '}{other} at the {where}")


def _within(row: list[PixelBox], box: PixelBox) -> bool:
    """The middle of a row lies in a box, or not further from it than half of its height."""
    x0, y0, x1, y1 = around(row[0], row[-1])
    x, y, slack = (x0 + x1) / 2, (y0 + y1) / 2, (box[3] - box[1]) / 2
    return box[0] - slack <= x <= box[2] + slack and box[1] - slack <= y <= box[3] + slack


def _rows(segments: Segments) -> list[list[PixelBox]]:
    """The boxes of marks that follow each other on one level, where one of them looks like a letter."""
    rows: list[list[_Mark]] = []
    for polarity, ink in enumerate(segments.ink):
        own: list[list[_Mark]] = []
        for box in letter_marks(segments, polarity):
            likeness = _likeness(ink[box[1] : box[3], box[0] : box[2]])
            row = next((row for row in reversed(own) if _follows(row[-1][0], box)), None)
            if row and likeness:
                row.append((box, likeness))
            elif likeness:
                own.append([(box, likeness)])
        rows += own
    return [[box for box, _ in row] for row in rows if any(likeness > _LIKE for _, likeness in row)]


def _follows(last: PixelBox, box: PixelBox) -> bool:
    tall, before = box[3] - box[1], last[3] - last[1]
    level = min(last[3], box[3]) - max(last[1], box[1]) >= 0.6 * min(tall, before)
    return level and 0.5 < tall / before < 2 and -2 <= box[0] - last[2] <= 0.9 * max(tall, before)


def _likeness(ink: glyphs.Mask) -> float:
    """The correlation with the letter that comes nearest; 0 when none is about as wide for its height."""
    patterns, aspects = _templates()
    cells = glyphs.resized(np.asarray(ink, np.float32), _COLUMNS, _ROWS).ravel()
    spread = cells - cells.mean()
    norm = float(np.sqrt((spread * spread).sum()))
    near = np.abs(np.log(ink.shape[1] / ink.shape[0]) - aspects) < 0.25
    if norm < 1e-3 or not near.any():
        return 0.0
    return max(0.0, float((patterns[near] @ spread).max()) / norm)


@cache
def _templates() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Letters and figures of all faces but those that are a mere bar: unit patterns, one a row, and log aspects."""
    patterns: list[NDArray[np.float32]] = []
    aspects: list[float] = []
    for face in glyphs.FACES:
        for letter in ascii_letters + digits:
            mask = glyphs.line(letter, face, _PX)
            if letter in "lI1i|":
                continue
            cells = glyphs.resized(np.asarray(mask, np.float32), _COLUMNS, _ROWS).ravel()
            spread = cells - cells.mean()
            patterns.append((spread / np.sqrt((spread * spread).sum())).astype(np.float32))
            aspects.append(float(np.log(mask.shape[1] / mask.shape[0])))
    return np.stack(patterns), np.array(aspects, np.float32)
