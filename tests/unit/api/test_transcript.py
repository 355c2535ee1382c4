import time

import pytest

from api.cli import transcript
from api.client import Eta, Event, GoalCount, Job, JobError
from director import types
from director.errors import RULES, Actor
from director.transcript import Transcript, plain
from director.types import Candidate, Outcome, Planned, Rendered, Selected, StopReason
from tests.support.api import decided, opening, planned, rendered, stopped, verified

A, B = "aa" * 32, "bb" * 32


def told(*events: types.Event) -> list[str]:
    narrator = Transcript()
    streamed = [Event("0.a.0", event.kind, event.model_dump(mode="json")) for event in events]
    return [str(transcript.event_line(narrator, event)) for event in streamed]


def test_a_round_reads_as_lines() -> None:
    two = Rendered(candidates=(Candidate(image=A, seed=1), Candidate(image=B, seed=2)), by="flux-krea")
    assert told(
        *opening(), planned(), two, Selected(image=B, why="closer", by="judge"),
        verified(B, Outcome.MET, Outcome.MISSED), decided(B), stopped(StopReason.BUDGET),
    ) == [
        "goals       2 goals: a lamp · a chair",
        "plan        staged: two goals",
        "round 1     draw “draw a lamp”",
        "rendered    2 candidates by flux-krea",
        "picked      candidate 2 of 2: closer",
        "verified    1/2 goals met; missed: a chair",
        "accepted    1/2 goals met  + a lamp",
        "stopped     budget: all is met",
    ]  # fmt: skip


def test_a_rollback_keeps_the_standing() -> None:
    lines = told(
        *opening(), planned(), rendered(A), verified(A, Outcome.MET, Outcome.MISSED), decided(A),
        planned(), rendered(B), verified(B, Outcome.MISSED, Outcome.MET),
        decided(B, accepted=False).model_copy(update={"lost": ("g1",), "gained": ("g2",)}),
    )  # fmt: skip
    assert lines[-1] == "rolled back 1/2 goals met  + a chair  − a lamp"


def test_unsure_goals_and_a_second_look_are_named() -> None:
    seen = verified(A, Outcome.MET, Outcome.UNSURE)
    again = seen.model_copy(update={"again": True})
    assert told(*opening(), planned(), rendered(A), seen, again)[-2:] == [
        "verified    1/2 goals met, 1 unsure",
        "verified    1/2 goals met, 1 unsure, second look",
    ]


def test_what_a_model_says_can_not_steer_a_terminal() -> None:
    action = types.Action(kind=types.ActionKind.EDIT, instruction="\x1b[2J\x1b]0;pwned\x07[red]x[/]\u202e", targets=())
    [line] = told(Planned(action=action, by="test"))
    assert line.isprintable()
    assert "[red]x[/]" in line


def test_an_event_of_a_newer_service_is_no_crash() -> None:
    newer = Event("0.a.0", "upscaled", {"kind": "upscaled", "by": 4})
    assert str(transcript.event_line(Transcript(), newer)).strip() == "upscaled"


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [("a  b\nc", 100, "a b c"), ("x" * 12, 10, "x" * 9 + "…"), ("", 5, ""), ("a\u2028b", 5, "a b")],
)
def test_plain(text: str, most: int, expected: str) -> None:
    assert plain(text, most) == expected


def test_a_summary_of_a_failed_job() -> None:
    job = Job(
        id="j", title="Lamp", status="failed", doing="", goals=GoalCount(met=1, unsure=1, total=3), rounds=1, renders=4,
        error=JobError(boundary="editor", message="out of memory", fix="use a smaller size"),
    )  # fmt: skip
    assert [str(line) for line in transcript.summary_lines(job)] == [
        "job         j  Lamp",
        "status      failed",
        "goals       1/3 met, 1 unsure",
        "cost        1 round, 4 renders",
        "error       editor: out of memory (use a smaller size)",
    ]


@pytest.mark.parametrize("actor", list(Actor))
@pytest.mark.parametrize("status", ["running", "failed"])
def test_an_error_says_who_has_to_act(actor: Actor, status: str) -> None:
    job = Job(id="j", status=status, error=JobError(boundary="judge", message="no", actor=actor))
    acts = f"{RULES[actor].who}: {RULES[actor].then}"
    if actor is Actor.SEAT and status == "failed":  # nothing happens by itself
        acts = "the operator: all tries are used up; visiondirector requeue j"
    assert [str(line) for line in transcript.error_lines(job)] == ["error       judge: no", f"who         {acts}"]


def test_a_paused_job_is_called_so() -> None:
    assert transcript.state(Job(id="j", status="queued", paused=True)) == "paused"
    assert transcript.state(Job(id="j", status="done", stop="budget", paused=True)) == "done, budget"


@pytest.mark.parametrize("actor", [None, "", "the cat"])
def test_an_actor_that_is_not_known_is_not_told(actor: str | None) -> None:
    job = Job(id="j", status="failed", error=JobError(boundary="judge", message="no", actor=actor))
    assert [str(line) for line in transcript.error_lines(job)] == ["error       judge: no"]


def test_a_job_says_when_it_ends_or_why_nobody_knows() -> None:
    now = time.time()
    eta = Eta(
        p10=now, p50=now, p90=now, limits="its own steps", knows_little_of=("0 renders",), money=1.5, currency="eur"
    )
    job = Job(id="1", status="running", doing="rendering", eta=eta)
    clock = transcript.clock(now)
    assert [str(line) for line in transcript.ends_lines(job)] == [
        f"ends        about {clock} ({clock} to {clock}); what limits: its own steps",
        "money       about 1.50 EUR when it has ended",
        "unsure      0 renders",
    ]
    unknown = Job(id="1", status="running", doing="paused", eta_unknown="ask again")
    assert [str(line) for line in transcript.ends_lines(unknown)] == ["ends        not known: ask again"]
    assert not transcript.ends_lines(unknown.model_copy(update={"eta_unknown": "paused"})), "it is said already"
