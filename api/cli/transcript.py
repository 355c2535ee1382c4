"""A job as lines for people: its events, its current step, and its end."""

import time
from collections.abc import Iterable
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from api.client import Eta, Event, Goal, Job
from director import types
from director.errors import RULES, Actor
from director.state import State
from director.transcript import Line, Transcript, count, plain, unread_line, warning_line
from director.types import Trajectory, Usage

_EVENTS: TypeAdapter[types.Event] = TypeAdapter(types.Event)

NOBODY = "waiting: no worker"
LOST = "no answer"
MARKS = {"met": ("✓", "green"), "missed": ("✗", "red"), "unsure": ("?", "yellow"), "": ("·", "dim")}
"""A sign and a style of rich for each outcome of a goal."""
STYLES = {"done": "bold green", "failed": "bold red", "cancelled": "bold yellow", "running": "cyan", "queued": ""}


def event_line(transcript: Transcript, event: Event) -> Line:
    """The line of an event of the trajectory (not of `end`)."""
    known = known_event(event)
    return transcript.line(known) if known else Line(plain(event.kind, 11), "")


def known_event(event: Event) -> types.Event | None:
    """The event of the trajectory; None for a kind that only a newer service knows."""
    try:
        return _EVENTS.validate_python(event.data)
    except ValidationError:
        return None


def progress_line(doing: str) -> Line:
    """The line of what a job does or waits for."""
    return Line("now", plain(doing), doing_style(doing))


def doing_style(doing: str) -> str:
    return "yellow" if doing.startswith((NOBODY, LOST)) else "dim"


def summary_lines(job: Job) -> list[Line]:
    """A job in a few lines, for `show` and for the end of `watch`."""
    lines = [Line("job", f"{job.id}  {plain(job.title)}"), Line("status", state(job), style(job))]
    if job.labels:
        lines.append(Line("labels", plain(" ".join(job.labels), 400)))
    if job.doing:
        lines.append(progress_line(job.doing))
    lines += ends_lines(job)
    if job.goals.total:
        lines.append(Line("goals", goals_met(job)))
    if picked := picked_line(job):
        lines.append(picked)
    lines.append(Line("cost", cost_words(job)))
    return [*lines, *error_lines(job)]


def ends_lines(job: Job) -> list[Line]:
    """When it will have ended, or why that is not known: unless what it does says that already."""
    if job.eta:
        return eta_lines(job.eta)
    known = not job.eta_unknown or job.eta_unknown == job.doing
    return [] if known else [Line("ends", f"not known: {plain(job.eta_unknown, 160)}", "dim")]


def eta_lines(eta: Eta) -> list[Line]:
    lines = end_lines(eta)
    if eta.money is not None:
        lines.append(Line("money", f"about {eta.money:,.2f} {plain(eta.currency.upper(), 3)} when it has ended"))
    return lines + [Line("unsure", plain(words, 160), "dim") for words in eta.knows_little_of]


def end_lines(eta: Eta) -> list[Line]:
    return [Line("ends", eta_words(eta), "cyan"), *late_lines(eta)]


def late_lines(eta: Eta) -> list[Line]:
    return [Line("late", plain(eta.late, 200), "bold yellow")] if eta.late else []


def eta_words(eta: Eta) -> str:
    """Of ten nights one is earlier, and one later."""
    range_ = f"{clock(eta.p10)} to {clock(eta.p90)}"
    return f"about {clock(eta.p50)} ({range_}); what limits: {plain(eta.limits, 80)}"


def picked_line(job: Job) -> Line | None:
    """Which candidate a person picked, and what is known of it."""
    if not job.picked:
        return None
    goals = job.picked.goals
    judged = goals.met + goals.missed + goals.unsure
    known = f"{goals.met} of {goals.total} goals met" if judged else "no verifier looked at it"
    words = f"round {job.picked.round}, candidate {job.picked.candidate}, by hand: {known}"
    return Line("picked", words, "bold")


def told_lines(job: Job) -> list[Line]:
    """What is likely not meant, then what was not read of the brief."""
    warnings = [warning_line(each.message, each.fix) for each in job.warnings]
    return [*warnings, *(unread_line(each.text, each.reason) for each in job.unread)]


def state(job: Job) -> str:
    if job.paused and not job.ended:
        return "paused"
    return plain(job.status + (f", {job.stop}" if job.stop and job.stop != job.status else ""))


def style(job: Job) -> str:
    """A satisfied job is green; one that ended short of it is yellow."""
    if job.status == "done" and not job.satisfied:
        return "bold yellow"
    return STYLES.get(job.status, "bold")


def goals_met(job: Job) -> str:
    unsure = f", {job.goals.unsure} unsure" if job.goals.unsure else ""
    return f"{job.goals.met}/{job.goals.total} met{unsure}"


def cost_words(job: Job, usage: Usage | None = None) -> str:
    """Rounds and pictures, then what the attempts cost. `usage` is newer than the job's own counts."""
    rounds, renders = (usage.rounds, usage.renders) if usage else (job.rounds, job.renders)
    parts = [count(rounds, "round"), count(renders, "render")]
    if spent := job.cost:
        parts += [f"{duration(spent.seconds)} of work"] if spent.seconds else []
        parts += [f"{duration(spent.gpu_seconds)} of GPU"] if spent.gpu_seconds else []
        parts += [count(spent.vlm_calls, "model call")] if spent.vlm_calls else []
        tokens = spent.prompt_tokens + spent.completion_tokens
        parts += [f"{tokens:,} tokens"] if tokens else []
        parts += [f"{count(spent.wasted_attempts, 'attempt')} wasted"] if spent.wasted_attempts else []
    return ", ".join(parts)


def outcome_lines(job: Job, trajectory: Trajectory, most: int = 6) -> list[Line]:
    """How the job ended, and which goals are not met."""
    reached = State.of(trajectory)
    lines: list[Line] = []
    for goal in reached.goals:
        verdict = reached.standing.get(goal.id)
        if verdict and verdict.outcome is not types.Outcome.MET:
            why = f" ({plain(verdict.evidence, 60)})" if verdict.evidence else ""
            colour = "red" if verdict.outcome is types.Outcome.MISSED else "yellow"
            lines.append(Line(verdict.outcome.value, plain(goal.wish, 44) + why, colour))
    more = (
        [Line("", f"… {len(lines) - most} more: visiondirector show {job.id[:8]}", "dim")] if len(lines) > most else []
    )
    why = f": {plain(trajectory.stop.why)}" if trajectory.stop else ""
    return [
        *lines[:most],
        *more,
        Line(job.status, (state(job).partition(", ")[2] or job.status) + why, style(job)),
        *error_lines(job),
    ]


def error_lines(job: Job) -> list[Line]:
    if not job.error:
        return []
    fix = f" ({job.error.fix})" if job.error.fix else ""
    said = [Line("error", plain(f"{job.error.boundary}: {job.error.message}{fix}", 400), "red")]
    if job.error.actor == Actor.SEAT and job.status == "failed":
        return [*said, Line("who", f"the operator: all tries are used up; visiondirector requeue {job.id[:8]}", "dim")]
    # A newer service may know actors that this program does not.
    rule = RULES[Actor(job.error.actor)] if job.error.actor in set(Actor) else None
    return [*said, Line("who", f"{rule.who}: {rule.then}", "dim")] if rule else said


def ended_line(job: Job, saved: str = "") -> Line:
    """One line for a job that has ended: its result, and the path of its picture (which holds title and id)."""
    where = saved or f"{job.id[:8]}  {plain(job.title, 60)}: no picture"
    return Line(job.status, f"{goals_met(job)}, {job.stop or job.status}  {where}", style(job))


def goal_lines(rows: Iterable[Goal]) -> list[Line]:
    """Every goal in a line of its own."""
    return [
        Line(
            row.outcome or "not seen",
            plain(row.wish, 1000) + (f"  ({plain(row.evidence, 300)})" if row.evidence else ""),
            MARKS.get(row.outcome, MARKS[""])[1],
        )
        for row in rows
    ]


def duration(seconds: float) -> str:
    """3.2 s, 42 s, 4 min, 3 h 20 min, 12 d."""
    if seconds < 10:
        return f"{seconds:.3g} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{round(hours / 24)} d"


def age(created: float, now: float | None = None) -> str:
    return duration(max(0, int((time.time() if now is None else now) - created)))


def clock(at: float) -> str:
    """Local time, with the day where it is another one."""
    now = datetime.now().astimezone()
    then = datetime.fromtimestamp(at, now.tzinfo)
    days = (then.date() - now.date()).days
    return f"{then:%H:%M}" if not days else f"{then:%a %H:%M}" if 0 < days < 7 else f"{then:%Y-%m-%d %H:%M}"
