from collections.abc import Iterator

import httpx
import pytest

from director.errors import StoreError
from tasks.store import Archive, FolderStore
from tests.support.api import House, browse


@pytest.fixture
def stranger(house: House) -> Iterator[httpx.Client]:
    with browse(house.app()) as client:
        yield client


def test_alive_needs_nothing(house: House, stranger: httpx.Client) -> None:
    house.wipe()
    house.broker_up = False
    assert stranger.get("/healthz").json() == {"status": "ok"}


def test_ready_when_everything_answers(stranger: httpx.Client) -> None:
    response = stranger.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "ledger": "ok", "storage": "ok", "broker": "ok"}


def test_not_ready_when_storage_takes_no_writes(house: House) -> None:
    class Full(FolderStore):
        def put(self, key: str, data: bytes) -> None:
            raise StoreError("no space left on device")

    house.archive = Archive(Full(house.folder))
    with browse(house.app()) as client:
        assert client.get("/readyz").json()["storage"] == "does not answer"


def test_not_ready_names_what_does_not_answer(house: House, stranger: httpx.Client) -> None:
    house.wipe()
    house.broker_up = False
    response = stranger.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {
        "status": "not ready", "ledger": "does not answer", "storage": "ok", "broker": "does not answer",
    }  # fmt: skip
