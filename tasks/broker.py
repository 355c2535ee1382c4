"""kombu's Redis transport, except that what is no message is dropped: kombu lets it end the whole program."""

import json
import logging
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis, virtual

log = logging.getLogger(__name__)


def install() -> None:
    """Let every connection to a Redis broker of this process use it."""
    TRANSPORT_ALIASES.update({"redis": f"{__name__}:Transport", "rediss": f"{__name__}:Transport"})


class NoMessage(ValueError):
    """What lay in a queue was not put there by Celery."""


class Message(virtual.Message):
    """Raises NoMessage for what has not the shape of one."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        try:
            super().__init__(payload, channel=channel, **options)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise NoMessage(f"{type(error).__name__}: {error}") from error


class Channel(redis.Channel):
    """Reads a queue as kombu does."""

    Message = Message

    def _brpop_read(self, **options: Any) -> Any:
        kombus: Any = super()
        try:
            return kombus._brpop_read(**options)
        except (NoMessage, json.JSONDecodeError, UnicodeDecodeError) as error:
            # It is off the queue already. `Empty` is what the loop expects when there was nothing.
            log.error("what is no message was dropped from a queue: %s", error)
            raise Empty from error


class Transport(redis.Transport):
    """For `redis://` and `rediss://`."""

    Channel = Channel
