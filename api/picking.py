"""Another candidate in place of the one that the loop ended with: delivered from then on, until it is undone.

A pick is an object of its own beside the trajectory (tasks/store/picks.py). It goes for ended jobs only: while a loop
runs, it chooses.
"""

import time
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.auth import Caller
from api.problems import Problem, from_pydantic, invalid
from api.routes import ApiState, Orderer, body_of, order_body
from api.schemas import Envelope
from api.service import Service
from director.state import State, count_goals
from director.types import ImageHash
from tasks.ledger.types import Record
from tasks.store import Pick

router = APIRouter(prefix="/v1/jobs")


class Picking(BaseModel):
    """Which candidate to deliver: both numbers as the report shows them, from 1."""

    model_config = ConfigDict(extra="forbid", strict=True)

    round: int = Field(ge=1, le=1000)
    candidate: int = Field(ge=1, le=1000)


@router.put("/{id}/pick", response_model=Envelope, openapi_extra=body_of("application/json", {}))
async def pick(state: ApiState, caller: Orderer, id: str, body: Annotated[bytes, Depends(order_body)]) -> Envelope:
    """Deliver another candidate than the one that the loop ended with. `DELETE` takes that back."""
    await run_in_threadpool(state.service.find, caller.reach, id)  # of an unknown job nobody is told more
    try:
        wanted = Picking.model_validate_json(body)
    except ValidationError as error:
        raise from_pydantic(error.errors(include_url=False), {(): Picking}) from None
    await run_in_threadpool(Picks(state.service).pick, caller, id, wanted)
    return await run_in_threadpool(state.service.show, caller.reach, id)


@router.delete("/{id}/pick", response_model=Envelope)
def undo(state: ApiState, caller: Orderer, id: str) -> Envelope:
    """Deliver what the loop ended with."""
    Picks(state.service).undo(caller, id)
    return state.service.show(caller.reach, id)


class Picks:
    """The picks of the jobs of `service`."""

    def __init__(self, service: Service, clock: Callable[[], float] = time.time) -> None:
        self._service = service
        self._clock = clock

    def pick(self, caller: Caller, id: str, wanted: Picking) -> None:
        """Raises Problem 404, 409 for a job that has not ended, and 422 that names the field."""
        record = self._ended(caller, id)
        state = State.of(self._service.trajectory(record))
        rounds = {each.number: each.candidates for each in state.rounds if each.candidates}
        if wanted.round not in rounds:
            raise _unknown("round", f"there is no picture of round {wanted.round}", list(rounds))
        candidates = rounds[wanted.round]
        if wanted.candidate > len(candidates):
            there = list(range(1, len(candidates) + 1))
            raise _unknown("candidate", f"round {wanted.round} has no candidate {wanted.candidate}", there)
        image = candidates[wanted.candidate - 1].image
        self._put(caller, record, image, wanted.round, wanted.candidate, state)

    def undo(self, caller: Caller, id: str) -> None:
        """Deliver what the loop chose. It does nothing where nothing was picked."""
        record = self._ended(caller, id)
        before = self._service.archive.picks.find(record.job, record.batch)
        if before and before.image:
            state = State.of(self._service.trajectory(record))
            self._put(caller, record, None, before.round, before.candidate, state)

    def _ended(self, caller: Caller, id: str) -> Record:
        record = self._service.find(caller.reach, id)
        if not record.ended:
            raise Problem(
                409, "active", "This job has not ended", "Its loop still chooses: pick when it has ended, or cancel it."
            )
        return record

    def _put(
        self, caller: Caller, record: Record, image: ImageHash | None, round: int, candidate: int, state: State
    ) -> None:
        shown = image or state.deliverable
        standing = state.standing_on(shown) if shown else {}
        goals = count_goals(standing.values(), len(state.goals))
        pick = Pick(image=image, round=round, candidate=candidate, goals=goals, by=caller.owner, at=self._clock())
        self._service.archive.picks.put(record.job, record.batch, pick)


def _unknown(field: str, message: str, there: list[int]) -> Problem:
    return invalid(field, message, f"there are {', '.join(map(str, there))}" if there else "no picture was drawn")
