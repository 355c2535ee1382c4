"""What holds for the caller: windows and budget of the settings, what of it is used, and until when."""

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel

from api.auth import Caller
from api.batch_schemas import BudgetShown
from tasks.batch.keeper import period_end, period_of
from tasks.batch.terms import NOTHING_NEW, AtClose, OwnerTerms, Spent, parsed_windows
from tasks.batch.terms_ledger import TermsLedger
from tasks.batch.windows import instants
from tasks.settings import Settings

_AHEAD_S = 16 * 86_400
_NONE = OwnerTerms()


class OwnerBudget(BudgetShown):
    """A budget of each day or month (`per`) of `zone`. What is `left` is null where there is no limit, and never below
    0; the present period ends at `until`, in seconds since the epoch. From nine tenths on `state` is "nothing new", and
    "held" once all is spent.
    """

    per: Literal["day", "month"]
    zone: str
    until: float
    left_renders: int | None
    left_gpu_seconds: float | None
    left_money: float | None
    state: Literal["open", "nothing new", "held"]


class Me(BaseModel):
    """The caller. `windows` and `budget` hold for all that the owner draws; null: no budget.

    `open`: they let something begin now; `changes` is when that ends, or begins, in seconds since the epoch (null: not
    within two weeks).
    """

    owner: str
    scopes: list[str]
    max_in_flight: int
    windows: list[str]
    at_close: AtClose
    open: bool
    changes: float | None
    budget: OwnerBudget | None


class Owners:
    """Raises StoreError, and Wiped."""

    def __init__(self, ledger: TermsLedger, settings: Settings, clock: Callable[[], float]) -> None:
        self._ledger, self._settings, self._clock = ledger, settings, clock

    def of(self, caller: Caller) -> Me:
        terms, now = self._settings.owners.get(caller.owner, _NONE), self._clock()
        spans = instants(parsed_windows(terms.windows), int(1000 * now), int(1000 * (now + _AHEAD_S)))
        opens, closes = (each / 1000 for each in spans[0]) if spans else (None, None)
        is_open = not terms.windows or (opens is not None and opens <= now)
        return Me(
            owner=caller.owner, scopes=sorted(caller.scopes), max_in_flight=caller.max_in_flight,
            windows=list(terms.windows), at_close=terms.at_close, open=is_open,
            changes=closes if is_open else opens, budget=self._budget(caller.owner, terms, now),
        )  # fmt: skip

    def ruled(self, owner: str) -> bool:
        """Settings say something of this owner."""
        terms = self._settings.owners.get(owner, _NONE)
        return bool(terms.windows or terms.budget)

    def _budget(self, owner: str, terms: OwnerTerms, now: float) -> OwnerBudget | None:
        budget = terms.budget
        if not budget:
            return None
        found = self._ledger.spent_by(owner)
        # The reconciler begins the next period a moment late.
        spent = found.spent if found.period == period_of(terms, now) else Spent()
        share = spent.share(budget)
        return OwnerBudget(
            renders=budget.renders, gpu_seconds=budget.gpu_s, money=budget.money, currency=budget.currency,
            spent_renders=spent.renders, spent_gpu_seconds=spent.gpu_s, spent_money=spent.money, share=round(share, 4),
            per=terms.per, zone=terms.zone, until=period_end(terms, now),
            left_renders=None if budget.renders is None else max(0, budget.renders - spent.renders),
            left_gpu_seconds=None if budget.gpu_s is None else max(0.0, budget.gpu_s - spent.gpu_s),
            left_money=None if budget.money is None else max(0.0, budget.money - spent.money),
            state="held" if share >= 1 else "nothing new" if share >= NOTHING_NEW else "open",
        )  # fmt: skip
