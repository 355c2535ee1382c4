"""A trajectory for a person to read: one line an event."""

from collections.abc import Mapping
from typing import NamedTuple

from director import types
from director.state import count_goals
from director.types import (
    Chosen,
    Continues,
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


class Line(NamedTuple):
    """`style` is a style of rich, or empty."""

    label: str
    text: str
    style: str = ""

    def __str__(self) -> str:
        return f"{self.label:<11} {self.text}"


class Transcript:
    """Remembers a job's earlier events, so that the line of the next one can refer to them."""

    def __init__(self, goals: tuple[Goal, ...] = (), continues: Continues | None = None) -> None:
        """`goals` and `continues` are the brief's."""
        kept, verdicts = (continues.goals, continues.verdicts) if continues else ((), ())
        self._goals: dict[str, str] = {goal.id: goal.wish for goal in (*kept, *goals)}
        self._rounds = 0
        self._candidates: list[str] = []
        self._seen: dict[str, dict[str, Verdict]] = {}
        self._standing: dict[str, Verdict] = {verdict.goal: verdict for verdict in verdicts}

    def line(self, event: types.Event) -> Line:
        """What to print for an event of the trajectory. Events come in order, each once."""
        match event:
            case Extracted():
                return self._extracted(event)
            case Gated():
                return Line("plan", plain(f"{event.mode.value}: {event.why}"))
            case Chosen():
                said = f": {event.inspect}" if event.inspect else ""
                return Line("chosen", plain(f"{event.option.name}{said}"))
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

    def _extracted(self, event: Extracted) -> Line:
        """Of a picture that it goes on from, the goals that a wanted one takes back count no more, as in State."""
        wanted = {goal.id: goal.wish for goal in event.goals}
        gone = {id for goal in event.goals for id in goal.conflicts}
        self._standing = {id: verdict for id, verdict in self._standing.items() if id not in gone}
        kept = {id: wish for id, wish in self._goals.items() if id in self._standing}
        self._goals = kept | wanted
        more = f"; {count(len(kept), 'goal')} kept" if kept else ""
        return Line("goals", f"{count(len(wanted), 'goal')}: {self._names(tuple(wanted))}{more}")

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
        counts = count_goals(verdicts.values(), len(self._goals) or len(verdicts))
        return f"{counts.met}/{counts.total} goals met" + (f", {counts.unsure} unsure" if counts.unsure else "")

    def _names(self, goals: tuple[str, ...], most: int = 3) -> str:
        names = [plain(self._goals.get(goal, goal), 40) for goal in goals[:most]]
        more = f", {len(goals) - most} more" if len(goals) > most else ""
        return " · ".join(names) + more


def unread_line(text: str, reason: str) -> Line:
    """Words of the brief that became no goal, and why."""
    return Line("not read", f"{plain(text, 80)}  ({plain(reason, 40)})", "dim")


def warning_line(message: str, fix: str) -> Line:
    return Line("warning", plain(message, 300) + (f" ({plain(fix, 200)})" if fix else ""), "yellow")


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def plain(text: str, most: int = 100) -> str:
    """One line without control characters: what a brief or a model says must not steer a terminal."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(printable.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
