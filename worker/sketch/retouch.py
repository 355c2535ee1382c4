"""Editing a picture that is only pixels: see what is there, take away what is wrong, draw what is asked."""

from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage

from director.types import Region
from worker.sketch import comp as comps
from worker.sketch import draw, measure, passes
from worker.sketch.checks import found, inside, is_meant
from worker.sketch.comp import Comp, Placed
from worker.sketch.draw import Canvas, PixelBox, colour
from worker.sketch.language import Drawable
from worker.sketch.layout import CLEAR, WHOLE, Page
from worker.sketch.match_text import best_match
from worker.sketch.misses import MissModel
from worker.sketch.segment import Flags, Segments, Thing, around

_LIKE = 0.45
_BAR = 0.03
"""Height of the bar that shows a palette's spare colour."""


def edited(
    segments: Segments,
    plan: tuple[Drawable, ...],
    wanted: tuple[Drawable, ...],
    mask: Region | None,
    miss_model: MissModel,
    dice: np.random.Generator,
) -> Canvas:
    """`plan` drawn over the picture that `segments` looks at; `wanted` is what was asked, whether or not it is drawn.

    Outside `mask` the result is bit for bit that picture. Inside, something that nobody named may suffer.
    """
    base = segments.canvas
    page = Page(base.shape[1], base.shape[0], mask or WHOLE, comps.margin(plan))
    kept = draw.blurred(_enlarged(ndimage.maximum_filter(segments.front, 5), page).astype(np.float32), 3)
    comp = Comp(base.copy(), page, dice, seams=_seams(segments, plan), kept=kept)
    if dice.random() < miss_model.damage:
        _smudge(comp, segments, wanted, mask, dice)
    moved = _clear_way(comp, segments, plan, mask)
    _take(page, segments, comp.canvas)
    comps.place(comp, moved)
    others = [_seen(t, t.noun, comp) for t in _known(segments)]
    fresh = comp.things
    if any(d.name == "blur" for d in plan):
        comp.canvas = _softened(comp, segments)
    _regrade(comp, segments, plan)
    passes.behind(comp, plan)
    comp.things = [*fresh, *others]
    before = comp.canvas.copy()
    passes.lit(comp, plan)
    comp.canvas += (before - comp.canvas) * kept[..., None]  # light falls on the scenery, things keep their colours
    comp.things = fresh
    comps.paint_things(comp)
    passes.before(comp, plan)
    comps.paint_type(comp)
    canvas = draw.grain(passes.finished(comp.canvas, plan, dice), miss_model.grain, dice)
    return _composited(base, canvas, mask)


def _seams(segments: Segments, plan: tuple[Drawable, ...]) -> tuple[float, ...]:
    """Heights that type must not straddle: where the ground begins, and the bars of a new palette."""
    line = segments.seam
    spare = max((len(d.colours) for d in plan if d.name == "palette"), default=0) - int(segments.flat.max())
    bars = tuple(1 - _BAR * (i + 1) for i in range(max(0, spare)))
    return ((line.y + 1) / 2, *bars) if line.step > 6 else bars


def _composited(base: Canvas, canvas: Canvas, mask: Region | None) -> Canvas:
    """The canvas inside the mask, the base outside; pixels cut by the mask's edge belong to the outside."""
    if mask is None:
        return canvas
    height, width = base.shape[:2]
    rows = slice(int(np.ceil(mask.y0 * height)), int(mask.y1 * height))
    columns = slice(int(np.ceil(mask.x0 * width)), int(mask.x1 * width))
    out = base.copy()
    out[rows, columns] = canvas[rows, columns]
    return out


# --- taking away --------------------------------------------------------------------------------


def _clear_way(comp: Comp, segments: Segments, plan: tuple[Drawable, ...], mask: Region | None) -> tuple[Drawable, ...]:
    """Erases what the plan replaces; gives what is to be drawn, with kept colours and places filled in."""
    out: list[Drawable] = []
    for d in plan:
        if d.kind == "text":
            placed = _replaced_text(comp, segments, d, mask)
            out += [placed] if d.verb == "add" else []
        elif d.name in ("of", "place"):
            out += _restamped(comp, segments, d)
        else:
            for thing in _replaced_things(segments, d, mask):
                if d.kind == "thing":
                    _erase(comp, segments, thing)
                else:
                    out.append(_again(comp, segments, thing))
            out += [d] if d.verb == "add" else []
    return tuple(out)


def _replaced_things(segments: Segments, d: Drawable, mask: Region | None) -> list[Thing]:
    """The things that have to go, or to move, before `d` can be drawn."""
    if d.kind == "thing":
        like = [t for t in segments.things if t.like(d.name) >= _LIKE]
        there = [t for t in found(segments, d.name, d.colours) if is_meant(t, d)] if d.verb == "remove" else like
        return [t for t in there if mask is None or inside(t, mask, 0.0)]
    if d.name == "clear":
        return [t for t in _known(segments) if inside(t, d.region or CLEAR, 0.05)]
    return _known(segments) if d.name in ("margins", "symmetry", "diagonal", "third") else []


def _known(segments: Segments) -> list[Thing]:
    return [t for t in segments.things if t.likeness[t.noun] >= _LIKE]


def _replaced_text(comp: Comp, segments: Segments, d: Drawable, mask: Region | None) -> Drawable:
    """Erases what reads like the string; without a stated place the new line goes where the old one stood."""
    matches = best_match(segments, d.string, mask)
    if min(r.score for r in matches) < 0.5:
        return d
    boxes = [match.box for match in matches]
    x0, y0, x1, y1 = reduce(around, boxes)
    x, y = (x0 + x1) / 2 / comp.width, (y0 + y1) / 2 / comp.height
    if mask and not (mask.x0 < x < mask.x1 and mask.y0 < y < mask.y1):
        return d
    for box in boxes:
        _fill(comp, segments, _flags(segments, box, 3), own=False)
    spot = Region(x0=max(0, x - 0.1), y0=max(0, y - 0.03), x1=min(1, x + 0.1), y1=min(1, y + 0.03))
    return d if d.region or d.anchor else replace(d, region=spot)


def _restamped(comp: Comp, segments: Segments, d: Drawable) -> list[Drawable]:
    """The thing that `d` speaks of, drawn again in its new colour, place or size."""
    there = [t for t in segments.things if t.like(d.anchor) >= _LIKE]
    if not there:
        return [Drawable("thing", d.anchor, d.colours, 1, d.height, d.region)] if d.name == "place" else []
    if d.name == "of":
        for thing in there:
            old = _seen(thing, d.anchor, comp)
            _erase(comp, segments, thing)
            comp.things.append(Placed(d.anchor, colour(d.colours[0]), old.box))
            comp.page.take(old.box)
        return []
    return [replace(_again(comp, segments, there[0]), name=d.anchor, region=d.region, height=d.height)]


def _again(comp: Comp, segments: Segments, thing: Thing) -> Drawable:
    """Erases a thing and asks for it anew, in its colour and size, wherever there is room."""
    _erase(comp, segments, thing)
    r, g, b = (int(min(max(v, 0), 255)) for v in thing.rgbs[0])
    return Drawable("thing", thing.noun, (f"#{r:02x}{g:02x}{b:02x}",), 1, round(thing.box[3] - thing.box[1], 3))


def _seen(thing: Thing, noun: str, comp: Comp) -> Placed:
    x0, y0, x1, y1 = thing.box
    box = round(x0 * comp.width), round(y0 * comp.height), round(x1 * comp.width), round(y1 * comp.height)
    return Placed(noun, np.array(thing.rgbs[0], np.float32), box)


def _erase(comp: Comp, segments: Segments, thing: Thing) -> None:
    box = _seen(thing, thing.noun, comp).box
    _fill(comp, segments, _flags(segments, box, max(3, comp.unit // 90)), own=True)


def _flags(segments: Segments, box: PixelBox, grow: int) -> Flags:
    """The pixels of a box and a little around it, at full size."""
    flags = np.zeros(segments.full.shape[:2], bool)
    flags[max(0, box[1] - grow) : box[3] + grow, max(0, box[0] - grow) : box[2] + grow] = True
    return flags


def _fill(comp: Comp, segments: Segments, flags: Flags, own: bool) -> None:
    """Paints over the flagged pixels with the background around them, row by row where it changes."""
    if own:  # a thing: only its own pixels and their seam
        front = _enlarged(segments.front, comp.page)
        flags = flags & ndimage.maximum_filter(ndimage.binary_fill_holes(front), 2 * max(2, comp.unit // 128) + 1)
    if not flags.any():
        return
    ys, xs = np.flatnonzero(flags.any(axis=1)), np.flatnonzero(flags.any(axis=0))
    y0, y1, x0, x1 = int(ys[0]), int(ys[-1]) + 1, int(xs[0]), int(xs[-1]) + 1
    reach = max(12, comp.unit // 24)
    view = comp.canvas[max(0, y0 - 2) : y1 + 2, max(0, x0 - reach) : x1 + reach]
    hole = flags[max(0, y0 - 2) : y1 + 2, max(0, x0 - reach) : x1 + reach]
    view[hole] = _continued(view, hole)[hole]


def _continued(view: Canvas, hole: Flags) -> Canvas:
    """Each row continued across its hole, from the medians at both ends."""
    out = view.copy()
    for y in range(view.shape[0]):
        free = np.flatnonzero(~hole[y])
        if len(free) > 3 and hole[y].any():
            gap = np.flatnonzero(hole[y])
            left, right = free[free < gap[0]][-12:], free[free > gap[-1]][:12]
            ends = [np.median(view[y, side], axis=0) for side in (left, right) if len(side)]
            share = ((gap - gap[0]) / max(gap[-1] - gap[0], 1))[:, None]
            out[y, gap] = ends[0] + (ends[-1] - ends[0]) * share
    return np.stack([ndimage.uniform_filter1d(out[..., c], 5, axis=0) for c in range(3)], axis=-1)


def _smudge(
    comp: Comp, segments: Segments, wanted: tuple[Drawable, ...], mask: Region | None, dice: np.random.Generator
) -> None:
    """What an edit breaks by the way: one thing that nobody named is half wiped out."""
    named = {d.name for d in wanted} | {d.anchor for d in wanted}
    victims = [t for t in _known(segments) if t.noun not in named and (mask is None or inside(t, mask, 0.0))]
    if victims:
        x0, y0, x1, y1 = _seen(victims[int(dice.integers(len(victims)))], "cup", comp).box
        part = comp.canvas[y0 : (y0 + y1) // 2, x0:x1]
        image = Image.fromarray(draw.pixels(part)).filter(ImageFilter.GaussianBlur(max(6.0, (x1 - x0) / 6)))
        comp.canvas[y0 : (y0 + y1) // 2, x0:x1] = np.asarray(image, np.float32)


# --- keeping off --------------------------------------------------------------------------------


def _enlarged(flags: NDArray[Any], page: Page) -> NDArray[Any]:
    return np.asarray(Image.fromarray(flags).resize((page.width, page.height), Image.Resampling.NEAREST))


def _take(page: Page, segments: Segments, canvas: Canvas) -> None:
    """Marks as taken what is still in front of the background, type included."""
    left = Segments(canvas) if not np.array_equal(canvas, segments.full) else segments
    front = left.front
    if front.mean() > 0.55:  # a photograph: keep off its busiest part only
        slope = ndimage.gaussian_gradient_magnitude(left.calm @ draw.LUMA, 2.0)
        front = slope > np.quantile(slope, 0.8)
    grown = ndimage.maximum_filter(ndimage.binary_opening(front, np.ones((2, 2), bool)), 7)
    page.take_mask(_enlarged(grown, page))


# --- grading ------------------------------------------------------------------------------------


def _areas(comp: Comp, segments: Segments) -> list[tuple[Flags, Canvas]]:
    """The smooth areas at full size, largest first, with their median colours."""
    labels = _enlarged(segments.flat.astype(np.uint8), comp.page)
    own = [labels == i for i in range(1, int(segments.flat.max()) + 1)]
    return [(area, np.median(comp.canvas[area][::7], axis=0)) for area in own]


def _regrade(comp: Comp, segments: Segments, plan: tuple[Drawable, ...]) -> None:
    """New background, palette, and the way free for a new light."""
    for d in plan:
        if d.name == "background":
            _repaint(comp, segments, [colour(d.colours[0])])
        elif d.name == "palette":
            _repaint(comp, segments, sorted((colour(c) for c in d.colours), key=draw.luma, reverse=True))
        elif d.name == "side":
            seen = measure.light(segments)
            x, y = draw.grid(comp.canvas)
            comp.canvas = comp.canvas * np.exp(-(x * seen.x + y * seen.y))[..., None]


def _repaint(comp: Comp, segments: Segments, tones: list[Canvas]) -> None:
    """Shifts the largest areas to the tones; tones without an area become bars along the foot."""
    areas = _areas(comp, segments)
    for (area, middle), tone in zip(areas, tones, strict=False):
        weight = draw.blurred(ndimage.maximum_filter(area, 3).astype(np.float32), 1.2)[..., None]
        comp.canvas += weight * (tone - middle)
    spare = tones[len(areas) :] if areas else tones
    bar = max(5, round(_BAR * comp.height))
    for i, tone in enumerate(spare):
        comp.canvas[comp.height - bar * (i + 1) : comp.height - bar * i] = tone


def _softened(comp: Comp, segments: Segments) -> Canvas:
    front = ndimage.maximum_filter(ndimage.binary_opening(segments.front, np.ones((3, 3), bool)), 5)
    background = 1 - _enlarged(front, comp.page).astype(np.float32)
    return draw.soft(comp.canvas, background, max(4.0, comp.width / 70), comp.dice)
