"""What object storage holds of hooks and notices. The layout:

hooks/<owner>/<hook>.json                  the owner's name as in owners/; with its secrets
notices/<hook>/<notice>.json               a delivery that has not ended: the notice
notices-told/<hook>/<notice>.json          one that was delivered: when
notices-dead/<hook>/<notice>.json          one that was given up: the notice
"""

import logging
from collections.abc import Iterator
from pathlib import PurePosixPath

from tasks.notices.types import Delivered, Hook, Notice
from tasks.store import Corrupt, NotFound, Store
from tasks.store.records import owner_folder, packed, parse

log = logging.getLogger(__name__)

PENDING, TOLD, DEAD = "notices", "notices-told", "notices-dead"


class NoticeShelf:
    """Over a store. Safe for threads. Raises StoreError when the store is out of reach."""

    def __init__(self, store: Store) -> None:
        self.store = store

    # --- hooks ------------------------------------------------------------------------------------

    def put_hook(self, hook: Hook) -> None:
        self.store.put(_hook_key(hook.owner, hook.id), packed(hook))

    def delete_hook(self, hook: Hook) -> None:
        """What waits for it goes, too."""
        self.store.delete(_hook_key(hook.owner, hook.id))
        for folder in (PENDING, DEAD, TOLD):
            for key in self.store.list(f"{folder}/{hook.id}/"):
                self.store.delete(key)

    def find_hook(self, owner: str, id: str) -> Hook | None:
        return self._hook(_hook_key(owner, id))

    def hooks(self, owner: str | None = None) -> list[Hook]:
        """Those of an owner, or of all of them, the oldest first."""
        keys = self.store.list(f"hooks/{owner_folder(owner)}/" if owner is not None else "hooks/")
        found = [hook for key in keys if (hook := self._hook(key))]
        return sorted(found, key=lambda hook: (hook.created, hook.id))

    def _hook(self, key: str) -> Hook | None:
        """None, too, for a record that can't be read: it must not keep the other hooks from being told."""
        try:
            return parse(Hook, key, self.store.get(key))
        except NotFound:
            return None
        except Corrupt as broken:
            log.error("a hook is left out: %s", broken)
            return None

    # --- deliveries -------------------------------------------------------------------------------

    def add(self, hook: str, notice: Notice) -> bool:
        """Note that the hook is to be told, unless it was already (False), or that was given up."""
        if any(self.store.exists(_key(folder, hook, notice.id)) for folder in (TOLD, DEAD)):
            return False
        if not self.store.exists(_key(PENDING, hook, notice.id)):
            self._put(PENDING, hook, notice)
        return True

    def pending(self) -> Iterator[tuple[str, str]]:
        """Hook and notice of each delivery that has not ended."""
        for key in self.store.list(f"{PENDING}/"):
            _, hook, name = key.split("/")
            yield hook, PurePosixPath(name).stem

    def notice(self, hook: str, id: str) -> Notice | None:
        """Of a delivery that has not ended."""
        return self._notice(_key(PENDING, hook, id))

    def settle(self, hook: str, delivered: Delivered, notice: Notice) -> None:
        """The delivery has ended; one with an error can be tried again by `bring_back`."""
        if delivered.error:
            self._put(DEAD, hook, notice)
        else:
            self.store.put(_key(TOLD, hook, notice.id), packed(delivered))
        self.store.delete(_key(PENDING, hook, notice.id))

    def waiting(self, hook: str) -> list[str]:
        """The notices that it is to be told yet."""
        return [PurePosixPath(key).stem for key in self.store.list(f"{PENDING}/{hook}/")]

    def dead(self, hook: str) -> list[str]:
        """The notices that were given up."""
        return [PurePosixPath(key).stem for key in self.store.list(f"{DEAD}/{hook}/")]

    def count_dead(self) -> int:
        """Of all hooks."""
        return len(self.store.list(f"{DEAD}/"))

    def bring_back(self, hook: str, id: str) -> None:
        """Let what was given up be tried again."""
        if notice := self._notice(_key(DEAD, hook, id)):
            self._put(PENDING, hook, notice)
            self.store.delete(_key(DEAD, hook, id))

    def _put(self, folder: str, hook: str, notice: Notice) -> None:
        self.store.put(_key(folder, hook, notice.id), packed(notice))

    def _notice(self, key: str) -> Notice | None:
        try:
            return parse(Notice, key, self.store.get(key))
        except NotFound:
            return None


def _hook_key(owner: str, id: str) -> str:
    return f"hooks/{owner_folder(owner)}/{id}.json"


def _key(folder: str, hook: str, notice: str) -> str:
    return f"{folder}/{hook}/{notice}.json"
