"""Which model's queue a worker takes from first, when it serves several on one GPU: a change of model costs time.

The worker stays at the queue that it took from last (`EditorsInTurn` in tasks/broker.py), as long as something waits
there. Every second its parent asks `other_queue` whether others wait so long or are so many that it is worth a change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.sharedctypes import RawArray

WORTH = 3
"""So many times what a change costs must wait elsewhere; and so long a worker stays at least."""
_WEIGHT = 0.3  # of the newest measurement


@dataclass(frozen=True)
class Backlog:
    """The renders that wait on a queue, the workers that draw from it now, and for how long it has waited for one."""

    waiting: int
    drawing: int = 0
    alone_s: float = 0.0

    @property
    def each(self) -> float:
        return self.waiting / max(1, self.drawing)


@dataclass(frozen=True)
class Swap:
    """What a change of model costs, in seconds and in renders."""

    seconds: float
    renders: float


def other_queue(current: str, backlogs: Mapping[str, Backlog], stayed_s: float, swap: Swap, longest_s: float) -> str:
    """The queue that a worker at `current` should go on with; "" to stay. `stayed_s`: since it came there.

    A queue that nobody has drawn from for `longest_s` is next, whatever waits here. Otherwise one where more waits for
    each worker than WORTH changes cost, and more than here.
    """
    others = {queue: backlog for queue, backlog in backlogs.items() if queue != current and backlog.waiting}
    if not others or stayed_s < WORTH * swap.seconds:
        return ""
    longest = max(others, key=lambda queue: others[queue].alone_s)
    if others[longest].alone_s >= longest_s:
        return longest
    fullest = max(others, key=lambda queue: others[queue].each)
    least = max(WORTH * swap.renders, backlogs[current].each if current in backlogs else 0)
    return fullest if others[fullest].each > least else ""


class SwapTimes:
    """What changes of model and renders took in a worker's child; its parent reads them. Made before the fork."""

    def __init__(self, prior_renders: float) -> None:
        self._prior = prior_renders
        self._means = RawArray("d", [-1.0, -1.0])  # seconds of a change and of a render; below 0: not measured
        self._queue = ""

    def rendered(self, queue: str, seconds: float, load_seconds: float) -> None:
        """From the child: a render, and how much of it was the loading of its model."""
        if self._queue and queue != self._queue:
            self._add(0, load_seconds)
        self._queue = queue
        self._add(1, max(0.0, seconds - load_seconds))

    @property
    def swap(self) -> Swap:
        """As measured; until then, the prior."""
        change, render = self._means
        if render <= 0:
            return Swap(0.0, self._prior)
        if change < 0:
            return Swap(self._prior * render, self._prior)
        return Swap(change, change / render)

    def _add(self, place: int, seconds: float) -> None:
        before = self._means[place]
        self._means[place] = seconds if before < 0 else before + _WEIGHT * (seconds - before)
