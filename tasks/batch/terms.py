"""When a batch, an owner or a model may be drawn, and how much: windows, deadline, budget; as sent, and as kept."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Literal, Self, cast
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from director.types import Value
from tasks.batch import windows
from tasks.batch.windows import MAX_WINDOWS, Window, zone_named

NOTHING_NEW = 0.9
"""Share of a budget from which nothing new begins; terms.lua has the same."""
MILLION = 1_000_000
LEAST_TURN_S = 600
_HORIZON_MS, _BEFORE_MS = 16 * 86_400_000, 2 * 86_400_000
_MOST_INSTANTS = 100
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
_SECONDS = re.compile(r"\d+(?:\.\d+)?")
_EVERY = re.compile(r"\s*every\s+(.+)")
_DATE = re.compile(r"\s*(?P<at>\d{4}-\S*(?: +\d\S*)?)(?:\s+(?P<zone>[A-Za-z]\S*))?\s*")
_YEARS = range(1971, 2100)
_CURRENCY = re.compile(r"[a-z]{3}")
_MOST = 1e12

AtClose = Literal["finish", "hold"]


class Budget(Value):
    """What may be used; None: any amount. `money` is in `currency`, of which the settings know the models' prices."""

    renders: Annotated[int, Field(ge=1)] | None = None
    gpu_s: Annotated[float, Field(gt=0)] | None = None
    money: Annotated[float, Field(gt=0)] | None = None
    currency: str = ""

    def __bool__(self) -> bool:
        return any(limit is not None for limit in (self.renders, self.gpu_s, self.money))

    def limits(self) -> dict[str, str]:
        """The ledger's fields; "" takes one away."""
        return {
            "limit_renders": _word(self.renders),
            "limit_gpu_ms": _word(self.gpu_s and max(1, round(1000 * self.gpu_s))),
            "limit_money": _word(self.money and max(1, round(MILLION * self.money))),
            "currency": self.currency,
        }

    def told(self, unit: str) -> str:
        """The limit of one of the ledger's units, in words."""
        return told(unit, {"renders": self.renders, "gpu_ms": self.gpu_s, "money": self.money}[unit], self.currency)


class Spent(Value):
    """What was used of a budget."""

    renders: int = 0
    gpu_s: float = 0.0
    money: float = 0.0

    @classmethod
    def of(cls, renders: object, gpu_ms: object, money: object) -> Self:
        """From the ledger's words."""
        return cls(renders=_whole(renders), gpu_s=_whole(gpu_ms) / 1000, money=_whole(money) / MILLION)

    def share(self, budget: Budget) -> float:
        """The largest share of a limit that is used."""
        pairs = ((self.renders, budget.renders), (self.gpu_s, budget.gpu_s), (self.money, budget.money))
        return max((used / limit for used, limit in pairs if limit), default=0.0)


NO_BUDGET = Budget()


class Terms(Value):
    """When and how much, of a batch. `deadline` is in seconds since the epoch; `by`: it sets the price of a render."""

    windows: tuple[str, ...] = ()
    at_close: AtClose = "finish"
    deadline: float | None = None
    by: bool = False
    spread: bool = False
    budget: Budget = NO_BUDGET

    def changed(self, changes: Mapping[str, Any]) -> "Terms":
        """With these fields. Raises ValidationError."""
        return Terms.model_validate({**self.model_dump(), **changes})


NO_TERMS = Terms()


def ledger_fields(terms: Terms, names: Iterable[str], now_ms: int) -> dict[str, str]:
    """The fields of the batch's hash that hold these terms; "" takes one away."""
    found: dict[str, str] = {}
    for name in names:
        match name:
            case "windows":
                found |= {"windows": words_of(terms.windows), "opens": opens_of(terms.windows, now_ms)}
            case "deadline":
                found["deadline_ms"] = _word(terms.deadline and round(1000 * terms.deadline))
            case "budget":
                found |= terms.budget.limits()
            case "at_close":
                found["at_close"] = terms.at_close
            case _:
                found[name] = "1" if getattr(terms, name) else ""
    return found


def terms_in(row: Mapping[str, str]) -> Terms:
    """The other way round."""
    gpu_ms, money = row.get("limit_gpu_ms"), row.get("limit_money")
    deadline_ms = row.get("deadline_ms")
    return Terms(
        windows=tuple(row["windows"].split("\n")) if row.get("windows") else (),
        at_close="hold" if row.get("at_close") == "hold" else "finish",
        deadline=int(deadline_ms) / 1000 if deadline_ms else None,
        by=row.get("by") == "1",
        spread=row.get("spread") == "1",
        budget=Budget(
            renders=int(row["limit_renders"]) if row.get("limit_renders") else None,
            gpu_s=int(gpu_ms) / 1000 if gpu_ms else None,
            money=int(money) / MILLION if money else None,
            currency=row.get("currency", ""),
        ),
    )


def words_of(specs: Iterable[str]) -> str:
    return "\n".join(specs)


def opens_of(specs: Iterable[str], now_ms: int) -> str:
    """The instants of the next two weeks as the ledger keeps them; "" without windows."""
    parsed = [windows.parse(each) for each in specs]
    if not parsed:
        return ""
    spans = windows.instants(parsed, now_ms - _BEFORE_MS, now_ms + _HORIZON_MS)[:_MOST_INSTANTS]
    return " ".join(f"{opens}-{closes}" for opens, closes in spans) or "0-0"


def parsed_windows(specs: Iterable[str]) -> list[Window]:
    return [windows.parse(each) for each in specs]


def told(unit: str, amount: float | None, currency: str) -> str:
    """An amount of a unit of the ledger, in words: 400 renders, 2 h of GPU, 20 EUR."""
    amount = amount or 0
    match unit:
        case "renders":
            return f"{amount:,.0f} renders"
        case "gpu_ms":
            return f"{amount / 3600:.3g} h of GPU" if amount >= 3600 else f"{amount:.3g} s of GPU"
        case _:
            return f"{amount:,.2f} {currency.upper()}".strip()


def _word(value: float | int | None) -> str:
    return "" if value is None else str(value)


def _whole(value: object) -> int:
    return int(str(value)) if value not in (None, "") else 0


# --- as sent --------------------------------------------------------------------------------------


def _window(words: str) -> str:
    return str(windows.parse(words))


WindowIn = Annotated[str, Field(max_length=120), AfterValidator(_window)]
WindowsIn = Annotated[
    tuple[WindowIn, ...],
    Field(max_length=MAX_WINDOWS, description="when items may begin, e.g. mon-fri 22:00-07:00 Europe/Zurich"),
]
_AtCloseIn = Annotated[AtClose, Field(description="when its windows close: finish what was begun, or hold it")]


def budget_of(given: Mapping[str, Any]) -> Budget:
    """From `{"renders": 400, "gpu": "2h", "eur": 20}`. Raises ValueError."""
    found: dict[str, Any] = {}
    for name, amount in given.items():
        match name:
            case "renders":
                found["renders"] = _number(name, amount)
                if not found["renders"].is_integer():
                    raise ValueError("renders are whole numbers: write renders=400")
            case "gpu":
                found["gpu_s"] = _number(name, seconds_of(amount) if isinstance(amount, str) else amount)
            case _ if _CURRENCY.fullmatch(name):
                if "money" in found:
                    raise ValueError("there are two currencies: write one")
                found |= {"money": _number(name, amount), "currency": name}
            case _:
                raise ValueError(f"there is no unit {name[:32]!r}: write renders=400, gpu=2h or eur=20")
    return Budget.model_validate(found)


def seconds_of(words: str) -> float:
    """`2h`, `90m`, `1h30m`, `45s` or a number of seconds. Raises ValueError."""
    text = words.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    if (found := _DURATION.fullmatch(text)) and any(found.groups()):
        return sum(float(part or 0) * seconds for part, seconds in zip(found.groups(), (3600, 60, 1), strict=True))
    raise ValueError(f"{words[:32]!r} is no duration: write 2h, 90m or 45s")


def turn_behind(words: str, at: float) -> float:
    """When it is the turn of `every 6h`, or of `04:30 Europe/Zurich`, after it was at `at`. Raises ValueError."""
    if not (found := _EVERY.fullmatch(words)):
        return windows.next_time(words, int(1000 * at)) / 1000
    if (seconds := seconds_of(found[1])) < LEAST_TURN_S:
        raise ValueError(f"{words[:64]!r} is too often: write every {LEAST_TURN_S // 60}m, or a longer time")
    return at + seconds


def _number(name: str, amount: object) -> float:
    if isinstance(amount, str):
        try:
            amount = float(amount)
        except ValueError:
            amount = None
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        raise ValueError(f"{name[:32]} must be a number: write renders=400, gpu=2h or eur=20")
    if not 0 < amount <= _MOST:  # nor is NaN between them
        raise ValueError(f"{name[:32]} must be above 0, and at most a million million")
    return float(amount)


def _budget_in(given: object) -> object:
    return budget_of(cast(Mapping[str, Any], given)) if isinstance(given, Mapping) else given


def _time_in(given: str) -> str:
    moment_of(given, 0)
    return given


def moment_of(words: str, now_ms: int) -> float:
    """Seconds since the epoch: the next `07:00 Europe/Zurich`, `2026-11-29 07:00 Europe/Zurich`, or
    `2026-11-29T07:00+01:00`. Raises ValueError.
    """
    if not (found := _DATE.fullmatch(words)):
        return windows.next_time(words, now_ms) / 1000
    try:
        at = datetime.fromisoformat(found["at"])
    except ValueError:
        raise ValueError(f"{words[:64]!r} is no time: write 2026-11-29T07:00+01:00") from None
    if at.year not in _YEARS:
        raise ValueError(f"{words[:64]!r} is too far away")
    if found["zone"] and not at.tzinfo:
        return windows.first_instant(at, ZoneInfo(zone_named(found["zone"]))) / 1000
    if found["zone"] or not at.tzinfo:
        zones = "two zones" if at.tzinfo else "no zone"
        raise ValueError(f"{words[:64]!r} has {zones}: write 2026-11-29T07:00+01:00, or 07:00 Europe/Zurich")
    return at.timestamp()


BudgetIn = Annotated[
    dict[str, Any] | None, Field(description="limits: renders, gpu (seconds, or 2h) or a currency, e.g. eur")
]
_TimeIn = Annotated[str, Field(max_length=80), AfterValidator(_time_in)]


class TermsIn(BaseModel):
    """Terms as they are sent, for a batch or in a patch, where null takes one away."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    windows: WindowsIn | None = None
    at_close: _AtCloseIn | None = None
    deadline: Annotated[_TimeIn | None, Field(description="e.g. 07:00 Europe/Zurich; nothing is thrown away")] = None
    by: Annotated[
        _TimeIn | None, Field(description="a deadline that also sets the price of a render, so that it is kept")
    ] = None
    spread: Annotated[bool | None, Field(description="each item has its first picture before any goes deeper")] = None
    budget: BudgetIn = None

    @field_validator("budget")
    @classmethod
    def _usable_budget(cls, given: dict[str, Any] | None, _: ValidationInfo) -> dict[str, Any] | None:
        budget_of(given or {})
        return given

    @model_validator(mode="after")
    def _one_deadline(self) -> Self:
        if self.deadline is not None and self.by is not None:
            raise ValueError("deadline and by are both given: by is a deadline, too")
        return self

    def changes(self, now_ms: int) -> dict[str, Any]:
        """The fields of Terms that are given, as JSON."""
        given = self.model_fields_set & TermsIn.model_fields.keys()
        found: dict[str, Any] = {}
        if "windows" in given:
            found["windows"] = list(self.windows or ())
        if "at_close" in given:
            found["at_close"] = self.at_close or "finish"
        if "spread" in given:
            found["spread"] = bool(self.spread)
        if "budget" in given:
            found["budget"] = budget_of(self.budget or {}).model_dump()
        for name in ("deadline", "by"):
            if name in given and (words := getattr(self, name)) is not None:
                return found | {"deadline": moment_of(words, now_ms), "by": name == "by"}
        return found | ({"deadline": None, "by": False} if given & {"deadline", "by"} else {})

    def currency(self) -> str:
        """That of the budget; "" for none."""
        return budget_of(self.budget or {}).currency


# --- in the settings -------------------------------------------------------------------------------


def _price(given: object) -> float:
    with suppress(TypeError, ValueError):
        if isinstance(given, int | float | str) and not isinstance(given, bool) and 0 <= (found := float(given)) <= 1e6:
            return found
    raise ValueError(f"{str(given)[:32]!r} is no price: write a number from 0 to a million, e.g. 2.5")


_PriceIn = Annotated[float, BeforeValidator(_price)]


class OwnerTerms(BaseModel):
    """What holds for all that an owner draws. The budget is of each day or month of `zone`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    windows: WindowsIn = ()
    at_close: AtClose = "finish"
    budget: Budget = NO_BUDGET
    per: Literal["day", "month"] = "month"
    zone: Annotated[str, AfterValidator(zone_named)] = "UTC"
    training: bool = False
    """The owner's leave: what was chosen in their jobs may train a policy (docs/training.md)."""

    _read = field_validator("budget", mode="before")(_budget_in)


class ModelTerms(BaseModel):
    """When an editor's model may be drawn with, and what it costs: an hour of a GPU, and each picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    windows: WindowsIn = ()
    at_close: AtClose = "finish"
    gpu_hour: _PriceIn = 0.0
    render: _PriceIn = 0.0
