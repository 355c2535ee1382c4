"""The price of a render that lets a whole batch end by its deadline, moved as the night goes. Pure.

The loop of a job stops where a render promises fewer goals than its price. With one price for all, what is left of the
editors' time goes where it brings most; so the best price is the one at which the batch just ends in time. It is found
by feedback: what an item took of the editors is held against what each that is left may take.
"""

import math
from typing import NamedTuple

LEAST, MOST = 0.02, 8.0
"""Goals. At MOST an item gets its first picture, and little more; LEAST is as good as none."""
_MARGIN = 0.95  # of the time that is left
# Twice the price is taken to make an item 0.57 times as long. Truly it is 0.7; but what few items took is half chance,
# and a price that runs after it brings fewer goals than one that stays.
_ELASTICITY = 0.8
_LEAST_MEMORY = 8.0  # items
_MOST_STEP = 0.7  # of the price's logarithm, for one look
_LAST = 0.5  # of an item's time: where the last ones have less, they draw no more


class Seen(NamedTuple):
    """A batch as it stands."""

    now_s: float
    left_s: float  # until the deadline, while its windows are open
    waiting: int
    running: int
    ended: int
    took_s: float  # of the editors, all that have ended together
    editors: float  # that draw its models
    item_s: float | None  # what an item of the model took lately, on average; None: not known


class Pace(NamedTuple):
    """What is kept from look to look: the price, and what was measured until then."""

    price: float
    now_s: float
    ended: int
    took_s: float
    item_s: float
    rate: float  # seconds of editors that the batch gets a second


def begin(seen: Seen) -> Pace:
    """The first price: what items of the model took before says by how much it must be above the least."""
    item_s, price = seen.item_s or 0.0, LEAST
    if item_s:
        price *= math.exp(_short(item_s, _allowed(seen, seen.editors, item_s)) / _ELASTICITY)
    return Pace(_within(price), seen.now_s, seen.ended, seen.took_s, item_s, seen.editors)


def step(pace: Pace, seen: Seen) -> Pace:
    """The price from now on. Nothing changes until an item has ended, or too little time is left for the last ones."""
    if not seen.waiting and _allowed(seen, pace.rate, pace.item_s) < _LAST * pace.item_s:
        pace = pace._replace(price=MOST)
    ended, seconds = seen.ended - pace.ended, seen.now_s - pace.now_s
    if ended <= 0 or seconds <= 0:
        return pace
    weight = min(1.0, ended / max(_LEAST_MEMORY, 0.75 * seen.running))
    item_s = _toward(pace.item_s, (seen.took_s - pace.took_s) / ended, weight if pace.item_s else 1.0)
    rate = _toward(pace.rate, min(seen.editors, (seen.took_s - pace.took_s) / seconds), min(0.5, weight))
    short = _short(item_s, _allowed(seen, rate, item_s))
    moved = max(-_MOST_STEP, min(_MOST_STEP, short / _ELASTICITY * weight))
    price = _within(pace.price * math.exp(moved))
    return Pace(price, seen.now_s, seen.ended, seen.took_s, item_s, rate)


def told(pace: Pace) -> float:
    """The price as jobs get it: three digits are enough. 0.0: there is time for all that their settings allow."""
    return 0.0 if pace.price <= LEAST else float(f"{pace.price:.3g}")


def _allowed(seen: Seen, rate: float, item_s: float) -> float:
    """Seconds of editors for each item that waits or is in flight.

    At the end editors have nothing to do while the last item ends.
    """
    return max(1e-3, _MARGIN * (seen.left_s - item_s) * rate / max(1, seen.waiting + seen.running))


def _short(item_s: float, allowed: float) -> float:
    """By how much an item takes too long, as a logarithm; below 0: it might take longer."""
    return math.log(max(item_s, 1e-3) / allowed)


def _toward(before: float, now: float, weight: float) -> float:
    return before + weight * (now - before)


def _within(price: float) -> float:
    return min(MOST, max(LEAST, price))
