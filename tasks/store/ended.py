"""The list of jobs that have ended, for when the ledger has forgotten them. The layout:

    ended/<hour>/<owner>-<nonce>.jsonl    records of jobs that were submitted in that hour, as the ledger had them

`<hour>` counts down, so that the newest hour sorts first; `<owner>` is a hash. A part never changes: when an hour has
many of an owner, one that holds all of them takes their place. A job may be in two parts meanwhile; the line of the
later end counts. Children of batches are not here: their batch lists them.
"""

import logging
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import groupby

from pydantic import ValidationError

from tasks.ledger.types import Cursor, Page, Query, Record
from tasks.store.objects import NotFound, Store
from tasks.store.recent import Recent
from tasks.store.records import owner_folder

log = logging.getLogger(__name__)

_HOUR_MS = 3_600_000
_LAST_HOUR = 9_999_999
_MANY = 8  # parts of an owner and hour
_MOST_GETS = 32  # a page, unless one hour has more
_MOST_KEYS = 5_000  # a page looks at
_LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


class EndedJobs:
    """Over a store. Safe for threads. Raises StoreError when it is out of reach."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._parts = Recent[bytes](16 * 2**20, len)

    def add(self, records: Iterable[Record]) -> None:
        """List these jobs. One caller at a time: parts are put together on the way."""
        groups = defaultdict[str, list[Record]](list)
        for record in records:
            groups[_place(record.owner, record.created_ms)].append(record)
        for place, found in groups.items():
            old = self._store.list(place)
            old = old if len(old) >= _MANY else []
            self._put(place, [*self._records(old), *found])
            for key in old:
                self._store.delete(key)

    def drop(self, owner: str, created_ms: int, job: str) -> None:
        """The job was deleted: list it no more."""
        for key in self._store.list(_place(owner, created_ms)):
            self._keep(key, lambda found: found.job != job)

    def sweep(self, stays: Callable[[Record], bool]) -> None:
        """List only those jobs that stay."""
        for item in self._store.items("ended/"):
            self._keep(item.key, stays)

    def any(self) -> bool:
        """Whether a job is listed."""
        return next(iter(self._store.items("ended/")), None) is not None

    def page(self, query: Query, limit: int, behind: Cursor | None) -> Page:
        """The newest first, those with the same time by falling id. A page may be short, even empty."""
        found: list[Record] = []
        gets = 0
        start = min(_LAST_HOUR, (min(_ends(query, behind)) // _HOUR_MS))
        for hour, keys, looked in self._hours(start, query.owner):
            if query.after_ms is not None and (hour + 1) * _HOUR_MS <= query.after_ms:
                break
            if (gets and gets + len(keys) > _MOST_GETS) or looked > _MOST_KEYS:
                return Page(found, Cursor((hour + 1) * _HOUR_MS - 1, _LAST_ID))
            gets += len(keys)
            found += [record for record in _newest(self._records(keys)) if _fits(record, query, behind)]
            if len(found) > limit:
                last = found[limit - 1]
                return Page(found[:limit], Cursor(last.created_ms, last.job))
        return Page(found, None)

    def _hours(self, start: int, owner: str | None) -> Iterator[tuple[int, list[str], int]]:
        """Hours from `start` back, the keys of their parts, and how many keys were looked at before."""
        looked, hash = 0, "" if owner is None else owner_folder(owner)
        keys = (item.key for item in self._store.items("ended/", after=f"ended/{_LAST_HOUR - start:07d}"))
        for word, group in groupby(keys, key=lambda key: key.split("/")[1]):
            here = list(group)
            if word.isdigit():
                yield _LAST_HOUR - int(word), [key for key in here if key.split("/")[2].startswith(hash)], looked
            looked += len(here)

    def _records(self, keys: Iterable[str]) -> Iterator[Record]:
        for key in keys:
            with suppress(NotFound):  # put together with others meanwhile: they are in a new part
                yield from self._part(key)

    def _part(self, key: str) -> list[Record]:
        data = self._parts.get(key)
        if data is None:
            data = self._store.get(key)
            self._parts.put(key, data)
        found: list[Record] = []
        for line in data.splitlines():
            try:
                found.append(Record.model_validate_json(line))
            except ValidationError:
                log.error("%s has a line that can't be read", key)
        return found

    def _keep(self, key: str, stays: Callable[[Record], bool]) -> None:
        with suppress(NotFound):
            records = self._part(key)
            staying = [record for record in records if stays(record)]
            if len(staying) < len(records):
                if staying:
                    self._put(key.rpartition("-")[0] + "-", staying)
                self._store.delete(key)

    def _put(self, place: str, records: Iterable[Record]) -> None:
        lines = [record.model_dump_json(exclude_defaults=True) + "\n" for record in _newest(records)]
        self._store.put(f"{place}{secrets.token_hex(8)}.jsonl", "".join(lines).encode())


def _place(owner: str, created_ms: int) -> str:
    return f"ended/{_LAST_HOUR - created_ms // _HOUR_MS:07d}/{owner_folder(owner)}-"


def _ends(query: Query, behind: Cursor | None) -> Iterator[int]:
    """Nothing that is wanted is newer than any of these."""
    yield (_LAST_HOUR + 1) * _HOUR_MS - 1
    if query.before_ms is not None:
        yield query.before_ms - 1
    if behind:
        yield behind.created_ms


def _newest(records: Iterable[Record]) -> list[Record]:
    """Each job once, the newest first."""
    found: dict[str, Record] = {}
    for record in records:
        if record.job not in found or found[record.job].ended_ms <= record.ended_ms:
            found[record.job] = record
    return sorted(found.values(), key=lambda record: (record.created_ms, record.job), reverse=True)


def _fits(record: Record, query: Query, behind: Cursor | None) -> bool:
    return (
        (behind is None or (record.created_ms, record.job) < behind)
        and (query.owner is None or record.owner == query.owner)
        and (not query.statuses or record.status in query.statuses)
        and set(query.labels) <= set(record.labels)
        and (query.after_ms is None or record.created_ms >= query.after_ms)
        and (query.before_ms is None or record.created_ms < query.before_ms)
    )
