"""How many jobs the ledger has, without a look at any."""

from typing import NamedTuple

from tasks.ledger.ledger import Ledger


class Totals(NamedTuple):
    """Jobs that the ledger knows, those of batches included."""

    at_work: int
    done: int
    cancelled: int
    failed: int


def totals(ledger: Ledger, owner: str | None) -> Totals | None:
    """Of `owner`, or of all; None while a ledger of an older version is being listed."""
    numbers: list[int] = ledger.run("totals", owner or "")
    if not numbers:
        return None
    fresh, begun, done, cancelled, failed = numbers
    return Totals(fresh + begun, done, cancelled, failed)
