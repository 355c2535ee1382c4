"""What the ledger knows of windows, deadlines and budgets: see tasks/ledger/lua/terms.lua."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from tasks.batch.terms import Spent
from tasks.ledger.ledger import Ledger

_LIMIT = 500


class Bar(NamedTuple):
    """What bars a job or a batch: `what` is window, budget or unknown (spend), of a batch, owner or model."""

    what: str
    whose: str
    unit: str = ""  # of the budget: renders, gpu_ms, money
    model: str = ""


class RunsOut(NamedTuple):
    """A batch whose windows' instants end soon."""

    batch: str
    windows: str
    now_ms: int


class OwnerSpent(NamedTuple):
    """What an owner used in a period of his budget. `units` are the ledger's words, by unit."""

    period: str
    units: Mapping[str, str]

    @property
    def spent(self) -> Spent:
        return Spent.of(*(self.units.get(unit) for unit in UNITS))


UNITS = ("renders", "gpu_ms", "money")


class TermsLedger:
    """Raises as the ledger does."""

    def __init__(self, ledger: Ledger) -> None:
        self._run = ledger.run

    def rule(self, rules: Mapping[str, Mapping[str, str]]) -> None:
        """What holds of owners and models from now on, by `owner:<name>` and `model:<name>`. Never raises Wiped."""
        self._run("rules", json.dumps(rules))

    def wake(self) -> int:
        """Let go on what may again; how many batches were looked at."""
        return int(self._run("wake", _LIMIT))

    def late(self) -> list[str]:
        """Batches whose deadline has passed; each is given once."""
        return [str(batch) for batch in self._run("late", _LIMIT)]

    def windows_run_out(self, within_ms: int) -> list[RunsOut]:
        """Batches whose windows' instants run out within so long."""
        now_ms, *flat = self._run("windows_run_out", within_ms, _LIMIT)
        return [RunsOut(batch, words, int(now_ms)) for batch, words in zip(flat[::2], flat[1::2], strict=True)]

    def set_opens(self, batch: str, windows: str, opens: str) -> None:
        """The instants of these windows, if they are still the batch's."""
        self._run("set_opens", batch, windows, opens)

    def spent_by(self, owner: str) -> OwnerSpent:
        """Of a budget in the settings; the period is "" without one."""
        period, *amounts = self._run("spent_by_owner", owner)
        return OwnerSpent(str(period), dict(zip(UNITS, map(str, amounts), strict=True)))

    def bar_of_job(self, job: str) -> Bar | None:
        """Why it must not take its next step."""
        found = self._run("barred", job, "")
        return Bar(*found) if found else None

    def bar_of_batch(self, batch: str) -> Bar | None:
        """Why none of its items may begin."""
        found = self._run("barred", "", batch)
        return Bar(*found) if found else None
