"""What the folder of a run says of itself."""

from pathlib import Path

import pytest

from director.errors import BriefError
from tests.unit.benchmarks.cases import ARM, case, run_for, work
from worker.bench.cases import Run
from worker.bench.run_log import described, finished, open_log, picture, place_of

TASKS = [case(name) for name in "abc"]
FACTS = described([work(each) for each in TASKS], "sketch", 1)


def test_runs_stand_arm_by_arm_in_the_order_of_the_tasks(tmp_path: Path):
    with open_log(tmp_path / "runs.jsonl", Run, FACTS) as log:
        for task in (TASKS[2], TASKS[0]):
            log.add(run_for(task))
        log.add(run_for(TASKS[0], "one-shot"))
    found = finished(tmp_path, TASKS)
    assert [(of.id, run.arm) for of, run in found] == [("a", "ours"), ("c", "ours"), ("a", "one-shot")]


def test_failures_are_among_them(tmp_path: Path):
    with open_log(tmp_path / "runs.jsonl", Run, FACTS) as log:
        log.add(run_for(TASKS[0], error="no card"))
    ((_, run),) = finished(tmp_path, TASKS)
    assert run.error == "no card"


def test_the_description_names_studio_seed_and_settings():
    assert FACTS["studio"] == "sketch"
    assert FACTS["arms"]["ours"]["rounds"] == ARM.settings.rounds


def test_a_folder_without_a_run_is_said(tmp_path: Path):
    with pytest.raises(BriefError, match="holds no run"):
        finished(tmp_path, TASKS)


def test_a_picture_that_has_gone_is_named(tmp_path: Path):
    with pytest.raises(BriefError, match=r"the picture of a \(ours\) is not there"):
        picture(tmp_path, run_for(TASKS[0]))
    assert place_of(work(TASKS[0])) == run_for(TASKS[0]).picture
