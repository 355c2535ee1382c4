"""The sketch's editor: an instruction, a picture or none, a mask or none and seeds in; pictures out.

Stateless as a diffusion stack is: what an edit has to know, it sees in the pixels.
"""

from functools import partial

from director.seats import Context, Raster, RenderRequest
from director.types import DRAFT, SIDE, Candidate, Rendered
from worker.sketch import draw
from worker.sketch.draw import Canvas
from worker.sketch.language import parse
from worker.sketch.misses import MissModel, asked, load_miss_model, rng, spoiled
from worker.sketch.passes import generated
from worker.sketch.retouch import edited
from worker.sketch.segment import Segments, segment


class SketchEditor:
    """`RenderRequest.model` names a miss model, unless `miss_model` is given. A draft is as good as a full picture."""

    def __init__(self, miss_model: MissModel | None = None) -> None:
        self._miss_model = miss_model

    def render(self, request: RenderRequest, context: Context) -> Rendered:
        miss_model = self._miss_model or load_miss_model(request.model.removesuffix(DRAFT))
        base = segment(context.images.get(request.base)) if request.base else None
        candidates: list[Candidate] = []
        for i, seed in enumerate(request.seeds):
            context.check()
            rgb = draw.pixels(paint(request, miss_model, base, seed))
            raster = Raster("RGB", rgb.shape[1], rgb.shape[0], rgb.tobytes())
            image = context.images.put_raster(raster, partial(draw.encoded, rgb))
            candidates.append(Candidate(image=image, seed=seed))
            context.progress(f"sketch {miss_model.name}", i + 1, len(request.seeds))
        return Rendered(candidates=tuple(candidates), by=f"sketch-editor:{miss_model.name}")


def paint(request: RenderRequest, miss_model: MissModel, base: Segments | None, seed: int) -> Canvas:
    """One candidate. Misses, and with them everything else, depend on miss model, instruction and seed."""
    # A new picture without something is no harder than one that nobody spoke of; of an old one, a light stays.
    removable = ("thing", "text") if base else ()
    wanted = tuple(d for d in parse(request.action.instruction) if d.verb == "add" or d.kind in removable)
    dice = rng("paint", request.action.instruction, seed)
    ask = asked(request.action.instruction, wanted, base is None, request.action.region is not None)
    plan = tuple(done for d in wanted if (done := d if miss_model.drawn(d, ask, seed) else spoiled(d, miss_model.name)))
    if base is None:
        return generated(plan, request.width or SIDE, request.height or SIDE, dice).canvas
    return edited(base, plan, wanted, request.action.region, miss_model, dice)
