"""Whether the sketch verifier is taken in: planted damages, by kind, and what was left alone beside them.

A scene is a composed LGBench task drawn as asked. What is damaged are lines of type and things whose boxes the drawing
side knows; `pixel_damage` changes their pixels. Every goal that stands alone on what was damaged is then wrong.

A damage counts only when a person could see it: `_visible` says how much of the target must look different. One that
shows less, or that would be covered by another, is discarded and told.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from director.errors import BriefError
from director.types import Goal, Outcome, Region
from worker.bench.lgbench.compose import RANGES, compose
from worker.bench.lgbench.pool import pool
from worker.bench.lgbench.write import write
from worker.bench.local import cores, one_thread
from worker.bench.sketch_lab import pixel_damage as damages
from worker.bench.sketch_lab.pixel_damage import Dice, Line, Picture, PixelBox
from worker.bench.sketch_lab.truth import shows
from worker.sketch import draw, glyphs
from worker.sketch.comp import Comp, set_lines
from worker.sketch.language import Drawable, parse
from worker.sketch.lexicon import nouns
from worker.sketch.misses import rng
from worker.sketch.passes import generated
from worker.sketch.segment import Segments
from worker.sketch.verifier import judged

WRONG_CERTIFIED, WRONG_IN_A_KIND, RIGHT_REFUSED = 0.005, 0.02, 0.05
"""What is allowed: of all damages, of each kind, and of what was left alone."""
_IN_ONE, _PICTURES = 3, 2
"""Damages in one picture, and damaged pictures of one scene."""
_THERE, _GONE, _RECOLOURED_THING = "ruled out, but there", "missing thing", "recoloured thing"
_RARE = {"extra thing", "one thing fewer", "wrong place of a thing", "wrong place of a line", _RECOLOURED_THING}


_LEVELS = 20
"""A pixel looks different from here on, its neighbours' mean taken: a fifth of the weakest contrast of type,
and above what the strongest grain leaves of it."""
_LETTER, _PART, _RECOLOURED = 0.04, 0.06, 0.4
"""What must look different: of the square of a line's height (half a thin letter), of a thing's box (a double exposure
on a like ground shows less), of a silhouette in another colour (else its lines have turned, and its fill has not)."""
_DISCARDED = "discarded"


class Look(NamedTuple):
    """One goal of one picture: its damage ("" for none), and what the verifier says."""

    scene: int
    kind: str
    goal: str
    outcome: Outcome
    evidence: str


@dataclass(frozen=True)
class Target:
    """A goal that the scene meets, and what it stands on."""

    goal: Goal
    drawable: Drawable
    lines: tuple[Line, ...] = ()
    boxes: tuple[PixelBox, ...] = ()

    @property
    def area(self) -> PixelBox:
        boxes = np.array([line.box for line in self.lines] or self.boxes)
        (x0, y0), (x1, y1) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        return int(x0), int(y0), int(x1), int(y1)


def measured(number: int, seed: int, size: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """At least `number` damages, from as many scenes as that takes."""
    looks: list[Look] = []
    scenes = planted = 0
    with ProcessPoolExecutor(max_workers=min(2, cores()), initializer=one_thread) as workers:
        while planted < number:
            batch = range(scenes, scenes + max(4, min(40, (number - planted) // 5)))
            for found in workers.map(partial(looked_at, seed=seed, size=size), batch):
                looks += found
            scenes, planted = batch.stop, sum(look.kind not in ("", _DISCARDED) for look in looks)
            tell(f"{planted} damages in {scenes} scenes")
    return result(looks, scenes, seed, size)


def result(looks: Sequence[Look], scenes: int, seed: int, size: int) -> dict[str, Any]:
    wrong = [look for look in looks if look.kind not in ("", _DISCARDED)]
    right = [look for look in looks if not look.kind]
    kinds = {kind: _counted([look for look in wrong if look.kind == kind]) for kind in sorted({w.kind for w in wrong})}
    return {
        "verifier": "sketch-verifier, on damaged simulated pictures",
        "scenes": scenes,
        "seed": seed,
        "size": size,
        "kinds": kinds,
        "discarded": sum(look.kind == _DISCARDED for look in looks),
        "damaged": _counted(wrong),
        "left alone": _counted(right),
        "wrong": [look._asdict() for look in (*wrong, *right) if (look.outcome is Outcome.MET) == bool(look.kind)],
    }


def _counted(looks: Sequence[Look]) -> dict[str, float | int]:
    outcomes = [look.outcome for look in looks]
    share = {outcome.value: round(outcomes.count(outcome) / max(len(looks), 1), 4) for outcome in Outcome}
    return {"goals": len(looks), **share}


def table(found: dict[str, Any]) -> str:
    lines = [
        f"{found['scenes']} scenes of seed {found['seed']} at {found['size']} px; {found['verifier']}",
        f"{'damage':<26}{'goals':>7}{'certified':>11}{'unsure':>8}{'missed':>8}",
    ]
    for name, row in (*found["kinds"].items(), ("all damages", found["damaged"]), ("left alone", found["left alone"])):
        most = 1.0 if name == "left alone" else WRONG_CERTIFIED if name == "all damages" else WRONG_IN_A_KIND
        mark = "  too many" if row["met"] > most else ""
        lines.append(f"{name:<26}{row['goals']:>7}{row['met']:>11.3f}{row['unsure']:>8.3f}{row['missed']:>8.3f}{mark}")
    refused = 1 - found["left alone"]["met"]
    lines.append(f"right ones refused: {refused:.3f}{'  too many' if refused > RIGHT_REFUSED else ''}")
    lines.append(
        f"{found['discarded']} more damages were discarded: nobody could see them, or another one lay over them"
    )
    return "\n".join(lines)


# --- one scene ----------------------------------------------------------------------------------


def looked_at(scene: int, seed: int, size: int) -> list[Look]:
    """A scene as it was drawn and with damages, and what is said of each goal on type or things."""
    dice = rng("damage", seed, scene)
    try:
        record = next(compose(pool(), 1, RANGES["t2i"], seed * 100_000 + scene, "t2i", write))
    except BriefError:
        return []
    goals = record.goal_values()
    plan = tuple(parse("\n".join(f"{goal.text}." for goal in goals)))
    comp = generated(plan, size, size, rng("scene", seed, scene))
    picture = draw.pixels(comp.canvas)
    targets = list(_targets(comp, plan, goals))
    looks = _judged(scene, picture, [("", target) for target in targets])
    ruled_out = [(_THERE, _without(target)) for target in targets if target.boxes]
    looks += _judged(scene, picture, ruled_out[: _IN_ONE * _PICTURES])
    for _ in range(_PICTURES):
        damaged, done, touched = picture, list[tuple[str, Target]](), np.zeros(picture.shape[:2], bool)
        for i in map(int, dice.permutation(len(targets))):
            if len(done) == _IN_ONE or (planted := _planted(damaged, comp, targets[i], targets, dice)) is None:
                continue
            kind, after = planted
            changed = (after != damaged).any(axis=2)
            if (changed & touched).any() or not _visible(kind, damaged, after, targets[i]):
                looks.append(Look(scene, _DISCARDED, targets[i].goal.text, Outcome.UNSURE, kind))
                continue
            done.append((kind, targets[i]))
            damaged, touched = after, touched | changed
        gone = [("", _without(target)) for kind, target in done if kind == _GONE and _only(comp, target)]
        looks += _judged(scene, damaged, [*done, *gone])
    return looks


def _visible(kind: str, before: Picture, after: Picture, target: Target) -> bool:
    """Whether enough of the target, or of the place where it now stands as well, looks different."""
    change = np.abs(ndimage.uniform_filter(after.astype(np.float32) - before, (3, 3, 1))).max(axis=2)
    different = change >= _LEVELS
    if target.lines:
        tall = min(line.box[3] - line.box[1] for line in target.lines)
        return int(different.sum()) >= _LETTER * tall * tall
    x0, y0, x1, y1 = target.boxes[0]
    if kind == _RECOLOURED_THING:
        own = _silhouette(target)
        return int(different[y0:y1, x0:x1][own].sum()) >= _RECOLOURED * int(own.sum())
    return int(different.sum()) >= _PART * (x1 - x0) * (y1 - y0)


def _silhouette(target: Target) -> NDArray[np.bool_]:
    """Which pixels of the box of a thing were drawn."""
    x0, y0, x1, y1 = target.boxes[0]
    return glyphs.thing(target.drawable.name, x1 - x0, y1 - y0)[0] > 0.5


def _without(target: Target) -> Target:
    """The goal that rules out what the target asks for, wherever it would stand."""
    words = nouns()[target.drawable.name].words[0]
    return replace(target, goal=Goal(id=target.goal.id, text=f"No {words}", absent=True))


def _only(comp: Comp, target: Target) -> bool:
    """Nothing else of its kind was drawn."""
    return [thing.noun for thing in comp.things].count(target.drawable.name) == 1


def _judged(scene: int, picture: Picture, asked: Sequence[tuple[str, Target]]) -> list[Look]:
    segments = Segments(picture.astype(np.float32))
    verdicts = [judged(segments, target.goal, "sketch-verifier") for _, target in asked]
    return [
        Look(scene, kind, target.goal.text, verdict.outcome, verdict.evidence)
        for (kind, target), verdict in zip(asked, verdicts, strict=True)
    ]


def _targets(comp: Comp, plan: Sequence[Drawable], goals: Sequence[Goal]) -> Iterator[Target]:
    """Goals that say one thing, which is there, once."""
    for goal in goals:
        asked = parse(goal.text)
        if len(asked) != 1 or not shows(comp, plan, asked[0]):
            continue
        (drawable,) = asked
        if drawable.kind == "text" and (lines := _lines(comp, drawable.string)):
            yield Target(goal, drawable, lines=lines)
        elif drawable.kind == "thing" and drawable.verb == "add" and drawable.count:
            boxes = tuple(thing.box for thing in comp.things if thing.noun == drawable.name)
            if len(boxes) == drawable.count:
                yield Target(goal, drawable, boxes=boxes)


def _lines(comp: Comp, string: str) -> tuple[Line, ...]:
    """The lines of a string that is set once; none of another."""
    own = [each for each in comp.type if each[0].string == string]
    if len(own) != 1:
        return ()
    (_, block, _) = own[0]
    return tuple(_line(*each, block.face, block.px) for each in set_lines(*own[0]))


def _line(words: str, x: int, y: int, face: str, px: int) -> Line:
    font = glyphs.font(face, px)
    tall, wide = glyphs.line(words, face, px).shape
    left, top, *_ = font.getbbox(words)
    letters: list[tuple[str, PixelBox | None]] = []
    for i, letter in enumerate(words):
        a, b, c, d = font.getbbox(letter)
        start = x - left + font.getlength(words[: i + 1]) - font.getlength(letter)
        box = (round(start + a), round(y + b - top), round(start + c), round(y + d - top))
        letters.append((letter, box if letter.strip() else None))
    return Line((x, y, x + wide, y + tall), tuple(letters))


def _planted(
    picture: Picture, comp: Comp, target: Target, others: Sequence[Target], dice: Dice
) -> tuple[str, Picture] | None:
    """One damage of a kind that fits the target; None when none does."""
    makers: dict[str, Callable[[], Picture | None]] = {}
    if target.lines:
        fit = [line for line in target.lines if len(line.inked()) >= 2]
        if not fit:
            return None
        line = fit[int(dice.integers(len(fit)))]
        makers = {kind: partial(damage, picture, line, dice) for kind, damage in damages.LETTERING.items()}
        makers["wrong place of a line"] = partial(_moved, picture, comp, target, 4, dice)
    elif len(target.boxes) == 1:
        box = target.boxes[0]
        makers = {kind: partial(damage, picture, box, dice) for kind, damage in damages.THINGS.items()}
        if target.drawable.colours:
            makers[_RECOLOURED_THING] = partial(damages.recoloured_thing, picture, box, _silhouette(target), dice)
        makers["wrong place of a thing"] = partial(_moved, picture, comp, target, 6, dice)
        makers["other thing"] = partial(_replaced, picture, comp, target, others, dice)
    else:
        makers["extra thing"] = partial(_one_more, picture, comp, target, dice)
        makers["one thing fewer"] = partial(damages.missing_thing, picture, target.boxes[-1], dice)
    weights = np.array([4.0 if kind in _RARE else 1.0 for kind in makers])
    kinds = list(makers)
    for i in map(int, dice.choice(len(kinds), len(kinds), replace=False, p=weights / weights.sum())):
        kind = kinds[i]
        if (done := makers[kind]()) is not None:
            return kind, done
    return None


def _moved(picture: Picture, comp: Comp, target: Target, margin: int, dice: Dice) -> Picture | None:
    """The target in a free place outside the region that its goal states."""
    region, area = target.drawable.region, _grown(target.area, margin, comp)
    if region is None:
        return None
    wide, tall = area[2] - area[0], area[3] - area[1]
    for x, y in _places(comp, (wide, tall), dice):
        centre = (x + wide / 2) / comp.width, (y + tall / 2) / comp.height
        if not _near(region, *centre):
            return damages.moved(picture, area, (x, y), bool(target.boxes))
    return None


def _near(region: Region, x: float, y: float) -> bool:
    return region.x0 - 0.12 < x < region.x1 + 0.12 and region.y0 - 0.12 < y < region.y1 + 0.12


def _one_more(picture: Picture, comp: Comp, target: Target, dice: Dice) -> Picture | None:
    box = _grown(target.boxes[0], 5, comp)
    for x, y in _places(comp, (box[2] - box[0], box[3] - box[1]), dice):
        return damages.copied(picture, box, (x, y))
    return None


def _replaced(picture: Picture, comp: Comp, target: Target, others: Sequence[Target], dice: Dice) -> Picture | None:
    """Another thing of the scene stands where this one did: one that no other damage could make wrong."""
    asked = {other.drawable.name for other in others}
    boxes = [thing.box for thing in comp.things if thing.noun not in asked]
    return damages.replaced(picture, target.boxes[0], boxes[int(dice.integers(len(boxes)))]) if boxes else None


def _places(comp: Comp, size: tuple[int, int], dice: Dice) -> Iterator[tuple[int, int]]:
    """Top left corners where a box of this size lies on no type and no thing."""
    taken = np.array([thing.box for thing in comp.things] + [box for *_, box in comp.type])
    for _ in range(200):
        x = int(dice.integers(8, max(9, comp.width - size[0] - 8)))
        y = int(dice.integers(8, max(9, comp.height - size[1] - 8)))
        apart = (taken[:, 0] > x + size[0] + 4) | (taken[:, 2] < x - 4)
        apart |= (taken[:, 1] > y + size[1] + 4) | (taken[:, 3] < y - 4)
        if apart.all() and x + size[0] < comp.width - 4 and y + size[1] < comp.height - 4:
            yield x, y


def _grown(box: PixelBox, by: int, comp: Comp) -> PixelBox:
    return max(0, box[0] - by), max(0, box[1] - by), min(comp.width, box[2] + by), min(comp.height, box[3] + by)
