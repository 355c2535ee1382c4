"""One running job on a terminal: rounds with their micro-grids, goals met, cost, and the current step.

Each event gives a new `JobView`; a thread of rich draws the newest one.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from api.cli import transcript
from api.cli.transcript import MARKS
from api.client import Event, Job
from director import types
from director.reading import Unread, unread_of
from director.state import Round, Standing, State, count_goals
from director.transcript import count, plain, warning_line
from director.types import Trajectory

_NEXT = {
    "extracted": "planning",
    "gated": "planning",
    "chosen": "planning",
    "planned": "rendering",
    "rendered": "looking at the candidates",
    "selected": "checking the goals",
    "verified": "deciding",
    "decided": "planning",
}
_BAR = 30
_WORDS = 52  # label and words around the bar
_REST_OF_VIEW = 7  # lines beside the rounds


@dataclass(frozen=True)
class JobView:
    """What is known of a job. `since` is when its current step began, on the monotonic clock."""

    job: Job
    trajectory: Trajectory
    since: float
    doing: str = ""
    unread: tuple[Unread, ...] = ()

    def with_event(self, event: Event, at: float) -> "JobView":
        """The view after an event of the stream. An event that this version does not know only resets `since`."""
        known = transcript.known_event(event)
        if known is None:
            return replace(self, since=at)
        trajectory = self.trajectory.with_events(known)
        unread = unread_of(trajectory) if known.kind == "extracted" else self.unread
        return replace(self, trajectory=trajectory, doing=_NEXT.get(known.kind, ""), since=at, unread=unread)

    def with_progress(self, doing: str, at: float) -> "JobView":
        """The view after a progress event. `since` stays while the words stay the same."""
        return self if doing == self.doing else replace(self, doing=doing, since=at)

    def with_job(self, job: Job) -> "JobView":
        """The view with newer numbers of the job."""
        return replace(self, job=job)


class LiveJob:
    """The newest view for `rich.live.Live`, which draws it a few times a second."""

    def __init__(self, view: JobView, clock: Callable[[], float] = time.monotonic) -> None:
        self.view = view
        self._clock = clock
        self._spinner = Spinner("dots", style="cyan")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        view = self.view
        most = max(1, console.height - _REST_OF_VIEW - (view.job.eta is not None)) if not view.job.ended else 100
        yield Group(*head(view), *rounds(view, most), *foot(view, options.max_width))
        if not view.job.ended:
            quiet = int(self._clock() - view.since)
            self._spinner.update(text=_doing(view.doing or view.job.doing or "starting", quiet))
            yield self._spinner


def head(view: JobView) -> list[RenderableType]:
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    line.add_column(no_wrap=True)
    line.add_row(Text(plain(view.job.title), style="bold"), Text(view.job.id, style="dim"))
    return [line]


def rounds(view: JobView, most: int) -> list[RenderableType]:
    """A line for each of the newest `most` rounds."""
    table = Table.grid(padding=(0, 1), expand=True)
    for _ in range(5):
        table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    standing: Standing = {}
    rows: list[list[RenderableType]] = []
    state = State.of(view.trajectory)
    for each in state.rounds:
        if each.decided and each.decided.accepted:
            standing = {**standing, **each.standing(each.decided.image)}
        rows.append(_round(each, standing, state))
    hidden = len(rows) - most
    for row in rows[max(0, hidden) :]:
        table.add_row(*row)
    above = [Text(f"   … {count(hidden, 'earlier round')}", style="dim")] if hidden > 0 else []
    return [*above, table] if rows else []


def _round(each: Round, standing: Standing, state: State) -> list[RenderableType]:
    action = each.planned.action
    sign, style = ("", "") if not each.decided else ("✓", "green") if each.decided.accepted else ("↩", "yellow")
    counts = count_goals(standing.values(), len(state.goals))
    score = f"{counts.met}/{counts.total}" if each.decided else ""
    return [
        Text(f"{each.number:>2}", style="dim"),
        Text("draw" if action.kind is types.ActionKind.GENERATE else "edit"),
        grid(each, state.settings.candidates),
        Text(sign, style=style),
        Text(score, style=style),
        _changes(each, state) or Text(plain(action.instruction, 200), style="" if not each.decided else "dim"),
    ]


def grid(each: Round, candidates: int) -> Text:
    """The micro-grid: the picked candidate is a filled square, a candidate that is not drawn yet is a dot."""
    picked = each.decided.image if each.decided else each.picked
    text = Text()
    filled = False
    for candidate in each.candidates:
        chosen = candidate.image == picked and not filled
        filled = filled or chosen
        text.append("■" if chosen else "□", style="cyan" if chosen else "dim")
    if not each.decided:
        text.append("·" * max(0, candidates - len(each.candidates)), style="dim")
    return text


def _changes(each: Round, state: State) -> Text | None:
    """The goals that a decided round gained and lost: up to three by their text, more by their number."""
    if not each.decided or not (each.decided.gained or each.decided.lost):
        return None
    names = {goal.id: plain(goal.wish, 40) for goal in state.goals}
    text = Text()
    changes = [("+", "green", each.decided.gained), ("−", "red", each.decided.lost)]
    # A picture is rolled back because of what it lost: there the losses stand first.
    for sign, style, goals in changes if each.decided.accepted else changes[::-1]:
        if goals:
            words = (
                " · ".join(names.get(goal, goal) for goal in goals) if len(goals) <= 3 else count(len(goals), "goal")
            )
            text.append(f"{sign} ", style=style).append(f"{words}  ")
    return text


def foot(view: JobView, width: int) -> list[RenderableType]:
    state = State.of(view.trajectory)
    lines: list[RenderableType] = [
        Text(str(warning_line(each.message, each.fix)), style="yellow") for each in view.job.warnings
    ]
    if view.unread:
        reasons = ", ".join(dict.fromkeys(each.reason for each in view.unread))
        lines.append(_label("not read").append(f"{count(len(view.unread), 'part')} of the brief: {reasons}"))
    if state.goals:
        standing = state.standing
        outcomes = [standing[goal.id].outcome if goal.id in standing else "" for goal in state.goals]
        lines.append(_label("goals").append_text(bar(outcomes, max(5, min(_BAR, width - _WORDS)))))
    lines.append(_label("cost").append(transcript.cost_words(view.job, state.usage)))
    if view.job.eta and not view.job.ended:
        lines.append(_label("ends").append(transcript.eta_words(view.job.eta)))
    if view.job.ended:
        lines += [
            Text(str(line), style=line.style, no_wrap=line.label in MARKS, overflow="ellipsis")
            for line in transcript.outcome_lines(view.job, view.trajectory)
        ]
    return lines


def bar(outcomes: Iterable[str], width: int = _BAR, words: bool = True) -> Text:
    """Goals as a bar, and in words. Each outcome has a sign of its own, for terminals without colour."""
    found = [str(outcome) for outcome in outcomes]
    text, done, drawn = Text(), 0, 0
    for outcome, sign, style in (
        ("met", "█", "green"),
        ("unsure", "▒", "yellow"),
        ("missed", "░", "red"),
        ("", "·", "dim"),
    ):
        done += found.count(outcome)
        upto = round(width * done / len(found))
        text.append(sign * (upto - drawn), style=style)
        drawn = upto
    if not words:
        return text
    text.append(f"  {found.count('met')} of {len(found)} met", style="bold")
    for outcome in ("missed", "unsure"):
        if number := found.count(outcome):
            text.append(f" · {number} {outcome}", style=MARKS[outcome][1])
    return text


def _doing(doing: str, quiet: int) -> Text:
    style = transcript.doing_style(doing)
    text = Text().append(plain(doing), style="" if style == "dim" else style)
    return text.append(f" · {transcript.duration(quiet)}", style="dim") if quiet else text


def _label(name: str) -> Text:
    return Text(no_wrap=True, overflow="ellipsis").append(f"{name:<12}", style="dim")
