"""Seeing a picture: background, things and lines of type, from its pixels alone.

The background is what is smooth and reaches the picture's edge; things are what differs from it,
recognised by silhouette and lines; type is read by laying a template over lines of ink.
"""

from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage

from worker.sketch import draw, glyphs
from worker.sketch.draw import Box, Canvas
from worker.sketch.glyphs import Mask
from worker.sketch.language import nouns

Flags = NDArray[np.bool_]
_SIDE = 448
"""The shorter side of the working size, in pixels: larger pictures are reduced to it."""
_CELLS = 32
_SHORTLIST = 24
_SURE = 0.55


@dataclass(frozen=True)
class Thing:
    """Something in front of the background. `box` in fractions; `likeness` to each noun, 0 to 1."""

    box: tuple[float, float, float, float]
    rgb: tuple[float, float, float]
    likeness: dict[str, float]

    @property
    def centre(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    @property
    def noun(self) -> str:
        """The noun that it looks most like."""
        return max(self.likeness, key=lambda name: (self.likeness[name], name))

    def like(self, noun: str) -> float:
        """Likeness to a noun; almost none when it clearly looks more like another."""
        best = self.likeness[self.noun]
        return self.likeness[noun] if self.likeness[noun] >= best - 0.03 else min(0.3, self.likeness[noun])


class Sight:
    """What can be seen in one picture; every look is taken when first asked for."""

    def __init__(self, canvas: Canvas) -> None:
        self.full = canvas
        height, width = canvas.shape[:2]
        share = min(1.0, _SIDE / min(width, height))
        size = max(8, round(width * share)), max(8, round(height * share))
        image = Image.fromarray(draw.pixels(canvas))
        small = image.resize(size, Image.Resampling.BOX) if share < 1 else image
        self.small: Canvas = np.asarray(small, np.float32)
        self.calm: Canvas = np.asarray(small.filter(ImageFilter.GaussianBlur(1.1)), np.float32)

    @cached_property
    def noise(self) -> float:
        """Standard deviation of the luma's grain in the calm parts, in levels."""
        luma = self.full @ draw.LUMA
        residual = luma[1:-1, 1:-1] - (luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]) / 4
        return float(np.median(np.abs(residual[::2, ::2]))) / 0.6745 / 1.118

    @cached_property
    def flat(self) -> NDArray[np.int32]:
        """Labels of the smooth areas that reach the edge of the picture; 0 elsewhere."""
        padded = np.pad(self.calm, ((1, 1), (1, 1), (0, 0)), mode="edge")
        dx = np.abs(padded[1:-1, 2:] - padded[1:-1, :-2]).max(axis=2)
        dy = np.abs(padded[2:, 1:-1] - padded[:-2, 1:-1]).max(axis=2)
        labels, count = ndimage.label(np.maximum(dx, dy) < 11 + 0.9 * self.noise)
        edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        keep = [label for label in edge if label and sizes[label] > 0.008 * labels.size]
        order = sorted(keep, key=lambda label: -int(sizes[label]))[:6]
        table = np.zeros(count + 1, np.int32)
        for i, label in enumerate(order, 1):
            table[label] = i
        return table[labels]

    @cached_property
    def backdrop(self) -> list[tuple[Canvas, Flags]]:
        """For each smooth area its colour, continued over the picture, and where it is near."""
        height, width = self.flat.shape
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
        terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y, x**3, y**3, x * x * y, x * y * y], axis=-1)
        areas: list[tuple[Canvas, Flags]] = []
        for label in range(1, int(self.flat.max()) + 1):
            own = self.flat == label
            ys, xs = np.nonzero(own)
            step = max(1, len(ys) // 1500)
            fit = np.linalg.lstsq(terms[ys[::step], xs[::step]], self.calm[ys[::step], xs[::step]], rcond=None)[0]
            reach = Image.fromarray(own.astype(np.uint8) * 255).filter(ImageFilter.BoxBlur(0.13 * min(height, width)))
            areas.append(((terms @ fit).astype(np.float32), np.asarray(reach) > 1))
        return areas

    @cached_property
    def front(self) -> Flags:
        """Pixels that differ from every background near them."""
        away = np.full(self.flat.shape, 255, np.float32)
        for surface, near in self.backdrop:
            away = np.where(near, np.minimum(away, np.abs(self.calm - surface).max(axis=2)), away)
        mask = (away > 24 + 0.8 * self.noise) & (self.flat == 0)
        for i, (a, _) in enumerate(self.backdrop):
            for j, (b, _) in enumerate(self.backdrop[:i]):
                mask &= ~self._between(a, b, self.flat == i + 1, self.flat == j + 1)
        return mask & ~_seams(mask)

    def _between(self, a: Canvas, b: Canvas, own: Flags, other: Flags) -> Flags:
        """The seam of two backgrounds: near both and of a colour between theirs."""
        grown = ndimage.maximum_filter(own, 9) & ndimage.maximum_filter(other, 9)
        step = b - a
        share = np.clip(((self.calm - a) * step).sum(axis=2) / np.maximum((step * step).sum(axis=2), 1), 0, 1)
        return grown & (np.abs(self.calm - a - share[..., None] * step).max(axis=2) < 16)

    @cached_property
    def things(self) -> tuple[Thing, ...]:
        """Everything in front that is large enough to be a thing, by position."""
        joined = ndimage.binary_closing(np.pad(self.front, 4), np.ones((3, 3), bool), iterations=1)[4:-4, 4:-4]
        labels, _ = ndimage.label(joined, np.ones((3, 3), int))
        least = 0.045 * min(labels.shape)
        found: list[Thing] = []
        for label, place in enumerate(ndimage.find_objects(labels), 1):
            height, width = place[0].stop - place[0].start, place[1].stop - place[1].start
            if max(height, width) >= least and min(height, width) >= 0.25 * least and height * width < 0.6 * labels.size:
                own = ndimage.binary_fill_holes(labels[place] == label)
                if own is not None and own.sum() > 0.12 * own.size:
                    found.append(self._thing(own, place))
        return tuple(found)

    def _thing(self, own: Flags, place: tuple[slice, slice]) -> Thing:
        height, width = self.flat.shape
        part = self.small[place]
        rgb = _fill_colour(part[own])
        box = place[1].start / width, place[0].start / height, place[1].stop / width, place[0].stop / height
        return Thing(box, rgb, likeness(own, part @ draw.LUMA))

    @cached_property
    def ink(self) -> tuple[Mask, ...]:
        """Dark and light ink against what surrounds it, at the full size; soft masks."""
        luma = np.asarray(Image.fromarray(np.clip(self.full @ draw.LUMA, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.6)), np.float32)
        window = max(15, int(0.055 * min(luma.shape)) | 1)
        high = ndimage.uniform_filter(ndimage.maximum_filter(luma, window), window // 2)
        low = ndimage.uniform_filter(ndimage.minimum_filter(luma, window), window // 2)
        span = high - low
        level = np.where(span > 40 + self.noise, (luma - low) / np.maximum(span, 1), np.nan)
        dark = np.clip((0.62 - level) / 0.24 + 0.0, 0, 1)
        light = np.clip((level - 0.38) / 0.24, 0, 1)
        return np.nan_to_num(dark).astype(np.float32), np.nan_to_num(light).astype(np.float32)

    @cached_property
    def lines(self) -> tuple[tuple[Box, int], ...]:
        """Boxes in pixels that may be lines of type, and the polarity of their ink (0 dark, 1 light)."""
        found: dict[tuple[Box, int], None] = {}
        for polarity, ink in enumerate(self.ink):
            marks = _marks(ink > 0.5)
            for gap in (0.35, 0.6, 0.95, 1.5):
                for box in _rows(marks, gap):
                    found[box, polarity] = None
        return tuple(found)


def _seams(mask: Flags) -> Flags:
    """Thin level lines across much of the picture: where two backgrounds meet softly."""
    thin = mask & ~ndimage.binary_opening(mask, np.ones((9, 1), bool))
    rows = ndimage.maximum_filter1d(thin.sum(axis=1), 5) > 0.22 * mask.shape[1]
    return thin & rows[:, None]


def _marks(ink: Flags) -> list[Box]:
    """The boxes of connected ink that may be letters, from left to right."""
    labels, _ = ndimage.label(ink, np.ones((3, 3), int))
    tallest = 0.22 * ink.shape[0]
    boxes = [(p[1].start, p[0].start, p[1].stop, p[0].stop) for p in ndimage.find_objects(labels)]
    return sorted((x0, y0, x1, y1) for x0, y0, x1, y1 in boxes if y1 - y0 <= tallest and (x1 - x0) * (y1 - y0) >= 4)


def _rows(marks: list[Box], gap: float) -> list[Box]:
    """Marks chained into rows: next to each other within `gap` heights, of like height, on one level."""
    rows: list[Box] = []
    small: list[Box] = []
    for box in marks:
        tall = box[3] - box[1]
        if tall < 6:
            small.append(box)
            continue
        for i in range(len(rows) - 1, -1, -1):
            row = rows[i]
            height = row[3] - row[1]
            level = min(row[3], box[3]) - max(row[1], box[1])
            if box[0] - row[2] <= gap * max(height, tall) and level >= 0.55 * min(height, tall) and 0.4 < tall / height < 2.2:
                rows[i] = _around(row, box)
                break
        else:
            rows.append(box)
    for box in small:  # dots, accents, dashes and commas belong to the row that they touch
        for i, row in enumerate(rows):
            reach = 0.38 * (row[3] - row[1])
            if row[0] - reach <= box[0] and box[2] <= row[2] + reach and row[1] - reach <= box[1] and box[3] <= row[3] + reach:
                rows[i] = _around(row, box)
                break
    return [row for row in rows if row[2] - row[0] > 0.8 * (row[3] - row[1]) and row[3] - row[1] >= 7]


def _around(a: Box, b: Box) -> Box:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def _fill_colour(rgb: Canvas) -> tuple[float, float, float]:
    """The colour of a thing's fill: the commonest of its coarse colours, its lines left out."""
    keys = (rgb // 24).astype(np.int32) @ np.array([1, 16, 256])
    values, counts = np.unique(keys, return_counts=True)
    mode = rgb[keys == values[counts.argmax()]].mean(axis=0)
    near = rgb[np.abs(rgb - mode).max(axis=1) < 30]
    r, g, b = (near if len(near) else rgb).mean(axis=0)
    return float(r), float(g), float(b)


# --- recognising --------------------------------------------------------------------------------


@cache
def _templates() -> tuple[list[str], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Names, silhouettes, line patterns (each flattened cells, one row a noun) and log aspects."""
    names = sorted(nouns())
    shapes, inks, aspects = list[Mask](), list[Mask](), list[float]()
    for name in names:
        filled, ink = glyphs.thing(name, _CELLS, _CELLS)
        for grown in (0, 2, 4):  # as drawn, and with a keyline around it
            shape = np.pad(filled, grown) > 0.5
            shape = ndimage.binary_dilation(shape, iterations=grown) if grown else shape
            lines = np.pad(ink, grown)
            shapes.append((glyphs.resized(shape.astype(np.float32), _CELLS, _CELLS) > 0.5).astype(np.float32).ravel())
            inks.append((glyphs.resized(lines, _CELLS, _CELLS) * shapes[-1].reshape(_CELLS, _CELLS)).ravel())
            aspects.append(float(np.log(glyphs.aspect(name))))
    return names, np.stack(shapes), np.stack(inks), np.array(aspects, np.float32)


def likeness(own: Flags, luma: Mask) -> dict[str, float]:
    """How much a filled silhouette with its luma looks like each noun, 0 to 1."""
    names, shapes, inks, aspects = _templates()
    size = (_CELLS, _CELLS)
    shape = (np.asarray(Image.fromarray(own.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX), np.float32) > 127).astype(np.float32).ravel()
    tone = np.asarray(Image.fromarray(luma.astype(np.float32)).resize(size, Image.Resampling.BOX), np.float32).ravel()
    both = shapes @ shape
    overlap = both / np.maximum(shapes.sum(axis=1) + shape.sum() - both, 1)
    stretched = np.maximum(0, np.abs(np.log(own.shape[1] / own.shape[0]) - aspects) - 0.05)
    outline = overlap * np.exp(-2.0 * stretched)
    score = 0.5 * outline
    few = np.argsort(-outline, kind="stable")[:_SHORTLIST]
    score[few] = outline[few] * (0.55 + 0.45 * np.abs(_correlation(inks[few], tone, shapes[few] * shape)))
    return {name: float(value) for name, value in zip(names, score.reshape(len(names), -1).max(axis=1), strict=True)}


def _correlation(patterns: NDArray[np.float32], tone: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weighted correlation of each row of patterns with the tone."""
    total = np.maximum(weight.sum(axis=1), 1)
    a = patterns - ((patterns * weight).sum(axis=1) / total)[:, None]
    b = tone[None] - ((tone * weight).sum(axis=1) / total)[:, None]
    covariance = (a * b * weight).sum(axis=1)
    return covariance / np.sqrt(np.maximum((a * a * weight).sum(axis=1) * (b * b * weight).sum(axis=1), 1e-6))


# --- reading ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """The best match of one line of a string: how well (0 to 1), where (pixels), in which face."""

    score: float
    box: Box
    face: str
    read: str


NOTHING = Reading(0.0, (0, 0, 1, 1), "", "")


def find_line(sight: Sight, string: str) -> Reading:
    """Where the string stands, and what is really written there."""
    best = NOTHING
    for box, polarity in sight.lines:
        wide, tall = box[2] - box[0], box[3] - box[1]
        ink = sight.ink[polarity][box[1] : box[3], box[0] : box[2]]
        for face in glyphs.FACES:
            if abs(np.log(wide / tall / _ratio(string, face))) < 0.16 and glyphs.settable(string, face):
                score = _match(ink, string, face)
                if score > best.score:
                    best = Reading(score, box, face, string)
                    best_ink = ink
    if best.score < 0.3:
        return best
    return replace(best, **_spelling(best_ink, string, best))


@lru_cache(maxsize=1024)
def _ratio(string: str, face: str) -> float:
    tall, wide = glyphs.line(string, face, 64).shape
    return wide / tall


def _match(ink: Mask, string: str, face: str) -> float:
    """Correlation of ink with the string set to the same box."""
    mask = _set_to(string, face, ink.shape)
    a, b = ink - ink.mean(), mask - mask.mean()
    return float((a * b).sum() / np.sqrt(max((a * a).sum() * (b * b).sum(), 1e-6)))


@lru_cache(maxsize=2048)
def _set_to(string: str, face: str, shape: tuple[int, int]) -> Mask:
    # advances are rounded to pixels, so the widths of a line at two sizes are not quite in proportion
    near = max(9, round(64 * shape[0] / glyphs.line(string, face, 64).shape[0]))
    lines = [glyphs.line(string, face, px) for px in range(max(8, near - 2), near + 3)]
    best = min(lines, key=lambda mask: abs(mask.shape[0] - shape[0]) * 2 + abs(mask.shape[1] - shape[1]))
    return glyphs.resized(best, shape[1], shape[0])


def _spelling(ink: Mask, string: str, found: Reading) -> dict[str, float | str]:
    """What is read: the string, or the slip of one letter that fits the ink better."""
    best, read = found.score, string
    if best < 0.93:
        for slip in slips(string):
            if (score := _match(ink, slip, found.face)) > best + 0.015:
                best, read = score, slip
    return {"score": best, "read": read}


@lru_cache(maxsize=256)
def slips(string: str) -> tuple[str, ...]:
    """Every way to swap two neighbours, drop a letter or double one."""
    found: dict[str, None] = {}
    for i, letter in enumerate(string):
        if letter.isalnum():
            found[string[:i] + string[i + 1 :]] = None
            found[string[:i] + letter + string[i:]] = None
            if i + 1 < len(string):
                found[string[:i] + string[i + 1] + letter + string[i + 2 :]] = None
    found.pop(string, None)
    return tuple(slip.strip() for slip in found if len(slip.strip()) > 1)
