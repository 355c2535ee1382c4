"""The API process: `python -m api.app`. `create_app` is its composition root."""

import logging
import re
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI
from kombu.exceptions import OperationalError
from prometheus_client import disable_created_metrics
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import batches, docs, hooks, machines, metrics, morning, picking, plans, problems
from api.allocator import give_back_freed
from api.auth import Authenticator
from api.barred import Bars
from api.batch_service import BatchService
from api.events import HEARTBEAT_SECONDS, POLL_SECONDS, EventStreams
from api.forecasts import Forecasts
from api.gallery import Cards
from api.night_metrics import NightEta
from api.owners import Owners
from api.pages.desk_routes import desk
from api.pages.job_orders import orders
from api.pages.routes import pages
from api.routes import AppState, health, router
from api.service import Service
from api.sockets import BACKLOG, BoundedProtocol
from api.uploads import Uploads
from api.waiting import JobWaiter
from director.errors import StoreError
from tasks.app import make_app, message_writer, send_hint
from tasks.batch.batches import Batches
from tasks.batch.shelf import Shelf
from tasks.ledger.ledger import Ledger, connect
from tasks.ledger.types import NO_MESSAGE, Hint, HintMessage
from tasks.logs import fields, working
from tasks.logs import setup as setup_logging
from tasks.notices.hooks import Hooks
from tasks.notices.post import Poster
from tasks.notices.shelf import NoticeShelf
from tasks.settings import BadSettings, Settings, load_settings
from tasks.store import Archive, Images, S3Store, Thumbnails

_JOB = re.compile(r"/v1/jobs/([0-9a-f-]{36})(?:/|$)")
_POLLED = {"/healthz", "/readyz", "/metrics"}
_HEADERS = {  # of every answer, for browsers and caches
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    # An answer depends on the token, and changes while a job runs.
    "Cache-Control": "private, no-store",
}
log = logging.getLogger("visiondirector.api")


_ROUTERS = (
    router, picking.router, batches.router, morning.router, plans.router, health, pages, orders, desk, machines.router,
    hooks.router, metrics.router,
)  # fmt: skip


@dataclass(frozen=True)
class Backends:
    """What the API works with. `ping` raises StoreError while the broker can't be reached."""

    ledger: Ledger
    archive: Archive
    shelf: Shelf
    images: Images
    send: Callable[[Hint], None]
    ping: Callable[[], None]
    message: Callable[[Hint], HintMessage] = lambda hint: NO_MESSAGE


def main() -> int:
    """Serve until a signal comes. Exit code 2: the settings can't be used."""
    give_back_freed()
    setup_logging()
    disable_created_metrics()  # one more series for each counter, which no panel reads
    try:
        settings = load_settings()
        app = create_app(settings)
    except BadSettings as error:
        print(error, file=sys.stderr)
        return 2
    log.info("listening", extra=fields(host=settings.api_host, port=settings.api_port))
    uvicorn.run(
        app,
        host=settings.api_host,
        port=settings.api_port,
        log_config=None,
        access_log=False,  # AccessLog writes it
        server_header=False,
        http=BoundedProtocol,
        backlog=BACKLOG,
        # Event streams don't end by themselves; their readers resume at the next process.
        timeout_graceful_shutdown=3,
    )
    return 0


def create_app(
    settings: Settings,
    backends: Backends | None = None,
    poll: float = POLL_SECONDS,
    heartbeat: float = HEARTBEAT_SECONDS,
) -> FastAPI:
    """The app over `backends`, or over those of the settings, which it opens when it starts to serve.

    Raises BadSettings when everybody could use the API.
    """
    authenticator = Authenticator(settings)
    authenticator.check_bind(settings.api_host)
    authenticator.check_owners(settings.owners)

    def state_over(backends: Backends) -> AppState:
        ledger, archive, images = backends.ledger, backends.archive, backends.images
        batches = Batches(ledger, backends.shelf, archive, backends.send)
        bars = Bars(batches.terms, batches.ledger, settings, time.time)
        service = Service(
            ledger, archive, images, backends.send, settings.max_image_pixels, message=backends.message,
            parked=bars.of_job,
        )  # fmt: skip
        forecasts = Forecasts(ledger, backends.shelf, settings, images.listed)
        return AppState(
            service=service,
            batches=BatchService(service, batches, bars, forecasts),
            forecasts=forecasts,
            night_eta=NightEta(ledger, forecasts),
            streams=EventStreams(service, poll, heartbeat),
            waiter=JobWaiter(service, poll),
            uploads=Uploads(service),
            thumbnails=Thumbnails(images),
            cards=Cards(archive),
            hooks=Hooks(ledger, NoticeShelf(backends.shelf.store), Poster.of(settings)),
            owners=Owners(batches.terms, settings, time.time),
            authenticator=authenticator,
            checks=_checks(backends),
            image_metadata=settings.image_metadata,
        )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        with open_backends(settings) as opened:
            app.state.api = state_over(opened)
            yield

    app = FastAPI(
        title="VisionDirector", version="1", docs_url=None, redoc_url=None, openapi_url="/v1/openapi.json",
        lifespan=None if backends else lifespan,
    )  # fmt: skip
    if backends:
        app.state.api = state_over(backends)
    for each in _ROUTERS:
        app.include_router(each)
    app.state.requests = metrics.RequestMetrics()
    app.add_middleware(SecurityHeaders)
    app.add_middleware(AccessLog, requests=app.state.requests)
    problems.install(app)
    docs.install(app)
    return app


@contextmanager
def open_backends(settings: Settings) -> Generator[Backends]:
    """Ledger, storage and broker of the settings; nothing is connected before it is needed."""
    with ExitStack() as resources:
        ledger = resources.enter_context(Ledger(connect(settings.ledger_url), settings.limits))
        store = resources.enter_context(closing(S3Store(settings)))
        celery: Any = resources.enter_context(make_app(settings))

        def ping() -> None:
            try:
                with celery.connection_for_write() as connection:
                    connection.ensure_connection(max_retries=1, timeout=2)
            except OperationalError as error:
                raise StoreError("the broker does not answer") from error

        images = Images(store, settings.max_image_pixels)
        message = message_writer(celery, settings)
        send = partial(send_hint, celery)
        yield Backends(ledger, Archive(store), Shelf(store), images, send, ping, message)


def _checks(backends: Backends) -> dict[str, Callable[[], bool]]:
    return {
        "ledger": partial(_answers, backends.ledger.ready),
        "storage": partial(_answers, backends.archive.try_write),
        "broker": partial(_answers, backends.ping),
    }


def _answers(check: Callable[[], bool | None]) -> bool:
    try:
        return check() is not False
    except StoreError:
        return False


class SecurityHeaders:
    """Adds each of _HEADERS that a route has not set."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


class AccessLog:
    """One line for each request: never a header, a body or a query, which may hold secrets.

    Other log lines of the request carry the id of the job that its path names.
    """

    def __init__(self, app: ASGIApp, requests: metrics.RequestMetrics) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started, status, location = time.perf_counter(), 500, ""

        async def send_and_count(message: Message) -> None:
            nonlocal status, location
            if message["type"] == "http.response.start":
                status, location = message["status"], Headers(raw=message["headers"]).get("location", "")
                self._requests.observe(scope, status, time.perf_counter() - started)
            await send(message)

        named = _JOB.match(scope["path"])
        with working(job=named[1]) if named else nullcontext():
            try:
                await self._app(scope, receive, send_and_count)
            finally:
                about = fields(
                    job=created[1] if (created := _JOB.match(location)) else None,
                    method=scope["method"],
                    path=quote(scope["path"]),
                    status=status,
                    seconds=time.perf_counter() - started,
                )
                log.log(logging.DEBUG if scope["path"] in _POLLED else logging.INFO, "answered", extra=about)
        return None


if __name__ == "__main__":
    sys.exit(main())
