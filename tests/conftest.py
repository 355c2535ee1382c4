"""Real servers for the tests: one Redis and one S3 for the whole run, on free ports, with data in a temporary folder.

Tests stay apart by key prefix, bucket or database; one that stops a server starts its own.
"""

import secrets
from collections.abc import Iterator

import hypothesis
import pytest

from infra.servers import Running, redis_server, s3_server
from tasks.settings import Settings

# No clock decides a test, and each run tries the same examples.
hypothesis.settings.register_profile(
    "steady", deadline=None, derandomize=True, database=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("steady")


@pytest.fixture(scope="session")
def redis_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Redis with appendfsync always."""
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="session")
def s3_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """rclone's S3 over a folder."""
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def s3_settings(s3_running: Running) -> Settings:
    return bucket_in(s3_running)


def bucket_in(server: Running) -> Settings:
    """Settings with a bucket of their own, which does not exist yet."""
    return Settings.model_validate(
        {
            "s3_endpoint": server.url,
            "s3_access_key": server.key,
            "s3_secret_key": server.secret,
            "s3_bucket": f"test-{secrets.token_hex(8)}",
        }
    )
