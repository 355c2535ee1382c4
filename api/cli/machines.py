"""Commands for operators: what is held, who is sick; take a worker out, and bring it back."""

import argparse
from datetime import UTC, datetime

from api.cli.console import SATISFIED, Console
from api.client import Machines
from director.transcript import Line, plain


def holds(args: argparse.Namespace, console: Console) -> int:
    return _show(console, console.client.machines())


def quarantine(args: argparse.Namespace, console: Console) -> int:
    return _show(console, console.client.quarantine(args.worker, args.why))


def restore(args: argparse.Namespace, console: Console) -> int:
    return _show(console, console.client.restore(args.worker))


def _show(console: Console, found: Machines) -> int:
    screen = console.screen
    screen.data(found.model_dump(mode="json"))
    for hold in found.held:
        fix = f"; {hold.fix}" if hold.fix else ""
        screen.line(Line("held", plain(f"{hold.queue}: {hold.why} since {_time(hold.since)}{fix}", 600), "red"))
        screen.line(Line("", plain(f"{hold.waiting} jobs wait, {hold.tries} tries failed, actor {hold.actor}", 200)))
    for one in found.sick:
        state = f"quarantined since {_time(one.quarantined)}" if one.quarantined else "failed last"
        screen.line(Line("sick", plain(f"{one.worker}: {state}, {one.failures} in a row: {one.why}", 600), "yellow"))
    if not found.held and not found.sick:
        screen.line(Line("well", f"nothing is held, and none of {len(found.workers)} workers is sick"))
    return SATISFIED


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
