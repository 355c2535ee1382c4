"""`visiondirector whoami`: the owner of the token, and what of the own windows and budget is used."""

import argparse
from datetime import datetime
from zoneinfo import ZoneInfo

from api.cli import transcript
from api.cli.batch.find import budget_words
from api.cli.console import SATISFIED, Console
from api.cli.options import Add, common
from api.client import Me, OwnerBudget
from director.transcript import Line, count, plain

_STATES = {
    "nothing new": "nine tenths are used: nothing new begins",
    "held": "it is used up: nothing more is drawn until then, or until an operator raises it in VISIONDIRECTOR_OWNERS",
}


def add(add_parser: Add) -> None:
    """Put the command into a parser."""
    about = "whose token this is, and what of the own budget and windows is used and left"
    add_parser("whoami", parents=[common()], help=about).set_defaults(call=run)


def run(args: argparse.Namespace, console: Console) -> int:
    me = console.client.me()
    console.screen.data(me.model_dump(mode="json"))
    console.screen.line(*lines(me))
    return SATISFIED


def lines(me: Me) -> list[Line]:
    told = [Line("owner", f"{plain(me.owner, 200)} ({', '.join(map(plain, me.scopes))})")]
    told.append(Line("at once", f"{count(me.max_in_flight, 'job')} at most"))
    if me.windows:
        told.append(Line("windows", plain("; ".join(me.windows), 400)))
        told.append(Line("", _open_words(me), "" if me.open else "yellow"))
    if not me.budget:
        return [*told, Line("budget", "none: no operator set one", "dim")]
    return told + _budget_lines(me.budget)


def _open_words(me: Me) -> str:
    until = f" until {transcript.clock(me.changes)}" if me.changes else ""
    if me.open:
        return f"open{until}"
    held = "; what was begun is held, too" if me.at_close == "hold" else "; what was begun ends"
    return f"shut{until}{held}"


def _budget_lines(budget: OwnerBudget) -> list[Line]:
    emphasis = "" if budget.state == "open" else "yellow"
    until = f"{datetime.fromtimestamp(budget.until, ZoneInfo(budget.zone)):%Y-%m-%d %H:%M} {plain(budget.zone, 64)}"
    told = [
        Line("budget", f"{budget_words(budget)} used this {plain(budget.per, 8)}", emphasis),
        Line("left", f"{_left_words(budget)}, until {until}"),
    ]
    return told + [Line("", words, "yellow") for words in [_STATES.get(budget.state, "")] if words]


def _left_words(budget: OwnerBudget) -> str:
    parts = list[str]()
    if budget.left_renders is not None:
        parts.append(count(budget.left_renders, "render"))
    if budget.left_gpu_seconds is not None:
        parts.append(f"{transcript.duration(budget.left_gpu_seconds)} of GPU")
    if budget.left_money is not None:
        parts.append(f"{budget.left_money:,.2f} {plain(budget.currency.upper(), 3)}")
    return ", ".join(parts)
