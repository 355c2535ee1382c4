"""When broker and ledger are one server: only if nothing speaks against it."""

import pytest

from tasks.broker import one_server

URL = "redis://127.0.0.1:6379/0"


@pytest.mark.parametrize(
    ("broker", "ledger"),
    [
        (URL, URL),
        (URL, "redis://127.0.0.1"),
        (URL, "redis://127.0.0.1:6379/"),
        ("redis://Redis.Example:7000/3", "redis://redis.example:7000/3"),
        ("redis://:s3cret@redis/1", "redis://:s3cret@redis:6379/1"),
        ("rediss://me:s3cret@redis/1?ssl_cert_reqs=required", "rediss://me:s3cret@redis/1?ssl_cert_reqs=required"),
        ("redis://[::1]:6379/0", "redis://[::1]/0"),
    ],
)
def test_one(broker: str, ledger: str) -> None:
    assert one_server(broker, ledger)


@pytest.mark.parametrize(
    ("broker", "ledger"),
    [
        (URL, "redis://127.0.0.1:6379/1"),
        (URL, "redis://127.0.0.1:6380/0"),
        (URL, "redis://localhost:6379/0"),
        (URL, "rediss://127.0.0.1:6379/0"),
        (URL, "redis://:s3cret@127.0.0.1:6379/0"),
        (URL, "redis://me@127.0.0.1:6379/0"),
        (URL, "unix:///run/redis.sock"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),  # kombu writes such a URL in another way
        (f"{URL}?db=2", f"{URL}?db=2"),  # redis-py takes the database from there, kombu does not
        (URL, f"{URL}?protocol=3"),
        ("redis://127.0.0.1/jobs", "redis://127.0.0.1/jobs"),
        ("redis://127.0.0.1:a", "redis://127.0.0.1:a"),
        ("redis:///0", "redis:///0"),
    ],
)
def test_two_when_in_doubt(broker: str, ledger: str) -> None:
    assert not one_server(broker, ledger)
