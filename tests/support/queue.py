"""Jobs without the HTTP API: straight into storage and ledger, as the API does it."""

import time
import uuid
from collections.abc import Callable, Iterable

from director.types import Brief, LoopSettings
from tasks.entries import new_entry
from tasks.jobs import TERMINAL, Job
from tasks.ledger.ledger import Ledger
from tasks.ledger.types import Hint, Record
from tasks.store import Archive


def submit(
    ledger: Ledger,
    archive: Archive,
    brief: Brief,
    settings: LoopSettings,
    send: Callable[[Hint], None],
    seed: int = 1,
    created: float | None = None,
) -> str:
    """Store a job, enter it, send its first hint; gives its id."""
    job = Job(
        id=str(uuid.uuid4()), owner="test", brief=brief, settings=settings, seed=seed, created=created or time.time()
    )
    entry = new_entry(job)
    archive.save_job(job)
    archive.mark_live(job.id)
    assert ledger.create(entry)
    send(entry.hint)
    return job.id


def until_ended(ledger: Ledger, jobs: Iterable[str], seconds: float = 120) -> list[Record]:
    """Wait for jobs; their last records. Fails after `seconds` with what they were doing."""
    end = time.monotonic() + seconds
    found: list[Record] = []
    for job in jobs:
        while (record := ledger.get(job)) is None or record.status not in TERMINAL:
            assert time.monotonic() < end, f"not ended after {seconds} s: {record}"
            time.sleep(0.005)
        found.append(record)
    return found
