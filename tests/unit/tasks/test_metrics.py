"""What a worker counts for Prometheus, in process."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from director.errors import DirectorError, StoreError
from director.seats import Context, RenderRequest
from director.types import LoopSettings, Rendered
from tasks.metrics import ReconcilerMeter, StepMeter, serve
from tasks.retention import Swept
from tasks.settings import BadSettings, Settings
from tasks.steps import run_step
from tests.support.scripted_studio import ScriptedStudio, brief_of, goals_of, play
from tests.support.step_rig import StepRig, make_step_rig

ABC = goals_of("a", "b", "c")
ONE = LoopSettings(candidates=1)


@pytest.fixture
def rig(tmp_path: Path) -> StepRig:
    return make_step_rig(tmp_path)


class Counted:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.meter = StepMeter(self.registry, {"plan": 120, "render": 600})

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"visiondirector_{name}", labels)


def test_a_job_is_counted_from_its_first_step_to_its_goals(rig: StepRig) -> None:
    counted = Counted()
    rig.submit(brief_of(ABC), ONE)
    host = rig.host(play({"a": "met"}, {"b": "met", "c": "met"}).studio())
    ends = rig.drain(replace(host, observe=counted.meter.observe))
    kinds = {kind: counted("step_seconds_count", kind=kind, end="committed") for kind in ("plan", "render", "verify")}
    assert sum(n or 0 for n in kinds.values()) == len(ends)
    assert kinds["render"] == 2
    assert counted("renders_total", queue="editor.flux-krea") == 2
    assert counted("jobs_ended_total", status="done", stop="satisfied") == 1
    assert counted("goals_total", outcome="met") == 3
    assert counted("goals_total", outcome="missed") == 0
    assert counted("max_step_seconds", kind="render") == 600


class Broken(ScriptedStudio):
    """Counts like a real editor, and then raises what it is told to."""

    error: Exception

    def render(self, request: RenderRequest, context: Context) -> Rendered:
        context.count("gpu_ms", 1500)
        context.count("denoising_steps", 30)
        raise self.error


def test_failures_are_counted_where_they_happened(tmp_path: Path) -> None:
    rig = make_step_rig(tmp_path, retry_base_s=0.000_001, retry_cap_s=0.000_001)
    counted = Counted()
    assert counted("step_failures_total", kind="render", boundary="editor", actor="seat", then="retry") == 0
    studio = Broken(script=iter(()))
    host = replace(rig.host(studio.studio()), observe=counted.meter.observe)
    job = rig.submit(brief_of(ABC), ONE)
    run_step(host, job, 0)
    for error in (RuntimeError("broke"), StoreError("S3 is away"), RuntimeError("broke"), RuntimeError("broke")):
        studio.error = error
        with pytest.raises(DirectorError):
            run_step(host, job, 1)
    assert counted("step_failures_total", kind="render", boundary="editor", actor="seat", then="retry") == 2
    assert counted("step_failures_total", kind="render", boundary="editor", actor="seat", then="dead") == 1
    assert counted("step_failures_total", kind="render", boundary="store", actor="outage", then="retry") == 1
    assert counted("step_seconds_count", kind="render", end="failed") == 4
    assert counted("gpu_seconds_total") == 6
    assert counted("seat_work_total", what="denoising_steps") == 120
    assert counted("seat_work_total", what="gpu_ms") is None


def test_the_reconciler_counts_its_passes_and_the_hints_it_sends_again() -> None:
    registry = CollectorRegistry()
    meter = ReconcilerMeter(registry)
    assert registry.get_sample_value("visiondirector_reconciler_passes_total", {"whole": "no"}) == 0
    meter.passed(True)
    meter.resent("planner", 3)
    assert registry.get_sample_value("visiondirector_reconciler_passes_total", {"whole": "yes"}) == 1
    assert registry.get_sample_value("visiondirector_hints_resent_total", {"queue": "planner"}) == 3


def test_the_reconciler_counts_what_gc_removed_and_what_hooks_were_told() -> None:
    registry = CollectorRegistry()
    meter = ReconcilerMeter(registry)
    meter.swept(None)
    meter.swept(Swept(jobs={"a": "old"}, images=3, notices=2, bytes=500))
    for outcome in ("told", "again", "told"):
        meter.noticed(outcome)
    meter.dead_notices(4)

    def counted(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"visiondirector_{name}", labels)

    assert [counted("gc_runs_total", whole=whole) for whole in ("yes", "no")] == [1, 1]
    removed = [counted("gc_removed_total", what=what) for what in ("jobs", "batches", "pictures", "blobs", "notices")]
    assert (removed, counted("gc_bytes_total")) == ([1, 0, 3, 0, 2], 500)
    assert [counted("notices_total", outcome=outcome) for outcome in ("told", "again", "dead")] == [2, 1, 0]
    assert counted("notices_dead") == 4


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BadSettings, match=rf"metrics_port: can't listen on 127.0.0.1:{port}.*choose a free port"):
            serve(CollectorRegistry(), Settings(), port)
