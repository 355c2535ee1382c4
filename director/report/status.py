"""How a job stands, in words: ended and why, failed and what to do, or still at work; and what was only simulated."""

from director.cautions import cautions
from director.errors import RULES, Actor
from director.reading import unread
from director.report.html import NOTHING, Html, fill, html, join
from director.report.marks import listed
from director.report.run_info import RunInfo, Trouble
from director.state import State
from director.transcript import count
from director.types import Rendered, Selected, Stopped, StopReason, Verified

_ENDS = {
    StopReason.SATISFIED: ("met", "Satisfied"),
    StopReason.UNVERIFIED: ("unsure", "Ended"),
    StopReason.BUDGET: ("unsure", "Ended: the budget is used up"),
    StopReason.STALLED: ("unsure", "Ended: nothing got better any more"),
    StopReason.CANCELLED: ("unseen", "Cancelled"),
    StopReason.FAILED: ("missed", "Failed"),
}
_SIMULATED = {
    "sketch": "Sketch studio: simulated. No model made the $seats; they show the loop at work and measure nothing.",
    "tiny": "Tiny random models: the $seats are noise and mean nothing.",
}
_MADE = {"rendered": "pictures", "selected": "choices", "verified": "verdicts"}


def section(state: State, run_info: RunInfo) -> Html:
    stop = state.stop
    if stop and stop.reason is not StopReason.FAILED:
        return _ended(stop, state)
    if stop:
        return _failed(
            state, run_info, run_info.trouble or Trouble(boundary="director", message=stop.why, actor=Actor.USER)
        )
    if run_info.trouble and not run_info.doing:
        return _failed(state, run_info, run_info.trouble)
    return _running(state, run_info)


def _ended(stop: Stopped, state: State) -> Html:
    kind, words = _ENDS[stop.reason]
    why = stop.why
    if stop.reason is StopReason.UNVERIFIED:
        why = f"{count(state.counts.unsure, 'goal')} could not be judged, the rest is met"
    return html('<p class="state $kind"><strong>$words</strong> <bdi>$why</bdi></p>', kind=kind, words=words, why=why)


def _failed(state: State, run_info: RunInfo, trouble: Trouble) -> Html:
    fix = html("<bdi>$fix</bdi>. ", fix=trouble.fix.rstrip(".")) if trouble.fix else NOTHING
    if run_info.job and not state.stop:  # a dead letter
        then = html("<code>visiondirector requeue $job</code> lets it go on where it stopped.", job=run_info.job)
    else:
        then = html("Mend what is said above and submit it again.")
    who = _who(trouble, over=True)
    return fill("failed", boundary=trouble.boundary, message=trouble.message, fix=Html(fix + then), who=who)


def _who(trouble: Trouble, over: bool = False) -> Html:
    """`over`: it is not tried again by itself."""
    if trouble.actor is None:
        return NOTHING
    if over and trouble.actor is Actor.SEAT:
        return html("<p>Who has to act: the operator. All tries are used up.</p>")
    rule = RULES[trouble.actor]
    return html("<p>Who has to act: $who. What happens: $then.</p>", who=rule.who, then=rule.then)


def _running(state: State, run_info: RunInfo) -> Html:
    """Not finished. A failure that will be tried again is said beside it."""
    now, trouble = len(state.rounds), NOTHING
    if run_info.trouble:
        trouble = html(
            "<p>The last try failed in the $boundary and will be repeated: <bdi>$message</bdi></p>",
            boundary=run_info.trouble.boundary, message=run_info.trouble.message,
        )  # fmt: skip
        trouble = Html(trouble + _who(run_info.trouble))
    return fill(
        "running",
        doing=run_info.doing,
        where=f", round {now} of at most {state.settings.rounds}" if now else "",
        ends=html("<p>$ends</p>", ends=run_info.ends) if run_info.ends else NOTHING,
        trouble=trouble,
        refresh=refreshing(run_info.refresh, run_info.other),
    )


def refreshing(every: int, other: str) -> Html:
    """Whether the page loads itself again, and the way to change that: nobody should have to read against a clock."""
    if not other:
        return NOTHING
    if every:
        said = html('Loads itself again every $n seconds. <a href="$other">Stop that</a>', n=every, other=other)
    else:
        said = html('Does not load itself again. <a href="$other">Keep it up to date</a>', other=other)
    return html('<p class="note refresh">$said</p>', said=said)


def told(state: State) -> Html:
    """What is likely not meant, and the words of the brief that became no goal. A few are open to read."""
    brief = state.trajectory.brief
    warnings = [
        html('<p class="state unsure"><strong>$message</strong> $fix</p>', message=each.message, fix=each.fix)
        for each in cautions(brief, state.goals)
    ]
    passages = unread(brief, state.goals)
    if not passages:
        return join(warnings)
    return join(
        [
            *warnings,
            fill(
                "unread",
                open=Html(" open") if len(passages) <= _FEW else NOTHING,
                count=count(len(passages), "part"),
                became="became no goal" if state.goals else "ask for nothing to be drawn",
                passages=join(html("<li><q>$text</q> $reason</li>", text=p.text, reason=p.reason) for p in passages),
            ),
        ]
    )


_FEW = 5


def simulated(state: State) -> Html:
    """Pictures and verdicts that no trained model made say so."""
    made = (event for event in state.trajectory.events if isinstance(event, (Rendered, Selected, Verified)))
    by = {_MADE[event.kind]: event.by for event in made}
    found = {kind: [seat for seat, name in by.items() if kind in name] for kind in _SIMULATED}
    return join(
        html('<p class="simulated">$said</p>', said=_SIMULATED[kind].replace("$seats", listed(seats)))
        for kind, seats in found.items()
        if seats
    )
