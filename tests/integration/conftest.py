from collections.abc import Iterator

import pytest

from infra.servers import Running, redis_server
from tasks.settings import Settings
from tests.conftest import bucket_in
from tests.support.place import Place, place_over


@pytest.fixture
def place(redis_running: Running, s3_settings: Settings) -> Iterator[Place]:
    with place_over(redis_running, s3_settings) as place:
        yield place


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, s3_running: Running) -> Iterator[Place]:
    """With its API, for tests that mind nothing of another."""
    with (
        redis_server(tmp_path_factory.mktemp("redis")) as redis,
        place_over(redis, bucket_in(s3_running)) as place,
        place.api(),
    ):
        yield place
