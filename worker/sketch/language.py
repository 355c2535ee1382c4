"""What the studio understands of English: text -> drawables.

One parse serves all four seats, so a goal means the same to planner, editor and verifier.
Best effort on prose; exact on plain sentences such as "Add three orange maple leaves on the left".
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Literal, NamedTuple

from director.prompts.absence import parts
from director.prompts.clauses import clauses
from director.types import Region
from worker.sketch.lexicon import colours, lexicon, nouns, pattern
from worker.sketch.strings import masked, strings

Kind = Literal["thing", "text", "effect", "light", "colour", "layout"]
Verb = Literal["add", "remove"]


@dataclass(frozen=True)
class Drawable:
    """One thing that can be drawn, missed and seen; what is None or empty was not asked for.

    `name` is a noun of the lexicon, or the effect, light, colour or layout rule. `count` 0 means
    "some", and `alone` that one and no more was asked for. `height` and `amount` are fractions, of the
    picture's height and of full strength. `anchor` is the noun that `relation` speaks of ("left" of the "cup").
    """

    kind: Kind
    name: str
    colours: tuple[str, ...] = ()
    count: int = 1
    height: float | None = None
    region: Region | None = None
    anchor: str = ""
    relation: str = ""
    string: str = ""
    amount: float | None = None
    style: tuple[str, ...] = ()
    verb: Verb = "add"
    alone: bool = False
    clause: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """What is drawn, whatever the words: the same in a brief, a goal and an instruction."""
        return "|".join((self.kind, self.name, *self.colours, str(self.count), self.string, self.anchor, self.verb))

    @property
    def latent(self) -> str:
        """What its ease depends on: what is drawn, in which amount, and by which side of what."""
        return f"{self.key}|{self.amount}|{self.relation}"


@lru_cache(maxsize=2048)
def parse(text: str) -> tuple[Drawable, ...]:
    """Everything drawable that `text` asks for, in its order, each once."""
    found: dict[str, Drawable] = {}
    for clause in clauses(text):
        for drawable in _clause(clause.text):
            found.setdefault(f"{drawable.key}|{drawable.region}|{drawable.relation}", drawable)
    return tuple(found.values())


def ruled_out(text: str) -> tuple[Drawable, ...]:
    """Everything drawable that `text` names, as things that must not be there."""
    return tuple(d for clause in clauses(text) for d in _clause(clause.text, absent=True))


def _clause(text: str, absent: bool = False) -> list[Drawable]:
    found: list[Drawable] = []
    for start, end, negative in parts(text, masked(text)):
        named = _part(text[start:end], "remove" if negative or absent else "add")
        found += [replace(d, verb="remove") for d in named] if negative or absent else named
    return [replace(d, clause=text) for d in found]


def _part(text: str, verb: Verb) -> list[Drawable]:
    words = masked(text)
    if said := strings(text):
        ground = _GROUND.search(words)
        of_letters = words[: ground.start()] + " " * len(ground[0]) + words[ground.end() :] if ground else words
        set_on = [Drawable("colour", "background", (ground[1].lower(),))] if ground else []
        return [*(_set(text, of_letters, string, end) for string, end in said), *set_on]
    special, rest = _special(words)
    return special + _things(rest, alone=not special, verb=verb)


# --- type ---------------------------------------------------------------------------------------

_STYLES = lexicon("cues")["styles"]


def _set(text: str, words: str, string: str, end: int) -> Drawable:
    """The drawable of one string; what is said after it counts before what is said in front of it."""
    after, around = words[end:], words
    style = tuple(name for name, cue in _STYLES.items() if re.search(cue, around, re.IGNORECASE))
    anchor, relation = _relation(around)
    tint = _colours(after) or _colours(around)
    return Drawable(
        "text",
        "text",
        tint[:1] if not anchor or tint else (),
        region=region_of(after) or region_of(around),
        anchor=anchor,
        relation=relation,
        string=string,
        style=style,
    )


# --- places -------------------------------------------------------------------------------------

_V = {"upper": "top", "top": "top", "lower": "bottom", "bottom": "bottom"}
_CORNERS = {
    "top left": (0, 0, 0.5, 0.45),
    "top right": (0.5, 0, 1, 0.45),
    "bottom left": (0, 0.55, 0.5, 1),
    "bottom right": (0.5, 0.55, 1, 1),
}
_CORNER = re.compile(r"\b(upper|top|lower|bottom)[\s-]+(?:hand[\s-]+)?(left|right)\b", re.IGNORECASE)
_SHARE = re.compile(
    r"\b(top|upper|bottom|lower|left|right)(?:most)?[\s-]+(?:(\d{1,2})\s?%|(third|quarter|half|fifth))", re.IGNORECASE
)
_SHARES = {"third": 1 / 3, "quarter": 0.25, "half": 0.5, "fifth": 0.2}
_PLACES: list[tuple[str, tuple[float, float, float, float]]] = lexicon("cues")["places"]


@lru_cache(maxsize=2048)
def region_of(text: str) -> Region | None:
    """The first stated place in `text`: a corner, a share ("lower quarter"), an edge or the middle."""
    if match := _CORNER.search(text):
        return _box(*_CORNERS[f"{_V[match[1].lower()]} {match[2].lower()}"])
    if match := _SHARE.search(text):
        part = _SHARES[match[3].lower()] if match[3] else max(0.1, int(match[2]) / 100)
        side = match[1].lower()
        box = {"left": (0, 0, part, 1), "right": (1 - part, 0, 1, 1)}.get(side)
        return _box(*(box or ((0, 0, 1, part) if _V[side] == "top" else (0, 1 - part, 1, 1))))
    hits = [tuple(box) for cue, box in _PLACES if re.search(cue, text, re.IGNORECASE)]
    if len(hits) > 1 and hits[1][:2] == (0.27, 0.2):
        # "centred at the bottom": the middle of that edge
        x0, y0, x1, y1 = hits[0]
        return _box(0.2, y0, 0.8, y1) if x1 - x0 == 1 else _box(x0, 0.2, x1, 0.85)
    return _box(*hits[0]) if hits else None


def _box(x0: float, y0: float, x1: float, y1: float) -> Region:
    return Region(x0=x0, y0=y0, x1=x1, y1=y1)


_RELATIONS = lexicon("cues")["relations"]


@cache
def _relation_cue() -> re.Pattern[str]:
    names = "|".join(f"(?P<{name}>{cue})" for name, cue in _RELATIONS.items())
    return re.compile(
        rf"\b(?:{names})\s+(?:the|its|his|her|their|that|this)\s+(?:[\w-]+\s+){{0,2}}?(?P<noun>{_surfaces()[0]})\b",
        re.IGNORECASE,
    )


def _relation(words: str) -> tuple[str, str]:
    """The noun that a place is stated by, and how: ("cup", "left"), or two empty strings."""
    if not (match := _relation_cue().search(words)):
        return "", ""
    relation = next(name for name in _RELATIONS if match[name])
    return _surfaces()[1][match["noun"].lower()][0], relation


# --- things -------------------------------------------------------------------------------------


_PLURALS = (
    "maple leaves", "autumn leaves", "fallen leaves", "leaves", "cherries", "daisies", "butterflies", "mice", "cacti",
)  # fmt: skip


@cache
def _surfaces() -> tuple[str, dict[str, tuple[str, bool]]]:
    """A pattern of all nouns, longest first, and for each form its noun and whether it is plural."""
    forms: dict[str, tuple[str, bool]] = {}
    for name, noun in nouns().items():
        for word in noun.words:
            forms.setdefault(_plural(word), (name, True))
            forms[word] = (name, word in _PLURALS)
    pattern = "|".join(re.escape(form) for form in sorted(forms, key=lambda form: (-len(form), form)))
    return pattern, forms


def noun_of(words: str) -> str:
    """The noun of the lexicon that `words` end with, or an empty string."""
    match = re.search(rf"\b(?:{_surfaces()[0]})$", words, re.IGNORECASE)
    return _surfaces()[1][match[0].lower()][0] if match else ""


def _plural(word: str) -> str:
    first, link, rest = word.partition(" of ")
    if link:
        return f"{_plural(first)}{link}{rest}"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return word if word.endswith(("leaves", "ves")) else word + ("es" if word.endswith(("s", "x", "ch", "sh")) else "s")


_NUMBERS = {
    word: n
    for n, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    )
}
_COUNT = re.compile(
    rf"\b(?:(?P<word>{'|'.join(_NUMBERS)})(?!-)|(?P<digits>\d{{1,2}})(?!\s?%|-)|(?P<pair>pair of|couple of)"
    r"|(?P<few>a few|few)|(?P<several>several)|(?P<dozen>dozen)|(?P<row>rows? of|string of|line of))\b",
    re.IGNORECASE,
)
_ONE = re.compile(r"\b(?:one|1|single|lone|solitary)\b", re.IGNORECASE)
_SIZES = (
    (r"\b(?:giant|huge|enormous|oversized|monumental)\b", 0.4),
    (r"\b(?:large|big|tall)\b", 0.3),
    (r"\btiny\b", 0.085),
    (r"\b(?:small|little)\b", 0.115),
)
_HEIGHT = pattern("height")
_BOUNDARY = pattern("boundary")
_DEFINITE = pattern("definite")
_INDEFINITE = pattern("indefinite")
_REMOVE = pattern("remove")
_TAIL = pattern("tail")


_MIXED = re.compile("|".join(rf"\b{name}\b" for name in sorted(colours()) if " " in name or "-" in name), re.IGNORECASE)
_BLANK = {ord(c): " " for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-"}


def _things(words: str, alone: bool, verb: Verb) -> list[Drawable]:
    """The things of a clause. "the cup" points at a thing: it is drawn only by who first speaks of it."""
    anchor, relation = _relation(words)
    region, height = region_of(words), _height(words)
    verb = "remove" if _REMOVE.search(words) else verb
    found: list[Drawable] = []
    for noun in _named(words):
        definite = bool(_DEFINITE.search(noun.phrase))
        if definite and noun.name == anchor:
            continue
        if definite and verb == "add":
            if alone and not found:
                found += _of(noun.name, noun.colours, region, height)
            continue
        if verb == "add" and not _is_stated(noun) and (not alone or (found and not noun.plural)):
            continue  # "coffee … cup": a second bare noun, or one beside a light, is mostly a manner of speaking
        count, size = _count(noun.phrase, noun.plural), height or _size(noun.phrase)
        thing = Drawable("thing", noun.name, noun.colours, count, size, region, anchor, relation, verb=verb)
        found.append(replace(thing, alone=_is_alone(noun.phrase, count)))
    return found


class _Named(NamedTuple):
    """A noun as a clause names it; `phrase` is what stands in front of it."""

    name: str
    plural: bool
    phrase: str
    colours: tuple[str, ...]


def _named(words: str) -> Iterator[_Named]:
    """The nouns of a clause, in their order."""
    pattern, forms = _surfaces()
    start = 0
    unmixed = _MIXED.sub(lambda match: match[0].translate(_BLANK), words)  # "mint green" is no herb
    unmixed = _KEY_LIGHT.sub(lambda match: match[0].translate(_BLANK), unmixed)
    for match in re.finditer(rf"\b(?:{pattern})\b", unmixed, re.IGNORECASE):
        phrase = words[start : match.start()]
        for edge in _BOUNDARY.finditer(phrase):
            phrase = words[start + edge.end() : match.start()]
        start = match.end()
        tail = _TAIL.match(words, match.end())
        yield _Named(*forms[match[0].lower()], phrase, _colours(phrase) or (_colours(tail[1]) if tail else ()))


def _is_stated(noun: _Named) -> bool:
    return bool(_INDEFINITE.search(noun.phrase) or _COUNT.search(noun.phrase))


def _size(phrase: str) -> float | None:
    return next((size for cue, size in _SIZES if re.search(cue, phrase, re.IGNORECASE)), None)


def _of(name: str, tint: tuple[str, ...], region: Region | None, height: float | None) -> list[Drawable]:
    """What is said of a thing that is there already: its colour, its place, its size."""
    found: list[Drawable] = []
    if tint:
        found.append(Drawable("colour", "of", tint[:1], anchor=name))
    if region or height:
        found.append(Drawable("layout", "place", height=height, region=region, anchor=name))
    return found


def _count(phrase: str, plural: bool) -> int:
    """How many: a stated number, 1 for a singular, 0 ("some") for a bare plural; at most 12."""
    match = _COUNT.search(phrase)
    if not match or (match["word"] == "one" and plural):
        return 0 if plural else 1
    if match["word"] or match["digits"]:
        return min(12, max(1, _NUMBERS.get((match["word"] or "").lower(), int(match["digits"] or 1))))
    return 2 if match["pair"] else 12 if match["dozen"] else 3 if match["few"] else 0 if plural else 1


def _is_alone(phrase: str, count: int) -> bool:
    """Whether the phrase says that there is one, and no more."""
    return count == 1 and bool(_ONE.search(phrase))


def _height(words: str) -> float | None:
    match = _HEIGHT.search(words)
    if not match:
        return None
    part = (match[2] or match[3] or "").lower()
    return round(_SHARES[part] if part else int(match[1]) / 100, 3)


@cache
def _colour_cue() -> re.Pattern[str]:
    names = "|".join(re.escape(name) for name in sorted(colours(), key=lambda name: (-len(name), name)))
    return re.compile(rf"\b(?:{names})\b", re.IGNORECASE)


def _colours(words: str) -> tuple[str, ...]:
    """Colour words in their order, each once."""
    return tuple(dict.fromkeys(match[0].lower() for match in _colour_cue().finditer(words)))


# --- effects, light, colour and composition -----------------------------------------------------

_AMOUNT = re.compile(r"(\d{1,3})\s?%")
_EFFECTS = lexicon("cues")["effects"]
_STEAM = r"\bsteam\b(?! ?(?:train|ship|engine))|\bsmoke\b"
_LIGHT = pattern("light")
_KEY_LIGHT = pattern("key_light")
_SIDE = pattern("side")
_TINTS = {
    "warm": r"\b(?:warm|golden|amber|candle-?lit|sunset|sunrise)\b",
    "cool": r"\b(?:cool|cold|bluish|icy|moonlit)\b",
}
_NAMED_LIGHT = lexicon("cues")["lights"]
_LAYOUTS = lexicon("cues")["layouts"]
_PALETTE = pattern("palette")
_BACKDROP = pattern("backdrop")
_SATURATION = pattern("saturation")
_SATURATIONS: list[tuple[str, float]] = lexicon("cues")["saturations"]


def _special(words: str) -> tuple[list[Drawable], str]:
    """The effects, lights, colours and layouts of a clause, and what is left of its words."""
    found = [*_lights(words), *_effects(words), *_colour_rules(words)]
    found += _layouts(words) if not found else []
    if not found:
        return [], words
    for cue in (*_EFFECTS.values(), *_NAMED_LIGHT.values(), *_LAYOUTS.values(), _STEAM):
        words = re.sub(cue, " ", words, flags=re.IGNORECASE)
    return found, words


def _amount(words: str) -> float | None:
    match = _AMOUNT.search(words)
    return min(100, int(match[1])) / 100 if match else None


def _effects(words: str) -> list[Drawable]:
    anchor, relation = _relation(words)
    if re.search(_STEAM, words, re.IGNORECASE):
        return [Drawable("thing", "steam", anchor=anchor or _first(words), relation="on")]
    tint, place, amount = _colours(words)[:1], region_of(words), _amount(words)
    found = [name for name, cue in _EFFECTS.items() if re.search(cue, words, re.IGNORECASE)]
    return [
        Drawable("effect", name, tint if name == "frame" else (), 1, None, place, anchor, relation, amount=amount)
        for name in found
    ]


def _first(words: str) -> str:
    match = re.search(rf"\b(?:{_surfaces()[0]})\b", words, re.IGNORECASE)
    return _surfaces()[1][match[0].lower()][0] if match else ""


def _lights(words: str) -> list[Drawable]:
    tints = tuple(tint for tint, cue in _TINTS.items() if re.search(cue, words, re.IGNORECASE))[:1]
    name = next((name for name, cue in _NAMED_LIGHT.items() if re.search(cue, words, re.IGNORECASE)), "")
    side = _SIDE.search(words)
    if name and not (name == "glow" and side and not _anchor(words)):
        return [_named_light(name, words, tints)]
    if side:
        return [Drawable("light", "side", tints, relation=_direction(side))]
    return [Drawable("light", "tint", tints)] if tints and _LIGHT.search(words) else []


def _named_light(name: str, words: str, tints: tuple[str, ...]) -> Drawable:
    if name not in ("glow", "spot"):
        return Drawable("light", name)
    anchor = _anchor(words)
    region = None if anchor else region_of(words)
    return Drawable("light", name, tints if name == "glow" else (), region=region, anchor=anchor)


def _anchor(words: str) -> str:
    return _relation(words)[0] or _first(words)


def _direction(match: re.Match[str]) -> str:
    vertical, side = (match[1] or match[3] or "").lower(), (match[2] or match[4]).lower()
    side = {"above": "top", "below": "bottom"}.get(side, side)
    return f"{_V[vertical]} {side}" if vertical else side


def _colour_rules(words: str) -> list[Drawable]:
    tints = _colours(words)
    palette = [Drawable("colour", "palette", tints[:4])] if tints and _PALETTE.search(words) else []
    if _SATURATION.search(words):
        stated = (value for cue, value in _SATURATIONS if re.search(cue, words, re.IGNORECASE))
        return [Drawable("colour", "saturation", amount=_amount(words) or next(stated, 0.6)), *palette]
    if tints and not palette and (match := _BACKDROP.search(words)):
        near = _backdrop_colour(words[max(0, match.start() - 24) : match.start()], words[match.end() :][:40])
        return [Drawable("colour", "background", near)] if near else []
    return palette


def _backdrop_colour(before: str, after: str) -> tuple[str, ...]:
    """The colour that is said right before a word for the background, or right after it; at most one."""
    near = _colours(before)[-1:] if _BARE_TAIL.search(before) else ()
    return near or (_colours(after)[:1] if _COPULA.match(after) else ())


_ANY_COLOUR = "|".join(sorted(colours(), key=lambda name: (-len(name), name)))
_BARE_TAIL = re.compile(rf"\b(?:{_ANY_COLOUR})\s+(?:[a-z]+\s+)?$", re.IGNORECASE)
_COPULA = re.compile(r"\s*(?:is|in|of|:|stays|as|should be|turns?|becomes?|to)\b", re.IGNORECASE)


_GROUND = re.compile(
    rf"\b(?:on|against|over|with)\s+(?:an?\s+|the\s+)?(?:\w+\s+)?({_ANY_COLOUR})\s+(?:\w+\s+)?(?:background|backdrop|ground)\b",
    re.IGNORECASE,
)
"""What lettering stands on: "the headline on a navy background". Its colour is not that of the letters."""


def _layouts(words: str) -> list[Drawable]:
    for name, cue in _LAYOUTS.items():
        if re.search(cue, words, re.IGNORECASE):
            anchor = _first(words)
            if anchor and name in ("third", "clear", "margins") and (region := region_of(words)) and name == "third":
                return [Drawable("layout", "place", region=region, anchor=anchor)]
            if name == "third" and not anchor:
                return []
            return [Drawable("layout", name, region=region_of(words), anchor=anchor if name == "third" else "")]
    return []
