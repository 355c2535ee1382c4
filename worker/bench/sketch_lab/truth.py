"""What a comp really shows, by where its boxes are and by nothing that is seen."""

from collections.abc import Callable, Sequence

import numpy as np

from director.types import Region
from worker.sketch import draw
from worker.sketch.comp import Comp, Placed
from worker.sketch.draw import PixelBox
from worker.sketch.language import Drawable


def shows(comp: Comp, plan: Sequence[Drawable], d: Drawable) -> bool:
    """Whether the comp holds a drawable as it was asked for, by where its boxes are."""
    if d.kind == "layout":
        return _LAID_OUT[d.name](comp, d)
    if d.name == "of":
        return any(bool(np.abs(t.rgb - draw.colour(d.colours[0])).max() < 1) for t in _of(comp, d.anchor))
    if d not in plan:
        return False
    if d.kind == "thing":
        own = [t for t in _of(comp, d.name) if _as_asked(comp, t, d)]
        return len(own) >= 2 if d.count == 0 else len(own) >= 1 if d.count == 1 else len(own) == d.count
    if d.kind == "text":
        return any(text.string == d.string and _inside(comp, box, d.region, 0.06) for text, _, box in comp.type)
    return not d.anchor or bool(_of(comp, d.anchor))


def _of(comp: Comp, noun: str) -> list[Placed]:
    return [thing for thing in comp.things if thing.noun == noun]


def _as_asked(comp: Comp, thing: Placed, d: Drawable) -> bool:
    if d.anchor and d.relation and not any(_beside(d.relation, thing, anchor) for anchor in _of(comp, d.anchor)):
        return False
    return _inside(comp, thing.box, d.region, 0.04) and _tall(comp, thing.box, d.height)


def _beside(relation: str, thing: Placed, anchor: Placed) -> bool:
    """Beside what is not there, nothing stands as asked; "next to" says no more than that it is there."""
    return relation not in _BESIDE or _BESIDE[relation](thing.box, anchor.box)


_BESIDE: dict[str, Callable[[PixelBox, PixelBox], bool]] = {
    "left": lambda t, a: t[0] + t[2] < a[0] + a[2],
    "right": lambda t, a: t[0] + t[2] > a[0] + a[2],
    "above": lambda t, a: t[1] + t[3] < a[1] + a[3],
    "on": lambda t, a: t[1] + t[3] < a[1] + a[3],
    "below": lambda t, a: t[1] + t[3] > a[1] + a[3],
}


def _tall(comp: Comp, box: PixelBox, height: float | None) -> bool:
    """Stated heights within a third, as the verifier has it; words such as "large" only have to stand out."""
    share = (box[3] - box[1]) / comp.height
    if height is None or height <= 0.2:
        return True
    if height in (0.3, 0.4):
        return max(share, (box[2] - box[0]) / comp.width) > 0.12
    return 0.66 < share / height < 1.4


def _centre(comp: Comp, box: PixelBox) -> tuple[float, float]:
    return (box[0] + box[2]) / 2 / comp.width, (box[1] + box[3]) / 2 / comp.height


def _inside(comp: Comp, box: PixelBox, region: Region | None, slack: float) -> bool:
    x, y = _centre(comp, box)
    return region is None or (
        region.x0 - slack <= x <= region.x1 + slack and region.y0 - slack <= y <= region.y1 + slack
    )


def _margins(comp: Comp, _: Drawable) -> bool:
    edge = 0.085 * comp.unit
    boxes = [thing.box for thing in comp.things]
    return all(
        b[0] >= edge and b[1] >= edge and b[2] <= comp.width - edge and b[3] <= comp.height - edge for b in boxes
    )


def _clear(comp: Comp, d: Drawable) -> bool:
    area = d.region or Region(x0=0, y0=0, x1=1, y1=0.35)
    return not any(_inside(comp, thing.box, area, -0.02) for thing in comp.things)


def _symmetry(comp: Comp, _: Drawable) -> bool:
    spots = [_centre(comp, thing.box) for thing in comp.things]
    paired = sum(any(abs(1 - x - u) < 0.09 and abs(y - v) < 0.15 for u, v in spots) for x, y in spots)
    return bool(spots) and paired >= 0.7 * len(spots)


def _diagonal(comp: Comp, _: Drawable) -> bool:
    spots = np.array([_centre(comp, thing.box) for thing in comp.things])
    return len(spots) >= 3 and abs(float(np.corrcoef(spots.T)[0, 1])) > 0.6


def _third(comp: Comp, _: Drawable) -> bool:
    boxes = [thing.box for thing in comp.things]
    x = _centre(comp, max(boxes, key=lambda b: (b[2] - b[0]) * (b[3] - b[1])))[0] if boxes else 0.5
    return min(abs(x - 1 / 3), abs(x - 2 / 3)) < 0.09


def _place(comp: Comp, d: Drawable) -> bool:
    return any(_inside(comp, t.box, d.region, 0.04) and _tall(comp, t.box, d.height) for t in _of(comp, d.anchor))


_LAID_OUT: dict[str, Callable[[Comp, Drawable], bool]] = {
    "margins": _margins,
    "clear": _clear,
    "symmetry": _symmetry,
    "diagonal": _diagonal,
    "third": _third,
    "place": _place,
}
