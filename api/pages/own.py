"""What of the own windows and budget is used, as a line of the lists of jobs and batches."""

from api.auth import Caller
from api.owners import Me, OwnerBudget
from api.routes import AppState
from director.report.html import NOTHING, Html, html
from director.report.marks import duration
from director.report.page import moment
from director.transcript import count


def own_terms(state: AppState, caller: Caller) -> Html:
    """Nothing where settings say nothing of the caller."""
    if not state.owners.ruled(caller.owner):
        return NOTHING
    me = state.owners.of(caller)
    said = [words for words in (_windows(me), _budget(me.budget) if me.budget else "") if words]
    quiet = me.open and (not me.budget or me.budget.state == "open")
    kind = "small" if quiet else "state waiting"
    return html('<p class="$kind">$said</p>', kind=kind, said=" ".join(said))


def _windows(me: Me) -> str:
    if not me.windows:
        return ""
    until = f" until {moment(me.changes)}" if me.changes else ""
    return f"Your windows ({', '.join(me.windows)}) are {'open' if me.open else 'shut'}{until}."


def _budget(budget: OwnerBudget) -> str:
    used, left = list[str](), list[str]()
    if budget.renders is not None:
        used.append(f"{budget.spent_renders:,} of {count(budget.renders, 'render')}")
        left.append(f"{budget.left_renders:,} renders")
    if budget.gpu_seconds is not None:
        used.append(f"{duration(budget.spent_gpu_seconds)} of {duration(budget.gpu_seconds)} of GPU")
        left.append(f"{duration(budget.left_gpu_seconds or 0)} of GPU")
    if budget.money is not None:
        used.append(f"{budget.spent_money:,.2f} of {budget.money:,.2f} {budget.currency.upper()}")
        left.append(f"{budget.left_money:,.2f} {budget.currency.upper()}")
    held = " Nothing more is drawn until then."
    then = {"open": "", "nothing new": " Nothing new begins.", "held": held}[budget.state]
    words = f"Your budget of this {budget.per}: {', '.join(used)} used, {', '.join(left)} left"
    return f"{words} until {moment(budget.until)}.{then}"
