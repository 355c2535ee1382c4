import json
from argparse import Namespace
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from api.cli import SATISFIED, SERVICE, SHORT, USAGE, Screen, parser, run, service_of
from tests.unit.client.service import JOB, Answer, Scripted, event, job, problem, scripted, stream

Cli = Callable[..., tuple[int, str, Scripted]]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command line against a scripted service; gives exit code, output and service."""
    monkeypatch.chdir(tmp_path)

    def call(line: str, *answers: Answer, stdin: bytes = b"") -> tuple[int, str, Scripted]:
        args = parser().parse_args(line.split())
        service, output = scripted(*answers), StringIO()
        screen = Screen(Console(file=output, highlight=False, soft_wrap=True), args.json)
        with service.client() as client:
            code = run(args, client, screen, BytesIO(stdin))
        return code, output.getvalue(), service

    return call


RECORD = httpx.Response(200, json={"events": []})


def accepted(**more: object) -> httpx.Response:
    return httpx.Response(202, json=job(**more))


def ended(stop: str) -> httpx.Response:
    status = "done" if stop else "failed"
    return stream(
        event("0.a.0", "stopped", {"reason": stop or "failed", "why": "so"}), event("0.a.1", "end", job(status, stop))
    )


def test_submit_names_the_job_and_what_it_waits_for(cli: Cli) -> None:
    Path("lamp.txt").write_text("A lamp")
    waiting = "waiting: no worker serves editor.foo"
    code, output, service = cli(
        "submit lamp.txt --seed 3 --set editor=foo --set adaptive=false", accepted(doing=waiting)
    )
    assert code == SATISFIED
    assert output == f"submitted   {JOB}  a lamp\nnow         {waiting}\n"
    assert json.loads(service.asked[0].content) == {
        "brief": {"text": "A lamp", "title": "lamp"}, "seed": 3, "settings": {"editor": "foo", "adaptive": False},
    }  # fmt: skip


def test_submit_reads_standard_input(cli: Cli) -> None:
    _, _, service = cli("submit - --strategy all --title Lamp", accepted(), stdin="Eine Lampe für Öl".encode())
    assert json.loads(service.asked[0].content) == {
        "brief": {"text": "Eine Lampe für Öl", "title": "Lamp"}, "settings": {"strategy": "all"},
    }  # fmt: skip


def test_watch_tells_the_events_and_saves_the_picture(cli: Cli) -> None:
    Path("lamp.txt").write_text("A lamp")
    code, output, _ = cli(
        "submit lamp.txt --watch -o out", accepted(), ended("satisfied"), httpx.Response(200, content=b"png"), RECORD
    )
    assert code == SATISFIED
    path = Path("out/a-lamp-0a0a0a0a.png")
    assert path.read_bytes() == b"png"
    assert json.loads(path.with_suffix(".json").read_text()) == {"events": []}
    assert [line.split()[0] for line in output.splitlines()] == [
        "submitted",
        "stopped",
        "job",
        "status",
        "cost",
        "saved",
    ]
    assert output.endswith(f"saved       {path}\n")


def test_watch_says_what_a_quiet_job_waits_for(cli: Cli) -> None:
    waiting = event("", "progress", {"doing": "waiting: no worker serves editor.foo"})
    end = event("0.a.0", "end", job("cancelled", "cancelled"))
    code, output, _ = cli(f"watch {JOB}", stream(waiting, end), problem(404, "no picture"))
    assert (code, output.splitlines()[0]) == (SHORT, "now         waiting: no worker serves editor.foo")


@pytest.mark.parametrize(
    ("stop", "code"), [("satisfied", SATISFIED), ("budget", SHORT), ("unverified", SHORT), ("", SHORT)]
)
def test_the_exit_code_says_how_it_ended(cli: Cli, stop: str, code: int) -> None:
    assert cli(f"watch {JOB}", ended(stop), problem(404, "no picture"))[0] == code


def test_several_briefs_end_as_the_worst_of_them(cli: Cli) -> None:
    Path("a.txt").write_text("A")
    Path("b.txt").write_text("B")
    answers = [accepted(), accepted(), ended("budget"), problem(404, "none"), ended("satisfied"), problem(404, "none")]
    assert cli("submit a.txt b.txt --watch", *answers)[0] == SHORT


def test_json_is_one_object_a_line(cli: Cli) -> None:
    Path("a.txt").write_text("A")
    _, output, _ = cli(
        "submit a.txt --watch --json", accepted(), ended("satisfied"), httpx.Response(200, content=b"png"), RECORD
    )
    lines = [json.loads(line) for line in output.splitlines()]
    assert [line.get("event") or line.get("status") or "saved" for line in lines] == [
        "queued",
        "stopped",
        "end",
        "saved",
    ]


def test_show_and_cancel(cli: Cli) -> None:
    code, output, service = cli(f"show {JOB}", httpx.Response(200, json=job("running", doing="rendering")))
    assert (code, output.splitlines()[1:3]) == (0, ["status      running", "now         rendering"])
    code, output, service = cli(f"cancel {JOB}", httpx.Response(202, json=job("running", doing="cancelling")))
    assert (code, service.asked[0].method, "cancelling" in output) == (0, "POST", True)


def test_ctrl_c_leaves_the_job_running(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(request: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    assert cli(f"watch {JOB}", interrupt)[0] == 130
    assert f"visiondirector watch {JOB}" in capsys.readouterr().err


def test_errors_of_the_service_are_told(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    errors = [{"field": "settings.candidates", "message": "must be at least 1", "fix": ""}]
    Path("a.txt").write_text("A")
    assert cli("submit a.txt --set candidates=0", problem(422, "The request can't be used", errors=errors))[0] == USAGE
    assert "settings.candidates: must be at least 1" in capsys.readouterr().err
    assert cli(f"show {JOB}", problem(404, "Unknown job"))[0] == USAGE
    assert cli(f"show {JOB}", problem(500, "A fault"))[0] == SERVICE
    assert cli(f"show {JOB}", *[httpx.ConnectError("refused")] * 6)[0] == SERVICE


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("submit nothing.txt", "nothing.txt: No such file or directory"),
        ("submit latin.txt", "latin.txt: byte 1 is not UTF-8"),
        ("submit broken.json", "broken.json: the JSON is broken"),
        ("submit list.json", "list.json: the JSON is a list"),
        ("submit empty.json", "empty.json: brief.text: String should have at least 1"),
        ("submit ok.txt --set candidates", "write key=value"),
        ("submit ok.txt ok.txt --key k", "one --key stands for one job"),
        ("submit ok.txt --source nothing.png", "nothing.png: No such file or directory"),
    ],
)
def test_usage_errors_name_what_to_mend(cli: Cli, capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    Path("ok.txt").write_text("A lamp")
    Path("latin.txt").write_bytes("für".encode("latin-1"))
    Path("broken.json").write_text("{")
    Path("list.json").write_text('[{"prompt": "A lamp"}]')
    Path("empty.json").write_text("{}")
    code, _, service = cli(line)
    assert (code, service.asked) == (USAGE, [])
    assert message in capsys.readouterr().err


def test_a_task_file_gives_its_prompt_and_on_request_its_goals(cli: Cli) -> None:
    task = {
        "id": 4, "category": "poster", "subcategory": "Café", "prompt": "A poster. It says OPEN.",
        "goals": [
            {"type": "text", "description": "The text 'OPEN' on top"},
            {"type": "lighting", "description": "dusk"},
        ],
    }  # fmt: skip
    Path("task.json").write_text(json.dumps(task))
    _, _, service = cli("submit task.json", accepted())
    assert json.loads(service.asked[0].content)["brief"] == {
        "text": "A poster. It says OPEN.",
        "title": "poster · Café",
    }
    _, _, service = cli("submit task.json --goals", accepted())
    assert json.loads(service.asked[0].content)["brief"]["goals"] == [
        {"id": "g01", "text": "The text 'OPEN' on top", "type": "text", "scope": "text", "string": "OPEN"},
        {"id": "g02", "text": "dusk", "type": "lighting", "scope": "global"},
    ]


def test_a_source_is_uploaded_and_named(cli: Cli) -> None:
    Path("a.txt").write_text("A")
    Path("a.png").write_bytes(b"png")
    uploaded = httpx.Response(200, json={"image": "ab" * 32, "width": 1, "height": 1})
    _, _, service = cli("submit a.txt --source a.png", uploaded, accepted())
    assert service.asked[0].content == b"png"
    assert json.loads(service.asked[1].content)["brief"]["source"] == "ab" * 32


@pytest.mark.parametrize(
    ("flags", "environment", "stack", "expected"),
    [
        (
            ("http://f", "ft"),
            {"VISIONDIRECTOR_URL": "http://e", "VISIONDIRECTOR_TOKEN": "et"},
            "{}",
            ("http://f", "ft"),
        ),
        ((None, None), {"VISIONDIRECTOR_URL": "http://e", "VISIONDIRECTOR_TOKEN": "et"}, "{}", ("http://e", "et")),
        ((None, None), {}, '{"api_url": "http://s", "token": "st"}', ("http://s", "st")),
        (
            (None, None),
            {"VISIONDIRECTOR_URL": "http://e"},
            '{"api_url": "http://s", "token": "st"}',
            ("http://e", None),
        ),
        ((None, None), {}, "not JSON", ("http://127.0.0.1:8100", None)),
        ((None, None), {}, None, ("http://127.0.0.1:8100", None)),
    ],
)
def test_where_the_service_is(
    tmp_path: Path,
    flags: tuple[str | None, str | None],
    environment: dict[str, str],
    stack: str | None,
    expected: tuple[str, str | None],
) -> None:
    if stack is not None:
        (tmp_path / "var").mkdir()
        (tmp_path / "var" / "stack.json").write_text(stack)
    url, token = flags
    assert service_of(Namespace(url=url, token=token), environment, tmp_path) == expected
