"""The Celery app: its settings, its thin tasks, and how messages are sent.

`make_app(settings, open_studio)` is what a worker runs. The API and the reconciler pass no studio:
they know no task, and only send by name.
"""

import logging
import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property, partial
from typing import Any

from celery import Celery, current_task
from celery.exceptions import Ignore
from celery.signals import task_postrun, worker_process_shutdown
from celery.utils.nodenames import worker_direct
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from director.errors import DirectorError
from director.seats import STEP_KINDS, Seat, Studio
from tasks import broker
from tasks.affinity import SwapTimes
from tasks.attempt import Attempt
from tasks.batch.batches import Batches
from tasks.batch.dispatch import Dispatcher
from tasks.batch.shelf import Shelf
from tasks.canary import canary_fault
from tasks.consumers import consumer_step, tell_to_stand_back
from tasks.finishing import Finisher, encoders
from tasks.jobs import PRIORITIES
from tasks.ledger.ledger import Ledger, broker_queue_length, connect
from tasks.ledger.types import NO_MESSAGE, Hint, HintMessage
from tasks.logs import fields, working
from tasks.nightly import NightlySweep
from tasks.notices.courier import Courier
from tasks.notices.post import Poster
from tasks.notices.shelf import NoticeShelf
from tasks.reconcile import Reconciler
from tasks.retention import Sweeper
from tasks.settings import Settings
from tasks.space import SpaceWatch, look
from tasks.steps import Host, Rest, StepEnd, run_step
from tasks.store import Archive, Images, S3Store, Store
from tasks.watch import UNWATCHED, Watch

log = logging.getLogger(__name__)

OpenStudio = Callable[[Settings, ExitStack], Studio]
_DRAWING = frozenset(kind.name for kind in STEP_KINDS.values() if kind.seat is Seat.EDITOR)
_CANARY = "director.canary"
_CANARY_SECONDS = 60  # a canary that nobody took until then is dropped


def make_app(
    settings: Settings, open_studio: OpenStudio | None = None, observe: Callable[[Attempt], None] = lambda attempt: None
) -> Celery:
    """A Celery app over the broker of the settings; with `open_studio`, one that runs steps and has each try observed.

    The studio is opened in the worker's child at its first task, never in the parent: CUDA does not
    survive a fork.
    """
    broker.install()
    app = Celery("visiondirector", broker=settings.broker_url, set_as_current=False)
    app.conf.update(celery_settings(settings))
    if open_studio:
        times = SwapTimes(settings.swap_renders)
        child = _Child(app, settings, open_studio, _all_of(observe, times))
        for kind in STEP_KINDS:
            _add_task(app, kind, child)
        _add_canary(app, child)
        worker_process_shutdown.connect(child.close, weak=False)
        task_postrun.connect(_let_go, weak=False)
        app.steps["consumer"].add(consumer_step(settings, times))
    return app


def celery_settings(settings: Settings) -> dict[str, Any]:
    """ARCHITECTURE.md says why each, under "Settings that matter"."""
    return {
        "broker_transport_options": {
            "visibility_timeout": settings.visibility_timeout_s,
            "health_check_interval": 25,
            "socket_timeout": 30,
            "socket_keepalive": True,
            "priority_steps": list(PRIORITIES),
            "sep": ":",
        },
        "broker_connection_max_retries": None,
        "broker_connection_retry_on_startup": True,
        # A hint that can't be sent now is sent by the reconciler: give up soon.
        "task_publish_retry_policy": {"max_retries": 2, "interval_start": 0.05, "interval_step": 0.1},
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_ignore_result": True,
        "task_send_sent_event": True,
        "worker_send_task_events": True,
        "worker_prefetch_multiplier": 1,
        # A queue of its own for each worker: canaries come there.
        "worker_direct": True,
        "worker_soft_shutdown_timeout": 20,
        "worker_hijack_root_logger": False,
        "worker_enable_remote_control": True,
        "enable_utc": True,
    }


def send_hint(app: Celery, hint: Hint) -> None:
    """Tell the workers of a queue that a step waits. A lost hint is no harm: the reconciler sends it again."""
    try:
        _send(app, hint)
    except OperationalError as unreachable:
        about = fields(job=hint.job, step=hint.n, queue=hint.queue)
        log.warning("hint not sent, left to the reconciler: %s", unreachable, extra=about)


def message_writer(app: Celery, settings: Settings) -> Callable[[Hint], HintMessage]:
    """What gives the message of a hint to the ledger's scripts: they write it together with what it tells of.

    It gives NO_MESSAGE where broker and ledger are two servers: then `send_hint` sends the hint behind the script.
    """
    if not broker.one_server(settings.broker_url, settings.ledger_url):
        return lambda hint: NO_MESSAGE
    return lambda hint: _message(app, hint)


def _message(app: Celery, hint: Hint) -> HintMessage:
    """What `_send` would write, by Celery's and kombu's code: the message, and the event that shows it in Flower."""
    try:
        with app.producer_or_acquire() as producer, producer.channel.keeping() as kept:
            _send(app, hint, producer=producer, retry=False)
            return tuple(kept)
    except (OperationalError, RedisError, OSError) as unreachable:
        log.warning("no message for the script: %s", unreachable, extra=fields(job=hint.job, step=hint.n))
        return NO_MESSAGE


def _send(app: Celery, hint: Hint, **options: Any) -> None:
    app.send_task(
        f"director.{hint.kind}",
        args=(hint.job, hint.n, hint.title),
        argsrepr=story(hint),
        queue=hint.queue,
        priority=hint.priority,
        # Work in hand goes first: a job that has begun is finished before another one begins.
        **({broker.AHEAD: True} if hint.n else {}),
        **options,
    )


def send_canary(app: Celery, worker: str, models: Sequence[str]) -> None:
    """Let a quarantined worker draw a small picture with each of its models. A lost message is no harm."""
    try:
        app.send_task(
            _CANARY, args=(list(models),), argsrepr=f"canary · {worker}", queue=worker_direct(worker).name,
            expires=_CANARY_SECONDS,
        )  # fmt: skip
    except OperationalError as unreachable:
        log.warning("canary not sent: %s", unreachable, extra=fields(worker=worker))


def story(hint: Hint) -> str:
    """What Flower and Celery's log show of a task: seat, step, the start of its batch's id, brief, job.

    Flower shows fifty characters or so of it.
    """
    title = "".join(c if c.isprintable() else " " for c in hint.title[:60])
    of_batch = f"{hint.batch[:8]} · " if hint.batch else ""
    return f"{hint.queue} · step {hint.n} · {of_batch}{title} · {hint.job}"


def open_archive(settings: Settings) -> tuple[Archive, Images]:
    """The typed objects and the pictures in the bucket of the settings."""
    store = S3Store(settings)
    return Archive(store), Images(store, settings.max_image_pixels)


@contextmanager
def open_reconciler(settings: Settings, watch: Watch = UNWATCHED) -> Generator[Reconciler]:
    """The reconciler over the real ledger, bucket and broker."""
    app = make_app(settings)
    with ExitStack() as resources:
        ledger = resources.enter_context(Ledger(connect(settings.ledger_url), settings.limits))
        store = S3Store(settings)
        archive = Archive(store)
        messages = resources.enter_context(closing(connect(settings.broker_url)))

        def send(hint: Hint) -> None:
            send_hint(app, hint)

        batches = Batches(ledger, Shelf(store), archive, send)
        courier = Courier(ledger, NoticeShelf(store), Poster.of(settings).send, watch.noticed, watch.dead_notices)
        resources.enter_context(closing(courier))
        yield Reconciler(
            ledger,
            archive,
            settings,
            send=send,
            batches=Dispatcher(batches, ledger, archive, settings, send, courier),
            send_canary=lambda worker, models: send_canary(app, worker, models),
            queue_length=lambda queue: broker_queue_length(messages, queue),
            watch=watch,
            chores=_chores(settings, ledger, store, watch),
        )


def _chores(settings: Settings, ledger: Ledger, store: Store, watch: Watch) -> Sequence[Callable[[], None]]:
    space = SpaceWatch(lambda: look(settings, ledger, store), settings.least_free, watch.looked)
    if not settings.gc_at:
        return (space.look_at_space,)
    gc = NightlySweep(settings.gc_at, Sweeper.of(settings, store, ledger).sweep, store, ledger, watch.swept)
    return space.look_at_space, gc.nightly_gc


def _all_of(observe: Callable[[Attempt], None], times: SwapTimes) -> Callable[[Attempt], None]:
    def observed(attempt: Attempt) -> None:
        if attempt.claim.kind == "render" and attempt.renders and attempt.seconds is not None:
            times.rendered(attempt.queue, attempt.seconds, attempt.counts.get("load_ms", 0) / 1000)
        observe(attempt)

    return observed


def _let_go(retval: object = None, **_: Any) -> None:
    """Cut what a task raised off its traceback, which leads back to it through Celery's frames.

    Else that waits for the garbage collector's rarest pass, with Celery's own copy of the traceback: a quarter of a
    megabyte for each render, as a drawn one ends with Ignore.
    """
    while isinstance(retval, BaseException):
        retval.__traceback__, retval = None, retval.__cause__ or retval.__context__


def _add_task(app: Celery, kind: str, child: "_Child") -> None:
    def step(job: str, n: int, title: str) -> str:
        with working(job=job, step=n):
            end = run_step(child.host, job, n, child.finish_later() if kind in _DRAWING else None)
            if end is StepEnd.DRAWN:
                # The message is acknowledged, and the next one comes. `Finisher` tells Flower how this one ended.
                raise Ignore
            if end not in {StepEnd.COMMITTED, StepEnd.REWOUND}:
                log.info("hint dropped: %s", end.value)
            # A dropped hint is a success, too: of one that is ignored no event is sent, and Flower shows it as STARTED.
            return end.value

    step.__doc__ = f"Run {kind} step n of a job. The title is for people."
    # `run_step` has logged these errors with their job; Celery logs all others, which are defects.
    app.task(name=f"director.{kind}", throws=(DirectorError,))(step)


def _add_canary(app: Celery, child: "_Child") -> None:
    def canary(models: list[str]) -> str:
        """Find out whether this quarantined worker can draw again."""
        host = child.host
        fault = canary_fault(host.studio, models)
        host.ledger.canary(host.name, ok=not fault, why=fault)
        log.info("canary %s", "failed" if fault else "went well", extra=fields(worker=host.name))
        return fault or "well"

    # One that hangs is killed, and the quarantine goes on.
    app.task(name=_CANARY, time_limit=math.ceil(child.settings.max_step_s["render"]))(canary)


class _Child:
    """What one worker process holds, made at its first task."""

    def __init__(
        self, app: Celery, settings: Settings, open_studio: OpenStudio, observe: Callable[[Attempt], None]
    ) -> None:
        self._app = app
        self._observe = observe
        self.settings = settings
        self._open_studio = open_studio
        self._resources = ExitStack()

    @cached_property
    def host(self) -> Host:
        settings, worker = self.settings, str(current_task.request.hostname)
        archive, images = open_archive(settings)
        return Host(
            settings=settings,
            ledger=self._resources.enter_context(Ledger(connect(settings.ledger_url), settings.limits)),
            archive=archive,
            images=images,
            studio=self._open_studio(settings, self._resources),
            send=lambda hint: send_hint(self._app, hint),
            message=message_writer(self._app, settings),
            worker=worker,
            encoders=self._resources.enter_context(encoders()),
            observe=self._observe,
            stand_back=lambda: tell_to_stand_back(self._app, worker),
        )

    @cached_property
    def _finisher(self) -> Finisher:
        # Behind the host's: at the end it is waited for before these are closed.
        return self._resources.enter_context(closing(Finisher(self._app)))

    def finish_later(self) -> Callable[[Rest], None]:
        """What takes the rest of the current task's step."""
        name, request = self.host.name, current_task.request
        return partial(self._finisher.take, str(request.id), name, time.monotonic())

    def close(self, **_: Any) -> None:
        self._resources.close()
