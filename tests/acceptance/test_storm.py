"""The short storm, once, with the seed that `make storm` has by default."""

from pathlib import Path

import pytest

from tests.acceptance.storm import KILLS, storm


@pytest.mark.acceptance
@pytest.mark.timeout(900)
def test_nothing_is_lost_in_a_storm(tmp_path: Path):
    report = storm(tmp_path, seed=1, jobs=12, long=False)
    print("\n".join(report.table()))
    assert report.faults == []
    assert report.kills == KILLS
    assert report.rewinds >= 3


@pytest.mark.acceptance
@pytest.mark.storm_long
@pytest.mark.timeout(1800)
def test_nothing_is_lost_in_a_long_storm(tmp_path: Path):
    report = storm(tmp_path, seed=2, jobs=20, long=True)
    print("\n".join(report.table()))
    assert report.faults == []
