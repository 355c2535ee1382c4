"""The goals of the run, and whether rows reach them. Pure: it judges a running, a killed and a finished run alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TIMES_PLAIN = 1.3
"""The best exact configuration against plain diffusers: one picture a call, nothing compiled."""
OF_CEILING = 0.55
"""Its share of the rate of a large matrix product that was measured in the same run."""
OF_BUDGET = 0.05
"""How far the peak memory may be from what the doctor computes, either way."""

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Verdict:
    """`reached` is None where nothing was measured that could be judged. `by` names the row that decided."""

    goal: str
    wanted: str
    found: float | None = None
    reached: bool | None = None
    by: str = ""

    def as_json(self) -> dict[str, Any]:
        return vars(self).copy()

    def said(self) -> str:
        word = {True: "reached", False: "NOT reached", None: "not measured"}[self.reached]
        return f"{self.goal}: {word}" + ("" if self.found is None else f", {self.found:.4g} ({self.by})")


def judged(rows: Rows, notes: Mapping[str, Any]) -> list[Verdict]:
    """A verdict for each goal. `notes` gives `tolerance` and, once known, `budget_GiB`."""
    tolerance = notes["tolerance"]
    speeds = [_speed(rows, kind, tolerance) for kind in ("draw", "edit")]
    return [*(verdict for pair in speeds for verdict in pair), _exact(rows, tolerance), _memory(rows, notes)]


def _speed(rows: Rows, kind: str, tolerance: float) -> tuple[Verdict, Verdict]:
    """Of the fastest row that claims to be exact and is."""
    of_kind = [row for row in rows if row.get("kind") == kind]
    plain = next((row for row in of_kind if row["how"] == "eager" and row["pictures"] == 1), None)
    exact = [row for row in of_kind if row["claims_exact"] and row["apart"] <= tolerance]
    best = min(exact, key=lambda row: row["s_a_step_and_picture"], default=None)
    times, share = f"{kind}: exact, times plain", f"{kind}: exact, share of the ceiling"
    wanted_times, wanted_share = f"at least {TIMES_PLAIN}", f"at least {OF_CEILING}"
    if plain is None or best is None:
        return Verdict(times, wanted_times), Verdict(share, wanted_share)
    faster = plain["s_a_step_and_picture"] / best["s_a_step_and_picture"]
    of_ceiling = best["of_ceiling"]
    reached = None if of_ceiling is None else of_ceiling >= OF_CEILING
    return (
        Verdict(times, wanted_times, faster, faster >= TIMES_PLAIN, best["what"]),
        Verdict(share, wanted_share, of_ceiling, reached, best["what"]),
    )


def _exact(rows: Rows, tolerance: float) -> Verdict:
    """What claims to be exact gives the predictions of separate plain calls, to rounding."""
    goal, wanted = "relative difference of exact rows from plain calls", f"at most {tolerance:g}"
    worst = max((row for row in rows if row.get("claims_exact")), key=lambda row: row["apart"], default=None)
    if worst is None:
        return Verdict(goal, wanted)
    return Verdict(goal, wanted, worst["apart"], worst["apart"] <= tolerance, worst["what"])


def _memory(rows: Rows, notes: Mapping[str, Any]) -> Verdict:
    """The most that a warm render took of the card, its context included, against the doctor's budget."""
    goal, wanted = "peak memory, of the doctor's budget", f"between {1 - OF_BUDGET:g} and {1 + OF_BUDGET:g}"
    taken = [row for row in rows if row.get("of_the_budget") and row.get("card_peak_GiB")]
    budget = notes.get("budget_GiB")
    if not (taken and budget):
        return Verdict(goal, wanted)
    most = max(taken, key=lambda row: row["card_peak_GiB"])
    share = most["card_peak_GiB"] / budget
    return Verdict(goal, wanted, share, abs(share - 1) <= OF_BUDGET, most["what"])
