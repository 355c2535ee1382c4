"""What object storage holds of a job, typed. The layout:

    jobs/<id>/job.json                                    what was submitted
    jobs/<id>/steps/<n:04d>-<nonce>.json                  the trajectory after step n, linked to the one before
    jobs/<id>/attempts/<n:04d>-<nonce>.json               what a try of step n took
    jobs/<id>/control/{cancel,dead,requeue}-<nonce>.json  orders, written before the caller is answered
    jobs/<id>/control/{pause,resume,priority}-<number>.json  the same, of which the last one holds
    jobs/<id>/control/rewind-<nonce>.json                 an object was lost: which snapshots are void since
    jobs/<id>/pick.json                                   see tasks/store/picks.py
    live/<id>                                             there until the job ends
    ended/<hour>/<owner>-<nonce>.jsonl                    lists of jobs that ended, see tasks/store/ended.py
    deleted/<id>                                          a job that was deleted, written before anything goes
    blobs/<sha256>                                        prompts, replies, evidence

Several tries of one step may each leave a snapshot; the ledger says which one counts. Without it,
`latest` decides by what is stored alone, the same way on every machine.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from pathlib import PurePosixPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

from pydantic import Field

from director.state import State
from director.types import Trajectory, Value
from tasks.jobs import Contract, Job, contract_of
from tasks.ledger.types import Next
from tasks.logs import fields
from tasks.store.ended import EndedJobs
from tasks.store.marker import mark
from tasks.store.objects import Corrupt, Newer, NotFound, Store
from tasks.store.picks import Picks
from tasks.store.recent import Recent
from tasks.store.records import attempt_record, dumped, owner_folder, packed, parse, parsed
from tasks.summary import Cost

log = logging.getLogger(__name__)

LARGE_SNAPSHOT = 100_000  # bytes; a larger one is stored, and a warning logged
_READERS = 4  # attempt records at once
V = TypeVar("V", bound=Value)
T = TypeVar("T")
ControlKind = Literal["cancel", "dead", "requeue", "rewind", "pause", "resume", "priority"]
_STEP = re.compile(r"jobs/[^/]+/steps/(\d{4,})-([0-9a-f]+)\.json")
_CONTROL = re.compile(r"(cancel|dead|requeue|rewind|pause|resume|priority)-([0-9a-f]+)\.json")


class Snapshot(Value):
    """The trajectory after step n. `previous` is the key of the snapshot before it ("" for step 0)."""

    contract: Contract = 1
    n: Annotated[int, Field(ge=0)]
    nonce: str
    previous: str
    previous_sha256: str
    next: Next | None
    trajectory: Trajectory


class Control(Value):
    """An order. `nonce` of `dead` and `requeue` is the dead letter of the job's Record, so that each `requeue`
    answers one `dead`; that of `cancel` is random, that of `rewind` is the try's, and that of `pause`, `resume` and
    `priority` is their number. `record` is empty when it can't
    be read: the name alone gives the order."""

    kind: ControlKind
    nonce: str
    record: dict[str, Any]


class Found(NamedTuple):
    """A snapshot and its key."""

    key: str
    snapshot: Snapshot


class Folder(NamedTuple):
    """The keys of a job's snapshots, the newest step first, and of its orders, as of one LIST."""

    steps: list[str]
    controls: list[str]


class Attempts(NamedTuple, Generic[T]):
    """The attempt records of a job by step, and the keys of those that can't be read."""

    records: list[T]
    unreadable: list[str]


class Archive:
    """The objects of all jobs, over a store. Safe for threads.

    Reading raises NotFound, StoreError when the store is out of reach, and Corrupt; writing StoreError.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.ended = EndedJobs(store)
        self.picks = Picks(store)
        self._hashes = Recent[bytes](64 * 1024, len)  # sha256 by key of the snapshots last seen here
        self._records = Recent[bytes](4 * 2**20, len)
        # With its bytes, a fifth of what it takes: the process that ran a step is often asked for the next one.
        self._written = Recent[tuple[Snapshot, int]](2**19, itemgetter(1))
        self._jobs = Recent[bytes](2**18, len)  # of those in flight: written once, and every step asks for it

    def mark(self) -> None:
        """Say that what lies here is ours."""
        mark(self._store)

    def try_write(self) -> None:
        """Raises StoreError when nothing can be written."""
        self._store.put("ready/check.txt", b"ok\n")

    # --- jobs -----------------------------------------------------------------------------------

    def save_job(self, job: Job) -> None:
        contract = contract_of(job.brief, job.brief.goals, job.settings)
        self._store.put(job_key(job.id), packed(job.model_copy(update={"contract": contract})))

    def find_job(self, job: str) -> Job | None:
        """As stored now; None: there is no such job."""
        try:
            return self.load_job(job)
        except NotFound:
            return None

    def load_job(self, job: str, created_ms: int | None = None) -> Job:
        """As stored or, with the time that the ledger has of it, from memory.

        A job that was deleted and submitted again has the same id and another time.
        """
        if created_ms is None:
            return _parse_job(job, self._store.get(job_key(job)))
        known = f"{job} {created_ms}"
        if data := self._jobs.get(known):
            return _parse_job(job, data)
        found = _parse_job(job, data := self._store.get(job_key(job)))
        self._jobs.put(known, data)
        return found

    def mark_live(self, job: str) -> None:
        self._store.put(f"live/{job}", job.encode())

    def unmark_live(self, job: str) -> None:
        self._store.delete(f"live/{job}")

    def remove(self, job: str) -> None:
        """Delete all that is the job's own; pictures and blobs stay, which others may share.

        The note that it is deleted comes first, for a ledger that is brought back from a copy. Then its job.json
        goes: without it nobody knows the job, and what is left if this breaks off is swept up.
        """
        self._store.put(f"deleted/{job}", dumped({"created_ms": self._created_ms(job)}))
        self.forget(job)
        self.unmark_live(job)
        for key in self._store.list(f"jobs/{job}/"):
            self._store.delete(key)

    def forget(self, job: str) -> None:
        """Delete the job.json of a job that was never entered."""
        self._store.delete(job_key(job))

    def _created_ms(self, job: str) -> int | None:
        try:
            found = self.find_job(job)
        except Corrupt:
            return None
        return int(found.created * 1000) if found else None

    def deleted(self) -> list[str]:
        """The jobs that were deleted, until `visiondirector gc` drops the note."""
        return [key.removeprefix("deleted/") for key in self._store.list("deleted/")]

    def was_deleted(self, job: str, created_ms: int | None = None) -> bool:
        """True for the job that was submitted then; another one of the same id may have come since."""
        key = f"deleted/{job}"
        try:
            note = parsed(key, self._store.get(key))
        except NotFound:
            return False
        except Corrupt:
            return True
        return None in (created_ms, note.get("created_ms")) or note["created_ms"] == created_ms

    def left_over(self, job: str) -> bool:
        """True when anything of the job is stored."""
        return bool(self._store.list(f"jobs/{job}/"))

    def live(self) -> list[str]:
        """The jobs that have not ended, dead letters among them."""
        return [key.removeprefix("live/") for key in self._store.list("live/")]

    def folder(self, job: str) -> Folder:
        """One LIST for up to a thousand objects."""
        # "0" comes behind "/": the attempts, which sort first, are left out.
        keys = self._store.list(f"jobs/{job}/", after=f"jobs/{job}/attempts0")
        return Folder(_newest_first(keys), [key for key in keys if key.startswith(f"jobs/{job}/control/")])

    # --- snapshots ------------------------------------------------------------------------------

    def save_snapshot(
        self, job: str, n: int, nonce: str, previous: str, following: Next | None, trajectory: Trajectory
    ) -> str:
        """Store the trajectory after step n and give the key: one PUT, if this archive read or wrote `previous`."""
        snapshot = Snapshot(
            contract=contract_of(trajectory.brief, State.of(trajectory).goals, trajectory.settings),
            n=n,
            nonce=nonce,
            previous=previous,
            previous_sha256=self.sha256_of(previous) if previous else "",
            next=following,
            trajectory=trajectory,
        )
        key = f"jobs/{job}/steps/{n:04d}-{nonce}.json"
        data = packed(snapshot)
        if len(data) > LARGE_SNAPSHOT:
            log.warning("the snapshot has %d bytes", len(data), extra=fields(job=job, step=n))
        self._store.put(key, data)
        self._hashes.put(key, hashlib.sha256(data).digest())
        self._written.put(key, (snapshot, len(data)))
        return key

    def load_snapshot(self, key: str, sha256: str = "") -> Snapshot:
        """One GET, or none for one of the last that this archive wrote. `sha256`: what its bytes must have."""
        written = self._written.get(key)
        return written[0] if written else self._read_snapshot(key, sha256)

    def sha256_of(self, key: str) -> str:
        """The sha256 of a snapshot's bytes as they were written or last read here."""
        digest = self._hashes.get(key)
        if digest is None:
            digest = hashlib.sha256(self._store.get(key)).digest()
            self._hashes.put(key, digest)
        return digest.hex()

    def _read_snapshot(self, key: str, sha256: str = "") -> Snapshot:
        """What storage holds, held against its key and its sha256, if a later snapshot or the ledger tells that.

        It is asked twice before an object counts as corrupt: an answer may be cut on its way.
        """
        try:
            return self._checked_snapshot(key, sha256)
        except Newer:
            raise
        except Corrupt:
            return self._checked_snapshot(key, sha256)

    def _checked_snapshot(self, key: str, sha256: str) -> Snapshot:
        data = self._store.get(key)
        digest = hashlib.sha256(data)
        if sha256 and digest.hexdigest() != sha256:
            raise Corrupt(f"{key} is not the snapshot that step {_step(key) + 1} was made from", key=key)
        snapshot = parse(Snapshot, key, data)
        if key.partition("/steps/")[2] != f"{snapshot.n:04d}-{snapshot.nonce}.json":
            raise Corrupt(f"{key} holds step {snapshot.n} of {snapshot.nonce}", key=key)
        if snapshot.previous and snapshot.previous.partition("/steps/")[0] != key.partition("/steps/")[0]:
            raise Corrupt(f"{key} goes on from another job's step, {snapshot.previous}", key=key)
        self._hashes.put(key, digest.digest())
        return snapshot

    def chain(self, job: str, key: str) -> list[Snapshot]:
        """The snapshots from the first to `key`. Raises Corrupt where a link is missing or does not match."""
        return self._chain(job, key)

    def latest(
        self, job: str, below: int | None = None, fits: Callable[[Snapshot], bool] = lambda found: True, lost: str = ""
    ) -> str | None:
        """Key of the snapshot to go on from, or None."""
        found = self.newest(job, below, fits, lost=lost)
        return found.key if found else None

    def newest(
        self, job: str, below: int | None = None, fits: Callable[[Snapshot], bool] = lambda found: True,
        folder: Folder | None = None,
        lost: str = "",
    ) -> Found | None:  # fmt: skip
        """The snapshot to go on from: the newest that is whole, else None. `folder` saves a LIST.

        Of two tries of that step the smaller nonce, unless a whole later step was made from the other. A snapshot
        that a rewind made void never counts, nor does what was made from it, nor `lost`. A hole behind the newest is
        logged. Raises Newer rather than go back behind what a newer version stored.
        """
        folder = folder or self.folder(job)
        void, links = self._void(job, folder), dict[str, str]()
        for key in folder.steps:
            if key == lost or (below is not None and _step(key) >= below):
                continue
            try:
                snapshot = self._read_snapshot(key, links.get(key, ""))
            except Newer:
                raise
            except (Corrupt, NotFound) as broken:
                log.warning("passing over a snapshot: %s", broken, extra=fields(job=job))
                continue
            links[snapshot.previous] = snapshot.previous_sha256
            if _follows(snapshot) and fits(snapshot) and not self._is_void(snapshot, key, void):
                if hole := _missing(folder.steps, snapshot.n):
                    log.warning("steps are missing behind %s: %s", key, hole, extra=fields(job=job))
                return Found(key, snapshot)
        return None

    def hole(self, job: str, n: int) -> list[int]:
        """The steps below n of which no snapshot is stored."""
        return _missing(self._steps(job), n)

    def snapshots_from(self, job: str, n: int) -> list[str]:
        """The keys of the snapshots of step n and later, the newest first."""
        return [key for key in self._steps(job) if _step(key) >= n]

    def _steps(self, job: str) -> list[str]:
        return _newest_first(self._store.list(f"jobs/{job}/steps/"))

    def _void(self, job: str, folder: Folder) -> set[str]:
        orders = self.controls(job, "rewind-", folder)
        return {str(key) for order in orders for key in order.record.get("void", ())}

    def _is_void(self, snapshot: Snapshot, key: str, void: set[str]) -> bool:
        """True when it or one that it was made from is void."""
        while void and key not in void:
            if not snapshot.previous:
                return False
            key = snapshot.previous
            if key not in void:
                try:
                    snapshot = self._read_snapshot(key)
                except (Corrupt, NotFound):
                    return False
        return bool(void)

    def _chain(self, job: str, key: str) -> list[Snapshot]:
        backwards: list[Snapshot] = []
        sha256 = ""
        while key:
            if not key.startswith(f"jobs/{job}/steps/"):
                raise Corrupt(f"{key} is no step of job {job}", key=key)
            snapshot = self._link(key, sha256)
            if backwards and snapshot.n != backwards[-1].n - 1:
                raise Corrupt(f"{key} stands before step {backwards[-1].n}", key=key)
            backwards.append(snapshot)
            key, sha256 = snapshot.previous, snapshot.previous_sha256
        if backwards[-1].n:
            raise Corrupt(f"the chain of job {job} starts at step {backwards[-1].n}")
        return backwards[::-1]

    def _link(self, key: str, sha256: str) -> Snapshot:
        try:
            return self._read_snapshot(key, sha256)  # what storage holds, not what was once written
        except NotFound as missing:
            raise Corrupt(missing.message, key=key) from missing

    # --- owners ---------------------------------------------------------------------------------

    def own(self, owner: str, image: str) -> None:
        """Note that the owner uploaded this picture."""
        self._store.put(_owner_key(owner, image), b"")

    def owns(self, owner: str, image: str) -> bool:
        """True when the owner uploaded this picture, and it is stored."""
        return self._store.exists(_owner_key(owner, image)) and self._store.exists(f"images/{image}.png")

    # --- attempts, orders, blobs ------------------------------------------------------------------

    def save_attempt(self, job: str, n: int, nonce: str, record: Mapping[str, Any]) -> None:
        """`record` is JSON: whatever is no function of the step's inputs."""
        self._store.put(f"jobs/{job}/attempts/{n:04d}-{nonce}.json", dumped(record))

    def attempts(self, job: str) -> list[dict[str, Any]]:
        """The attempt records that can be read, by step."""
        return self.read_attempts(job, dict[str, Any]).records

    def read_attempts(self, job: str, read: Callable[[dict[str, Any]], T]) -> Attempts[T]:
        """What `save_attempt` was given. A record that can't be read is left out, and named."""
        keys = self._store.list(f"jobs/{job}/attempts/")
        found = Attempts[T]([], [])
        # The time goes into waiting for S3.
        with ThreadPoolExecutor(_READERS, "attempts") as readers:
            for key, data in zip(keys, readers.map(self._record, keys), strict=True):
                try:
                    told = read(attempt_record(key, data))
                except (Corrupt, AttributeError, TypeError, ValueError) as broken:
                    log.error("an attempt record can't be read: %s: %s", key, broken, extra=fields(job=job))
                    found.unreadable.append(key)
                else:
                    found.records.append(told)
        return found

    def costs(self, job: str) -> dict[str, Cost]:
        """What each attempt took, by its nonce: one GET each. What can't be read is a number lost.

        Of one step one outcome counts. More may have been committed, where a ledger came back older than it was.
        """
        found: dict[str, Cost] = {}
        latest: dict[int, tuple[float, str]] = {}  # committed attempt of each step: its start and its nonce
        for key in self._store.list(f"jobs/{job}/attempts/"):
            nonce = PurePosixPath(key).stem.partition("-")[2]
            try:
                record = attempt_record(key, self._store.get(key))
                found[nonce] = Cost.of(record)
                this = (float(record.get("started") or 0), nonce)
            except (Corrupt, NotFound, AttributeError, TypeError, ValueError) as broken:
                log.error("an attempt's cost can't be read: %s: %s", key, broken, extra=fields(job=job))
                continue
            if found[nonce].wasted_attempts:
                continue
            earlier, latest[_step(key)] = sorted((latest.get(_step(key), (0.0, "")), this))
            if earlier[1]:
                found[earlier[1]] += Cost(wasted_attempts=1)
        return found

    def _record(self, key: str) -> bytes:
        """Attempt records never change, and a report that is looked at again wants the same ones."""
        record = self._records.get(key)
        if record is None:
            record = self._store.get(key)
            self._records.put(key, record)
        return record

    def save_control(self, job: str, kind: ControlKind, nonce: str, record: Mapping[str, Any]) -> None:
        self._store.put(f"jobs/{job}/control/{kind}-{nonce}.json", dumped(record))

    def forget_control(self, job: str, kind: ControlKind, nonce: str) -> None:
        """Take back an order that did not come about."""
        self._store.delete(f"jobs/{job}/control/{kind}-{nonce}.json")

    def controls(self, job: str, prefix: str = "", folder: Folder | None = None) -> list[Control]:
        """The job's orders whose names start so, by kind and nonce. `folder` saves a LIST."""
        place = f"jobs/{job}/control/"
        keys = self._store.list(place + prefix) if folder is None else folder.controls
        found: list[Control] = []
        for key in keys:
            match = _CONTROL.fullmatch(key.removeprefix(place))
            if match and key.startswith(place + prefix):
                record = self._order(job, key)
                found.append(Control.model_validate({"kind": match[1], "nonce": match[2], "record": record}))
        return found

    def _order(self, job: str, key: str) -> dict[str, Any]:
        try:
            return parsed(key, self._store.get(key))
        except Corrupt as broken:
            log.error("of an order only its name can be read: %s", broken, extra=fields(job=job))
            return {}

    def save_blob(self, data: bytes) -> str:
        """Store bytes under their sha256 and give it."""
        sha256 = hashlib.sha256(data).hexdigest()
        self._store.put(f"blobs/{sha256}", data)
        return sha256

    def load_blob(self, sha256: str) -> bytes:
        return self._store.get(f"blobs/{sha256}")


def job_key(job: str) -> str:
    return f"jobs/{job}/job.json"


def _parse_job(job: str, data: bytes) -> Job:
    key = job_key(job)
    found = parse(Job, key, data)
    if found.id != job:
        raise Corrupt(f"{key} is of job {found.id}", key=key)
    return found


def _step(key: str) -> int:
    return int(key.rpartition("/")[2].partition("-")[0])


def _newest_first(keys: list[str]) -> list[str]:
    """The snapshots among these keys: the newest step first, of one step the smallest nonce."""
    steps = [(-int(match[1]), match[2], key) for key in keys if (match := _STEP.fullmatch(key))]
    return [key for _, _, key in sorted(steps)]


def _follows(snapshot: Snapshot) -> bool:
    """True when it says that it was made from the step before it."""
    return _step(snapshot.previous) == snapshot.n - 1 if snapshot.previous else snapshot.n == 0


def _missing(keys: list[str], n: int) -> list[int]:
    """The steps below n that none of these keys is of."""
    return sorted(set(range(n)) - {_step(key) for key in keys})


def _owner_key(owner: str, image: str) -> str:
    return f"owners/{owner_folder(owner)}/{image}"
