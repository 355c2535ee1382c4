"""What the ledger does when the server is away, restarts, or its answer is lost."""

import secrets
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from director.errors import StoreError
from infra.servers import Running, free_port, redis_server
from tasks.ledger.ledger import Ledger, broker_queue_length, connect
from tasks.ledger.types import Claim, CommitResult, Hint, Wiped
from tests.support.ledgers import PLAN, RENDER, entry, on_server


def open_ledger(url: str, prefix: str = "vd:") -> Ledger:
    return Ledger(connect(url), prefix=prefix)


def start(ledger: Ledger) -> None:
    assert ledger.lock_rebuild("me", 10_000)
    ledger.open_epoch("me")
    ledger.create(entry())


@pytest.mark.timeout(30)  # no patience of a client's own: the lease would be gone
def test_a_server_that_is_not_there_is_a_store_error_soon() -> None:
    with open_ledger(f"redis://127.0.0.1:{free_port()}/0") as ledger:
        for call in (lambda: ledger.claim("job-1", 0, "h"), ledger.epoch, lambda: ledger.renew("job-1", 0, "aa")):
            with pytest.raises(StoreError, match="Redis"):
                call()


@pytest.mark.timeout(30)
def test_a_server_that_hangs_is_a_store_error_within_a_lease() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with (
            Ledger(connect(f"redis://127.0.0.1:{port}/0", timeout_s=0.1)) as ledger,
            pytest.raises(StoreError, match="Timeout"),
        ):
            ledger.epoch()


def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    port = free_port()
    with open_ledger(f"redis://127.0.0.1:{port}/0") as ledger:
        with redis_server(tmp_path, port):
            start(ledger)
            claim = ledger.claim("job-1", 0, "h")
            assert isinstance(claim, Claim)
        with pytest.raises(StoreError):
            ledger.commit("job-1", 0, claim.nonce, "key", RENDER)
        with redis_server(tmp_path, port):  # its script cache is empty now
            assert ledger.commit("job-1", 0, claim.nonce, "key", RENDER) is CommitResult.OK


def test_a_flushed_server_is_wiped(tmp_path: Path) -> None:
    with redis_server(tmp_path) as running, open_ledger(running.url) as ledger, Redis.from_url(running.url) as redis:
        start(ledger)
        redis.flushall()
        with pytest.raises(Wiped):
            ledger.claim("job-1", 0, "h")
        with pytest.raises(Wiped):
            ledger.create(entry())


@contextmanager
def losing_answers(running: Running) -> Iterator[tuple[str, threading.Event]]:
    """A relay to Redis that cuts the connection instead of giving the next answer, once its event is set."""
    lose = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            while True:
                try:
                    client, _ = door.accept()
                except OSError:
                    return
                with client, socket.create_connection(("127.0.0.1", running.port)) as server:
                    relay(client, server)

        def relay(client: socket.socket, server: socket.socket) -> None:
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(65_536)
                    if not data:
                        return
                    if ready is server and lose.is_set():
                        lose.clear()
                        return
                    (server if ready is client else client).sendall(data)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"redis://127.0.0.1:{door.getsockname()[1]}/0", lose
        finally:
            door.shutdown(socket.SHUT_RDWR)
            thread.join(60)


def test_calls_whose_answer_is_lost_take_effect_once(redis_running: Running) -> None:
    with on_server(redis_running.url) as rig, losing_answers(redis_running) as (url, lose):
        rig.open()
        with open_ledger(url, rig.ledger.prefix) as ledger:
            ledger.create(entry())
            assert ledger.epoch()
            for n in range(2):
                lose.set()
                claim = ledger.claim("job-1", n, "h")
                assert isinstance(claim, Claim)
                assert claim.attempt == 1
                lose.set()
                assert ledger.commit("job-1", n, claim.nonce, f"key-{n}", PLAN) is CommitResult.OK
                assert not lose.is_set()
            lose.set()
            assert isinstance(ledger.cancel("job-1"), Hint)
        record = rig.ledger.get("job-1")
        assert record
        assert (record.step, record.snapshot, record.cancel) == (2, "key-1", True)


def test_a_queue_is_as_long_as_its_lists_of_all_priorities(redis_running: Running) -> None:
    queue = secrets.token_hex(8)  # the server is shared
    with Redis.from_url(redis_running.url, decode_responses=True) as redis:
        assert broker_queue_length(redis, queue) == 0
        for key in (queue, f"{queue}:3", f"{queue}:6", f"{queue}:9", f"{queue}:6"):
            redis.lpush(key, "message")
        assert broker_queue_length(redis, queue) == 5
    with Redis.from_url(f"redis://127.0.0.1:{free_port()}/0") as away, pytest.raises(StoreError):
        broker_queue_length(away, queue)


def test_a_server_that_is_slow_once_is_asked_again(redis_running: Running) -> None:
    """A call whose answer comes too late takes effect once."""
    with on_server(redis_running.url) as rig:
        rig.open()
        with Ledger(connect(redis_running.url, timeout_s=1.5), prefix=rig.ledger.prefix) as ledger:
            ledger.create(entry())
            with Redis.from_url(redis_running.url) as sleeper:
                thread = threading.Thread(target=lambda: sleeper.execute_command("DEBUG", "SLEEP", "1.8"))
                sleeper.ping()
                thread.start()
                time.sleep(0.05)
                claim = ledger.claim("job-1", 0, "h")
                thread.join()
            assert isinstance(claim, Claim)
            assert claim.attempt == 1
            assert ledger.commit("job-1", 0, claim.nonce, "key", RENDER) is CommitResult.OK


def test_a_full_server_is_not_ready(tmp_path: Path) -> None:
    with redis_server(tmp_path, fsync="no") as running, open_ledger(running.url) as ledger:
        assert not ledger.ready()
        start(ledger)
        assert ledger.ready()
        with Redis.from_url(running.url) as redis:
            redis.config_set("maxmemory", "100kb")
        with pytest.raises(StoreError, match="maxmemory"):
            ledger.ready()


def test_a_server_tells_how_it_keeps_things(tmp_path: Path) -> None:
    with redis_server(tmp_path) as running, open_ledger(running.url) as ledger, Redis.from_url(running.url) as redis:
        assert (ledger.keeping(), ledger.keeping().evicts, ledger.keeping().warning) == (
            ("noeviction", True),
            False,
            "",
        )
        redis.config_set("maxmemory-policy", "allkeys-lru")
        redis.config_set("appendonly", "no")
        assert ledger.keeping().evicts
        assert "append-only" in ledger.keeping().warning
