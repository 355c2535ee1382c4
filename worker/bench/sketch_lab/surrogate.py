"""A studio without pixels: a picture is the list of what came out right in it, and of what is there, though wrong.

What is asked of a thing, its colour or a place beside it, is met only where that thing is there.
It misses by the same miss model as the sketch's editor and runs in the same loop, a hundred times faster.
It serves to fit a miss model, never to get a result.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from statistics import NormalDist

from director.errors import StoreError
from director.seats import Context, Raster, RenderRequest, SelectRequest, Studio, VerifyRequest
from director.types import Candidate, Goal, Outcome, Rendered, Selected, Verdict, Verified
from worker.sketch.language import Drawable, parse
from worker.sketch.misses import MissModel, asked, normal, rng, spoiled
from worker.sketch.planner import SketchPlanner

Right = frozenset[str]
"""The latents of what is drawn as asked, and `thing|<noun>|wrong` for a thing that is there but not as asked."""


Rates = float | Mapping[str, float]
"""A chance in [0, 1], for every drawable or by kind of drawable."""


@dataclass(frozen=True)
class Wear:
    """What pixels add to the misses of a miss model.

    `free` and `masked`: the chance, for each drawable that an edit names, that it spoils one that is right and not
    named, anywhere and where a mask keeps it out. `unseen`, `unseen_edit`: that something rightly drawn can't be
    told from the picture, a whole one or an edited one.
    """

    free: Rates = 0.06
    masked: Rates = 0.007
    unseen: Rates = 0.03
    unseen_edit: Rates | None = None

    def spoils(self, named: int, masked: bool, latent: str) -> float:
        """The chance that an edit of so many drawables spoils this one."""
        return 1 - (1 - _rate(self.masked if masked else self.free, latent)) ** max(named, 1)

    def hides(self, edit: bool, latent: str) -> float:
        """The chance that this one, though drawn right, is not seen."""
        return _rate(self.unseen if self.unseen_edit is None or not edit else self.unseen_edit, latent)


@cache
def measured_wear() -> Wear:
    """As counted in pixels by `wear`, with the damage of `MEASURED_DAMAGE`."""
    found = json.loads((files("worker.bench.sketch_lab") / "wear.json").read_text("utf-8"))
    # One lost of nothing lost: a kind that was never seen to suffer may still do.
    rates = {e: {k: (lost + 0.5) / (n + 1) for k, (lost, n) in found[e].items()} for e in EVENTS}
    return Wear(*(rates[event] for event in EVENTS))


EVENTS = ("free", "masked", "unseen", "unseen_edit")
MEASURED_DAMAGE = 0.12


def _rate(rates: Rates, latent: str) -> float:
    return rates[latent.partition("|")[0]] if isinstance(rates, Mapping) else rates


@dataclass
class Lists:
    """Images in memory by the hash of their bytes."""

    kept: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def get(self, image: str) -> bytes:
        if image not in self.kept:
            raise StoreError(f"there is no picture {image}")
        return self.kept[image]

    def put(self, png: bytes) -> str:
        name = hashlib.sha256(png).hexdigest()
        self.kept[name] = png
        return name

    def raster(self, image: str) -> Raster:
        raise StoreError(f"the picture {image} has no pixels")

    def put_raster(self, raster: Raster, encode: Callable[[], bytes]) -> str:
        return self.put(encode())


def right(data: bytes) -> Right:
    return frozenset(json.loads(data))


def listed(state: Right) -> bytes:
    return json.dumps(sorted(state)).encode()


@dataclass(frozen=True)
class Editor:
    """Draws lists by one profile, whatever model is asked for."""

    habits: MissModel
    wear: Wear

    def render(self, request: RenderRequest, context: Context) -> Rendered:
        base = right(context.images.get(request.base)) if request.base else None
        wanted = parse(request.action.instruction)
        return Rendered(
            candidates=tuple(
                Candidate(image=context.images.put(listed(self._drawn(request, wanted, base, seed))), seed=seed)
                for seed in request.seeds
            ),
            by="surrogate",
        )

    def _drawn(self, request: RenderRequest, wanted: tuple[Drawable, ...], base: Right | None, seed: int) -> Right:
        instruction, masked = request.action.instruction, request.action.region is not None
        ask = asked(instruction, wanted, base is None, masked)
        named = {one for d in wanted for one in (d.latent, _wrong(d))}
        more = 0.0 if masked else (self.habits.damage - MEASURED_DAMAGE) / 8  # one of about eight things

        def happens(what: str, chance: float, *parts: object) -> bool:
            return NormalDist().cdf(normal(self.habits.name, what, *parts)) < chance

        kept = {
            one
            for one in (base or frozenset()) - named
            if not happens("wear", self.wear.spoils(len(wanted), masked, one) + more, instruction, seed, one)
        }
        new = set[str]()
        for d in wanted:
            if self.habits.drawn(d, ask, seed):
                if not happens("unseen", self.wear.hides(base is not None, d.latent), instruction, d.latent):
                    new.add(d.latent)
            elif d.kind == "thing" and spoiled(d, self.habits.name):
                new.add(_wrong(d))
        return frozenset(kept | new)


def _wrong(d: Drawable) -> str:
    return f"thing|{d.name}|wrong"


@dataclass(frozen=True)
class Looker:
    """Verifier and judge that know, and err on a goal of a picture, always alike, with a chance of `errors`."""

    errors: float = 0.0

    def verify(self, request: VerifyRequest, context: Context) -> Verified:
        state = right(context.images.get(request.image))
        verdicts = tuple(_verdict(goal, self._sees(state, request.image, goal)) for goal in request.goals)
        return Verified(image=request.image, verdicts=verdicts, again=request.again, by="surrogate")

    def select(self, request: SelectRequest, context: Context) -> Selected:
        scores: list[float] = []
        for candidate in request.candidates:
            state = right(context.images.get(candidate.image))
            seen = sum(self._sees(state, candidate.image, goal) for goal in request.goals)
            scores.append(round(seen / max(len(request.goals), 1), 4))
        best = scores.index(max(scores))
        return Selected(image=request.candidates[best].image, scores=tuple(scores), by="surrogate")

    def _sees(self, state: Right, image: str, goal: Goal) -> bool:
        errs = self.errors > 0 and rng("erring", image, goal.text).random() < self.errors
        return met(state, goal) != errs


def met(state: Right, goal: Goal) -> bool:
    wanted = parse(goal.text)
    return bool(wanted) and all(d.latent in state and _stands(state, d.anchor) for d in wanted)


def _stands(state: Right, anchor: str) -> bool:
    """Whether what a drawable hangs on is there, as asked or not."""
    return not anchor or any(one.startswith(f"thing|{anchor}|") for one in state)


def _verdict(goal: Goal, seen: bool) -> Verdict:
    if not parse(goal.text):
        return Verdict(goal=goal.id, outcome=Outcome.UNSURE, score=0.5, confidence=0.2, by="surrogate")
    outcome, score = (Outcome.MET, 0.95) if seen else (Outcome.MISSED, 0.05)
    return Verdict(goal=goal.id, outcome=outcome, score=score, confidence=0.95, by="surrogate")


def surrogate(habits: MissModel, wear: Wear | None = None, errors: float = 0.0) -> Studio:
    """The studio of one profile; without `wear`, with what was measured."""
    looker = Looker(errors)
    return Studio(SketchPlanner(), Editor(habits, wear or measured_wear()), looker, looker)
