"""The local stack: it comes back when a program dies, and leaves nothing behind."""

import time
from pathlib import Path

import httpx
import pytest

from infra.stack import Stack
from infra.supervision import stack_processes

pytestmark = pytest.mark.acceptance


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


def test_what_dies_is_started_again_and_down_leaves_nothing(tmp_path: Path):
    # A deep checkout: unix sockets have short paths.
    var = tmp_path / ("deep" * 30) / "var"
    with Stack(var, workers=3, flower=False) as stack:
        before = stack.pids("api")
        stack.kill("api")
        end = time.monotonic() + 60
        while stack.pids("api")[:1] in ([], before[:1]) or not answers(f"{stack.api_url}/readyz"):
            assert time.monotonic() < end, "the API did not come back"
            time.sleep(0.2)
        token = (var / "token").read_text().strip()
        unknown = httpx.get(f"{stack.api_url}/v1/jobs/x", headers={"Authorization": f"Bearer {token}"}, trust_env=False)
        assert unknown.status_code == 404
        assert (var / "stack.json").stat().st_mode & 0o077 == 0
    assert list(stack_processes(var)) == []
    assert not answers(f"{stack.api_url}/healthz")
