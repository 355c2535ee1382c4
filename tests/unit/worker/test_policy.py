"""The small policy: what it reads, its file, and what it chooses for jobs with `decide: planner`."""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from director.errors import DirectorError
from director.loop import advance, begin, next_step, perform
from director.seats import DecideRequest
from director.types import Brief, Chosen, LoopSettings, Trajectory
from tests.support.contexts import MemoryImages
from worker.cli import main
from worker.local import LocalContext
from worker.policy import tokens
from worker.policy.network import Network, dumped, initial, load_network, shapes
from worker.sketch import sketch_studio
from worker.train.grpo import best
from worker.train.rollouts import Job, play, preferred, sampled
from worker.train.worlds import job_of, policy_settings

TEXT = "A red kite on the left. A blue car on the right. The text 'SALE' at the top. Soft light comes from the left."
SETTINGS = policy_settings(width=128, height=128, rounds=3)


def questions() -> list[DecideRequest]:
    """All that is asked in one job of the sketch studio that always takes the schedule's option."""
    asked: list[DecideRequest] = []
    context, studio = LocalContext(MemoryImages()), sketch_studio()
    trajectory = begin(Brief(text=TEXT), SETTINGS, 3)
    while request := next_step(trajectory):
        if isinstance(request, DecideRequest):
            asked.append(request)
        trajectory = advance(trajectory, perform(request, studio, context))
    return asked


def test_every_option_and_state_of_a_job_has_its_word() -> None:
    asked = questions()
    assert len(asked) > 1
    for request in asked:
        words = [tokens.WORDS[i] for i in tokens.question(request)]
        assert words[-1] == "choose"
        assert len(words) <= tokens.LONGEST
        assert [tokens.NAMES[i] for i in tokens.menu(request)] == [option.name for option in request.options]
    assert "first" in [tokens.WORDS[i] for i in tokens.question(asked[0])]
    assert len(set(tokens.WORDS)) == len(tokens.WORDS)


def test_the_longest_question_fits() -> None:
    request = questions()[-1]
    many = request.model_copy(update={"goals": tuple(request.goals[0] for _ in range(64)), "rounds_left": 99})
    assert len(tokens.question(many)) <= tokens.LONGEST


def test_what_nobody_named_is_read_as_unknown() -> None:
    request = questions()[-1]
    odd = request.options[0].model_copy(update={"name": "edit-7-n3"})
    changed = request.model_copy(update={"options": (odd, *request.options[1:])})
    assert tokens.NAMES[tokens.menu(changed)[0]] == "?"
    network = Network(initial(1), {})
    (scores,) = network.scores([tokens.question(changed)], [tokens.menu(changed)])
    assert np.isclose(np.exp(scores).sum(), 1)


def test_a_batch_says_what_one_question_says() -> None:
    asked = questions()
    network = Network(initial(1), {})
    together = network.scores([tokens.question(a) for a in asked], [tokens.menu(a) for a in asked])
    for request, scores in zip(asked, together, strict=True):
        (alone,) = network.scores([tokens.question(request)], [tokens.menu(request)])
        assert np.allclose(alone, scores, atol=1e-12)


def test_the_file_holds_the_weights_and_is_the_same_bytes_again(tmp_path: Path) -> None:
    path = tmp_path / "a.policy"
    path.write_bytes(dumped(initial(5), {"trained": "not at all"}))
    network = load_network(path)
    assert network.about == {"trained": "not at all"}
    assert dumped(network.weights, network.about) == path.read_bytes()
    assert sum(w.size for w in network.weights.values()) < 130_000


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "not a zip"), (b"junk", "not a zip"), (None, "no such file"), ("short", "another version")],
    ids=["empty", "junk", "missing", "another version"],
)
def test_a_bad_file_is_named_with_what_writes_a_good_one(tmp_path: Path, data: object, said: str) -> None:
    path = tmp_path / "bad.policy"
    if data == "short":
        path.write_bytes(_with_array(dumped(initial(0), {}), "words.npy", np.zeros((3, 64), np.float32)))
    elif isinstance(data, bytes):
        path.write_bytes(data)
    with pytest.raises(DirectorError, match="train export") as caught:
        load_network(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value).lower()


def _with_array(data: bytes, name: str, array: np.ndarray) -> bytes:
    held, file = io.BytesIO(), io.BytesIO()
    np.save(held, array)
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w") as new:
        for each in old.namelist():
            new.writestr(each, held.getvalue() if each == name else old.read(each))
    return file.getvalue()


def test_a_profile_with_a_policy_chooses_by_it(tmp_path: Path) -> None:
    (tmp_path / "planner.policy").write_bytes(dumped(initial(2), {}))
    (tmp_path / "p.json").write_text(
        json.dumps({"about": "t", "policy": str(tmp_path / "planner.policy"), "boxes": {"here": {}}})
    )
    (tmp_path / "brief.txt").write_text(TEXT)
    command = [
        "direct",
        str(tmp_path / "brief.txt"),
        "--profile",
        str(tmp_path / "p.json"),
        "-o",
        str(tmp_path / "out"),
    ]
    for name, value in (("decide", "planner"), ("width", 128), ("height", 128), ("rounds", 2)):
        command += ["--set", f"{name}={value}"]
    assert main(command) == 0
    done = Trajectory.model_validate_json((tmp_path / "out" / "trajectory.json").read_bytes())
    choices = [event for event in done.events if isinstance(event, Chosen)]
    digest = hashlib.sha256((tmp_path / "planner.policy").read_bytes()).hexdigest()
    assert choices
    assert {choice.by for choice in choices} == {f"policy:{digest[:12]}"}
    assert any(choice.number for choice in choices)


def test_a_missing_policy_is_told_before_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.json").write_text(json.dumps({"about": "t", "policy": "/nowhere", "boxes": {"here": {}}}))
    assert main(["doctor", "--profile", str(tmp_path / "p.json")]) == 1
    assert "/nowhere can't be read as a policy" in capsys.readouterr().out


def _jobs(settings: LoopSettings, count: int = 2) -> list[Job]:
    from worker.bench.sketch_lab.worlds import TRAINING, tasks_of

    return [job_of(task, settings) for task in tasks_of("training", count, TRAINING)]


def test_rollouts_are_the_same_alone_and_together() -> None:
    network = Network(initial(4), {})
    together = play(_jobs(policy_settings()), sampled(network, "d"), "w")
    alone = play(_jobs(policy_settings())[:1], sampled(network, "d"), "w")
    assert together[0] == alone[0]
    assert together[0].decisions
    assert len(together[0].ids) == len(together[0].mask)
    assert sum(together[0].mask) == len(together[0].decisions)
    answered = [i for i, m in zip(together[0].ids, together[0].mask, strict=True) if m]
    assert [tokens.NAMES[i - len(tokens.WORDS)] for i in answered] == [d.name for d in together[0].decisions]


def test_who_prefers_to_stop_stops_after_the_first_picture() -> None:
    (line, _) = play(_jobs(policy_settings()), preferred("stop"), "w")
    assert line.parts.rounds == 1
    assert line.decisions[-1].name == "stop"


def test_all_weights_have_a_shape() -> None:
    assert initial(0).keys() == shapes().keys()


def test_the_step_that_is_kept_meets_most_of_those_that_spare_the_rounds_asked() -> None:
    def row(step: int | str, coverage: float, rounds: float, reward: float) -> dict[str, Any]:
        return {"step": step, "coverage": coverage, "rounds": rounds, "reward": reward}

    teacher = row("teacher", 0.7, 4.0, 3.0)
    slow, quick, quicker = row(1, 0.8, 2.81, 3.5), row(2, 0.71, 2.8, 3.1), row(3, 0.69, 1.0, 3.4)
    assert best([teacher, slow, quicker, quick]) is quick
    assert best([teacher, row(4, 0.9, 3.5, 3.2), slow]) is slow
