"""`visiondirector batch watch`: one bar, what is drawn now, the newest pictures, and why it waits."""

import argparse
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from api.cli import transcript
from api.cli.batch.find import STYLES, counted, full_id, now_words, state, style, summary_lines
from api.cli.batch.results import Pictures
from api.cli.console import INTERRUPTED, SATISFIED, SHORT, Console
from api.cli.follow import OUTAGES
from api.cli.many import goals
from api.cli.words import Cut
from api.client import Batch, Unavailable
from director.transcript import Line, count, plain

PAUSE = 2.0
"""Seconds between two looks at the batch."""
SHARE = 0.05
"""Of the time that may go into reading results: those of a large batch take a while, and are read less often."""
CALM = 30.0
"""Seconds between two lines in a pipe, unless the batch begins or ceases to wait."""
LAST_LOOKS = 5
_NEWEST = 4


def watch(args: argparse.Namespace, console: Console) -> int:
    folder = Path(args.output) if args.output else None
    return follow(console, full_id(console, args.batch), folder, args.metadata)


def follow(console: Console, id: str, folder: Path | None, metadata: bool) -> int:
    """Until every item has ended; with a `folder` pictures are saved there as they are done. Gives the exit code.

    Ctrl-C ends the command only: the batch goes on.
    """
    follower = _Follower(console, console.client.batch(id), Pictures(console, folder, metadata) if folder else None)
    try:
        done = follower.to_the_end()
    except KeyboardInterrupt:
        id = id[:8]
        stop = f"`visiondirector batch pause {id}` stops it for a while"
        console.screen.note(f"\nthe batch goes on: look again with `visiondirector batch watch {id}`; {stop}")
        return INTERRUPTED
    console.screen.line(*(follower.pictures.lines() if follower.pictures else ()), *summary_lines(done))
    if not done.satisfied and (left := done.counts.failed + done.counts.unmet):
        what = "--failed" if done.counts.failed else "--unmet --rounds 3"
        told = f"`visiondirector batch retry {id[:8]} {what}` goes on with {count(left, 'item')}"
        console.screen.line(Line("", told, "dim"))
    return SATISFIED if done.satisfied else SHORT


@dataclass
class BatchView:
    """What is drawn on a terminal."""

    batch: Batch
    newest: deque[Path] = field(default_factory=lambda: deque[Path](maxlen=_NEWEST))

    def __rich_console__(self, console: RichConsole, options: ConsoleOptions) -> RenderResult:
        batch = self.batch
        yield Text(plain(batch.title), style="bold").append(f"  {batch.id[:8]}", style="dim")
        yield bar(batch, max(10, min(60, options.max_width - 24)))
        if words := counted(batch.counts):
            yield Text(words, style="dim")
        if batch.waits or batch.status == "paused":
            yield Text(plain(batch.waits or "paused", 200), style="yellow")
        if batch.eta:
            yield Text(f"ends {transcript.eta_words(batch.eta)}", style="dim")
            if batch.eta.late:
                yield Text(f"late {plain(batch.eta.late, 200)}", style="yellow")
        table = Table.grid(padding=(0, 2), expand=True)
        for ratio in (1, None, 2):
            table.add_column(no_wrap=True, overflow="ellipsis", ratio=ratio)
        for each in batch.drawing[: max(1, console.height - _NEWEST - 7)]:
            doing = Text(plain(each.doing, 80), style="dim")
            table.add_row(Cut(Text(plain(each.custom_id, 60))), goals(each.goals), Cut(doing))
        yield table
        for path in self.newest:
            yield Text(f"saved {path}", style="green", overflow="ellipsis", no_wrap=True)


def bar(batch: Batch, width: int) -> Text:
    """All items in one bar, the ended ones first, and how many have ended."""
    text, at, sum_ = Text(), 0, 0
    for name, colour in STYLES.items():
        sum_ += getattr(batch.counts, name)
        until = round(width * sum_ / batch.total) if batch.total else 0
        text.append(("░" if name == "waiting" else "▒" if name == "running" else "█") * (until - at), style=colour)
        at = max(at, until)
    return text.append(f" {batch.counts.ended:,} of {batch.total:,} ended")


class _Follower:
    """Looks at a batch until it has ended, tells about it, and saves pictures."""

    def __init__(
        self, console: Console, batch: Batch, pictures: Pictures | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.pictures = pictures
        self._console = console
        self._view = BatchView(batch)
        self._clock = clock
        self._told: str | None = None
        self._told_at = self._read_at = clock()
        self._read = 0  # how many had ended when the results were read last

    def to_the_end(self) -> Batch:
        screen, looks = self._console.screen, 0
        with Live(self._view, console=screen.output, refresh_per_second=4) if screen.is_live else nullcontext():
            while True:
                batch = self._view.batch
                self._save(batch)
                # The sum of all costs comes a moment after the last item.
                looks = looks + 1 if batch.ended else 0
                over = batch.ended and (batch.ended_at is not None or looks > LAST_LOOKS)
                self._tell(batch, over)
                if over:
                    return batch
                self._console.sleep(PAUSE)
                self._view.batch = self._look()

    def _look(self) -> Batch:
        """A night's watch outlives an outage of some minutes."""
        for _ in range(OUTAGES):
            try:
                return self._console.client.batch(self._view.batch.id)
            except Unavailable as error:
                self._console.screen.note(f"{error}: trying again")
        return self._console.client.batch(self._view.batch.id)

    def _tell(self, batch: Batch, over: bool) -> None:
        screen, now = self._console.screen, self._clock()
        why = batch.waits or ("paused" if batch.status == "paused" else "")
        news = over or why != self._told or now - self._told_at >= CALM
        if screen.is_live or not news:
            return
        self._told, self._told_at = why, now
        screen.data(batch.model_dump(mode="json", by_alias=True))
        if over:
            return  # the summary follows
        now_drawn = "; ".join(now_words(each.custom_id, each.doing) for each in batch.drawing[:3])
        words = f"{batch.counts.ended:,} of {batch.total:,} ended ({counted(batch.counts)})"
        screen.line(Line(state(batch), words + (f"; {now_drawn}" if now_drawn else ""), style(batch)))
        for line in transcript.end_lines(batch.eta) if batch.eta else ():
            screen.line(line)
        if why:
            screen.line(Line("waits", plain(why.removeprefix("waits "), 200), "yellow"))

    def _save(self, batch: Batch) -> None:
        """Fetch what is new, when something has ended; of a large batch not at each look."""
        began = self._clock()
        if not self.pictures or batch.counts.ended == self._read or (began < self._read_at and not batch.ended):
            return
        for path in self.pictures.new_of(self._console.client.batch_results(batch.id)):
            self._view.newest.append(path)
        self._read = batch.counts.ended
        self._read_at = self._clock() + (self._clock() - began) / SHARE
