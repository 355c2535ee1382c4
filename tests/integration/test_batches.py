"""Batches through the API process, over a real Redis and a real S3 server."""

import json
import secrets
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx
import pytest

from tasks.batch.batches import Batches
from tasks.batch.dispatch import Dispatcher
from tasks.batch.shelf import Shelf
from tasks.batch.types import Batch, batch_id
from tasks.batch.upload import CHECKPOINT_LINES, state_of
from tasks.ledger.ledger import PREFIX, connect
from tasks.ledger.types import Hint
from tests.support.api import png
from tests.support.place import Place, run_to_the_end, until


@pytest.fixture
def key() -> str:
    return secrets.token_hex(8)


def client(place: Place, key: str) -> httpx.Client:
    headers = {"Authorization": "Bearer secret", "Idempotency-Key": key, "Content-Type": "application/x-ndjson"}
    return httpx.Client(base_url=place.url, headers=headers, trust_env=False, timeout=60)


def line(n: int) -> bytes:
    return json.dumps({"custom_id": f"b{n}", "brief": f"A lamp with the number {n}"}).encode() + b"\n"


def names(shelf: Shelf, batch: Batch) -> list[str]:
    return [shelf.item(batch.id, batch.at(index)).custom_id for index in range(batch.total)]


class Broken(Exception):
    """The sender dies."""


def test_from_lines_to_results(place: Place, key: str) -> None:
    sent: list[Hint] = []
    batches = Batches(place.ledger, place.shelf, place.archive, sent.append)
    dispatcher = Dispatcher(batches, place.ledger, place.archive, place.settings, sent.append)
    place.ledger.announce("worker-1", ["planner", "judge", "verifier", "editor.flux-krea"], 60_000)
    with place.api(), client(place, key) as alice:
        image = alice.put("/v1/images", content=png()).json()["image"]
        lines = [line(0), line(1), json.dumps({"brief": {"text": "Paint it blue", "source": image}}).encode()]
        made = alice.post("/v1/batches", content=iter(lines))
        assert made.status_code == 202, made.text
        id = made.json()["id"]
        assert id == batch_id("alice", key)
        assert alice.post("/v1/batches", content=iter(lines)).status_code == 200
        dispatcher.admit()
        jobs = [hint.job for hint in sent]
        assert len(jobs) == 3
        drawn = alice.get(f"/v1/batches/{id}").json()["drawing"]
        assert [item["custom_id"] for item in drawn] == ["b0", "b1", "3"]
        for job in jobs:
            run_to_the_end(place, job)
        for part in dispatcher.parts():
            part()
        shown = alice.get(f"/v1/batches/{id}").json()
        assert (shown["status"], shown["counts"]["done"]) == ("ended", 3)
        results = [json.loads(each) for each in alice.get(f"/v1/batches/{id}/results").text.splitlines()]
        assert {result["custom_id"]: result["status"] for result in results} == {
            "b0": "done",
            "b1": "done",
            "3": "done",
        }
        assert alice.get(f"/v1/jobs/{jobs[0]}/image").status_code == 200


BAD: dict[str, tuple[list[bytes], int, str]] = {
    "a broken line": ([line(0), b'{"brief": \n', line(1)], 2, "line"),
    "a double custom_id": ([line(0), line(1), line(0)], 3, "custom_id"),
    "a missing picture": ([line(0), b'{"brief": {"text": "x", "source": "' + b"ab" * 32 + b'"}}'], 2, "brief.source"),
    "ten megabytes in one line": ([line(0), b'{"brief": "', *[b"x" * 100_000] * 100, b'"}\n', line(1)], 2, "line"),
    "a million empty lines": ([b"\r\n" * 10_000] * 100, 1_000_000, "body"),
    "an error behind much that is fine": ([line(n) for n in range(6000)] + [b"{}\n"], 6001, "brief"),
}


def test_bad_manifests_are_told_by_line_and_nothing_is_left(served: Place, key: str) -> None:
    before = served.store.list("batches")
    with client(served, key) as alice:
        for case, (chunks, number, field) in BAD.items():
            response = alice.post("/v1/batches", content=iter(chunks))
            assert response.status_code == 422, case
            [error] = response.json()["errors"]
            assert (error["line"], error["field"]) == (number, field), case
            assert alice.get(f"/v1/batches/{batch_id('alice', key)}").status_code == 404
            assert alice.get(f"/v1/batches/uploads/{key}").status_code == 404
    assert served.store.list("batches") == before


def test_byte_order_mark_and_windows_lines_are_fine(served: Place, key: str) -> None:
    with client(served, key) as alice:
        chunks = [b"\xef\xbb\xbf", line(0).replace(b"\n", b"\r\n"), b"\r\n", line(1).rstrip()]
        assert alice.post("/v1/batches", content=iter(chunks)).json()["total"] == 2
    batch = served.shelf.load_batch(batch_id("alice", key))
    assert names(served.shelf, batch) == ["b0", "b1"]


def test_a_cut_connection_leaves_what_came_and_no_batch(served: Place, key: str) -> None:
    def half() -> Iterator[bytes]:
        for n in range(1500):
            yield line(n)
        yield line(1500)[:20]  # it breaks in the middle of a line
        raise Broken

    whole = b"".join(line(n) for n in range(3000))
    with client(served, key) as alice:
        with pytest.raises(Broken):
            alice.post("/v1/batches", content=half())
        until(lambda: alice.get(f"/v1/batches/uploads/{key}").status_code == 200)
        found = alice.get(f"/v1/batches/uploads/{key}").json()
        assert (found["lines"], found["batch"]) == (1500, None)
        assert alice.get(f"/v1/batches/{batch_id('alice', key)}").status_code == 404
        rest = {"Upload-Offset": str(found["bytes"])}
        # The service may still be at the end of the first upload.
        until(lambda: alice.post("/v1/batches", content=whole[found["bytes"] :], headers=rest).status_code == 202)
        assert alice.get(f"/v1/batches/uploads/{key}").json()["batch"] == batch_id("alice", key)
    assert names(served.shelf, served.shelf.load_batch(batch_id("alice", key))) == [f"b{n}" for n in range(3000)]


def test_an_upload_outlives_the_api(place: Place, key: str) -> None:
    id, killed = batch_id("alice", key), threading.Event()
    count = 2 * CHECKPOINT_LINES + 2000

    def slow() -> Iterator[bytes]:
        for n in range(count):
            yield line(n)
        killed.wait(60)
        yield line(count)

    def send() -> None:
        with client(place, key) as alice, pytest.raises(httpx.TransportError):
            alice.post("/v1/batches", content=slow())

    with place.api() as process:
        sender = threading.Thread(target=send)
        sender.start()
        until(lambda: state_of(place.shelf, id))
        with client(place, key) as alice:
            again = alice.post("/v1/batches", content=line(0))
            assert (again.status_code, again.headers["Retry-After"]) == (409, "5")
            assert (
                alice.post("/v1/batches", content=line(0), headers={"Idempotency-Key": f"{key}-b"}).status_code == 202
            )
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed.set()
        sender.join()
    with closing(connect(place.settings.ledger_url)) as redis:
        assert redis.delete(f"{PREFIX}lock:upload:{id}") == 1  # as it lapses by itself after a while
    whole = b"".join(line(n) for n in range(count))
    with place.api(), client(place, key) as alice:
        found: dict[str, Any] = alice.get(f"/v1/batches/uploads/{key}").json()
        assert CHECKPOINT_LINES <= found["lines"] < count
        wrong = alice.post("/v1/batches", content=whole, headers={"Upload-Offset": "7"})
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (409, "Upload-Offset")
        rest = {"Upload-Offset": str(found["bytes"])}
        made = alice.post("/v1/batches", content=whole[found["bytes"] :], headers=rest)
        assert (made.status_code, made.json()["total"]) == (202, count)
    assert names(place.shelf, place.shelf.load_batch(id)) == [f"b{n}" for n in range(count)]


def test_orders_of_many_clients_come_one_after_the_other(served: Place, key: str) -> None:
    """Each is numbered, none is lost, and nobody is refused."""
    with client(served, key) as alice:
        id = alice.post("/v1/batches", content=b"".join(map(line, range(20)))).json()["id"]

        def order(n: int) -> set[int]:
            with client(served, key) as sender:
                pauses = sender.post(f"/v1/batches/{id}/{'pause' if n % 2 else 'resume'}")
                names = sender.post(f"/v1/batches/{id}/cancel", json={"items": [f"b{n}"]})
                return {pauses.status_code, names.status_code}

        with ThreadPoolExecutor(8) as pool:
            assert set[int]().union(*pool.map(order, range(8))) == {200}
        shown = alice.get(f"/v1/batches/{id}").json()
        assert shown["counts"]["cancelled"] == 8
    assert [each.number for each in served.shelf.orders(id)] == list(range(1, 17))
