"""The passes of a comp: what lies behind the things, the things, light and finish over all of it."""

import numpy as np

from worker.sketch import comp as comps
from worker.sketch import draw
from worker.sketch.comp import Comp
from worker.sketch.draw import Canvas, colour
from worker.sketch.language import Drawable
from worker.sketch.layout import middle


def generated(plan: tuple[Drawable, ...], width: int, height: int, dice: np.random.Generator) -> Comp:
    """A whole picture, from the wall to the grain: its canvas, and what stands where in it."""
    comp = comps.scenery(width, height, plan, dice)
    comps.place(comp, plan)
    free = np.ones((height, width), np.float32)
    if any(d.name == "blur" for d in plan):
        comp.canvas = draw.soft(comp.canvas, free, max(4.0, width / 70), dice)
    behind(comp, plan)
    lit(comp, plan)
    comps.paint_things(comp)
    before(comp, plan)
    comps.paint_type(comp)
    comp.canvas = finished(comp.canvas, plan, dice)
    return comp


def behind(comp: Comp, plan: tuple[Drawable, ...]) -> None:
    """What lies on the background, under the things."""
    for d in plan:
        if d.name == "fog":
            bank = draw.fog(comp.canvas, 0.3 if d.amount is None else d.amount)
            comp.canvas = bank if comp.kept is None else bank + (comp.canvas - bank) * comp.kept[..., None]
    if any(d.name == "stars" for d in plan):
        area = comp.open_area(0.035)
        area[int(0.6 * comp.height) :] = 0
        dark = float(np.median(comp.canvas[: comp.height // 2 : 4, ::4] @ draw.LUMA)) < 150
        draw.dots(comp.canvas, 260, (0.9, 2.0), [colour("#fffbe8" if dark else "#7a5c1a")], area, comp.dice)


_TONES = {"dark": 42, "bright": 226, "even": 120}
"""The median luma of a night, of a high key, and of what comes out when either is missed."""


def lit(comp: Comp, plan: tuple[Drawable, ...]) -> None:
    """Light on the scenery: darkness first, then its direction, then pools and glows."""
    for d in plan:
        if d.name in _TONES:
            comp.canvas = draw.relight(comp.canvas, _TONES[d.name])
    for d in plan:
        if d.kind != "light":
            continue
        at = centre(comp, d)
        if d.name == "side":
            comp.canvas = draw.side_light(comp.canvas, d.relation, d.colours[0] if d.colours else "")
        elif d.name == "tint":
            comp.canvas = draw.cast(comp.canvas, d.colours[0])
        elif d.name == "spot":
            draw.spot(comp.canvas, at[:2])
        elif d.name == "glow":
            draw.halo(comp.canvas, at[:2], at[2], d.colours[0] if d.colours else "")


def centre(comp: Comp, d: Drawable) -> tuple[float, float, float]:
    """Where a light falls and how far: on its anchor, else on its region, else on the middle."""
    thing = next((t for t in comp.things if t.noun == d.anchor), None)
    if thing:
        x0, y0, x1, y1 = thing.box
        return (x0 + x1) / 2, (y0 + y1) / 2, 0.62 * max(x1 - x0, y1 - y0)
    x, y = middle(d.region) if d.region else (0.5, 0.45)
    return x * comp.width, y * comp.height, 0.16 * comp.unit


def before(comp: Comp, plan: tuple[Drawable, ...]) -> None:
    """What lies in front of the things but behind the type."""
    for d in plan:
        amount = d.amount if d.amount is not None else 0.3
        if d.name == "fog":
            comp.canvas = draw.fog(comp.canvas, amount, 0.22)
        elif d.name == "rain":
            comp.canvas = draw.rain(comp.canvas, amount, comp.open_area(0.026), comp.dice)
        elif d.name in ("snow", "confetti"):
            party = [colour(c) for c in ("red", "mustard", "teal", "pink", "navy")]
            light = float(np.median(comp.canvas[::4, ::4] @ draw.LUMA)) > 200
            tones = party if d.name == "confetti" else [colour("#94a2ad" if light else "#ffffff")]
            draw.dots(comp.canvas, 230, (1.6, 3.2), tones, comp.open_area(0.026), comp.dice)


def finished(canvas: Canvas, plan: tuple[Drawable, ...], dice: np.random.Generator) -> Canvas:
    """Grading and what a print adds: saturation, vignette, screens, frame, grain."""
    by_name = {d.name: d for d in plan}
    if rule := by_name.get("saturation"):
        canvas = draw.saturated(canvas, rule.amount or 0.6)
    for name, apply, usual in (
        ("halftone", draw.halftone, 0.25),
        ("scanlines", draw.scanlines, 0.15),
        ("vignette", draw.vignette, 0.35),
    ):
        if rule := by_name.get(name):
            canvas = apply(canvas, rule.amount if rule.amount is not None else usual)
    if rule := by_name.get("frame"):
        whole = (0, 0, canvas.shape[1], canvas.shape[0])
        white = draw.contrasting(canvas, whole, colour("white"))
        draw.frame(canvas, colour(rule.colours[0]) if rule.colours else white)
    if rule := by_name.get("grain"):
        canvas = draw.grain(canvas, rule.amount if rule.amount is not None else 0.2, dice)
    return canvas
