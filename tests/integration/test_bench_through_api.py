"""`visiondirector bench`: the real API in process, a worker beside it, the worker's command as grader.

Table and pictures must be those that a run in this process gives.
"""

import json
import shlex
from argparse import Namespace
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from httpx import ASGITransport

from api.app import Backends, create_app
from api.cli.parser import parser
from api.client import Client
from director.errors import BriefError
from director.seats import Studio
from tasks.ledger.types import Hint
from tasks.steps import Host, run_step
from tests.support.api import House, InProcess
from tests.support.contexts import plain_png
from tests.support.geneval import metadata
from worker.bench import service as bench
from worker.bench.local import filed_facts
from worker.cli import main
from worker.sketch import sketch_studio

SMALL = ["--set", "width=192", "--set", "height=192", "--no-controls", "--strategy", "one-shot"]


@contextmanager
def service(folder: Path, studio: Studio) -> Generator[Client]:
    """The API in process, and a worker with that studio in a thread."""
    house, hints = House(folder), Queue[Hint | None]()
    settings = house.settings(renew_every_s=0.05)
    host = Host(settings, house.ledger, house.archive, house.images, studio, hints.put)
    machines = Backends(house.ledger, house.archive, house.images, hints.put, lambda: None)

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


def words(tasks: Path, out: Path, *more: str) -> Namespace:
    return parser().parse_args(["bench", "lgbench", str(tasks), "-o", str(out), "--label", "nightly", *SMALL, *more])


def rows(out: Path) -> list[dict[str, Any]]:
    """The table without what only a clock knows."""
    found = json.loads((out / "report.json").read_text())["rows"]
    return [{name: value for name, value in row.items() if not name.startswith("seconds")} for row in found]


@pytest.mark.timeout(300)
def test_the_table_is_the_one_of_a_run_in_this_process(tasks: Path, tmp_path: Path):
    told: list[str] = []
    with service(tmp_path / "house", sketch_studio()) as client:
        assert bench.lgbench(words(tasks, tmp_path / "api"), client, told.append) == 0
        assert len(list(client.jobs(label="nightly"))) == 2
        # The same again asks for nothing new.
        assert bench.lgbench(words(tasks, tmp_path / "api", "--no-grade"), client, told.append) == 0
        # A folder that was lost is filled from the same jobs.
        assert bench.lgbench(words(tasks, tmp_path / "again", "--no-grade"), client, told.append) == 0
        assert len(list(client.jobs(label="nightly"))) == 2
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
    told: list[str] = []
    with service(tmp_path / "house", sketch_studio()) as client:
        asked = parser().parse_args([*words, "-o", str(tmp_path / "api")])
        assert bench.geneval(asked, client, told.append) == 0
        assert bench.geneval(asked, client, told.append) == 0
        assert len(list(client.jobs(label="geneval"))) == 4
    assert main([*words, "-o", str(tmp_path / "here"), "--workers", "1"]) == 0
    assert "00000/samples/0001.png" in pictures(tmp_path / "api")
    assert pictures(tmp_path / "api") == pictures(tmp_path / "here")
    assert told[-1].startswith("judge them where a worker is installed: visiondirector-worker bench geneval --metadata")

    # The command that was said knows who drew, though it has no detector here.
    facts = filed_facts(tmp_path / "api")
    assert facts["editor"] == "service/flux-krea (simulated)"
    assert (facts["strategy"], facts["pictures"], facts["cost"]["renders"]) == ("one-shot", 4, 4)
    capsys.readouterr()
    assert main(shlex.split(told[-1].partition("visiondirector-worker ")[2])) == 2
    assert "there is no checkpoint" in capsys.readouterr().err


def test_imgedit_s_pictures_are_those_of_a_run_in_this_process(tmp_path: Path):
    originals, edits = tmp_path / "originals", tmp_path / "edits.json"
    (originals / "animal").mkdir(parents=True)
    (originals / "animal" / "a.png").write_bytes(plain_png("white", 192, 192))
    edits.write_text(
        json.dumps({"12": {"id": "animal/a.png", "prompt": "Add a red cup on the left.", "edit_type": "add"}})
    )
    words = ["bench", "imgedit", "--edits", str(edits), "--originals", str(originals), *ONE_SHOT]
    told: list[str] = []
    with service(tmp_path / "house", sketch_studio()) as client:
        assert bench.imgedit(parser().parse_args([*words, "-o", str(tmp_path / "api")]), client, told.append) == 0
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
            bench.imgedit(parser().parse_args(words), client, lambda _: None)
        assert list(client.jobs()) == []
