"""What is held and which workers are sick, for whoever keeps the service running."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends
from fastapi import Query as Parameter
from pydantic import BaseModel

from api.problems import Problem
from api.routes import ApiState, SomeCaller
from director.errors import Actor
from tasks.ledger.ledger import Ledger
from tasks.tokens import Scope

router = APIRouter(prefix="/v1/machines")


class HeldQueue(BaseModel):
    """A queue whose jobs wait, uncharged, for what it needs; one of them tries now and then. Times are in seconds since
    the epoch."""

    queue: str
    actor: Actor
    why: str
    fix: str
    resource: str
    since: float
    next_try: float
    tries: int
    waiting: int


class SickWorker(BaseModel):
    """A worker whose last steps failed. `quarantined` is since when it takes no steps, and null while it takes some."""

    worker: str
    why: str
    failures: int
    quarantined: float | None
    next_canary: float | None
    by_hand: bool


class Machines(BaseModel):
    """All workers that serve, by name, with their queues; what is held; who is sick."""

    workers: dict[str, list[str]]
    held: list[HeldQueue]
    sick: list[SickWorker]


async def _operator(caller: SomeCaller) -> None:
    caller.check(Scope.OPERATE)


Operator = Depends(_operator)


@router.get("", response_model=Machines, dependencies=[Operator])
async def machines(state: ApiState) -> Machines:
    """The workers, the held queues and the sick workers."""
    return await to_thread.run_sync(machines_of, state.service.ledger, limiter=state.ledger_threads)


@router.post("/{worker}/quarantine", response_model=Machines, dependencies=[Operator])
def quarantine(
    state: ApiState, worker: str, why: Annotated[str, Parameter(max_length=200)] = "by an operator"
) -> Machines:
    """Let a worker take no more steps, until it is restored. The step that it runs ends as usual."""
    ledger = state.service.ledger
    if not _is_known(ledger, worker):
        raise _unknown(worker)
    ledger.quarantine(worker, why)
    return machines_of(ledger)


@router.post("/{worker}/restore", response_model=Machines, dependencies=[Operator])
def restore(state: ApiState, worker: str) -> Machines:
    """Let a worker take steps again, whatever was noted about it."""
    ledger = state.service.ledger
    if not ledger.restore_worker(worker) and not _is_known(ledger, worker):
        raise _unknown(worker)
    return machines_of(ledger)


def machines_of(ledger: Ledger) -> Machines:
    """How they stand now."""
    workers: dict[str, list[str]] = {}
    for queue, names in ledger.served().items():
        for name in names:
            workers.setdefault(name, []).append(queue)
    held = [
        HeldQueue(
            queue=hold.queue, actor=hold.actor, why=hold.why, fix=hold.fix, resource=hold.resource, tries=hold.tries,
            since=hold.since_ms / 1000, next_try=hold.next_ms / 1000, waiting=hold.waiting,
        )
        for hold in ledger.holds()
    ]  # fmt: skip
    sick = [
        SickWorker(
            worker=one.worker, why=one.why, failures=one.failures, by_hand=one.manual,
            quarantined=one.quarantined_ms / 1000 or None,
            next_canary=one.canary_ms / 1000 or None if one.quarantined_ms and not one.manual else None,
        )
        for one in ledger.sick_workers()
    ]  # fmt: skip
    return Machines(workers=dict(sorted(workers.items())), held=held, sick=sick)


def _is_known(ledger: Ledger, worker: str) -> bool:
    serve = any(worker in workers for workers in ledger.served().values())
    return serve or any(worker == sick.worker for sick in ledger.sick_workers())


def _unknown(worker: str) -> Problem:
    return Problem(404, "unknown-worker", "Unknown worker", f"Nothing is known of a worker {worker[:64]!r}.")
