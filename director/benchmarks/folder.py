"""The folder of a benchmark's run: the same layout whoever ran the cases, so that whoever may grade them.

runs.jsonl                              what is finished, one line each
pictures/<arm>/<case>-<seed>.png        the picture that was delivered
trajectories/<arm>/<case>-<seed>.json   how it came to be
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from director import history
from director.benchmarks.cases import Arm, Key, Run, RunCases, Work
from director.benchmarks.record import Log, open_log
from director.errors import BriefError
from director.types import Seed, Trajectory


def collect(folder: Path, works: Sequence[Work], studio: str, run_cases: RunCases) -> Iterator[tuple[int, Run]]:
    """Run what is not finished yet; gives how many are, and each run as it ends.

    `studio` says what fills the seats. Raises BriefError when the folder holds a run with other settings.
    """
    with open_log(folder / "runs.jsonl", Run, described(works, studio)) as log:
        todo = [work for work in works if not log.get(key_of(work), work.case.digest())]
        for done, run in enumerate(run_cases(todo), len(works) - len(todo) + 1):
            log.add(run)
            yield done, run


def described(works: Sequence[Work], studio: str) -> dict[str, object]:
    """Everything that a run's results depend on, beside its tasks."""
    arms: dict[str, Arm] = {work.arm.name: work.arm for work in works}
    return {"studio": studio, "arms": {name: arm.settings.model_dump(mode="json") for name, arm in arms.items()}}


def finished(folder: Path, works: Sequence[Work]) -> list[Run]:
    """The runs of all of `works`, failures included, in their order; what is missing is left out."""
    path = folder / "runs.jsonl"
    if not path.is_file():
        raise BriefError(f"{folder} holds no run", "name the folder of one", "--pictures")
    with open_log(path, Run, {}) as log:
        found = [_last(log, work) for work in works]
    return [run for run in found if run]


def arms_of(folder: Path) -> list[tuple[str, Seed]]:
    """Which arms and seeds the folder holds runs of, in the order of their first."""
    with open_log(folder / "runs.jsonl", Run, {}) as log:
        return list(dict.fromkeys((key.arm, key.seed) for key in log.filed()))


def _last(log: Log[Run], work: Work) -> Run | None:
    key = key_of(work)
    return log.get(key, work.case.digest()) or log.failed(key)


def key_of(work: Work) -> Key:
    return Key(work.case.id, work.arm.name, work.seed)


def keep(folder: Path, work: Work, trajectory: Trajectory, picture: bytes | None) -> str | None:
    """Write the picture and the trajectory of a run; gives the picture's place in the folder."""
    name = f"{work.case.id}-{work.seed}"
    told = folder / "trajectories" / work.arm.name / f"{name}.json"
    told.parent.mkdir(parents=True, exist_ok=True)
    told.write_text(trajectory.model_dump_json() + "\n", encoding="utf-8")
    if picture is None or history.deliverable(trajectory) is None:
        return None
    shown = folder / "pictures" / work.arm.name / f"{name}.png"
    shown.parent.mkdir(parents=True, exist_ok=True)
    shown.write_bytes(picture)
    return str(shown.relative_to(folder))


def picture(folder: Path, run: Run) -> bytes:
    """The picture of a run. Raises BriefError that names it when it has gone."""
    path = folder / (run.picture or "")
    if run.picture is None or not path.is_file():
        raise BriefError(
            f"the picture of {run.case} ({run.arm}) is not there: {path}",
            f"delete its line in {folder / 'runs.jsonl'} and run again",
            "--pictures",
        )
    return path.read_bytes()
