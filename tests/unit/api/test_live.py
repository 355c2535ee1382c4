"""The view of running jobs on a terminal."""

from io import BytesIO, StringIO
from pathlib import Path

import httpx
import pytest
from rich.console import Console as RichConsole
from rich.console import RenderableType

from api.cli import run
from api.cli.console import SHORT, Console, Screen
from api.cli.live import JobView, LiveJob, bar
from api.cli.many import JobRow, JobTable
from api.cli.parser import parser
from api.client import Event, GoalCount, Job
from director import types
from director.loop import begin
from director.types import Brief, Candidate, Goal, LoopSettings, Outcome, Rendered, StopReason
from tests.support.api import decided, opening, planned, rendered, stopped, verified
from tests.support.scripted_service import JOB, event, job, scripted, stream

A, B, C = "aa" * 32, "bb" * 32, "cc" * 32
TWO = Rendered(candidates=(Candidate(image=A, seed=1), Candidate(image=B, seed=2)), by="test")
LOST = decided(C, accepted=False).model_copy(update={"gained": (), "lost": ("g1",)})
STORY = (
    *opening(),
    planned(), TWO, types.Selected(image=B, by="test"), verified(B, Outcome.MET, Outcome.MISSED), decided(B),
    planned(), rendered(C), verified(C, Outcome.MISSED, Outcome.MET), LOST,
)  # fmt: skip


def view(*events: types.Event, text: str = "A lamp", at: float = 0.0) -> JobView:
    settings = LoopSettings.model_validate({"candidates": 4, "rounds": 6})
    now = JobView(Job(id=JOB, title=text, status="running"), begin(Brief(text="A lamp"), settings, 1), at)
    for each in events:
        now = now.with_event(Event("", each.kind, each.model_dump(mode="json")), at)
    return now


def painted(what: RenderableType, width: int = 80, height: int = 24) -> list[str]:
    console = RichConsole(file=StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(what)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_round_has_its_micro_grid_and_what_came_of_it():
    lines = painted(LiveJob(view(*STORY, planned()), clock=lambda: 4.0))
    assert lines[0].startswith("A lamp")
    assert lines[0].endswith(JOB)
    assert lines[1:5] == [
        " 1 draw □■   ✓ 1/2 + a lamp",
        " 2 draw ■    ↩ 1/2 − a lamp",
        " 3 draw ····       draw a lamp",
        "not read    1 part of the brief: became no goal",
    ]
    assert lines[5] == "goals       ██████████████░░░░░░░░░░░░░░  1 of 2 met · 1 missed"
    assert lines[6] == "cost        3 rounds, 3 renders"
    assert lines[7].endswith("rendering · 4 s")


def test_it_counts_how_long_it_does_the_same():
    first = view(*opening(), at=10.0).with_progress("waiting: no worker serves planner", 12.0)
    same = first.with_progress("waiting: no worker serves planner", 20.0)
    other = same.with_progress("planning", 21.0)
    assert (first.since, same.since, other.since) == (12.0, 12.0, 21.0)


def test_an_event_of_a_newer_service_changes_nothing_but_the_clock():
    before = view(*opening())
    after = before.with_event(Event("9", "upscaled", {"kind": "upscaled", "by": 4}), 7.0)
    assert (after.trajectory, after.since) == (before.trajectory, 7.0)


@pytest.mark.parametrize("width", [20, 40, 80, 120])
@pytest.mark.parametrize("status", ["running", "done"])
def test_no_line_is_wider_than_the_terminal(width: int, status: str):
    now = view(*STORY, stopped(StopReason.BUDGET), text="A very long title " * 6)
    over = now.with_job(Job(id=JOB, title=now.job.title, status=status, stop="budget"))
    lines = painted(LiveJob(over, clock=lambda: 99.0), width)
    assert all(len(line) <= width for line in lines)
    assert any(line.startswith("goals ") for line in lines)


def test_on_a_low_terminal_the_newest_rounds_are_shown():
    many = view(*opening(), *[e for _ in range(12) for e in (planned(), rendered(C), LOST)])
    lines = painted(LiveJob(many, clock=lambda: 0.0), height=12)
    assert len(lines) <= 12
    assert lines[1].strip() == "… 7 earlier rounds"
    assert lines[6].startswith("12 draw")


def test_what_ended_says_how_and_what_is_missing():
    over = view(*STORY, stopped(StopReason.BUDGET)).with_job(Job(id=JOB, title="x", status="done", stop="budget"))
    lines = painted(LiveJob(over))
    assert lines[-2:] == ["missed      a chair", "done        budget: all is met"]


def test_what_a_brief_says_can_not_steer_the_terminal():
    evil = "\x1b[2J\x1b]0;pwned\x07[red]x[/]\u202e"
    goals = (Goal(id="g1", text=evil), Goal(id="g2", text="[bold]"))
    extracted = types.Extracted(goals=goals, by="test")
    action = types.Action(kind=types.ActionKind.EDIT, instruction=evil, targets=("g1",))
    events = (extracted, *opening()[1:], types.Planned(action=action, by="t"), *STORY[3:7], planned())
    lines = painted(LiveJob(view(*events, text=evil), clock=lambda: 0.0))
    assert all(line.isprintable() for line in lines)
    assert sum("[red]x[/]" in line for line in lines) == 2
    rows = JobTable({JOB: JobRow(Job(id=JOB, title=evil, status="running", doing=evil), 0.0)}, clock=lambda: 0.0)
    assert all(line.isprintable() for line in painted(rows))


@pytest.mark.parametrize(
    ("outcomes", "drawn"),
    [
        (["met"] * 4, "████████"),
        (["met", "missed", "unsure", ""], "██▒▒░░··"),
        (["missed"] * 2, "░░░░░░░░"),
        (["met"] + ["missed"] * 63, "░░░░░░░░"),
    ],
)
def test_the_bar_has_a_share_for_each_outcome(outcomes: list[str], drawn: str):
    assert bar(outcomes, 8, words=False).plain == drawn


def test_several_jobs_have_a_row_each_until_they_end():
    jobs = [Job(id=f"{n:08d}", title=f"job {n}", status="queued", doing="planning") for n in range(30)]
    jobs[7] = jobs[7].model_copy(update={"status": "running", "rounds": 2, "goals": GoalCount(met=1, total=2)})
    rows = JobTable({each.id: JobRow(each, 0.0) for each in jobs}, clock=lambda: 65.0)
    rows.update(jobs[3].model_copy(update={"status": "done"}), 1.0)
    lines = painted(rows, height=14)
    assert len(lines) == 11
    assert lines[0].split() == ["00000007", "job", "7", "round", "2", "██████······", "1/2", "planning", "·", "65", "s"]
    assert lines[-1] == "1 of 30 ended · 19 of them not shown"


def terminal(line: str, *answers: httpx.Response) -> tuple[int, str]:
    args = parser().parse_args(line.split())
    service, output = scripted(*answers), StringIO()
    console = RichConsole(file=output, width=80, height=24, force_terminal=True, color_system=None, highlight=False)
    with service.client() as client:
        screen = Screen(console, False, RichConsole(stderr=True))
        code = run(args, Console(client, screen, BytesIO(), service.slept.append))
    return code, output.getvalue()


def test_watch_on_a_terminal_leaves_the_last_state_there(tmp_path: Path):
    record = {"brief": {"text": "A lamp"}, "settings": {"candidates": 4}, "seed": 1, "events": []}
    told = [
        event(f"0.a.{n}", e.kind, e.model_dump(mode="json")) for n, e in enumerate((*STORY, stopped(StopReason.BUDGET)))
    ]
    end = event("9.a.0", "end", job("done", "budget", cost={"seconds": 12.0, "vlm_calls": 3}))
    now = httpx.Response(200, json=job("running", cost={"seconds": 5.0}))
    code, output = terminal(
        f"watch {JOB} -o {tmp_path}", now, httpx.Response(200, json=record), stream(*told, end), now, now,
        httpx.Response(200, json=record), httpx.Response(200, content=b"png"),
    )  # fmt: skip
    assert code == SHORT
    last = [line.rstrip() for line in output.splitlines()][-5:]
    assert [line.split()[0] for line in last] == [
        "goals",
        "cost",
        "missed",
        "done",
        "\x1b[?25hsaved",
    ]  # the cursor is back
    assert last[1] == "cost        2 rounds, 3 renders, 12 s of work, 3 model calls"
    assert f"saved       {tmp_path}/a-lamp-{JOB[:8]}.png" in output.replace("\n", "")
