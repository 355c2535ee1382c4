"""Training on real torch: the objective, the policy's two arithmetics, and a run that is killed and goes on."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worker.bench.sketch_lab.worlds import TRAINING, tasks_of
from worker.cli import main
from worker.policy import tokens
from worker.policy.network import Network, initial, load_network
from worker.train.objective import advantages, objective
from worker.train.rollouts import Line, play, sampled
from worker.train.store import write_lines
from worker.train.worlds import job_of, policy_settings

CLIP, BETA = 0.2, 0.04


def test_the_objective_of_a_case_worked_out_by_hand() -> None:
    import torch

    # One rollout of two tokens that count and one that does not, one of a single token; A = +1 and -1.
    new = torch.tensor([[math.log(0.6), math.log(0.5), 9.0], [math.log(0.3), 7.0, 7.0]])
    old = torch.tensor([[math.log(0.4), math.log(0.5), 0.0], [math.log(0.6), 0.0, 0.0]])
    ref = torch.tensor([[math.log(0.6), math.log(0.25), 0.0], [math.log(0.3), 0.0, 0.0]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    # rho: 1.5 is clipped to 1.2; 1 stays. Of -1: rho 0.5, clipped to 0.8, the lesser of -0.5 and -0.8 is -0.8.
    # KL: 0 where new = ref; else 0.5 - ln 0.5 - 1.
    kl = 0.5 - math.log(0.5) - 1
    by_hand = ((1.2 - 0) + (1.0 - BETA * kl)) / 2 / 2 + (-0.8) / 2
    found = objective(new, old, ref, mask, torch.tensor([1.0, -1.0]), CLIP, BETA)
    assert abs(found.item() - by_hand) < 1e-6


def test_masked_tokens_get_no_gradient_at_all() -> None:
    import torch

    torch.manual_seed(1)
    new = torch.randn(4, 9, requires_grad=True)
    mask = torch.rand(4, 9) < 0.5
    mask[3] = False
    # Whatever stands at a masked place: it may be no number.
    old = new.detach() + torch.where(mask, 0.1 * torch.randn(4, 9), -torch.inf)
    objective(new, old, new.detach() - 0.1, mask, torch.randn(4), CLIP, BETA).backward()
    assert new.grad is not None
    assert new.grad[~mask].abs().max().item() == 0.0
    assert (new.grad[mask] != 0).sum() > 5
    assert new.grad.isfinite().all()


def test_advantages_are_of_the_group() -> None:
    import torch

    found = advantages(torch.tensor([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]]))
    assert torch.allclose(found[0], torch.tensor([-1.0, 0.0, 1.0]), atol=1e-3)
    assert found[1].abs().max() == 0


def lines() -> list[Line]:
    jobs = [job_of(task, policy_settings()) for task in tasks_of("training", 2, TRAINING) for _ in range(2)]
    return play(jobs, sampled(Network(initial(4), {}), "d"), "w")


def test_torch_and_numpy_say_the_same_of_the_same_weights() -> None:
    from worker.train.model import as_tensors, logprobs, shares

    weights = {name: 3 * w for name, w in initial(6).items()}
    decisions = [d for line in lines() for d in line.decisions]
    asked = [d.question for d in decisions], [d.menu for d in decisions]
    slow = Network(weights, {}).scores(*asked)
    fast = shares(as_tensors(weights, learn=False), decisions).numpy()
    for row, own in zip(fast, slow, strict=True):
        assert np.allclose(row[: len(own)], own, atol=1e-4)
        assert np.isneginf(row[len(own) :]).all()
    found, mask = logprobs(as_tensors(weights, learn=False), lines())
    assert (found[mask == 0] == 0).all()
    assert mask.sum() == len(decisions)


def test_sft_learns_what_the_teacher_does_and_stays_soft() -> None:
    from worker.train.model import as_arrays, as_tensors
    from worker.train.sft import SftSettings, taught

    weights = as_tensors(initial(0), learn=True)
    losses = taught(weights, lines(), SftSettings(epochs=60, batch=8, soft=0.2))
    assert losses[-1] < 0.7 * losses[0]
    decision = lines()[0].decisions[0]
    (scores,) = Network(as_arrays(weights), {}).scores([decision.question], [decision.menu])
    assert int(np.argmax(scores)) == decision.number
    assert np.exp(scores).min() > 0.005


def test_lessons_of_jobs_that_ran_teach_a_policy(tmp_path: Path) -> None:
    write_lines(tmp_path / "recorded.jsonl", lines())
    assert main(["train", "sft", "-o", str(tmp_path), "--epochs=2", f"--recorded={tmp_path / 'recorded.jsonl'}"]) == 0
    policy = load_network(tmp_path / "sft.policy")
    assert policy.about["tasks"] == len(lines())
    assert any((policy.weights[name] != each).any() for name, each in initial(0).items())


COMMAND = [sys.executable, "-m", "worker.cli", "train"]
SMALL = ["--steps=4", "--tasks=2", "--group=2", "--pool=4", "--validate-tasks=2", "--validate-every=3"]


def called(*words: str) -> None:
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(3600)
def test_a_run_that_is_killed_goes_on_and_ends_with_the_same(tmp_path: Path) -> None:
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    called("sft", "-o", str(whole), "--tasks", "4", "--epochs", "2")
    torn.mkdir()
    (torn / "sft.policy").write_bytes((whole / "sft.policy").read_bytes())
    called("grpo", "-o", str(whole), *SMALL)
    with subprocess.Popen([*COMMAND, "grpo", "-o", str(torn), *SMALL], stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 1200
        while not (torn / "checkpoint.pt").is_file():
            assert time.monotonic() < end
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert not (torn / "grpo.json").exists()
    called("grpo", "-o", str(torn), *SMALL)
    assert (torn / "best.policy").read_bytes() == (whole / "best.policy").read_bytes()
    assert (torn / "grpo.json").read_bytes() == (whole / "grpo.json").read_bytes()
    told: dict[str, Any] = json.loads((whole / "grpo.json").read_text())
    assert [row["step"] for row in told["curve"]] == [1, 2, 3, 4]
    assert [row["step"] for row in told["validated"]] == ["teacher", 0, 3, 4]
    called("export", "-o", str(torn), str(tmp_path / "planner.policy"))
    assert load_network(tmp_path / "planner.policy").about["trained"] == "grpo"
    told_row = json.loads((whole / "sft.jsonl").read_text().splitlines()[0])
    assert {"task", "seed", "ids", "mask", "decisions", "parts", "reward", "trajectory", "weights"} <= told_row.keys()
    assert max(told_row["ids"]) < len(tokens.WORDS) + len(tokens.NAMES)


def test_a_folder_of_other_settings_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from worker.cli import main
    from worker.train import store
    from worker.train.grpo import GrpoSettings

    store.write_policy(tmp_path / "sft.policy", initial(0), {})
    store.save(tmp_path, store.begun(initial(0), GrpoSettings()), GrpoSettings())
    assert main(["train", "grpo", "-o", str(tmp_path), "--group", "4"]) == 2
    assert "checkpoint.pt was made with group = 8; now it is 4" in capsys.readouterr().err
