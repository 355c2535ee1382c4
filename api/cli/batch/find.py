"""A batch by its id, the start of it, its title or its label; and batches as lines."""

from collections.abc import Iterable
from datetime import datetime

from api.cli import transcript
from api.cli.console import SHORTEST, Console, folded, is_id
from api.client import Batch, ItemCounts
from api.client.batch_models import BatchBudget
from director.errors import BriefError
from director.transcript import Line, count, plain

STYLES = {
    "done": "green", "unmet": "yellow", "failed": "red", "cancelled": "magenta", "running": "cyan", "waiting": "dim",
}  # fmt: skip
"""A style of rich for each state of an item, in the order in which they are told."""
_STATES = {"open": "cyan", "paused": "bold yellow", "cancelled": "bold yellow", "ended": "bold green"}


NOTHING_NEW = 0.9
"""Share of a budget from which nothing new begins."""


def full_id(console: Console, name: str) -> str:
    """The id of the batch that is called so. Raises BriefError where there is none, or more than one."""
    if is_id(name):
        return name.lower()
    words = folded(name)
    for listed in console.client.batch_ages():  # who says "night" means the last one, not that of a month ago
        for matching in (
            [each for each in listed if len(name) >= SHORTEST and each.id.startswith(name.lower())],
            [each for each in listed if folded(each.title) == words],
            [each for each in listed if words in {folded(label) for label in each.labels}],
        ):
            if len(matching) == 1:
                return matching[0].id
            if matching:
                ids = ", ".join(each.id[: SHORTEST + 5] for each in matching[:3])
                fix = f"give an id: {ids}"
                raise BriefError(f"{len(matching)} batches are called {plain(name, 40)!r}", fix, "BATCH")
    hint = f"give a title, a label, or {SHORTEST} characters of an id; see `visiondirector batch list`"
    raise BriefError(f"there is no batch {plain(name, 40)!r}", hint, "BATCH")


def state(batch: Batch) -> str:
    """`cancelled` and `paused` batches may have items that still end."""
    return plain(batch.status, 20)


def style(batch: Batch) -> str:
    if batch.status == "ended" and not batch.satisfied:
        return "bold yellow"
    return _STATES.get(batch.status, "bold")


def counted(counts: ItemCounts, names: Iterable[str] = STYLES) -> str:
    """`12 done, 3 unmet`: those that there are."""
    found = [f"{number:,} {name}" for name in names if (number := getattr(counts, name))]
    return ", ".join(found)


def summary_lines(batch: Batch) -> list[Line]:
    lines = [
        Line("batch", f"{batch.id}  {plain(batch.title)}"),
        Line("status", f"{state(batch)}, {batch.counts.ended:,} of {batch.total:,} ended", style(batch)),
        Line("items", counted(batch.counts)),
    ]
    if batch.labels:
        lines.append(Line("labels", plain(" ".join(batch.labels), 400)))
    if batch.max_in_flight:
        lines.append(Line("at once", f"{batch.max_in_flight} at most"))
    lines += _terms_lines(batch)
    if batch.eta:
        lines += transcript.eta_lines(batch.eta)
    elif batch.eta_unknown:
        lines.append(Line("ends", f"not known: {plain(batch.eta_unknown, 160)}", "yellow"))
    if batch.waits:
        lines.append(Line("waits", waits(batch), "yellow"))
    lines += [Line("now", now_words(each.custom_id, each.doing), "dim") for each in batch.drawing]
    if spent := batch.cost:
        parts = [count(spent.renders, "render")]
        parts += [f"{transcript.duration(spent.gpu_seconds)} of GPU"] if spent.gpu_seconds else []
        parts += [f"{count(spent.wasted_attempts, 'attempt')} wasted"] if spent.wasted_attempts else []
        lines.append(Line("cost", ", ".join(parts)))
    return lines


def waits(batch: Batch) -> str:
    """Why, behind the word `waits`."""
    return plain(batch.waits.removeprefix("waits "), 200)


def _terms_lines(batch: Batch) -> list[Line]:
    """When and how much."""
    terms, lines = batch.terms, list[Line]()
    if terms.windows:
        at_close = ", and is held when they close" if terms.at_close == "hold" else ""
        lines.append(Line("windows", plain("; ".join(terms.windows), 400) + at_close))
    if terms.deadline:
        at = datetime.fromtimestamp(terms.deadline).astimezone()
        late = " (late)" if terms.late else ""
        emphasis = "bold yellow" if late else ""
        lines.append(Line("by" if terms.by else "deadline", f"{at:%a %d %b %H:%M %Z}{late}", emphasis))
    if terms.price:
        why = "as it is late" if terms.late else "so that all is done by then"
        lines.append(Line("price", f"a render must promise {terms.price:g} goals, {why}"))
    if terms.spread:
        lines.append(Line("spread", "each brief gets its first picture before any gets a better one"))
    if budget := terms.budget:
        lines.append(Line("budget", budget_words(budget), "yellow" if budget.share >= NOTHING_NEW else ""))
    return lines


def budget_words(budget: BatchBudget) -> str:
    """`40 of 400 renders, 2m 5s of 2h of GPU`"""
    parts = list[str]()
    if budget.renders:
        parts.append(f"{budget.spent_renders:,} of {count(budget.renders, 'render')}")
    if budget.gpu_seconds:
        spent, limit = (transcript.duration(each) for each in (budget.spent_gpu_seconds, budget.gpu_seconds))
        parts.append(f"{spent} of {limit} of GPU")
    if budget.money:
        parts.append(f"{budget.spent_money:,.2f} of {budget.money:,.2f} {plain(budget.currency.upper(), 3)}")
    return ", ".join(parts)


def now_words(custom_id: str, doing: str) -> str:
    return plain(f"{custom_id}: {doing}" if doing else custom_id, 160)
