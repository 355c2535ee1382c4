"""What of the own windows and budget is used: in the API, at the command line, on the desk."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from rich.console import Console as RichConsole

from api.cli import run
from api.cli.console import SATISFIED, Console, Screen
from api.cli.parser import parser
from api.client import Client
from tasks.batch.keeper import period_end
from tasks.batch.terms import OwnerTerms
from tasks.summary import Cost
from tests.support.api import ALICE, House, InProcess, browse, opening
from tests.unit.api.test_batches import admit, briefs, made
from tests.unit.api.test_job_orders import ALICE_AT_HER_BROWSER

SOON = datetime.now(UTC) + timedelta(hours=2)
WINDOW = f"{SOON:%H:%M}-{SOON + timedelta(hours=3):%H:%M} UTC"


def ruled(house: House, **terms: Any) -> dict[str, Any]:
    """Settings of the app, which a reconciler has told the ledger."""
    settings: dict[str, Any] = {"owners": {"alice": terms}, "models": {"flux-krea": {"render": 0.5}}}
    house.batches_ruled(**settings)
    return settings


def spend(house: House, alice: httpx.Client, renders: int) -> None:
    made(alice, *briefs("x"))
    [job] = admit(house)
    house.commit(job, *opening(), cost=Cost(renders=renders, gpu_ms=90_000))


def whoami(alice: httpx.Client) -> list[str]:
    transport = alice._transport  # pyright: ignore[reportPrivateUsage]
    assert isinstance(transport, InProcess)
    output = io.StringIO()
    client = Client("http://127.0.0.1:8100", "alice-token", transport=transport)
    screen = Screen(RichConsole(file=output, width=200), False, RichConsole(file=io.StringIO()))
    assert run(parser().parse_args(["whoami"]), Console(client, screen, io.BytesIO())) == SATISFIED
    return output.getvalue().splitlines()


def test_what_of_a_budget_is_used_and_left(house: House) -> None:
    budget = {"renders": 400, "gpu": "2h", "eur": 50}
    with browse(house.app(**ruled(house, budget=budget, per="day")), **ALICE) as alice:
        spend(house, alice, 40)
        found = alice.get("/v1/me").json()
        told = whoami(alice)
    assert (found["owner"], found["scopes"], found["open"]) == ("alice", ["read", "write"], True)
    left = found["budget"]
    assert (left["spent_renders"], left["left_renders"], left["state"]) == (40, 360, "open")
    assert (left["spent_gpu_seconds"], left["left_gpu_seconds"]) == (90.0, 7110.0)
    assert (left["spent_money"], left["left_money"], left["currency"]) == (20.0, 30.0, "eur")
    midnight = datetime.fromtimestamp(left["until"], UTC)
    assert (midnight.hour, midnight.minute) == (0, 0)
    assert told == [
        "owner       alice (read, write)",
        "at once     1000 jobs at most",
        "budget      40 of 400 renders, 2 min of 2 h of GPU, 20.00 of 50.00 EUR used this day",
        f"left        360 renders, 1 h 58 min of GPU, 30.00 EUR, until {midnight:%Y-%m-%d} 00:00 UTC",
    ]


@pytest.mark.parametrize(("renders", "state"), [(8, "open"), (9, "nothing new"), (12, "held")])
def test_how_a_budget_stands_is_told_on_the_desk(house: House, renders: int, state: str) -> None:
    app = house.app(**ruled(house, budget={"renders": 10}))
    with browse(app, **ALICE) as alice:
        spend(house, alice, renders)
        assert alice.get("/v1/me").json()["budget"]["state"] == state
    with browse(app, **ALICE_AT_HER_BROWSER) as browser:
        for path in ("/jobs", "/batches"):
            page = browser.get(path).text
            left = max(0, 10 - renders)
            assert f"Your budget of this month: {renders} of 10 renders used, {left} renders left until 20" in page
            assert ("Nothing new begins." in page) == (state == "nothing new")
            assert ("Nothing more is drawn until then." in page) == (state == "held")


def test_windows_that_are_shut_say_until_when(house: House) -> None:
    with browse(house.app(**ruled(house, windows=[WINDOW], at_close="hold")), **ALICE) as alice:
        found = alice.get("/v1/me").json()
        told = whoami(alice)
    opens = SOON.replace(second=0, microsecond=0).timestamp()
    assert (found["windows"], found["open"], found["changes"], found["budget"]) == ([WINDOW], False, opens, None)
    assert told[2] == f"windows     {WINDOW}"
    assert told[3].startswith("            shut until ") and told[3].endswith("; what was begun is held, too")
    always = [f"{SOON:%H:%M}-{SOON - timedelta(hours=1):%H:%M} UTC"]
    with browse(house.app(**ruled(house, windows=always)), **ALICE) as alice:
        found = alice.get("/v1/me").json()
    assert (found["open"], found["changes"]) == (True, opens - 3600)


def test_without_settings_there_is_nothing_to_tell(house: House, alice: httpx.Client) -> None:
    assert alice.get("/v1/me").json()["budget"] is None
    assert whoami(alice)[-1] == "budget      none: no operator set one"
    with browse(house.app(), **ALICE_AT_HER_BROWSER) as browser:
        assert "Your budget" not in browser.get("/jobs").text


@pytest.mark.parametrize(
    ("per", "zone", "now", "end"),
    [
        ("month", "UTC", "2026-12-31T23:59+00:00", "2027-01-01T00:00+00:00"),
        ("month", "Europe/Zurich", "2026-11-30T23:30+00:00", "2027-01-01T00:00+01:00"),
        ("day", "Europe/Zurich", "2026-03-28T12:00+00:00", "2026-03-29T00:00+01:00"),
        ("day", "Africa/Cairo", "2024-04-25T12:00+00:00", "2024-04-26T01:00+03:00"),  # there is no midnight
    ],
)
def test_a_period_ends_at_midnight_of_its_zone(per: str, zone: str, now: str, end: str) -> None:
    terms = OwnerTerms.model_validate({"per": per, "zone": zone})
    assert period_end(terms, datetime.fromisoformat(now).timestamp()) == datetime.fromisoformat(end).timestamp()
