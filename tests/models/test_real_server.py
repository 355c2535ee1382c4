"""Opt-in: a real model behind a profile's seats keeps to the forms that it is asked for. Its quality is not tested.

    VISIONDIRECTOR_TEST_PROFILE=./mine.json .venv-models/bin/python -m pytest -m models tests/models/test_real_server.py

The profile's model servers run already. Seats that it does not name are left out.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from director.prompts.tokens import about
from director.seats import ExtractRequest, PlanRequest, SelectRequest, VerifyRequest
from director.types import Brief, Candidate, Goal, Mode, Scope
from tasks.settings import load_settings
from tests.support.contexts import RecordingContext, plain_png
from worker.profiles import load_profile
from worker.sketch import sketch_studio
from worker.vlm.config import VlmConfig
from worker.vlm.seats import VlmSeats, examine, open_vlm_seats

PROFILE = "VISIONDIRECTOR_TEST_PROFILE"
pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(PROFILE not in os.environ, reason=f"{PROFILE} names no profile of a real model"),
]

STRINGS = ('GRAND "RE"OPENING', "Kaffee & Küche – täglich", "50% off\\today", "営業中")
BRIEF = Brief(
    text="A poster for a corner café in November. A brass kettle stands on a marble counter, steam curling up from its "
    "spout. "
    + " ".join(f"One line of lettering reads ‘{string}’." for string in STRINGS)
    + " Three croissants lie on a blue plate. Warm light falls in from the left. Leave the upper third empty. "
    "No people. Muted greens and browns. A bicycle leans at the window, a little out of focus."
)
GOALS = (
    Goal(id="g1", text="a brass kettle stands on a marble counter"),
    Goal(id="g2", text="three croissants lie on a blue plate", count=3),
    Goal(id="g3", text="no people", absent=True),
    *(
        Goal(id=f"s{n}", text=f"lettering reads ‘{string}’", type="text", scope=Scope.TEXT, string=string)
        for n, string in enumerate(STRINGS)
    ),
)


@pytest.fixture
def config() -> VlmConfig:
    config = load_profile(os.environ[PROFILE], load_settings()).profile.vlm
    if config is None:
        raise ValueError(f"the profile of {PROFILE} has no vlm: name the seats that a model fills")
    return config


@pytest.fixture
def context() -> RecordingContext:
    return RecordingContext()


@pytest.fixture
def opened(config: VlmConfig) -> Iterator[VlmSeats]:
    with ExitStack() as resources:
        yield open_vlm_seats(config, resources, beside=sketch_studio())


def needs(config: VlmConfig, seat: str) -> None:
    if seat not in config.seats:
        pytest.skip(f"the profile's {seat} is no model")


def test_the_servers_serve_what_the_seats_ask_for(config: VlmConfig):
    assert all(examine(server) for server in config.seats.values())


@pytest.mark.parametrize("extract", ["list", "clauses"])
def test_goals_come_in_the_briefs_own_words(config: VlmConfig, context: RecordingContext, extract: str):
    needs(config, "planner")
    assert config.planner
    asking = config.model_copy(update={"planner": config.planner.model_copy(update={"extract": extract})})
    with ExitStack() as resources:
        planner = open_vlm_seats(asking, resources, beside=sketch_studio()).planner
        goals = planner.extract(ExtractRequest(brief=BRIEF), context).goals
    assert goals
    assert all(goal.text in BRIEF.text for goal in goals)
    assert all(goal.string in BRIEF.text for goal in goals if goal.string)


@pytest.mark.parametrize("most_tokens", [None, 120])
def test_a_plan_holds_every_string_letter_for_letter(
    config: VlmConfig, opened: VlmSeats, context: RecordingContext, most_tokens: int | None
):
    needs(config, "planner")
    request = PlanRequest(
        brief=BRIEF, mode=Mode.ONE_SHOT, whole=True, everything=True, targets=GOALS, most_tokens=most_tokens
    )
    said = opened.planner.plan(request, context).action.instruction
    assert [string for string in STRINGS if string not in said] == []
    assert most_tokens is None or about(said) <= most_tokens


def test_a_judge_and_a_verifier_answer_about_pictures(config: VlmConfig, opened: VlmSeats, context: RecordingContext):
    needs(config, "judge")
    needs(config, "verifier")
    images = [context.images.put(plain_png(colour, 256, 256)) for colour in ("red", "green", "blue")]
    candidates = tuple(Candidate(image=image, seed=n) for n, image in enumerate(images))
    asked = SelectRequest(candidates=candidates, instruction="draw a kettle", goals=GOALS)
    assert opened.judge.select(asked, context).image in images
    verdicts = opened.verifier.verify(VerifyRequest(image=images[0], goals=GOALS), context).verdicts
    assert [verdict.goal for verdict in verdicts] == [goal.id for goal in GOALS]
