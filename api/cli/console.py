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
from director.transcript import Line

SATISFIED, SHORT, USAGE, SERVICE, INTERRUPTED = 0, 1, 2, 3, 130


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

    def line(self, line: Line) -> None:
        if not self.as_json:
            self.output.print(Text(str(line), style=line.style), soft_wrap=True)

    def text(self, text: str) -> None:
        """A line for programs, unchanged: tabs stay."""
        if not self.as_json:
            self.output.file.write(text + "\n")

    def show(self, what: RenderableType) -> None:
        if not self.as_json:
            self.output.print(what)

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


Command = Callable[[argparse.Namespace, Console], int]
