"""What deliveries leave in storage, and when it goes. Part of the sweep: tasks/retention.py.

A delivery that has not ended stays, unless its hook was removed. What was told or given up goes when it is old. But
what was told stays while its batch or job is live: after a wipe that would be told again. And what was given up goes
with its batch or job: nobody could look any more at what it is about.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from tasks.notices.shelf import DEAD, PENDING, TOLD
from tasks.notices.types import Delivered, Notice
from tasks.store import Corrupt, Item, NotFound, Store
from tasks.store.records import parse

_KEY = re.compile(r"(?:notices|notices-told|notices-dead)/([0-9a-f]{16})/msg_[0-9a-f]{32}\.json")
_HOOK = re.compile(r"hooks/[^/]+/([0-9a-f]{16})\.json")


class Subjects(NamedTuple):
    """Ids of batches and jobs: those that are stored, and those of them that have not ended."""

    stored: Collection[str]
    live: Collection[str]


@dataclass
class Gone:
    """How many deliveries went or, in a dry run, would have, and their bytes. `foreign`: not ours, and left."""

    notices: int = 0
    bytes: int = 0
    foreign: int = 0


@dataclass
class NoticeSweeper:
    """`keep_s` 0 keeps for ever what was told or given up; nothing goes that is younger than `grace_s`."""

    store: Store
    keep_s: float
    grace_s: float

    def sweep(self, now: float, subjects: Subjects, dry: bool) -> Gone:
        """Raises StoreError: what was not removed is left for the next time."""
        gone = Gone()
        hooks = {found[1] for key in self.store.list("hooks/") if (found := _HOOK.fullmatch(key))}
        for folder in (PENDING, TOLD, DEAD):
            for item in self.store.items(f"{folder}/"):
                key = _KEY.fullmatch(item.key)
                gone.foreign += not key
                if key and self._may_go(folder, item, now, key[1] in hooks, subjects):
                    gone.notices += 1
                    gone.bytes += item.size
                    if not dry:
                        self.store.delete(item.key)
        return gone

    def _may_go(self, folder: str, item: Item, now: float, has_hook: bool, subjects: Subjects) -> bool:
        age = now - item.modified
        if age < self.grace_s:
            return False
        if not has_hook:  # one that was noted while its hook was removed
            return True
        if folder == PENDING:
            return False
        old = bool(self.keep_s) and age >= self.keep_s
        if folder == DEAD:
            subject = "" if old else self._subject_of(item.key, folder)
            return old or (subject != "" and subject not in subjects.stored)
        return old and self._subject_of(item.key, folder) not in subjects.live

    def _subject_of(self, key: str, folder: str) -> str:
        """The id of the batch or job; "" where nobody knows."""
        try:
            data = self.store.get(key)
            if folder == DEAD:
                return str(parse(Notice, key, data).told.get("id", ""))
            return parse(Delivered, key, data).subject
        except (NotFound, Corrupt):
            return ""
