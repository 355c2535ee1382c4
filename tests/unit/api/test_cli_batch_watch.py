"""`visiondirector batch watch` in a pipe and on a terminal, and `plan`, over a scripted service."""

import json
from io import BytesIO, StringIO
from pathlib import Path

import httpx
import pytest
from rich.console import Console as RichConsole

from api.cli import run
from api.cli.batch.watch import bar
from api.cli.console import SATISFIED, SHORT, USAGE, Console, Screen
from api.cli.parser import parser
from api.client import Batch
from api.examples import PLAN
from tests.support.scripted_service import Answer, Cli, scripted
from tests.unit.api.test_cli import png
from tests.unit.api.test_cli_batch import BATCH, NOTHING, answer, batch, folder, listed, result, results

# --- watch --------------------------------------------------------------------------------------


def test_a_watch_in_a_pipe_is_calm_and_saves_as_items_end(cli: Cli) -> None:
    running = answer(running=2, drawing=[{"custom_id": "a", "doing": "rendering"}])
    one = answer(done=1, running=1)
    code, output, service = cli(
        f"batch watch {BATCH} -o out", running, running, running, one, results(result("a", 0)), png(),
        answer("ended", done=2, cost={"renders": 4}, ended=9.0), results(result("a", 0), result("b", 1)), png(),
    )  # fmt: skip
    assert code == SATISFIED
    assert output.splitlines() == [
        "open        0 of 2 ended (2 running); a: rendering",
        "pictures    2 pictures saved in out",
        f"batch       {BATCH}  night",
        "status      ended, 2 of 2 ended",
        "items       2 done",
        "cost        4 renders",
    ]
    assert service.slept == [2.0] * 4
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.png", "b.png"]


def test_a_watch_says_why_it_waits_and_how_to_go_on(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    paused = answer("paused", done=1, waiting=1, waits="paused")
    code, output, _ = cli(
        f"batch watch {BATCH}",
        paused,
        httpx.ConnectError("refused"),
        paused,
        answer("ended", done=1, failed=1, ended=9.0),
    )
    assert code == SHORT
    assert output.splitlines()[:2] == ["paused      1 of 2 ended (1 done, 1 waiting)", "waits       paused"]
    assert output.splitlines()[-1].strip() == f"`visiondirector batch retry {BATCH[:8]} --failed` goes on with 1 item"


def test_a_submitted_batch_can_be_watched_as_json(cli: Cli) -> None:
    folder("a.txt")
    answers = NOTHING, answer(code=202, waiting=1), answer("ended", done=1, ended=9.0)
    _, output, _ = cli("batch submit briefs --watch --json", *answers)
    assert [json.loads(line)["status"] for line in output.splitlines()] == ["open", "ended"]


def test_a_watch_waits_a_moment_for_the_sum_and_no_longer(cli: Cli) -> None:
    code, _, service = cli(f"batch watch {BATCH}", *[answer(done=2)] * 6)
    assert (code, len(service.asked)) == (SATISFIED, 6)


def test_the_bar_is_whole_however_items_stand() -> None:
    for counts in ({"done": 1, "waiting": 2}, {"done": 333, "unmet": 1, "failed": 1, "running": 1, "waiting": 1}, {}):
        made = Batch.model_validate(batch(**counts))
        text = bar(made, 30).plain
        assert len(text.partition(" ")[0]) == (30 if counts else 0)
    assert bar(Batch.model_validate(batch(done=1, running=1)), 10).plain == "█████▒▒▒▒▒ 1 of 2 ended"


# --- on a terminal ------------------------------------------------------------------------------


def drawn(line: str, *answers: Answer, width: int = 100) -> str:
    """What a terminal of this width shows."""
    service, output = scripted(*answers), StringIO()
    terminal = RichConsole(file=output, force_terminal=True, width=width, height=20, color_system=None)
    screen = Screen(terminal, False, RichConsole(stderr=True))
    with service.client() as client:
        run(parser().parse_args(line.split()), Console(client, screen, BytesIO(), service.slept.append))
    return output.getvalue()


@pytest.mark.parametrize("width", [50, 100])
def test_a_terminal_shows_one_bar_and_what_is_drawn(width: int) -> None:
    drawing = [{"custom_id": "a" * 70, "doing": "rendering", "goals": {"met": 2, "total": 4}}]
    now = answer(done=3, running=2, waiting=4, drawing=drawing, waits="paused: resume it")
    shown = drawn(f"batch watch {BATCH}", now, answer("ended", done=9, ended=3.0), width=width)
    assert "█▒" in shown and "▒░" in shown
    for words in (
        "3 of 9 ended",
        "3 done, 2 running, 4 waiting",
        "paused: resume it",
        "2/4  rendering",
        "9 of 9 ended",
    ):
        assert words in shown


def test_a_terminal_lists_batches_as_a_table() -> None:
    found = listed(batch(done=3, waiting=2, labels=["autumn"]), batch("paused", title="day", running=1))
    first, second = drawn("batch list", found).splitlines()
    assert [word for word in ("3/5", "#autumn", "3 done, 2 waiting") if word in first] == [
        "3/5",
        "#autumn",
        "3 done, 2 waiting",
    ]
    assert "paused" in second
    assert "no batches" in drawn("batch list", listed())


def test_an_interrupted_upload_says_how_to_go_on(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    folder("a.txt")
    with pytest.raises(KeyboardInterrupt):
        cli("batch submit briefs", NOTHING, interrupted)
    assert "the same command goes on where it was" in capsys.readouterr().err


def test_a_plan_until_a_time_that_has_passed_is_refused_at_once(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli("plan --briefs 10 --by 2020-01-01T07:00+00:00")[0] == USAGE
    assert "2020-01-01" in capsys.readouterr().err


def test_a_plan_tells_its_price(cli: Cli) -> None:
    found = httpx.Response(200, json={**PLAN, "by": 4_000_000_000.0})
    code, output, _ = cli("plan --briefs 1000 --by 2096-10-02T07:00+00:00", found)
    assert code == SATISFIED
    assert "money       about 74.00 EUR" in output.splitlines()


def test_a_plan_tells_between_which_numbers_of_cards_the_one_lies_that_is_needed(cli: Cli) -> None:
    asked = "plan --briefs 1000 --by 2096-10-02T07:00+00:00"
    plan = {**PLAN, "by": 4_000_000_000.0}
    told = cli(asked, httpx.Response(200, json={**plan, "safe": 7}))[1].splitlines()
    assert "cards       5 cards: in time in 8 of 10 nights" in told
    assert "at least    4 cards: with fewer it is late in 9 of 10 nights" in told
    assert "to be safe  7 cards: in time in 19 of 20 nights" in told
    told = cli(asked, httpx.Response(200, json={**plan, "least": 1, "safe": None}))[1]
    assert "at least" not in told
    assert "to be safe  more cards make it no surer" in told.splitlines()
