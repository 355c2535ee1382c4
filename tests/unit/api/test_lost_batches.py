"""One batch whose objects are lost is told of as far as it goes, and the others stay as they are."""

import httpx
import pytest

from tasks.batch.shelf import Shelf
from tasks.store import FolderStore
from tests.support.api import ALICE, House, browse
from tests.unit.api.test_batches import admit, briefs, made


@pytest.mark.parametrize("data", [None, b"5"])
def test_a_batch_that_is_lost_spoils_no_list(house: House, alice: httpx.Client, data: bytes | None) -> None:
    lost, good = (made(alice, *briefs("a", "b", "c", "d", "e", "f", "g", "h"), key=key)["id"] for key in ("x", "y"))
    admit(house)
    key = f"batches/{lost}/batch.json"
    path = house.folder / key
    path.unlink() if data is None else path.write_bytes(data)
    house.shelf = Shelf(FolderStore(house.folder))  # as a program that was started again: nothing is remembered
    with browse(house.app(), **ALICE) as again:
        answer = again.get("/v1/batches")
    found = answer.json()["batches"]
    assert {one["id"] for one in found} == {lost, good}
    assert "batch.json" in next(one["waits"] for one in found if one["id"] == lost)
