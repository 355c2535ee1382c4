"""The sketch's editor: an instruction, a picture or none, a mask or none and seeds in; pictures out.

Stateless as a diffusion stack is: what an edit has to know, it sees in the pixels.
"""

from director.seats import Context, RenderRequest
from director.types import Candidate, Rendered
from worker.sketch import draw
from worker.sketch.draw import Canvas
from worker.sketch.language import parse
from worker.sketch.misses import Profile, asked, profile, rng, spoiled
from worker.sketch.passes import generated
from worker.sketch.retouch import edited
from worker.sketch.see import Sight, sight


class SketchEditor:
    """Serves every profile: `RenderRequest.model` names one. `habits`, where given, stands in for all of them."""

    def __init__(self, habits: Profile | None = None) -> None:
        self._habits = habits

    def render(self, request: RenderRequest, context: Context) -> Rendered:
        habits = self._habits or profile(request.model)
        base = sight(context.images.get(request.base)) if request.base else None
        candidates: list[Candidate] = []
        for i, seed in enumerate(request.seeds):
            context.check()
            canvas = paint(request, habits, base, seed)
            candidates.append(Candidate(image=context.images.put(draw.to_png(canvas)), seed=seed))
            context.progress(f"sketch {habits.name}", i + 1, len(request.seeds))
        return Rendered(candidates=tuple(candidates), by=f"sketch-editor:{habits.name}")


def paint(request: RenderRequest, habits: Profile, base: Sight | None, seed: int) -> Canvas:
    """One candidate. Misses, and with them everything else, depend on profile, instruction and seed."""
    wanted = parse(request.action.instruction)
    dice = rng("paint", request.action.instruction, seed)
    ask = asked(request.action.instruction, wanted, base is None, request.action.region is not None)
    plan = tuple(done for d in wanted if (done := d if habits.drawn(d, ask, seed) else spoiled(d, habits.name)))
    if base is None:
        return generated(plan, request.width, request.height, dice).canvas
    return edited(base, plan, wanted, request.action.region, habits, dice)
