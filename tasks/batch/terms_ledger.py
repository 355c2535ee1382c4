"""What the ledger knows of windows, deadlines and budgets: see tasks/ledger/lua/terms.lua."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

from tasks.batch.pacing import Pace
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


class Paced(NamedTuple):
    """A batch whose deadline sets the price of a render. Times are ms; `models`: what a job took of editors lately."""

    batch: str
    now_ms: int
    deadline_ms: int
    opens: str
    waiting: int
    running: int
    ended: int
    took_ms: float
    pace: Pace | None
    models: Mapping[str, float | None]

    @classmethod
    def of(cls, row: Sequence[str]) -> Self:
        batch, now, deadline, opens, waiting, running, ended, took, pace, *models = row
        speeds = {name: float(ms) if ms else None for name, ms in zip(models[::2], models[1::2], strict=True)}
        known = Pace(*json.loads(pace)) if pace else None
        numbers = (int(waiting), int(running), int(ended), float(took))
        return cls(batch, int(now), int(deadline), opens, *numbers, known, speeds)

    @property
    def left_ms(self) -> int:
        """Until the deadline, while its windows are open."""
        if not self.opens:
            return max(0, self.deadline_ms - self.now_ms)
        spans = (map(int, span.split("-")) for span in self.opens.split())
        return sum(max(0, min(closes, self.deadline_ms) - max(opens, self.now_ms)) for opens, closes in spans)


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

    def paces(self) -> list[Paced]:
        """The batches whose deadline sets the price of a render."""
        rows: list[list[str]] = self._run("paces")
        return [Paced.of(row) for row in rows]

    def set_pace(self, batch: str, price: float, pace: Pace) -> None:
        self._run("set_pace", batch, str(price), json.dumps(pace))

    def bar_of_job(self, job: str) -> Bar | None:
        """Why it must not take its next step."""
        found = self._run("barred", job, "")
        return Bar(*found) if found else None

    def bar_of_batch(self, batch: str) -> Bar | None:
        """Why none of its items may begin."""
        found = self._run("barred", "", batch)
        return Bar(*found) if found else None
