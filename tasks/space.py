"""How much room is left, as far as it can be known: disks of this machine, Redis' memory, a quota of the bucket.

A disk is asked (statvfs). Redis tells its `used_memory` and `maxmemory`; without a `maxmemory` nobody knows. What lies
in a bucket elsewhere was counted by the last sweep (tasks/nightly.py), so it is as old as that.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tasks.batch.night import bytes_needed, night_of
from tasks.ledger.ledger import Ledger
from tasks.ledger.server import connect, told
from tasks.logs import fields
from tasks.nightly import noted
from tasks.settings import Settings
from tasks.store import Store

log = logging.getLogger(__name__)

EVERY_S = 300.0
_GB = 10**9


class Space(NamedTuple):
    """`of` is `disk <folder>`, `redis`, `broker` or `bucket`. `counted`: when, in seconds since the epoch; 0: now."""

    of: str
    free: int
    total: int
    counted: float = 0.0

    def __str__(self) -> str:
        then = f", counted {datetime.fromtimestamp(self.counted, UTC):%d %b %H:%M} UTC" if self.counted else ""
        return f"{self.of}: {_amount(self.free)} of {_amount(self.total)} free{then}"


class Look(NamedTuple):
    """`needed`: what tonight is likely to store; None: not known yet. `unknown` says what can't be known, and why."""

    spaces: Sequence[Space]
    needed: int | None
    unknown: Sequence[str]

    @property
    def tonight(self) -> str:
        """What the batches at work need, in words."""
        if self.needed is None:
            return "how much tonight needs is not known yet"
        return f"tonight needs {_amount(self.needed)}"

    def low(self, least_share: float) -> dict[str, str]:
        """What runs out: its name, and words. At least that share of each should be free."""
        found = dict[str, str]()
        for space in self.spaces:
            stores = not space.of.startswith(("redis", "broker"))
            if stores and self.needed and self.needed > space.free:
                needed = f"tonight needs {_amount(self.needed)}, {_amount(space.free)} are free"
                found[space.of] = f"{space.of}: {needed}"
            elif space.free < least_share * space.total:
                found[space.of] = str(space)
        return found


def look(settings: Settings, ledger: Ledger, store: Store) -> Look:
    """Raises StoreError: where storage or ledger are out of reach; a folder that is not there is among `unknown`."""
    found = [*_disks(settings.disks), *_memories(settings), *_quota(settings.s3_quota_gb, store)]
    spaces = [each for each in found if isinstance(each, Space)]
    unknown = [each for each in found if isinstance(each, str)]
    return Look(spaces, bytes_needed(night_of(ledger), store), unknown)


def _disks(folders: Iterable[Path]) -> Iterator[Space | str]:
    for folder in folders:
        try:
            found = os.statvfs(folder)
            yield Space(f"disk {folder}", found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)
        except OSError as error:
            yield f"disk {folder}: {error.strerror}"


def _memories(settings: Settings) -> Iterator[Space | str]:
    """Of the ledger's server and, where that is another one, of the broker's."""
    seen = set[str]()
    for name, url in (("redis", settings.ledger_url), ("broker", settings.broker_url)):
        with connect(url) as redis:
            server, memory = told(redis, "server"), told(redis, "memory")
        used, most = int(memory.get("used_memory", 0)), int(memory.get("maxmemory", 0))
        if (run := str(server.get("run_id", name))) in seen:
            continue
        seen.add(run)
        if most:
            yield Space(name, max(0, most - used), most)
        elif used:
            yield f"{name} uses {_amount(used)} and has no maxmemory: nobody knows when it is full"
        else:
            yield f"{name} does not tell its memory"


def _quota(gb: float, store: Store) -> Iterator[Space | str]:
    if not gb:
        return
    last, quota = noted(store), round(gb * _GB)
    if "stored" in last:
        yield Space("bucket", max(0, quota - int(last["stored"])), quota, last.get("began", 0.0))
    else:
        yield "bucket: what lies in it is counted by gc, which has not run yet"


class SpaceWatch:
    """Looks every five minutes, and says in the log what runs out and when that is over. Part of the reconciler."""

    def __init__(
        self,
        look: Callable[[], Look],
        least_share: float,
        tell: Callable[[Look], None],
        every_s: float = EVERY_S,
    ) -> None:
        self._look, self._least_share, self._tell, self._every_s = look, least_share, tell, every_s
        self._next = 0.0
        self._low = set[str]()

    def look_at_space(self) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._every_s
        found = self._look()
        self._tell(found)
        low = found.low(self._least_share)
        for name in low.keys() - self._low:  # once, not each time
            log.warning("space runs out: %s", low[name], extra=fields(space=name))
        for name in self._low - low.keys():
            log.info("there is enough space again", extra=fields(space=name))
        self._low = set(low)


def _amount(number: float) -> str:
    for unit, size in (("TB", 10**12), ("GB", _GB), ("MB", 10**6)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number / 1000:.3g} kB"
