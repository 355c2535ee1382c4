"""The embedded studio: a planner, a raster editor, a judge and a verifier without weights or a GPU.

It draws comps and says so in everything it reports. It behaves as a diffusion stack does: text in,
pixels out, and some goals missed; the picture is its only state.
"""

from director.seats import Studio


def sketch_studio(profile: str = "flux-krea") -> Studio:
    """The four seats. `profile` is checked here; the editor then serves whichever a request names.

    Raises ValueError, with the profiles there are, when there is none of that name.
    """
    # imported here, so that naming the studio does not load numpy and scipy
    from worker.sketch.editor import SketchEditor
    from worker.sketch.misses import profile as known
    from worker.sketch.planner import SketchPlanner
    from worker.sketch.verifier import SketchJudge, SketchVerifier

    known(profile)
    return Studio(SketchPlanner(), SketchEditor(), SketchJudge(), SketchVerifier())


def profiles() -> tuple[str, ...]:
    """The names of the profiles there are; they serve as model names of the editor."""
    from worker.sketch.misses import profiles as known

    return known()
