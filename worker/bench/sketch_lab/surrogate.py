"""A studio without pixels: a picture is the list of what came out right in it.

It misses by the same miss model as the sketch's editor and runs in the same loop, a hundred times faster.
It serves to fit a miss model, never to get a result.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist

from director.errors import StoreError
from director.seats import Context, Raster, RenderRequest, SelectRequest, Studio, VerifyRequest
from director.types import Candidate, Goal, Outcome, Rendered, Selected, Verdict, Verified
from worker.sketch.language import Drawable, parse
from worker.sketch.misses import MissModel, asked, normal
from worker.sketch.planner import SketchPlanner

Right = frozenset[str]
"""The latents of what is drawn as asked."""


@dataclass(frozen=True)
class Wear:
    """What pixels add to the misses of a miss model: rough values, set by hand, near enough to start a fit from.

    Chances that an edit spoils something right that it does not name, anywhere and where a mask keeps it
    out, and that something rightly drawn can't be told from the picture.
    """

    free: float = 0.06
    masked: float = 0.007
    unseen: float = 0.03


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
        named = {d.latent for d in wanted}
        free = self.wear.free + self.habits.damage / 8  # one of about eight things
        worn = NormalDist().inv_cdf(self.wear.masked if masked else free)
        unseen = NormalDist().inv_cdf(self.wear.unseen)
        kept = {one for one in (base or frozenset()) - named if normal("wear", instruction, seed, one) > worn}
        new = {d.latent for d in wanted if self.habits.drawn(d, ask, seed)}
        return frozenset(kept | {one for one in new if normal("unseen", instruction, one) > unseen})


class Looker:
    """Verifier and judge that know."""

    def verify(self, request: VerifyRequest, context: Context) -> Verified:
        state = right(context.images.get(request.image))
        verdicts = tuple(_verdict(state, goal) for goal in request.goals)
        return Verified(image=request.image, verdicts=verdicts, again=request.again, by="surrogate")

    def select(self, request: SelectRequest, context: Context) -> Selected:
        states = [right(context.images.get(candidate.image)) for candidate in request.candidates]
        scores = [
            round(sum(met(state, goal) for goal in request.goals) / max(len(request.goals), 1), 4) for state in states
        ]
        best = scores.index(max(scores))
        return Selected(image=request.candidates[best].image, scores=tuple(scores), by="surrogate")


def met(state: Right, goal: Goal) -> bool:
    wanted = parse(goal.text)
    return bool(wanted) and all(d.latent in state for d in wanted)


def _verdict(state: Right, goal: Goal) -> Verdict:
    if not parse(goal.text):
        return Verdict(goal=goal.id, outcome=Outcome.UNSURE, score=0.5, confidence=0.2, by="surrogate")
    outcome, score = (Outcome.MET, 0.95) if met(state, goal) else (Outcome.MISSED, 0.05)
    return Verdict(goal=goal.id, outcome=outcome, score=score, confidence=0.95, by="surrogate")


def surrogate(habits: MissModel, wear: Wear = Wear()) -> Studio:
    looker = Looker()
    return Studio(SketchPlanner(), Editor(habits, wear), looker, looker)
