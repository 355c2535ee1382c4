"""A log of finished work: interrupted, resumed, changed, broken, in use."""

from pathlib import Path

import pytest

from director.errors import BriefError
from worker.bench.cases import Key, Run
from worker.bench.run_log import open_log

SETTINGS = {"seed": 1, "arms": {"ours": {"rounds": 6}}}


def run(case: str, error: str = "", task: str = "t") -> Run:
    return Run(case=case, arm="ours", seed=1, task=task, error=error)


def key(case: str) -> Key:
    return Key(case, "ours", 1)


def test_what_was_filed_is_there_again(tmp_path: Path):
    path = tmp_path / "runs.jsonl"
    with open_log(path, Run, SETTINGS) as log:
        log.add(run("a"))
    with open_log(path, Run, SETTINGS) as log:
        assert log.get(key("a"), "t") == run("a")
        assert log.get(key("b"), "t") is None


def test_a_torn_last_line_is_the_interruption(tmp_path: Path):
    path = tmp_path / "runs.jsonl"
    with open_log(path, Run, SETTINGS) as log:
        log.add(run("a"))
        log.add(run("b"))
    path.write_bytes(path.read_bytes()[:-9])
    with open_log(path, Run, SETTINGS) as log:
        assert log.get(key("a"), "t")
        assert log.get(key("b"), "t") is None
        log.add(run("b"))
    with open_log(path, Run, SETTINGS) as log:
        assert log.get(key("b"), "t") == run("b")


def test_a_failure_is_tried_again_and_replaced(tmp_path: Path):
    path = tmp_path / "runs.jsonl"
    with open_log(path, Run, SETTINGS) as log:
        log.add(run("a", error="the editor failed"))
    with open_log(path, Run, SETTINGS) as log:
        assert log.get(key("a"), "t") is None
        assert log.failed(key("a"))
        log.add(run("a"))
        assert not log.failed(key("a"))
        assert log.get(key("a"), "t")


def test_a_changed_setting_is_refused_by_name(tmp_path: Path):
    path = tmp_path / "runs.jsonl"
    with open_log(path, Run, SETTINGS):
        pass
    changed = {"seed": 1, "arms": {"ours": {"rounds": 7}}}
    with pytest.raises(BriefError, match=r"arms\.ours\.rounds = 6; now it is 7"), open_log(path, Run, changed):
        pass


def test_a_new_arm_may_join(tmp_path: Path):
    path = tmp_path / "runs.jsonl"
    with open_log(path, Run, SETTINGS) as log:
        log.add(run("a"))
    more = {"seed": 1, "arms": {"ours": {"rounds": 6}, "one-shot": {"rounds": 1}}}
    with open_log(path, Run, more) as log:
        assert log.get(key("a"), "t")
    other = {"seed": 1, "arms": {"one-shot": {"rounds": 2}}}
    with pytest.raises(BriefError, match="one-shot"), open_log(path, Run, other):
        pass


def test_another_task_under_the_same_name_is_refused(tmp_path: Path):
    with open_log(tmp_path / "runs.jsonl", Run, SETTINGS) as log:
        log.add(run("a"))
        with pytest.raises(BriefError, match="task a is not the one"):
            log.get(key("a"), "another")


def test_a_broken_line_is_named(tmp_path: Path):
    path = tmp_path / "runs.jsonl"
    path.write_text('{"settings": {}}\nnonsense\n')
    with pytest.raises(BriefError, match="line 2"), open_log(path, Run, {}):
        pass


def test_a_folder_in_use_is_refused(tmp_path: Path):
    path = tmp_path / "runs.jsonl"
    with open_log(path, Run, {}), pytest.raises(BriefError, match="in use"), open_log(path, Run, {}):
        pass


def test_reading_a_log_leaves_it_as_it_is(tmp_path: Path):
    path = tmp_path / "runs.jsonl"
    with open_log(path, Run, SETTINGS) as log:
        log.add(run("a"))
    before = path.read_bytes()
    with open_log(path, Run, {}) as log:
        assert log.filed() == [key("a")]
    assert path.read_bytes() == before
