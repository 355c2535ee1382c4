"""A host for seats in tests: pictures in memory, no progress to tell, nothing ever cancelled."""

import hashlib

from director.seats import RenderRequest, VerifyRequest
from director.types import Action, ActionKind, Goal, Outcome, Region
from worker.sketch import draw, sketch_studio
from worker.sketch.draw import Canvas


class Memory:
    """Images and Context in one."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    @property
    def images(self) -> "Memory":
        return self

    def get(self, image: str) -> bytes:
        return self.kept[image]

    def put(self, png: bytes) -> str:
        name = hashlib.sha256(png).hexdigest()
        self.kept[name] = png
        return name

    def progress(self, message: str, done: int, total: int) -> None:
        assert message
        assert 0 < done <= total

    def check(self) -> None:
        pass


STUDIO = sketch_studio("perfect")


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
    host = Memory()
    action = Action(
        kind=ActionKind.EDIT if base else ActionKind.GENERATE, instruction=instruction, targets=(), region=region
    )
    request = RenderRequest(
        model=model, action=action, base=host.put(base) if base else None, seeds=seeds, width=size[0], height=size[1]
    )
    return [host.get(candidate.image) for candidate in STUDIO.editor.render(request, host).candidates]


def outcomes(png: bytes, *goals: str) -> list[Outcome]:
    """What the verifier says of each goal."""
    host = Memory()
    asked = tuple(Goal(id=f"g{i}", text=goal) for i, goal in enumerate(goals))
    verified = STUDIO.verifier.verify(VerifyRequest(image=host.put(png), goals=asked), host)
    assert [verdict.goal for verdict in verified.verdicts] == [goal.id for goal in asked]
    assert all(verdict.evidence.startswith("sketch: ") for verdict in verified.verdicts)
    return [verdict.outcome for verdict in verified.verdicts]


def changed(png: bytes, change: "type[Canvas] | object") -> bytes:
    """A PNG with its pixels put through a function."""
    assert callable(change)
    return draw.to_png(change(draw.from_png(png)))
