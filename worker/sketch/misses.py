"""How a studio misses: a difficulty that stays with a drawable, crowding, focus, and luck by seed.

Fitted to what the paper reports (arXiv 2512.19243): 66.8 % in one shot, but only 3.7 points from
best of four. So most of a miss belongs to the drawable, hardly any to the seed.
"""

import colorsys
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from hashlib import blake2b
from importlib.resources import files
from math import log2
from typing import NamedTuple

import numpy as np

from director.prompts.clauses import clauses
from worker.sketch.draw import colour, opposite
from worker.sketch.language import Drawable

_FOLDER = files("worker.sketch") / "miss_models"


class Ask(NamedTuple):
    """How an instruction asks: `named` drawables at once; `plain`, in short sentences; within a mask or not.

    `scene` is what a whole picture is asked to show, as one string; empty for an edit.
    """

    named: int
    plain: bool = False
    masked: bool = False
    scene: str = ""


@dataclass(frozen=True)
class MissModel:
    """How one studio misses, in units of the luck that a seed brings; `drawn` explains the terms.

    `damage` is the chance that an edit harms something unnamed, `grain` what each edit adds, 0 to 1. `edit_crowding` is
    how much harder an edit gets with each doubling of what it names.
    """

    name: str
    base: float
    persist: float = 0.0
    task: float = 0.0
    wording: float = 0.0
    noise: float = 0.0
    crowding: float = 0.0
    edit_crowding: float = 0.0
    plain: float = 0.0
    focus: float = 0.0
    mask: float = 0.0
    damage: float = 0.0
    grain: float = 0.0
    offsets: dict[str, float] = field(default_factory=dict[str, float])

    def drawn(self, drawable: Drawable, ask: Ask, seed: int) -> bool:
        """Whether a drawable comes out right with this seed.

        It has an ease of its own, and so has the scene that a first picture is asked for; other words,
        plainer words, a mask, and saying at most two things at once change it; luck is small beside that.
        """
        latent = drawable.latent
        ease = self.base + self.offsets.get(drawable.kind, 0.0) - self.crowding * log2(1 + ask.named)
        ease += self.plain * ask.plain + self.focus * (ask.named <= 2) + self.mask * ask.masked
        ease -= 0.0 if ask.scene else self.edit_crowding * log2(max(1, ask.named))
        luck = normal(self.name, "luck", seed, latent)
        ease += self.persist * normal(self.name, "persist", latent) + self.noise * luck
        ease += self.wording * normal(self.name, "words", drawable.clause, latent)
        return ease + (self.task * normal(self.name, "task", ask.scene) if ask.scene else 0.0) > 0


def asked(instruction: str, wanted: Sequence[Drawable], whole: bool, masked: bool) -> Ask:
    """How an instruction asks for what is `wanted`; plain when its lines hold hardly more than a sentence each."""
    lines = [line for line in instruction.splitlines() if line.strip()]
    plain = sum(len(clauses(line)) for line in lines) <= 1.5 * len(lines)
    return Ask(len(wanted), plain, masked, "\n".join(sorted(d.latent for d in wanted)) if whole else "")


@lru_cache(maxsize=65536)
def normal(*parts: object) -> float:
    """A standard normal number that is the same wherever the same parts are given."""
    return float(rng(*parts).standard_normal())


def rng(*parts: object) -> np.random.Generator:
    """A generator that is the same wherever the same parts are given."""
    digest = blake2b("\x1f".join(map(str, parts)).encode("utf-8", "replace"), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


@cache
def load_miss_model(name: str) -> MissModel:
    """The one of that name. Raises ValueError that lists those there are."""
    if name not in model_names():
        raise ValueError(f"the sketch has no model {name!r}; it has {', '.join(model_names())}")
    return MissModel(name=name, **json.loads((_FOLDER / f"{name}.json").read_text("utf-8")))


def model_names() -> tuple[str, ...]:
    """The names that there are, in order; they serve as model names of the editor."""
    files = (entry.name for entry in _FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(".json") for name in files if name.endswith(".json")))


def spoiled(drawable: Drawable, name: str) -> Drawable | None:
    """How the studio `name` gets a drawable wrong: something else, or (None) nothing at all."""
    dice = rng(name, "spoil", drawable.key)
    if drawable.verb == "remove":
        return None
    if drawable.kind == "text":
        return replace(drawable, string=misspelt(drawable.string, dice)) if dice.random() < 0.8 else None
    if drawable.kind == "thing":
        return _spoiled_thing(drawable, dice)
    if drawable.kind == "colour":
        return _spoiled_colour(drawable)
    if drawable.name in ("dark", "bright"):
        return replace(drawable, name="even")
    if drawable.name in ("side", "tint"):
        across = " ".join(_MIRROR[word] for word in drawable.relation.split())
        return replace(drawable, relation=across, colours=tuple(_OTHER_CAST[c] for c in drawable.colours))
    return None


def misspelt(string: str, dice: np.random.Generator) -> str:
    """One slip as diffusion models make them: two letters swapped, one dropped or one doubled."""
    letters = [i for i, c in enumerate(string) if c.isalnum()]
    swaps = [i for i in letters if _swappable(string[i : i + 2])]
    singles = [i for i in letters if string[i] not in (string[i - 1 : i], string[i + 1 : i + 2])] or letters
    kind = int(dice.integers(3))
    if kind == 0 and swaps:
        i = int(dice.choice(swaps))
        return string[:i] + string[i + 1] + string[i] + string[i + 2 :]
    if not singles or len(letters) < 3:
        return string + "E" if string.isupper() else string + "e"
    i = int(dice.choice(singles))
    return string[:i] + (string[i] * 2 if kind == 1 else "") + string[i + 1 :]


def _swappable(pair: str) -> bool:
    """Whether two neighbours, swapped, make another word."""
    return len(pair) == 2 and pair[1].isalnum() and pair[0].lower() != pair[1].lower()


_OTHER_CAST = {"warm": "cool", "cool": "warm"}
_MIRROR = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}


def _hex(rgb: np.ndarray) -> str:
    return "#" + "".join(f"{int(v):02x}" for v in rgb)


def _spoiled_thing(drawable: Drawable, dice: np.random.Generator) -> Drawable | None:
    ways: list[Drawable] = []
    if drawable.colours:
        ways.append(replace(drawable, colours=(_hex(opposite(colour(drawable.colours[0]))),)))
    if drawable.count > 1:
        ways.append(replace(drawable, count=drawable.count + (1 if drawable.count < 3 or dice.random() < 0.5 else -1)))
    if ways and dice.random() < 0.55:
        return ways[int(dice.integers(len(ways)))]
    return None


def _spoiled_colour(drawable: Drawable) -> Drawable:
    if drawable.name == "saturation":
        wanted = drawable.amount or 0.6
        return replace(drawable, amount=wanted - 0.35 if wanted > 0.5 else wanted + 0.4)
    if drawable.name == "palette":
        return replace(drawable, colours=_foreign(drawable.colours))
    return replace(drawable, colours=tuple(_hex(opposite(colour(c))) for c in drawable.colours))


def _foreign(names: tuple[str, ...]) -> tuple[str, ...]:
    """Three tones of the hue that is furthest from all of the named colours."""
    taken = [colorsys.rgb_to_hsv(*(float(v) / 255 for v in colour(name)))[0] for name in names]
    hue = max((n / 24 for n in range(24)), key=lambda h: min(min(abs(h - t), 1 - abs(h - t)) for t in taken))
    tones = (colorsys.hsv_to_rgb(hue, s, v) for s, v in ((0.45, 0.95), (0.7, 0.7), (0.7, 0.45)))
    return tuple(_hex(np.array(tone) * 255) for tone in tones)
