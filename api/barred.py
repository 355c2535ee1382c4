"""What a window or a budget lets wait, in words; and terms as they are shown."""

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from api.batch_schemas import BudgetShown, TermsShown
from tasks.batch.keeper import period_of
from tasks.batch.ledger import BatchLedger
from tasks.batch.terms import NO_TERMS, parsed_windows
from tasks.batch.terms_ledger import Bar, TermsLedger
from tasks.batch.types import BatchStatus, Standing
from tasks.batch.windows import next_opening
from tasks.ledger.types import Record
from tasks.settings import Settings

_SOON_S = 20 * 3600


class Bars:
    """Asks the ledger what bars something, and settings for what it is."""

    def __init__(
        self, ledger: TermsLedger, batches: BatchLedger, settings: Settings, clock: Callable[[], float]
    ) -> None:
        self._ledger = ledger
        self._batches = batches
        self._settings = settings
        self._clock = clock

    @property
    def currency(self) -> str:
        """Of the models' prices; "" where there are none."""
        priced = any(terms.gpu_hour or terms.render for terms in self._settings.models.values())
        return self._settings.currency if priced else ""

    def of_job(self, record: Record) -> str:
        """Why a parked job waits that nobody paused."""
        bar = self._ledger.bar_of_job(record.job)
        if not bar:
            standing = self._batches.standing(record.batch) if record.batch else None
            paused = standing is not None and standing.status is BatchStatus.PAUSED
            return "paused with its batch" if paused else "goes on in a moment"
        if bar.whose != "batch":
            return self._of_settings(bar, record.owner)
        return {
            "window": "waits for the window of its batch",
            "budget": "held: the budget of its batch is spent",
        }.get(bar.what, "waits until it is known again what its batch spent")

    def of_batch(self, standing: Standing) -> str:
        """Why none of its items begins; "" when neither window nor budget is why."""
        counts = standing.counts
        if not self._concerns(standing) or not counts.waiting + counts.running:
            return ""
        bar = self._ledger.bar_of_batch(standing.batch)
        if not bar or (not counts.waiting and not self._holds(bar, standing)):
            return ""
        if bar.whose != "batch":
            return self._of_settings(bar, standing.owner)
        if bar.what == "window":
            who = "what has not begun waits" if counts.running and not self._holds(bar, standing) else "waits"
            return f"{who} for its window until {self._until(standing.terms.windows)}"
        if bar.what == "unknown":
            return "waits until it is known again what it spent before the ledger was lost"
        return self._spent_words(bar, standing)

    def _concerns(self, standing: Standing) -> bool:
        """Saves a call to the ledger where there is neither."""
        settings = self._settings
        return standing.terms != NO_TERMS or standing.owner in settings.owners or bool(settings.models)

    def _holds(self, bar: Bar, standing: Standing) -> bool:
        """Whether it stops what has begun, too."""
        if bar.what == "window":
            return standing.terms.at_close == "hold"
        return bar.what == "unknown" or standing.spent.share(standing.terms.budget) >= 1

    def _spent_words(self, bar: Bar, standing: Standing) -> str:
        budget = standing.terms.budget
        limit = budget.told(bar.unit)
        fix = f"visiondirector batch patch {standing.batch[:8]} --budget {_raised(bar.unit, standing)}"
        if standing.spent.share(budget) >= 1:
            return f"held: its budget of {limit} is spent; {fix}"
        return f"nothing new begins: nine tenths of its budget of {limit} are spent; {fix}"

    def _of_settings(self, bar: Bar, owner: str) -> str:
        if bar.whose == "model":
            terms = self._settings.models.get(bar.model)
            return f"waits for the window of {bar.model} until {self._until(terms.windows if terms else ())}"
        terms = self._settings.owners.get(owner)
        if bar.what == "window":
            return f"waits for the window of {owner} until {self._until(terms.windows if terms else ())}"
        limit = f" of {terms.budget.told(bar.unit)} a {terms.per}" if terms else ""
        period = f" ({period_of(terms, self._clock())})" if terms else ""
        fix = "an operator raises it in VISIONDIRECTOR_OWNERS"
        return f"held: the budget of {owner}{limit} is spent{period}; it goes on with the next one, or {fix}"

    def _until(self, specs: tuple[str, ...]) -> str:
        now = self._clock()
        found = next_opening(parsed_windows(specs), int(1000 * now))
        if not found:
            return "it opens"
        opens, window = found
        at = datetime.fromtimestamp(opens / 1000, ZoneInfo(window.zone))
        return f"{at:{'%H:%M' if opens / 1000 - now < _SOON_S else '%a %d %b %H:%M'}} {window.zone}"


def terms_shown(standing: Standing, now: float) -> TermsShown:
    terms, spent = standing.terms, standing.spent
    over = standing.ended or (now if standing.status in {BatchStatus.OPEN, BatchStatus.PAUSED} else 0.0)
    budget = terms.budget
    shown = BudgetShown(
        renders=budget.renders, gpu_seconds=budget.gpu_s, money=budget.money, currency=budget.currency,
        spent_renders=spent.renders, spent_gpu_seconds=spent.gpu_s, spent_money=spent.money,
        share=round(spent.share(budget), 4),
    )  # fmt: skip
    late = bool(standing.late) or (terms.deadline is not None and over > terms.deadline)
    return TermsShown(
        windows=list(terms.windows), at_close=terms.at_close, deadline=terms.deadline, late=late, by=terms.by,
        price=standing.price, spread=terms.spread, budget=shown if budget else None,
    )  # fmt: skip


def _raised(unit: str, standing: Standing) -> str:
    """Twice the limit, or twice what was spent, as an option: a limit may have been set below that."""
    budget, spent = standing.terms.budget, standing.spent
    match unit:
        case "renders":
            return f"renders={2 * max(budget.renders or 0, spent.renders)}"
        case "gpu_ms":
            seconds = 2 * max(budget.gpu_s or 0, spent.gpu_s)
            return f"gpu={seconds / 3600:.1f}h" if seconds >= 3600 else f"gpu={seconds:.0f}s"
        case _:
            return f"{budget.currency}={2 * max(budget.money or 0, spent.money):g}"
