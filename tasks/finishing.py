"""What is left of a render when it is drawn, done beside the drawing of what comes next.

PNGs are made and stored while the card draws the next candidate. The render is committed while it draws the next
render: one at a time, in the order in which they were drawn.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from director.errors import EditorError, boundary
from director.seats import Raster
from director.types import ImageHash
from tasks.store import Images

log = logging.getLogger(__name__)

_ENCODERS = 4  # as many as a render usually has candidates


def encoders() -> ThreadPoolExecutor:
    """The threads in which an editor's process makes PNGs; they are started when they are needed."""
    return ThreadPoolExecutor(_ENCODERS, thread_name_prefix="png")


class Pictures:
    """`director.seats.Images` of one step."""

    def __init__(self, images: Images, encoders: Executor | None) -> None:
        self._images = images
        self._encoders = encoders
        self._stored: list[Future[None]] = []

    def get(self, image: ImageHash) -> bytes:
        return self._images.get(image)

    def raster(self, image: ImageHash) -> Raster:
        return self._images.raster(image)

    def put(self, png: bytes) -> ImageHash:
        return self._images.put(png)

    def put_raster(self, raster: Raster, encode: Callable[[], bytes]) -> ImageHash:
        """Raises BriefError at once when the picture is too large."""
        image = self._images.named(raster)
        if self._encoders is None:
            self._store(image, encode)
        else:
            # With the context of this thread, so that its lines too carry job, step and nonce.
            self._stored.append(self._encoders.submit(copy_context().run, self._store, image, encode))
        return image

    def _store(self, image: ImageHash, encode: Callable[[], bytes]) -> None:
        with boundary(EditorError):
            png = encode()
        self._images.put_as(image, png)

    def wait(self) -> None:
        """Until all of them are stored. Raises what went wrong with the first that is not."""
        for stored in self._stored:
            stored.result()


class Finisher:
    """Ends one task at a time in a thread of its own. Celery has acknowledged its message, so Flower is told here."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._free = threading.Semaphore()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="finisher")

    def take(self, task: str, worker: str, began: float, finish: Callable[[], str]) -> None:
        """Run `finish` beside what this thread does next. Waits until the one before is over.

        `began` is when the task did, by the monotonic clock.
        """
        self._free.acquire()
        ended = self._thread.submit(copy_context().run, self._run, finish)
        ended.add_done_callback(partial(self._tell, task, worker, began))

    def _run(self, finish: Callable[[], str]) -> str:
        try:
            return finish()
        finally:
            self._free.release()

    def _tell(self, task: str, worker: str, began: float, ended: Future[str]) -> None:
        """What Celery tells when a task returns or raises."""
        error = ended.exception()
        event = "task-failed" if error else "task-succeeded"
        told: dict[str, object] = {"exception": repr(error), "traceback": ""}
        if not error:
            told = {"result": repr(str(ended.result())), "runtime": time.monotonic() - began}
        try:
            with self._app.events.default_dispatcher(hostname=worker) as events:
                events.send(event, uuid=task, **told)
        except (OperationalError, RedisError, OSError) as unreachable:
            log.warning("the broker is away, and Flower was not told: %s", unreachable)

    def close(self) -> None:
        """Wait for the last one."""
        self._thread.shutdown()
