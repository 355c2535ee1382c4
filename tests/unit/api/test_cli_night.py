"""What the commands of a night say where there is nothing to do, little time, or a name that is written otherwise."""

import httpx
import pytest

from api.cli.console import SATISFIED, USAGE
from api.examples import PLAN
from tests.support.scripted_service import Cli
from tests.unit.api.test_cli_batch import BATCH, answer, batch, folder, listed

LATE = {"p10": 1795500100.0, "p50": 1795500200.0, "p90": 1795500300.0, "late": "likely: fewer briefs help"}


def test_names_are_one_whatever_the_form_of_their_letters(cli: Cli) -> None:
    """A title that was typed on one system is asked for on another: é as one character, or as two."""
    named = listed(batch(title="Caf\u00e9STRASSE", done=1))
    code, output, _ = cli("batch show cafe\u0301Stra\u00dfe", named, answer(done=1))
    assert (code, BATCH in output) == (SATISFIED, True)


def test_a_retry_of_nothing_says_so(cli: Cli) -> None:
    _, output, _ = cli(f"batch retry {BATCH} --failed", answer("ended", done=1, unmet=2))
    assert "nothing goes on: no item is failed" in output
    _, output, _ = cli(f"batch retry {BATCH} --unmet --item a", answer("ended", done=1, unmet=2))
    assert "nothing goes on: none of these items is unmet" in output
    assert "nothing" not in cli(f"batch retry {BATCH} --unmet", answer(waiting=2, done=1))[1]


def test_items_of_which_there_are_none_are_told(cli: Cli) -> None:
    none = httpx.Response(200, json={"items": [], "next": None})
    _, output, _ = cli(f"batch show {BATCH} --status failed", answer(done=1), none)
    assert "no item is failed" in output


def test_a_submit_and_a_patch_say_at_once_that_it_will_be_late(cli: Cli) -> None:
    assert (
        "late        likely: fewer briefs help"
        in cli(f"batch patch {BATCH} --by 07:00", answer(waiting=1, eta=LATE))[1]
    )
    over = {"deadline": 1577836800.0, "late": True, "by": True, "price": 8.0}
    _, output, _ = cli(f"batch patch {BATCH} --by 2020-01-01T00:00Z", answer(waiting=1, terms=over))
    assert f"(visiondirector batch patch {BATCH[:8]} --by 07:00)" in output
    shown = cli(f"batch show {BATCH}", answer(waiting=1, terms=over))[1]
    assert "price       a render must promise 8 goals, as it is late" in shown


def test_show_says_why_nobody_knows_when_it_ends(cli: Cli) -> None:
    _, output, _ = cli(f"batch show {BATCH}", answer(waiting=1, eta_unknown="its budget is likely to be spent"))
    assert "ends        not known: its budget is likely to be spent" in output


def test_one_picture_is_one(cli: Cli) -> None:
    folder("a.txt")
    told = cli("plan --briefs 1 --by 2096-10-02T07:00+00:00", plan(briefs=1, safe=5))[1].splitlines()
    assert told[0].startswith("plan        1 brief of about")
    assert "cards       5 cards: in time in 19 of 20 nights" in told
    assert not any(line.startswith("to be safe") for line in told)
    told = cli("plan --briefs 2000 --editors 4 --by 2096-10-02T07:00+00:00", plan(briefs=2000, cards=4, least=None))[1]
    assert told.startswith("plan        2,000 briefs of about")
    assert "cards       4 cards: in time in 68% of nights" in told.splitlines()


def plan(**more: object) -> httpx.Response:
    return httpx.Response(200, json={**PLAN, "by": 4_000_000_000.0, **more})


@pytest.mark.parametrize("cards", ["0", "-1", "x"])
def test_a_plan_takes_a_number_of_cards(cli: Cli, cards: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli(f"plan --briefs 10 --by 8h --editors={cards}")
    assert ended.value.code == USAGE
    assert f"'{cards}' is no number of cards: write 1 or more" in capsys.readouterr().err
