"""What a run has found so far: rows, failures and their judgement, in one file that is whole after each row."""

import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.perf.gpu.verdict import Verdict, judged

Row = dict[str, Any]
T = TypeVar("T")


class Record:
    """`seconds` is the time of the whole run; `tolerance` is the relative difference up to which a row is exact."""

    def __init__(self, file: Path, seconds: float, tolerance: float) -> None:
        self.rows: list[Row] = []
        self.failed: list[Row] = []
        self.notes: Row = {"tolerance": tolerance}
        self._file = file
        self._seconds = seconds
        self._began = time.monotonic()
        file.parent.mkdir(parents=True, exist_ok=True)

    def note(self, **notes: Any) -> None:
        """Keep what is true of the whole run."""
        self.notes |= notes
        print(*(f"{name} {value}" for name, value in notes.items()), sep="  ", flush=True)
        self._save()

    def row(self, what: str, **found: Any) -> None:
        """Keep one measurement."""
        found = {name: float(f"{value:.5g}") if isinstance(value, float) else value for name, value in found.items()}
        at = time.monotonic() - self._began
        self.rows.append({"what": what, "at": round(at), **found})
        print(f"[{at:5.0f}s] {what:<52}", *(f"{name} {value}" for name, value in found.items()), sep="  ", flush=True)
        self._save()

    def section(self, name: str, seconds: float, work: Callable[[], T]) -> T | None:
        """What `work` gives; None when fewer than `seconds` are left, or when it fails, which is kept."""
        if self._seconds - (time.monotonic() - self._began) < seconds:
            self.row(name, left_out="no time")
            return None
        try:
            return work()
        except Exception as error:  # noqa: BLE001  whatever broke, the other sections are still worth their time
            self.failed.append({"section": name, "error": traceback.format_exc()[-1500:]})
            self.row(name, failed=f"{type(error).__name__}: {error}"[:200])
        return None

    def verdicts(self) -> list[Verdict]:
        return judged(self.rows, self.notes)

    def _save(self) -> None:
        """Whole or not at all, so that a run may be killed at any time."""
        verdicts = [verdict.as_json() for verdict in self.verdicts()]
        found = {"notes": self.notes, "goals": verdicts, "failed": self.failed, "rows": self.rows}
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(found, indent=1, default=str) + "\n", encoding="utf-8")
        fresh.replace(self._file)
