"""What the sketch studio draws of an instruction, and sees in a picture."""

from director.seats import RenderRequest, VerifyRequest
from director.types import Action, ActionKind, Goal, Outcome, Region
from tests.support.contexts import PlainContext
from worker.sketch import draw, sketch_studio
from worker.sketch.draw import Canvas

STUDIO = sketch_studio("perfect")


class SketchContext(PlainContext):
    """The sketch tells a part of its work when it is done."""

    def progress(self, message: str, done: int, total: int) -> None:
        super().progress(message, done, total)
        assert done


def drawn(
    instruction: str,
    *,
    model: str = "perfect",
    base: bytes | None = None,
    region: Region | None = None,
    seeds: tuple[int, ...] = (1,),
    size: tuple[int, int] = (512, 512),
) -> list[bytes]:
    """The PNGs that the editor makes of an instruction, one for each seed."""
    context = SketchContext()
    action = Action(
        kind=ActionKind.EDIT if base else ActionKind.GENERATE, instruction=instruction, targets=(), region=region
    )
    request = RenderRequest(
        model=model,
        action=action,
        base=context.images.put(base) if base else None,
        seeds=seeds,
        width=size[0],
        height=size[1],
    )
    return [context.images.get(candidate.image) for candidate in STUDIO.editor.render(request, context).candidates]


def outcomes(png: bytes, *goals: str) -> list[Outcome]:
    """What the verifier says of each goal."""
    context = SketchContext()
    asked = tuple(Goal(id=f"g{i}", text=goal) for i, goal in enumerate(goals))
    verified = STUDIO.verifier.verify(VerifyRequest(image=context.images.put(png), goals=asked), context)
    assert [verdict.goal for verdict in verified.verdicts] == [goal.id for goal in asked]
    assert all(verdict.evidence.startswith("sketch: ") for verdict in verified.verdicts)
    return [verdict.outcome for verdict in verified.verdicts]


def changed(png: bytes, change: "type[Canvas] | object") -> bytes:
    """A PNG with its pixels put through a function."""
    assert callable(change)
    return draw.to_png(change(draw.from_png(png)))
