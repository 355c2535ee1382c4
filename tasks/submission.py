"""A brief and its settings as users send them: for one job, or in a line of a batch."""

from typing import Annotated, Any, cast

from pydantic import AfterValidator, field_validator, model_validator
from pydantic_core import from_json

from director.errors import BriefError
from director.strategies import STRATEGIES
from director.types import MAX_BRIEF_BYTES, Brief, LoopSettings


def parsed(data: bytes, field: str) -> Any:
    """The value of JSON that was sent as `field`. Raises BriefError."""
    try:
        return from_json(data, allow_inf_nan=False)
    except ValueError as error:
        try:
            data.decode()
        except UnicodeDecodeError as broken:
            where = f"the byte at {broken.start} breaks it"
            raise BriefError("is not valid UTF-8", f"{where}: send UTF-8", field) from None
        raise BriefError(f"is not valid JSON: {error}", "send one JSON object", field) from None


def _known_strategy(name: str) -> str:
    if name not in STRATEGIES:
        raise ValueError(f"there is no strategy {name[:64]!r}: choose one of {', '.join(STRATEGIES)}")
    return name


class BriefIn(Brief):
    """A brief as sent: an object, or just its text."""

    @model_validator(mode="before")
    @classmethod
    def _plain_text(cls, given: Any) -> Any:
        return {"text": given} if isinstance(given, str) else given

    @field_validator("text", mode="before")
    @classmethod
    def _usable_text(cls, text: Any) -> Any:
        # The same limits as Brief's own, checked at the field so that the error names it.
        if isinstance(text, str) and not text.strip():
            raise ValueError("the text of the brief is empty: write what the picture must show")
        if isinstance(text, str) and (size := len(text.encode())) > MAX_BRIEF_BYTES:
            raise ValueError(f"the text of the brief has {size} bytes; the most is {MAX_BRIEF_BYTES}: shorten it")
        return text


class SettingsIn(LoopSettings):
    """Settings as sent. `strategy` names a set of values; settings that are given beside it replace them."""

    strategy: Annotated[str, AfterValidator(_known_strategy)] = "ours"

    @model_validator(mode="before")
    @classmethod
    def _with_strategy(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        explicit = cast(dict[str, Any], given)
        strategy = explicit.get("strategy")
        return {**STRATEGIES.get(strategy, {}), **explicit} if isinstance(strategy, str) else explicit

    def plain(self) -> LoopSettings:
        """The settings of the loop that these are."""
        return LoopSettings.model_validate(self.model_dump(exclude={"strategy"}))
