"""A job's events as lines for a person: one line an event."""

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from api.client import Event, Job
from director import types
from director.types import (
    Decided,
    Extracted,
    Gated,
    Goal,
    Outcome,
    Planned,
    Rendered,
    Selected,
    Stopped,
    Verdict,
    Verified,
)

_EVENTS: TypeAdapter[types.Event] = TypeAdapter(types.Event)

NOBODY = "waiting: no worker"


class Line(NamedTuple):
    """`style` is a style of rich, or empty."""

    label: str
    text: str
    style: str = ""

    def __str__(self) -> str:
        return f"{self.label:<12}{self.text}"


class Narrator:
    """Remembers what a job's earlier events said, to tell the next one in context."""

    def __init__(self, goals: tuple[Goal, ...] = ()) -> None:
        self._goals: dict[str, str] = {goal.id: goal.text for goal in goals}
        self._rounds = 0
        self._candidates: list[str] = []
        self._seen: dict[str, dict[str, Verdict]] = {}
        self._standing: dict[str, Verdict] = {}

    def line(self, event: Event) -> Line:
        """What to print for a durable event (not for `end`)."""
        try:
            read = _EVENTS.validate_python(event.data)
        except ValidationError:
            # A newer service may tell of more than this version knows.
            return Line(plain(event.kind, 11), "")
        return self._tell(read)

    def _tell(self, event: types.Event) -> Line:
        match event:
            case Extracted():
                self._goals = {goal.id: goal.text for goal in event.goals}
                return Line("goals", f"{count(len(event.goals), 'goal')}: {self._names(tuple(self._goals))}")
            case Gated():
                return Line("plan", plain(f"{event.mode.value}: {event.why}"))
            case Planned():
                return self._planned(event)
            case Rendered():
                self._candidates += [candidate.image for candidate in event.candidates]
                return Line("rendered", plain(f"{count(len(event.candidates), 'candidate')} by {event.by}"))
            case Selected():
                return self._selected(event)
            case Verified():
                return self._verified(event)
            case Decided():
                return self._decided(event)
            case Stopped():
                style = "bold green" if event.reason is types.StopReason.SATISFIED else "bold yellow"
                return Line("stopped", plain(f"{event.reason.value}: {event.why}"), style)

    def _planned(self, event: Planned) -> Line:
        self._rounds += 1
        self._candidates, self._seen = [], {}
        verb = "draw" if event.action.kind is types.ActionKind.GENERATE else "edit"
        return Line(f"round {self._rounds}", f"{verb} “{plain(event.action.instruction)}”", "bold")

    def _selected(self, event: Selected) -> Line:
        if event.image not in self._candidates:
            return Line("picked", plain(event.why))
        place = f"candidate {self._candidates.index(event.image) + 1} of {len(self._candidates)}"
        return Line("picked", plain(f"{place}: {event.why}" if event.why else place))

    def _verified(self, event: Verified) -> Line:
        seen = self._seen.setdefault(event.image, {})
        seen.update({verdict.goal: verdict for verdict in event.verdicts})
        again = ", second look" if event.again else ""
        missed = tuple(v.goal for v in event.verdicts if v.outcome is Outcome.MISSED)
        rest = f"; missed: {self._names(missed)}" if missed else ""
        return Line("verified", self._score({**self._standing, **seen}) + again + rest)

    def _decided(self, event: Decided) -> Line:
        if event.accepted:
            self._standing.update(self._seen.get(event.image, {}))
        changes = [f"+ {self._names(event.gained)}"] if event.gained else []
        changes += [f"− {self._names(event.lost)}"] if event.lost else []
        tail = "  ".join(["", *changes]) or f"  {plain(event.why)}"
        label, style = ("accepted", "green") if event.accepted else ("rolled back", "yellow")
        return Line(label, self._score(self._standing) + tail, style)

    def _score(self, verdicts: Mapping[str, Verdict]) -> str:
        outcomes = [verdict.outcome for verdict in verdicts.values()]
        unsure = outcomes.count(Outcome.UNSURE)
        total = len(self._goals) or len(outcomes)
        return f"{outcomes.count(Outcome.MET)}/{total} goals met" + (f", {unsure} unsure" if unsure else "")

    def _names(self, goals: tuple[str, ...], most: int = 3) -> str:
        names = [plain(self._goals.get(goal, goal), 40) for goal in goals[:most]]
        more = f", {len(goals) - most} more" if len(goals) > most else ""
        return " · ".join(names) + more


def progress(doing: str) -> Line:
    """What a quiet job does or waits for."""
    return Line("now", plain(doing), "yellow" if doing.startswith(NOBODY) else "dim")


def summary(job: Job) -> list[Line]:
    """A job in a few lines, for `show` and for the end of `watch`."""
    style = {"done": "bold green", "failed": "bold red", "cancelled": "bold yellow"}.get(job.status, "bold")
    state = job.status + (f", {job.stop}" if job.stop and job.stop != job.status else "")
    lines = [Line("job", f"{job.id}  {plain(job.title)}"), Line("status", plain(state), style)]
    if job.doing:
        lines.append(progress(job.doing))
    if job.goals.total:
        unsure = f", {job.goals.unsure} unsure" if job.goals.unsure else ""
        lines.append(Line("goals", f"{job.goals.met}/{job.goals.total} met{unsure}"))
    lines.append(Line("cost", f"{count(job.rounds, 'round')}, {count(job.renders, 'render')}"))
    if job.error:
        fix = f" ({job.error.fix})" if job.error.fix else ""
        lines.append(Line("error", plain(f"{job.error.boundary}: {job.error.message}{fix}", 400), "red"))
    return lines


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def plain(text: str, most: int = 100) -> str:
    """One line without control characters: what a brief or a model says must not steer a terminal."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(printable.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
