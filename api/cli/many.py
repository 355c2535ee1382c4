"""Several running jobs on a terminal: one row for each job that has not ended."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from api.cli import transcript
from api.cli.live import bar
from api.cli.words import Cut
from api.client import GoalCount, Job
from director.transcript import plain

_REST = 4  # lines beside the rows
_BAR = 12


@dataclass(frozen=True)
class JobRow:
    """`since` is when the job's step, status or words changed last, on the monotonic clock."""

    job: Job
    since: float

    def updated(self, job: Job, at: float) -> "JobRow":
        same = (job.step, job.status, job.doing) == (self.job.step, self.job.status, self.job.doing)
        return replace(self, job=job, since=self.since if same else at)


class JobTable:
    """The jobs by id, in the order in which they were submitted; rich draws them a few times a second."""

    def __init__(self, rows: dict[str, JobRow], clock: Callable[[], float] = time.monotonic) -> None:
        self._rows = rows
        self._clock = clock

    @property
    def active(self) -> list[Job]:
        return [row.job for row in self._rows.values() if not row.job.ended]

    def update(self, job: Job, at: float) -> None:
        # A new dict, because a thread may be drawing the old one.
        self._rows = {**self._rows, job.id: self._rows[job.id].updated(job, at)}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = list(self._rows.values())
        active = [row for row in rows if not row.job.ended]
        most = max(1, console.height - _REST)
        if len(active) > most:  # running jobs first
            active.sort(key=lambda row: row.job.status != "running")
        table = Table.grid(padding=(0, 2), expand=True)
        for ratio in (None, 3, None, None, 4):
            table.add_column(no_wrap=True, overflow="ellipsis", ratio=ratio)
        for row in active[:most]:
            table.add_row(*self._cells(row))
        yield table
        more = f" · {len(active) - most} of them not shown" if len(active) > most else ""
        yield Text(f"{len(rows) - len(active)} of {len(rows)} ended{more}", style="dim")

    def _cells(self, row: JobRow) -> list[RenderableType]:
        job = row.job
        quiet = int(self._clock() - row.since)
        doing = Text(plain(job.doing or job.status, 60), style=transcript.doing_style(job.doing))
        if quiet:
            doing.append(f" · {transcript.duration(quiet)}", style="dim")
        return [
            Text(job.id[:8], style="dim"),
            Cut(Text(plain(job.title, 60))),
            Text(f"round {job.rounds}" if job.rounds else "", style="dim"),
            goals(job.goals),
            Cut(doing),
        ]


def goals(count: GoalCount, width: int = _BAR) -> Text:
    """A short bar of the goals, and how many are met."""
    if not count.total:
        return Text("")
    rest = max(0, count.total - count.met - count.missed - count.unsure)
    outcomes = ["met"] * count.met + ["missed"] * count.missed + ["unsure"] * count.unsure + [""] * rest
    met = f"{count.met}/{count.total}"
    return bar(outcomes, width, words=False).append(f" {met}") if width else Text(met)
