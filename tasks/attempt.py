"""One try of a step: what it took, as the ledger, storage and the log are told."""

import json
import logging
import os
import time
from dataclasses import dataclass, field
from typing import Any

from director.errors import Actor, DirectorError
from director.types import Trajectory
from tasks.entries import status_of
from tasks.ledger.types import Claim, FailResult
from tasks.logs import fields
from tasks.summary import Cost

log = logging.getLogger(__name__)


@dataclass
class Attempt:
    """What one try of a step took: whatever is no function of the inputs, kept for the cost.

    Its seconds end when the ledger is told of the outcome, so that the ledger's sum is that of the records.
    """

    claim: Claim
    started: float = field(default_factory=time.time)
    clock: float = field(default_factory=time.perf_counter)
    seconds: float | None = None
    queue: str = ""  # known once the snapshot is loaded
    renders: int = 0
    outcome: str = "lost"  # or committed, failed, broke, rewound; lost: to a cancel, a wipe or a faster worker
    after: Trajectory | None = None  # what was committed
    progress: str = ""
    counts: dict[str, int] = field(default_factory=dict[str, int])
    kept: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    notes: dict[str, Any] = field(default_factory=dict[str, Any])  # what was found of lost objects
    error: DirectorError | None = None
    refused: FailResult | None = None  # what became of the step after an error; None: the ledger was not told

    def end(self) -> None:
        """Its seconds end here, unless they have ended."""
        if self.seconds is None:
            self.seconds = round(time.perf_counter() - self.clock, 4)

    def cost(self) -> Cost:
        """What to add to the job's cost now; the ledger knows whether it was wasted."""
        self.end()
        return Cost.of({"kind": self.claim.kind, "committed": True, **self._amounts()})

    def _amounts(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "renders": self.renders, "counts": dict(self.counts)}

    def record(self, host: str) -> dict[str, Any]:
        """What storage keeps of it, as JSON."""
        self.end()
        return {
            "n": self.claim.n,
            "nonce": self.claim.nonce,
            "kind": self.claim.kind,
            "attempt": self.claim.attempt,
            "host": host,
            "pid": os.getpid(),
            "started": round(self.started, 3),
            **self._amounts(),
            "committed": self.outcome == "committed",
            "progress": self.progress,
            "blobs": self.kept,
            "error": json.loads(error_json(self.error)) if self.error else None,
            **self.notes,
        }


def log_attempt(attempt: Attempt) -> None:
    """One line for a try of a step, and one for the end of its job."""
    error, stop = attempt.error, attempt.after.stop if attempt.after else None
    about = fields(
        kind=attempt.claim.kind,
        queue=attempt.queue or None,
        attempt=attempt.claim.attempt,
        seconds=attempt.seconds,
        renders=attempt.renders or None,
        boundary=error.boundary if error else None,
        actor=error.actor if error else None,
        resource=(error.resource or None) if error else None,
        then=attempt.refused.value if attempt.refused else None,
    )
    if error:
        # What a seat raised is worth its traceback; what does not answer is not.
        log.warning("step failed: %s", error, exc_info=None if error.actor is Actor.OUTAGE else error, extra=about)
    else:
        log.info("step %s", attempt.outcome, extra=about)
    if stop:
        log.info("job ended: %s", stop.why, extra=fields(status=status_of(stop).value, stop=stop.reason.value))


def error_json(error: DirectorError) -> str:
    """An error as the ledger keeps it."""
    told = {"boundary": error.boundary, "message": error.message[:500], "fix": error.fix[:500], "actor": error.actor}
    return json.dumps(told | ({"resource": error.resource[:500]} if error.resource else {}))
