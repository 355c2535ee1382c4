"""What a command works with: the service and its output."""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from rich.console import Console as RichConsole
from rich.console import RenderableType
from rich.text import Text

from api.client import Client, Job
from director.errors import BriefError
from director.transcript import Line, plain

SATISFIED, SHORT, USAGE, SERVICE, INTERRUPTED = 0, 1, 2, 3, 130
_SHORTEST, _LENGTH = 8, 36  # characters of an id


@dataclass(frozen=True)
class Screen:
    """The output of a command: lines for people, or JSON lines. `notes` is standard error, for what is no result."""

    output: RichConsole
    as_json: bool
    notes: RichConsole

    @property
    def is_live(self) -> bool:
        """True on a terminal that can be drawn on."""
        return self.output.is_terminal and not self.output.is_dumb_terminal and not self.as_json

    def line(self, *lines: Line) -> None:
        for line in lines:
            self.show(Text(str(line), style=line.style), soft_wrap=True)

    def text(self, text: str) -> None:
        """A line for programs, unchanged: tabs stay."""
        if not self.as_json:
            self.output.file.write(text + "\n")

    def show(self, what: RenderableType, soft_wrap: bool | None = None) -> None:
        if not self.as_json:
            self.output.print(what, soft_wrap=soft_wrap)

    def note(self, text: str) -> None:
        self.notes.print(Text(text), soft_wrap=True)

    def data(self, data: Mapping[str, Any]) -> None:
        if self.as_json:
            self.output.file.write(json.dumps(data) + "\n")
            self.output.file.flush()

    def job(self, job: Job, **more: Any) -> None:
        """The job as a JSON line."""
        self.data({**job.model_dump(mode="json", by_alias=True), **more})


@dataclass(frozen=True)
class Console:
    """What a command gets. Tests replace `sleep`."""

    client: Client
    screen: Screen
    stdin: BinaryIO
    sleep: Callable[[float], None] = time.sleep

    def find(self, id: str) -> Job:
        """The job with this id, or the only one whose id starts with it. Raises BriefError for none, or several."""
        return self.client.job(self.full_id(id))

    def full_id(self, id: str) -> str:
        """The full id. A short one is looked up in the list of jobs."""
        if len(id) >= _LENGTH:
            return id
        if len(id) < _SHORTEST:
            raise BriefError(f"{id!r} is too short", f"give at least {_SHORTEST} characters of a job's id", "ID")
        matching = [job for job in self.client.jobs(page=200) if job.id.startswith(id.lower())]
        if len(matching) == 1:
            return matching[0].id
        if not matching:
            raise BriefError(f"there is no job {plain(id, 40)!r}", "see `visiondirector list`", "ID")
        raise BriefError(
            f"{len(matching)} jobs begin with {id!r}", f"give more characters, e.g. {matching[0].id}", "ID"
        )


Command = Callable[[argparse.Namespace, Console], int]
