"""The client's upload of a batch, killed while it sends and sent again."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator

import httpx
import pytest

from api.client import Batch, Client
from infra.servers import CHECKOUT
from infra.stack import Stack

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

LINES = 10_000
PART = 400_000
"""Bytes that are sent before the sender is killed: more lines than are stored at a time, and not all."""
KEY = "an upload that is killed"


class Stalling(httpx.HTTPTransport):
    """Sends a part of an upload, and then nothing for minutes."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        def part(body: Iterable[bytes]) -> Iterator[bytes]:
            sent = 0
            for chunk in body:
                if sent >= PART:
                    time.sleep(600)
                yield chunk
                sent += len(chunk)

        if request.method == "POST":
            assert isinstance(request.stream, httpx.SyncByteStream)
            request = httpx.Request("POST", request.url, headers=request.headers, content=part(request.stream))
        return super().handle_request(request)


def send(client: Client) -> Batch:
    """Nobody serves the editor, so nothing is drawn."""
    lines = ({"custom_id": f"poster-{n}", "brief": f"Lamp {n}, and a desk"} for n in range(LINES))
    return client.submit_batch(lines, {"title": "many", "settings": {"editor": "nobody"}}, KEY)


def received(stack: Stack) -> int:
    headers = {"Authorization": f"Bearer {stack.token}"}
    answer = httpx.get(f"{stack.api_url}/v1/batches/uploads/{KEY}", headers=headers, trust_env=False, timeout=60)
    return answer.json().get("bytes", 0)


def test_an_upload_that_is_killed_goes_on_where_it_was(stack: Stack, client: Client) -> None:
    environment = {**os.environ, "VISIONDIRECTOR_URL": stack.api_url, "VISIONDIRECTOR_TOKEN": stack.token}
    program = "from tests.acceptance.test_batch_upload import *; send(Client(transport=Stalling()))"
    with subprocess.Popen([sys.executable, "-c", program], cwd=CHECKOUT, env=environment) as sender:
        while not received(stack):
            assert sender.poll() is None, "it broke"
            time.sleep(0.02)
        sender.kill()

    asked: list[httpx.Request] = []
    client._http.event_hooks["request"].append(asked.append)
    made = send(client)
    assert (made.total, made.counts.waiting, made.repeated) == (LINES, LINES, False)
    posts = [request for request in asked if request.method == "POST"]
    assert int(posts[-1].headers["Upload-Offset"]) > 0
    names = [item.custom_id for item in client.batch_items(made.id)]
    assert names == [f"poster-{n}" for n in range(LINES)]

    assert send(client).repeated
    assert client.cancel_batch(made.id).counts.cancelled == LINES
    assert sum(1 for _ in client.batch_results(made.id)) == LINES
