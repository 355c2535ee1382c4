"""What a worker depends on, examined one by one."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError

from director.errors import DirectorError
from tasks.ledger.ledger import Ledger, connect
from tasks.settings import Settings
from tasks.store import S3Store
from worker.studio import editor_models, open_studio


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
        "workers": _workers,
        "held": _held,
    }
    return [_check(name, examination, settings) for name, examination in examinations.items()]


def _check(name: str, examination: Callable[[Settings], str], settings: Settings) -> Check:
    try:
        return Check(name, True, examination(settings))
    except (DirectorError, RedisError, OSError) as error:
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
        depths = ledger.depths()
    waiting, leased = sum(d.waiting for d in depths), sum(d.leased for d in depths)
    return f"epoch {epoch[:8]}, {waiting} steps waiting, {leased} running"


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
