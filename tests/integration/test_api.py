"""The API process over a real Redis and a real S3 server, spoken to through the client."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from api.client import Conflict, Event, NotFound, Unauthorized
from director.types import StopReason
from infra.servers import CHECKOUT, free_port, redis_server
from tasks.app import open_reconciler
from tasks.ledger.types import CONTROL
from tasks.nightly import note, noted
from tasks.retention import Swept
from tasks.settings import Settings
from tasks.store import S3Store
from tasks.store.marker import mark
from tests.support.api import opening, planned, png, stopped
from tests.support.place import Place, place_over, run_to_the_end, until
from worker.checks.doctor import examine


def test_a_job_from_submit_to_picture(served: Place) -> None:
    assert served.get("/readyz") == 200
    with served.client() as alice, served.client("other") as bob:
        job = alice.submit("A lamp and a chair", settings={"strategy": "one-shot"}, key="k", source=png(color="blue"))
        assert job.doing == "waiting: no worker serves planner"
        assert (
            alice.submit("A lamp and a chair", {"strategy": "one-shot"}, key="k", source=png(color="blue")).id == job.id
        )
        with pytest.raises(Conflict, match="Idempotency-Key: was used with another body"):
            alice.submit("A chair", key="k")
        worker = threading.Thread(target=run_to_the_end, args=(served, job.id, 0.3))
        worker.start()
        told: list[Event] = []
        done = alice.wait(job.id, timeout=60, on_event=told.append)
        worker.join()
        assert [event.kind for event in told] == [
            "extracted", "gated", "planned", "rendered", "verified", "decided", "stopped", "end",
        ]  # fmt: skip
        assert done.satisfied
        assert (done.goals.met, done.goals.total) == (2, 2)
        assert alice.image(job.id, metadata=False) == served.images.get(served.images.put(png()))
        assert len(alice.trajectory(job.id)["events"]) == 7
        assert list(alice.events(job.id, after=told[-1].id)) == []
        with pytest.raises(NotFound):
            bob.job(job.id)
    with served.client("wrong") as stranger, pytest.raises(Unauthorized):
        stranger.job(job.id)


def test_a_stream_survives_the_api_being_killed(place: Place) -> None:
    told: list[Event] = []
    with place.client() as alice:
        with place.api() as process:
            id = alice.submit("A lamp and a chair").id
            place.commit(id, *opening())
            reader = threading.Thread(target=lambda: alice.wait(id, timeout=60, on_event=told.append))
            reader.start()
            until(lambda: len(told) == 2)
            process.send_signal(signal.SIGKILL)
            process.wait()
        place.commit(id, planned())
        with place.api():
            place.commit(id, stopped(StopReason.BUDGET))
            reader.join(60)
    assert [event.kind for event in told] == ["extracted", "gated", "planned", "stopped", "end"]
    assert len({event.id for event in told}) == 5


def test_many_readers_and_one_that_does_not_read(served: Place) -> None:
    with served.client() as alice:
        id = alice.submit("A lamp and a chair").id

        def follow(_: int) -> list[str]:
            with served.client() as client:
                return [event.id for event in client.events(id)]

        stuck = f"{served.url}/v1/jobs/{id}/events"
        headers = {"Authorization": "Bearer secret"}
        with (
            httpx.stream("GET", stuck, headers=headers, trust_env=False),
            ThreadPoolExecutor(30) as pool,
        ):
            reading = [pool.submit(follow, n) for n in range(30)]
            served.commit(id, *opening())
            assert alice.job(id).status == "running"  # it is answered, while all of them read
            run = threading.Thread(target=lambda: [served.commit(id, planned()), served.commit(id, stopped())])
            run.start()
            seen = [future.result(30) for future in reading]
            run.join()
    assert len(seen[0]) == 5
    assert all(ids == seen[0] for ids in seen)


def test_an_open_stream_does_not_hold_up_the_end(place: Place) -> None:
    with place.client() as alice, place.api() as process:
        id = alice.submit("A lamp").id
        headers = {"Authorization": "Bearer secret"}
        with httpx.stream("GET", f"{place.url}/v1/jobs/{id}/events", headers=headers, trust_env=False) as response:
            assert response.status_code == 200
            process.terminate()
            assert process.wait(60) is not None


def test_cancel_of_a_job_whose_editor_is_gone(served: Place) -> None:
    with served.client() as alice:
        id = alice.submit("A lamp", settings={"editor": "nobody-has-it"}).id
        served.commit(id, *opening())
        assert alice.job(id).doing == "waiting: no worker serves editor.flux-krea"
        assert alice.cancel(id).doing == "waiting: no worker is up"
    record = served.ledger.get(id)
    assert record
    assert (record.cancel, record.queue) == (True, CONTROL)
    assert [control.kind for control in served.archive.controls(id)] == ["cancel"]


def test_an_outage_of_redis_costs_patience_only(tmp_path: Path, s3_settings: Settings) -> None:
    with redis_server(tmp_path) as redis, place_over(redis, s3_settings) as place, place.api():
        headers = {"Authorization": "Bearer secret"}
        with place.client() as alice:
            id = alice.submit("A lamp and a chair").id
        os.kill(redis.pid, signal.SIGSTOP)
        try:
            refused = httpx.get(f"{place.url}/v1/jobs/{id}", headers=headers, trust_env=False, timeout=30)
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
            assert place.get("/healthz") == 200
        finally:
            os.kill(redis.pid, signal.SIGCONT)
        until(lambda: place.get("/readyz") == 200)
        assert place.get("/readyz") == 200
        with place.client() as alice:
            assert alice.job(id).status == "queued"


def test_the_command_line_from_submit_to_saved_picture(served: Place, tmp_path: Path) -> None:
    environment = {**os.environ, "VISIONDIRECTOR_URL": served.url, "VISIONDIRECTOR_TOKEN": "secret"}

    def visiondirector(*words: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        command = [sys.executable, "-m", "api.cli", *words]
        return subprocess.run(
            command, cwd=CHECKOUT, env=environment, input=stdin, capture_output=True, timeout=60, check=False
        )

    words = ("-", "--title", "Room", "--key", "cli", "--label", "here")
    submitted = visiondirector("submit", *words, stdin=b"A lamp and a chair")
    assert submitted.returncode == 0, submitted.stderr
    id = submitted.stdout.decode().split()[1]
    run_to_the_end(served, id)
    watched = visiondirector("submit", *words, "--watch", "-o", str(tmp_path), stdin=b"A lamp and a chair")
    lines = watched.stdout.decode().splitlines()
    assert watched.returncode == 0, watched.stderr
    # Its goals are scripted and cover no word of the brief: "not read".
    labels = "sent goals not plan round rendered verified accepted stopped job status labels goals cost saved"
    assert [line.split()[0] for line in lines] == labels.split()
    assert (tmp_path / f"room-{id[:8]}.png").is_file()
    listed = visiondirector("list", "--status", "done", "--label", "here", "--since", "1h").stdout.decode().splitlines()
    assert [line.split("\t")[0] for line in listed] == [id]
    shown = visiondirector("show", id[:8]).stdout.decode()
    assert [line.split()[0] for line in shown.splitlines()] == [
        "job",
        "met",
        "met",
        "not",
        "status",
        "labels",
        "goals",
        "cost",
    ]
    fetched = visiondirector("fetch", id[:8], "--report", "-o", str(tmp_path / "again"))
    assert fetched.returncode == 0, fetched.stderr
    assert (tmp_path / "again" / f"room-{id[:8]}.png").read_bytes() == (tmp_path / f"room-{id[:8]}.png").read_bytes()
    assert b"Room" in visiondirector("report", id[:8], "-o", "-").stdout
    assert visiondirector("requeue", id).returncode == 2
    assert visiondirector("delete", id).returncode == 0
    assert visiondirector("show", id).returncode == 2
    assert visiondirector("list", "--label", "here").stdout == b""
    assert visiondirector("show", "no-such-job").returncode == 2
    gone = visiondirector("show", id, "--url", f"http://127.0.0.1:{free_port()}")
    assert gone.returncode == 3
    assert b"no answer" in gone.stderr


def test_it_refuses_to_stand_open(place: Place) -> None:
    environment = {**place.environment, "VISIONDIRECTOR_TOKENS": "{}", "VISIONDIRECTOR_API_HOST": "0.0.0.0"}
    done = subprocess.run(
        [sys.executable, "-m", "api.app"], cwd=CHECKOUT, env=environment, capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert b"refusing to listen on 0.0.0.0 without tokens" in done.stderr


def test_a_sweep_beside_the_running_service(place: Place) -> None:
    environment = {**place.environment, "VISIONDIRECTOR_GRACE_HOURS": "1"}

    def gc(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "api.cli", "gc", *words]
        return subprocess.run(
            command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    with place.api(), place.client() as alice:
        id = alice.submit("A lamp and a chair", source=png()).id
        unmarked = gc("--json")
        assert (unmarked.returncode, unmarked.stdout) == (2, "")
        assert "start the reconciler" in unmarked.stderr
        with closing(S3Store(place.settings)) as store:
            assert mark(store)  # as the reconciler does at its first start
        told = gc("--dry-run", "--keep-days", "1")
        assert (told.returncode, told.stdout) == (0, "would remove 0 jobs, 0 pictures, 0 blobs, 0.0 MB\n"), told.stderr
        assert gc("--json").returncode == 0
        assert alice.job(id).status == "queued"
        _by_the_reconciler(place)
        environment["VISIONDIRECTOR_S3_ENDPOINT"] = f"http://127.0.0.1:{free_port()}"
        away = gc()
        assert (away.returncode, away.stdout) == (3, "")
        assert "What was not removed is left for the next time." in away.stderr
        environment["VISIONDIRECTOR_KEEP_DAYS"] = "never"
        assert gc().returncode == 2


def _by_the_reconciler(served: Place) -> None:
    """The nightly gc: the last one is long ago. What it counted is what `doctor` holds against the quota."""
    settings = served.settings.model_copy(update={"gc_at": "04:30 UTC", "s3_quota_gb": 1e-8})
    with closing(S3Store(settings)) as store, open_reconciler(settings) as reconciler:
        note(store, 1.0, Swept())
        end = time.monotonic() + 60
        while (last := noted(store))["began"] == 1:
            assert reconciler.once()
            assert time.monotonic() < end
    [check] = [check for check in examine(settings) if check.name == "space"]
    assert (last["stored"] > 100, check.ok) == (True, False)
    assert check.found.startswith("bucket: 0 kB of 0.01 kB free, counted ")
