"""The candidate that a person picked in place of the loop's. It lies beside the trajectory, never in it. The layout:

jobs/<id>/pick.json                what was picked of a job
batches/<batch>/picks/<id>.json    the same of a batch's job, so that one LIST tells all of a batch
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import Field

from director.state import GoalCounts
from director.types import ImageHash, Value
from tasks.store.objects import Corrupt, NotFound, Store
from tasks.store.records import packed, parse

_READERS = 8


class Pick(Value):
    """Candidate `candidate` of round `round`, both counted from 1. `image` is None once the pick was undone.

    `goals` are the verdicts on that very picture: of one that no verifier looked at, `total` alone. `at` is in seconds
    since the epoch.
    """

    contract: Literal[1] = 1
    image: ImageHash | None
    round: Annotated[int, Field(ge=1)]
    candidate: Annotated[int, Field(ge=1)]
    goals: GoalCounts
    by: str
    at: float

    @property
    def name(self) -> str:
        """As the command line takes it: "2.3"; "" once it was undone."""
        return f"{self.round}.{self.candidate}" if self.image else ""


class Picks:
    """Over a store. Safe for threads. Reading raises Corrupt, and all StoreError."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, job: str, batch: str, pick: Pick) -> None:
        """`batch` is the job's, "" for none."""
        self._store.put(_key(job, batch), packed(pick))

    def find(self, job: str, batch: str) -> Pick | None:
        """The last pick, also one that was undone; None: there never was any."""
        key = _key(job, batch)
        try:
            return parse(Pick, key, self._store.get(key))
        except NotFound:
            return None

    def of_batch(self, batch: str) -> Mapping[str, Pick]:
        """The last pick of each job of the batch that has one."""
        keys = list(self._store.list(f"batches/{batch}/picks/"))
        with ThreadPoolExecutor(_READERS, "picks") as readers:
            return {job: pick for job, pick in readers.map(self._read, keys) if pick}

    def _read(self, key: str) -> tuple[str, Pick | None]:
        try:
            return PurePosixPath(key).stem, parse(Pick, key, self._store.get(key))
        except (NotFound, Corrupt):  # one that can't be read must not hide the others: the loop's choice counts
            return PurePosixPath(key).stem, None


def _key(job: str, batch: str) -> str:
    return f"batches/{batch}/picks/{job}.json" if batch else f"jobs/{job}/pick.json"
