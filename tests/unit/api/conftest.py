from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.api import ALICE, House, browse


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def alice(house: House) -> Iterator[httpx.Client]:
    """Alice as a client of the API."""
    with browse(house.app(), **ALICE) as client:
        yield client
