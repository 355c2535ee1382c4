import logging
from pathlib import Path

import httpx
import pytest

from api.client.connection import is_loopback
from tasks.logs import Logfmt
from tasks.settings import BadSettings
from tests.support.api import ALICE, House, browse

PRIVATE = [
    ("POST", "/v1/jobs"), ("GET", "/v1/jobs/x"), ("GET", "/v1/jobs/x/events"), ("GET", "/v1/jobs/x/image"),
    ("GET", "/v1/jobs/x/trajectory"), ("POST", "/v1/jobs/x/cancel"), ("PUT", "/v1/images"), ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/x/attempts"), ("POST", "/v1/jobs/x/requeue"), ("DELETE", "/v1/jobs/x"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), PRIVATE)
@pytest.mark.parametrize(
    "header", [None, "Bearer wrong", "Bearer ", "Basic YWxpY2U6YWxpY2U=", "alice-token", "Bearer älice"]
)
def test_without_a_known_token_nothing_is_told(house: House, method: str, path: str, header: str | None) -> None:
    headers = {"Authorization": header.encode()} if header else {}
    with browse(house.app()) as client:
        response = client.request(method, path, content=b"{", headers=headers)
    assert response.status_code == 401
    assert "Bearer" in response.headers["WWW-Authenticate"]
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "wrong" not in response.text


def test_a_token_names_its_owner(house: House, alice: httpx.Client) -> None:
    id = alice.post("/v1/jobs", json={"brief": "A lamp"}).json()["id"]
    assert house.archive.load_job(id).owner == "alice"


def test_tokens_are_never_logged(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with browse(house.app(), **ALICE) as client:
        client.post("/v1/jobs", json={"brief": "A lamp"})
        client.get("/v1/jobs/a%0Ab")
    own = [Logfmt().format(record) for record in caplog.records if record.name == "visiondirector.api"]
    assert [line.partition("method=")[2].partition(" seconds=")[0] for line in own] == [
        "POST path=/v1/jobs status=202",
        "GET path=/v1/jobs/a%0Ab status=404",
    ]
    assert "alice-token" not in caplog.text


def test_without_tokens_only_this_machine_may_call(tmp_path: Path) -> None:
    house = House(tmp_path, tokens={})
    body = {"brief": "A lamp"}
    with browse(house.app()) as client:
        id = client.post("/v1/jobs", json=body).json()["id"]
        for name, value in {"Host": "rebound.example", "Origin": "https://evil.example"}.items():
            assert client.post("/v1/jobs", json=body, headers={name: value}).status_code == 403
        assert client.post("/v1/jobs", json=body, headers={"Origin": "http://localhost:8100"}).status_code == 202
    assert house.archive.load_job(id).owner == "local"
    with browse(house.app(), host="192.0.2.7") as client:
        assert client.post("/v1/jobs", json=body).status_code == 403


def test_terms_of_somebody_without_a_token_are_named(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.app(owners={"alice": {}, "bobb": {}, "zoe": {}})
    assert [record.message for record in caplog.records] == [
        "VISIONDIRECTOR_OWNERS names bobb, who has no token here: did you mean bob?",
        "VISIONDIRECTOR_OWNERS names zoe, who has no token here",
    ]


def test_without_tokens_it_refuses_to_listen_elsewhere(tmp_path: Path) -> None:
    house = House(tmp_path, tokens={})
    with pytest.raises(BadSettings, match=r"0\.0\.0\.0 without tokens"):
        house.app(api_host="0.0.0.0")
    house.app(api_host="::1")
    House(tmp_path).app(api_host="0.0.0.0")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("192.168.1.1", False), ("localhost.evil.example", False), ("", False),
    ],
)  # fmt: skip
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/x", "/nothing", "/healthz", "/v1/openapi.json", "/metrics"])
def test_no_answer_is_guessed_at_kept_or_framed(alice: httpx.Client, path: str) -> None:
    headers = alice.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "private, no-store"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
