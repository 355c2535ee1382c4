"""What a command works with: the service and its output."""

import json
import re
import time
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from rich.console import Console as RichConsole
from rich.console import RenderableType
from rich.text import Text

from api.cli.words import wrapped
from api.client import Client, Job
from director.errors import BriefError
from director.transcript import Line, plain

SATISFIED, SHORT, USAGE, SERVICE, INTERRUPTED = 0, 1, 2, 3, 130
SHORTEST = 8  # characters of an id
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


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
            shown = wrapped(line, self.output.width) if self.is_live else Text(str(line), style=line.style)
            self.show(shown, soft_wrap=isinstance(shown, Text))

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
        """The job with this id, or the only one whose id starts with it or whose title it is. Raises BriefError."""
        return self.client.job(self.full_id(id))

    def full_id(self, id: str) -> str:
        """The full id. The start of one, or a title, is looked up in the list of jobs."""
        if is_id(id):
            return id.lower()
        listed = list(self.client.jobs(page=200))
        named = plain(id, 40)
        matching = [job for job in listed if len(id) >= SHORTEST and job.id.startswith(id.lower())]
        matching = matching or [job for job in listed if folded(job.title) == folded(id)]
        if len(matching) == 1:
            return matching[0].id
        if not matching:
            hint = f"give a title, or at least {SHORTEST} characters of an id; see `visiondirector list`"
            raise BriefError(f"there is no job {named!r}", hint, "ID")
        ids = ", ".join(job.id[: SHORTEST + 5] for job in matching[:3])
        raise BriefError(f"{len(matching)} jobs have the id or title {named!r}", f"give one of their ids: {ids}", "ID")


def folded(name: str) -> str:
    """As names are compared: neither case nor the Unicode form matters (some systems write é as two characters)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name.strip()).casefold())


def is_id(name: str) -> bool:
    """True for a whole id of a job or a batch."""
    return bool(_ID.fullmatch(name))
