"""`run_step` in process: every way in which a step can end, and that nothing is run or lost twice."""

import json
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from director.errors import Actor, DirectorError, EditorError, StoreError
from director.loop import direct
from director.seats import Context, ExtractRequest, PlanRequest, RenderRequest, Studio, VerifyRequest
from director.state import State
from director.types import Brief, Extracted, LoopSettings, Planned, Rendered, StopReason, Verified
from tasks.attempt import error_json
from tasks.canary import canary_fault
from tasks.jobs import JobStatus
from tasks.ledger.types import CONTROL
from tasks.reconcile import entry_of
from tasks.settings import Settings
from tasks.steps import StepEnd, backoff_ms, run_step
from tasks.summary import Cost, GoalSummary
from tests.support.contexts import PlainContext
from tests.support.scripted_studio import ScriptedStudio, brief_of, goals_of, play
from tests.support.step_rig import StepRig, make_step_rig
from worker.sketch import sketch_studio

ABC = goals_of("a", "b", "c")
SCRIPT = [{"a": "met"}, {"b": "met", "c": "met"}]
ONE = LoopSettings(candidates=1)


@pytest.fixture
def rig(tmp_path: Path) -> StepRig:
    return make_step_rig(tmp_path)


def record(rig: StepRig, job: str):
    found = rig.ledger.get(job)
    assert found
    return found


def test_a_job_runs_to_its_end_and_is_what_direct_makes(rig: StepRig):
    job = rig.submit(brief_of(ABC), ONE)
    ends = rig.drain(rig.host(play(*SCRIPT).studio()))
    assert set(ends) == {StepEnd.COMMITTED}
    done = record(rig, job)
    assert (done.status, done.stop) == (JobStatus.DONE, "satisfied")
    chain = rig.archive.chain(job, done.snapshot)
    assert len(chain) == len(ends) == done.step
    alone = direct(brief_of(ABC), ONE, 7, play(*SCRIPT).studio(), PlainContext(rig.images))
    assert chain[-1].trajectory.model_dump_json() == alone.model_dump_json()
    assert rig.archive.live() == []


def test_each_step_waits_on_the_queue_of_its_seat(rig: StepRig):
    rig.submit(brief_of(ABC), LoopSettings(candidates=2, adaptive=False, rounds=1, editor="perfect"))
    host = rig.host(play({}, {"a": "met"}).studio())
    queues: list[tuple[str, str]] = []
    while rig.hints:
        hint = rig.hints.popleft()
        queues.append((hint.kind, hint.queue))
        run_step(host, hint.job, hint.n)
    assert queues == [("plan", "planner"), ("render", "editor.perfect"), ("select", "judge"), ("verify", "verifier")]


def test_drafts_wait_on_the_queue_of_the_draft_and_the_full_edit_on_the_editors(rig: StepRig):
    job = rig.submit(brief_of(ABC), LoopSettings(candidates=1, draft_rounds=True, editor="perfect"))
    host = rig.host(play({"a": "met", "b": "met", "c": "met"}, {}).studio())
    queues: list[str] = []
    while rig.hints:
        hint = rig.hints.popleft()
        queues.append(hint.queue)
        run_step(host, hint.job, hint.n)
    assert queues == ["planner", "editor.perfect.draft", "verifier", "editor.perfect", "verifier"]
    assert record(rig, job).status is JobStatus.DONE


def test_a_hint_that_comes_twice_runs_once(rig: StepRig):
    job = rig.submit(brief_of(ABC), ONE)
    studio = play(*SCRIPT)
    host = rig.host(studio.studio())
    assert run_step(host, job, 0) is StepEnd.COMMITTED
    assert run_step(host, job, 0) is StepEnd.STALE
    assert run_step(host, job, 7) is StepEnd.STALE
    assert run_step(host, "no-such-job", 0) is StepEnd.UNKNOWN
    rig.drain(host)
    assert run_step(host, job, record(rig, job).step) is StepEnd.ENDED
    assert sum(isinstance(call, RenderRequest) for call in studio.calls) == 2


class Broken(ScriptedStudio):
    """Its editor fails as often as told."""

    failures = 0
    error: Exception = RuntimeError("no more memory")

    def render(self, request: RenderRequest, context: Context) -> Rendered:
        if self.failures:
            self.failures -= 1
            raise self.error
        return super().render(request, context)


def broken(failures: int, error: Exception | None = None) -> Broken:
    studio = Broken(script=iter(SCRIPT))
    studio.failures = failures
    studio.error = error or studio.error
    return studio


def retry(rig: StepRig, job: str, studio: Studio) -> None:
    """What the reconciler does once the wait is over."""
    rig.ledger.now_ms += 1_000
    hint = record(rig, job).hint
    run_step(rig.host(studio), hint.job, hint.n)


def quick(tmp_path: Path) -> StepRig:
    return make_step_rig(tmp_path, retry_base_s=0.000_001, retry_cap_s=0.000_001)


def test_a_seat_that_fails_is_tried_again_and_then_a_dead_letter(tmp_path: Path):
    rig = quick(tmp_path)
    job = rig.submit(brief_of(ABC), ONE)
    studio = broken(99).studio()
    run_step(rig.host(studio), job, 0)
    rig.hints.clear()
    for attempt in (1, 2, 3):
        with pytest.raises(EditorError, match="no more memory"):
            retry(rig, job, studio)
        assert record(rig, job).status is (JobStatus.FAILED if attempt == 3 else JobStatus.QUEUED)
    assert '"boundary": "editor"' in record(rig, job).error
    assert rig.archive.live() == [job]


def test_a_requeued_dead_letter_goes_on_where_it_died(tmp_path: Path):
    rig = quick(tmp_path)
    job = rig.submit(brief_of(ABC), ONE)
    studio = broken(3)
    run_step(rig.host(studio.studio()), job, 0)
    rig.hints.clear()
    for _ in range(3):
        with pytest.raises(EditorError):
            retry(rig, job, studio.studio())
    hint = rig.ledger.requeue(job)
    assert hint and hint.n == 1
    rig.hints.append(hint)
    rig.drain(rig.host(studio.studio()))
    assert record(rig, job).stop == "satisfied"


def test_storage_that_is_away_costs_no_attempt(tmp_path: Path):
    rig = quick(tmp_path)
    job = rig.submit(brief_of(ABC), ONE)
    studio = broken(50, StoreError("S3 is away"))
    run_step(rig.host(studio.studio()), job, 0)
    rig.hints.clear()
    for _ in range(50):
        with pytest.raises(StoreError):
            retry(rig, job, studio.studio())
    now = record(rig, job)
    assert (now.status, now.seat_failures) == (JobStatus.QUEUED, 0)
    rig.ledger.now_ms += 1_000
    rig.hints.append(now.hint)
    rig.drain(rig.host(studio.studio()))
    assert record(rig, job).stop == "satisfied"


def test_a_brief_that_asks_for_nothing_fails_at_once_with_the_reason(rig: StepRig):
    from director.errors import BriefError

    class Blank(ScriptedStudio):
        def extract(self, request: ExtractRequest, context: Context) -> Extracted:
            raise BriefError("the brief asks for nothing", "say what to show")

    job = rig.submit(Brief(text="Hello."), ONE)
    rig.drain(rig.host(Blank(script=iter(())).studio()))
    now = record(rig, job)
    assert (now.status, now.stop) == (JobStatus.FAILED, "failed")
    stop = rig.archive.load_snapshot(now.snapshot).trajectory.stop
    assert stop and stop.why == "the brief asks for nothing (say what to show)"


def test_a_refusal_that_is_final_is_not_tried_again(rig: StepRig):
    class TooLong(Exception):
        actor = Actor.USER

    job = rig.submit(brief_of(ABC), ONE)
    studio = broken(1, TooLong("the prompt does not fit the model"))
    rig.drain(rig.host(studio.studio()))
    now = record(rig, job)
    assert (now.status, now.stop) == (JobStatus.FAILED, "failed")
    stop = rig.archive.load_snapshot(now.snapshot).trajectory.stop
    assert stop and stop.why == "editor: TooLong: the prompt does not fit the model"


class Says(Exception):
    """What a seat raises when it knows who has to act."""

    resource = "http://vlm:30000/v1 (qwen)"
    fix = "mend it"

    def __init__(self, actor: Actor) -> None:
        super().__init__("it does not work")
        self.actor = actor


@pytest.mark.parametrize("actor", [Actor.OPERATOR, Actor.OUTAGE])
def test_what_the_job_is_not_to_blame_for_costs_no_attempt(tmp_path: Path, actor: Actor):
    rig = quick(tmp_path)
    job = rig.submit(brief_of(ABC), ONE)
    studio = broken(20, Says(actor))
    run_step(rig.host(studio.studio()), job, 0)
    rig.hints.clear()
    for _ in range(20):
        with pytest.raises(EditorError, match="does not work") as failure:
            retry(rig, job, studio.studio())
        assert failure.value.actor is actor
    now = record(rig, job)
    assert (now.status, now.seat_failures) == (JobStatus.QUEUED, 0)
    assert json.loads(now.error) == {
        "boundary": "editor", "message": "Says: it does not work", "fix": "mend it", "actor": actor.value,
        "resource": "http://vlm:30000/v1 (qwen)",
    }  # fmt: skip
    rig.ledger.now_ms += 1_000
    rig.hints.append(now.hint)
    rig.drain(rig.host(studio.studio()))
    assert record(rig, job).stop == "satisfied"


def test_what_an_operator_must_mend_and_nothing_can_hold_is_not_tried_for_ever(tmp_path: Path):
    rig = quick(tmp_path)
    job = rig.submit(brief_of(ABC), ONE)
    studio = broken(99, DirectorError("it can't be read")).studio()
    run_step(rig.host(studio), job, 0)
    rig.hints.clear()
    for _ in range(3):
        with pytest.raises(DirectorError, match="can't be read"):
            retry(rig, job, studio)
    assert record(rig, job).status is JobStatus.FAILED


def test_an_error_without_a_resource_names_none():
    assert json.loads(error_json(StoreError("S3 is away", "is it up?"))) == {
        "boundary": "store", "message": "S3 is away", "fix": "is it up?", "actor": "outage",
    }  # fmt: skip


def test_an_attempt_record_says_who_has_to_act(tmp_path: Path):
    rig = quick(tmp_path)
    job = rig.submit(brief_of(ABC), ONE)
    studio = broken(1, Says(Actor.OPERATOR))
    run_step(rig.host(studio.studio()), job, 0)
    with pytest.raises(EditorError):
        retry(rig, job, studio.studio())
    wait_for_records()
    (error,) = [each["error"] for each in rig.archive.attempts(job) if each["error"]]
    assert error["actor"] == "operator"


def test_cancel_before_a_step_ends_it_without_the_seat(rig: StepRig):
    job = rig.submit(brief_of(ABC), ONE)
    studio = play(*SCRIPT)
    host = rig.host(studio.studio())
    for n in range(4):  # plan, render, verify: a first picture is accepted; then a plan
        run_step(host, job, n)
    rig.hints.clear()
    asked = len(studio.calls)
    hint = rig.ledger.cancel(job)
    assert hint and hint.queue == CONTROL
    assert run_step(host, job, hint.n) is StepEnd.COMMITTED
    now = record(rig, job)
    assert (now.status, now.stop, len(studio.calls)) == (JobStatus.CANCELLED, "cancelled", asked)
    assert State.of(rig.archive.load_snapshot(now.snapshot).trajectory).best


@dataclass
class Waiting(ScriptedStudio):
    """Its editor works until `go` is set, and asks its host as it should."""

    started: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def render(self, request: RenderRequest, context: Context) -> Rendered:
        self.started.set()
        while not self.go.wait(0.005):
            context.check()
        return super().render(request, context)


def in_background(rig: StepRig, studio: ScriptedStudio, job: str, n: int) -> tuple[threading.Thread, list[StepEnd]]:
    ends: list[StepEnd] = []
    thread = threading.Thread(target=lambda: ends.append(run_step(rig.host(studio.studio()), job, n)))
    thread.start()
    return thread, ends


def test_cancel_reaches_a_seat_at_work(rig: StepRig):
    job = rig.submit(brief_of(ABC), ONE)
    run_step(rig.host(play().studio()), job, 0)
    studio = Waiting(script=iter(SCRIPT))
    thread, ends = in_background(rig, studio, job, 1)
    assert studio.started.wait(60)
    assert rig.ledger.cancel(job) is None
    thread.join(60)
    assert ends == [StepEnd.COMMITTED]
    assert record(rig, job).status is JobStatus.CANCELLED


def test_a_cancel_that_comes_as_the_step_ends_keeps_its_work(rig: StepRig):
    class Late(ScriptedStudio):
        def verify(self, request: VerifyRequest, context: Context) -> Verified:
            rig.ledger.cancel(job)
            return super().verify(request, context)

    job = rig.submit(brief_of(ABC), ONE)
    rig.drain(rig.host(Late(script=iter(SCRIPT)).studio()))
    now = record(rig, job)
    trajectory = rig.archive.load_snapshot(now.snapshot).trajectory
    assert now.status is JobStatus.CANCELLED
    assert trajectory.stop and trajectory.stop.reason is StopReason.CANCELLED
    assert State.of(trajectory).best


def test_seconds_are_a_budget(rig: StepRig):
    job = rig.submit(brief_of(ABC), LoopSettings(max_seconds=5), created=1.0)
    rig.drain(rig.host(play().studio()))
    assert (record(rig, job).status, record(rig, job).stop) == (JobStatus.DONE, "budget")


def test_a_step_that_hangs_is_charged_and_its_process_killed(tmp_path: Path):
    rig = make_step_rig(tmp_path, max_step_s={"render": 0.05}, retry_base_s=0.001)
    job = rig.submit(brief_of(ABC), ONE)
    run_step(rig.host(play().studio()), job, 0)
    killed = threading.Event()

    class Hung(ScriptedStudio):
        def render(self, request: RenderRequest, context: Context) -> Rendered:
            assert killed.wait(60)
            return super().render(request, context)

    host = rig.host(Hung(script=iter(SCRIPT)).studio(), die=killed.set)
    # Here the process lives on; its late commit must not count.
    assert run_step(host, job, 1) is StepEnd.REFUSED
    now = record(rig, job)
    assert (now.step, now.seat_failures, now.status) == (1, 1, JobStatus.QUEUED)
    assert "longer than its 0.05 s" in now.error
    assert (now.cost.attempts, now.cost.wasted_attempts) == (2, 1)


def wait_for_records() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("lease-"):
            thread.join(60)


def test_every_try_leaves_a_record_of_what_it_took(tmp_path: Path):
    rig = quick(tmp_path)
    job = rig.submit(brief_of(ABC), ONE)
    studio = broken(1)
    run_step(rig.host(studio.studio()), job, 0)
    rig.hints.clear()
    with pytest.raises(EditorError):
        retry(rig, job, studio.studio())
    retry(rig, job, studio.studio())
    wait_for_records()
    found = sorted(rig.archive.attempts(job), key=lambda a: (a["n"], a["attempt"]))
    assert [(a["kind"], a["attempt"], a["committed"], a["renders"]) for a in found] == [
        ("plan", 1, True, 0), ("render", 1, False, 0), ("render", 2, True, 1),
    ]  # fmt: skip
    assert found[1]["error"]["message"] == "RuntimeError: no more memory"
    assert all(a["seconds"] > 0 and a["host"] == "bench" for a in found)
    told = record(rig, job).cost
    assert told == Cost.total(found)
    assert (told.attempts, told.wasted_attempts, told.renders) == (3, 1, 1)


def test_the_ledger_is_told_how_the_goals_stand(rig: StepRig):
    job = rig.submit(brief_of(ABC), ONE)
    host = rig.host(ScriptedStudio(script=iter(SCRIPT)).studio())
    assert record(rig, job).summary == GoalSummary(total=3)
    rig.drain(host)
    wait_for_records()
    now = record(rig, job)
    assert now.summary == GoalSummary.of(rig.archive.load_snapshot(now.snapshot).trajectory)
    assert now.summary.coverage is not None
    assert now.summary.met + now.summary.missed + now.summary.unsure == 3
    entry = entry_of(rig.archive, job)
    assert entry
    assert (entry.summary, entry.cost) == (now.summary, now.cost)


def test_counts_and_kept_words_are_in_the_attempt_record(rig: StepRig):
    class Talkative(ScriptedStudio):
        def verify(self, request: VerifyRequest, context: Context) -> Verified:
            for tokens in (20, 22):
                context.count("prompt_tokens", tokens)
            context.keep("prompt", b"is it red?")
            return super().verify(request, context)

    job = rig.submit(brief_of(ABC), LoopSettings(candidates=1, rounds=1))
    rig.drain(rig.host(Talkative(script=iter(SCRIPT)).studio()))
    wait_for_records()
    found = rig.archive.attempts(job)
    assert record(rig, job).cost == Cost.total(found)
    (verify,) = [a for a in found if a["kind"] == "verify"]
    assert verify["counts"] == {"prompt_tokens": 42}
    assert rig.archive.load_blob(verify["blobs"]["prompt"][0]) == b"is it red?"


class Away(Exception):
    """What a seat raises when its server is away: `director.errors.boundary` looks for these."""

    actor = Actor.OUTAGE
    resource = "http://vlm/v1"
    retry_after_s = 20.0


def test_a_server_that_is_away_holds_the_queue_and_says_when_to_come_back(tmp_path: Path):
    rig = quick(tmp_path)
    job = rig.submit(brief_of(ABC), ONE)
    studio = broken(1, Away("refused")).studio()
    run_step(rig.host(studio), job, 0)
    with pytest.raises(EditorError):
        retry(rig, job, studio)
    [hold] = rig.ledger.holds()
    assert (hold.queue, hold.actor, hold.resource) == ("editor.flux-krea", Actor.OUTAGE, "http://vlm/v1")
    assert record(rig, job).seat_failures == 0
    assert run_step(rig.host(studio), job, 1) is StepEnd.HELD
    rig.ledger.now_ms += 20_001
    assert run_step(rig.host(studio), job, 1) is StepEnd.COMMITTED
    assert rig.ledger.holds() == []


def test_the_shortest_pause_that_a_server_names_is_one_and_blames_no_job(tmp_path: Path):
    rig = quick(tmp_path)
    busy = Away("busy")
    busy.retry_after_s = 0.000_4
    unlucky, lucky = broken(2, busy).studio(), play(*SCRIPT).studio()
    job, other = (rig.submit(brief_of(ABC), ONE) for _ in range(2))
    run_step(rig.host(unlucky), job, 0)
    run_step(rig.host(lucky), other, 0)
    with pytest.raises(EditorError, match="busy"):
        retry(rig, job, unlucky)
    rig.ledger.now_ms += 60_001
    assert run_step(rig.host(lucky), other, 1) is StepEnd.COMMITTED  # the server does work
    with pytest.raises(EditorError, match="busy"):
        retry(rig, job, unlucky)
    assert record(rig, job).seat_failures == 0


def test_a_worker_that_fails_beside_others_stands_back_before_its_message_is_gone(tmp_path: Path):
    rig, told = make_step_rig(tmp_path, retry_base_s=0.000_001), list[str]()
    for worker in ("sick@a", "well@b"):
        rig.ledger.announce(worker, ["editor.flux-krea"], 10**7)
    job = rig.submit(brief_of(ABC), ONE)
    studio = broken(1).studio()
    host = replace(rig.host(studio), worker="sick@a", stand_back=lambda: told.append("stand back"))
    run_step(host, job, 0)
    assert told == []
    with pytest.raises(EditorError):
        run_step(host, job, 1)
    assert told == ["stand back"]
    assert run_step(host, job, 1) is StepEnd.RESTING
    assert told == ["stand back"] * 2
    assert [hint.job for hint in rig.ledger.overdue("editor.flux-krea", 60_000, 9)] == [job]  # others are told at once
    assert run_step(replace(host, worker="well@b"), job, 1) is StepEnd.COMMITTED


def test_the_holder_is_the_worker_of_the_machine(rig: StepRig):
    job = rig.submit(brief_of(ABC), ONE)
    seen: list[str] = []

    class Looking(ScriptedStudio):
        def plan(self, request: PlanRequest, context: Context) -> Planned:
            seen.append(record(rig, job).holder)
            return super().plan(request, context)

    run_step(replace(rig.host(Looking(script=iter(SCRIPT)).studio()), worker="thinker@a"), job, 0)
    assert seen == ["thinker@a"]


def test_a_step_with_many_tries_behind_it_waits_no_longer_than_the_cap():
    assert backoff_ms(Settings(), 100_000) == 60_000


def test_a_canary_draws_with_each_model_and_stores_nothing():
    studio = broken(0)
    assert canary_fault(studio.studio(), ["perfect", "other"]) == ""
    assert [call.model for call in studio.calls if isinstance(call, RenderRequest)] == ["perfect", "other"]
    assert canary_fault(broken(1).studio(), ["perfect"]) == "RuntimeError: no more memory"
    assert canary_fault(sketch_studio(), ["flux-krea"]) == ""
