"""Pictures so small, or so regular, that a measure has nothing to divide by."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from worker.sketch.checks import _diagonal  # pyright: ignore[reportPrivateUsage]
from worker.sketch.match_text import correlations, field


def test_things_in_one_row_are_no_diagonal():
    things = [SimpleNamespace(likeness={"cup": 1.0}, noun="cup", span=0.2, centre=(x, 0.5)) for x in (0.2, 0.5, 0.8)]
    segments: Any = SimpleNamespace(things=things)
    found = _diagonal(segments, segments)
    assert found.truth is not None and 0 <= found.truth < 0.5


def test_a_pattern_without_ink_is_like_nothing():
    values = np.random.default_rng(0).random((40, 60)).astype(np.float32)
    assert (np.abs(correlations(field(values), np.zeros((5, 7), np.float32))) < 1e-3).all()
