"""Tokens, keys and passwords that are planted stay where they were planted: nothing that anybody reads shows them."""

import base64
import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest
from redis import Redis

from infra.servers import CHECKOUT, free_port, redis_server, s3_server
from tasks.settings import PREFIX, Settings
from tasks.store import S3Store
from tests.support.api import png
from tests.support.place import until

TOKEN, OTHER, KEY, PASSWORD = "planted-token", "planted-other", "planted-s3-secret", "planted-redis-password"
PLANTED = (TOKEN, OTHER, KEY, PASSWORD)


def clean(text: str, where: str) -> None:
    assert not [secret for secret in PLANTED if secret in text], f"{where} shows a secret"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        f"{PREFIX}TOKENS": f'{{"alice": "{TOKEN}", "ops": {{"token": "{OTHER}", "scopes": ["operate"]}}}}',
        f"{PREFIX}S3_SECRET_KEY": KEY, f"{PREFIX}S3_ACCESS_KEY": "visiondirector",
        f"{PREFIX}API_PORT": str(free_port()), f"{PREFIX}RUN_DIR": str(tmp_path / "run"),
    }  # fmt: skip


def test_no_log_answer_message_or_object_shows_a_secret(tmp_path: Path, environment: dict[str, str]) -> None:
    answers: list[str] = []
    log = tmp_path / "log.txt"
    with ExitStack() as stack, log.open("wb") as out:
        redis = stack.enter_context(redis_server(tmp_path / "redis", password=PASSWORD))
        s3 = stack.enter_context(s3_server(tmp_path / "s3", secret=KEY))
        environment |= {
            f"{PREFIX}BROKER_URL": redis.url, f"{PREFIX}LEDGER_URL": redis.url, f"{PREFIX}S3_ENDPOINT": s3.url,
        }  # fmt: skip
        assert PASSWORD in redis.url
        url = f"http://127.0.0.1:{environment[f'{PREFIX}API_PORT']}"
        for words in (["api.app"], ["worker.cli", "reconcile"], ["worker.cli", "start", "--seats", "planner,control"]):
            process = subprocess.Popen(
                [sys.executable, "-m", *words], cwd=CHECKOUT, env=environment, stdout=out, stderr=subprocess.STDOUT
            )
            stack.callback(lambda process=process: (process.terminate(), process.wait(30)))
        client = stack.enter_context(httpx.Client(base_url=url, trust_env=False, timeout=30))

        def ask(method: str, path: str, token: str = TOKEN, **more: object) -> httpx.Response:
            response = client.request(method, path, headers={"Authorization": f"Bearer {token}"}, **more)  # pyright: ignore[reportArgumentType]
            answers.append(f"{response.headers}{response.text if 'image' not in path else ''}")
            return response

        until(lambda: answered(url) == 200, 60)
        image = ask("PUT", "/v1/images", content=png()).json()["image"]
        id = ask("POST", "/v1/jobs", json={"brief": {"text": "A lamp", "source": image}}).json()["id"]
        until(lambda: ask("GET", f"/v1/jobs/{id}").json()["step"] > 0, 60)
        for path in ("", "/attempts", "/trajectory", "/report", "/nothing"):
            ask("GET", f"/v1/jobs/{id}{path}")
        ask("GET", "/v1/jobs", OTHER)
        ask("GET", "/v1/jobs", f"{TOKEN}x")
        ask("POST", f"/v1/jobs/{id}/cancel")
        ask("GET", "/metrics")
        ask("GET", f"/v1/jobs?label={'x' * 70}")
        os.kill(redis.pid, signal.SIGSTOP)
        try:
            assert ask("GET", f"/v1/jobs/{id}").status_code == 503
        finally:
            os.kill(redis.pid, signal.SIGCONT)
        until(lambda: ask("GET", f"/v1/jobs/{id}").status_code == 200)
        told, stored = in_redis(redis.url), in_storage(environment)
    # Had these not been read, they would be clean, too.
    assert "A lamp" in told
    assert "A lamp" in stored
    assert "answered" in log.read_text(errors="replace")
    clean(told, "Redis, and so Flower,")
    clean(stored, "storage")
    clean("".join(answers), "an answer")
    clean(log.read_text(errors="replace"), "a log")


def answered(url: str) -> int:
    try:
        return httpx.get(f"{url}/readyz", trust_env=False, timeout=10).status_code
    except httpx.TransportError:
        return 0


def in_redis(url: str) -> str:
    """What every key holds, messages unwrapped: the ledger, and what Flower is told of tasks."""
    with Redis.from_url(url, decode_responses=True) as redis:
        read = {"string": redis.get, "hash": redis.hgetall, "set": redis.smembers}
        read |= {"list": lambda key: redis.lrange(key, 0, -1), "zset": lambda key: redis.zrange(key, 0, -1)}
        read |= {"none": lambda key: ""}  # it was taken meanwhile
        found = [f"{key}{read[redis.type(key)](key)}" for key in redis.scan_iter("*")]
    bodies = re.findall(r'"body": ?"([A-Za-z0-9+/=]+)"', "".join(found).replace("\\", ""))
    return "".join([*found, *(base64.b64decode(body).decode(errors="replace") for body in bodies)])


def in_storage(environment: dict[str, str]) -> str:
    with closing(S3Store(settings_of(environment))) as store:
        return "".join(f"{key}{store.get(key)[:100_000]!r}" for key in store.list(""))


def settings_of(environment: dict[str, str]) -> Settings:
    names = {"s3_endpoint", "s3_access_key", "s3_secret_key"}
    return Settings.model_validate({name: environment[f"{PREFIX}{name.upper()}"] for name in names})
