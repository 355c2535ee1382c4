"""The client's calls about batches: streamed both ways, and an upload that goes on where it broke off."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.client import BadRequest, Conflict, NotFound
from tests.support.scripted_service import Answer, problem, scripted

BATCH = "0b0b0b0b-0000-5000-8000-00000000000b"
NOTHING = problem(404, "Unknown upload")


def batch(status: str = "open", **more: Any) -> dict[str, Any]:
    return {"id": BATCH, "title": "night", "status": status, "total": 2, "counts": {"waiting": 2}, **more}


def made(status: int = 202) -> httpx.Response:
    return httpx.Response(status, json=batch())


LINES = [{"custom_id": "a", "brief": "A lamp"}, {"custom_id": "b", "brief": "Öl"}]


def chained(*lines: bytes) -> str:
    link = b""
    for line in lines:
        link = hashlib.sha256(link + line).digest()
    return link.hex()


def breaks(request: httpx.Request) -> httpx.Response:
    """Reads the body, and says nothing."""
    request.read()
    raise httpx.ReadError("reset", request=request)


def test_a_batch_is_a_header_and_lines_under_a_key_of_their_own() -> None:
    service = scripted(NOTHING, made())
    with service.client() as client:
        found = client.submit_batch(LINES, {"title": "night", "matrix": {"seed": [1, 2]}})
    asked, sent = service.asked
    assert (found.id, found.total, found.repeated, found.ended) == (BATCH, 2, False, False)
    assert [json.loads(line) for line in sent.content.splitlines()] == [
        {"batch": {"title": "night", "matrix": {"seed": [1, 2]}}}, *LINES,
    ]  # fmt: skip
    assert sent.headers["Content-Type"] == "application/x-ndjson"
    assert "Upload-Offset" not in sent.headers
    key = sent.headers["Idempotency-Key"]
    assert (asked.url.path, len(key)) == (f"/v1/batches/uploads/{key}", 64)


def test_the_same_lines_have_the_same_key_and_others_another() -> None:
    keys: list[str] = []
    for lines, header in ((LINES, {}), (iter(LINES), {}), (LINES[:1], {}), (LINES, {"priority": 3})):
        service = scripted(NOTHING, made(200))
        with service.client() as client:
            assert client.submit_batch(lines, header).repeated
        keys.append(service.asked[1].headers["Idempotency-Key"])
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_an_upload_that_broke_off_goes_on_where_it_broke() -> None:
    first = b'{"custom_id": "a", "brief": "A lamp"}'
    second = b'{"custom_id": "b", "brief": "A desk"}'
    received = {"bytes": len(first) + 2, "lines": 1, "sha256": chained(first), "batch": None}
    service = scripted(NOTHING, breaks, httpx.Response(200, json=received), made())
    paused: list[str] = []
    with service.client() as client:
        # CR LF and a byte order mark do not count in the chain.
        client.submit_batch([first + b"\r\n", second], key="k 1/2", on_pause=paused.append)
    whole, rest = service.asked[1], service.asked[3]
    assert whole.content == first + b"\r\n" + second + b"\n"
    assert (rest.content, rest.headers["Upload-Offset"]) == (second + b"\n", str(len(first) + 2))
    assert rest.headers["Idempotency-Key"] == whole.headers["Idempotency-Key"]
    assert service.asked[2].url.raw_path == b"/v1/batches/uploads/k%201%2F2"
    assert paused == ["reset"]


@pytest.mark.parametrize(
    "received", [{"bytes": 10, "sha256": chained(b"other")}, {"bytes": 10**6}, {"bytes": 0, "batch": BATCH}]
)
def test_what_was_received_of_other_lines_is_sent_anew(received: dict[str, Any]) -> None:
    service = scripted(httpx.Response(200, json={"lines": 1, **received}), made())
    with service.client() as client:
        client.submit_batch(LINES, key="k")
    assert len(service.asked[1].content.splitlines()) == 2
    assert "Upload-Offset" not in service.asked[1].headers


def test_an_upload_waits_as_long_as_the_service_says() -> None:
    answers = [
        problem(429, "Too many batches", headers={"Retry-After": "3"}),
        problem(503, "busy"),
        problem(409, "Another upload of this batch runs", headers={"Retry-After": "2"}),
        problem(408, "No more lines came"),
    ]
    service = scripted(*(each for answer in answers for each in (NOTHING, answer)), NOTHING, made())
    paused: list[str] = []
    with service.client() as client:
        client.submit_batch(LINES, on_pause=paused.append)
    assert service.slept == [3.0, 0.5, 2.0, 2.0]
    assert [words.partition(":")[0] for words in paused] == [
        "Too many batches", "busy", "Another upload of this batch runs", "No more lines came",
    ]  # fmt: skip


def test_a_key_of_other_lines_and_bad_lines_are_not_tried_again() -> None:
    bad = {"line": 2, "custom_id": None, "field": "brief.text", "message": "is empty", "fix": "write it"}
    for answer, kind in ((problem(409, "key used"), Conflict), (problem(422, "no good", errors=[bad]), BadRequest)):
        service = scripted(NOTHING, answer)
        with service.client() as client, pytest.raises(kind) as raised:
            client.submit_batch(LINES)
        assert service.slept == []
    assert str(raised.value) == "no good\n  line 2: brief.text: is empty (write it)"


def result(custom_id: str, index: int, **more: Any) -> bytes:
    return json.dumps({"custom_id": custom_id, "index": index, "status": "done", "job": None, **more}).encode() + b"\n"


def results(*pieces: bytes | Exception) -> httpx.Response:
    def chunks() -> Iterator[bytes]:
        for piece in pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    return httpx.Response(200, content=chunks())


def test_results_come_once_though_the_connection_breaks() -> None:
    a, b, c = result("a", 0, later="field"), result("b", 9), result("c", 70_000)
    service = scripted(results(a + b[:5], b[5:], httpx.ReadError("reset")), problem(503, "busy"), results(b, a, c[:-1]))
    with service.client() as client:
        found = list(client.batch_results(BATCH))
    assert [each.custom_id for each in found] == ["a", "b", "c"]
    assert found[0].model_dump()["later"] == "field"  # of a newer service


def test_every_take_is_told_when_it_is_asked_for() -> None:
    service = scripted(results(result("a", 0), result("a", 0, take=1), result("a", 0, take=1)))
    with service.client() as client:
        assert [each.take for each in client.batch_results(BATCH, all=True)] == [0, 1]
    assert service.asked[0].url.query == b"all=true"


def test_lists_go_through_all_pages() -> None:
    pages: list[Answer] = [
        httpx.Response(200, json={"batches": [batch()], "next": "more"}),
        httpx.Response(200, json={"batches": [], "next": None}),
    ]
    service = scripted(*pages)
    with service.client() as client:
        assert [each.id for each in client.batches(status=["open", "paused"], label="autumn")] == [BATCH]
    assert service.asked[1].url.query == b"limit=200&status=open&status=paused&label=autumn&cursor=more"
    item = {"custom_id": "a", "index": 0, "status": "waiting", "job": None, "take": 0}
    service = scripted(httpx.Response(200, json={"items": [item], "next": None}))
    with service.client() as client:
        assert [each.custom_id for each in client.batch_items(BATCH, "failed")] == ["a"]


def test_orders_send_what_was_asked_and_no_more() -> None:
    service = scripted(*[httpx.Response(200, json=batch("paused"))] * 7)
    with service.client() as client:
        assert client.pause_batch(BATCH).status == "paused"
        client.resume_batch(BATCH)
        client.cancel_batch(BATCH)
        client.cancel_batch(BATCH, ["a"])
        client.retry_batch(BATCH, ["unmet"], rounds=3)
        client.patch_batch(BATCH, priority=0, max_in_flight=0)
        client.batch("../jobs")
    sent = [
        (each.method, each.url.path.rpartition("/")[2], json.loads(each.content or b"null")) for each in service.asked
    ]
    assert sent == [
        ("POST", "pause", None),
        ("POST", "resume", None),
        ("POST", "cancel", None),
        ("POST", "cancel", {"items": ["a"]}),
        ("POST", "retry", {"what": ["unmet"], "rounds": 3}),
        ("PATCH", BATCH, {"priority": 0, "max_in_flight": 0}),
        ("GET", "___jobs", None),
    ]


def test_an_unknown_batch_is_not_found() -> None:
    service = scripted(problem(404, "Unknown batch"))
    with service.client() as client, pytest.raises(NotFound):
        client.batch(BATCH)
