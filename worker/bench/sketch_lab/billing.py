"""What a finished job would have cost on a card, reckoned from its trajectory: nothing here was measured.

The sketch draws and judges for nothing. So the prompts that a VLM would have been sent are counted as `doctor --cost`
counts them, pictures as if they had been drawn by a 20B model on one H100, compiled, FP8 by row.
"""

from typing import NamedTuple

from director.loop import advance, begin, next_step
from director.seats import RenderRequest
from director.types import Decided, Event, Gated, Rendered, Reply, Trajectory
from worker.checks.cost import Bill, Meter
from worker.vlm.config import VlmConfig

DRAW_S, EDIT_S = 9.0, 17.0
"""Seconds of the card for a new picture in 50 steps, and for an edit in 40."""
READ_PER_S, WRITTEN_PER_S = 8000, 60
"""Tokens that the VLM reads anew and writes in a second."""
_AREA = 1024 * 1024
"""Pixels of a picture that is drawn, and looked at."""
_SERVER = {"model": "vlm"}
_VLM = VlmConfig.model_validate({"planner": _SERVER, "judge": _SERVER, "verifier": _SERVER})


class CardBill(NamedTuple):
    """Questions and tokens of the VLM, and pictures of the editor."""

    questions: int
    prompt: int
    cached: int
    written: int
    drawn: int
    edited: int

    @property
    def seconds(self) -> float:
        pictures = self.drawn * DRAW_S + self.edited * EDIT_S
        return pictures + (self.prompt - self.cached) / READ_PER_S + self.written / WRITTEN_PER_S


def card_bill(done: Trajectory) -> CardBill:
    """The bill of a trajectory, whoever filled its seats: it is played again with the replies that it holds."""
    meter, bills = Meter(_VLM, _AREA), {seat: Bill(seat) for seat in _VLM.seats}
    drawn = edited = 0
    trajectory = begin(done.brief, done.settings, done.seed)
    while request := next_step(trajectory):
        reply = _reply(done.events[len(trajectory.events)])
        if isinstance(request, RenderRequest) and isinstance(reply, Rendered):
            count = len(reply.candidates)
            drawn, edited = (drawn, edited + count) if request.base else (drawn + count, edited)
        elif request.seat in bills:
            meter.count(bills[request.seat], request, reply)
        trajectory = advance(trajectory, reply)
    asked = bills.values()
    return CardBill(
        questions=sum(bill.questions for bill in asked),
        prompt=sum(bill.prompt for bill in asked),
        cached=sum(bill.cached for bill in asked),
        written=sum(bill.written for bill in asked),
        drawn=drawn,
        edited=edited,
    )


def _reply(event: Event) -> Reply:
    """The next event of a trajectory that waits for one."""
    assert not isinstance(event, Gated | Decided)
    return event
