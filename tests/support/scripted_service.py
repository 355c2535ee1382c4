"""A service that answers from a list: what it was asked stays in `asked`."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from api.client import Client

JOB = "0a0a0a0a-0000-5000-8000-00000000000a"
Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


@dataclass
class Scripted:
    """Gives the answers in their order; `slept` are the pauses that the client took."""

    answers: Iterator[Answer]
    asked: list[httpx.Request] = field(default_factory=list[httpx.Request])
    slept: list[float] = field(default_factory=list[float])

    def client(self, token: str | None = None) -> Client:
        return Client(
            "http://service.test", token, transport=httpx.MockTransport(self._answer), sleep=self.slept.append
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)


Cli = Callable[..., tuple[int, str, Scripted]]
"""Runs a command line: exit code, output and service. The fixture `cli` of tests/unit/api gives one."""


def scripted(*answers: Answer) -> Scripted:
    return Scripted(iter(answers))


def job(status: str = "queued", stop: str = "", **more: Any) -> dict[str, Any]:
    return {"id": JOB, "title": "a lamp", "status": status, "stop": stop, **more}


def problem(status: int, title: str, **more: Any) -> httpx.Response:
    headers = {"Content-Type": "application/problem+json", **more.pop("headers", {})}
    return httpx.Response(status, json={"title": title, "status": status, **more}, headers=headers)


def event(id: str, kind: str, data: dict[str, Any]) -> bytes:
    place = f"id: {id}\n" if id else ""
    return f"{place}event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def stream(*pieces: bytes | Exception) -> httpx.Response:
    """An event stream that breaks where an exception stands."""

    def chunks() -> Iterable[bytes]:
        for piece in pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    return httpx.Response(200, content=chunks(), headers={"Content-Type": "text/event-stream"})
