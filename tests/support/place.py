"""The API process over a real Redis and a real S3 server, and the machines behind it as a worker sees them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import httpx
from redis import Redis

from api.client import Client
from director.types import Outcome
from infra.servers import CHECKOUT, Running, free_port
from tasks.batch.shelf import Shelf
from tasks.ledger.ledger import Ledger, connect
from tasks.settings import Settings
from tasks.store import Archive, Images, S3Store
from tests.support.api import commit, decided, opening, planned, png, rendered, stopped, verified


@dataclass
class Place:
    """Where everything is, and the machines behind the API as a worker sees them."""

    settings: Settings
    environment: dict[str, str]
    ledger: Ledger
    store: S3Store

    def __post_init__(self) -> None:
        self.archive, self.images, self.shelf = Archive(self.store), Images(self.store), Shelf(self.store)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.api_port}"

    @contextmanager
    def api(self) -> Generator["subprocess.Popen[bytes]"]:
        """The API process, once it answers; ended with TERM."""
        process = subprocess.Popen([sys.executable, "-m", "api.app"], cwd=CHECKOUT, env=self.environment)
        try:
            until(lambda: self.get("/healthz") == 200)
            yield process
        finally:
            process.terminate()
            process.wait(60)

    def get(self, path: str) -> int:
        try:
            return httpx.get(self.url + path, trust_env=False, timeout=10).status_code
        except httpx.TransportError:
            return 0

    def client(self, token: str = "secret") -> Client:
        return Client(self.url, token)

    def commit(self, job: str, *events: object) -> None:
        commit(self.ledger, self.archive, job, *events)  # pyright: ignore[reportArgumentType]


def until(answer: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not answer():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)


@contextmanager
def place_over(redis: Running, s3: Settings) -> Generator[Place]:
    settings = Settings.model_validate(
        {
            **s3.model_dump(include={"s3_endpoint", "s3_access_key", "s3_secret_key", "s3_bucket"}),
            "broker_url": f"{redis.url}",
            "ledger_url": redis.url.removesuffix("0") + "1",
            "api_port": free_port(),
            "tokens": {"alice": "secret", "bob": "other"},
        }
    )
    environment = {
        **os.environ,
        "VISIONDIRECTOR_BROKER_URL": settings.broker_url,
        "VISIONDIRECTOR_LEDGER_URL": settings.ledger_url,
        "VISIONDIRECTOR_S3_ENDPOINT": settings.s3_endpoint,
        "VISIONDIRECTOR_S3_ACCESS_KEY": settings.s3_access_key,
        "VISIONDIRECTOR_S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        "VISIONDIRECTOR_S3_BUCKET": settings.s3_bucket,
        "VISIONDIRECTOR_API_PORT": str(settings.api_port),
        "VISIONDIRECTOR_TOKENS": '{"alice": "secret", "bob": "other"}',
    }
    with Redis.from_url(redis.url) as server:
        server.flushall()  # tests share it: nothing that another left, and no lock that it still holds
    with Ledger(connect(settings.ledger_url), settings.limits) as ledger, closing(S3Store(settings)) as store:
        assert ledger.lock_rebuild("test", 5000)
        ledger.open_epoch("test")
        yield Place(settings, environment, ledger, store)


def run_to_the_end(place: Place, id: str, pause: float = 0.0) -> None:
    """A worker's three steps."""
    picture = place.images.put(png())
    for events in (
        opening(),
        (planned(), rendered(picture), verified(picture, Outcome.MET, Outcome.MET), decided(picture)),
        (stopped(),),
    ):
        time.sleep(pause)
        place.commit(id, *events)
