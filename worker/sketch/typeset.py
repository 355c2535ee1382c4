"""How a string is set: face, size and line breaks. The verifier breaks lines by the same rule."""

from dataclasses import dataclass
from functools import lru_cache

from worker.sketch import glyphs
from worker.sketch.language import Drawable

SMALLEST = 15
"""Font size in pixels below which type is no longer set, nor read."""


@dataclass(frozen=True)
class Block:
    """Lines of one string at one size; `width` and `height` in pixels, `pitch` from line to line."""

    lines: tuple[str, ...]
    face: str
    px: int
    width: int
    height: int
    pitch: int


def face(drawable: Drawable, display: str) -> str:
    """The face that the words ask for, else the comp's display face for big lines, else a sans."""
    for style, name in (
        ("hand", "Caveat-Bold"),
        ("italic", "SketchItalic-SemiBold"),
        ("serif", "SketchSerif-Bold"),
        ("sans", "Inter-Medium"),
    ):
        if style in drawable.style and glyphs.settable(drawable.string, name):
            return name
    name = display if role(drawable) == "headline" else "Inter-Medium"
    return name if glyphs.settable(drawable.string, name) else "Inter-Medium"


def role(drawable: Drawable) -> str:
    if "small" in drawable.style or "tag" in drawable.style:
        return "small"
    shouting = drawable.string.isupper() and len(drawable.string) > 3
    return (
        "headline"
        if "hand" in drawable.style or "large" in drawable.style or "caps" in drawable.style or shouting
        else "line"
    )


@lru_cache(maxsize=512)
def block(string: str, name: str, width: float, height: float) -> Block:
    """The string on as few lines as fit into `width` by (for one line) `height` pixels."""
    least = SMALLEST + (5 if name.startswith(("Sketch", "Caveat")) else 0)
    splits = [broken(string, count) for count in range(1, min(4, len(string.split())) + 1)]
    fits = [min(glyphs.fitted(line, name, width, 1e6) for line in lines) for lines in splits]
    count = next((n for n, px in enumerate(fits) if px >= least + (2 if n < 2 else 0)), len(fits) - 1)
    lines, px = splits[count], fits[count]
    px = max(least, min(px, *(glyphs.fitted(line, name, 1e6, height) for line in lines)))
    shapes = [glyphs.line(line, name, px).shape for line in lines]
    pitch = round(px * 1.28)
    return Block(lines, name, px, max(w for _, w in shapes), max(h for h, _ in shapes) + pitch * count, pitch)


def broken(string: str, count: int) -> tuple[str, ...]:
    """The words on `count` lines of about the same length."""
    words, lines = string.split(), list[str]()
    for left in range(count, 1, -1):
        target, taken = len(" ".join(words)) / left, 1
        while taken < len(words) - left + 1 and len(" ".join(words[: taken + 1])) <= target + len(words[taken]) / 2:
            taken += 1
        lines.append(" ".join(words[:taken]))
        words = words[taken:]
    return (*lines, " ".join(words))
