"""The morning at the command line: what was drawn is picked, fetched, and changed."""

import json

import httpx
import pytest

from api.cli.console import SATISFIED, USAGE
from tests.support.scripted_service import JOB, Cli, job

HASH = "ab" * 32


def picked(**goals: int) -> httpx.Response:
    told = {"round": 2, "candidate": 3, "image": HASH, "goals": {"total": 5, **goals}, "at": 1.0}
    return httpx.Response(200, json=job("done", "stalled", picked=told))


def test_a_pick_says_what_is_known_of_the_picture(cli: Cli) -> None:
    code, output, service = cli(f"pick {JOB} 2.3", picked())
    assert (code, output) == (SATISFIED, "picked      round 2, candidate 3, by hand: no verifier looked at it\n")
    [asked] = service.asked
    assert (asked.method, asked.url.path) == ("PUT", f"/v1/jobs/{JOB}/pick")
    assert json.loads(asked.content) == {"round": 2, "candidate": 3}
    assert "3 of 5 goals met" in cli(f"pick {JOB} 2.3", picked(met=3, missed=2))[1]


def test_a_pick_is_undone(cli: Cli) -> None:
    code, output, service = cli(f"pick {JOB} --undo", httpx.Response(200, json=job("done", "stalled")))
    assert (code, service.asked[0].method) == (SATISFIED, "DELETE")
    assert output == "picked      nothing: what the loop ended with is delivered\n"


@pytest.mark.parametrize("words", ["", "2.3 --undo", "2", "2.x", "0.1", "2.0"])
def test_a_pick_that_names_no_candidate_asks_nothing(cli: Cli, words: str) -> None:
    assert cli(f"pick {JOB} {words}")[0] == USAGE


# --- a change -----------------------------------------------------------------------------------


def test_a_change_names_the_job_that_it_goes_on_from(cli: Cli) -> None:
    code, _, service = cli(f"submit --from {JOB} --change lampless", httpx.Response(202, json=job()))
    assert code == SATISFIED
    [asked] = service.asked
    assert json.loads(asked.content) == {"brief": {"text": "lampless"}, "continues": JOB}


@pytest.mark.parametrize("words", ["--change x", f"a.txt --from {JOB} --change x", f"--from {JOB} --change= --goals"])
def test_a_change_of_nothing_asks_nothing(cli: Cli, words: str) -> None:
    assert cli(f"submit {words}")[0] == USAGE
