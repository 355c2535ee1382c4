"""The VLM seats of one test, against a server that plays a script."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from director.seats import ExtractRequest, Raster, SelectRequest, VerifyRequest
from director.types import Brief, Candidate, Goal
from tests.support.contexts import RecordingContext, plain_png
from tests.support.scripted_openai import Answer, ScriptedServer, fills, scripted
from tests.support.scripted_studio import goals_of
from worker.vlm.config import VlmConfig
from worker.vlm.seats import VlmSeats, open_vlm_seats

BRIEF = Brief(text="A red cup stands on a table. Soft light comes from the left.")
EXTRACT = ExtractRequest(brief=BRIEF)
GOAL = {
    "clauses": [1], "type": "add_object", "scope": "local", "region": None, "count": None,
    "parents": [], "conflicts": [], "must_have": False, "feasibility": 80,
}  # fmt: skip
GOOD = fills({"goals": [GOAL]})


class Reader:
    """OCR that reads what it is told."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        self.lines = lines

    def read(self, raster: Raster) -> tuple[str, ...]:
        return self.lines


class Desk:
    """Seats, context and server of one test."""

    def __init__(self, server: ScriptedServer, seats: VlmSeats, context: RecordingContext) -> None:
        self.server = server
        self.seats = seats
        self.context = context
        self.pictures = [context.images.put(plain_png(colour)) for colour in ("red", "green", "blue")]

    def verify(self, *goals: Goal) -> VerifyRequest:
        return VerifyRequest(image=self.pictures[0], goals=goals or goals_of("a", "b", "c"))

    def select(self, count: int = 2) -> SelectRequest:
        candidates = tuple(Candidate(image=image, seed=n) for n, image in enumerate(self.pictures[:count]))
        return SelectRequest(candidates=candidates, instruction="draw it", goals=goals_of("a"))


def config(url: str, **changes: object) -> VlmConfig:
    shared = {"url": url, "model": "scripted", "retry_wait_s": 0}
    parts = {name: {**shared} for name in ("planner", "judge", "verifier")}
    parts["verifier"] |= {"ocr": False, "explain": False}
    for name, value in changes.items():
        seat, _, field = name.partition("_")
        parts[seat][field] = value
    return VlmConfig.model_validate(parts)


@contextmanager
def desk(*answers: Answer, reads: tuple[str, ...] | None = None, **changes: object) -> Iterator[Desk]:
    """`reads` is what OCR reads in every picture; without it there is no OCR."""
    with scripted(*answers) as server, ExitStack() as resources:
        settings = config(server.url, verifier_ocr=reads is not None, **changes)
        yield Desk(server, open_vlm_seats(settings, resources, {}, lambda: Reader(reads or ())), RecordingContext())
