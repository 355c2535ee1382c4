"""`visiondirector bench`: the real API in process, a worker beside it, the worker's command as grader.

Table and pictures must be those that a run in this process gives.
"""

import json
import shlex
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from httpx import ASGITransport

from api.app import Backends, create_app
from api.cli import main as visiondirector
from api.cli.bench import handed
from api.cli.parser import parser
from api.client import Client
from director.errors import BriefError
from director.seats import Studio
from tasks.ledger.types import Hint
from tasks.settings import load_settings
from tasks.steps import Host, run_step
from tests.support.api import House, InProcess
from tests.support.contexts import plain_png
from tests.support.geneval import metadata
from worker.bench import service as benchmarks
from worker.bench.record import filed_record
from worker.cli import main
from worker.sketch import sketch_studio

SMALL = ["--set", "width=192", "--set", "height=192", "--no-controls", "--strategy", "one-shot"]


@contextmanager
def service(folder: Path, studio: Studio) -> Generator[Client]:
    """The API in process, and a worker with that studio in a thread."""
    house, hints = House(folder), Queue[Hint | None]()
    settings = house.settings(renew_every_s=0.05)
    host = Host(settings, house.ledger, house.archive, house.images, studio, hints.put)
    machines = Backends(house.ledger, house.archive, house.shelf, house.images, hints.put, lambda: None)

    def work() -> None:
        while hint := hints.get():
            run_step(host, hint.job, hint.n)

    worker = Thread(target=work)
    worker.start()
    try:
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal())
            app = create_app(settings, machines, poll=0.001)
            transport = InProcess(portal, ASGITransport(app, client=("127.0.0.1", 1)))
            client = Client("http://127.0.0.1:8100", "alice-token", transport=transport, sleep=lambda _: None)
            yield stack.enter_context(client)
    finally:
        hints.put(None)
        worker.join(60)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    words = ["compose", "--tasks", "2", "--goals", "4", "--modality", "i2i", "-o", str(folder)]
    assert main(words) == 0
    return folder


def through(client: Client, words: list[str]) -> int:
    """`visiondirector` with these words, its worker's part in this process and over that client."""
    args = parser().parse_args(words)
    return benchmarks.run(args.name, handed(args), load_settings(), client)


def words(tasks: Path, out: Path, *more: str) -> list[str]:
    return ["bench", "lgbench", str(tasks), "-o", str(out), "--label", "nightly", *SMALL, *more]


def rows(out: Path) -> list[dict[str, Any]]:
    """The table without what only a clock knows."""
    found = json.loads((out / "report.json").read_text())["rows"]
    return [{name: value for name, value in row.items() if not name.startswith("seconds")} for row in found]


def test_the_table_is_the_one_of_a_run_in_this_process(tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with service(tmp_path / "house", sketch_studio()) as client:
        assert through(client, words(tasks, tmp_path / "api")) == 0
        assert len(list(client.jobs(label="nightly"))) == 2
        # The same again asks for nothing new.
        assert through(client, words(tasks, tmp_path / "api", "--no-grade")) == 0
        # A folder that was lost is filled from the same jobs.
        assert through(client, words(tasks, tmp_path / "again", "--no-grade")) == 0
        assert len(list(client.jobs(label="nightly"))) == 2
    told = capsys.readouterr().err.splitlines()
    direct = ["bench", "lgbench", str(tasks), "-o", str(tmp_path / "here"), "--workers", "1", *SMALL]
    assert main(direct) == 0
    assert rows(tmp_path / "api") == rows(tmp_path / "here")
    assert (tmp_path / "again" / "runs.jsonl").read_bytes() == (tmp_path / "api" / "runs.jsonl").read_bytes()
    assert "visiondirector-worker bench lgbench" in told[-1]
    assert any(line.startswith("2 of 2") for line in told)


ONE_SHOT = ["--strategy", "one-shot", "--set", "width=192", "--set", "height=192", "--seed", "7"]


def pictures(folder: Path) -> dict[str, bytes]:
    """Everything in a run's folder but what is filed about it."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != "runs.jsonl"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_geneval_s_layout_is_the_one_of_a_run_in_this_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    prompts = tmp_path / "metadata.jsonl"
    prompts.write_text(metadata(("single_object", "cup"), ("colors", "dog"), ("single_object", "umbrella")))
    words = ["bench", "geneval", "--metadata", str(prompts), "--samples", "2", "--limit", "1", *ONE_SHOT]
    with service(tmp_path / "house", sketch_studio()) as client:
        asked = [*words, "-o", str(tmp_path / "api")]
        assert through(client, asked) == 0
        assert through(client, asked) == 0
        assert len(list(client.jobs(label="geneval"))) == 4
    told = capsys.readouterr().err.splitlines()
    assert main([*words, "-o", str(tmp_path / "here"), "--workers", "1"]) == 0
    assert "00000/samples/0001.png" in pictures(tmp_path / "api")
    assert pictures(tmp_path / "api") == pictures(tmp_path / "here")
    assert told[-1].startswith("judge them where a worker is installed: visiondirector-worker bench geneval --metadata")

    # The command that was said knows who drew, though it has no detector here.
    record = filed_record(tmp_path / "api")
    assert record["editor"] == "service/flux-krea (simulated)"
    assert (record["strategy"], record["pictures"], record["cost"]["renders"]) == ("one-shot", 4, 4)
    capsys.readouterr()
    assert main(shlex.split(told[-1].partition("visiondirector-worker ")[2])) == 2
    assert "there is no checkpoint" in capsys.readouterr().err


def test_imgedit_s_pictures_are_those_of_a_run_in_this_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    originals, edits = tmp_path / "originals", tmp_path / "edits.json"
    (originals / "animal").mkdir(parents=True)
    (originals / "animal" / "a.png").write_bytes(plain_png("white", 192, 192))
    edits.write_text(
        json.dumps({"12": {"id": "animal/a.png", "prompt": "Add a red cup on the left.", "edit_type": "add"}})
    )
    words = ["bench", "imgedit", "--edits", str(edits), "--originals", str(originals), *ONE_SHOT]
    with service(tmp_path / "house", sketch_studio()) as client:
        assert through(client, [*words, "-o", str(tmp_path / "api")]) == 0
    told = capsys.readouterr().err.splitlines()
    assert main([*words, "-o", str(tmp_path / "here"), "--workers", "1"]) == 0
    assert list(pictures(tmp_path / "api")) == ["images/12.png"]
    assert pictures(tmp_path / "api") == pictures(tmp_path / "here")
    assert "visiondirector-worker bench imgedit" in told[-1]


def test_a_source_picture_that_is_missing_is_said_before_anything_is_asked_for(tmp_path: Path):
    edits = tmp_path / "edits.json"
    edits.write_text(json.dumps({"12": {"id": "animal/a.png", "prompt": "Add a cup.", "edit_type": "add"}}))
    words = ["bench", "imgedit", "--edits", str(edits), "--originals", str(tmp_path), "-o", str(tmp_path / "out")]
    with service(tmp_path / "house", sketch_studio()) as client:
        with pytest.raises(BriefError, match=r"animal/a\.png"):
            through(client, words)
        assert list(client.jobs()) == []


@contextmanager
def refusing() -> Generator[tuple[str, list[str]]]:
    """A service that knows nobody: its URL, and the credentials that it was shown."""
    shown: list[str] = []

    class Refusal(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            shown.append(self.headers["Authorization"])
            body = b'{"title": "Unauthorized", "status": 401, "detail": "this token is nobody\'s"}'
            self.send_response(401)
            self.send_header("Content-Type", "application/problem+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refusal) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", shown
        finally:
            server.shutdown()
            thread.join()


def test_the_worker_s_process_is_given_words_url_and_token(
    tasks: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("VISIONDIRECTOR_TOKEN", "not-this-one")
    (tmp_path / "worker.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    with refusing() as (url, shown):
        assert visiondirector([*words(tasks, tmp_path / "out"), "--url", url, "--token", "mine"]) == 2
    assert shown == ["Bearer mine"]
    assert "this token is nobody's" in capfd.readouterr().err


def test_without_a_worker_it_says_what_to_install(
    tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "worker", None)
    assert visiondirector(words(tasks, tmp_path / "out")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "install VisionDirector from a checkout" in line
    assert not (tmp_path / "out").exists()


def test_every_word_is_handed_over(tmp_path: Path):
    said = ["/t", "--set", "width=192", "--set", "title=a b", "--strategy", "all", "--no-controls", "-o", str(tmp_path)]
    args = parser().parse_args(["bench", "lgbench", *said, "--limit", "2", "--token", "secret"])
    assert handed(args) == [*said, "--limit", "2"]
    assert (args.name, args.token) == ("lgbench", "secret")
