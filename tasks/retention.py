"""Removes jobs that ended long ago, remains of work that broke off, and pictures that no job names.

A sweep touches only what lies behind our own marker (tasks/store/marker.py) and looks like ours; other objects are
counted and left. It is correct beside a running service, and may break off anywhere: the next one finds what is left.

1. Batches that ended long ago, as a whole: its children stay while a batch does. Then jobs. The ledger drops a job
   first, and only one that is not active; until its objects are gone nobody can submit it again. Its job.json goes
   before the rest: without it nobody sees it any more.
2. Names. Whatever looks like a hash in what is stored of the jobs that stay, or in the items and results of batches,
   names a picture or a blob. A trajectory only grows, so a job's last two steps name all that its chain does; a step
   that was tried twice is read, too.
3. Pictures and blobs that nobody names, older than `grace_s`: what running steps and fresh uploads store is younger.
   First their owners' notes go, then the jobs that came meanwhile are read. A submit writes its job.json before it
   looks at the note, so either it finds no note and is refused, or it is read here.
   Last, each one's age is looked at again: a step may just have drawn the very same picture.
4. Lines of removed jobs and batches in the lists of ended ones.
5. What hooks were told long ago: tasks/notices/sweep.py.
6. Notes of deleted jobs, when no copy of a ledger is likely to be so old.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

from director.errors import StoreError
from tasks.batch.shelf import Shelf
from tasks.jobs import JobStatus
from tasks.ledger.ledger import Ledger
from tasks.notices.sweep import NoticeSweeper, Subjects
from tasks.settings import Settings
from tasks.store import Archive, Corrupt, Item, NotFound, Store
from tasks.store.marker import MARKER, is_job

_HASH = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_STEP = re.compile(r"steps/(\d{4,})-[0-9a-f]+\.json")
_SHARED = ("images/", "blobs/")
_NOTE_S = 90 * 86_400.0
_READERS = 16
_DAY_S, _HOUR_S = 86_400.0, 3600.0
_SKEW_S = 300.0  # between the clock of the store and this one's


class NotOurs(StoreError):
    """There is no marker: nothing says that these objects are this service's."""


@dataclass
class Swept:
    """What was removed or, in a dry run, would have been. `jobs` and `batches` give the reason by id."""

    jobs: dict[str, str] = field(default_factory=dict[str, str])
    batches: dict[str, str] = field(default_factory=dict[str, str])
    active: list[str] = field(default_factory=list[str])  # came to life while it was to be removed
    images: int = 0
    blobs: int = 0
    notices: int = 0
    bytes: int = 0
    stored: int = field(default=0, compare=False)  # bytes that stay, of jobs, batches, pictures and blobs
    foreign: int = 0  # objects among ours that are not: left
    without_job: int = 0  # live jobs whose job.json is lost: left


@dataclass
class _Folder:
    """What is stored of one job or batch."""

    keys: list[str] = field(default_factory=list[str])  # without jobs/<id>/ or batches/<id>/
    newest: float = 0.0
    bytes: int = 0

    @property
    def whole(self) -> bool:
        return "job.json" in self.keys or "batch.json" in self.keys

    def telling(self) -> list[str]:
        """The keys of what names everything that the job names."""
        steps = {key: int(match[1]) for key in self.keys if (match := _STEP.fullmatch(key))}
        tries, last = Counter(steps.values()), max(steps.values(), default=0)
        chosen = [key for key, n in steps.items() if n >= last - 1 or tries[n] > 1]
        return chosen + [key for key in self.keys if key not in steps]


@dataclass
class Sweeper:
    """`keep_s` 0 keeps ended jobs for ever; `grace_s` must be longer than any step and any submit takes."""

    store: Store
    archive: Archive
    ledger: Ledger
    keep_s: float
    grace_s: float
    keep_notices_s: float = 0.0
    clock: Callable[[], float] = time.time

    @classmethod
    def of(cls, settings: Settings, store: Store, ledger: Ledger) -> Self:
        keep_s, grace_s = settings.keep_days * _DAY_S, settings.grace_hours * _HOUR_S
        return cls(store, Archive(store), ledger, keep_s, grace_s, settings.keep_notices_days * _DAY_S)

    def sweep(self, dry: bool = False) -> Swept:
        """Raises StoreError when storage or ledger are out of reach: what was not removed is left for the next time.

        Raises NotOurs when nothing says that the objects are this service's.
        """
        if not self.store.exists(MARKER):
            raise NotOurs(
                f"there is no {MARKER}: nothing says that these objects are ours, and nothing was removed",
                "start the reconciler, which writes it; in a bucket that others use too, set VISIONDIRECTOR_S3_PREFIX",
            )
        began = self.clock()
        swept = Swept()
        folders, batches = self._remove_old(began, swept, dry)
        if not dry:
            fresh_ms = 1000 * (began - self.grace_s)
            self.archive.ended.sweep(lambda found: found.job in folders or found.created_ms > fresh_ms)
            Shelf(self.store).ended.sweep(batches.__contains__, began - self.grace_s)
        named = self._named(_places(folders) | _pages(batches))
        unnamed = [item for item in self._old(began, swept) if _hash(item) not in named]
        if not dry:
            unnamed = self._removed(unnamed, _places(folders) | _pages(batches), began)
        for item in unnamed:
            swept.images += item.key.startswith("images/")
            swept.blobs += item.key.startswith("blobs/")
            swept.bytes += item.size
        self._sweep_notices(folders, batches, began, swept, dry)
        if not dry:
            self._drop_notes(began)
        swept.stored += sum(folder.bytes for folder in (*folders.values(), *batches.values()))
        swept.stored -= sum(item.size for item in unnamed)
        return swept

    def _remove_old(self, began: float, swept: Swept, dry: bool) -> tuple[dict[str, _Folder], dict[str, _Folder]]:
        """Remove batches and jobs; gives the folders of the jobs and of the batches that stay."""
        folders, batches = self._folders("jobs/", swept), self._folders("batches/", swept)
        for batch, why in self._batches_to_go(batches, began).items():
            if dry or self._remove_batch(batch, began):
                swept.batches[batch] = why
                swept.bytes += batches.pop(batch).bytes
        for job, why in self._to_go(folders, began, swept).items():
            if self._batch_of(job) in batches:
                continue
            if dry or self._remove(job):
                swept.jobs[job] = why
                swept.bytes += folders.pop(job).bytes
            else:
                swept.active.append(job)
        return folders, batches

    def _sweep_notices(self, jobs: Iterable[str], batches: Iterable[str], now: float, swept: Swept, dry: bool) -> None:
        live = self._live_batches() | set(self.archive.live())
        subjects = Subjects({*jobs, *batches, *live}, live)
        gone = NoticeSweeper(self.store, self.keep_notices_s, self.grace_s).sweep(now, subjects, dry)
        swept.notices += gone.notices
        swept.bytes += gone.bytes
        swept.foreign += gone.foreign

    def _live_batches(self) -> set[str]:
        return {item.key.partition("/")[2] for item in self.store.items("batches-live/")}

    def _drop_notes(self, now: float) -> None:
        for item in self.store.items("deleted/"):
            if now - item.modified >= _NOTE_S:
                self.store.delete(item.key)

    def _folders(self, of: str, swept: Swept | None = None) -> dict[str, _Folder]:
        found: dict[str, _Folder] = {}
        for item in self.store.items(of):
            job, _, name = item.key.removeprefix(of).partition("/")
            if not name or not is_job(job):
                if swept:
                    swept.foreign += 1
                continue
            folder = found.setdefault(job, _Folder())
            folder.keys.append(name)
            folder.newest = max(folder.newest, item.modified)
            folder.bytes += item.size
        return found

    # --- batches --------------------------------------------------------------------------------

    def _batches_to_go(self, batches: dict[str, _Folder], now: float) -> dict[str, str]:
        """Those that ended long ago, and what uploads left that broke off."""
        live = self._live_batches()
        reasons = {id: self._why_batch(folder, now) for id, folder in batches.items() if id not in live}
        return {id: why for id, why in reasons.items() if why}

    def _why_batch(self, folder: _Folder, now: float) -> str:
        age = now - folder.newest
        if not folder.whole:
            return "its upload broke off" if age >= self.grace_s else ""
        if not self.keep_s or age < max(self.keep_s, self.grace_s):
            return ""
        return f"ended {age / _DAY_S:.0f} days ago"

    def _remove_batch(self, id: str, began: float) -> bool:
        """False: something was ordered of it just now. Its batch.json goes first: without it nobody knows it."""
        items = list(self.store.items(f"batches/{id}/"))
        if any(began - item.modified < self.grace_s for item in items):
            return False
        for key in sorted((item.key for item in items), key=lambda key: not key.endswith("/batch.json")):
            self.store.delete(key)
        return True

    def _batch_of(self, job: str) -> str:
        """The batch whose child the job is; "" for none."""
        try:
            found = self.archive.find_job(job)
        except Corrupt:
            return ""
        return found.batch.batch if found and found.batch else ""

    # --- jobs -----------------------------------------------------------------------------------

    def _to_go(self, folders: dict[str, _Folder], now: float, swept: Swept) -> dict[str, str]:
        live, deleted = set(self.archive.live()), set(self.archive.deleted())
        lost = {job for job in live - deleted if job in folders and not folders[job].whole}
        swept.without_job = len(lost)
        reasons = {job: self._why(job, folder, job in live, now) for job, folder in folders.items()}
        return {job: why for job, why in reasons.items() if why and job not in lost}

    def _why(self, job: str, folder: _Folder, live: bool, now: float) -> str:
        """The reason to remove a job; "" for one that stays."""
        age = now - folder.newest
        if age < self.grace_s:
            return ""
        if not folder.whole:
            return "left over from a job that was deleted"
        if not live and not any(_STEP.fullmatch(key) for key in folder.keys):
            return "its submit broke off"
        if not self.keep_s or age < self.keep_s or (live and not self._dead_letter(job)):
            return ""
        return f"ended {age / _DAY_S:.0f} days ago"

    def _dead_letter(self, job: str) -> bool:
        """A dead letter stays marked live: it may be requeued."""
        record = self.ledger.get(job)
        return record is not None and record.status is JobStatus.FAILED

    def _remove(self, job: str) -> bool:
        if not self.ledger.remove(job):
            return False
        try:
            self.archive.remove(job)
        finally:
            self.ledger.removed(job)
        return True

    # --- what they name ---------------------------------------------------------------------------

    def _named(self, keys: Iterable[str]) -> set[bytes]:
        named: set[bytes] = set()
        with ThreadPoolExecutor(_READERS, "sweep") as readers:
            for found in readers.map(self._hashes, keys):
                named |= found
        return named

    def _hashes(self, key: str) -> set[bytes]:
        try:
            return {bytes.fromhex(found.decode()) for found in _HASH.findall(self.store.get(key))}
        except NotFound:  # deleted meanwhile: it names nothing
            return set()

    def _old(self, now: float, swept: Swept) -> Iterator[Item]:
        """The pictures and blobs that were stored before the time of grace."""
        for prefix in _SHARED:
            for item in self.store.items(prefix):
                swept.stored += item.size
                if not _hash(item):
                    swept.foreign += 1
                elif now - item.modified >= self.grace_s:
                    yield item

    def _removed(self, unnamed: list[Item], read: set[str], began: float) -> list[Item]:
        """Delete what is still named by nobody; gives what went."""
        doubtful = {_hash(item) for item in unnamed}
        for note in self.store.items("owners/"):
            if _hash(note) in doubtful:
                self.store.delete(note.key)
        batches = {id: folder for id, folder in self._folders("batches/").items() if folder.newest >= began - _SKEW_S}
        # A part of an upload may have been written again.
        named = self._named((_places(self._folders("jobs/")) - read) | _pages(batches))
        gone: list[Item] = []
        for item in unnamed:
            if _hash(item) not in named and self._is_still_old(item.key, began):
                self.store.delete(item.key)
                gone.append(item)
        return gone

    def _is_still_old(self, key: str, began: float) -> bool:
        return any(item.key == key and began - item.modified >= self.grace_s for item in self.store.items(key))


def _places(folders: dict[str, _Folder]) -> set[str]:
    return {f"jobs/{job}/{key}" for job, folder in folders.items() for key in folder.telling()}


def _pages(batches: dict[str, _Folder]) -> set[str]:
    """The keys of what names pictures of batches: their items and results."""
    naming = ("items/", "results/")
    return {f"batches/{id}/{key}" for id, folder in batches.items() for key in folder.keys if key.startswith(naming)}


def _hash(item: Item) -> bytes:
    """The hash in a key; b"" for what is no picture or blob of this service: it is left alone."""
    folder, name = item.key.rsplit("/", 1)
    if folder == "images":
        if not name.endswith(".png"):
            return b""
        name = name.removesuffix(".png")
    return bytes.fromhex(name) if _HASH.fullmatch(name.encode()) else b""
