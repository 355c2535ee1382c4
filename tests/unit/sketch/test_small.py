"""Pictures so small, or so regular, that a measure has nothing to divide by."""

import numpy as np

from director.seats import VerifyRequest
from director.types import Goal, Outcome
from tests.unit.sketch.host import STUDIO, SketchContext
from worker.sketch import draw
from worker.sketch.match_text import correlations


def test_things_in_one_row_are_no_diagonal():
    canvas = np.full((300, 300, 3), 1.0, np.float32)
    for left in (20, 120, 220):
        canvas[130:180, left : left + 50] = (0.8, 0.1, 0.1)
    context = SketchContext()
    image = context.images.put(draw.to_png(canvas))
    goal = Goal(id="g", text="Strong diagonal from the bottom left to the top right", type="composition")
    (verdict,) = STUDIO.verifier.verify(VerifyRequest(image=image, goals=(goal,)), context).verdicts
    assert verdict.outcome is not Outcome.MET


def test_a_pattern_without_ink_is_like_nothing():
    values = np.random.default_rng(0).random((40, 60)).astype(np.float32)
    assert np.isfinite(correlations(values, np.zeros((5, 7), np.float32))).all()
    assert (np.abs(correlations(values, np.zeros((5, 7), np.float32))) < 1e-3).all()
