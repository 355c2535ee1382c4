"""How the night stands, of all batches together: for metrics, and for what storage it still needs."""

from collections.abc import Mapping, Sequence
from itertools import islice
from statistics import fmean
from typing import NamedTuple

from tasks.batch.types import LETTERS
from tasks.ledger.ledger import Ledger
from tasks.store import Store

STANDINGS = ("drawing", "window", "budget", "unknown", "paused", "cancelled")
"""Of a batch with items that have not ended: it goes on, or what bars it; unknown: what it spent before a wipe."""
_MOST = 300
"""Batches that are looked at, the newest: it takes Redis about 50 microseconds each, and everybody waits meanwhile."""
_SAMPLE = 200  # pictures whose bytes are looked at
_BESIDE_BYTES = 50_000  # of a picture: its share of snapshots and records


class OwnerUse(NamedTuple):
    """The share of an owner's budget that is used."""

    owner: str
    share: float


class WindowState(NamedTuple):
    """`kind` is owner or model."""

    kind: str
    name: str
    open: bool


class NightState(NamedTuple):
    """`batches` at work by how they stand, and `left`, their items that have not ended. `ended` and `renders` (pictures
    drawn) are of those that have ended, too. `budget` is the largest share of a batch's budget that is used;
    None: none has one. `items` are ends of items that had a job, since the ledger began. `late` are batches at work
    whose deadline has passed."""

    batches: Mapping[str, int]
    left: int
    ended: int
    renders: int
    budget: float | None
    owners: Sequence[OwnerUse]
    windows: Sequence[WindowState]
    untold: int
    items: Mapping[str, int]
    late: int


def night_of(ledger: Ledger) -> NightState:
    """Raises StoreError, and Wiped."""
    stands, left, ended, renders, most, owners, windows, untold, items, late = ledger.run("nights", _MOST)
    by_letter = dict(zip(items[::2], items[1::2], strict=True))
    return NightState(
        batches=dict.fromkeys(STANDINGS, 0) | dict(zip(stands[::2], map(int, stands[1::2]), strict=True)),
        left=int(left), ended=int(ended), renders=int(renders), budget=float(most) if most else None,
        owners=sorted(OwnerUse(owner, float(share)) for owner, share in owners),
        windows=sorted(WindowState(kind, name, bool(int(now))) for kind, name, now in windows),
        untold=int(untold),
        items={LETTERS[letter].value: int(by_letter.get(letter, 0)) for letter in "duxk"},
        late=int(late),
    )  # fmt: skip


def bytes_needed(night: NightState, store: Store) -> int | None:
    """What the rest of the night is likely to store: as many pictures an item as until now, as large as stored ones.

    None: no item has ended yet, or no picture is stored.
    """
    if not night.left:
        return 0
    sizes = [item.size for item in islice(store.items("images/"), _SAMPLE)]
    if not night.ended or not night.renders or not sizes:
        return None
    return round(night.left * night.renders / night.ended * (fmean(sizes) + _BESIDE_BYTES))
