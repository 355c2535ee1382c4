"""The message of a hint that a script of the ledger writes is the one that Celery would send."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from celery import Celery
from redis import Redis

from infra.servers import redis_server
from tasks.app import make_app, message_writer, send_hint
from tasks.jobs import JobStatus
from tasks.ledger.types import CONTROL, Hint, HintMessage, Next
from tasks.settings import Settings
from tests.support.ledgers import RENDER, LedgerRig, entry, on_server, patient
from tests.support.real_worker import Rows, until, worker


@dataclass
class OneServer:
    """Broker and ledger on one Redis of their own."""

    settings: Settings
    app: Celery
    rig: LedgerRig

    @property
    def broker(self) -> "Redis":
        return self.rig.redis

    def message(self, hint: Hint) -> HintMessage:
        return message_writer(self.app, self.settings)(hint)

    def waiting(self, key: str) -> list[dict[str, Any]]:
        """The messages of a list as they will be taken: from its right end."""
        return [json.loads(text) for text in reversed(cast("list[str]", self.broker.lrange(key, 0, -1)))]

    def steps(self, key: str) -> list[list[Any]]:
        return [json.loads(base64.b64decode(message["body"]))[0] for message in self.waiting(key)]


@pytest.fixture
def one(tmp_path: Path) -> Iterator[OneServer]:
    with redis_server(tmp_path / "redis", fsync="no") as running, on_server(running.url) as rig:
        rig.open()
        settings = Settings.model_validate(
            {"broker_url": running.url, "ledger_url": running.url, "s3_endpoint": "http://127.0.0.1:1"}
        )
        yield OneServer(settings, make_app(settings), rig)


def test_it_is_what_celery_sends(one: OneServer) -> None:
    sent, written = entry("job-1").hint, entry("job-2").hint
    send_hint(one.app, sent)
    assert one.rig.ledger.create(entry("job-2"), one.message(written))
    first, second = one.waiting("planner:6")
    assert one.steps("planner:6") == [["job-1", 0, sent.title], ["job-2", 0, written.title]]
    for message in (first, second):
        id = message["headers"]["id"]
        assert (message["headers"].pop("root_id"), message["properties"].pop("correlation_id")) == (id, id)
        message["headers"].pop("id")
        message["properties"].pop("delivery_tag")
        message.pop("body")
    assert json.dumps(first) == json.dumps(second).replace("job-2", "job-1")
    assert one.broker.smembers("_kombu.binding.planner")


@pytest.mark.parametrize(("priority", "key"), [(0, "planner"), (1, "planner"), (3, "planner:3"), (9, "planner:9")])
def test_it_lies_on_the_list_of_its_priority(one: OneServer, priority: int, key: str) -> None:
    made = entry(priority=priority)
    assert one.rig.ledger.create(made, one.message(made.hint))
    assert one.steps(key) == [["job-1", 0, made.title]]


def test_a_following_step_goes_before_all_and_a_first_step_behind(one: OneServer) -> None:
    ledger = one.rig.ledger
    for job in ("a", "b"):
        made = entry(job, next=RENDER)
        ledger.create(made, one.message(made.hint))
    for job in ("c", "d"):
        ledger.create(entry(job))
        claim = one.rig.claimed(0, job)
        hint = RENDER.hint(job, 1, "title", 6)
        assert ledger.commit(job, 0, claim.nonce, f"key-{job}", RENDER, message=one.message(hint)) == "ok"
    send_hint(one.app, RENDER.hint("e", 2, "sent again", 6))
    send_hint(one.app, RENDER.hint("f", 0, "sent again", 6))
    assert [step[:2] for step in one.steps("editor.flux:6")] == [
        ["e", 2], ["d", 1], ["c", 1], ["a", 0], ["b", 0], ["f", 0],
    ]  # fmt: skip


def test_it_is_written_once_and_only_with_the_commit(one: OneServer) -> None:
    ledger, key = one.rig.ledger, "editor.flux:6"
    made = entry()
    assert ledger.create(made, one.message(made.hint))
    assert not ledger.create(made, one.message(made.hint))
    assert len(one.waiting("planner:6")) == 1
    claim, message = one.rig.claimed(), one.message(RENDER.hint("job-1", 1, "title", 6))
    assert ledger.commit("job-1", 0, "another", "key-0", RENDER, message=message) == "refused"
    ledger.cancel("job-1")
    assert ledger.commit("job-1", 0, claim.nonce, "key-0", RENDER, message=message) == "cancel"
    assert one.waiting(key) == []
    stopped = (claim.nonce, "key-0", None, JobStatus.CANCELLED, "cancelled")
    assert ledger.commit("job-1", 0, *stopped, acknowledge_cancel=True, message=message) == "ok"
    assert one.waiting(key) == []
    one.rig.submit("job-2")
    other, message = one.rig.claimed(0, "job-2"), one.message(RENDER.hint("job-2", 1, "title", 6))
    for _ in range(2):  # its answer was lost
        assert ledger.commit("job-2", 0, other.nonce, "key-0", RENDER, message=message) == "ok"
    assert one.steps(key) == [["job-2", 1, "title"]]


def test_it_is_not_written_to_another_server(one: OneServer) -> None:
    ledger_url = one.settings.ledger_url.replace("/0", "/1")
    two = one.settings.model_copy(update={"ledger_url": ledger_url})
    assert message_writer(make_app(two), two)(entry().hint) == ()


def test_without_a_server_it_is_sent_later(one: OneServer) -> None:
    gone = one.settings.model_copy(update=dict.fromkeys(("broker_url", "ledger_url"), "redis://127.0.0.1:1/0"))
    assert message_writer(make_app(gone), gone)(entry().hint) == ()


def test_a_worker_takes_it_and_flower_shows_it(one: OneServer, tmp_path: Path) -> None:
    ledger = one.rig.ledger
    prefix, ledger.prefix = ledger.prefix, "vd:"  # the worker's
    one.rig.open()
    control, plain = Next(queue=CONTROL, kind="plan"), patient(one.settings.broker_url)
    with Rows(one.app) as rows:
        for job in ("taken", "revoked"):
            made = entry(job, next=control, step=3)
            assert ledger.create(made, one.message(made.hint))
        until(lambda: list(rows.states.values()) == ["sent", "sent"])
        by_job = {step[0]: message["headers"]["id"] for step, message in
                  zip(one.steps("control:6"), one.waiting("control:6"), strict=True)}  # fmt: skip
        assert set(by_job.values()) == set(rows.states)
        with worker(one.settings, tmp_path / "log"):
            until(lambda: "control" in ledger.served())
            # What it took of the first two ended: storage is out of reach. What is revoked never begins.
            until(lambda: rows.states[by_job["taken"]] == "failed")
            one.app.control.revoke(id := "5f1f4d1e-0000-4000-8000-000000000000")
            until(lambda: any(id in known for known in (one.app.control.inspect().revoked() or {}).values()))
            kept = one.message(control.hint("later", 4, "t", 6))
            ledger.create(entry("later", next=control, step=4), tuple(word.replace(_id_in(kept), id) for word in kept))
            until(lambda: rows.states.get(id) == "revoked")
            until(lambda: plain.hlen("unacked") == 0)
    ledger.prefix = prefix


def _id_in(message: HintMessage) -> str:
    return json.loads(message[2])["headers"]["id"]


def test_a_claim_finds_what_the_message_says(one: OneServer) -> None:
    one.rig.submit()
    claim = one.rig.claimed()
    message = one.message(RENDER.hint("job-1", 1, "title", 6))
    assert one.rig.ledger.commit("job-1", 0, claim.nonce, "key-0", RENDER, message=message) == "ok"
    ((job, n, _),) = one.steps("editor.flux:6")
    assert one.rig.claimed(n, job).kind == "render"
