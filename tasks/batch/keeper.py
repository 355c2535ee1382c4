"""Keeps the ledger told of what settings and clocks say: windows, budgets and deadlines. Part of the reconciler."""

import logging
import time
from calendar import monthrange
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tasks.batch import pacing
from tasks.batch.batches import Batches
from tasks.batch.pacing import Seen
from tasks.batch.terms import MILLION, ModelTerms, OwnerTerms, opens_of
from tasks.batch.terms_ledger import UNITS, OwnerSpent, TermsLedger
from tasks.batch.windows import first_instant
from tasks.logs import fields
from tasks.settings import Settings

log = logging.getLogger(__name__)

_RULE_EVERY_S = 60.0
_RUN_OUT_MS = 4 * 86_400_000


class TermsKeeper:
    """Each part may break off anywhere; each raises StoreError."""

    def __init__(self, batches: Batches, ledger: TermsLedger, settings: Settings) -> None:
        self._batches = batches
        self._ledger = ledger
        self._settings = settings
        self._next_rule = 0.0
        self._stored: dict[str, OwnerSpent] = {}

    def parts(self) -> Sequence[Callable[[], None]]:
        """What a pass of the reconciler does."""
        return self.rule, self.refresh_windows, self.tell_late, self.keep_spend, self.wake

    def rule(self) -> None:
        """Tell the ledger what settings say, now and then: instants of windows run out, and periods end."""
        if time.monotonic() >= self._next_rule:
            self.rule_now()
            self._next_rule = time.monotonic() + _RULE_EVERY_S

    def rule_now(self) -> None:
        now = time.time()
        owners = {f"owner:{name}": self._of_owner(name, terms, now) for name, terms in self._settings.owners.items()}
        models = {f"model:{name}": _of_model(terms, now) for name, terms in self._settings.models.items()}
        self._ledger.rule({**owners, **models})

    def _of_owner(self, name: str, terms: OwnerTerms, now: float) -> dict[str, str]:
        found = {"opens": opens_of(terms.windows, int(1000 * now)), "at_close": terms.at_close}
        if terms.budget:
            period = period_of(terms, now)
            stored = self._batches.shelf.spend(name)
            spent = stored if stored.get("period") == period else {}
            found |= {unit: word for unit, word in terms.budget.limits().items() if word}
            found |= {"period": period, **{f"spent_{unit}": spent.get(unit) or "0" for unit in UNITS}}
        return found

    def refresh_windows(self) -> None:
        """Later instants for batches with windows, days before the ledger's run out."""
        for batch, windows, now_ms in self._ledger.windows_run_out(_RUN_OUT_MS):
            self._ledger.set_opens(batch, windows, opens_of(windows.split("\n"), now_ms))

    def tell_late(self) -> None:
        for batch in self._ledger.late():
            log.warning("a batch is late: its deadline has passed, and it goes on", extra=fields(batch=batch))

    def keep_spend(self) -> None:
        """Store what owners with a budget have used, so that a wipe does not forget it."""
        for owner, terms in self._settings.owners.items():
            found = self._ledger.spent_by(owner) if terms.budget else None
            if not found or not found.period or found == self._stored.get(owner):
                continue
            if self._is_behind(owner, found):
                log.warning("the ledger knows less of what %s used than storage: it counts on from there", owner)
                self.rule_now()
            else:
                self._batches.shelf.put_spend(owner, {"period": found.period, **found.units})
                self._stored[owner] = found

    def _is_behind(self, owner: str, found: OwnerSpent) -> bool:
        """Whether storage knows more: the ledger was brought back from a copy."""
        stored = self._batches.shelf.spend(owner)
        more = (int(stored.get(unit) or 0) > int(found.units[unit] or 0) for unit in UNITS)
        return stored.get("period") == found.period and any(more)

    def pace(self, editors: Mapping[str, int]) -> None:
        """Set what a render must promise, for batches that are to end by a time. `editors` draw each model."""
        for found in self._ledger.paces():
            speeds = [ms / 1000 for ms in found.models.values() if ms is not None]
            seen = Seen(
                now_s=found.now_ms / 1000, left_s=found.left_ms / 1000, waiting=found.waiting, running=found.running,
                ended=found.ended, took_s=found.took_ms / 1000,
                editors=float(sum(editors.get(model, 0) for model in found.models)),
                item_s=sum(speeds) / len(speeds) if speeds else None,
            )  # fmt: skip
            if seen.editors:
                pace = pacing.step(found.pace, seen) if found.pace else pacing.begin(seen)
                if pace != found.pace:
                    self._ledger.set_pace(found.batch, pacing.told(pace), pace)

    def wake(self) -> None:
        """What waited for a window or a budget goes on once it may."""
        self._ledger.wake()


def _of_model(terms: ModelTerms, now: float) -> Mapping[str, str]:
    return {
        "opens": opens_of(terms.windows, int(1000 * now)), "at_close": terms.at_close,
        "per_render": str(round(MILLION * terms.render)), "per_gpu_hour": str(round(MILLION * terms.gpu_hour)),
    }  # fmt: skip


def period_of(terms: OwnerTerms, now: float) -> str:
    """The day or month of the owner's budget, as words."""
    return f"{datetime.fromtimestamp(now, ZoneInfo(terms.zone)):{'%Y-%m-%d' if terms.per == 'day' else '%Y-%m'}}"


def period_end(terms: OwnerTerms, now: float) -> float:
    """When the present day or month of the owner's budget ends, in seconds since the epoch."""
    local = datetime.fromtimestamp(now, ZoneInfo(terms.zone)).replace(tzinfo=None)
    first = local.replace(hour=0, minute=0, second=0, microsecond=0)
    days = 1 if terms.per == "day" else monthrange(local.year, local.month)[1] - local.day + 1
    return first_instant(first + timedelta(days=days), ZoneInfo(terms.zone)) / 1000
