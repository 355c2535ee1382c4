"""What a worker depends on, examined one by one."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial

from httpx import HTTPError
from redis import Redis
from redis.exceptions import RedisError

from director.errors import DirectorError
from tasks.ledger.ledger import Ledger, connect
from tasks.ledger.types import Keeping
from tasks.reconcile import entry_of
from tasks.settings import Settings
from tasks.space import look
from tasks.store import Archive, Corrupt, S3Store
from tasks.store.archive import job_key
from worker.studio import editor_models, open_studio

_MOST_READ = 200  # live jobs that the ledger lacks


@dataclass(frozen=True)
class Check:
    """`found` says what is there, or what is wrong and how to mend it."""

    name: str
    ok: bool
    found: str


def examine(settings: Settings) -> list[Check]:
    """A line for each dependency; never raises for one that is missing."""
    examinations: dict[str, Callable[[Settings], str]] = {
        "studio": _studio,
        "broker": _broker,
        "ledger": _ledger,
        "bucket": _bucket,
        "records": _records,
        "workers": _workers,
        "held": _held,
        "space": _space,
    }
    return [checked(name, partial(examination, settings)) for name, examination in examinations.items()]


def checked(name: str, look: Callable[[], str]) -> Check:
    """What `look` finds, or says in an error."""
    try:
        return Check(name, True, look())
    except (DirectorError, RedisError, HTTPError, OSError, ValueError) as error:
        return Check(name, False, str(error))


def _studio(settings: Settings) -> str:
    with ExitStack() as resources:
        open_studio(settings, resources)
    return f"{settings.studio}, editors {', '.join(editor_models(settings))}"


def _broker(settings: Settings) -> str:
    with Redis.from_url(settings.broker_url, socket_timeout=3) as client:  # pyright: ignore[reportUnknownMemberType]
        version = client.info("server")["redis_version"]  # pyright: ignore
    return f"Redis {version} answers"


def _ledger(settings: Settings) -> str:
    with Ledger(connect(settings.ledger_url), settings.limits) as ledger:
        epoch = ledger.epoch()
        if epoch is None:
            raise DirectorError(
                "it has no epoch", "start `visiondirector-worker reconcile`, which builds it from storage"
            )
        depths, keeping, broken = ledger.depths(), ledger.keeping(), ledger.broken()
    refuse_eviction(keeping)
    if broken:
        raise DirectorError(
            f"the records of {len(broken)} jobs could not be read and were set aside: {', '.join(broken[:5])}",
            "the reconciler enters them again from storage; what it can't read there stands in its log",
        )
    warning = f"; {keeping.warning}" if keeping.warning else ""
    waiting, leased = sum(d.waiting for d in depths), sum(d.leased for d in depths)
    return f"epoch {epoch[:8]}, {waiting} steps waiting, {leased} running{warning}"


def refuse_eviction(keeping: Keeping) -> None:
    """Raises DirectorError when the ledger's server may drop jobs to make room."""
    if keeping.evicts:
        raise DirectorError(
            f"its maxmemory-policy is {keeping.policy}: when its memory is full it drops jobs",
            "set maxmemory-policy noeviction on the Redis of VISIONDIRECTOR_LEDGER_URL",
        )


def _records(settings: Settings) -> str:
    """What storage holds of live jobs, as far as the ledger lacks them: what can't be read is why."""
    store = S3Store(settings)
    with Ledger(connect(settings.ledger_url), settings.limits) as ledger, closing(store):
        archive = Archive(store)
        live = archive.live()
        found = [unreadable(archive, job) for job in sorted(set(live) - ledger.known(live).keys())[:_MOST_READ]]
        if bad := [why for why in found if why]:
            raise DirectorError("; ".join(bad), "bring the objects back, or delete live/<job> to give the job up")
    return f"{len(live)} live jobs can be read"


def unreadable(archive: Archive, job: str) -> str:
    """Why a job can't be restored from storage; "" when it can."""
    try:
        found = entry_of(archive, job)
    except Corrupt as broken:
        return str(broken)
    return "" if found else f"there is no {job_key(job)}"


def _bucket(settings: Settings) -> str:
    store = S3Store(settings)
    store.put("doctor/check.txt", b"ok\n")
    store.delete("doctor/check.txt")
    return f"{settings.s3_bucket} at {settings.s3_endpoint or 'AWS'} takes and gives"


def _workers(settings: Settings) -> str:
    with Ledger(connect(settings.ledger_url), settings.limits) as ledger:
        served = ledger.served()
    queues = ["planner", "judge", "verifier", *(f"editor.{model}" for model in editor_models(settings))]
    if missing := [queue for queue in queues if queue not in served]:
        raise DirectorError(f"nobody serves {', '.join(missing)}", "start a worker with those seats")
    return f"{len({worker for workers in served.values() for worker in workers})} workers serve {len(served)} queues"


def _held(settings: Settings) -> str:
    with Ledger(connect(settings.ledger_url), settings.limits) as ledger:
        holds, sick = ledger.holds(), [one for one in ledger.sick_workers() if one.quarantined_ms]
    found = [f"{hold.queue} is held, {hold.waiting} jobs wait: {hold.why}" for hold in holds]
    found += [f"{one.worker} is quarantined: {one.why}" for one in sick]
    if found:
        fixes = [hold.fix for hold in holds if hold.fix] or ["`visiondirector holds` says since when"]
        raise DirectorError("; ".join(found), "; ".join(dict.fromkeys(fixes)))
    return "no queue is held, no worker quarantined"


def _space(settings: Settings) -> str:
    store = S3Store(settings)
    with Ledger(connect(settings.ledger_url), settings.limits) as ledger, closing(store):
        found = look(settings, ledger, store)
    if low := found.low(settings.least_free):
        fix = "make room: `visiondirector gc`, VISIONDIRECTOR_KEEP_DAYS, another disk"
        raise DirectorError("; ".join(low.values()), fix)
    return "; ".join([*map(str, found.spaces), *found.unknown, found.tonight])
