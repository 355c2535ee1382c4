"""One comp while it is drawn: scenery, placement, then light, things, effects and type in that order."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from director.types import Region
from worker.sketch import draw, glyphs, typeset
from worker.sketch.draw import Canvas, Colour, PixelBox, colour
from worker.sketch.glyphs import Mask
from worker.sketch.language import Drawable
from worker.sketch.layout import CLEAR, Page, middle
from worker.sketch.lexicon import nouns

GROUND = 0.74
"""Height of the line where wall and ground meet."""

_SCHEMES = (
    "#f1e4cb #c98a5b #7a3b22 #2b1a14",
    "#e9ecdf #8fae9a #2f5d55 #1b2b2a",
    "#f6e7d8 #e3a587 #a9483a #3a1d24",
    "#dfe9ee #88a9be #2c5676 #16283a",
    "#f4eedd #d9b65f #8a6a1f #2d2a1c",
    "#efe3ea #c495ac #74406a #2c1a33",
    "#e6e6e1 #a8a79a #57584f #222420",
    "#f7ead2 #86b0a6 #d0693f #24343a",
)
"""Wall, ground and two accents."""
_INK, _PAPER = "#17131a", "#fffaf0"
"""What a ground is mixed from where no palette states its colour."""


@dataclass
class Placed:
    """A thing on the page: what it is, in which colour, and its box in pixels."""

    noun: str
    rgb: Colour
    box: PixelBox


@dataclass
class Comp:
    """Mutable: the canvas, what the page still has free, and what has been placed."""

    canvas: Canvas
    page: Page
    dice: np.random.Generator
    display: str = "Oswald-SemiBold"
    accent: tuple[Colour, ...] = ()
    things: list[Placed] = field(default_factory=list[Placed])
    type: list[tuple[Drawable, typeset.Block, PixelBox]] = field(
        default_factory=list[tuple[Drawable, typeset.Block, PixelBox]]
    )
    seams: tuple[float, ...] = ()
    """Heights at which one background gives way to another."""
    kept: Mask | None = None
    """Where an edit must not sprinkle: on what was there before."""

    @property
    def height(self) -> int:
        return self.canvas.shape[0]

    @property
    def width(self) -> int:
        return self.canvas.shape[1]

    @property
    def unit(self) -> int:
        return min(self.width, self.height)

    def open_area(self, gap: float) -> Mask:
        """1 where neither thing nor type stands, at a distance of `gap` shorter sides; 0 elsewhere."""
        area = np.ones(self.canvas.shape[:2], np.float32) if self.kept is None else 1 - self.kept
        reach = round(gap * self.unit)
        for box in [t.box for t in self.things] + [box for *_, box in self.type]:
            area[max(0, box[1] - reach) : box[3] + reach, max(0, box[0] - reach) : box[2] + reach] = 0
        return area


def scenery(width: int, height: int, wanted: tuple[Drawable, ...], dice: np.random.Generator) -> Comp:
    """An empty room: a wall, a ground and, in richer palettes, a hill and a strip, in the stated colours."""
    wall, ground, accents, extra = _room_tones(wanted, dice)
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = wall * np.linspace(1.02, 0.97, height, dtype=np.float32)[:, None, None]
    if len(extra) > 1:
        x, y = np.linspace(0, 1, width)[None], np.linspace(0, 1, height)[:, None]
        canvas[y > GROUND - 0.035 - 0.05 * np.sin(2.6 * x + 0.5)] = extra[1]
    canvas[int(GROUND * height) :] = ground
    seams: tuple[float, ...] = (GROUND,)
    if extra:
        strip = max(6, round(0.035 * height))
        canvas[height - strip :] = extra[0]
        seams = (GROUND, 1 - strip / height)
    display = ("Oswald-SemiBold", "SketchSerif-Bold")[int(dice.integers(2))]
    return Comp(canvas, Page(width, height, margin=margin(wanted)), dice, display, accents, seams=seams)


def _room_tones(
    wanted: tuple[Drawable, ...], dice: np.random.Generator
) -> tuple[Colour, Colour, tuple[Colour, ...], list[Colour]]:
    """Wall, ground, accents for type, and what a stated palette has left for a strip and a hill."""
    first, second, *accents = (colour(tone) for tone in _SCHEMES[int(dice.integers(len(_SCHEMES)))].split())
    wall, ground = first, draw.mix(second, first, 0.35)
    extra: list[Colour] = []
    palette = _stated(wanted, "palette")
    if palette:
        dark = any(d.name == "dark" for d in wanted)
        wall, *accents = sorted((colour(name) for name in palette), key=draw.luma, reverse=not dark)
        ground = accents[0] if accents else draw.mix(wall, colour(_PAPER if dark else _INK), 0.3)
        extra = accents[1:]
        accents = accents or [draw.mix(wall, colour(_INK), 0.55)]
    if back := _stated(wanted, "background"):
        wall = colour(back[0])
        ground = ground if palette else draw.mix(wall, colour(_INK if draw.luma(wall) > 90 else _PAPER), 0.26)
    return wall, ground, tuple(accents), extra


def _stated(wanted: tuple[Drawable, ...], name: str) -> tuple[str, ...]:
    """The colours of the first rule of that name that has any."""
    return next((d.colours for d in wanted if d.name == name and d.colours), ())


def margin(wanted: tuple[Drawable, ...]) -> float:
    """What things keep off the edge, as a share of the shorter side."""
    names = {d.name for d in wanted}
    return 0.125 if "margins" in names else 0.075 if "frame" in names else 0.045


def place(comp: Comp, wanted: tuple[Drawable, ...], ink: Colour | None = None) -> None:
    """Give every thing and string of `wanted` its box."""
    rules = {d.name: d for d in wanted if d.kind == "layout" and d.name != "place"}
    texts = [d for d in wanted if d.kind == "text"]
    free = [d for d in texts if not d.anchor]
    for i, text in enumerate(free):
        _place_text(comp, text, i, len(free))
    if "clear" in rules:
        area, (wide, tall) = rules["clear"].region or CLEAR, (comp.width, comp.height)
        comp.page.take((int(area.x0 * wide), int(area.y0 * tall), int(area.x1 * wide), int(area.y1 * tall)))
    _place_all_things(comp, _things(wanted), rules)
    for text in texts:
        if text.anchor:
            _place_text(comp, text, 1, 3)


def _things(wanted: tuple[Drawable, ...]) -> list[Drawable]:
    """The things of `wanted`, in the colour, place and size that its other rules give them."""
    spots = {d.anchor: d for d in wanted if d.name == "place"}
    tints = {d.anchor: d.colours for d in wanted if d.kind == "colour" and d.name == "of"}
    things = [replace(d, colours=tints.get(d.name, d.colours)) for d in wanted if d.kind == "thing"]
    return [_moved(thing, spots.get(thing.name)) for thing in things]


def _moved(thing: Drawable, spot: Drawable | None) -> Drawable:
    return replace(thing, region=spot.region or thing.region, height=spot.height or thing.height) if spot else thing


def _place_all_things(comp: Comp, things: list[Drawable], rules: dict[str, Drawable]) -> None:
    """Those with a place of their own first; all of them smaller where they would crowd the page."""
    ordered = sorted(things, key=lambda d: (bool(d.anchor), d.region is None, -_tall(comp, d, 1.0)))
    sizes = [_tall(comp, d, 1.0) ** 2 * glyphs.aspect(d.name) * (d.count or 3) for d in things]
    room = 0.26 * comp.width * comp.height
    crowd = min(1.0, (room / max(sum(sizes), 1)) ** 0.5)
    fixed = _mirrored(ordered) if "symmetry" in rules else _along(ordered) if "diagonal" in rules else {}
    for i, thing in enumerate(ordered):
        if i in fixed:
            (x, y), smaller = fixed[i], crowd * (0.8 if len(ordered) > 4 else 0.95)
            near = Region(x0=max(0, x - 0.03), y0=max(0, y - 0.07), x1=min(1, x + 0.03), y1=min(1, y + 0.07))
            single = replace(thing, region=near if thing.count == 1 else None, anchor="")
            _place_things(comp, single, smaller, (x * comp.width, y * comp.height), fixed=True)
        else:
            _place_things(comp, thing, crowd, _wish(comp, thing, i, rules))


def _mirrored(things: list[Drawable]) -> dict[int, tuple[float, float]]:
    """Centres for a symmetrical comp: several of one kind in a row of their own, single things in pairs."""
    groups = [i for i, d in enumerate(things) if d.count != 1]
    singles = [i for i, d in enumerate(things) if d.count == 1]
    rows: list[list[int]] = [[i] for i in groups]
    if len(singles) % 2:
        rows.append([singles.pop(0)])
    rows += [singles[k : k + 2] for k in range(0, len(singles), 2)]
    spots: dict[int, tuple[float, float]] = {}
    for n, row in enumerate(rows):
        y = 0.27 + 0.5 * (n + 0.5) / len(rows)
        for i, x in zip(row, (0.5,) if len(row) == 1 else (0.28, 0.72), strict=True):
            spots[i] = x, y
    return spots


def _along(things: list[Drawable]) -> dict[int, tuple[float, float]]:
    """Centres along the rising diagonal."""
    n = len(things)
    return {i: (0.14 + 0.72 * (i + 0.5) / n, 0.8 - 0.52 * (i + 0.5) / n) for i in range(n)}


# --- type ---------------------------------------------------------------------------------------

_TALL = {"headline": 0.1, "line": 0.05, "small": 0.04}


def _place_text(comp: Comp, text: Drawable, index: int, count: int) -> None:
    region = text.region
    anchor = next((t for t in comp.things if t.noun == text.anchor), None)
    share = region.x1 - region.x0 if region else 1.0
    across = share * comp.width - (0.05 * comp.unit if share < 1 else 0)
    width = min(across, comp.width - 2 * (comp.page.limits[0] + 0.02 * comp.unit))
    if anchor:
        width = min(width, max(0.34 * comp.width, (anchor.box[2] - anchor.box[0]) * 1.6))
    role = typeset.role(text)
    width *= {"headline": 1.0, "line": 0.8, "small": 0.66}[role]
    for shrink in (1.0, 0.85, 0.7, 0.55, 0.42):
        face, tall = typeset.face(text, comp.display), _TALL[role] * comp.height * shrink
        block = typeset.block(text.string, face, width * max(shrink, 0.7), tall)
        pad = block.px * 0.75 if "tag" in text.style else 0
        size = (block.width + 2 * pad, block.height + 2 * pad)
        if anchor:
            wish = _beside(comp, anchor.box, text.relation or "below", size)
        else:
            wish = _line_wish(comp, region, index, count, size)
        if box := _off_seams(comp).find(size, wish, None if anchor else region, (1, 4)):
            comp.page.take(box, 0.03 * comp.unit)
            comp.type.append((text, block, box))
            return
    if region and (text.region or anchor):
        _place_text(comp, replace(text, region=None, anchor=""), index, count)


def _off_seams(comp: Comp) -> Page:
    """The page without the rows where two backgrounds meet: type must not straddle them."""
    page = comp.page.copy()
    for y in comp.seams:
        page.take((0, round(y * comp.height) - 4, comp.width, round(y * comp.height) + 4))
    return page


def _line_wish(
    comp: Comp, region: Region | None, index: int, count: int, size: tuple[float, float]
) -> tuple[float, float]:
    """Towards the outer edge of the region; without one: first lines on top, the last at the foot."""
    x0, y0, x1, y1 = comp.page.limits
    if region is None:
        return comp.width / 2, y1 if count > 1 and index == count - 1 else y0 + 0.02 * comp.height
    x, y = middle(region)[0] * comp.width, middle(region)[1] * comp.height
    if region.x1 - region.x0 < 0.6:
        x = x0 + size[0] / 2 if region.x0 == 0 else x1 - size[0] / 2 if region.x1 == 1 else x
    return x, y0 if region.y0 == 0 and region.y1 < 0.6 else y1 if region.y1 == 1 and region.y0 > 0.4 else y


# --- things -------------------------------------------------------------------------------------


def _tall(comp: Comp, thing: Drawable, crowd: float) -> float:
    """Height in pixels of one thing of this kind."""
    scale, ratio = nouns()[thing.name].scale, glyphs.aspect(thing.name)
    if thing.height and thing.height not in (0.085, 0.115, 0.3, 0.4):
        return thing.height * comp.height
    share = thing.height or min(0.3, 0.165 * scale)
    tall = share * comp.unit * (crowd if not thing.height or thing.height > 0.2 else 1)
    return max(0.085 * comp.unit, tall / max(1, ratio) ** 0.5)


def _wish(comp: Comp, thing: Drawable, index: int, rules: dict[str, Drawable]) -> tuple[float, float]:
    """Where this thing would like its centre."""
    place = nouns()[thing.name].place
    x = (0.5, 0.22, 0.78, 0.36, 0.64, 0.14, 0.86)[index % 7] * comp.width
    y = {"sky": 0.27, "hang": 0.12, "any": 0.86, "over": 0.4}.get(place, GROUND + 0.03) * comp.height
    if "third" in rules and index == 0:
        x = comp.width / 3 if comp.dice.random() < 0.5 else comp.width * 2 / 3
    if thing.region:
        x = middle(thing.region)[0] * comp.width
        low, high = thing.region.y0 * comp.height, thing.region.y1 * comp.height
        y = min(max(y, low + 0.3 * (high - low)), low + 0.7 * (high - low))
    return x + comp.dice.uniform(-0.02, 0.02) * comp.width, y


def _place_things(comp: Comp, thing: Drawable, crowd: float, wish: tuple[float, float], fixed: bool = False) -> None:
    count = thing.count or (3 if thing.region is None or thing.region.area < 0.3 else 4)
    anchor = next((t for t in comp.things if t.noun == thing.anchor), None)
    for shrink in (1.0, 0.85, 0.7, 0.58, 0.48, 0.4):
        page = comp.page.copy()
        tall = max(_tall(comp, thing, crowd) * shrink, 0.06 * comp.unit)
        size = tall * glyphs.aspect(thing.name), tall
        boxes = _boxes(comp, page, thing, anchor, size, count, wish, fixed)
        if not boxes or (anchor and shrink > 0.5 and _strays(comp, boxes[0], anchor.box)):
            continue  # smaller, but beside what it belongs to
        comp.page = page
        comp.things += [Placed(thing.name, _tone(comp, thing, i), box) for i, box in enumerate(boxes)]
        return
    if thing.region or anchor:
        _place_things(comp, replace(thing, region=None, anchor=""), crowd, wish, fixed)


def _strays(comp: Comp, box: PixelBox, anchor: PixelBox) -> bool:
    """Whether a box lies further from its anchor than an eighth of the picture."""
    x = max(anchor[0] - box[2], box[0] - anchor[2], 0)
    y = max(anchor[1] - box[3], box[1] - anchor[3], 0)
    foot = abs(box[3] - anchor[3]) if x else 0
    return max(x, y) > comp.unit / 8 or foot > comp.unit / 5


def _boxes(
    comp: Comp,
    page: Page,
    thing: Drawable,
    anchor: Placed | None,
    size: tuple[float, float],
    count: int,
    wish: tuple[float, float],
    fixed: bool,
) -> list[PixelBox]:
    """Free boxes for all of `count`, side by side around the wish; empty when they don't fit."""
    boxes: list[PixelBox] = []
    loose = nouns()[thing.name].place in ("any", "sky") and not fixed
    region = thing.region
    if anchor:
        wish = _beside(comp, anchor.box, thing.relation, (size[0] * count, size[1]))
        region = region or _side(comp, anchor.box, thing.relation)
    for i in range(count):
        shift = (i - (count - 1) / 2) * size[0] * (1.35 if loose else 1.2)
        lift = size[1] * (0.35 if i % 2 else -0.1) if loose and count > 1 else 0
        grounded = nouns()[thing.name].place == "ground" and not anchor and not fixed
        at = wish[0] + shift, wish[1] + lift - (size[1] * 0.38 if grounded and not thing.region else 0)
        box = page.find(size, at, region, (1, 3) if grounded else (1, 1.5))
        if box is None:
            return []
        page.take(box, 0.03 * comp.unit)
        boxes.append(box)
    return boxes


def _beside(comp: Comp, box: PixelBox, relation: str, size: tuple[float, float]) -> tuple[float, float]:
    """The centre that touches `box` on the stated side, with a little air."""
    x, air = (box[0] + box[2]) / 2, 0.03 * comp.unit
    foot = box[3] - size[1] / 2
    left, right = (box[0] - air - size[0] / 2, foot), (box[2] + air + size[0] / 2, foot)
    spots = {
        "left": left,
        "right": right,
        "above": (x, box[1] - air - size[1] / 2),
        "on": (x, box[1] - 0.012 * comp.unit - size[1] / 2),
        "below": (x, box[3] + air + size[1] / 2),
    }
    return spots.get(relation, right if x < comp.width / 2 else left)


def _side(comp: Comp, box: PixelBox, relation: str) -> Region | None:
    """Where a centre must be to count as left of, right of, above or below the box."""
    left, right = max(box[0] / comp.width, 0.02), min(box[2] / comp.width, 0.98)
    top, bottom = max(box[1] / comp.height, 0.02), min(box[3] / comp.height, 0.98)
    sides = {
        "left": (0, 0, left, 1),
        "right": (right, 0, 1, 1),
        "above": (0, 0, 1, top),
        "on": (0, 0, 1, top),
        "below": (0, bottom, 1, 1),
    }
    if relation not in sides:
        return None
    x0, y0, x1, y1 = sides[relation]
    return Region(x0=x0, y0=y0, x1=x1, y1=y1)


def _tone(comp: Comp, thing: Drawable, index: int) -> Colour:
    if thing.colours:
        return colour(thing.colours[index % len(thing.colours)])
    if thing.name == "steam" and draw.luma(np.median(comp.canvas[::9, ::9].reshape(-1, 3), axis=0)) > 150:
        return colour("#8794a0")
    return colour(nouns()[thing.name].colour)


# --- drawing ------------------------------------------------------------------------------------


def paint_things(comp: Comp) -> None:
    for thing in comp.things:
        draw.stamp(comp.canvas, thing.noun, thing.rgb, thing.box, nouns()[thing.noun].place == "ground")


def paint_type(comp: Comp) -> None:
    for text, block, box in comp.type:
        tagged = "tag" in text.style
        if tagged:
            _tag(comp, box, block.px)
        rgb = _ink(comp, text, box)
        for words, x, y in set_lines(text, block, box):
            draw.blend(comp.canvas, glyphs.line(words, block.face, block.px), rgb, x, y)


def set_lines(text: Drawable, block: typeset.Block, box: PixelBox) -> Iterator[tuple[str, int, int]]:
    """Each line of a block with its top left corner in pixels."""
    pad = (box[3] - box[1] - block.height) // 2
    left = text.region is not None and text.region.x0 == 0 and text.region.x1 < 0.6
    right = text.region is not None and text.region.x1 == 1 and text.region.x0 > 0.4
    for i, words in enumerate(block.lines):
        wide = glyphs.line(words, block.face, block.px).shape[1]
        x = box[0] + pad if left else box[2] - pad - wide if right else (box[0] + box[2] - wide) // 2
        # lines share a baseline grid; a line without descenders is shorter, so it hangs from its top
        yield words, x, box[1] + pad + i * block.pitch + _drop(words, block)


def _ink(comp: Comp, text: Drawable, box: PixelBox) -> Colour:
    """The stated colour; else the darkest accent, or paper where that could not be read."""
    if text.colours and "tag" not in text.style:
        return draw.contrasting(comp.canvas, box, colour(text.colours[0]))
    ink = comp.accent[-1] if comp.accent and "tag" not in text.style else colour("#241c1a")
    readable = draw.contrasting(comp.canvas, box, ink)
    return ink if readable is ink else draw.contrasting(comp.canvas, box, colour("#fffaf0"))


def _drop(words: str, block: typeset.Block) -> int:
    """How far below the tallest line's top this line's ink begins."""
    font = glyphs.font(block.face, block.px)
    return int(font.getbbox(words)[1] - min(font.getbbox(line)[1] for line in block.lines))


def _tag(comp: Comp, box: PixelBox, px: int) -> None:
    """A paper label with soft corners under a line of type."""
    x0, y0, x1, y1 = box
    mask = np.zeros((y1 - y0 + 8, x1 - x0 + 8), np.float32)
    mask[4:-4, 4:-4] = 1
    mask = np.clip(draw.blurred(mask, max(1.5, px * 0.12)) * 3 - 1, 0, 1)
    around = draw.luma(np.median(comp.canvas[y0:y1:2, x0:x1:2].reshape(-1, 3), axis=0))
    draw.blend(comp.canvas, draw.blurred(mask, 3), colour("black"), x0 - 3, y0 - 1, 0.25)
    draw.blend(comp.canvas, mask, colour("#fffdf6" if around < 225 else "#f0dfb8"), x0 - 4, y0 - 4)
