"""What a forecast says, and what a plan is asked. Times are seconds since the epoch."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from director.types import LoopSettings, ModelName
from tasks.batch.types import MAX_ITEMS

_DEFAULTS = LoopSettings.model_validate({})


class BatchEta(BaseModel):
    """When the batch will have ended: earlier than `p10` in one of ten simulated nights, later than `p90` in one.

    `limits` is what it waits for most; `knows_little_of` says what was measured too seldom. `money` is about what all
    of it will have cost, in `currency`, as budgets count it; null: settings have no prices of its models. `late` says
    that its deadline comes before that in most of these nights, and what would help; else "".
    """

    p10: float
    p50: float
    p90: float
    limits: str
    knows_little_of: list[str]
    money: float | None = None
    currency: str = ""
    late: str = ""


class Planning(BaseModel):
    """What is to be drawn, until when. `goals` are those of a brief (0: not said), `cards` those that there are."""

    model_config = ConfigDict(extra="forbid")

    briefs: Annotated[int, Field(ge=1, le=MAX_ITEMS)]
    by: Annotated[float, Field(ge=0, le=1e11, description="seconds since the epoch")]
    goals: Annotated[int, Field(ge=0, le=100)] = 0
    cards: Annotated[int | None, Field(ge=1, le=1000, description="left out: as many as it takes")] = None
    editor: ModelName = _DEFAULTS.editor
    width: Annotated[int | None, Field(ge=64, le=2048, multiple_of=16)] = None
    height: Annotated[int | None, Field(ge=64, le=2048, multiple_of=16)] = None
    candidates: Annotated[int, Field(ge=1, le=16)] = _DEFAULTS.candidates
    rounds: Annotated[int, Field(ge=1, le=20)] = _DEFAULTS.rounds

    def settings(self) -> LoopSettings:
        names = {"editor", "width", "height", "candidates", "rounds"}
        return LoopSettings.model_validate(self.model_dump(include=names))


class CardsChance(BaseModel):
    """With so many cards: the chance to have ended in time, and when."""

    cards: int
    chance: float
    p50: float
    p90: float
    limits: str


class PlanOut(BaseModel):
    """`cards` is the least number with a chance of 80 %; null: more cards do not help. `around`: one less, one more.

    Nobody knows that number well: with fewer than `least` it is late in nine of ten simulated nights, with `safe` in
    time in 19 of 20. Null: more cards do not help to that, or `cards` were asked for.
    `gpu_hours` are of cards that draw, `card_hours` of all until the end. `renders` are pictures. `measured` false: no
    render of this model and size was measured, and times are guesses. `card_price` is of an hour, and
    `money` what budgets will count, as settings say; null: they have no price of the model.
    """

    briefs: int
    goals: int
    by: float
    editor: str
    cards: int | None
    least: int | None
    safe: int | None
    around: list[CardsChance]
    limits: str
    gpu_hours: float
    card_hours: float
    renders: int
    disk_bytes: int
    measured: bool
    knows_little_of: list[str]
    card_price: float | None = None
    money: float | None = None
    currency: str = ""
