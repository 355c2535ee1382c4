"""The sketch's verifier and judge: they look at pixels and at nothing else."""

from collections.abc import Sequence

import numpy as np

from director.prompts.absence import alone, items
from director.prompts.negations import LETTERING
from director.seats import Context, SelectRequest, VerifyRequest
from director.types import Goal, Outcome, Selected, Verdict, Verified
from worker.sketch.checks import Finding, check, written
from worker.sketch.grounds import grounded
from worker.sketch.language import Drawable, parse, ruled_out
from worker.sketch.lettering import beside
from worker.sketch.segment import Segments, segment

_UNSURE = 0.2
"""A probability nearer than this to one half is no verdict."""


class SketchVerifier:
    """One verdict for each goal. What has no check, or no clear answer, is unsure."""

    name = "sketch-verifier"

    def verify(self, request: VerifyRequest, context: Context) -> Verified:
        segments = segment(context.images.get(request.image))
        verdicts: list[Verdict] = []
        for i, goal in enumerate(request.goals):
            context.check()
            verdicts.append(judged(segments, goal, self.name))
            context.progress("sketch looks", i + 1, len(request.goals))
        return Verified(image=request.image, verdicts=tuple(verdicts), again=request.again, by=self.name)


class SketchJudge:
    """The candidate with the most goals that look met; ties go to the first."""

    name = "sketch-judge"

    def select(self, request: SelectRequest, context: Context) -> Selected:
        scores: list[list[float]] = []
        for candidate in request.candidates:
            context.check()
            segments = segment(context.images.get(candidate.image))
            scores.append([judged(segments, goal, self.name).score for goal in request.goals])
        return chosen(request, scores)


def chosen(request: SelectRequest, scores: Sequence[Sequence[float]]) -> Selected:
    """The judge's answer, from the scores of each candidate's goals."""
    means = [round(float(np.mean(own)), 4) if own else 0.5 for own in scores]
    best = means.index(max(means))
    return Selected(
        image=request.candidates[best].image,
        scores=tuple(means),
        why="sketch: it looks most like its goals",
        by=SketchJudge.name,
    )


def judged(segments: Segments, goal: Goal, by: str) -> Verdict:
    """A goal is met when everything drawable in it is; an absent one, when nothing of it is."""
    findings = _looked_for(segments, goal) if goal.absent else _wanted(segments, goal.text)
    truths = [finding.truth for finding in findings if finding.truth is not None]
    missed = [finding for finding in findings if finding.truth is not None and finding.truth < 0.5]
    decided = bool(missed) or 0 < len(truths) == len(findings)
    score = min(truths) if decided else 0.5
    seen = "; ".join(finding.seen for finding in missed or findings) or "nothing in it that a sketch can check"
    return Verdict(
        goal=goal.id,
        outcome=_outcome(score),
        score=score,
        confidence=max(score, 1 - score) if decided else 0.2,
        evidence=f"sketch: {seen}"[:300],
        by=by,
    )


def _wanted(segments: Segments, text: str) -> list[Finding]:
    drawables = parse(text)
    findings = [*(check(segments, wanted) for wanted in drawables), *grounded(segments, text, drawables)]
    if alone(text) and (strings := [each for each in drawables if each.string]):
        findings.append(beside(segments, [written(segments, each).box for each in strings]))
    return findings


def _looked_for(segments: Segments, goal: Goal) -> list[Finding]:
    """One or more findings for each thing that is ruled out: what nobody can look for is not known to be away."""
    if goal.string:
        return [check(segments, Drawable("text", "text", string=goal.string, verb="remove"))]
    found: list[Finding] = []
    for item in items(goal.text):
        if LETTERING.fullmatch(item):
            found.append(beside(segments, []))
            continue
        named = ruled_out(item)
        found += [check(segments, each) for each in named] or [Finding(None, f"cannot look for {item}")]
    return found


def _outcome(score: float) -> Outcome:
    if abs(score - 0.5) < _UNSURE:
        return Outcome.UNSURE
    return Outcome.MET if score > 0.5 else Outcome.MISSED
