"""One check for each kind of drawable: from a picture's segments to how true it is, and what was seen."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from director.types import Region
from worker.sketch import draw, glyphs, measure, typeset
from worker.sketch.language import Drawable
from worker.sketch.layout import CLEAR, holds, middle
from worker.sketch.lexicon import nouns
from worker.sketch.read_text import Reading, read
from worker.sketch.segment import Segments, Thing, of_picture
from worker.sketch.silhouette import as_thing, likeliest, repeats, sought, stamp


class Finding(NamedTuple):
    """`truth` is the probability that it is there as asked; None when there is no check for it."""

    truth: float | None
    seen: str


def check(segments: Segments, wanted: Drawable) -> Finding:
    """What the pixels say of one drawable."""
    if wanted.verb == "remove":
        return _gone(segments, wanted)
    one = _CHECKS.get(f"{wanted.kind}:{wanted.name}") or _CHECKS.get(wanted.kind)
    return one(segments, wanted) if one else Finding(None, f"no check for {wanted.name}")


def _gone(segments: Segments, wanted: Drawable) -> Finding:
    """`truth` is the probability that it is not there."""
    if wanted.kind == "text":
        return _unwritten(segments, wanted)
    if wanted.kind == "thing":
        return _away(segments, wanted)
    truth, seen = check(segments, replace(wanted, verb="add"))
    return Finding(None if truth is None else 1 - truth, seen)


def _away(segments: Segments, wanted: Drawable) -> Finding:
    """What is half like it is not known to be away."""
    stamps = [stamp(segments, thing.box, wanted.name) for thing in found(segments, wanted.name, wanted.colours)]
    if not any(one.whole for one in stamps):
        stamps += likeliest(segments, wanted.name)
    meant = [(one.fine, t) for one in stamps if is_meant(t := as_thing(segments, one, wanted.name), wanted)]
    there = [thing for fine, thing in meant if fine >= LEFT]
    number = sum(not any(_same(thing, other) for other in there[:i]) for i, thing in enumerate(there))
    if there:
        return Finding(0.04, f"{number} {_label(wanted)} left")
    half = any(fine >= MAYBE_LEFT for fine, _ in meant)
    return Finding(None if half else 0.96, f"{'something like' if half else '0'} {_label(wanted)} left")


LEFT, MAYBE_LEFT = 0.66, 0.6
"""How fine something is that was ruled out and still stands there, and what may be it. Of 390 things that stood there
one was less fine than the second; of 206 that did not, nineteen in twenty found nothing as fine."""


def is_meant(thing: Thing, wanted: Drawable) -> bool:
    """Whether a thing is of a colour and in a place that are spoken of."""
    tinted = not wanted.colours or any(tinted_as(thing, colour) for colour in wanted.colours)
    return tinted and (wanted.region is None or inside(thing, wanted.region))


def _unwritten(segments: Segments, wanted: Drawable) -> Finding:
    if not glyphs.settable(wanted.string):
        return Finding(None, "letters that the sketch has no template for")
    text, _, box = read(segments, wanted.string, wanted.region)
    if not text:
        return Finding(0.95, f"'{wanted.string}' is nowhere to be read"[:200])
    seen = f"read '{text}' at the {third(segments, box)}"
    if text != " ".join(wanted.string.split()):
        return Finding(None, f"{seen}, too like '{wanted.string}' to be sure"[:280])
    return Finding(0.05, seen[:280])


def _label(wanted: Drawable) -> str:
    return f"{' or '.join(wanted.colours)} {wanted.name.replace('_', ' ')}".strip()


def _sure(value: float, least: float, width: float) -> float:
    """A probability: 0.5 where `value` is at `least`, near 0 or 1 once `width` away from it."""
    return float(1 / (1 + np.exp(-4.5 * (value - least) / width)))


# --- things -------------------------------------------------------------------------------------

LIKE = 0.42


def found(segments: Segments, noun: str, colours: tuple[str, ...] = ()) -> list[Thing]:
    """The things that pass for a noun; what touches others may stand out by its stated `colours`, or the noun's own."""
    there = [thing for thing in segments.things if thing.like(noun) >= LIKE]
    for name in colours or (() if there else (nouns()[noun].colour,)):
        more = [thing for thing in _of_colour(segments, name) if thing.like(noun) >= LIKE]
        there += [new for new in more if not any(_same(new, old) for old in there)]
    return there


@of_picture
def _of_colour(segments: Segments, name: str) -> list[Thing]:
    return segments.coloured(measure.everywhere(segments, name))


def _same(one: Thing, other: Thing) -> bool:
    """Whether the middle of either lies on the other."""
    return any(
        a.box[0] <= b.centre[0] <= a.box[2] and a.box[1] <= b.centre[1] <= a.box[3]
        for a, b in ((one, other), (other, one))
    )


def _thing(segments: Segments, wanted: Drawable) -> Finding:
    there, label = found(segments, wanted.name), _label(wanted)
    whole, tinted, placed = _as_asked(segments, wanted, there)
    if len(placed) < max(wanted.count, 1):
        there = found(segments, wanted.name, wanted.colours or (nouns()[wanted.name].colour,))
        there += [new for new in sought(segments, wanted.name) if not any(_same(new, old) for old in there)]
        whole, tinted, placed = _as_asked(segments, wanted, there)
    if there and not whole:
        broken = all(stamp(segments, t.box, wanted.name).broken for t in there)
        return Finding(0.06 if broken else 0.5, f"something like {label}, but not whole")
    if whole and not tinted:
        return Finding(0.05, f"{wanted.name.replace('_', ' ')} found, but not {' or '.join(wanted.colours)}")
    return _counted(segments, wanted, placed, anywhere=bool(tinted))


def _counted(segments: Segments, wanted: Drawable, placed: list[Thing], anywhere: bool) -> Finding:
    """Whether there are as many as asked. `anywhere`: some are of the right colour, wherever they stand."""
    number, label = len(placed), _label(wanted)
    if anywhere and wanted.anchor and wanted.relation and not anchors_for(segments, wanted.anchor):
        return Finding(None, f"found {label}, but no {wanted.anchor.replace('_', ' ')} to judge its place by")
    if wanted.count == 0:
        return Finding(0.95 if number >= 2 else 0.06, f"found {number} {label}")
    if wanted.count == 1 and not _too_many(wanted, number):
        instead = f"found {label}, but not where or as large as asked" if anywhere else f"no {label} found"
        return Finding(0.95 if placed else 0.05, f"found {label}" if placed else instead)
    if number == wanted.count:
        number += repeats(segments, [stamp(segments, t.box, wanted.name) for t in placed], wanted.name)
    return Finding(0.95 if number == wanted.count else 0.05, f"found {number} of {wanted.count} {label}")


def _too_many(wanted: Drawable, number: int) -> bool:
    return wanted.alone and number > 1


def _as_asked(segments: Segments, wanted: Drawable, there: list[Thing]) -> tuple[list[Thing], list[Thing], list[Thing]]:
    """The whole ones; of them those of the right colour; and of those the ones in the right place and size."""
    whole = [t for t in there if stamp(segments, t.box, wanted.name).whole]
    tinted = [t for t in whole if not wanted.colours or _coloured_as(segments, t, wanted)]
    anchors = anchors_for(segments, wanted.anchor) if wanted.anchor and wanted.relation in _RELATED else []
    return whole, tinted, [t for t in tinted if _is_placed(segments, wanted, t, anchors)]


def _whole(segments: Segments, noun: str, colours: tuple[str, ...] = ()) -> list[Thing]:
    """Those of a noun that are whole, looked for everywhere when no segment shows one."""
    there = [thing for thing in found(segments, noun, colours) if stamp(segments, thing.box, noun).whole]
    return there or list(sought(segments, noun))


def anchors_for(segments: Segments, noun: str) -> list[Thing]:
    """What a place may be stated by: hardly looked at, since only where it stands matters."""
    there = found(segments, noun)
    return there or [as_thing(segments, one, noun) for one in likeliest(segments, noun) if one.fine >= LEFT]


def _coloured_as(segments: Segments, thing: Thing, wanted: Drawable) -> bool:
    """Whether the fill of a thing passes for one of the colours, and its lines have no other hue."""
    one = stamp(segments, thing.box, wanted.name)
    return any(close(one.fill, name) and measure.agrees(one.line, name) for name in wanted.colours)


def _is_placed(segments: Segments, wanted: Drawable, thing: Thing, anchors: list[Thing]) -> bool:
    """Whether a thing stands where it was asked for, in the size that was asked for."""
    if wanted.region and not inside(thing, wanted.region):
        return False
    if anchors and not any(_RELATED[wanted.relation](thing, anchor) for anchor in anchors):
        return False
    return not (wanted.height and wanted.height > 0.2) or _tall(segments, thing, wanted.height)


_RELATED: dict[str, Callable[[Thing, Thing], bool]] = {
    "left": lambda t, a: t.centre[0] < a.centre[0] - 0.02,
    "right": lambda t, a: t.centre[0] > a.centre[0] + 0.02,
    "above": lambda t, a: t.centre[1] < a.centre[1] - 0.02,
    "on": lambda t, a: t.centre[1] < a.centre[1],
    "below": lambda t, a: t.centre[1] > a.centre[1] + 0.02,
}


def inside(thing: Thing, region: Region, slack: float = 0.04) -> bool:
    return holds(region, *thing.centre, slack)


def _tall(segments: Segments, thing: Thing, height: float) -> bool:
    """Stated heights within a third; "large" is what stands out."""
    if height in (0.3, 0.4):
        return thing.span > 0.12
    return 0.66 < (thing.box[3] - thing.box[1]) / height < 1.4


def tinted_as(thing: Thing, name: str) -> bool:
    return any(close(rgb, name) for rgb in thing.rgbs)


def close(rgb: tuple[float, float, float], name: str, slack: float = 0.32) -> bool:
    """Whether a colour as seen, under light and grading, passes for the named one."""
    return bool(measure.near(np.array([rgb], np.float32), name, slack)[0])


# --- type ---------------------------------------------------------------------------------------


def _text(segments: Segments, wanted: Drawable) -> Finding:
    if not glyphs.settable(wanted.string):
        return Finding(None, "letters that the sketch has no template for")
    text, sure, (x0, y0, x1, y1) = written(segments, wanted)
    if not text:
        return Finding(0.05, f"'{wanted.string}' is nowhere to be read"[:200])
    height, width = segments.full.shape[:2]
    x, y = (x0 + x1) / 2 / width, (y0 + y1) / 2 / height
    seen = f"read '{text}' at the {third(segments, (x0, y0, x1, y1))}"
    if text != " ".join(wanted.string.split()):
        return Finding(0.06, seen[:280])
    if wanted.region and not holds(wanted.region, x, y, 0.06):
        return Finding(0.1, f"{seen}, not where it was asked for"[:280])
    return Finding(0.96, seen[:280]) if sure else Finding(0.5, f"{seen}, but not clearly"[:280])


def written(segments: Segments, wanted: Drawable) -> Reading:
    """What stands where a string was asked for, and in which box."""
    faces = (typeset.face(wanted, display) for display in ("Oswald-SemiBold", "SketchSerif-Bold"))
    return read(segments, wanted.string, wanted.region, faces)


def third(segments: Segments, box: draw.PixelBox) -> str:
    """The third of the picture, in words, in which a line stands."""
    middle = (box[1] + box[3]) / 2 / segments.full.shape[0]
    return "top" if middle < 0.36 else "bottom" if middle > 0.64 else "middle"


# --- colour -------------------------------------------------------------------------------------


def _of(segments: Segments, wanted: Drawable) -> Finding:
    there, name = _whole(segments, wanted.anchor, wanted.colours), wanted.anchor.replace("_", " ")
    if not there:
        return Finding(0.1, f"no {name} found")
    right = [t for t in there if tinted_as(t, wanted.colours[0])]
    return Finding(0.95 if right else 0.05, f"{name} is {'' if right else 'not '}{wanted.colours[0]}")


def _palette(segments: Segments, wanted: Drawable) -> Finding:
    shares = measure.shares(segments, wanted.colours)
    absent = [name for name, share in zip(wanted.colours, shares, strict=True) if share < 0.012]
    if absent:
        return Finding(0.06, f"hardly any {' or '.join(absent)}")
    cover = f"{' and '.join(wanted.colours)} cover {100 * min(1, sum(shares)):.0f} %"
    return Finding(_sure(sum(shares), 0.3, 0.3), cover)


def _background(segments: Segments, wanted: Drawable) -> Finding:
    rgb = measure.background(segments)
    right = close(rgb, wanted.colours[0], 0.4)
    return Finding(0.95 if right else 0.05, f"background {'' if right else 'not '}{wanted.colours[0]}")


def _saturation(segments: Segments, wanted: Drawable) -> Finding:
    seen = draw.saturation(segments.full)
    return Finding(_sure(0.17 - abs(seen - (wanted.amount or 0.6)), 0, 0.1), f"saturation about {100 * seen:.0f} %")


# --- effects and light --------------------------------------------------------------------------


def _grain(segments: Segments, wanted: Drawable) -> Finding:
    least = max(1.2, 24 * (wanted.amount if wanted.amount is not None else 0.2) * 0.68)
    return Finding(_sure(segments.noise, least, 0.35 * least), f"grain of {segments.noise:.1f} levels")


def _vignette(segments: Segments, _: Drawable) -> Finding:
    fall = measure.light(segments).corners
    return Finding(_sure(fall, 0.3, 0.14), f"corners {100 * max(fall, 0):.0f} % darker")


def _blur(segments: Segments, _: Drawable) -> Finding:
    step, crisp = measure.crispness(segments)
    if step < 6:
        return Finding(None, "no edge in the background to judge by")
    return Finding(_sure(0.46 - crisp, 0, 0.1), f"background edges {'soft' if crisp < 0.46 else 'crisp'} ({crisp:.2f})")


def _rain(segments: Segments, _: Drawable) -> Finding:
    return Finding(_sure(segments.streaks, 2.5, 1.8), f"{segments.streaks} streaks of rain")


def _fog(segments: Segments, _: Drawable) -> Finding:
    return Finding(_sure(measure.bank(segments), 0.115, 0.07), f"a pale bank of {measure.bank(segments):.2f}")


def _screen(segments: Segments, wanted: Drawable) -> Finding:
    rows, columns = segments.screens[4 if wanted.name == "scanlines" else 6]
    value = rows if wanted.name == "scanlines" else min(rows, columns)
    return Finding(_sure(value, 2.0, 1.2), f"a periodic screen of {value:.1f} levels")


def _specks(segments: Segments, wanted: Drawable) -> Finding:
    x_y_tone = segments.specks
    number, low = len(x_y_tone), float((x_y_tone[:, 1] > 0.64).mean()) if len(x_y_tone) else 0.0
    gay = float((x_y_tone[:, 2] > max(0.3, 0.55 * draw.saturation(segments.full))).mean()) if number else 0.0
    kind = "stars" if low < 0.13 else "confetti" if gay > 0.5 else "snow"
    if kind != wanted.name:
        return Finding(0.05, f"{number} specks, rather {kind}")
    return Finding(_sure(number, 40, 16), f"{number} specks, as {kind}")


def _frame(segments: Segments, _: Drawable) -> Finding:
    step = measure.framed(segments)
    return Finding(_sure(step, 22, 14), "a line around the picture" if step > 22 else "no line around the picture")


def _side(segments: Segments, wanted: Drawable) -> Finding:
    seen = measure.light(segments)
    dx, dy = draw.towards(wanted.relation)
    along, across = seen.x * dx + seen.y * dy, abs(seen.x * dy - seen.y * dx)
    truth = _sure(along - 0.8 * across, 0.08, 0.08)
    word = f"light from the {wanted.relation}" if truth > 0.5 else f"no light from the {wanted.relation}"
    if wanted.colours:
        warmer = (seen.warm_x * dx + seen.warm_y * dy) * (1 if wanted.colours[0] == "warm" else -1)
        truth = min(truth, _sure(warmer, 0.05, 0.05))
        word = f"{word}, {'' if warmer > 0.05 else 'not '}{wanted.colours[0]}"
    return Finding(truth, word)


def _tint(segments: Segments, wanted: Drawable) -> Finding:
    r, _, b = measure.background(segments)
    warmth = float(np.log(max(r, 1) / max(b, 1)))
    value = warmth - 0.05 if wanted.colours[0] == "warm" else 0.02 - warmth
    tone = "warm" if warmth > 0.05 else "cool" if warmth < 0.02 else "neutral"
    return Finding(_sure(value, 0, 0.07), f"the picture is {tone}")


def _level(segments: Segments, wanted: Drawable) -> Finding:
    middle = measure.light(segments).level
    value = 72 - middle if wanted.name == "dark" else middle - 116
    return Finding(_sure(value, 0, 18), f"middle tone {middle:.0f} of 255")


def _glow(segments: Segments, wanted: Drawable) -> Finding:
    there = found(segments, wanted.anchor) if wanted.anchor else []
    if wanted.anchor and not there:
        return Finding(0.1, f"no {wanted.anchor.replace('_', ' ')} found")
    if wanted.name == "spot":
        gain = measure.pool(segments, _point(segments, wanted)[:2])
        return Finding(_sure(gain, 0.5, 0.3), f"a pool of light of {100 * gain:.0f} % of the usual")
    tint = wanted.colours[0] if wanted.colours else ""
    points = [_around(thing) for thing in there] or [_point(segments, wanted)]
    gain = max(measure.ring(segments, *point, tint) for point in points)
    where = wanted.anchor.replace("_", " ") or "the middle"
    return Finding(_sure(gain, 9, 7), f"{gain:.0f} levels brighter around {where}")


def _point(segments: Segments, wanted: Drawable) -> tuple[float, float, float]:
    """Centre and half size, in fractions, of what a glow is asked to be around."""
    there = found(segments, wanted.anchor) if wanted.anchor else []
    if there:
        return _around(there[0])
    return (*(middle(wanted.region) if wanted.region else (0.5, 0.45)), 0.0)


def _around(thing: Thing) -> tuple[float, float, float]:
    return (*thing.centre, thing.span / 2)


# --- layout -------------------------------------------------------------------------------------


def _place(segments: Segments, wanted: Drawable) -> Finding:
    there, name = _whole(segments, wanted.anchor), wanted.anchor.replace("_", " ")
    in_place = [t for t in there if wanted.region is None or inside(t, wanted.region)]
    right = [t for t in in_place if wanted.height is None or _tall(segments, t, wanted.height)]
    seen = f"{name} found" + ("" if right else ", but not there") if there else f"no {name} found"
    return Finding(0.94 if right else 0.06, seen)


def _margins(segments: Segments, _: Drawable) -> Finding:
    height, width = segments.front.shape
    x, y = (0.085 * min(height, width) / side for side in (width, height))
    out = [t.noun for t in _clearly(segments) if not _within(t, x, y)]
    seen = f"{out[0].replace('_', ' ')} stands in the margin" if out else "margins are free"
    return Finding(0.06 if out else 0.93, seen)


def _clearly(segments: Segments) -> list[Thing]:
    """Things that are no letters, no frame and no part of the background."""
    return [t for t in _known(segments) if t.likeness[t.noun] >= 0.5 and t.span < 0.6]


def _within(thing: Thing, x: float, y: float) -> bool:
    x0, y0, x1, y1 = thing.box
    return x0 >= x and y0 >= y and x1 <= 1 - x and y1 <= 1 - y


def _clear(segments: Segments, wanted: Drawable) -> Finding:
    area = wanted.region or CLEAR
    within = [t.noun.replace("_", " ") for t in _clearly(segments) if inside(t, area, -0.02)]
    return Finding(0.06 if within else 0.93, f"{within[0]} stands there" if within else "the area is open")


def _known(segments: Segments) -> list[Thing]:
    return [t for t in segments.things if t.likeness[t.noun] >= LIKE and t.span > 0.075]


def _symmetry(segments: Segments, _: Drawable) -> Finding:
    things = _known(segments)
    paired = sum(
        any(abs(1 - t.centre[0] - o.centre[0]) < 0.09 and abs(t.centre[1] - o.centre[1]) < 0.15 for o in things)
        for t in things
    )
    share = paired / max(len(things), 1)
    return Finding(_sure(share, 0.7, 0.25) if things else None, f"{paired} of {len(things)} things mirrored")


def _diagonal(segments: Segments, _: Drawable) -> Finding:
    things = _known(segments)
    if len(things) < 3:
        return Finding(None, "too few things to see a diagonal")
    centres = np.array([t.centre for t in things]).T
    in_line = centres.std(axis=1).min() < 1e-9  # one row or column
    turn = 0.0 if in_line else abs(float(np.corrcoef(centres)[0, 1]))
    return Finding(_sure(turn, 0.6, 0.3), f"things lie on a diagonal: {turn:.2f}")


def _third(segments: Segments, _: Drawable) -> Finding:
    things = _known(segments)
    if not things:
        return Finding(0.1, "nothing found")
    x = max(things, key=lambda t: (t.box[2] - t.box[0]) * (t.box[3] - t.box[1])).centre[0]
    near = 0.09 - min(abs(x - 1 / 3), abs(x - 2 / 3))
    return Finding(_sure(near, 0, 0.06), f"the largest thing stands at {100 * x:.0f} % of the width")


_CHECKS: dict[str, Callable[[Segments, Drawable], Finding]] = {
    "thing": _thing,
    "text": _text,
    "colour:of": _of,
    "colour:palette": _palette,
    "colour:background": _background,
    "colour:saturation": _saturation,
    "effect:grain": _grain,
    "effect:vignette": _vignette,
    "effect:blur": _blur,
    "effect:rain": _rain,
    "effect:fog": _fog,
    "effect:scanlines": _screen,
    "effect:halftone": _screen,
    "effect:snow": _specks,
    "effect:stars": _specks,
    "effect:confetti": _specks,
    "effect:frame": _frame,
    "light:side": _side,
    "light:tint": _tint,
    "light:dark": _level,
    "light:bright": _level,
    "light:glow": _glow,
    "light:spot": _glow,
    "layout:place": _place,
    "layout:margins": _margins,
    "layout:clear": _clear,
    "layout:symmetry": _symmetry,
    "layout:diagonal": _diagonal,
    "layout:third": _third,
}
