"""The calls about hooks: addresses that are told what becomes of batches and jobs."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from pydantic import BaseModel

from .connection import Connection


class Hook(BaseModel):
    """An address that is told. `off` says why it is not any more. Times are in seconds since the epoch.

    `waiting` counts notices that will be tried, the first of them at `next_try`, and `dead` those that were given up.
    `error` is what went wrong at `failed`, the last time that one of these was tried.
    `secret` checks what comes (Standard Webhooks). Only `add_hook` and `rotate_hook` give it.
    """

    id: str
    url: str
    events: tuple[str, ...] = ()
    created: float = 0.0
    off: str = ""
    waiting: int = 0
    next_try: float | None = None
    dead: int = 0
    error: str = ""
    failed: float | None = None
    secret: str | None = None


class HookTest(BaseModel):
    """What came of a test; `status` is the receiver's, 0 for none."""

    ok: bool
    status: int = 0
    error: str = ""


class _Hooks(BaseModel):
    hooks: tuple[Hook, ...] = ()


class _Replayed(BaseModel):
    notices: int


class HookCalls(Connection):
    """What `Client` can do with hooks."""

    def add_hook(self, url: str, events: Iterable[str] | None = None) -> Hook:
        """Be told at https://… or mailto:…. Without `events` of every transition of your batches.

        The event `job.ended` is told of each job, too.
        """
        body = {"url": url, **({} if events is None else {"events": list(events)})}
        return Hook.model_validate_json(self._send("POST", "/v1/hooks", json=body).content)

    def hooks(self) -> list[Hook]:
        return list(_Hooks.model_validate_json(self._send("GET", "/v1/hooks").content).hooks)

    def remove_hook(self, id: str) -> None:
        self._send("DELETE", _path(id))

    def rotate_hook(self, id: str) -> Hook:
        """Give it another secret; the old one signs for a day more."""
        return Hook.model_validate_json(self._send("POST", _path(id, "/rotate")).content)

    def test_hook(self, id: str) -> HookTest:
        """Send it something now."""
        return HookTest.model_validate_json(self._send("POST", _path(id, "/test"), timeout=60).content)

    def replay_hook(self, id: str) -> int:
        """Send now what waits and what was given up, and switch it on again; how many notices."""
        return _Replayed.model_validate_json(self._send("POST", _path(id, "/replay")).content).notices


def _path(id: str, rest: str = "") -> str:
    return f"/v1/hooks/{quote(id, safe='')}{rest}"
