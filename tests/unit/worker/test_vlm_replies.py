"""What the VLM seats make of replies that are no use, or that cost more than they should, against a scripted server."""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydantic import ValidationError

from director.errors import Actor, PlannerError, boundary
from director.loop import direct, perform
from director.seats import PlanRequest, SelectRequest, Studio
from director.types import ActionKind, Brief, Candidate, LoopSettings
from tasks.settings import Settings
from tests.support.contexts import RecordingContext, plain_png
from tests.support.scripted_openai import (
    Answer,
    Request,
    Scripted,
    fills,
    plays_with_opinions,
    question,
    says,
    scripted,
    weighs,
)
from tests.support.scripted_studio import goals_of
from tests.support.vlm_desk import EXTRACT, GOAL, GOOD, desk
from worker.checks.preflight import on_paper
from worker.cli import main
from worker.profiles import load_profile
from worker.sketch import sketch_studio
from worker.studio import open_studio
from worker.vlm.config import PlannerConfig, Server, VlmConfig
from worker.vlm.failures import VlmRefused, VlmUnavailable
from worker.vlm.seats import open_vlm_seats

STRINGS = goals_of("a", string="ONE") + goals_of("b", string="TWO") + goals_of("c", string="THREE")


def planned(**changes: object) -> PlanRequest:
    plain = {"brief": Brief(text="A shop."), "mode": "staged", "whole": True, "targets": STRINGS}
    return PlanRequest.model_validate({**plain, **changes})


def says_plan(instruction: str) -> Scripted:
    return fills({"instruction": instruction, "region": None})


# --- asking again -------------------------------------------------------------------------------


def test_a_re_ask_names_all_that_is_missing_is_warmer_and_shows_no_refused_reply():
    with desk(says_plan("A shop"), says_plan("Set ONE"), says_plan("Set ONE, TWO, THREE")) as at:
        planned_ = at.seats.planner.plan(planned(), at.context)
        first, second, third = at.server.requests
    assert planned_.action.instruction == "Set ONE, TWO, THREE"
    assert "could not be used: the instruction must quote “ONE”, “TWO”, “THREE” exactly." in question(second)
    assert "must quote “ONE”, “TWO”, “THREE” exactly; the instruction must quote “TWO”, “THREE” exactly" in question(
        third
    )
    assert all(question(later).startswith(question(first)) for later in (second, third))  # one prefix in the cache
    assert "A shop" not in question(third).replace(question(first), "")
    assert [(r["temperature"], "seed" in r) for r in (first, second, third)] == [(0, False), (0.4, True), (0.8, True)]
    assert second["seed"] != third["seed"]
    assert at.context.counts["vlm_re_asks"] == 2
    assert "vlm_salvaged" not in at.context.counts


def test_the_same_step_is_asked_again_in_the_same_words_and_with_the_same_seeds():
    bodies: list[str] = []
    for _ in range(2):
        with desk(says_plan("A shop")) as at:
            at.seats.planner.plan(planned(), at.context)
            bodies.append(json.dumps(at.server.requests))
    assert bodies[0] == bodies[1]


def test_after_the_last_re_ask_the_missing_strings_are_written_in_and_counted():
    with desk(says_plan("A shop with ONE.")) as at:
        action = at.seats.planner.plan(planned(), at.context).action
    assert action.instruction == "A shop with ONE. Set the text “TWO”. Set the text “THREE”."
    counted = {
        name: at.context.counts[name] for name in ("vlm_re_asks", "vlm_salvaged", "vlm_repairs", "repaired_strings")
    }
    assert counted == {"vlm_re_asks": 2, "vlm_salvaged": 1, "vlm_repairs": 2, "repaired_strings": 2}


def test_a_usable_reply_counts_if_later_ones_are_worse():
    with desk(says_plan("A shop with ONE."), says("I can't"), says("")) as at:
        assert at.seats.planner.plan(planned(), at.context).action.instruction.startswith("A shop with ONE. Set")
        assert [line["problem"][:9] for line in at.context.exchanges("plan")] == ["the instr", "the reply", "the reply"]


def test_the_clock_does_not_decide_what_is_salvaged():
    slow = Scripted(says_plan("A shop with ONE.").body, wait=0.15)
    with desk(slow, planner_deadline_s=0.25) as at:
        with pytest.raises(PlannerError), boundary(PlannerError):
            at.seats.planner.plan(planned(), at.context)
        assert "vlm_salvaged" not in at.context.counts


# --- goals --------------------------------------------------------------------------------------


def test_advice_is_mended_without_asking_again_and_counted():
    second = {**GOAL, "clauses": [2], "parents": [2, 1], "region": [900, 0, 0, 500]}
    with desk(fills({"goals": [{**GOAL, "parents": [2]}, second]})) as at:
        goals = at.seats.planner.extract(EXTRACT, at.context).goals
        assert len(at.server.requests) == 1
    assert [goal.parents for goal in goals] == [(), ("g01",)]
    counts = {name: n for name, n in at.context.counts.items() if "repair" in name}
    assert counts == {"vlm_repairs": 3, "repaired_parents": 2, "repaired_region": 1}


@pytest.mark.parametrize(
    "reply", [fills({"goals": [GOAL] * 6}), says('{"goals": [' + ", ".join([json.dumps(GOAL)] * 9), "length")]
)
def test_a_model_that_goes_round_in_circles_loses_no_job(reply: Scripted):
    with desk(reply) as at:
        goals = at.seats.planner.extract(EXTRACT, at.context).goals
        assert len(at.server.requests) == 3
    assert goals[0].text == "A red cup stands on a table"
    assert at.context.counts["vlm_salvaged"] == 1
    assert at.context.counts["repaired_twice"] >= 5


def labels(request: Request) -> Scripted:
    return (
        weighs(object=0.9, nothing=0.1) if "1. A red cup" in question(request).split("this:")[1] else weighs(light=1.0)
    )


def test_a_profile_may_ask_about_each_clause_alone():
    with desk(labels, planner_extract="clauses") as at:
        goals = at.seats.planner.extract(EXTRACT, at.context).goals
        assert [(goal.type, goal.text) for goal in goals] == [
            ("add_object", "A red cup stands on a table"), ("lighting", "Soft light comes from the left"),
        ]  # fmt: skip
        assert {request["max_tokens"] for request in at.server.requests} == {1}
        assert at.server.requests[0]["regex"].startswith("(object|Object|text|")


# --- the judge ----------------------------------------------------------------------------------


def test_the_judge_reads_goals_first_and_labelled_pictures_in_eight_questions_at_most():
    with desk(weighs(A=0.4, B=0.6)) as at:
        images = [at.context.images.put(plain_png(colour)) for colour in ("red", "green", "blue", "grey", "white")]
        candidates = tuple(Candidate(image=image, seed=n) for n, image in enumerate(images[:4]))
        request = SelectRequest(candidates=candidates, instruction="draw", goals=goals_of("a"), base=images[4])
        at.seats.judge.select(request, at.context)
        assert len(at.server.requests) == 6
        shapes = {
            tuple(part.get("text", "").split("\n")[0] if part["type"] == "text" else "*" for part in content)
            for r in at.server.requests
            for content in [r["messages"][1]["content"]]
        }
    assert [shape[1:-1] for shape in shapes] == [("Before the edit:", "*", "Picture A:", "*", "Picture B:", "*")]
    assert "show a" in at.server.requests[0]["messages"][1]["content"][0]["text"]


# --- what a request holds -----------------------------------------------------------------------

QUIET = {"chat_template_kwargs": {"enable_thinking": False}}


def test_further_fields_go_into_every_request():
    with desk(GOOD, weighs(A=0.9, B=0.1), planner_extra=QUIET, judge_extra=QUIET) as at:
        at.seats.planner.extract(EXTRACT, at.context)
        at.seats.judge.select(at.select(), at.context)
        assert all(request["chat_template_kwargs"] == {"enable_thinking": False} for request in at.server.requests)
        assert at.context.exchanges("extract")[0]["request"]["chat_template_kwargs"]
    with pytest.raises(ValidationError, match="messages is set by the seat itself"):
        Server(model="m", extra={"messages": []})


def test_thoughts_are_stripped_and_a_model_that_thinks_before_one_word_is_named():
    goals = json.dumps({"goals": [GOAL]})
    with desk(says(f"<think>{{}} or so</think>{goals}")) as at:
        assert at.seats.planner.extract(EXTRACT, at.context).goals
    with desk(weighs(**{"<think>": 1.0})) as at:
        with pytest.raises(VlmRefused, match="thinks before it answers") as failure:
            at.seats.verifier.verify(at.verify(), at.context)
        assert failure.value.actor is Actor.OPERATOR
        assert "enable_thinking" in failure.value.fix
        assert len(at.server.requests) == 1
    with (
        desk(says("<think>well, well", "length")) as at,
        pytest.raises(PlannerError, match="inside its thoughts"),
        boundary(PlannerError),
    ):
        at.seats.planner.extract(EXTRACT, at.context)


def test_an_answer_has_as_long_as_its_tokens_take():
    server = Server(model="m", first_token_s=10, tokens_per_s=20)
    assert (server.answer_s(1), server.answer_s(400)) == (10.05, 30)
    assert Server(model="m", timeout_s=7).answer_s(4000) == 7
    default = Server(model="m")
    assert default.answer_s(default.max_tokens) < default.deadline_s


def test_a_long_answer_is_waited_for_where_a_word_is_not():
    """The same server, as slow for either: 0.3 s; a form may take 64 tokens / 20 a second."""
    rates = {"first_token_s": 0.1, "tokens_per_s": 20}
    slow = {f"{seat}_{name}": value for seat in ("planner", "judge") for name, value in rates.items()}
    with desk(Scripted(GOOD.body, wait=0.3), planner_max_tokens=64, **slow) as at:
        assert at.seats.planner.extract(EXTRACT, at.context).goals
        assert len(at.server.requests) == 1
        with pytest.raises(VlmUnavailable, match="timed out"):
            at.seats.judge.select(at.select(), at.context)


@pytest.mark.parametrize(("deadline", "ok"), [(97, False), (99, True)])
def test_the_doctor_finds_a_deadline_that_no_whole_reply_can_keep(tmp_path: Path, deadline: float, ok: bool):
    seat = {"url": "http://127.0.0.1:30001/v1", "model": "m", "deadline_s": deadline}
    checks = on_paper(load_profile(profile(tmp_path, {"planner": seat}), Settings()))
    (endpoints,) = (check for check in checks if check.name == "endpoints")
    assert endpoints.ok is ok
    assert ok or "a reply of 4096 tokens takes up to 98 s, and its deadline_s is 97" in endpoints.found


# --- seats one by one ---------------------------------------------------------------------------


def profile(folder: Path, vlm: dict[str, object]) -> str:
    workers = [
        {"name": "all", "seats": ["planner", "judge", "verifier", "control"]},
        {"name": "e", "seats": ["editor"]},
    ]
    path = folder / "mine.json"
    path.write_text(json.dumps({"about": "a test", "vlm": vlm, "boxes": {"here": {"workers": workers}}}))
    return str(path)


def test_a_vlm_planner_works_beside_sketch_seats(tmp_path: Path):
    sketch = sketch_studio()
    with scripted(plays_with_opinions) as server, ExitStack() as resources:
        word = profile(tmp_path, {"planner": {"url": server.url, "model": "scripted"}})
        assert all(check.ok for check in on_paper(load_profile(word, Settings())))
        studio = open_studio(Settings(studio=word), resources)
        assert [type(seat) for seat in (studio.editor, studio.judge, studio.verifier)] == [
            type(seat) for seat in (sketch.editor, sketch.judge, sketch.verifier)
        ]
        settings = LoopSettings(editor="perfect", candidates=2, rounds=2, width=192, height=192)
        done = direct(Brief(text='A red cup. Set "TEA" at the top.'), settings, 1, studio, RecordingContext())
    assert {event.by for event in done.events if event.kind in ("extracted", "planned")} == {"scripted"}
    assert any(event.kind == "verified" and event.by.startswith("sketch") for event in done.events)


def test_a_vlm_fills_one_seat_at_least_and_the_rest_comes_from_somewhere():
    with pytest.raises(ValidationError, match="it fills no seat"):
        VlmConfig()
    alone = VlmConfig(planner=PlannerConfig(model="m"))
    assert list(alone.seats) == ["planner"]
    with ExitStack() as resources, pytest.raises(Exception, match="a seat has no model"):
        open_vlm_seats(alone, resources, {})


# --- what an image model reads ------------------------------------------------------------------


def test_the_planner_knows_what_the_editor_reads_and_overflow_is_asked_again():
    long = "A quiet street lies in the sun. A cat sleeps on the wall. Far away a bell rings over roofs. All is well. "
    short = "A street with ONE, TWO, THREE."
    with desk(says_plan(long + short), says_plan(short)) as at:
        sketch = sketch_studio()
        limits = {("flux-krea", ActionKind.GENERATE): 30}
        studio = Studio(at.seats.planner, sketch.editor, sketch.judge, sketch.verifier, limits)
        reply = perform(planned(model="flux-krea"), studio, at.context)
        assert reply.kind == "planned" and reply.action.instruction == short
        assert "no more than 20 words" in question(at.server.requests[0])
        assert "has 29 words: write 20 or fewer" in question(at.server.requests[1])
    with desk(says_plan(long + short)) as at:
        studio = Studio(at.seats.planner, sketch.editor, sketch.judge, sketch.verifier, limits)
        reply = perform(planned(model="flux-krea"), studio, at.context)
        assert reply.kind == "planned" and reply.action.instruction.endswith(short)
        assert at.context.counts["repaired_shortened"] == 1


def test_profiles_say_what_their_editors_read():
    editors = load_profile("one-80gb", Settings()).profile.editors
    assert editors
    limits = editors.limits()
    assert limits["flux-krea", ActionKind.GENERATE] == 512 - 8
    assert limits["flux-krea", ActionKind.EDIT] == limits["qwen-image.draft", ActionKind.GENERATE] == 1024 - 8


# --- kept exchanges -----------------------------------------------------------------------------


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_direct_and_goals_keep_what_was_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "brief.txt").write_text('A red cup. Set "TEA" at the top.')
    brief, keep, more = str(tmp_path / "brief.txt"), tmp_path / "kept", ["--set", "width=192", "--set", "height=192"]

    def with_server(answer: Answer, *words: str) -> int:
        with scripted(answer) as server:
            word = profile(tmp_path, {"planner": {"url": server.url, "model": "scripted"}})
            return main([words[0], brief, "--profile", word, "--keep", str(keep), *words[1:]])

    one_shot = ["--strategy", "reprompt", "--set", "editor=perfect", *more]
    assert with_server(plays_with_opinions, "direct", "-o", str(tmp_path / "out"), *one_shot) == 0
    assert kept(keep) == ["0001-extract.jsonl", "0002-plan.jsonl"]
    assert with_server(says("I can't"), "goals") == 1  # what was refused can be looked at
    assert kept(keep)[2:] == ["0003-extract.jsonl"]
    lines = [json.loads(line) for line in (keep / "0003-extract.jsonl").read_text().splitlines()]
    assert [line["response"]["choices"][0]["message"]["content"] for line in lines] == ["I can't"] * 3
    assert "the planner failed" in capsys.readouterr().err
