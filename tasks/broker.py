"""kombu's Redis transport with four changes.

- What is no message is dropped: kombu lets it end the whole program.
- A message may go to the head of its list, so that it is taken next (AHEAD).
- Of several editors' queues the one goes first that was taken from last (EditorsInTurn).
- What a message writes may be kept instead of written, for a script that writes it together with other things.
"""

import json
import logging
import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from queue import Empty
from typing import Any
from urllib.parse import urlsplit

from kombu.transport import TRANSPORT_ALIASES, redis, virtual
from kombu.utils.json import dumps

from tasks.entries import EDITOR

log = logging.getLogger(__name__)

AHEAD = "ahead"
"""The property of a message that goes to the head of the list of its priority; others go to the tail."""


def install() -> None:
    """Let every connection to a Redis broker of this process use it."""
    TRANSPORT_ALIASES.update({"redis": f"{__name__}:Transport", "rediss": f"{__name__}:Transport"})


def one_server(broker_url: str, ledger_url: str) -> bool:
    """True when both URLs surely name one database of one server, under one user. In doubt False."""
    broker, ledger = _database(broker_url), _database(ledger_url)
    return broker is not None and broker == ledger


def _database(url: str) -> tuple[object, ...] | None:
    """What tells one database from others; None when kombu and redis-py may read the URL differently."""
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
    except ValueError:
        return None
    number = re.fullmatch(r"/?(\d*)", parts.path)
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname or not number or "db=" in parts.query:
        return None
    who = (parts.username or "", parts.password or "")
    return parts.scheme, parts.hostname, port, int(number[1] or 0), *who, parts.query, parts.fragment


class NoMessage(ValueError):
    """What lay in a queue was not put there by Celery."""


class Message(virtual.Message):
    """Raises NoMessage for what has not the shape of one."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        try:
            super().__init__(payload, channel=channel, **options)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise NoMessage(f"{type(error).__name__}: {error}") from error


class EditorsInTurn:
    """Queues in the order of `serving_order`, and of the editors' that one first that was taken from last.

    So a worker that serves several models goes on with one as long as something waits for it. kombu asks it as it asks
    its own orders (kombu/utils/scheduling.py).
    """

    def __init__(self) -> None:
        self.first = ""
        self._queues: list[str] = []

    def put_first(self, queue: str) -> None:
        self.first = queue
        self.update(self._queues)

    def update(self, it: Iterable[str]) -> None:
        self._queues = sorted(it, key=lambda queue: (queue.startswith(EDITOR), queue != self.first))

    def consume(self, n: int) -> list[str]:
        return self._queues[:n]

    def rotate(self, last_used: str) -> None:
        if last_used.startswith(EDITOR):
            self.put_first(last_used)


class Channel(redis.Channel):
    """Reads and writes queues as kombu does. One thread uses it at a time."""

    Message = Message
    queue_order_strategy = f"{__name__}:EditorsInTurn"
    _kept: list[str] | None = None

    @property
    def editors(self) -> EditorsInTurn:
        """The order of its queues."""
        kombus: Any = self
        return kombus._queue_cycle

    @contextmanager
    def keeping(self) -> Generator[list[str]]:
        """What messages write from now on is not written, but kept here: command, key, value; command, key, value …"""
        kept = self._kept = []
        try:
            yield kept
        finally:
            self._kept = None

    def _put(self, queue: str, message: Any, **options: Any) -> None:
        kombus: Any = super()
        ahead = message["properties"].get(AHEAD)
        if self._kept is None and not ahead:
            kombus._put(queue, message, **options)
            return
        key = kombus._q_for_pri(queue, kombus._get_message_priority(message, reverse=False))
        self._write("RPUSH" if ahead else "LPUSH", key, dumps(message))  # kombu takes from the right end

    def _put_fanout(self, exchange: str, message: Any, routing_key: str, **options: Any) -> None:
        kombus: Any = super()
        if self._kept is None:
            kombus._put_fanout(exchange, message, routing_key, **options)
            return
        for topic in kombus._get_publish_topics(exchange, routing_key):
            self._write("PUBLISH", topic, dumps(message))

    def _write(self, command: str, key: str, value: str) -> None:
        if self._kept is not None:
            self._kept += (command, key, value)
            return
        kombus: Any = super()
        with kombus.conn_or_acquire() as client:
            client.execute_command(command, key, value)

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
