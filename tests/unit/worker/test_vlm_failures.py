"""What a sick VLM server means, row by row: over real sockets, with the words that real servers use."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from email.utils import formatdate

import httpx2
import pytest
from pydantic import ValidationError

from director.errors import Actor, PlannerError, boundary
from tests.support.contexts import RecordingContext
from tests.support.scripted_openai import Scripted, ScriptedServer, fails, says, scripted
from tests.support.vlm_desk import EXTRACT, GOOD, config
from worker.vlm.config import PlannerConfig, Server
from worker.vlm.failures import VlmRefused, VlmUnavailable, retry_after
from worker.vlm.seats import open_vlm_seats

LONG = "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens"


def failed(url: str, environ: dict[str, str] | None = None, **settings: object) -> PlannerError:
    """What a planner on that server raises."""
    with ExitStack() as resources:
        planner = {f"planner_{name}": value for name, value in settings.items()}
        seats = open_vlm_seats(config(url, **planner), resources, environ or {})
        with pytest.raises(PlannerError) as failure, boundary(PlannerError):
            seats.planner.extract(EXTRACT, RecordingContext())
    return failure.value


def answered(answer: Scripted, **settings: object) -> tuple[PlannerError, ScriptedServer]:
    with scripted(answer) as server:
        error = failed(server.url, **settings)
    assert error.resource == f"{server.url} (scripted)"
    assert error.fix
    return error, server


# --- answers ----------------------------------------------------------------------------------

STATUS = [
    # status, what the server says, who has to act, times asked
    (400, "Invalid schema: prefixItems", "operator", 1),
    (400, "LoRA adapter 'vd-planner' was requested, but it has never been loaded", "operator", 1),
    (400, "'max_tokens' is too large: 4096. This model's maximum context length is 8192 tokens", "operator", 1),
    (400, "Invalid response_format.json_schema.name: string too long", "operator", 1),
    (400, "This model's maximum context length is 4096 tokens. However, you requested 6000 tokens", "operator", 1),
    (400, LONG, "user", 1),
    (400, "Requested token count exceeds the model's maximum context length of 8192 tokens.", "user", 1),
    (400, "The input (9123 tokens) is longer than the model's context length (8192 tokens).", "user", 1),
    (400, "prompt is too long: 208310 tokens > 200000 maximum", "user", 1),
    (400, "The input token count (9000) exceeds the maximum number of tokens allowed (8192).", "user", 1),
    (400, "too many input tokens", "user", 1),
    (400, "context_length_exceeded", "user", 1),
    (400, "messages.0.content.1: image exceeds 5 MB maximum", "user", 1),
    (400, "The image is too large", "user", 1),
    (400, "Your request was rejected as a result of our safety system", "user", 1),
    (400, "content_policy_violation", "user", 1),
    (400, "no", "operator", 1),
    (401, "Incorrect API key provided", "operator", 1),
    (401, "the prompt is too long", "operator", 1),
    (402, "no credit", "operator", 1),
    (403, "forbidden", "operator", 1),
    (404, "The model `x` does not exist", "operator", 1),
    (405, "Method Not Allowed", "operator", 1),
    (408, "timeout", "outage", 2),
    (409, "conflict", "operator", 1),
    (410, "gone", "operator", 1),
    (413, "413 Request Entity Too Large", "operator", 1),
    (413, "The input is too large: too many tokens", "user", 1),
    (422, "Field required: messages", "operator", 1),
    (422, "prompt too long", "user", 1),
    (425, "too early", "outage", 2),
    (429, "rate limited", "outage", 2),
    (429, "the prompt is too long", "outage", 2),
    (500, "Internal Server Error", "outage", 2),
    (501, "no", "outage", 2),
    (502, "Bad Gateway", "outage", 2),
    (503, "loading weights", "outage", 2),
    (504, "the prompt is too long", "outage", 2),
    (529, "overloaded", "outage", 2),
]


@pytest.mark.parametrize(("status", "said", "actor", "asked"), STATUS)
def test_a_status_says_who_has_to_act(status: int, said: str, actor: str, asked: int):
    error, server = answered(fails(status, said))
    assert error.actor is Actor(actor)
    assert len(server.requests) == asked
    assert server.url in error.message and said in error.message


BODIES = [
    # body, who has to act: the words are found where each kind of server puts them
    ({"error": {"message": LONG, "code": 400}}, "user"),
    ({"object": "error", "message": LONG}, "user"),
    ({"detail": LONG}, "user"),
    ({"error": {"message": "Bad", "code": "context_length_exceeded"}}, "user"),
    ({"error": LONG}, "user"),
    ({"detail": [{"msg": "Field required", "loc": ["body"], "input": "a poem on 'too many tokens'"}]}, "operator"),
    ({"error": {"message": "Bad", "request": {"messages": ["the prompt is too long"]}}}, "operator"),
    ([LONG], "user"),
    (None, "operator"),
    (7, "operator"),
]


@pytest.mark.parametrize(("body", "actor"), BODIES)
def test_only_the_servers_own_words_blame_the_brief(body: object, actor: str):
    error, _ = answered(Scripted(json.dumps(body).encode(), 400))
    assert error.actor is Actor(actor)


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"<html>400</html>", b"{"])
def test_a_refusal_without_words_is_the_operators(body: bytes):
    error, _ = answered(Scripted(body, 400))
    assert error.actor is Actor.OPERATOR


ERRORS_WITH_200 = [
    ({"object": "error", "message": "out of memory"}, "outage", 2),
    ({"object": "error"}, "outage", 2),
    ({"error": {"message": "upstream is away", "code": 502}}, "outage", 2),
    ({"object": "error", "message": "Invalid schema: too many tokens in the grammar"}, "outage", 2),
    ({"object": "error", "message": LONG}, "user", 1),
    ({"object": "error", "message": "Input is too long: too many tokens"}, "user", 1),
]


@pytest.mark.parametrize(("body", "actor", "asked"), ERRORS_WITH_200)
def test_an_error_that_comes_with_200(body: object, actor: str, asked: int):
    error, server = answered(Scripted(json.dumps(body).encode()))
    assert error.actor is Actor(actor)
    assert len(server.requests) == asked


@pytest.mark.parametrize(
    "answer",
    [
        Scripted(b"<html>We are back soon</html>", headers={"Content-Type": "text/html; charset=utf-8"}),
        Scripted(b""),
        Scripted(b"\n", headers={"Content-Type": "text/html"}),
    ],
)
def test_a_page_in_place_of_an_answer_is_an_outage(answer: Scripted):
    error, server = answered(answer)
    assert error.actor is Actor.OUTAGE
    assert "came with status 200" in error.message
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "body", [{"detail": [{"msg": "field required"}]}, {"detail": "field required"}, {"error": "field required"}]
)
def test_the_servers_words_are_told_wherever_they_stand(body: object):
    error, _ = answered(Scripted(json.dumps(body).encode(), 422))
    assert error.message.count("field required") == 1


def test_a_completion_that_speaks_of_errors_is_none():
    with scripted(says('{"error": "object"}'), GOOD) as server, ExitStack() as resources:
        seats = open_vlm_seats(config(server.url), resources, {})
        assert seats.planner.extract(EXTRACT, RecordingContext()).goals
        assert len(server.requests) == 2  # asked again, as for any reply that can't be read


def test_a_reply_that_stays_malformed_is_the_seats():
    with scripted(says("no JSON")) as server:
        error = failed(server.url)
    assert (error.actor, error.resource) == (Actor.SEAT, "")


def test_an_outage_that_passes_is_not_seen():
    with scripted(Scripted(b'{"object": "error", "message": "busy"}'), GOOD) as server, ExitStack() as resources:
        context = RecordingContext()
        assert open_vlm_seats(config(server.url), resources, {}).planner.extract(EXTRACT, context).goals
        assert (context.counts["vlm_calls"], context.counts["vlm_retries"]) == (2, 1)


# --- no answer --------------------------------------------------------------------------------


@contextmanager
def listening(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """A port whose every connection is treated so."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                kept.append(connection)
                behave(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}/v1"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in kept:
            connection.close()


def hangs(connection: socket.socket) -> None:
    pass


def resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    connection.close()


def closes(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.close()


def babbles(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    connection.close()


def breaks_off(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{")
    connection.close()


def drips(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n")
    with suppress(OSError):
        for _ in range(30):
            connection.sendall(b" ")
            time.sleep(0.1)
    connection.close()


def test_a_server_that_sends_a_byte_now_and_then_is_an_outage():
    with listening(drips) as place:
        error = failed(f"http://{place}", deadline_s=0.5)
    assert error.actor is Actor.OUTAGE
    assert "0.5 s of this step are used" in error.message


@pytest.mark.parametrize("behave", [resets, closes, babbles, breaks_off, hangs], ids=lambda behave: behave.__name__)
def test_a_connection_that_leads_to_no_answer_is_an_outage(behave: Callable[[socket.socket], None]):
    with listening(behave) as place:
        error = failed(f"http://{place}", timeout_s=0.3)
    assert (error.actor, error.resource) == (Actor.OUTAGE, f"http://{place} (scripted)")


def test_a_server_that_is_away_is_an_outage_and_says_where():
    with scripted(GOOD) as gone:
        url = gone.url
    error = failed(url)
    assert error.actor is Actor.OUTAGE
    assert url in error.message and "refused" in error.message


@pytest.mark.parametrize(
    "url",
    ["http://no-such-host.invalid/v1", f"http://{'a' * 80}.example/v1", "http://a b/v1"],
)
def test_a_url_that_leads_nowhere_is_the_operators(url: str):
    settings = PlannerConfig.model_construct(model="scripted", url=url)
    made = config("http://x/v1").model_copy(update={"planner": settings})
    with ExitStack() as resources, pytest.raises(PlannerError) as failure, boundary(PlannerError):
        open_vlm_seats(made, resources, {}).planner.extract(EXTRACT, RecordingContext())
    assert (failure.value.actor, "url" in failure.value.fix) == (Actor.OPERATOR, True)


@pytest.mark.parametrize(
    "url", ["http:///v1", "http://a:99999/v1", "http://[::1/v1", "http://ü..x/v1", "http://a:b/v1"]
)
def test_a_url_that_is_none_is_refused_at_the_start(url: str):
    with pytest.raises(ValidationError, match="url"):
        Server(url=url, model="m")


def test_tls_that_fails_is_the_operators():
    with listening(babbles) as place:
        error = failed(f"https://{place}")
    assert error.actor is Actor.OPERATOR
    assert "certificate" in error.fix


@pytest.mark.parametrize("key", ["kéy", "key\nx-more: 1"])
def test_a_key_that_no_header_holds_is_the_operators_and_is_not_told(key: str):
    with scripted(GOOD) as server:
        error = failed(server.url, {"VLM_KEY": key}, api_key_env="VLM_KEY")
    assert error.actor is Actor.OPERATOR
    assert key not in str(error) and "x-more" not in str(error)
    assert error.__cause__ and error.__cause__.__suppress_context__


# --- when to come back ------------------------------------------------------------------------

NOW = 1_790_000_000


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"retry-after": "20"}, 20),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "soon"}, 0),
        ({"retry-after": ""}, 0),
        ({"retry-after": "nan"}, 0),
        ({"retry-after": "1e999"}, 0),
        ({"retry-after": formatdate(NOW + 90, usegmt=True), "date": formatdate(NOW, usegmt=True)}, 90),
        ({"retry-after": formatdate(NOW - 90, usegmt=True), "date": formatdate(NOW, usegmt=True)}, 0),
        ({"retry-after": "Sat, 99 Foo 2026 00:00:00 GMT"}, 0),
    ],
)
def test_retry_after_counts_seconds_or_names_a_date(headers: dict[str, str], seconds: float):
    assert retry_after(httpx2.Headers(headers)) == seconds


def test_a_date_without_the_servers_own_is_measured_by_this_clock():
    headers = httpx2.Headers({"retry-after": formatdate(time.time() + 100, usegmt=True)})
    assert 90 < retry_after(headers) <= 100


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_longer_than_the_step_is_told_and_not_waited_for(status: int):
    answer = Scripted(b"{}", status, headers={"Retry-After": "3000"})
    error, server = answered(answer)
    assert (error.actor, error.retry_after_s, len(server.requests)) == (Actor.OUTAGE, 3000.0, 1)


def test_a_short_pause_is_waited_for():
    with scripted(Scripted(b"{}", 429, headers={"Retry-After": "0.3"}), GOOD) as server, ExitStack() as resources:
        began = time.monotonic()
        assert open_vlm_seats(config(server.url), resources, {}).planner.extract(EXTRACT, RecordingContext()).goals
        assert time.monotonic() - began >= 0.3


def test_the_pause_is_told_after_the_retry_too():
    error, server = answered(Scripted(b"{}", 429, headers={"Retry-After": "0.05"}))
    assert (error.retry_after_s, len(server.requests)) == (0.05, 2)


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "0"}, {"Retry-After": "soon"}])
def test_a_busy_server_that_names_no_pause_is_given_a_second(headers: dict[str, str]):
    """What names a pause is never held against a job (tests/contracts/test_holds.py)."""
    error, server = answered(Scripted(b"{}", 429, headers=headers))
    assert (error.actor, error.retry_after_s, len(server.requests)) == (Actor.OUTAGE, 1.0, 2)


def test_so_is_one_that_says_it_with_200():
    error, _ = answered(Scripted(json.dumps({"error": {"message": "rate limited", "code": 429}}).encode()))
    assert (error.actor, error.retry_after_s) == (Actor.OUTAGE, 1.0)


def test_the_two_kinds_name_who_has_to_act_by_themselves():
    assert (VlmUnavailable("x").actor, VlmRefused("x").actor) == (Actor.OUTAGE, Actor.OPERATOR)
