"""The sketch's verifier and judge: they look at pixels and at nothing else."""

from collections.abc import Sequence

import numpy as np

from director.seats import Context, SelectRequest, VerifyRequest
from director.types import Goal, Outcome, Selected, Verdict, Verified
from worker.sketch.checks import check
from worker.sketch.language import parse
from worker.sketch.see import Sight, sight

_UNSURE = 0.2
"""A probability nearer than this to one half is no verdict."""


class SketchVerifier:
    """One verdict for each goal. What has no check, or no clear answer, is unsure."""

    name = "sketch-verifier"

    def verify(self, request: VerifyRequest, context: Context) -> Verified:
        seen = sight(context.images.get(request.image))
        verdicts: list[Verdict] = []
        for i, goal in enumerate(request.goals):
            context.check()
            verdicts.append(judged(seen, goal, self.name))
            context.progress("sketch looks", i + 1, len(request.goals))
        return Verified(image=request.image, verdicts=tuple(verdicts), again=request.again, by=self.name)


class SketchJudge:
    """The candidate with the most goals that look met; ties go to the first."""

    name = "sketch-judge"

    def select(self, request: SelectRequest, context: Context) -> Selected:
        scores: list[list[float]] = []
        for candidate in request.candidates:
            context.check()
            seen = sight(context.images.get(candidate.image))
            scores.append([judged(seen, goal, self.name).score for goal in request.goals])
        return chosen(request, scores)


def chosen(request: SelectRequest, scores: Sequence[Sequence[float]]) -> Selected:
    """The judge's answer, from the scores of each candidate's goals."""
    means = [round(float(np.mean(own)), 4) if own else 0.5 for own in scores]
    best = means.index(max(means))
    return Selected(
        image=request.candidates[best].image,
        scores=tuple(means),
        why=f"sketch: candidate {best + 1} of {len(means)} looks most like its goals",
        by=SketchJudge.name,
    )


def judged(sight: Sight, goal: Goal, by: str) -> Verdict:
    """A goal is met when everything drawable in it is."""
    findings = [check(sight, wanted) for wanted in parse(goal.text)]
    known = [f for f in findings if f.truth is not None]
    missed = [f for f in known if f.truth is not None and f.truth < 0.5]
    if not findings or (len(known) < len(findings) and not missed):
        seen = "; ".join(f.seen for f in findings) or "nothing in it that a sketch can check"
        return Verdict(
            goal=goal.id, outcome=Outcome.UNSURE, score=0.5, confidence=0.2, evidence=f"sketch: {seen}"[:300], by=by
        )
    score = min(f.truth for f in known if f.truth is not None)
    outcome = Outcome.UNSURE if abs(score - 0.5) < _UNSURE else Outcome.MET if score > 0.5 else Outcome.MISSED
    seen = "; ".join(f.seen for f in (missed or known))
    return Verdict(
        goal=goal.id,
        outcome=outcome,
        score=score,
        confidence=max(score, 1 - score),
        evidence=f"sketch: {seen}"[:300],
        by=by,
    )
