"""Takes what happened out of the ledger, keeps it in storage, and tells the hooks. Part of the reconciler.

A script that makes a transition writes it into the outbox, in the same step. From there it goes to storage, a record
for each hook that wants it; only then it leaves the outbox. Deliveries are scheduled in the ledger, and after a wipe
from storage. So a hook is told at least once, and a receiver knows a repetition by its id.
"""

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from director.errors import StoreError
from tasks.ledger.ledger import Ledger
from tasks.logs import fields
from tasks.notices.hooks import switch
from tasks.notices.post import SECONDS, Outcome
from tasks.notices.shelf import NoticeShelf
from tasks.notices.types import Delivered, Event, Hook, Notice, notice_of
from tasks.store import Corrupt

log = logging.getLogger(__name__)

OUTCOMES = ("told", "again", "dead")
"""Of a try: taken, to be tried again, given up."""
WAITS_S = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Before each further try: the schedule of Standard Webhooks. After the last the delivery is given up."""
_LONGEST_S = 86_400.0  # that a Retry-After is heeded
_LEASE_MS = int(4 * 1000 * SECONDS)
_POSTERS = 8  # at once
_SOME = 100


class Courier:
    """`send` tries a delivery once; it may take SECONDS, and has a thread of its own. Raises StoreError.

    `tell` hears one of OUTCOMES of each try, `tell_dead` now and then how many deliveries stand as given up.
    """

    def __init__(
        self,
        ledger: Ledger,
        shelf: NoticeShelf,
        send: Callable[[Hook, Notice], Outcome],
        tell: Callable[[str], None] = lambda outcome: None,
        tell_dead: Callable[[int], None] = lambda number: None,
    ) -> None:
        self._ledger = ledger
        self._shelf = shelf
        self._send = send
        self._tell, self._tell_dead = tell, tell_dead
        self._pool = ThreadPoolExecutor(_POSTERS, "notices")
        self._guard = threading.Lock()
        self._busy: set[str] = set()  # hooks to which something is on its way from here
        self._hooks: dict[str, list[Hook]] = {}  # by owner, while what happened is collected

    def close(self) -> None:
        """What waits for a thread is due again when its lease ends."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    # --- from the ledger to storage ---------------------------------------------------------------

    def collect(self) -> None:
        """Keep what happened, for each hook that wants to be told."""
        self._hooks.clear()  # a hook that was added before something happened is told of it
        while entries := self._ledger.run("outbox", _SOME):
            for entry in entries:
                self._keep(str(entry))
            if len(entries) < _SOME:
                return

    def _keep(self, entry: str) -> None:
        about: dict[str, Any] = json.loads(entry)
        owner, event = str(about.pop("owner")), Event(about.pop("event"))
        wanted = [hook for hook in self._hooks_of(owner) if event in hook.events and not hook.off]
        deliveries: list[str] = []
        if wanted:
            notice = _notice(owner, event, about)
            deliveries = [f"{hook.id}|{notice.id}" for hook in wanted if self._shelf.add(hook.id, notice)]
        self._ledger.run("noted", entry, *deliveries)

    def _hooks_of(self, owner: str) -> list[Hook]:
        if owner not in self._hooks:
            self._hooks[owner] = self._shelf.hooks(owner)
        return self._hooks[owner]

    def restore(self) -> None:
        """After a wipe: let what was not told be told, and let jobs that end be noted for who wants that."""
        owners = {hook.owner for hook in self._shelf.hooks() if Event.JOB_ENDED in hook.events and not hook.off}
        if owners:
            self._ledger.run("hooked", 1, *sorted(owners))
        self.audit()

    def audit(self) -> None:
        """Schedule what storage has and the ledger has not."""
        pending = [f"{hook}|{notice}" for hook, notice in self._shelf.pending()]
        for first in range(0, len(pending), _SOME):
            self._ledger.run("noted", "", *pending[first : first + _SOME])
        self._tell_dead(self._shelf.count_dead())

    # --- to the hooks -----------------------------------------------------------------------------

    def deliver(self) -> None:
        """Begin the deliveries that are due: one at a time to each hook, so that a slow one harms no other."""
        with self._guard:
            busy = sorted(self._busy)
        free = _POSTERS - len(busy)
        for delivery, tries in self._ledger.run("take_deliveries", free, _LEASE_MS, *busy) if free > 0 else ():
            hook, _, notice = str(delivery).partition("|")
            with self._guard:
                self._busy.add(hook)
            self._pool.submit(self._deliver, hook, notice, int(tries))

    def _deliver(self, hook: str, notice: str, tries: int) -> None:
        try:
            self._try(hook, notice, tries)
        except (StoreError, Corrupt) as unreachable:  # due again when the lease ends
            log.warning("a notice is put off: %s", unreachable, extra=fields(hook=hook, notice=notice))
        finally:
            with self._guard:
                self._busy.discard(hook)

    def _try(self, hook_id: str, notice_id: str, tries: int) -> None:
        notice = self._shelf.notice(hook_id, notice_id)
        hook = self._shelf.find_hook(notice.owner, hook_id) if notice else None
        if not notice or not hook:
            self._ledger.run("tried", f"{hook_id}|{notice_id}", "")
            return
        outcome = Outcome(False, why=hook.off) if hook.off else self._send(hook, notice)
        if outcome.gone:
            switch(self._ledger, self._shelf, hook, off="the receiver answered 410 Gone")
        over = outcome.ok or outcome.gone or outcome.final or bool(hook.off) or tries >= len(WAITS_S)
        (self._end if over else self._put_off)(hook, notice, outcome, tries)

    def _put_off(self, hook: Hook, notice: Notice, outcome: Outcome, tries: int) -> None:
        about = fields(hook=hook.id, notice=notice.id, status=outcome.status)
        log.warning("a notice was not taken, and is sent again: %s", outcome.why, extra=about)
        again_ms = int(1000 * _wait(tries, outcome.wait_s))
        self._ledger.run("tried", f"{hook.id}|{notice.id}", again_ms, outcome.why or "not taken")
        self._tell("again")

    def _end(self, hook: Hook, notice: Notice, outcome: Outcome, tries: int) -> None:
        ended = Delivered(
            notice=notice.id, subject=str(notice.told.get("id", "")), type=notice.type, at=round(time.time(), 3),
            tries=tries + 1, status=outcome.status, error="" if outcome.ok else outcome.why or "not taken",
        )  # fmt: skip
        self._shelf.settle(hook.id, ended, notice)
        self._ledger.run("tried", f"{hook.id}|{notice.id}", "", ended.error)
        self._tell("told" if outcome.ok else "dead")
        about = fields(hook=hook.id, notice=notice.id, status=outcome.status)
        log.log(logging.INFO if outcome.ok else logging.ERROR, "notice: %s", ended.error or "told", extra=about)


def _wait(tries: int, told: float | None) -> float:
    wait = WAITS_S[tries] * random.uniform(1.0, 1.2)  # so that those that failed together don't come together
    return wait if told is None else max(wait, min(told, _LONGEST_S))


def _notice(owner: str, event: Event, about: Mapping[str, Any]) -> Notice:
    told = {name: value for name, value in about.items() if name not in ("mark", "at_ms") and value != ""}
    return notice_of(owner, str(about["id"]), event, str(about["mark"]), float(about["at_ms"]) / 1000, told)
