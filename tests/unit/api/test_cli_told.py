"""What the command line says that nobody asked for: what was not read, what is likely not meant, what to do."""

import json
from pathlib import Path

import httpx
import pytest

from api.cli import main
from api.cli.console import SATISFIED, SERVICE, USAGE
from tests.support.scripted_service import JOB, Cli, event, job, problem, stream
from tests.unit.api.test_cli import NO_PICTURE, OTHER, accepted, found, page, png, record

UNREAD = [{"text": "Hello", "reason": "greeting"}, {"text": "we sell lamps", "reason": "became no goal"}]
WARNING = {"kind": "no-source", "message": "“Move the lamp” changes a picture", "fix": "send the picture"}


def test_submit_and_show_tell_what_was_not_read_and_what_is_likely_not_meant(cli: Cli) -> None:
    Path("a.txt").write_text("Hello, we sell lamps. A lamp.")
    told = [
        "warning     “Move the lamp” changes a picture (send the picture)",
        "not read    Hello  (greeting)",
        "not read    we sell lamps  (became no goal)",
    ]
    assert cli("submit a.txt", accepted(unread=UNREAD, warnings=[WARNING]))[1].splitlines()[1:] == told
    _, output, _ = cli(f"show {JOB}", found("done", "satisfied", unread=UNREAD, warnings=[WARNING]), record())
    assert output.splitlines()[1:4] == told


def test_a_watched_submit_tells_it_once_the_goals_are_known(cli: Cli) -> None:
    Path("a.txt").write_text("Hello, we sell lamps. A lamp.")
    trajectory = {"brief": {"text": "Hello, we sell lamps. A lamp."}, "settings": {}, "seed": 1, "events": []}
    goals = event("0.a.0", "extracted", {"kind": "extracted", "goals": [{"id": "g1", "text": "A lamp"}], "by": "x"})
    end = event("0.a.1", "end", job("done", "satisfied"))
    answers = [accepted(unread=UNREAD[:1]), httpx.Response(200, json=trajectory), stream(goals, end), record(), png()]
    lines = cli("submit a.txt --watch", *answers)[1].splitlines()
    assert [line for line in lines if line.startswith("not read")] == [
        "not read    Hello  (greeting)",
        "not read    we sell lamps  (became no goal)",
    ]


def test_a_title_is_a_name_while_only_one_job_has_it(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, service = cli("cancel Lamp", page({**job(), "title": "lamp"}, {**job(), "id": OTHER}), accepted())
    assert (code, service.asked[1].url.path) == (SATISFIED, f"/v1/jobs/{JOB}/cancel")
    twins = page({**job(), "title": "lamp"}, {**job(), "id": OTHER, "title": "Lamp"})
    assert cli("cancel lamp", twins)[0] == USAGE
    assert "2 jobs have the id or title 'lamp'" in capsys.readouterr().err


def test_fetch_says_when_the_job_has_not_ended(cli: Cli) -> None:
    _, output, _ = cli(f"fetch {JOB} -o out", found("running"), record(), png())
    assert output.splitlines()[0] == (
        f"not ended   the best picture so far; `visiondirector watch {JOB[:8]}` waits for the end"
    )
    _, output, _ = cli(f"fetch {JOB} -o out --json", found("running"), record(), NO_PICTURE)
    assert [Path(path).suffix for path in json.loads(output)["saved"]] == [".json"]
    _, output, _ = cli(f"fetch {JOB} -o out", found("failed"), record(), NO_PICTURE)
    assert [line.split("  ")[0] for line in output.splitlines()] == ["no picture", "saved"]


def test_a_service_that_is_away_is_named_with_what_starts_it(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    refused = [httpx.ConnectError("[Errno 111] Connection refused")] * 6
    assert cli(f"show {JOB}", *refused)[0] == SERVICE
    told = capsys.readouterr().err
    assert told.startswith("no answer from http://service.test: Connection refused\n")
    assert "`make up` starts the local stack" in told


def test_a_token_is_asked_for_in_the_words_of_the_command_line(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    refused = problem(401, "The token is unknown", detail="Send the header Authorization: Bearer TOKEN.")
    assert cli(f"show {JOB}", refused)[0] == USAGE
    told = capsys.readouterr().err
    assert told.startswith("The token is unknown: set VISIONDIRECTOR_TOKEN\n--token gives it, too")
    assert "header" not in told


@pytest.mark.parametrize("token", ["a-secret\nof two lines", "ein-geheimnis-für-alle"])
def test_a_token_that_no_header_can_hold_is_not_shown(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["whoami", "--url", "http://127.0.0.1:9", "--token", token]) == USAGE
    told = capsys.readouterr().err
    assert told.startswith("the token has a character that no header can hold, such as a line break (")
    assert token not in told


def test_an_error_of_a_field_names_the_option(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.txt").write_text("A lamp")
    errors = [
        {"field": "labels.1", "message": "must be one word", "fix": ""},
        {"field": "Idempotency-Key", "message": "was used with another body", "fix": "send a new key"},
    ]
    cli("submit a.txt --label a --label b/c", problem(422, "The request can't be used", errors=errors))
    told = capsys.readouterr().err
    assert "--label 'b/c': must be one word" in told
    assert "--key: was used with another body (send a new key)" in told


FULL = problem(429, "Too many jobs in flight", headers={"Retry-After": "7"})


def test_a_submit_of_many_waits_for_room_and_says_so(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.txt").write_text("A")
    Path("b.txt").write_text("B")
    full = problem(429, "Too many jobs in flight")
    code, output, service = cli("submit a.txt b.txt", accepted(), FULL, full, accepted())
    assert (code, len(output.splitlines()), service.slept) == (SATISFIED, 2, [7.0, 5.0])
    assert capsys.readouterr().err.splitlines() == [
        "Too many jobs in flight (1 of 2 are sent): trying again in 7 s",
        "Too many jobs in flight (1 of 2 are sent): trying again in 5 s",
    ]
    first, *others = [request.headers["Idempotency-Key"] for request in service.asked]
    assert first not in others and len(set(others)) == 1


def test_a_submit_that_broke_off_says_what_was_sent_and_doubles_nothing(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abc":
        Path(f"{name}.txt").write_text(name)
    command = "submit a.txt a.txt b.txt c.txt --set rounds=2"
    code, _, broken = cli(command, accepted(), accepted(), problem(500, "no good"))
    assert code == SERVICE
    assert capsys.readouterr().err.splitlines()[:2] == [
        "2 of 4 are sent, b.txt is the first of 2 that are not", "the same command sends the rest, and none twice",
    ]  # fmt: skip
    again = httpx.Response(200, json=job("running"))
    code, output, whole = cli(command, again, again, accepted(), accepted())
    assert [line[:12].strip() for line in output.splitlines()] == ["sent before"] * 2 + ["submitted"] * 2
    assert "2 of 4 were sent before, with the same options: --new draws them again" in capsys.readouterr().err
    keys = [request.headers["Idempotency-Key"] for request in whole.asked]
    assert len(set(keys)) == 4  # the same file twice is two jobs
    assert keys[:3] == [request.headers["Idempotency-Key"] for request in broken.asked]
    other = [
        cli(f"{command} {more}", *[accepted()] * 4)[2].asked
        for more in ("--new", "--seed 3", "--label x", "--priority 1")
    ]
    assert not {request.headers["Idempotency-Key"] for asked in other for request in asked} & set(keys)


def test_one_brief_is_a_new_job_each_time(cli: Cli) -> None:
    Path("a.txt").write_text("A")
    keys = {cli("submit a.txt", accepted())[2].asked[0].headers["Idempotency-Key"] for _ in range(2)}
    assert len(keys) == 2


def test_a_list_says_that_there_is_more(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    first = httpx.Response(200, json={"jobs": [job(), job()], "next": "more"})
    assert len(cli("list -n 2", first)[1].splitlines()) == 2
    assert "the newest 2 are listed: --all lists the older ones, too" in capsys.readouterr().err
    assert len(cli("list --all", first, page(job()))[1].splitlines()) == 3
    assert cli("list -n 2", page(job(), job()))[0] == SATISFIED
    assert capsys.readouterr().err == ""
