"""What object storage holds of a job, typed. The layout:

    jobs/<id>/job.json                                    what was submitted
    jobs/<id>/steps/<n:04d>-<nonce>.json                  the trajectory after step n, linked to the one before
    jobs/<id>/attempts/<n:04d>-<nonce>.json               what a try of step n took
    jobs/<id>/control/{cancel,dead,requeue}-<nonce>.json  orders, written before the caller is answered
    live/<id>                                             there until the job ends
    blobs/<sha256>                                        prompts, replies, evidence

Several tries of one step may each leave a snapshot; the ledger says which one counts. Without it,
`latest` decides by the links alone, the same way on every machine.
"""

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError

from director.errors import DirectorError
from director.state import State
from director.types import Trajectory, Value
from tasks.jobs import CONTRACT, Contract, Job, contract_of
from tasks.ledger.types import Next
from tasks.logs import fields
from tasks.store.objects import NotFound, Store
from tasks.store.recent import Recent

log = logging.getLogger(__name__)

LARGE_SNAPSHOT = 100_000  # bytes; a larger one is stored, and a warning logged
_READERS = 4  # attempt records at once
V = TypeVar("V", bound=Value)
ControlKind = Literal["cancel", "dead", "requeue"]
_STEP = re.compile(r"(\d{4,})-([0-9a-f]+)\.json")
_CONTROL = re.compile(r"(cancel|dead|requeue)-([0-9a-f]+)\.json")


class Corrupt(DirectorError):
    """A stored object is not what was written, or a chain of snapshots is broken. Trying again won't help."""

    boundary = "store"


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
    answers one `dead`; that of `cancel` is random."""

    kind: ControlKind
    nonce: str
    record: dict[str, Any]


class Archive:
    """The objects of all jobs, over a store. Safe for threads.

    Reading raises NotFound, StoreError when the store is out of reach, and Corrupt; writing StoreError.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._hashes = Recent[bytes](64 * 1024, len)  # sha256 by key of the snapshots last seen here
        self._records = Recent[bytes](4 * 2**20, len)
        self._written = Recent[Snapshot](32)  # the process that ran a step is often asked for the next one
        # A job.json is written once, and every step asks for it.
        self._known_job = lru_cache(maxsize=256)(self._load_job)

    # --- jobs -----------------------------------------------------------------------------------

    def save_job(self, job: Job) -> None:
        self._store.put(
            f"jobs/{job.id}/job.json", _json(job.model_copy(update={"contract": contract_of(job.brief.goals)}))
        )

    def find_job(self, job: str) -> Job | None:
        """As stored now; None: there is no such job."""
        try:
            return self._load_job(job)
        except NotFound:
            return None

    def load_job(self, job: str, created_ms: int | None = None) -> Job:
        """As stored or, with the time that the ledger has of it, from memory.

        A job that was deleted and submitted again has the same id and another time.
        """
        return self._load_job(job) if created_ms is None else self._known_job(job, created_ms)

    def _load_job(self, job: str, _created_ms: int = 0) -> Job:
        key = f"jobs/{job}/job.json"
        return _parse(Job, key, self._store.get(key))

    def mark_live(self, job: str) -> None:
        self._store.put(f"live/{job}", job.encode())

    def unmark_live(self, job: str) -> None:
        self._store.delete(f"live/{job}")

    def remove(self, job: str) -> None:
        """Delete all that is the job's own; pictures and blobs stay, which others may share.

        Its job.json goes first: without it nobody knows the job, and what is left if this breaks off is swept up.
        """
        self.forget(job)
        self.unmark_live(job)
        for key in self._store.list(f"jobs/{job}/"):
            self._store.delete(key)

    def forget(self, job: str) -> None:
        """Delete the job.json of a job that was never entered."""
        self._store.delete(f"jobs/{job}/job.json")

    def live(self) -> list[str]:
        """The jobs that have not ended, dead letters among them."""
        return [key.removeprefix("live/") for key in self._store.list("live/")]

    # --- snapshots ------------------------------------------------------------------------------

    def save_snapshot(
        self, job: str, n: int, nonce: str, previous: str, following: Next | None, trajectory: Trajectory
    ) -> str:
        """Store the trajectory after step n and give the key: one PUT, if this archive read or wrote `previous`."""
        snapshot = Snapshot(
            contract=contract_of(State.of(trajectory).goals),
            n=n,
            nonce=nonce,
            previous=previous,
            previous_sha256=self._sha256(previous) if previous else "",
            next=following,
            trajectory=trajectory,
        )
        key = f"jobs/{job}/steps/{n:04d}-{nonce}.json"
        data = _json(snapshot)
        if len(data) > LARGE_SNAPSHOT:
            log.warning("the snapshot has %d bytes", len(data), extra=fields(job=job, step=n))
        self._store.put(key, data)
        self._hashes.put(key, hashlib.sha256(data).digest())
        self._written.put(key, snapshot)
        return key

    def load_snapshot(self, key: str) -> Snapshot:
        """One GET, or none for one of the last that this archive wrote."""
        return self._written.get(key) or self._read_snapshot(key)

    def _read_snapshot(self, key: str) -> Snapshot:
        data = self._store.get(key)
        self._hashes.put(key, hashlib.sha256(data).digest())
        return _parse(Snapshot, key, data)

    def chain(self, job: str, key: str) -> list[Snapshot]:
        """The snapshots from the first to `key`. Raises Corrupt where a link is missing or does not match."""
        return self._chain(job, key, {})

    def latest(self, job: str) -> str | None:
        """Key of the snapshot to go on from: the highest n that links back to the first, else None.

        Of two tries of that step the smaller nonce. (A try that a whole later step links to is found
        through that later step.)
        """
        loaded: dict[str, Snapshot] = {}
        for key in self._newest_first(job):
            try:
                self._chain(job, key, loaded)
            except Corrupt as broken:
                log.warning("passing over a snapshot: %s", broken, extra=fields(job=job))
            else:
                return key
        return None

    def _newest_first(self, job: str) -> list[str]:
        prefix = f"jobs/{job}/steps/"
        names = [key.removeprefix(prefix) for key in self._store.list(prefix)]
        steps = [(-int(match[1]), match[2], match[0]) for name in names if (match := _STEP.fullmatch(name))]
        return [prefix + name for _, _, name in sorted(steps)]

    def _chain(self, job: str, key: str, loaded: dict[str, Snapshot]) -> list[Snapshot]:
        """`loaded` keeps what was read, for another walk over the same objects."""
        backwards: list[Snapshot] = []
        sha256 = ""
        while key:
            snapshot = loaded.get(key) or self._link(key)
            loaded[key] = snapshot
            if sha256 and self._sha256(key) != sha256:
                raise Corrupt(f"{key} is not the snapshot that step {backwards[-1].n} was made from")
            if key != f"jobs/{job}/steps/{snapshot.n:04d}-{snapshot.nonce}.json":
                raise Corrupt(f"{key} holds step {snapshot.n} of {snapshot.nonce}")
            if backwards and snapshot.n != backwards[-1].n - 1:
                raise Corrupt(f"{key} stands before step {backwards[-1].n}")
            backwards.append(snapshot)
            key, sha256 = snapshot.previous, snapshot.previous_sha256
        if backwards[-1].n:
            raise Corrupt(f"the chain of job {job} starts at step {backwards[-1].n}")
        return backwards[::-1]

    def _link(self, key: str) -> Snapshot:
        try:
            return self._read_snapshot(key)  # what storage holds, not what was once written
        except NotFound as missing:
            raise Corrupt(missing.message) from missing

    def _sha256(self, key: str) -> str:
        digest = self._hashes.get(key)
        if digest is None:
            digest = hashlib.sha256(self._store.get(key)).digest()
            self._hashes.put(key, digest)
        return digest.hex()

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
        self._store.put(f"jobs/{job}/attempts/{n:04d}-{nonce}.json", _dump(record))

    def attempts(self, job: str) -> list[dict[str, Any]]:
        """What `save_attempt` was given, by step."""
        keys = self._store.list(f"jobs/{job}/attempts/")
        # The time goes into waiting for S3.
        with ThreadPoolExecutor(_READERS, "attempts") as readers:
            return [_parsed(key, record) for key, record in zip(keys, readers.map(self._record, keys), strict=True)]

    def _record(self, key: str) -> bytes:
        """Attempt records never change, and a report that is looked at again wants the same ones."""
        record = self._records.get(key)
        if record is None:
            record = self._store.get(key)
            self._records.put(key, record)
        return record

    def save_control(self, job: str, kind: ControlKind, nonce: str, record: Mapping[str, Any]) -> None:
        self._store.put(f"jobs/{job}/control/{kind}-{nonce}.json", _dump(record))

    def controls(self, job: str) -> list[Control]:
        """The job's orders, by kind and nonce."""
        prefix = f"jobs/{job}/control/"
        found: list[Control] = []
        for key in self._store.list(prefix):
            if match := _CONTROL.fullmatch(key.removeprefix(prefix)):
                record = _parsed(key, self._store.get(key))
                found.append(Control.model_validate({"kind": match[1], "nonce": match[2], "record": record}))
        return found

    def save_blob(self, data: bytes) -> str:
        """Store bytes under their sha256 and give it."""
        sha256 = hashlib.sha256(data).hexdigest()
        self._store.put(f"blobs/{sha256}", data)
        return sha256

    def load_blob(self, sha256: str) -> bytes:
        return self._store.get(f"blobs/{sha256}")


def _owner_key(owner: str, image: str) -> str:
    # An owner's name may hold anything; a key may not.
    return f"owners/{hashlib.sha256(owner.encode()).hexdigest()[:32]}/{image}"


def _json(value: Value) -> bytes:
    # Fields in the order of their class and no spaces: one value always gives the same bytes.
    return value.model_dump_json().encode()


def _dump(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode()


def _parse(kind: type[V], key: str, data: bytes) -> V:
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        if any(problem["loc"] == ("contract",) for problem in error.errors(include_url=False)):
            raise Corrupt(
                f"{key} was stored by a newer version", f"this one reads up to contract {CONTRACT}: update it"
            ) from error
        raise Corrupt(f"{key} is no {kind.__name__}: {error.error_count()} problems") from error


def _parsed(key: str, data: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(data))
    except ValueError as error:
        raise Corrupt(f"{key} is no JSON: {error}") from error
