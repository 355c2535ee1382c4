"""The commands of `visiondirector` for jobs, over a scripted service."""

import json
from argparse import Namespace
from pathlib import Path

import httpx
import pytest

from api.cli.console import SATISFIED, SERVICE, SHORT, USAGE
from api.cli.endpoint import find_endpoint
from tests.support import api as house
from tests.support.scripted_service import JOB, Cli, event, job, problem, stream

RECORD = {"brief": {"text": "A lamp"}, "settings": {}, "seed": 1, "events": []}
NO_PICTURE = problem(404, "There is no picture yet")


def found(status: str = "running", stop: str = "", **more: object) -> httpx.Response:
    return httpx.Response(200, json=job(status, stop, **more))


def record() -> httpx.Response:
    return httpx.Response(200, json=RECORD)


def png() -> httpx.Response:
    return httpx.Response(200, content=b"png")


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
    code, output, _ = cli("submit lamp.txt --watch -o out", accepted(), record(), ended("satisfied"), record(), png())
    assert code == SATISFIED
    path = Path("out/a-lamp-0a0a0a0a.png")
    assert path.read_bytes() == b"png"
    assert json.loads(path.with_suffix(".json").read_text()) == RECORD
    assert len(list(path.parent.iterdir())) == 2
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
    code, output, _ = cli(f"watch {JOB}", found(), record(), stream(waiting, end), record(), NO_PICTURE)
    assert (code, output.splitlines()[0]) == (SHORT, "now         waiting: no worker serves editor.foo")


@pytest.mark.parametrize(
    ("stop", "code"), [("satisfied", SATISFIED), ("budget", SHORT), ("unverified", SHORT), ("", SHORT)]
)
def test_the_exit_code_says_how_it_ended(cli: Cli, stop: str, code: int) -> None:
    assert cli(f"watch {JOB}", found(), record(), ended(stop), record(), NO_PICTURE)[0] == code


OTHER = JOB[:-1] + "b"


def page(*jobs: dict[str, object]) -> httpx.Response:
    return httpx.Response(200, json={"jobs": jobs, "next": None})


def test_several_briefs_are_followed_by_one_list_and_end_in_one_line_each(cli: Cli) -> None:
    Path("a.txt").write_text("A")
    Path("b.txt").write_text("B")
    first, second = job(created=50.0), {**job(created=60.0), "id": OTHER, "title": "b"}
    done = {**first, "status": "done", "stop": "satisfied", "goals": {"met": 2, "total": 2}}
    code, output, service = cli(
        "submit a.txt b.txt --watch", httpx.Response(202, json=first), httpx.Response(202, json=second),
        page({**second, "status": "running"}, done), record(), png(),
        page({**second, "status": "done", "stop": "budget"}), record(), NO_PICTURE,
    )  # fmt: skip
    assert code == SHORT
    assert output.splitlines()[2:] == [
        f"done        2/2 met, satisfied  a-lamp-{JOB[:8]}.png",
        f"done        0/0 met, budget  {OTHER[:8]}  b: no picture",
    ]
    assert [r.url.params.get("created_after") for r in service.asked if r.url.path == "/v1/jobs"][2:] == [
        "50.0",
        "60.0",
    ]
    assert service.slept == [1.0]


def test_an_outage_does_not_end_the_watch_of_several(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    both = [job(created=50.0), {**job(created=60.0), "id": OTHER}]
    done = page(*({**each, "status": "done", "stop": "satisfied"} for each in both))
    refused = [httpx.ConnectError("refused")] * 6
    answers = [httpx.Response(200, json=each) for each in both]
    saved = [record(), png(), record(), png()]
    assert cli(f"watch {JOB} {OTHER}", *answers, *refused, done, *saved)[0] == SATISFIED
    assert "no answer from http://service.test: refused: trying again" in capsys.readouterr().err


def test_one_that_has_ended_before_is_told_and_saved_like_the_others(cli: Cli) -> None:
    ended_before = {**job(created=50.0), "status": "done", "stop": "budget", "ended": 51.0}
    runs = {**job(created=60.0), "id": OTHER}
    done = page({**runs, "status": "done", "stop": "satisfied"})
    code, output, _ = cli(
        f"watch {JOB} {OTHER} -o out", *(httpx.Response(200, json=each) for each in (ended_before, runs)),
        record(), png(), done, record(), png(),
    )  # fmt: skip
    assert code == SHORT
    assert [" budget" in line for line in output.splitlines()] == [True, False]
    assert all("out/a-lamp" in line for line in output.splitlines())


def test_json_is_one_object_a_line(cli: Cli) -> None:
    Path("a.txt").write_text("A")
    _, output, _ = cli("submit a.txt --watch --json", accepted(), record(), ended("satisfied"), record(), png())
    lines = [json.loads(line) for line in output.splitlines()]
    assert [line.get("event") or line.get("status") or "saved" for line in lines] == [
        "queued", "stopped", "end", "saved",
    ]  # fmt: skip
    assert {line.get("job") or line["id"] for line in lines} == {JOB}


VERDICTS = [
    {"goal": "g1", "outcome": "met", "score": 0.9, "confidence": 1, "by": "x", "evidence": "a lamp at (0.2, 0.3)"},
    {"goal": "g2", "outcome": "missed", "score": 0.1, "confidence": 1, "by": "x"},
]
GOALS = [{"id": f"g{n}", "text": text} for n, text in enumerate(("a lamp", "a chair", "dusk"), 1)]
LOOKED_AT = {
    **RECORD,
    "events": [
        {"kind": "extracted", "goals": GOALS},
        {"kind": "planned"},
        {"kind": "verified", "image": "i", "verdicts": VERDICTS},
        {"kind": "decided", "image": "i", "accepted": True},
    ],
}  # fmt: skip


def test_show_lists_every_goal_with_its_evidence(cli: Cli) -> None:
    cost = {"seconds": 75.2, "gpu_seconds": 40.0, "vlm_calls": 12, "prompt_tokens": 4000, "wasted_attempts": 1}
    answers = [found(doing="rendering", cost=cost, labels=["autumn"]), httpx.Response(200, json=LOOKED_AT)]
    code, output, _ = cli(f"show {JOB}", *answers)
    assert (code, output.splitlines()[1:]) == (0, [
        "met         a lamp  (a lamp at (0.2, 0.3))",
        "missed      a chair",
        "not seen    dusk",
        "status      running",
        "labels      autumn",
        "now         rendering",
        "cost        0 rounds, 0 renders, 75 s of work, 40 s of GPU, 12 model calls, 4,000 tokens, 1 attempt wasted",
    ])  # fmt: skip
    code, output, _ = cli(f"show {JOB} --json", found(), httpx.Response(200, json=LOOKED_AT))
    assert [row["outcome"] for row in json.loads(output)["verdicts"]] == ["met", "missed", ""]


def test_cancel_requeue_and_delete(cli: Cli) -> None:
    code, output, service = cli(f"cancel {JOB}", httpx.Response(202, json=job("running", doing="cancelling")))
    assert (code, service.asked[0].method, "cancelling" in output) == (0, "POST", True)
    code, output, service = cli(f"requeue {JOB}", httpx.Response(202, json=job()))
    assert (code, service.asked[0].url.path) == (0, f"/v1/jobs/{JOB}/requeue")
    code, output, service = cli(f"delete {JOB} {OTHER}", httpx.Response(204), httpx.Response(204))
    assert (code, [r.method for r in service.asked]) == (0, ["DELETE", "DELETE"])
    assert cli(f"delete {JOB}", problem(409, "The job is active: cancel it first"))[0] == USAGE


def test_pause_resume_and_patch(cli: Cli) -> None:
    code, output, service = cli(f"pause {JOB}", httpx.Response(202, json=job("running", doing="paused: resume it")))
    assert (code, service.asked[0].url.path, "paused" in output) == (0, f"/v1/jobs/{JOB}/pause", True)
    code, _, service = cli(f"resume {JOB} {OTHER}", *(httpx.Response(202, json=job()) for _ in range(2)))
    assert (code, service.asked[1].url.path) == (0, f"/v1/jobs/{OTHER}/resume")
    code, _, service = cli(f"patch {JOB} --priority 0", httpx.Response(200, json=job()))
    assert (code, service.asked[0].method, json.loads(service.asked[0].content)) == (0, "PATCH", {"priority": 0})
    assert cli(f"pause {JOB}", problem(409, "This job has ended"))[0] == USAGE


def test_a_short_id_is_looked_up(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    twins = page(job(), {**job(), "id": OTHER}, {**job(), "id": "f" + JOB[1:]})
    code, _, service = cli(f"cancel f{JOB[1:8]}", twins, httpx.Response(202, json=job()))
    assert (code, service.asked[1].url.path) == (0, f"/v1/jobs/f{JOB[1:]}/cancel")
    for given, message in [
        (JOB[:8], "2 jobs have the id"),
        ("ffffffff", "no job 'ffffffff'"),
        ("f", "at least 8 characters"),
    ]:
        assert cli(f"cancel {given}", page(job(), {**job(), "id": OTHER}))[0] == USAGE
        assert message in capsys.readouterr().err


def test_a_list_in_a_pipe_has_a_job_a_line_with_tabs(cli: Cli) -> None:
    listed = page(
        {**job("done", "budget"), "created": 1795392000.5, "labels": ["a", "b"], "goals": {"met": 3, "total": 4}}
    )
    code, output, service = cli("list --status done --status failed --label a --since 2026-11-01T00:00Z -n 7", listed)
    assert (code, output) == (0, f"{JOB}\t2026-11-23T00:00:00+00:00\tdone\tbudget\t3/4\ta,b\ta lamp\n")
    assert service.asked[0].url.query == b"status=done&status=failed&label=a&created_after=1793491200.0&limit=7"
    assert cli("list", page())[1] == ""


def test_a_list_ends_at_its_limit(cli: Cli) -> None:
    first = httpx.Response(200, json={"jobs": [job(), job()], "next": "more"})
    assert len(cli("list -n 2 --json", first)[1].splitlines()) == 2


@pytest.mark.parametrize("when", ["yesterday", "5 parsecs", "", "2026-13-01"])
def test_a_time_that_is_none_is_refused(cli: Cli, when: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli(f"list --since={when.replace(' ', '_')}")
    assert "is no time: write 90m" in capsys.readouterr().err


def test_fetch_and_report_save_files(cli: Cli) -> None:
    page = httpx.Response(200, content=b"<!doctype html>")
    code, output, service = cli(f"fetch {JOB} -o out --report --no-metadata", found("done"), record(), png(), page)
    assert code == 0
    assert sorted(path.suffix for path in Path("out").iterdir()) == [".html", ".json", ".png"]
    assert len(output.splitlines()) == 3
    assert service.asked[2].url.query == b"metadata=false"
    assert cli(f"fetch {JOB} -o out", found("failed"), record(), NO_PICTURE)[0] == SHORT
    assert cli(f"report {JOB} -o page.html", found(), httpx.Response(200, content=b"<p>"))[0] == 0
    assert Path("page.html").read_bytes() == b"<p>"


def test_a_place_that_can_not_be_written_is_named(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("")
    assert cli(f"fetch {JOB} -o file/x", found(), record(), png())[0] == USAGE
    assert "a file stands where a folder must be (choose another with -o)" in capsys.readouterr().err
    Path("folder").mkdir()
    assert cli(f"report {JOB} -o folder", found(), httpx.Response(200, content=b"<p>"))[0] == USAGE
    assert "folder: it is a folder (name a file with -o)" in capsys.readouterr().err


def test_ctrl_c_leaves_the_jobs_running(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(request: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    assert cli(f"watch {JOB}", found(), record(), interrupt)[0] == 130
    told = capsys.readouterr().err
    assert f"the job goes on: look again with `visiondirector watch {JOB[:8]}`" in told
    assert f"visiondirector cancel {JOB[:8]}" in told
    assert cli(f"watch {JOB} {OTHER}", found(), httpx.Response(200, json={**job(), "id": OTHER}), interrupt)[0] == 130
    assert "the jobs go on" in capsys.readouterr().err


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
        ("submit nothing.txt", "nothing.txt: there is no such file (look at its name again)"),
        ("submit okk.txt", "okk.txt: there is no such file (did you mean ok.txt?)"),
        ("submit lost/ok.txt", "there is no folder lost either"),
        ("submit folder", "folder: it is a folder (name files, such as folder/*.txt)"),
        (
            "submit lamp.png",
            "lamp.png: it is a picture, no brief (write the brief in a text file",
        ),
        ("submit blank.txt", "blank.txt: it is empty (write what the picture must show)"),
        ("submit latin.txt", "latin.txt: byte 1 is not UTF-8"),
        ("submit broken.json", "broken.json: the JSON is broken"),
        ("submit list.json", "list.json: the JSON is a list"),
        ("submit empty.json", "empty.json: the JSON has no prompt"),
        ("submit ok.txt --set candidates", "write key=value"),
        ("submit ok.txt ok.txt --key k", "one --key stands for one job"),
        ("submit ok.txt --source nothing.png", "nothing.png: there is no such file"),
    ],
)
def test_usage_errors_name_what_to_mend(cli: Cli, capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    Path("ok.txt").write_text("A lamp")
    Path("latin.txt").write_bytes("für".encode("latin-1"))
    Path("broken.json").write_text("{")
    Path("list.json").write_text('[{"prompt": "A lamp"}]')
    Path("empty.json").write_text("{}")
    Path("blank.txt").write_text(" \n")
    Path("lamp.png").write_bytes(house.png())
    Path("folder").mkdir()
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
    _, _, service = cli("submit a.txt a.txt --source a.png", uploaded, accepted(), accepted())
    assert service.asked[0].content == b"png"
    for request in service.asked[1:]:
        assert json.loads(request.content)["brief"]["source"] == "ab" * 32


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
    assert find_endpoint(Namespace(url=url, token=token), environment, tmp_path) == expected


def test_operators_see_what_is_held_and_who_is_sick(cli: Cli) -> None:
    hold = {
        "queue": "planner", "actor": "outage", "why": "refused", "fix": "start it",
        "since": 0, "tries": 3, "waiting": 9,
    }  # fmt: skip
    sick = {"worker": "e@g", "why": "CUDA error", "failures": 3, "quarantined": 60}
    code, output, _ = cli("holds", httpx.Response(200, json={"held": [hold], "sick": [sick]}))
    assert code == SATISFIED
    assert output.splitlines() == [
        "held        planner: refused since 1970-01-01 00:00 UTC; start it",
        "            9 jobs wait, 3 tries failed, actor outage",
        "sick        e@g: quarantined since 1970-01-01 00:01 UTC, 3 in a row: CUDA error",
    ]
    _, output, service = cli("quarantine e@g --why fan", httpx.Response(200, json={"workers": {"a": [], "b": []}}))
    assert output.split() == ["well", "nothing", "is", "held,", "and", "none", "of", "2", "workers", "is", "sick"]
    assert service.asked[0].url.path == "/v1/machines/e@g/quarantine"
    _, output, service = cli("restore e@g --json", httpx.Response(200, json={}))
    assert json.loads(output) == {"workers": {}, "held": [], "sick": []}
    assert cli("restore e@g", problem(403, "no"))[0] == USAGE
