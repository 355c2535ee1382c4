"""The three VLM seats against a server that plays a script: malformed replies, errors, silence, orders."""

import base64
import io
import json
import pickle
import threading
from contextlib import ExitStack

import pytest
from PIL import Image

from director.errors import RULES, Actor, Cancelled, DirectorError, PlannerError, SeatError, VerifierError, boundary
from director.seats import ExtractRequest, VerifyRequest
from director.types import Brief, Goal, Region
from tests.support.contexts import RecordingContext, plain_png
from tests.support.scripted_openai import Request, Scripted, fails, fills, question, says, scripted, weighs
from tests.support.scripted_studio import goals_of
from tests.support.vlm_desk import EXTRACT, GOAL, GOOD, config, desk
from worker.vlm.config import Server, VlmConfig
from worker.vlm.failures import VlmUnavailable
from worker.vlm.seats import examine, open_vlm_seats

# --- replies ----------------------------------------------------------------------------------


def test_a_malformed_reply_is_asked_for_again_with_the_error_shown():
    with desk(says("I can't"), fills({"goals": [{**GOAL, "clauses": [7]}]}), GOOD) as at:
        found = at.seats.planner.extract(EXTRACT, at.context)
        assert [goal.text for goal in found.goals] == ["A red cup stands on a table"]
        last = at.server.requests[-1]["messages"]
        assert [message["role"] for message in last] == ["system", "user"]  # what was refused would only be repeated
        assert "I can't" not in json.dumps(last)
        assert "there is no clause 7; the clauses are 1 to 2" in question(at.server.requests[-1])
        assert [request["temperature"] for request in at.server.requests] == [0, 0.4, 0.8]
        assert at.context.counts == {
            "vlm_calls": 3, "vlm_re_asks": 2, "vlm_retries": 0,
            "prompt_tokens": 300, "completion_tokens": 30, "cached_tokens": 180,
        }  # fmt: skip


@pytest.mark.parametrize(
    "reply",
    [
        says("no JSON"),
        says(""),
        says(None),
        says('{"goals": [', "length"),
        says(json.dumps({"goals": [GOAL]}), "length"),
        fills({"goals": []}),
        fills({"verdicts": []}),
        Scripted(b"<html>busy</html>"),
        Scripted(b'{"choices": []}'),
        Scripted(b"\xff\xfe"),
    ],
)
def test_a_reply_that_stays_malformed_fails_the_attempt_after_two_re_asks(reply: Scripted):
    with desk(reply) as at:
        with pytest.raises(PlannerError, match="ReplyError") as failure, boundary(PlannerError):
            at.seats.planner.extract(EXTRACT, at.context)
        assert len(at.server.requests) == 3
        assert failure.value.actor is Actor.SEAT
        assert len(at.context.exchanges("extract")) == 3


def test_a_long_brief_is_read_in_parts_whose_goals_are_numbered_on():
    brief = Brief(text="\n".join(f"- Thing {n}" for n in range(1, 61)))
    with desk(fills({"goals": [GOAL]}), fills({"goals": [{**GOAL, "clauses": [31]}]})) as at:
        goals = at.seats.planner.extract(ExtractRequest(brief=brief), at.context).goals
        assert [(goal.id, goal.text) for goal in goals] == [("g01", "Thing 1"), ("g02", "Thing 31")]
        assert len(at.server.requests) == 2


def test_a_reply_with_control_tokens_is_not_shown_back():
    with desk(says("<|im_end|><|im_start|>system"), GOOD) as at:
        at.seats.planner.extract(EXTRACT, at.context)
        assert "<|" not in json.dumps(at.server.requests[-1]["messages"])


def test_an_unreadable_verdict_is_an_error_and_never_a_zero():
    with desk(weighs(hello=0.9, yes=0.05, no=0.05)) as at:
        with pytest.raises(VerifierError, match="one of: yes, no, unsure"), boundary(VerifierError):
            at.seats.verifier.verify(at.verify(), at.context)
        assert len(at.server.requests) == 3


# --- errors of the server ---------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422])
def test_a_refusal_is_not_tried_again(status: int):
    with desk(fails(status, "too long for this model")) as at:
        with pytest.raises(PlannerError, match="too long for this model") as failure, boundary(PlannerError):
            at.seats.planner.extract(EXTRACT, at.context)
        actor = Actor.USER if status in (400, 413, 422) else Actor.OPERATOR
        assert failure.value.actor is actor
        assert pickle.loads(pickle.dumps(failure.value)).actor is actor
        assert len(at.server.requests) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_server_error_is_tried_once_more(status: int):
    with desk(fails(status), GOOD) as at:
        assert at.seats.planner.extract(EXTRACT, at.context).goals
        assert at.context.counts["vlm_calls"] == 2
        assert at.context.counts["vlm_retries"] == 1
        assert at.context.counts["vlm_re_asks"] == 0


def test_after_one_retry_the_queue_owns_it():
    with desk(fails(500)) as at:
        with pytest.raises(PlannerError, match=r"VlmUnavailable.*scripted") as failure, boundary(PlannerError):
            at.seats.planner.extract(EXTRACT, at.context)
        assert len(at.server.requests) == 2
        assert failure.value.actor is Actor.OUTAGE
        assert at.context.counts["vlm_calls"] == 2


def told(body: object) -> Scripted:
    """An error under HTTP 200."""
    return Scripted(json.dumps(body).encode())


OUT_OF_MEMORY = {"object": "error", "message": "out of memory", "type": "InternalServerError", "code": 500}


@pytest.mark.parametrize(
    "body", [OUT_OF_MEMORY, {"object": "error", "message": "out of memory"}, {"error": {"message": "out of memory"}},
             {"error": {"message": "out of memory", "code": "oom"}}]
)  # fmt: skip
def test_an_error_in_an_answer_keeps_its_words(body: object):
    with desk(told(body)) as at:
        with pytest.raises(PlannerError, match="out of memory") as failure, boundary(PlannerError):
            at.seats.planner.extract(EXTRACT, at.context)
        assert failure.value.actor is Actor.OUTAGE
        assert at.context.counts["vlm_retries"] == 1
        assert at.context.counts["vlm_re_asks"] == 0
    with desk(told(body), GOOD) as at:
        assert at.seats.planner.extract(EXTRACT, at.context).goals


@pytest.mark.parametrize(
    ("message", "code", "actor"),
    [("the prompt is too long for this model", 400, Actor.USER), ("no such adapter", 404, Actor.OPERATOR)],
)
def test_a_refusal_in_an_answer_is_not_tried_again(message: str, code: int, actor: Actor):
    with desk(told({"object": "error", "message": message, "code": code})) as at:
        with pytest.raises(PlannerError, match=message) as failure, boundary(PlannerError):
            at.seats.planner.extract(EXTRACT, at.context)
        assert failure.value.actor is actor
        assert len(at.server.requests) == 1


def test_a_timeout_is_tried_once_more():
    with desk(Scripted(GOOD.body, wait=0.4), planner_timeout_s=0.1) as at:
        with pytest.raises(VlmUnavailable, match="timed out"):
            at.seats.planner.extract(EXTRACT, at.context)
        assert at.context.counts["vlm_calls"] == 2


def test_all_calls_of_a_step_share_one_deadline():
    slow = weighs(yes=0.9, no=0.1)
    with desk(Scripted(slow.body, wait=0.15), verifier_deadline_s=0.2) as at:
        with pytest.raises(VlmUnavailable, match=r"timed out|are used") as failure:
            at.seats.verifier.verify(at.verify(), at.context)
        assert failure.value.actor is Actor.OUTAGE
        assert len(at.server.requests) < 6


def test_malformed_replies_that_use_up_the_deadline_are_the_seats():
    over = threading.Event()

    def thinks(request: object) -> Scripted:
        over.wait(60)
        return GOOD

    with desk(says("no JSON"), thinks, planner_deadline_s=1) as at:
        with pytest.raises(PlannerError, match="ReplyError") as failure, boundary(PlannerError):
            at.seats.planner.extract(EXTRACT, at.context)
        over.set()
        assert failure.value.actor is Actor.SEAT
        assert at.context.counts["vlm_calls"] == 2


def test_no_server_is_no_verdict():
    with scripted(GOOD) as gone:
        url = gone.url
    with ExitStack() as resources:
        seats = open_vlm_seats(config(url), resources, {})
        with pytest.raises(VlmUnavailable, match="Connection error"):
            seats.planner.extract(EXTRACT, RecordingContext())


def test_a_cancel_does_not_wait_for_the_server():
    cancelled = threading.Event()

    def thinks(request: object) -> Scripted:
        at.context.cancelled = True
        assert cancelled.wait(30), "the seat waited for the server"
        return GOOD

    with desk(thinks) as at:
        with pytest.raises(Cancelled):
            at.seats.planner.extract(EXTRACT, at.context)
        cancelled.set()


# --- what is sent and kept --------------------------------------------------------------------


def test_pictures_go_first_as_data_urls_at_the_pixel_budget():
    with desk(weighs(yes=0.9, no=0.1), verifier_pixels=16_384) as at:
        wide = at.context.images.put(plain_png("red", 512, 256, "RGBA"))
        at.seats.verifier.verify(VerifyRequest(image=wide, goals=goals_of("a")), at.context)
        content = at.server.requests[0]["messages"][1]["content"]
    assert [part["type"] for part in content] == ["image_url", "text"]
    kind, _, data = content[0]["image_url"]["url"].partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert (picture.size, picture.mode) == ((181, 90), "RGB")


def test_goals_share_everything_up_to_the_question():
    with desk(weighs(yes=0.9, no=0.1)) as at:
        at.seats.verifier.verify(at.verify(), at.context)
        starts = {json.dumps([r["messages"][0], r["messages"][1]["content"][:-1]]) for r in at.server.requests}
    assert len(at.server.requests) == 3
    assert len(starts) == 1


def test_lettering_with_a_place_is_also_shown_enlarged_behind_the_shared_prefix():
    place = Region(x0=0.5, y0=0.5, x1=0.75, y1=0.625)
    sign = Goal(id="b", text="show b", type="text", string="OPEN", region=place)
    cup = Goal(id="c", text="show c", region=place)
    with desk(weighs(yes=0.9, no=0.1), verifier_pixels=65_536) as at:
        drawn = Image.new("RGB", (256, 256), "white")
        drawn.paste("red", (128, 128, 192, 160))
        buffer = io.BytesIO()
        drawn.save(buffer, "PNG")
        image = at.context.images.put(buffer.getvalue())
        at.seats.verifier.verify(VerifyRequest(image=image, goals=(*goals_of("a"), sign, cup)), at.context)
        asked = [request["messages"][1]["content"] for request in at.server.requests]
        line = next(each for each in at.context.exchanges("verify") if "show b" in json.dumps(each))
    assert len({content[0]["image_url"]["url"] for content in asked}) == 1
    (detailed,) = (content for content in asked if len(content) == 3)
    assert "show b" in detailed[-1]["text"]
    assert "enlarged" in detailed[-1]["text"]
    with Image.open(io.BytesIO(base64.b64decode(detailed[1]["image_url"]["url"].partition(",")[2]))) as crop:
        assert crop.size == (181, 90)  # a quarter of the pixels, of 96 x 48
        assert crop.getpixel((90, 45)) == (255, 0, 0)
        assert crop.getpixel((5, 5)) == (255, 255, 255)
    shown = line["request"]["messages"][1]["content"]
    assert [part["type"] for part in shown] == ["image", "image", "text"]
    assert shown[1]["detail"] == {"x0": 0.4375, "y0": 0.4688, "x1": 0.8125, "y1": 0.6562}


def test_the_first_goal_warms_the_cache_for_the_rest_which_go_together():
    together = threading.Barrier(3, timeout=60)
    seen: list[str] = []

    def answer(request: Request) -> Scripted:
        seen.append(question(request))
        if len(seen) > 1:
            together.wait()
        return weighs(yes=0.9, no=0.1)

    with desk(answer, verifier_concurrency=3) as at:
        at.seats.verifier.verify(at.verify(*goals_of("a", "b", "c", "d")), at.context)
    assert "show a" in seen[0]
    assert len(seen) == 4


def test_prompts_and_replies_are_kept_with_pictures_by_hash():
    with desk(weighs(yes=0.9, no=0.1), verifier_token_ids=True) as at:
        at.seats.verifier.verify(at.verify(), at.context)
        assert at.server.requests[0]["return_token_ids"] is True
        lines = at.context.exchanges("verify")
        assert len(at.context.kept) == 1
        assert len(lines) == 3
        assert lines[0]["request"]["messages"][1]["content"][0] == {"type": "image", "image": at.pictures[0]}
        assert "base64" not in json.dumps(lines)
        assert lines[0]["response"]["choices"][0]["logprobs"]


def test_the_key_comes_from_the_environment_by_name():
    with scripted(GOOD) as server, ExitStack() as resources:
        seats = open_vlm_seats(config(server.url, planner_api_key_env="MY_KEY"), resources, {"MY_KEY": "s3cret"})
        context = RecordingContext()
        seats.planner.extract(EXTRACT, context)
        assert "s3cret" not in str(context.kept)


def test_a_seat_asks_the_model_that_its_settings_name():
    with desk(GOOD, weighs(A=0.9, B=0.1), planner_model="base:planner", judge_model="base:judge") as at:
        assert at.seats.planner.extract(EXTRACT, at.context).by == "base:planner"
        assert at.seats.judge.select(at.select(), at.context).by == "base:judge"
        assert [request["model"] for request in at.server.requests] == ["base:planner", "base:judge", "base:judge"]


def test_settings_are_refused_where_they_stand():
    server = {"model": "qwen", "url": "http://127.0.0.1:1/v1"}
    one = VlmConfig.model_validate(dict.fromkeys(("planner", "judge", "verifier"), server))
    assert (one.judge.model, one.verifier.confident) == ("qwen", 0.81)
    for wrong in ({"model": ""}, {"model": "x", "url": "file:///etc"}, {"model": "x", "re_asks": 3}, {"x": 1}):
        with pytest.raises(ValueError, match="validation error"):
            Server.model_validate(wrong)


def test_the_doctor_finds_a_model_that_is_not_served():
    with scripted(GOOD, models=("base", "tuned")) as server:
        assert "serves base:tuned" in examine(Server(url=server.url, model="base:tuned"), {})
        with pytest.raises(DirectorError, match="base, tuned, and no other"):
            examine(Server(url=server.url, model="base:other"), {})
    with pytest.raises(DirectorError, match="start the server"):
        examine(Server(url=server.url, model="base"), {})


def test_a_seat_error_is_not_final_by_itself():
    assert not RULES[SeatError("x").actor].final
