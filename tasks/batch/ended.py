"""The list of batches that have ended, for when the ledger has forgotten them. The layout:

    batches-ended/<time>-<id>-<owner>    written again with each summary; <time> counts down, <owner> is a hash

So the newest comes first, and a page of an owner is a part of one LIST and a GET for each batch on it.
"""

import re
from collections.abc import Callable, Iterable, Iterator

from tasks.batch.types import Standing
from tasks.ledger.types import Cursor
from tasks.pools import leaving
from tasks.store import Item, Store
from tasks.store.recent import Recent
from tasks.store.records import owner_folder

_FOLDER = "batches-ended/"
_KEY = re.compile(rf"{_FOLDER}(\d{{13}})-([0-9a-f-]{{36}})-([0-9a-f]{{32}})")
_LAST_MS = 9_999_999_999_999
_MOST_KEYS = 5_000  # a page looks at
_READERS = 8


class EndedBatches:
    """Over a store; `summary` tells how a batch stood when it ended. Safe for threads. Raises StoreError."""

    def __init__(self, store: Store, summary: Callable[[str], Standing | None]) -> None:
        self._store = store
        self._summary = summary
        self._known = Recent[Standing](500)

    def add(self, standing: Standing) -> None:
        """List it; one that is listed already is read again."""
        place = Cursor(round(1000 * standing.created), standing.batch)
        self._store.put(f"{_start(place)}{owner_folder(standing.owner)}", standing.batch.encode())

    def any(self) -> bool:
        return next(iter(self._store.items(_FOLDER)), None) is not None

    def page(self, owner: str | None, limit: int, behind: Cursor | None) -> tuple[list[Standing], Cursor | None]:
        """The newest first, and where the list goes on. A page may be short, even empty."""
        some, following = list[tuple[str, Item]](), None
        for looked, (place, of, item) in enumerate(self._entries(behind)):
            if len(some) == limit or looked == _MOST_KEYS:
                return list(self._standings(some)), following
            following = place
            if owner is None or of == owner_folder(owner):
                some.append((place.job, item))
        return list(self._standings(some)), None

    def sweep(self, stays: Callable[[str], bool], before: float) -> None:
        """Forget those listed before that time, in seconds, that do not stay."""
        for item in self._store.items(_FOLDER):
            found = _KEY.fullmatch(item.key)
            if found and item.modified < before and not stays(found[2]):
                self._store.delete(item.key)

    def _entries(self, behind: Cursor | None) -> Iterator[tuple[Cursor, str, Item]]:
        """Place and owner's hash of each that is listed behind a place."""
        after = f"{_start(behind)}~" if behind else ""
        for item in self._store.items(_FOLDER, after):
            if found := _KEY.fullmatch(item.key):
                yield Cursor(_LAST_MS - int(found[1]), found[2]), found[3], item

    def _standings(self, some: Iterable[tuple[str, Item]]) -> Iterator[Standing]:
        with leaving(_READERS, "ended") as readers:
            for standing in readers.map(self._standing, some):
                if standing:
                    yield standing

    def _standing(self, entry: tuple[str, Item]) -> Standing | None:
        batch, item = entry
        known = f"{item.key} {item.modified}"
        if found := self._known.get(known):
            return found
        if found := self._summary(batch):
            self._known.put(known, found)
        return found


def _start(place: Cursor) -> str:
    return f"{_FOLDER}{max(0, _LAST_MS - place.created_ms):013d}-{place.job}-"
