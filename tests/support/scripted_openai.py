"""A small OpenAI-compatible server that plays a script, for replies that a real model can't be made to give."""

import hashlib
import json
import math
import re
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Request = dict[str, Any]


@dataclass(frozen=True)
class Scripted:
    """What the server answers, after `wait` seconds."""

    body: bytes
    status: int = 200
    wait: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


Answer = Scripted | Callable[[Request], Scripted]


def says(text: str | None, finish: str = "stop", **more: object) -> Scripted:
    """A chat completion with this content."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish, **more}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    details = {"prompt_tokens_details": {"cached_tokens": 60}}
    return Scripted(json.dumps({"id": "x", "object": "chat.completion", "created": 0, "model": "scripted",
                                "choices": [choice], "usage": {**usage, **details}}).encode())  # fmt: skip


def fills(value: object) -> Scripted:
    """A chat completion with a JSON object."""
    return says(json.dumps(value))


def weighs(**tokens: float) -> Scripted:
    """A one-word answer with these probabilities of its first token."""
    top = [{"token": token, "logprob": math.log(weight), "bytes": None} for token, weight in tokens.items()]
    first = max(top, key=lambda each: each["logprob"])
    return says(str(first["token"]), "length", logprobs={"content": [{**first, "top_logprobs": top}]})


def fails(status: int, message: str = "no") -> Scripted:
    """An error as the API words it."""
    return Scripted(json.dumps({"object": "error", "message": message, "code": status}).encode(), status)


@dataclass
class ScriptedServer:
    """Plays `answers` in order, the last one for ever. `requests` are the bodies that came."""

    answers: list[Answer]
    models: tuple[str, ...] = ("scripted",)
    requests: list[Request] = field(default_factory=list[Request])
    url: str = ""
    closed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: Request) -> Scripted:
        with self.lock:
            self.requests.append(request)
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(request) if callable(answer) else answer


@contextmanager
def scripted(*answers: Answer, models: tuple[str, ...] = ("scripted",), port: int = 0) -> Generator[ScriptedServer]:
    """The server, running."""
    script = ScriptedServer(list(answers), models)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            assert self.path == "/v1/chat/completions"
            self.send(script.answer(request))

        def do_GET(self) -> None:
            assert self.path == "/v1/models"
            models = [{"id": name, "object": "model", "created": 0, "owned_by": "script"} for name in script.models]
            self.send(Scripted(json.dumps({"object": "list", "data": models}).encode()))

        def send(self, answer: Scripted) -> None:
            time.sleep(answer.wait)
            if script.closed:  # connections that are kept open end with the server
                self.close_connection = True
                return
            try:
                self.send_response(answer.status)
                headers = {
                    "Content-Type": "application/json",
                    "Content-Length": str(len(answer.body)),
                    **answer.headers,
                }
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)
            except OSError:
                self.close_connection = True  # the caller did not wait

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    script.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield script
    finally:
        script.closed = True
        server.shutdown()
        thread.join()
        server.server_close()


def plays_all_seats(request: Request) -> Scripted:
    """What a planner, a judge and a verifier without an opinion say: one goal, which every picture meets."""
    schema = request["response_format"]["json_schema"]["schema"]
    names = schema["properties"]
    if "goals" in names:
        goal = {"clauses": [1], "type": "add_object", "scope": "local", "region": None, "count": None, "parents": []}
        return fills({"goals": [{**goal, "conflicts": [], "must_have": False, "feasibility": 80}]})
    if "instruction" in names:
        return fills({"instruction": "A red cup stands in the middle.", "region": None})
    return fills({name: {"seen": "a red cup", "achieved": "yes", "confidence": 95} for name in names})


def plays_with_opinions(request: Request) -> Scripted:
    """As a planner, a judge and a verifier, always the same of the same request: a goal for each clause, some unmet."""
    schema = request["response_format"]["json_schema"]["schema"]
    names, text = schema["properties"], question(request)
    if "goals" in names:
        clauses = re.findall(r"^([0-9]+)\. .*\n(?: +string ([0-9]+):)?", text, re.MULTILINE)
        return fills({"goals": [_goal(int(clause), int(string) if string else None) for clause, string in clauses]})
    if "instruction" in names:
        wanted = re.findall(r"^g[0-9]+ · \w+: (.*)$", text.split(">>>")[0], re.MULTILINE)
        return fills({"instruction": ". ".join(wanted), "region": None})
    digest = hashlib.sha256(json.dumps(request["messages"]).encode()).digest()
    if "best" in names:
        scores = [digest[n] % 101 for n in range(names["scores"]["minItems"])]
        return fills({"best": scores.index(max(scores)) + 1, "scores": scores, "why": "it pleases more"})
    unmet = {name for n, name in enumerate(names) if digest[n % 32] < 100}
    said = {True: {"seen": "nothing", "achieved": "no"}, False: {"seen": "what was asked for", "achieved": "yes"}}
    return fills({name: {**said[name in unmet], "confidence": 95} for name in names})


def _goal(clause: int, string: int | None) -> dict[str, object]:
    kind, scope = ("text", "text") if string else ("add_object", "local")
    about = {"clauses": [clause], "type": kind, "string": string, "scope": scope, "region": None}
    return {**about, "count": None, "parents": [], "conflicts": [], "must_have": False, "feasibility": 80}


def question(request: Mapping[str, Any]) -> str:
    """The text of the user's turn, before, between and behind the pictures."""
    content = request["messages"][1]["content"]
    return "\n".join(part["text"] for part in content if part["type"] == "text")
