"""Seats that remember: what several arms ask alike is drawn and judged once. For one task at a time."""

from dataclasses import dataclass, field

from director.seats import Context, RenderRequest, SelectRequest, Studio, VerifyRequest
from director.types import Action, Candidate, Goal, Outcome, Rendered, Selected, Verdict, Verified
from worker.sketch.editor import SketchEditor
from worker.sketch.misses import MissModel, rng
from worker.sketch.planner import SketchPlanner
from worker.sketch.segment import segment
from worker.sketch.verifier import chosen, judged


@dataclass
class RememberingEditor:
    """A picture depends on profile, instruction, region, base, size and seed, and on nothing else."""

    editor: SketchEditor
    drawn: dict[tuple[object, ...], Candidate] = field(default_factory=dict[tuple[object, ...], Candidate])

    def render(self, request: RenderRequest, context: Context) -> Rendered:
        def key(seed: int) -> tuple[object, ...]:
            region = request.action.region
            return request.base, request.action.instruction, region, seed, request.model, request.width, request.height

        fresh = tuple(seed for seed in request.seeds if key(seed) not in self.drawn)
        if fresh:
            rendered = self.editor.render(
                request.model_copy(update={"seeds": fresh, "action": _bare(request)}), context
            )
            self.drawn.update({key(candidate.seed): candidate for candidate in rendered.candidates})
        return Rendered(
            candidates=tuple(self.drawn[key(seed)] for seed in request.seeds), by=f"sketch-editor:{request.model}"
        )


def _bare(request: RenderRequest) -> Action:
    # Which goals an instruction is for differs between arms and does not reach the picture.
    return request.action.model_copy(update={"targets": ()})


@dataclass
class RememberingLook:
    """Verifier and judge of the sketch, with one verdict for each picture and each wording of a goal."""

    seen: dict[tuple[str, str], Verdict] = field(default_factory=dict[tuple[str, str], Verdict])

    def verify(self, request: VerifyRequest, context: Context) -> Verified:
        verdicts = tuple(self.verdict(request.image, goal, context) for goal in request.goals)
        return Verified(image=request.image, verdicts=verdicts, again=request.again, by="sketch-verifier")

    def select(self, request: SelectRequest, context: Context) -> Selected:
        scores = [
            [self.verdict(candidate.image, goal, context).score for goal in request.goals]
            for candidate in request.candidates
        ]
        return chosen(request, scores)

    def verdict(self, image: str, goal: Goal, context: Context) -> Verdict:
        found = self.seen.get((image, goal.wish))
        if found is None:
            found = self.seen[image, goal.wish] = judged(segment(context.images.get(image)), goal, "sketch-verifier")
        return found.model_copy(update={"goal": goal.id})


@dataclass
class ErringLook(RememberingLook):
    """Verifier and judge that take met for missed, or missed for met, with a chance `errors` in [0, 1].

    One goal of one picture errs alike however often it is asked: a blind spot, not noise between two calls.
    """

    errors: float = 0.0

    def verdict(self, image: str, goal: Goal, context: Context) -> Verdict:
        true = super().verdict(image, goal, context)
        if true.outcome is Outcome.UNSURE or rng("erring", image, goal.text).random() >= self.errors:
            return true
        outcome = Outcome.MISSED if true.outcome is Outcome.MET else Outcome.MET
        told = {
            "outcome": outcome,
            "score": round(1 - true.score, 4),
            "evidence": f"{true.evidence} (an error, on purpose)",
        }
        return true.model_copy(update=told)


def remembering(habits: MissModel, errors: float = 0.0) -> tuple[Studio, RememberingLook]:
    """The sketch studio of one profile with a memory, and its verifier for the grading, which never errs on purpose."""
    look = RememberingLook()
    inside = ErringLook(look.seen, errors) if errors else look
    return Studio(SketchPlanner(), RememberingEditor(SketchEditor(habits)), inside, inside), look
