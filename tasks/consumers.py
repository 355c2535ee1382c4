"""What the parent process of a worker does: show that it lives, and take messages only while the ledger lets it.

A worker that rests or is quarantined (tasks/ledger/lua/holds.lua) stops consuming its work queues, so that others get
the messages. A child whose step failed tells its parent so at once, before it acknowledges its message; the parent asks
the ledger again and again, and consumes when the rest is over. The queue of the worker's own name is consumed always.
"""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from celery import Celery, bootsteps
from celery.utils.nodenames import worker_direct
from celery.worker.control import control_command
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from director.errors import StoreError
from tasks.affinity import Backlog, SwapTimes, other_queue
from tasks.broker import EditorsInTurn
from tasks.entries import EDITOR, serving_order
from tasks.ledger.ledger import Ledger, connect
from tasks.ledger.types import CONTROL
from tasks.logs import fields
from tasks.settings import Settings

log = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
_LOOK_SECONDS = 1.0  # how often a worker that rests asks whether the rest is over
_TELL_SECONDS = 2.0
_STAND_BACK = "stand_back"
_DRAWS_MS = 15_000  # so long an editor counts as at work on a model after it said so


def consumer_step(settings: Settings, times: SwapTimes) -> type[bootsteps.StartStopStep]:
    """The step of Celery's consumer whose timer does the above.

    The file is for liveness probes (a broker outage must not fail it), the ledger's note for people who ask why a job
    waits.
    """
    control_command(name=_STAND_BACK)(_stand_back)

    class Beat(bootsteps.StartStopStep):
        # celery-types has `requires` as an instance variable; Celery's own steps set it on the class, as here.
        requires: ClassVar[set[str]] = {"celery.worker.consumer.tasks:Tasks"}  # pyright: ignore[reportIncompatibleVariableOverride]
        pulse: "Pulse | None" = None
        timer: Any = None

        def start(self, parent: Any) -> None:
            # Started again with each new connection: by then some queues may not be consumed.
            self.pulse = self.pulse or Pulse(settings, parent, times)
            self.timer = parent.timer.call_repeatedly(_LOOK_SECONDS, self.pulse.beat, (), priority=10)
            self.pulse.beat()

        def stop(self, parent: Any) -> None:
            if self.timer:
                self.timer.cancel()

    return Beat


class Pulse:
    """Of one worker program; `consumer` is Celery's."""

    def __init__(self, settings: Settings, consumer: Any, times: SwapTimes) -> None:
        self._settings = settings
        self._consumer = consumer
        self._ledger = Ledger(connect(settings.ledger_url), settings.limits)
        self._name: str = consumer.hostname
        own = worker_direct(self._name).name
        self._queues = serving_order(queue for queue in consumer.app.amqp.queues.consume_from if queue != own)
        self._processes: int = consumer.pool.limit or 1
        self._next_beat = 0.0
        editors = [queue for queue in self._queues if queue.startswith(EDITOR)]
        self._turns = Turns(self._ledger, self._name, editors, times, settings.model_wait_s)

    def beat(self) -> None:
        """Every five seconds; every second while the worker rests, or if it serves several models."""
        self._turns.look(self._consumer.task_consumer.channel.editors)
        if time.monotonic() < self._next_beat and not self._idle():
            return
        self._next_beat = time.monotonic() + BEAT_SECONDS
        touch(self._settings, self._name)
        try:
            standing = self._ledger.announce(self._name, self._queues, int(3000 * BEAT_SECONDS), self._processes)
        except StoreError as unreachable:
            log.warning("not announced: %s", unreachable, extra=fields(worker=self._name))
            return
        if standing.may_work:
            self._resume()
        else:
            _stop_consuming(self._consumer)

    def _idle(self) -> list[str]:
        consumed = self._consumer.app.amqp.queues.consume_from
        return [queue for queue in self._queues if queue not in consumed]

    def _resume(self) -> None:
        for queue in self._idle():
            self._consumer.add_task_queue(queue)
            log.info("takes steps again", extra=fields(worker=self._name, queue=queue))


class Turns:
    """Turns a worker that serves several models to another one's queue when that is worth it."""

    def __init__(self, ledger: Ledger, worker: str, queues: list[str], times: SwapTimes, longest_s: float) -> None:
        self._ledger = ledger
        self._worker = worker
        self._queues = queues
        self._times = times
        self._longest_s = longest_s
        self._at, self._since, self._next = "", 0.0, 0.0
        self._alone: dict[str, float] = {}  # since when nobody draws what waits there

    def look(self, editors: EditorsInTurn) -> None:
        """`editors` has the queue at which the worker is first."""
        now = time.monotonic()
        if len(self._queues) < 2 or now < self._next:
            return
        if editors.first != self._at:
            self._at, self._since = editors.first, now
        try:
            found = self._ledger.run("backlogs", self._worker, _DRAWS_MS, self._at, *self._queues)
            other = self._other(dict(zip(self._queues, found, strict=True)), now)
            # One worker at a time turns to a queue: the next one counts it.
            if other and self._ledger.run("turn", self._worker, other, _DRAWS_MS):
                editors.put_first(other)
                log.info("draws another model", extra=fields(worker=self._worker, queue=other))
        except StoreError as unreachable:
            self._next = now + BEAT_SECONDS
            log.warning("backlogs not asked: %s", unreachable, extra=fields(worker=self._worker))

    def _other(self, counts: Mapping[str, Sequence[int]], now: float) -> str:
        """`counts`: the renders that wait on each queue, and the workers that draw from it."""
        alone = {queue for queue, (waiting, drawing) in counts.items() if waiting and not drawing}
        self._alone = {queue: self._alone.get(queue, now) for queue in alone}
        backlogs = {
            queue: Backlog(waiting, drawing, now - self._alone.get(queue, now))
            for queue, (waiting, drawing) in counts.items()
        }
        return other_queue(self._at, backlogs, now - self._since, self._times.swap, self._longest_s)


def tell_to_stand_back(app: Celery, worker: str) -> None:
    """From a child: its parent takes no other message from now on. It takes some again when the ledger says so."""
    try:
        told = bool(
            app.control.broadcast(_STAND_BACK, destination=[worker], reply=True, timeout=_TELL_SECONDS, limit=1)
        )
    except (OperationalError, RedisError, OSError) as unreachable:
        log.warning("the broker is away: %s", unreachable, extra=fields(worker=worker))
        told = False
    if not told:
        # No harm: the parent asks the ledger by itself, and what it takes until then is refused.
        log.warning("the worker was not told to stand back", extra=fields(worker=worker))


def _stand_back(state: Any) -> dict[str, str]:
    """Take no more steps until the ledger allows it."""
    state.consumer.call_soon(_stop_consuming, state.consumer)
    return {"ok": "no longer consuming"}


def _stop_consuming(consumer: Any) -> None:
    """All queues but the worker's own, and that of cancelled jobs, which need no model."""
    kept = {worker_direct(consumer.hostname).name, CONTROL}
    for queue in set(consumer.app.amqp.queues.consume_from) - kept:
        consumer.cancel_task_queue(queue)
        log.warning("takes no steps for a while", extra=fields(worker=consumer.hostname, queue=queue))


def touch(settings: Settings, worker: str) -> None:
    """Renew the liveness file of a worker: `run_dir/<worker>.alive`."""
    folder = Path(settings.run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{worker}.alive").write_text(f"{os.getpid()}\n")
