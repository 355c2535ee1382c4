"""The folder of a run: the same layout whoever ran the cases, so that whoever may grade them.

runs.jsonl                         what is finished, one line each
pictures/<arm>/<case>-<seed>.png   what was delivered
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from director.errors import BriefError
from director.types import Seed
from worker.bench.cases import Case, Key, Run, Work
from worker.bench.run_log import Log, open_log


def described(works: Sequence[Work], studio: str, seed: Seed) -> dict[str, Any]:
    """Everything that runs depend on, beside their tasks. `studio` says what fills the seats."""
    arms = {work.arm.name: work.arm.settings.model_dump(mode="json") for work in works}
    return {"studio": studio, "seed": seed, "arms": arms}


def place_of(work: Work) -> str:
    """Where a run's picture lies in the folder."""
    return f"pictures/{work.arm.name}/{work.case.id}-{work.seed}.png"


def finished(folder: Path, cases: Sequence[Case]) -> list[tuple[Case, Run]]:
    """The runs of `cases` that the folder holds, failures included, arm by arm in the order of the cases.

    Raises BriefError when there is no run, or one of a task that has changed since.
    """
    path = folder / "runs.jsonl"
    if not path.is_file():
        raise BriefError(f"{folder} holds no run", "name the folder of one", "-o")
    with open_log(path, Run, {}) as log:
        arms = list(dict.fromkeys((key.arm, key.seed) for key in log.filed()))
        found = [(case, _last(log, Key(case.id, arm, seed), case.digest())) for arm, seed in arms for case in cases]
    return [(case, run) for case, run in found if run]


def _last(log: Log[Run], key: Key, task: str) -> Run | None:
    return log.get(key, task) or log.failed(key)


def picture(folder: Path, run: Run) -> bytes:
    """The picture of a run. Raises BriefError that names it when it has gone."""
    path = folder / (run.picture or "")
    if run.picture is None or not path.is_file():
        raise BriefError(f"the picture of {run.case} ({run.arm}) is not there: {path}", "run the same again", "-o")
    return path.read_bytes()
