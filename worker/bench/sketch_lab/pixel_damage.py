"""Damages to finished pictures: operations on pixels in boxes. They know nothing of how a sketch draws or sees.

Each gives a new picture. `Line` and `PixelBox` say where things stand; the drawing side knows that.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Picture = NDArray[np.uint8]
PixelBox = tuple[int, int, int, int]
Dice = np.random.Generator


@dataclass(frozen=True)
class Line:
    """One line of type: its box, and each letter with the box of its ink (None for a space) from left to right."""

    box: PixelBox
    letters: tuple[tuple[str, PixelBox | None], ...]

    def inked(self) -> list[int]:
        """The places of letters and digits."""
        return [i for i, (letter, box) in enumerate(self.letters) if box and letter.isalnum()]

    def at(self, i: int) -> PixelBox:
        box = self.letters[i][1]
        assert box
        return box


# --- lines of type; None when a line is not fit for the damage ------------------------------------


def smeared_letters(picture: Picture, line: Line, dice: Dice) -> Picture | None:
    x0, y0, x1, y1 = _run(line, dice, 2)
    return _blurred(picture, (x0 - 1, y0 - 1, x1 + 1, y1 + 1), 0.35 * (line.box[3] - line.box[1]))


def rubble(picture: Picture, line: Line, dice: Dice) -> Picture | None:
    """Letters as a chequer of their ink and their paper."""
    x0, y0, x1, y1 = _run(line, dice, 2)
    found = picture.copy()
    part = found[y0:y1, x0:x1]
    tone: NDArray[np.float32] = part.astype(np.float32).sum(axis=2)
    ink, paper = part[np.unravel_index(tone.argmin(), tone.shape)], part[np.unravel_index(tone.argmax(), tone.shape)]
    flags = dice.random(tone.shape) < 0.5
    part[flags], part[~flags] = ink.copy(), paper.copy()
    return found


def gap(picture: Picture, line: Line, dice: Dice) -> Picture | None:
    x0, y0, x1, y1 = _run(line, dice, 1)
    return _erased_down(picture, (x0 - 1, y0 - 2, x1 + 1, y1 + 2))


def cut_letters(picture: Picture, line: Line, dice: Dice) -> Picture | None:
    """The upper or the lower half of one to three letters is gone."""
    x0, y0, x1, y1 = _run(line, dice, 1)
    half = round((0.45 + 0.1 * dice.random()) * (y1 - y0))
    upper = dice.random() < 0.5
    own = (x0 - 1, y0 - 2, x1 + 1, y1 + 2)
    whole = _erased_down(picture, own)
    found = picture.copy()
    rows = slice(max(0, y0 - 2), y0 + half) if upper else slice(y1 - half, y1 + 2)
    columns = slice(max(0, own[0]), own[2])
    found[rows, columns] = whole[rows, columns]
    return found


def doubled_letter(picture: Picture, line: Line, dice: Dice) -> Picture | None:
    i = int(dice.choice(line.inked()))
    x0, x1 = _cell(line, i)
    return _spread(picture, line.box, x0, x1 - x0)


def dropped_letter(picture: Picture, line: Line, dice: Dice) -> Picture | None:
    """A letter is gone and the rest of the line has closed up."""
    if len(line.inked()) < 3:
        return None
    x0, x1 = _cell(line, int(dice.choice(line.inked())))
    left, top, right, bottom = _grown(line.box, 2)
    found = picture.copy()
    rest = picture[top:bottom, x1:right].copy()
    blank = _erased_down(picture, (left, top, right, bottom))
    found[top:bottom, x0 : x0 + rest.shape[1]] = rest
    found[top:bottom, x0 + rest.shape[1] : right] = blank[top:bottom, x0 + rest.shape[1] : right]
    return found


def swapped_letters(picture: Picture, line: Line, dice: Dice) -> Picture | None:
    places = [
        i for i in line.inked() if i + 1 in line.inked() and not _alike(line.letters[i][0], line.letters[i + 1][0])
    ]
    if not places:
        return None
    i = int(dice.choice(places))
    (a, b), (_, c) = _cell(line, i), _cell(line, i + 1)
    top, bottom = line.box[1] - 1, line.box[3] + 1
    found = picture.copy()
    found[top:bottom, a:c] = np.concatenate([picture[top:bottom, b:c], picture[top:bottom, a:b]], axis=1)
    return found


def other_letter(picture: Picture, line: Line, dice: Dice) -> Picture | None:
    """One letter is another one of the same line."""
    places = line.inked()
    pairs = [
        (i, j)
        for i in places
        for j in places
        if not _alike(line.letters[i][0], line.letters[j][0]) and 0.65 < _wide(line.at(i)) / _wide(line.at(j)) < 1.5
    ]
    if not pairs:
        return None
    i, j = pairs[int(dice.integers(len(pairs)))]
    (a, b), (c, d) = _cell(line, i), _cell(line, j)
    top, bottom = line.box[1] - 1, line.box[3] + 1
    other = Image.fromarray(picture[top:bottom, c:d]).resize((b - a, bottom - top), Image.Resampling.BILINEAR)
    found = picture.copy()
    found[top:bottom, a:b] = np.asarray(other)
    return found


def ghost_line(picture: Picture, line: Line, dice: Dice) -> Picture | None:
    tall = line.box[3] - line.box[1]
    return _twice(picture, _grown(line.box, round(0.3 * tall)), 0.3 * tall, 0.7 * tall, dice)


def covered_letters(picture: Picture, line: Line, dice: Dice) -> Picture | None:
    x0, _, x1, _ = _run(line, dice, 1)
    return _patched(picture, (x0 - 1, line.box[1] - 2, x1 + 1, line.box[3] + 2), dice)


def missing_line(picture: Picture, line: Line, dice: Dice) -> Picture | None:
    del dice
    return _erased_down(picture, _grown(line.box, 2))


def mirrored_line(picture: Picture, line: Line, dice: Dice) -> Picture | None:
    del dice
    x0, y0, x1, y1 = _grown(line.box, 1)
    found = picture.copy()
    found[y0:y1, x0:x1] = picture[y0:y1, x0:x1][:, ::-1]
    return found


LETTERING: dict[str, Callable[[Picture, Line, Dice], Picture | None]] = {
    "smear of letters": smeared_letters,
    "rubble for letters": rubble,
    "gap": gap,
    "cut letters": cut_letters,
    "doubled letter": doubled_letter,
    "dropped letter": dropped_letter,
    "swapped letters": swapped_letters,
    "other letter": other_letter,
    "ghost of a line": ghost_line,
    "covered letters": covered_letters,
    "missing line": missing_line,
    "mirrored line": mirrored_line,
}


# --- things ---------------------------------------------------------------------------------------


def missing_thing(picture: Picture, box: PixelBox, dice: Dice) -> Picture:
    del dice
    return _erased_across(picture, _grown(box, 6))


def cut_thing(picture: Picture, box: PixelBox, dice: Dice) -> Picture:
    """About half of it is gone."""
    x0, y0, x1, y1 = box
    share, side = 0.45 + 0.15 * dice.random(), int(dice.integers(4))
    wide, tall = round(share * (x1 - x0)), round(share * (y1 - y0))
    lost = (
        (x0 - 6, y0 - 6, x0 + wide, y1 + 6),
        (x1 - wide, y0 - 6, x1 + 6, y1 + 6),
        (x0 - 6, y0 - 6, x1 + 6, y0 + tall),
        (x0 - 6, y1 - tall, x1 + 6, y1 + 6),
    )[side]
    whole = _erased_across(picture, _grown(box, 6))
    found = picture.copy()
    left, top, right, bottom = (max(0, v) for v in lost)
    found[top:bottom, left:right] = whole[top:bottom, left:right]
    return found


def covered_thing(picture: Picture, box: PixelBox, dice: Dice) -> Picture:
    """A patch lies over at least half of it."""
    x0, y0, x1, y1 = box
    wide, tall = (round((0.75 + 0.2 * dice.random()) * side) for side in (x1 - x0, y1 - y0))
    x, y = x0 + int(dice.integers(x1 - x0 - wide + 1)), y0 + int(dice.integers(y1 - y0 - tall + 1))
    return _patched(picture, (x, y, x + wide, y + tall), dice)


def ghost_thing(picture: Picture, box: PixelBox, dice: Dice) -> Picture:
    side = min(box[2] - box[0], box[3] - box[1])
    return _twice(picture, _grown(box, round(0.4 * side)), 0.35 * side, 0.7 * side, dice)


def smeared_thing(picture: Picture, box: PixelBox, dice: Dice) -> Picture:
    del dice
    side = min(box[2] - box[0], box[3] - box[1])
    return _blurred(picture, _grown(box, round(0.3 * side)), 0.3 * side)


def recoloured_thing(picture: Picture, box: PixelBox, silhouette: NDArray[np.bool_], dice: Dice) -> Picture:
    """The commonest colour of its silhouette becomes that of a far hue, a strong one where it was dull."""
    x0, y0, x1, y1 = box
    part = picture[y0:y1, x0:x1].astype(np.int16)
    keys, counts = np.unique(part[silhouette] // 20, axis=0, return_counts=True)
    fill = keys[counts.argmax()] * 20 + 10
    own = silhouette & (np.abs(part - fill).max(axis=2) < 34)
    hsv = np.asarray(Image.fromarray(picture[y0:y1, x0:x1]).convert("HSV")).copy()
    grey = fill.max() - fill.min() < 40
    hsv[..., 0] = (hsv[..., 0].astype(np.int16) + int(dice.integers(100, 156))) % 256
    if grey:
        hsv[..., 1] = 200
        hsv[..., 2] = np.clip(hsv[..., 2], 120, 200)
    found = picture.copy()
    found[y0:y1, x0:x1][own] = np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))[own]
    return found


THINGS: dict[str, Callable[[Picture, PixelBox, Dice], Picture]] = {
    "missing thing": missing_thing,
    "cut thing": cut_thing,
    "covered thing": covered_thing,
    "ghost of a thing": ghost_thing,
    "smear of a thing": smeared_thing,
}


def moved(picture: Picture, box: PixelBox, to: tuple[int, int], across: bool) -> Picture:
    """The box is erased and its pixels stand at another top left corner."""
    x0, y0, x1, y1 = box
    found = _erased_across(picture, box) if across else _erased_down(picture, box)
    found[to[1] : to[1] + y1 - y0, to[0] : to[0] + x1 - x0] = picture[y0:y1, x0:x1]
    return found


def copied(picture: Picture, box: PixelBox, to: tuple[int, int]) -> Picture:
    """The same pixels a second time."""
    x0, y0, x1, y1 = box
    found = picture.copy()
    found[to[1] : to[1] + y1 - y0, to[0] : to[0] + x1 - x0] = picture[y0:y1, x0:x1]
    return found


def replaced(picture: Picture, box: PixelBox, other: PixelBox) -> Picture:
    """The pixels of another box, at the size of this one."""
    x0, y0, x1, y1 = _grown(box, 3)
    a, b, c, d = _grown(other, 3)
    found = picture.copy()
    found[y0:y1, x0:x1] = np.asarray(Image.fromarray(picture[b:d, a:c]).resize((x1 - x0, y1 - y0)))
    return found


# --- parts ----------------------------------------------------------------------------------------


def _run(line: Line, dice: Dice, least: int) -> PixelBox:
    """The box of some neighbouring letters: at least `least`, where there are as many, and at most three."""
    places = line.inked()
    count = min(len(places), int(dice.integers(least, 4)))
    first = int(dice.integers(len(places) - count + 1))
    boxes = np.array([line.at(i) for i in places[first : first + count]])
    x0, y0 = boxes[:, :2].min(axis=0)
    x1, y1 = boxes[:, 2:].max(axis=0)
    return int(x0), int(y0), int(x1), int(y1)


def _cell(line: Line, i: int) -> tuple[int, int]:
    """Columns from the start of a letter's ink to the start of the next one's."""
    x0, _, x1, _ = line.at(i)
    following = line.letters[i + 1][1] if i + 1 < len(line.letters) else None
    return x0, max(following[0], x0 + 2) if following else x1 + max(1, (x1 - x0) // 8)


def _alike(a: str, b: str) -> bool:
    """Letters of about one shape, in some face: they don't tell a slip."""
    return a.lower() == b.lower() or any(
        {a.lower(), b.lower()} <= set(group)
        for group in ("il1tfj", "o0qcged", "nhmu", "vwy", "s5", "b68", "z27", "pr", "a4")
    )


def _wide(box: PixelBox) -> int:
    return max(1, box[2] - box[0])


def _grown(box: PixelBox, by: int) -> PixelBox:
    return max(0, box[0] - by), max(0, box[1] - by), box[2] + by, box[3] + by


def _spread(picture: Picture, box: PixelBox, at: int, wide: int) -> Picture | None:
    """Everything in the line from column `at` on a second time, `wide` columns further right."""
    right = box[2] + wide + 3
    if right > picture.shape[1] - 3:
        return None
    top, bottom = box[1] - 1, box[3] + 1
    found = picture.copy()
    found[top:bottom, at + wide : right] = picture[top:bottom, at : right - wide]
    return found


def _erased_down(picture: Picture, box: PixelBox) -> Picture:
    """The box filled from its upper to its lower rim."""
    turned = picture.transpose(1, 0, 2)
    return _erased_across(turned, (box[1], box[0], box[3], box[2])).transpose(1, 0, 2).copy()


def _erased_across(picture: Picture, box: PixelBox) -> Picture:
    """The box filled from its left to its right rim."""
    x0, y0, x1, y1 = max(0, box[0]), max(0, box[1]), min(box[2], picture.shape[1]), min(box[3], picture.shape[0])
    left = picture[y0:y1, max(0, x0 - 3) : max(1, x0)].mean(axis=1)[:, None]
    right = picture[y0:y1, min(x1, picture.shape[1] - 1) : x1 + 3].mean(axis=1)[:, None]
    share = np.linspace(0, 1, x1 - x0)[None, :, None]
    found = picture.copy()
    found[y0:y1, x0:x1] = (left + (right - left) * share).astype(np.uint8)
    return found


def _blurred(picture: Picture, box: PixelBox, radius: float) -> Picture:
    x0, y0, x1, y1 = max(0, box[0]), max(0, box[1]), box[2], box[3]
    found = picture.copy()
    part = Image.fromarray(picture[y0:y1, x0:x1])
    found[y0:y1, x0:x1] = np.asarray(part.filter(ImageFilter.BoxBlur(max(2.0, radius))))
    return found


def _twice(picture: Picture, box: PixelBox, least: float, most: float, dice: Dice) -> Picture:
    """A double exposure: half of the box, and half of it moved."""
    angle, far = 2 * np.pi * dice.random(), dice.uniform(least, most)
    dx, dy = round(far * float(np.cos(angle))), round(far * float(np.sin(angle)))
    x0, y0, x1, y1 = max(0, box[0]), max(0, box[1]), box[2], box[3]
    part = picture[y0:y1, x0:x1].astype(np.float32)
    other = np.roll(part, (dy, dx), (0, 1))
    found = picture.copy()
    found[y0:y1, x0:x1] = ((part + other) / 2).astype(np.uint8)
    return found


def _patched(picture: Picture, box: PixelBox, dice: Dice) -> Picture:
    """A patch of one colour, which is somewhere in the picture, or a new one."""
    x0, y0, x1, y1 = max(0, box[0]), max(0, box[1]), box[2], box[3]
    found = picture.copy()
    y, x = (int(v) for v in dice.uniform((0, 0), picture.shape[:2]))
    here = picture[y, x]
    found[y0:y1, x0:x1] = here if dice.random() < 0.5 else np.array([int(dice.integers(256)) for _ in range(3)])
    return found
