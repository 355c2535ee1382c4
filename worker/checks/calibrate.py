"""`doctor --calibrate`: how far a verifier's model leans to yes, asked about pictures of which the answers are known.

The pictures are the sketch studio's, which knows what it drew: the goals of a picture's own brief are met, and most of
two other briefs' are not. A comp is no photograph: what is measured is how a model says yes and no.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from director.errors import BriefError, VerifierError, boundary
from director.seats import ExtractRequest, PlanRequest, RenderRequest, VerifyRequest
from director.types import Brief, Goal, ImageHash, Mode, Outcome
from tasks.store import FolderStore, Images
from worker.local import LocalContext
from worker.profiles import Profile
from worker.sketch import sketch_studio
from worker.vlm.calibration import Answered, Calibration, fitted, write
from worker.vlm.config import VlmConfig

BRIEFS = (
    "A red kite in the sky on the left. A green boat on the water. Warm light from the right. "
    "Set the text 'HARBOUR DAY' at the top.",
    "A blue cup in the middle. Steam rises from the cup. Soft light from the left. Set the text 'SLOW MORNING' below.",
    "A yellow moon at the top right. Three birds in the sky. A dark blue background. "
    "Set the text 'NIGHT WALK' at the top.",
    "An orange cat on the left. A white lamp on the right. Film grain. Set the text 'STAY IN' at the bottom.",
    "A purple umbrella in the middle. A black dog on the left. Warm light from the left. "
    "Set the text 'RAIN OR SHINE' at the top.",
    "Two green trees on the right. A brown house in the middle. A pale yellow background. "
    "Set the text 'OPEN GARDEN' below.",
    "A red bicycle on the right. A white cloud in the sky. Soft light from the right. "
    "Set the text 'RIDE FREE' at the top.",
    "A pink flower in the middle. A blue butterfly at the top left. Film grain. "
    "Set the text 'FIRST BLOOM' at the bottom.",
)
_SIZE = 384
_OTHERS = 2
"""Briefs whose goals are asked about beside those of a picture's own."""
_MODEL = "perfect"


def calibrate(profile: Profile, path: Path, tell: Callable[[str], None] = lambda line: None) -> Calibration:
    """Ask the profile's verifier, and write its thresholds into the file. Raises BriefError without such a verifier."""
    config = profile.vlm and profile.vlm.verifier
    if config is None or config.verify != "soft":
        fix = "choose a profile whose verifier is a VLM with verify: soft"
        raise BriefError("there are no yes and no to calibrate", fix, "--calibrate")
    bare = config.model_copy(update={"ocr": False, "explain": False, "calibration": None})
    from worker.vlm.seats import open_vlm_seats

    answers: list[Answered] = []
    with ExitStack() as resources:
        pictures = Path(resources.enter_context(tempfile.TemporaryDirectory()))
        context = LocalContext(Images(FolderStore(pictures)))
        verifier = open_vlm_seats(VlmConfig(verifier=bare), resources, beside=sketch_studio()).verifier
        for image, goals in _known(context):
            request = VerifyRequest(image=image, goals=tuple(goal for goal, _ in goals))
            with boundary(VerifierError):
                verdicts = verifier.verify(request, context).verdicts
            answers += [
                Answered(type=goal.type, score=verdict.score, met=met)
                for (goal, met), verdict in zip(goals, verdicts, strict=True)
            ]
            tell(f"{len(answers)} answers")
    found = fitted(answers)
    write(path, config.model, found)
    return found


def _known(context: LocalContext) -> Iterator[tuple[ImageHash, list[tuple[Goal, bool]]]]:
    """Each picture with the goals of all briefs of which the sketch is sure whether it shows them."""
    sketch = sketch_studio()
    drawn: dict[ImageHash, tuple[Goal, ...]] = {}
    for seed, text in enumerate(BRIEFS):
        brief = Brief(text=text)
        goals = sketch.planner.extract(ExtractRequest(brief=brief), context).goals
        words = PlanRequest(brief=brief, mode=Mode.ONE_SHOT, whole=True, everything=True, targets=goals)
        action = sketch.planner.plan(words, context).action
        wanted = RenderRequest(model=_MODEL, action=action, seeds=(seed,), width=_SIZE, height=_SIZE)
        drawn[sketch.editor.render(wanted, context).candidates[0].image] = goals
    for n, (image, own) in enumerate(drawn.items()):
        others = [*drawn.values(), *drawn.values()][n + 1 : n + 1 + _OTHERS]
        mixed = [goal for goals in (own, *others) for goal in goals]
        # Each under an id of its own: those of two briefs are the same.
        asked = tuple(
            goal.model_copy(update={"id": f"q{k:02d}", "parents": (), "conflicts": ()}) for k, goal in enumerate(mixed)
        )
        verdicts = sketch.verifier.verify(VerifyRequest(image=image, goals=asked), context).verdicts
        sure = zip(asked, (verdict.outcome for verdict in verdicts), strict=True)
        yield image, [(goal, outcome is Outcome.MET) for goal, outcome in sure if outcome is not Outcome.UNSURE]
