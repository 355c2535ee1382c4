"""A run's folder: only what is missing is run, however the last run ended."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from director.benchmarks.cases import Arm, Run, Work
from director.benchmarks.folder import arms_of, collect, finished, picture
from director.errors import BriefError
from director.types import LoopSettings
from tests.unit.benchmarks.cases import ARM, case, run_for, work

TASKS = [case(name) for name in "abc"]
WORKS = [work(each) for each in TASKS]


class Cases:
    """Runs cases by hand; stops, as a killed process would, after `most`."""

    def __init__(self, most: int = 99, fails: str = "") -> None:
        self.most = most
        self.fails = fails
        self.ran: list[str] = []

    def __call__(self, works: Sequence[Work]) -> Iterator[Run]:
        for each in works[: self.most]:
            self.ran.append(each.case.id)
            yield run_for(each.case, each.arm.name, error="no card" if each.case.id == self.fails else "")


def test_an_interrupted_run_goes_on_and_counts_nothing_twice(tmp_path: Path):
    first, second = Cases(most=2), Cases()
    assert [done for done, _ in collect(tmp_path, WORKS, "sketch", first)] == [1, 2]
    assert [done for done, _ in collect(tmp_path, WORKS, "sketch", second)] == [3]
    assert (first.ran, second.ran) == (["a", "b"], ["c"])
    assert [run.case for run in finished(tmp_path, WORKS)] == ["a", "b", "c"]


def test_what_failed_is_tried_again(tmp_path: Path):
    list(collect(tmp_path, WORKS, "sketch", Cases(fails="b")))
    assert [bool(run.error) for run in finished(tmp_path, WORKS)] == [False, True, False]
    again = Cases()
    list(collect(tmp_path, WORKS, "sketch", again))
    assert again.ran == ["b"]
    assert not any(run.error for run in finished(tmp_path, WORKS))


def test_another_studio_or_setting_needs_another_folder(tmp_path: Path):
    list(collect(tmp_path, WORKS, "sketch", Cases()))
    with pytest.raises(BriefError, match='studio = "sketch"; now it is "tiny"'):
        list(collect(tmp_path, WORKS, "tiny", Cases()))
    other = [work(each, Arm(name="ours", settings=LoopSettings(rounds=2))) for each in TASKS]
    with pytest.raises(BriefError, match=r"arms\.ours\.rounds = 6"):
        list(collect(tmp_path, other, "sketch", Cases()))


def test_arms_join_in_their_order(tmp_path: Path):
    list(collect(tmp_path, WORKS, "sketch", Cases()))
    plain = Arm(name="one-shot", settings=LoopSettings(rounds=1))
    list(collect(tmp_path, [work(each, plain) for each in TASKS], "sketch", Cases()))
    assert arms_of(tmp_path) == [(ARM.name, 1), ("one-shot", 1)]


def test_a_folder_without_a_run_is_said(tmp_path: Path):
    with pytest.raises(BriefError, match="holds no run"):
        finished(tmp_path, WORKS)


def test_a_picture_that_has_gone_is_named(tmp_path: Path):
    with pytest.raises(BriefError, match=r"the picture of a \(ours\) is not there"):
        picture(tmp_path, run_for(TASKS[0]))
