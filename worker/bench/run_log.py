"""The folder of a run, and the log in it: the same layout for every `Runner`, so that any grader can read it.

    runs.jsonl                         what is finished, one line each
    pictures/<arm>/<case>-<seed>.png   what was delivered

A log only grows: a run that is interrupted goes on where it stopped. Each line is one JSON object: {"settings": …} or
{"done": …}. A last line without its end is the interruption itself and is cut off.
"""

import fcntl
import json
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar, cast

from pydantic import ValidationError

from director.errors import BriefError
from director.types import Seed
from worker.bench.cases import Case, Filed, Key, Run, Work


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


def _last(log: "Log[Run]", key: Key, task: str) -> Run | None:
    return log.get(key, task) or log.failed(key)


def picture(folder: Path, run: Run) -> bytes:
    """The picture of a run. Raises BriefError that names it when it has gone."""
    path = folder / (run.picture or "")
    if run.picture is None or not path.is_file():
        raise BriefError(f"the picture of {run.case} ({run.arm}) is not there: {path}", "run the same again", "-o")
    return path.read_bytes()


# --- the log ----------------------------------------------------------------------------------


_F = TypeVar("_F", bound=Filed)


class Log(Generic[_F]):
    """Finished work by key. One process at a time; `open_log` makes it."""

    def __init__(self, file: BinaryIO, done: dict[Key, _F], settings: Mapping[str, Any]) -> None:
        self._file = file
        self._done = done
        self.settings = settings
        """What the file says of how it was made, as dotted names."""

    def values(self) -> list[_F]:
        """All that is filed, failures included, in the order of its first line."""
        return list(self._done.values())

    def get(self, key: Key, task: str) -> _F | None:
        """What is filed, or None when it is still to do or failed. Raises BriefError when the task was another."""
        found = self._done.get(key)
        if found and found.task != task:
            raise BriefError(
                f"task {key.case} is not the one that this folder holds a result of",
                "use another folder: the tasks have changed",
                "-o",
            )
        return found if found and not found.error else None

    def filed(self) -> list[Key]:
        """All that is filed, in the order of its first line."""
        return list(self._done)

    def failed(self, key: Key) -> _F | None:
        """The failure that is filed, if the last word on this work is one."""
        found = self._done.get(key)
        return found if found and found.error else None

    def add(self, value: _F) -> None:
        """File one piece of work; it survives this process from here on."""
        _append(self._file, "done", value.model_dump_json(exclude_defaults=True))
        self._done[value.key] = value


@contextmanager
def open_log(path: Path, kind: type[_F], settings: Mapping[str, Any]) -> Generator[Log[_F]]:
    """The log at `path`, made if there is none. `settings` is everything that the results depend on.

    Settings that are new to the file are added (an arm more); one that differs from what the file
    holds is refused. Raises BriefError for that, for a broken file, and while another process has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BriefError(f"{path} is in use", "another run writes to this folder: wait for it", "-o") from error
        known, done = _read(file, path, kind)
        asked = dict(_leaves(json.loads(json.dumps(settings))))
        _refuse_changes(path, known, asked)
        if fresh := {name: value for name, value in asked.items() if name not in known}:
            _append(file, "settings", json.dumps(fresh))
        yield Log(file, done, {**known, **fresh})


def _append(file: BinaryIO, word: str, json_text: str) -> None:
    file.write(f'{{"{word}": {json_text}}}\n'.encode())
    file.flush()
    os.fsync(file.fileno())


def _read(file: BinaryIO, path: Path, kind: type[_F]) -> tuple[dict[str, Any], dict[Key, _F]]:
    known: dict[str, Any] = {}
    done: dict[Key, _F] = {}
    file.seek(0)
    data = file.read()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        file.truncate(whole)
    for number, line in enumerate(data[:whole].splitlines(), 1):
        try:
            record = cast(dict[str, Any], json.loads(line))
            known |= record.get("settings", {})
            if "done" in record:
                value = kind.model_validate(record["done"])
                done[value.key] = value
        except (ValueError, ValidationError, AttributeError, TypeError) as error:
            raise BriefError(f"{path}, line {number} can't be read: {error}", "delete that line", "-o") from error
    return known, done


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """A nested map as dotted names and their values."""
    if isinstance(value, dict) and (value or not name):
        for key, inner in cast(dict[str, Any], value).items():
            yield from _leaves(inner, f"{name}.{key}" if name else key)
    else:
        yield name, value


def _refuse_changes(path: Path, known: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    for name, value in asked.items():
        if name in known and known[name] != value:
            raise BriefError(
                f"{path} was made with {name} = {json.dumps(known[name])}; now it is {json.dumps(value)}",
                "use another folder, or the setting that it was made with",
                "-o",
            )
