"""The route of plans: how many cards a night takes."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.forecast_schemas import Planning, PlanOut
from api.routes import ApiState, SomeCaller
from tasks.tokens import Scope

router = APIRouter(prefix="/v1/plan")


@router.get("", response_model=PlanOut)
def plan(state: ApiState, caller: SomeCaller, asked: Annotated[Planning, Query()]) -> PlanOut:
    """How many cards it takes to draw so many briefs until then, behind what is at work now; the chance with one more
    and one less, the seat that limits, hours of GPUs, and bytes in storage."""
    caller.check(Scope.READ, Scope.OPERATE)
    return state.forecasts.plan(asked, caller.owner)
