"""The connection to Redis, how long it is waited for, what an outage is called, and the scripts that run there."""

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar, cast

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)
from redis.retry import Retry

from director.errors import StoreError

T = TypeVar("T")


def connect(url: str, timeout_s: float = 2.0, tries: int = 3) -> "Redis":
    """A client that gives up on a silent server after about twice `timeout_s`, well within a lease.

    A connection that breaks, or a server that still loads, is tried `tries` times; a server that is silent is asked
    twice (`twice`). So a script may run twice when an answer is lost; each is written so that this does no harm.
    """
    return Redis.from_url(  # pyright: ignore[reportUnknownMemberType]  (redis-py types its options as Unknown)
        url,
        decode_responses=True,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        health_check_interval=25,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), tries - 1, supported_errors=(RedisConnectionError,)),
    )


def broker_queue_length(broker: "Redis", queue: str, steps: tuple[int, ...] = (0, 3, 6, 9), sep: str = ":") -> int:
    """Messages in the lists that kombu keeps for `queue`, one for each priority step. Raises StoreError."""
    keys = [f"{queue}{sep}{step}" if step else queue for step in steps]
    script = "local sum = 0 for _, key in ipairs(KEYS) do sum = sum + redis.call('LLEN', key) end return sum"
    return reaching(lambda: cast("int", broker.eval(script, len(keys), *keys)))


def twice(call: Callable[[], T]) -> T:
    """Again when the answer did not come in time: the server may have been busy for a moment."""
    try:
        return call()
    except RedisTimeoutError:
        return call()


def reaching(call: Callable[[], T]) -> T:
    try:
        return call()
    except RedisError as error:
        raise StoreError(f"Redis: {type(error).__name__}: {error}"[:500], "is the Redis server up?") from error


def told(redis: "Redis", section: str) -> dict[str, Any]:
    """What the server tells of itself; nothing where it may not."""
    try:
        return reaching(lambda: redis.info(section))
    except StoreError as error:
        if isinstance(error.__cause__, ResponseError):
            return {}
        raise


@cache
def sources() -> dict[str, str]:
    """Each script's text, by its name."""
    texts = {
        file.name.removesuffix(".lua"): file.read_text()
        for file in (files("tasks.ledger") / "lua").iterdir()
        if file.name.endswith(".lua")
    }
    common = "\n".join(texts.pop(name) for name in ("common", "holds", "terms", "times", "batch"))
    return {name: f"{common}\n{text}" for name, text in texts.items()}
