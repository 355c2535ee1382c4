"""The embedded studio: a planner, a raster editor, a judge and a verifier without weights or a GPU.

It draws comps and says so in everything it reports. It behaves as a diffusion stack does: text in,
pixels out, and some goals missed; the picture is its only state.
"""

from director.seats import Studio


def sketch_studio(model: str = "flux-krea") -> Studio:
    """The four seats. `model` is checked here; the editor then serves whichever a request names.

    Raises ValueError, with the models there are, when there is none of that name.
    """
    # imported here, so that naming the studio does not load numpy and scipy
    from worker.sketch.editor import SketchEditor
    from worker.sketch.misses import load_miss_model
    from worker.sketch.planner import SketchPlanner
    from worker.sketch.verifier import SketchJudge, SketchVerifier

    load_miss_model(model)
    return Studio(SketchPlanner(), SketchEditor(), SketchJudge(), SketchVerifier())


def model_names() -> tuple[str, ...]:
    """What a request may name as the model of the sketch's editor, in order."""
    from worker.sketch import misses

    return misses.model_names()
