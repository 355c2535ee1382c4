"""A real worker over a real broker: what is no message ends nothing, and no row of Flower stays STARTED."""

from pathlib import Path

from redis import Redis

from infra.servers import redis_server
from tasks.app import make_app, send_hint
from tasks.ledger.ledger import Ledger
from tasks.ledger.types import Hint
from tasks.settings import Settings
from tests.support.ledgers import entry, patient
from tests.support.real_worker import Rows, until, worker

GARBAGE = (b"hello", b"5", b"{}", b"[1]", b'{"properties": 5}', b"\xff\xfe", b"null")


def test_garbage_and_dropped_hints(tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis", fsync="no") as running, Redis.from_url(running.url) as broker:
        settings = Settings.model_validate(
            {"broker_url": running.url, "ledger_url": running.url, "s3_endpoint": "http://127.0.0.1:1"}
        )
        app = make_app(settings)
        with Ledger(patient(running.url)) as ledger, Rows(app) as rows, worker(settings, tmp_path / "log") as process:
            assert ledger.lock_rebuild("me", 60_000)
            ledger.open_epoch("me")
            ledger.create(entry(step=3))
            until(lambda: "control" in ledger.served())
            for data in GARBAGE:
                broker.lpush("control:6", data)
            hints = [Hint(job="job-1", n=n, queue="control", kind="plan", title="a", priority=6) for n in (0, 1, 7)]
            for hint in hints:
                send_hint(app, hint)
            until(lambda: sorted(rows.states.values()) == ["succeeded"] * len(hints))
            assert process.poll() is None
            assert broker.llen("control:6") == 0
        said = (tmp_path / "log").read_text()
        assert said.count("what is no message was dropped") == len(GARBAGE), said
        assert "hint dropped: the job stands at another step" in said
        assert "Unrecoverable error" not in said
