"""`make demo` in a pipe: about ten lines, a first brief that is satisfied, and a report beside each picture."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.demo.__main__ import FIRST, POSTERS
from infra.servers import CHECKOUT

pytestmark = pytest.mark.acceptance


def test_the_demo_is_calm_and_ends_with_something_satisfied(tmp_path: Path):
    words = [sys.executable, "-m", "infra.demo", "--out", str(tmp_path)]
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, timeout=230, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if line]
    assert len(lines) <= 12
    results = [line for line in lines if " met, " in line]
    assert len(results) == 1 + len(POSTERS)
    assert "2/2 met, satisfied" in results[0]
    assert "127.0.0.1" not in done.stdout, "an address that no longer answers"
    for name in (FIRST, *POSTERS):
        for suffix in ("png", "json", "html"):
            assert list(tmp_path.glob(f"{name}-*.{suffix}")), (name, suffix)
