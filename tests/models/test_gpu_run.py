"""The prepared GPU run at toy size: each section works, rows are kept and judged. Its numbers mean nothing."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.perf.gpu.verdict import judged
from worker.diffusion.loading import diffusers, torch

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = (
    "product draw", "product edit", "product inpaint", "streamed encoder", "eager, 4 x draw", "eager, 2 x edit",
    "profile of eager", "attention _native_math", "both branches in one masked call", "compiled, native, 1 x draw",
    "cache first-block", "cache taylor-seer", "FP8 rows, 1 x draw", "FP8 rows, compiled", "quantize fp8",
)  # fmt: skip


def started(out: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.perf.gpu", "--toy", "--out", str(out), *more]
    environ = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def kept(out: Path) -> dict[str, Any]:
    file = out / "gpu.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"rows": []}


def by_goal(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {verdict["goal"]: verdict for verdict in found["goals"]}


def test_a_toy_run_does_every_section_and_judges_itself(tmp_path: Path):
    said, _ = started(tmp_path, "--seconds", "1000").communicate(timeout=280)
    found = kept(tmp_path)
    assert found["failed"] == [], said[-3000:]
    assert [s for s in SECTIONS if not any(row["what"].startswith(s) for row in found["rows"])] == []
    assert found["rows"][0]["what"].startswith("parts of")  # the product goes first
    assert all("failed" not in row and "not_usable" not in row for row in found["rows"])
    goals = by_goal(found)
    assert goals["draw: exact, times plain"]["found"] > 0
    assert goals["edit: exact, share of the ceiling"]["found"] > 0
    assert goals["relative difference of exact rows from plain calls"]["reached"]
    assert goals["peak memory, of the doctor's budget"]["reached"] is None  # a CPU has no peak
    assert found["notes"]["toy"]


def test_a_killed_run_keeps_its_rows(tmp_path: Path):
    run = started(tmp_path, "--only", "speed")
    deadline = time.monotonic() + 250
    while len(kept(tmp_path)["rows"]) < 3 and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    run.kill()
    said, _ = run.communicate()
    found = kept(tmp_path)
    assert len(found["rows"]) >= 3, said[-3000:]
    assert by_goal(found)["draw: exact, times plain"]["found"] is not None


def test_sections_without_time_are_left_out(tmp_path: Path):
    started(tmp_path, "--seconds", "0").communicate(timeout=280)
    assert {row["left_out"] for row in kept(tmp_path)["rows"]} == {"no time"}


def row(how: str, pictures: int, seconds: float, apart: float = 0.0, exact: bool = True) -> dict[str, Any]:
    return {
        "what": how, "how": how, "kind": "draw", "pictures": pictures, "claims_exact": exact, "apart": apart,
        "s_a_step_and_picture": seconds, "of_ceiling": 0.2 / seconds,
    }  # fmt: skip


def test_only_what_is_exact_wins():
    rows = [
        row("eager", 1, 1.0),
        row("compiled", 2, 0.5),
        row("wrong", 2, 0.3, apart=0.2),
        row("fp8", 2, 0.2, 0, False),
    ]
    times, share, *_, exact, _ = judged(rows, {"tolerance": 0.05})
    assert (times.found, times.reached, times.by) == (2.0, True, "compiled")
    assert (share.found, share.reached) == (0.4, False)
    assert (exact.found, exact.reached, exact.by) == (0.2, False, "wrong")


@pytest.mark.parametrize(("peak", "reached"), [(38.1, True), (41.9, True), (37.9, False), (42.1, False), (None, None)])
def test_memory_is_held_against_the_budget(peak: float | None, reached: bool | None):
    cold = {"what": "first", "of_the_budget": False, "card_peak_GiB": 70.0}
    warm = {"what": "again", "of_the_budget": True, **({"card_peak_GiB": peak} if peak else {})}
    assert judged([cold, warm], {"tolerance": 0.05, "budget_GiB": 40.0})[-1].reached is reached


def test_counted_operations_are_those_of_torch():
    from torch.utils.flop_counter import FlopCounterMode

    from tests.perf.gpu.device import TOY
    from tests.perf.gpu.flops import forward_flops
    from tests.perf.gpu.models import inputs, transformer

    t, model = torch(), transformer(TOY)
    diffusers()
    given = inputs(TOY, model.config, 24)
    # On a CPU torch's counter knows attention in its plain form only, as two products.
    plain = t.nn.attention.sdpa_kernel(t.nn.attention.SDPBackend.MATH)
    with t.no_grad(), plain, FlopCounterMode(display=False) as counter:
        model(**given)
    assert forward_flops(model.config, TOY.cells**2, 24) == pytest.approx(counter.get_total_flops(), rel=0.01)
