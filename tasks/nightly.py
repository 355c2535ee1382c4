"""Runs the sweep of tasks/retention.py each night, or every so often, where a setting asks. Part of the reconciler.

Any number of reconcilers may run. One of them has the lock; what it did is noted in storage, where the others read that
tonight's sweep is over. One that was missed while no reconciler ran is made up for.
"""

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict

from director.errors import DirectorError, StoreError
from tasks.batch.terms import turn_behind
from tasks.ledger.ledger import Ledger
from tasks.logs import fields
from tasks.retention import Swept
from tasks.store import NotFound, Store

log = logging.getLogger(__name__)

NOTE = "gc/last.json"
_LOCK_MS = 600_000
"""A reconciler that dies in its sweep is followed by another one after so long."""
AGAIN_S = 600.0
"""After a sweep that broke off."""


def note(store: Store, began: float, swept: Swept) -> None:
    """Store what a sweep removed and left."""
    counts = {name: value if isinstance(value, int) else len(value) for name, value in asdict(swept).items()}
    store.put(NOTE, json.dumps({"began": round(began, 3), **counts}, sort_keys=True).encode())


def noted(store: Store) -> dict[str, float]:
    """What the last sweep noted; empty before the first, or when it can't be read. Raises StoreError."""
    try:
        found = json.loads(store.get(NOTE))
        return {str(name): float(value) for name, value in found.items()}
    except (NotFound, ValueError, TypeError, AttributeError):
        return {}


class NightlySweep:
    """`at` is a time of day and a zone, `04:30 Europe/Zurich`, or `every 6h`. `tell` hears of each sweep; None: it
    broke off."""

    def __init__(
        self,
        at: str,
        sweep: Callable[[], Swept],
        store: Store,
        ledger: Ledger,
        tell: Callable[[Swept | None], None] = lambda swept: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._at, self._sweep, self._store, self._ledger, self._tell, self._clock = (
            at,
            sweep,
            store,
            ledger,
            tell,
            clock,
        )
        self._holder = secrets.token_hex(16)
        self._started = clock()
        self._due: float | None = None
        self._running: threading.Thread | None = None

    def nightly_gc(self) -> None:
        """Begin the sweep when it is due, in a thread of its own: it may take longer than a pass."""
        if self._running and self._running.is_alive():
            self._ledger.run("lock", "gc", self._holder, _LOCK_MS)
            return
        if self._due is None:
            self._due = self._next()
        if self._clock() < self._due or not self._ledger.run("lock", "gc", self._holder, _LOCK_MS):
            return
        self._due = self._next()
        if self._clock() < self._due:  # another reconciler did it
            self._ledger.run("unlock", "gc", self._holder)
            return
        # It may break off anywhere: this process waits for it at no end.
        self._running = threading.Thread(target=self._run, name="gc", daemon=True)
        self._running.start()

    def wait(self) -> None:
        """Until the sweep that runs has ended."""
        if self._running:
            self._running.join()

    def _next(self) -> float:
        """When the first sweep behind the last one is due."""
        last = noted(self._store).get("began") or self._started
        return turn_behind(self._at, last)

    def _run(self) -> None:
        began = self._clock()
        try:
            swept = self._sweep()
            note(self._store, began, swept)
        except DirectorError as broke_off:
            self._due = began + AGAIN_S
            log.warning("the nightly gc broke off, and what was not removed is left: %s", broke_off)
            self._tell(None)
        else:
            about = {"jobs": len(swept.jobs), "batches": len(swept.batches), "pictures": swept.images}
            seconds = round(self._clock() - began, 1)
            log.info("the nightly gc removed %d bytes", swept.bytes, extra=fields(**about, seconds=seconds))
            self._tell(swept)
        finally:
            self._release()

    def _release(self) -> None:
        try:
            self._ledger.run("unlock", "gc", self._holder)
        except StoreError as away:  # it ends by itself
            log.warning("the lock of gc is left to run out: %s", away)
