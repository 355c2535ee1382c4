"""Workers that fail and succeed at steps of a ledger under test."""

import json

from director.errors import Actor
from tasks.ledger.types import Claim, FailResult, Next, Record, Refusal
from tests.support.ledgers import PLAN, LedgerRig

SERVER = "http://127.0.0.1:30000/v1 (qwen3-vl)"
EDITORS = "editor.flux"
MINUTE = 60_000


def trouble(message: str = "connection refused", resource: str = SERVER, boundary: str = "planner") -> str:
    return json.dumps({"boundary": boundary, "message": message, "fix": "start it", "resource": resource})


AWAY = trouble()
BROKEN = trouble("CUDA error", "", "editor")


def found(rig: LedgerRig, job: str = "job-1") -> Record:
    record = rig.ledger.get(job)
    assert record
    return record


def fails(
    rig: LedgerRig, job: str, worker: str, actor: Actor = Actor.OUTAGE, error: str = AWAY, retry_after_ms: int = 0
) -> FailResult:
    """The worker claims the job's present step and fails at it."""
    claim = rig.claimed(found(rig, job).step, job, worker)
    return rig.ledger.fail(job, claim.n, claim.nonce, error, actor, worker, retry_after_ms, 1_000)


def succeeds(rig: LedgerRig, job: str, worker: str, following: Next = PLAN) -> None:
    n = found(rig, job).step
    rig.ledger.commit(job, n, rig.claimed(n, job, worker).nonce, "key", following)


def serve(rig: LedgerRig, *workers: str, queue: str = "planner") -> None:
    for worker in workers:
        rig.ledger.announce(worker, [queue], 100 * MINUTE)


def tries(rig: LedgerRig, job: str, worker: str) -> Claim | Refusal:
    return rig.ledger.claim(job, found(rig, job).step, worker)


def hinted(rig: LedgerRig, queue: str = "planner") -> list[str]:
    return [hint.job for hint in rig.ledger.overdue(queue, 0, 100)]
