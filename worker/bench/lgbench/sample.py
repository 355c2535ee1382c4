"""Sampling: which goals a task has. What came before narrows what can come: tags, things and places."""

import random
from dataclasses import dataclass, field

from director.errors import BriefError
from director.types import GoalType
from worker.bench.lgbench.pool import SHARES, Pool, Rule, Theme, plural
from worker.bench.lgbench.records import GoalRecord, Modality

LEADS = {GoalType.ADD_OBJECT: "Add ", GoalType.TEXT: "Include the text "}
"""What stands in front of a goal's core in its description; a brief says it in its own way."""

_ABOUT_THINGS = {GoalType.COLOR: 0.35, GoalType.LIGHTING: 0.35, GoalType.COMPOSITION: 0.5}
"""Chance that a colour, light or layout is asked of one thing rather than of the whole picture."""
_COUNTED, _SIZED, _TINTED, _RELATED, _LOOSE = 0.1, 0.12, 0.6, 0.2, 0.3
_SOURCE_THINGS = 4
_ORDER = (
    GoalType.ADD_OBJECT, GoalType.TEXT, GoalType.LIGHTING, GoalType.COLOR, GoalType.EFFECT, GoalType.COMPOSITION
)  # fmt: skip


def mixed(goals: int, shares: dict[GoalType, float], dice: random.Random) -> dict[GoalType, int]:
    """How many goals of each type: the whole part of its share, the rest by lot, so that the means are the shares."""
    exact = {kind: goals * share / sum(shares.values()) for kind, share in shares.items()}
    counts = {kind: int(value) for kind, value in exact.items()}
    for _ in range(goals - sum(counts.values())):
        left = {kind: max(0.0, exact[kind] - counts[kind]) for kind in counts}
        counts[dice.choices(list(left), list(left.values()))[0]] += 1
    return counts


@dataclass
class Task:
    """The goals so far, and a sentence for the picture that an i2i task starts from."""

    goals: list[GoalRecord] = field(default_factory=list[GoalRecord])
    source: str = ""


class Sampler:
    """Samples the goals of one task."""

    def __init__(self, pool: Pool, theme: Theme, modality: Modality, dice: random.Random) -> None:
        self._pool = pool
        self._theme = theme
        self._modality: Modality = modality
        self._dice = dice
        self._task = Task()
        self._tags: dict[str, int] = {}  # tag of a rule for the whole picture -> its goal
        self._single: dict[
            str, int
        ] = {}  # things of which there is one -> the goal that adds it, -1 if the source has it
        self._settled: dict[str, set[GoalType]] = {}  # what was said of each of them, by type of goal
        # Each side of the picture is one place or two corners: places that overlap can't all be kept.
        self._places = [place for choices in pool.places for place in dice.choice(choices)]
        self._stands: dict[str, str] = {}  # single things -> where they were asked to be
        self._fresh = list(theme.things)
        lines = list(theme.lines)
        for each in (self._places, self._fresh, lines):
            dice.shuffle(each)
        self._strings = [dice.choice(theme.headlines), *lines]
        self._text_places = list(pool.text_places)
        self._crowd = 0  # things that the task will have

    def task(self, goals: int) -> Task:
        """`goals` goals, to the paper's mix of types as far as the pool reaches."""
        if self._modality == "i2i":
            self._source()
        counts = mixed(goals, SHARES[self._modality], self._dice)
        self._crowd = counts[GoalType.ADD_OBJECT] + len(self._single)
        taken = self._text_places[: counts[GoalType.TEXT]]
        self._places = [place for place in self._places if place not in taken]
        # Rules of layout come first, because they say where things may stand; so do rules that clash with few others.
        about = sum(
            self._dice.random() < _ABOUT_THINGS[GoalType.COMPOSITION] for _ in range(counts[GoalType.COMPOSITION])
        )
        first = sum(self._whole(GoalType.COMPOSITION) for _ in range(counts[GoalType.COMPOSITION] - about))
        counts[GoalType.COMPOSITION] -= first
        for kind in _ORDER:
            for _ in range(counts[kind]):
                self._one(kind)
        self._mark_strains()
        return self._task

    def _source(self) -> None:
        """What the picture to edit shows: a few things, each in a place and a colour of its own."""
        said: list[str] = []
        for _ in range(_SOURCE_THINGS):
            thing = self._fresh.pop()
            self._single[thing] = -1
            tint, place = self._dice.choice(self._pool.tints), self._places.pop() if self._places else ""
            said.append(f"{_article(tint)} {tint} {thing} {place}".strip())
            self._stands[thing], self._settled[thing] = place, set()
        said.append(f"a background in {self._dice.choice(self._pool.backgrounds)}")
        self._task.source = ". ".join(f"There is {each}" for each in said) + "."

    def _one(self, kind: GoalType) -> None:
        """One more goal of a type, or of another when the pool has no more of it, or a thing of another theme."""
        order = [kind, *(other for other in GoalType if other is not kind)]
        if not any(self._try(each) for each in order) and not self._guest():
            raise BriefError(f"the pool has no more than {len(self._task.goals)} goals", "ask for fewer", "--goals")

    def _try(self, kind: GoalType) -> bool:
        if kind is GoalType.ADD_OBJECT:
            return self._thing()
        if kind is GoalType.TEXT:
            return self._string()
        if self._dice.random() < _ABOUT_THINGS.get(kind, 0.0) and self._about(kind):
            return True
        return self._whole(kind) or self._about(kind)

    # --- things -----------------------------------------------------------------------------------

    def _thing(self) -> bool:
        if not self._fresh:
            return False
        thing, dice = self._fresh.pop(), self._dice
        many = dice.random() < _COUNTED and " of " not in thing and not self._tags.keys() & _ARRANGE
        words = [*self._adjectives(thing, many), plural(thing) if many else thing]
        place, parents = ("", ()) if many else self._where()
        named = " ".join(words if many else [_article(words[0]), *words])
        index = self._add(GoalType.ADD_OBJECT, f"{named} {place}".strip(), parents)
        if not many:
            self._single[thing], self._stands[thing] = index, place
            tinted = any(word in self._pool.tints for word in words)
            self._settled[thing] = ({GoalType.COLOR} if tinted else set()) | (
                {GoalType.COMPOSITION} if place else set()
            )
        return True

    def _adjectives(self, thing: str, many: bool) -> list[str]:
        """A number for many, perhaps a size for one, perhaps a colour."""
        dice = self._dice
        words = [dice.choice(self._pool.numbers)] if many else []
        if not many and dice.random() < _SIZED:
            words.append(dice.choice(self._pool.sizes))
        if dice.random() < _TINTED or thing in self._pool.pale:
            words.append(dice.choice(self._pool.tints))
        return words

    def _guest(self) -> bool:
        """A thing that belongs to another theme, for a task that asks for more than its own theme has."""
        own = {*self._theme.things, *self._single}
        themes = [theme for inner in self._pool.themes.values() for theme in inner.values()]
        self._fresh = sorted({thing for theme in themes for thing in theme.things} - own)
        self._dice.shuffle(self._fresh)
        self._theme = self._theme.model_copy(update={"things": (*self._theme.things, *self._fresh)})
        return self._thing()

    def _where(self) -> tuple[str, tuple[int, ...]]:
        """A place of its own, or one beside a thing that is there; nothing when the layout decides."""
        if self._tags.keys() & _ARRANGE:
            return "", ()
        if self._dice.random() < _RELATED and (beside := self._beside()):
            return beside
        usable = [place for place in self._places if "clear" not in self._tags or "upper" not in place]
        if not usable or self._dice.random() < _LOOSE:
            return "", ()
        self._places.remove(usable[0])
        return usable[0], ()

    def _beside(self) -> tuple[str, tuple[int, ...]] | None:
        """Beside a thing, on a side where there is room for it."""
        anchors = [thing for thing, place in self._stands.items() if place in self._pool.relations]
        if not anchors:
            return None
        anchor = self._dice.choice(anchors)
        relations = self._pool.relations[self._stands[anchor]]
        parent = self._single[anchor]
        self._stands[anchor] = ""  # its side is taken now
        self._settled[anchor].add(GoalType.COMPOSITION)
        return f"{self._dice.choice(relations)} the {anchor}", () if parent < 0 else (parent,)

    def _string(self) -> bool:
        if not self._strings or not self._text_places:
            return False
        string, place = self._strings.pop(0), self._text_places.pop(0)
        style = self._dice.choice(self._pool.styles[:1] if string.isupper() else self._pool.styles[1:])
        self._add(GoalType.TEXT, f"'{string}' {style} {place}")
        return True

    # --- rules ------------------------------------------------------------------------------------

    def _whole(self, kind: GoalType) -> bool:
        """A rule for the whole picture that can come true beside those that are set."""
        rules = [rule for rule in self._pool.rules(kind) if self._possible(rule)]
        if not rules:
            return False
        rule = self._dice.choice(rules)
        self._tags[rule.tag] = self._add(kind, self._filled(rule))
        return True

    def _about(self, kind: GoalType) -> bool:
        """A rule for one thing that is there."""
        rules = [rule for rule in self._pool.thing_rules(kind) if self._possible(rule)]
        things = [thing for thing, settled in self._settled.items() if kind not in settled]
        if not rules or not things:
            return False
        thing = self._dice.choice(things)
        self._settled[thing].add(kind)
        parent = self._single[thing]
        rule = self._dice.choice(rules)
        index = self._add(kind, self._filled(rule, thing), () if parent < 0 else (parent,))
        if rule.once:
            self._tags[rule.tag] = index
        return True

    def _possible(self, rule: Rule) -> bool:
        clashes = {b if a == rule.tag else a for a, b in self._pool.against if rule.tag in (a, b)}
        fits = rule.crowd is None or rule.crowd[0] <= self._crowd <= rule.crowd[1]
        fits = fits and rule.only in (None, self._modality)
        return fits and rule.tag not in self._tags and not clashes & self._tags.keys()

    def _filled(self, rule: Rule, thing: str = "") -> str:
        pool, dice = self._pool, self._dice
        percent = dice.randrange(rule.percent[0], rule.percent[1] + 1, 5) if rule.percent else 0
        words = {
            "palette": pool.palettes, "background": pool.backgrounds, "cast": pool.casts, "side": pool.sides,
            "tone": pool.tones, "clear": pool.clears, "tint": pool.tints,
        }  # fmt: skip
        chosen = {slot: dice.choice(choices) for slot, choices in words.items() if f"{{{slot}}}" in rule.text}
        return rule.text.format(percent=percent, level=pool.level(percent), thing=thing, **chosen)

    def _add(self, kind: GoalType, text: str, parents: tuple[int, ...] = ()) -> int:
        lead = LEADS.get(kind, "")
        description = lead + text if lead else text[0].upper() + text[1:]
        self._task.goals.append(GoalRecord(type=kind, description=description, parents=parents))
        return len(self._task.goals) - 1

    def _mark_strains(self) -> None:
        goals = self._task.goals
        for a, b in self._pool.strains:
            if a in self._tags and b in self._tags:
                for one, other in ((self._tags[a], self._tags[b]), (self._tags[b], self._tags[a])):
                    conflicts = (*goals[one].conflicts, other)
                    goals[one] = goals[one].model_copy(update={"conflicts": tuple(sorted(set(conflicts)))})


_ARRANGE = {"symmetry", "diagonal"}
"""Layouts that say where every thing stands."""


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" or word.startswith("hour") else "a"
