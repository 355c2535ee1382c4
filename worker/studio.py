"""The composition root of the seats: which backend fills them, by the profile that the settings name."""

from contextlib import ExitStack
from pathlib import Path

from director.seats import Studio
from director.types import DRAFT
from tasks.settings import Settings
from worker.diffusion.preservation import MeasuringVerifier
from worker.profiles import load_profile

SKETCH = "sketch"


def open_studio(settings: Settings, resources: ExitStack) -> Studio:
    """The four seats that the settings name. What has to be closed is entered into `resources`.

    A VLM need not answer yet, and weights are read when they are first needed.
    """
    from worker.sketch import sketch_studio

    studio = sketch_studio()
    if settings.studio == SKETCH:
        return studio
    profile = load_profile(settings.studio, settings).profile
    planner, judge, verifier, editor = studio.planner, studio.judge, studio.verifier, studio.editor
    decider = studio.decider
    if profile.vlm:
        from worker.vlm.seats import open_vlm_seats

        seats = open_vlm_seats(profile.vlm, resources, beside=studio)
        planner, judge, verifier, decider = seats.planner, seats.judge, seats.verifier, seats.decider
    if profile.editors:
        from worker.diffusion.editor import open_editor

        editor, verifier = open_editor(profile.editors, resources), MeasuringVerifier(verifier)
    if profile.policy:
        from worker.policy.decider import open_decider

        decider = open_decider(Path(profile.policy))
    limits = profile.editors.limits() if profile.editors else {}
    return Studio(planner=planner, editor=editor, judge=judge, verifier=verifier, limits=limits, decider=decider)


def editor_models(settings: Settings) -> tuple[str, ...]:
    """The models whose queues an editor worker serves."""
    if settings.editors:
        return settings.editors
    if settings.studio != SKETCH and (editors := load_profile(settings.studio, settings).profile.editors):
        return editors.models()
    from worker.sketch import model_names

    return (*model_names(), *(f"{name}{DRAFT}" for name in model_names()))
