"""A picture in segments: background, things and lines of type, from its pixels alone.

The background is what is smooth and reaches the picture's edge; things are what differs from it,
recognised by silhouette and lines; type is read by laying a template over lines of ink.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, wraps
from typing import NamedTuple, TypeVar, TypeVarTuple, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage

from worker.sketch import draw, glyphs
from worker.sketch.draw import Canvas, PixelBox
from worker.sketch.glyphs import Mask
from worker.sketch.lexicon import nouns

Flags = NDArray[np.bool_]
_Args = TypeVarTuple("_Args")
_Found = TypeVar("_Found")
_SIDE = 448
"""The shorter side of the working size, in pixels: larger pictures are reduced to it."""
_AMBIGUOUS = 0.09
"""Two likenesses nearer than this don't tell two nouns apart: a football and a full moon."""
_CELLS = 32
_SHORTLIST = 24


@dataclass(frozen=True)
class Thing:
    """Something in front of the background. `box` in fractions, its main colours, likeness to each noun (0 to 1)."""

    box: tuple[float, float, float, float]
    rgbs: tuple[tuple[float, float, float], ...]
    likeness: dict[str, float]

    @property
    def centre(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    @property
    def span(self) -> float:
        """The longer side of its box."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    @cached_property
    def noun(self) -> str:
        """The noun that it looks most like."""
        return max(self.likeness, key=lambda name: (self.likeness[name], name))

    def like(self, noun: str) -> float:
        """Likeness to a noun; almost none when it clearly looks more like another."""
        best = self.likeness[self.noun]
        return self.likeness[noun] if self.likeness[noun] >= best - _AMBIGUOUS else min(0.3, self.likeness[noun])


class Seam(NamedTuple):
    """Where the background changes most from row to row: y from -1 to 1, levels, how abruptly (0 to 1)."""

    y: float
    step: float
    crisp: float


class Segments:
    """What one picture is made of; each part is found when it is first asked for."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self.finds: dict[object, object] = {}
        least = [max(0, 24 - side) for side in canvas.shape[:2]]
        if any(least):  # a speck of a picture: its edge is continued, so that every measure has pixels
            canvas = np.pad(canvas, ((0, least[0]), (0, least[1]), (0, 0)), mode="edge")
        self.full = canvas
        height, width = canvas.shape[:2]
        share = min(1.0, _SIDE / min(width, height))
        size = max(8, round(width * share)), max(8, round(height * share))
        self.luma: Mask = canvas @ draw.LUMA
        self.screens = {period: periodic(self.luma, period) for period in (4, 6)}
        smooth = _descreened(canvas, self.luma, self.screens)
        self.plain: Mask = self.luma if smooth is canvas else smooth @ draw.LUMA
        image = Image.fromarray(draw.pixels(smooth))
        small = image.resize(size, Image.Resampling.BOX) if share < 1 else image
        self.clean = image
        self.small: Canvas = np.asarray(small, np.float32)
        self.calm: Canvas = np.asarray(small.filter(ImageFilter.GaussianBlur(1.1)), np.float32)

    @cached_property
    def noise(self) -> float:
        """Standard deviation of the luma's grain in the calm parts, in levels."""
        luma = self.plain
        residual = luma[1:-1, 1:-1] - (luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]) / 4
        return float(np.median(np.abs(residual[::2, ::2]))) / 0.6745 / 1.118

    @cached_property
    def flat(self) -> NDArray[np.int32]:
        """Labels of the smooth areas that reach the edge of the picture; 0 elsewhere."""
        padded = np.pad(self.calm, ((1, 1), (1, 1), (0, 0)), mode="edge")
        dx = draw.most(np.abs(padded[1:-1, 2:] - padded[1:-1, :-2]))
        dy = draw.most(np.abs(padded[2:, 1:-1] - padded[:-2, 1:-1]))
        labels, count = ndimage.label(np.maximum(dx, dy) < 11 + 0.9 * self.noise)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        inset = round(0.045 * min(labels.shape))
        keep = {label for label in _rim(labels, 0) if label and sizes[label] > 0.008 * labels.size}
        # a frame cuts the background off from the edge
        keep |= {label for label in _rim(labels, inset) if label and sizes[label] > 0.05 * labels.size}
        order = sorted(keep, key=lambda label: -int(sizes[label]))[:6]
        table = np.zeros(count + 1, np.int32)
        for i, label in enumerate(order, 1):
            table[label] = i
        return table[labels]

    @cached_property
    def seam(self) -> Seam:
        # the smooth areas tell; only where a soft seam leaves none, the whole row does
        weight = (self.flat > 0) + np.float32(0.01)
        rows = (self.small * weight[..., None]).sum(axis=1) / weight.sum(axis=1)[:, None]
        reach = 9
        wide = np.abs(rows[2 * reach :] - rows[: -2 * reach]).max(axis=1)
        if not len(wide) or not wide.max():
            return Seam(0.0, 0.0, 1.0)
        at = round(float(np.flatnonzero(wide > 0.93 * wide.max()).mean())) + reach
        near = rows[max(0, at - 8) : at + 9]
        step = float(wide.max())
        return Seam(2 * at / (len(rows) - 1) - 1, step, float(np.abs(near[2:] - near[:-2]).max()) / step)

    @cached_property
    def backdrop(self) -> list[tuple[Canvas, Flags]]:
        """For each smooth area its colour, continued over the picture, and where it is near."""
        height, width = self.flat.shape
        x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
        areas: list[tuple[Canvas, Flags]] = []
        for label in range(1, int(self.flat.max()) + 1):
            own = self.flat == label
            ys, xs = np.nonzero(own)
            step = max(1, len(ys) // 1500)
            ys, xs = ys[::step], xs[::step]
            u, v = x[xs], y[ys]
            terms = np.stack([np.ones_like(u), v, v * v, v**3, u, u * v, u * v * v, u * u, u * u * v, u**3], axis=-1)
            c = solved(terms, self.calm[ys, xs])
            row, line = y[:, None, None], x[None, :, None]
            surface = (
                c[0]
                + row * (c[1] + row * (c[2] + row * c[3]))
                + line * (c[4] + row * (c[5] + row * c[6]))
                + line**2 * (c[7] + row * c[8])
                + line**3 * c[9]
            )
            reach = Image.fromarray(own.astype(np.uint8) * 255).filter(ImageFilter.BoxBlur(0.13 * min(height, width)))
            areas.append((surface.astype(np.float32), np.asarray(reach) > 1))
        return areas

    @cached_property
    def front(self) -> Flags:
        """Pixels that differ from every background near them."""
        away = np.full(self.flat.shape, 255, np.float32)
        for surface, near in self.backdrop:
            away = np.where(near, np.minimum(away, draw.most(np.abs(self.calm - surface))), away)
        mask = (away > 24 + 0.8 * self.noise) & (self.flat == 0)
        for i, (a, _) in enumerate(self.backdrop):
            for j, (b, _) in enumerate(self.backdrop[:i]):
                mask &= ~self._between(a, b, self.flat == i + 1, self.flat == j + 1)
        return mask & ~self._thin_seams(mask)

    def _thin_seams(self, mask: Flags) -> Flags:
        """Thin level lines: across much of the picture, or where the ground begins."""
        thin = mask & ~ndimage.binary_opening(mask, np.ones((9, 1), bool))
        rows = ndimage.maximum_filter1d(thin.sum(axis=1), 5) > 0.22 * mask.shape[1]
        at, reach = round((self.seam.y + 1) / 2 * len(rows)), 4 if self.seam.crisp > 0.6 else 14
        rows[max(0, at - reach) : at + reach + 1] |= self.seam.step > 6
        return thin & rows[:, None]

    def _between(self, a: Canvas, b: Canvas, own: Flags, other: Flags) -> Flags:
        """The seam of two backgrounds: near both and of a colour between theirs."""
        grown = ndimage.maximum_filter(own, 9) & ndimage.maximum_filter(other, 9)
        here = np.nonzero(grown)
        start = a[here]
        step, away = b[here] - start, self.calm[here] - start
        share = np.clip((away * step).sum(axis=1) / np.maximum((step * step).sum(axis=1), 1), 0, 1)
        grown[here] = draw.most(np.abs(away - share[:, None] * step)) < 16
        return grown

    @cached_property
    def things(self) -> tuple[Thing, ...]:
        """Everything in front that is large enough to be a thing, by position."""
        found = self.coloured(self.front)
        return tuple(thing for thing in found if not _letter(thing, found))

    def coloured(self, flags: Flags) -> list[Thing]:
        """Everything of about one colour that is large enough to be a thing: `flags` are its pixels, as `small`."""
        joined = ndimage.binary_closing(np.pad(flags, 4), np.ones((3, 3), bool), iterations=1)[4:-4, 4:-4]
        labels, _ = ndimage.label(joined, np.ones((3, 3), int))
        least = 0.045 * min(labels.shape)
        found: list[Thing] = []
        for label, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
            place = rows, columns
            height, width = place[0].stop - place[0].start, place[1].stop - place[1].start
            large = max(height, width) >= least and min(height, width) >= 0.25 * least
            if large and height * width < 0.6 * labels.size:
                own = ndimage.binary_fill_holes(labels[place] == label)
                if own.sum() > 0.12 * own.size:
                    found.append(self._thing(own, place))
        return found

    def _thing(self, own: Flags, place: tuple[slice, slice]) -> Thing:
        height, width = self.flat.shape
        part = self.small[place]
        rgbs = _fills(part[own])
        box = place[1].start / width, place[0].start / height, place[1].stop / width, place[0].stop / height
        return Thing(box, rgbs, likeness(own, part @ draw.LUMA))

    @cached_property
    def ink(self) -> tuple[Mask, ...]:
        """Dark and light ink against what surrounds it, at the full size; soft masks."""
        plain = Image.fromarray(np.clip(self.plain, 0, 255).astype(np.uint8))
        luma = np.asarray(plain.filter(ImageFilter.GaussianBlur(0.6)), np.float32)
        window = max(15, int(0.055 * min(luma.shape)) | 1)
        fleck = max(5, round(0.015 * min(luma.shape))) | 1
        # paper is measured without its flecks: a flake would make ink of the paper around it
        paper = ndimage.maximum_filter(ndimage.minimum_filter(luma, fleck), fleck + window - 1)
        dark = self._level(luma, ndimage.minimum_filter(luma, window), paper, window)
        paper = ndimage.minimum_filter(ndimage.maximum_filter(luma, fleck), fleck + window - 1)
        light = self._level(luma, ndimage.maximum_filter(luma, window), paper, window)
        return dark, light

    def _level(self, luma: Mask, ink: Mask, paper: Mask, window: int) -> Mask:
        """How much each pixel is ink rather than paper, given both levels around it."""
        ink, paper = (ndimage.uniform_filter(level, window // 2) for level in (ink, paper))
        span = np.abs(paper - ink)
        share = np.abs(luma - paper) / np.maximum(span, 1) * ((luma < paper) == (ink < paper))
        return np.where(span > 40 + self.noise, np.clip((share - 0.38) / 0.24, 0, 1), 0).astype(np.float32)

    @property
    def specks(self) -> NDArray[np.float32]:
        """Small round blobs, one a row: x and y in fractions, HSV saturation."""
        return self._small_marks[0]

    @property
    def streaks(self) -> int:
        """How many thin marks lean as rain does."""
        return self._small_marks[1]

    @cached_property
    def _small_marks(self) -> tuple[NDArray[np.float32], int]:
        full = np.asarray(self.clean, np.float32)
        around = np.asarray(self.clean.filter(ImageFilter.BoxBlur(6)), np.float32)
        labels, count = ndimage.label(draw.most(np.abs(full - around)) > 24 + 3 * self.noise)
        height, width = labels.shape
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        most = 9 * min(height, width) / 512
        rows: list[tuple[float, float, float]] = []
        streaks = 0
        for label, place in enumerate(ndimage.find_objects(labels), 1):
            tall, wide = place[0].stop - place[0].start, place[1].stop - place[1].start
            if tall > 1.4 * most and 0.12 * tall < wide < 0.5 * tall and sizes[label] < 4 * tall:
                ys, xs = np.nonzero(labels[place] == label)
                streaks += int(np.polyfit(ys, xs, 1)[0] > 0.1)
            round_ = max(tall, wide) <= min(most, 1.7 * min(tall, wide) + 1) and sizes[label] > 0.5 * tall * wide
            if sizes[label] >= 3 and round_:
                y, x = (place[0].start + place[0].stop) / 2, (place[1].start + place[1].stop) / 2
                if not (0.04 < y / height < 0.96 and 0.04 < x / width < 0.96):
                    continue  # what a screen leaves of a frame
                rgb = full[int(y), int(x)]
                rows.append((x / width, y / height, float((rgb.max() - rgb.min()) / max(rgb.max(), 1))))
        return np.array(rows, np.float32).reshape(-1, 3), streaks

    @cached_property
    def lines(self) -> tuple[tuple[PixelBox, int], ...]:
        """Boxes in pixels that may be lines of type, and the polarity of their ink (0 dark, 1 light)."""
        found: dict[tuple[PixelBox, int], None] = {}
        for polarity, ink in enumerate(self.ink):
            marks = _marks(ink > 0.35, self.streaks > 5)
            for gap in (0.2, 0.35, 0.6, 0.95, 1.4):
                for box in _rows(marks, gap):
                    found[box, polarity] = None
                    found[_trimmed(ink, box), polarity] = None
        return tuple(found)


def letter_marks(segments: Segments, polarity: int) -> list[PixelBox]:
    """The boxes of ink of one polarity that may be letters, from left to right."""
    boxes = _marks(segments.ink[polarity] > 0.35, segments.streaks > 5)
    return [box for box in boxes if box[3] - box[1] >= 6 and box[2] - box[0] >= 3]


@lru_cache(maxsize=8)
def segment(png: bytes) -> Segments:
    """The segments of a PNG; editor, judge and verifier share them."""
    return Segments(draw.from_png(png))


def of_picture(found: Callable[[Segments, *_Args], _Found]) -> Callable[[Segments, *_Args], _Found]:
    """Keep what a function finds in a picture with the picture's segments, so that it goes when they go.

    A cache of the function's own would hold dozens of pictures, by a few finds of each.
    """

    @wraps(found)
    def remembered(segments: Segments, *args: *_Args) -> _Found:
        key = (found, args)
        if key not in segments.finds:
            segments.finds[key] = found(segments, *args)
        return cast(_Found, segments.finds[key])

    return remembered


def _letter(thing: Thing, others: list[Thing]) -> bool:
    """Whether a thing stands in a line with several that are as high but look like something else."""
    x0, y0, x1, y1 = thing.box
    tall = y1 - y0
    level = [
        other
        for other in others
        if abs(other.box[1] - y0) < 0.45 * tall
        and abs(other.box[3] - y1) < 0.35 * tall
        and max(other.box[0] - x1, x0 - other.box[2]) < 4 * tall
    ]
    return tall < 0.14 and len({other.noun for other in level}) >= 4


def _rim(labels: NDArray[np.integer], inset: int) -> set[int]:
    """The labels on the rectangle that lies `inset` pixels inside the edge."""
    inner = labels[inset : labels.shape[0] - inset, inset : labels.shape[1] - inset]
    return {int(v) for v in np.unique(np.concatenate([inner[0], inner[-1], inner[:, 0], inner[:, -1]]))}


def periodic(luma: Mask, period: int) -> tuple[float, float]:
    """Amplitude in levels of the luma's rows and columns at a period in pixels."""
    found: list[float] = []
    for profile in (luma.mean(axis=1), luma.mean(axis=0)):
        rest = profile - ndimage.uniform_filter1d(profile, 2 * period)
        rest = rest[: len(rest) // period * period]
        turns = np.exp(-2j * np.pi * np.arange(len(rest)) / period)
        found.append(2 * float(np.abs((rest * turns).mean())) if len(rest) else 0.0)
    return found[0], found[1]


def _descreened(canvas: Canvas, luma: Mask, screens: dict[int, tuple[float, float]]) -> Canvas:
    """The canvas divided by the mean of each screen that lies on it, one value for each phase."""
    height, width = luma.shape
    for period, amplitudes in screens.items():
        if max(amplitudes) > 1.6:
            tiles = luma[: height // period * period, : width // period * period].reshape(
                height // period, period, width // period, period
            )
            gain = tiles.mean(axis=(0, 2)) / tiles.mean()
            gain = np.tile(gain, (height // period + 1, width // period + 1))[:height, :width]
            canvas = (canvas / gain[..., None]).astype(np.float32)
            luma = (luma / gain).astype(np.float32)
    return canvas


def _marks(ink: Flags, rainy: bool) -> list[PixelBox]:
    """The boxes of connected ink that may be letters, from left to right; streaks of rain are left out."""
    labels, _ = ndimage.label(ink, np.ones((3, 3), int))
    sizes = np.bincount(labels.ravel())[1:]
    tallest = 0.22 * ink.shape[0]
    boxes = [(p[1].start, p[0].start, p[1].stop, p[0].stop) for p in ndimage.find_objects(labels)]
    if rainy:
        long = 0.037 * ink.shape[0]
        boxes = [
            b
            for b, size in zip(boxes, sizes, strict=True)
            if b[3] - b[1] < max(long, 2.2 * (b[2] - b[0])) or size > 0.5 * (b[2] - b[0]) * (b[3] - b[1])
        ]
    marks = sorted((x0, y0, x1, y1) for x0, y0, x1, y1 in boxes if y1 - y0 <= tallest and (x1 - x0) * (y1 - y0) >= 4)
    if not marks:
        return []
    x0, y0, x1, y1 = np.array(marks).T[:, :, None]
    within = (x0 <= x0.T) & (y0 <= y0.T) & (x1 >= x1.T) & (y1 >= y1.T) & ((y1 - y0).T >= 6)
    # One that holds more is an outline, not a letter.
    return [mark for mark, held in zip(marks, within.sum(axis=1), strict=True) if held <= 2]


def _rows(marks: list[PixelBox], gap: float) -> list[PixelBox]:
    """Marks chained into rows: next to each other within `gap` heights, of like height, on one level."""
    rows: list[PixelBox] = []
    for box in marks:
        if box[3] - box[1] >= 6:
            i = next((i for i in reversed(range(len(rows))) if _continues(rows[i], box, gap)), None)
            if i is None:
                rows.append(box)
            else:
                rows[i] = around(rows[i], box)
    grown = list(rows)
    small = [box for box in marks if box[3] - box[1] < 6]
    for box in (*small, *rows):  # dots, accents, dashes and commas belong to the row that they touch
        i = next((i for i, row in enumerate(rows) if _touches(row, box)), None)
        if i is not None:
            grown[i] = around(grown[i], box)
    return [row for row in grown if row[2] - row[0] > 0.8 * (row[3] - row[1]) and row[3] - row[1] >= 7]


def _continues(row: PixelBox, box: PixelBox, gap: float) -> bool:
    tall, height = box[3] - box[1], row[3] - row[1]
    return (
        box[0] - row[2] <= gap * min(height, 2 * tall)
        and min(row[3], box[3]) - max(row[1], box[1]) >= 0.55 * min(height, tall)
        and 0.25 < tall / height < 2.6
    )


def _touches(row: PixelBox, box: PixelBox) -> bool:
    """Whether a box much smaller than the row lies on it or hangs at its edge."""
    tall = row[3] - row[1]
    return (
        box[3] - box[1] < 0.5 * tall
        and row[0] - 0.12 * tall <= box[0]
        and box[2] <= row[2] + 0.3 * tall
        and row[1] - 0.14 * tall <= box[3]
        and box[1] <= row[3] + 1
        and box[3] <= row[3] + 0.4 * tall
    )


def _trimmed(ink: Mask, box: PixelBox) -> PixelBox:
    """The box without rows at its top and foot that hold hardly any ink, such as a flake above a line."""
    rows = ink[box[1] : box[3], box[0] : box[2]].sum(axis=1)
    full = np.flatnonzero(rows > 0.045 * rows.max())
    return box[0], box[1] + int(full[0]), box[2], box[1] + int(full[-1]) + 1


def around(a: PixelBox, b: PixelBox) -> PixelBox:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def solved(terms: NDArray[np.floating], values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Least squares by the normal equations: few terms, many samples."""
    a = terms.astype(np.float64)
    return np.linalg.solve(a.T @ a + 1e-6 * np.eye(a.shape[1]), a.T @ values.astype(np.float64)).astype(np.float32)


def _fills(rgb: Canvas) -> tuple[tuple[float, float, float], ...]:
    """The commonest colours of a thing, at most two, each at least a fifth of it: its fill, perhaps its lines."""
    keys = (rgb // 24).astype(np.int32) @ np.array([1, 16, 256])
    found: list[tuple[float, float, float]] = []
    left = np.ones(len(rgb), bool)
    while len(found) < 2 and left.sum() > 0.2 * len(rgb):
        values, counts = np.unique(keys[left], return_counts=True)
        mode = rgb[left & (keys == values[counts.argmax()])].mean(axis=0)
        near = left & (np.abs(rgb - mode).max(axis=1) < 30)
        if found and near.sum() < 0.2 * len(rgb):
            break
        r, g, b = rgb[near].mean(axis=0)
        found.append((float(r), float(g), float(b)))
        left &= ~near
    return tuple(found)


# --- recognising --------------------------------------------------------------------------------


@cache
def _templates() -> tuple[
    list[str], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]
]:
    """Names; then, three rows a noun: silhouettes, line patterns (flattened cells), log aspects, areas."""
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
    stacked = np.stack(shapes)
    return names, stacked, np.stack(inks), np.array(aspects, np.float32), stacked.sum(axis=1)


def likeness(own: Flags, luma: Mask) -> dict[str, float]:
    """How much a filled silhouette with its luma looks like each noun, 0 to 1."""
    names, shapes, inks, aspects, areas = _templates()
    images = Image.fromarray(own.astype(np.uint8) * 255), Image.fromarray(luma.astype(np.float32))
    cells = (image.resize((_CELLS, _CELLS), Image.Resampling.BOX) for image in images)
    filled, tone = (np.asarray(image, np.float32).ravel() for image in cells)
    shape = (filled > 127).astype(np.float32)
    both = shapes @ shape
    overlap = both / np.maximum(areas + shape.sum() - both, 1)
    stretched = np.maximum(0, np.abs(np.log(own.shape[1] / own.shape[0]) - aspects) - 0.05)
    outline = overlap * np.exp(-2.0 * stretched)
    score = 0.5 * outline
    few = np.argsort(-outline, kind="stable")[:_SHORTLIST]
    score[few] = outline[few] * (0.55 + 0.45 * np.abs(_correlation(inks[few], tone, shapes[few] * shape)))
    return {name: float(value) for name, value in zip(names, score.reshape(len(names), -1).max(axis=1), strict=True)}


def _correlation(
    patterns: NDArray[np.float32], tone: NDArray[np.float32], weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Weighted correlation of each row of patterns with the tone."""
    total = np.maximum(weight.sum(axis=1), 1)
    a = patterns - ((patterns * weight).sum(axis=1) / total)[:, None]
    b = tone[None] - ((tone * weight).sum(axis=1) / total)[:, None]
    covariance = (a * b * weight).sum(axis=1)
    return covariance / np.sqrt(np.maximum((a * a * weight).sum(axis=1) * (b * b * weight).sum(axis=1), 1e-6))
