"""Hooks: addresses that are told what becomes of batches and jobs."""

import argparse
import time

from api.cli.console import SATISFIED, SHORT, Console
from api.cli.options import Add, common
from api.cli.transcript import clock
from api.client import Hook
from director.transcript import Line, plain

EVENTS = (
    "batch.started", "batch.half", "batch.ended", "batch.late", "batch.budget", "batch.held", "job.ended",
)  # fmt: skip


def add(commands: Add) -> None:
    about = "be told when a batch starts, is half done, ends or is late: webhooks, or e-mail"
    made = commands("hook", help=about, description=about)
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION").add_parser
    new = actions("add", parents=[common()], help="be told at https://… or mailto:…; prints the secret, once")
    new.set_defaults(call=_add)
    new.add_argument("address", metavar="URL")
    new.add_argument(
        "--event", action="append", choices=EVENTS, help="repeat it; default: all of batches, and no single job"
    )
    actions("list", parents=[common()], help="your hooks").set_defaults(call=_list)
    for name, call, told in (
        ("test", _test, "send it something now"),
        ("rotate", _rotate, "give it another secret; the old one signs for a day more"),
        ("replay", _replay, "send now what waits and what was given up, and switch it on again"),
        ("remove", _remove, "tell it nothing more"),
    ):
        one = actions(name, parents=[common()], help=told)
        one.set_defaults(call=call)
        one.add_argument("hook", metavar="ID")


def _add(args: argparse.Namespace, console: Console) -> int:
    return _show_secret(console, console.client.add_hook(args.address, args.event))


def _rotate(args: argparse.Namespace, console: Console) -> int:
    return _show_secret(console, console.client.rotate_hook(args.hook))


def _show_secret(console: Console, hook: Hook) -> int:
    console.screen.data(hook.model_dump(mode="json"))
    console.screen.line(_line(hook))
    if hook.secret and not hook.url.startswith("mailto:"):
        console.screen.line(Line("secret", f"{hook.secret}  (shown once: it checks what comes)"))
    return SATISFIED


def _list(args: argparse.Namespace, console: Console) -> int:
    found = console.client.hooks()
    for hook in found:
        console.screen.data(hook.model_dump(mode="json"))
        for line in (_line(hook), *_untold(hook)):
            console.screen.line(line)
    if not found:
        console.screen.line(Line("", "no hooks: visiondirector hook add https://…"))
    return SATISFIED


def _line(hook: Hook) -> Line:
    events = ", ".join(event.removeprefix("batch.") for event in hook.events)
    off = f"; off: {plain(hook.off, 200)}" if hook.off else ""
    return Line(hook.id, f"{plain(hook.url, 300)}  {events}{off}", "red" if hook.off else "")


def _untold(hook: Hook) -> list[Line]:
    """What waits, what was given up, and what went wrong last."""
    lines = list[Line]()
    if hook.waiting:
        now = f"; at once: visiondirector hook replay {hook.id}" if hook.error else ""
        lines.append(Line("", f"{hook.waiting} to be told{_next_try(hook)}{now}", "yellow" if hook.error else ""))
    if hook.dead:
        lines.append(Line("", f"{hook.dead} given up: visiondirector hook replay {hook.id}", "red"))
    if hook.error:
        at = f"at {clock(hook.failed)}: " if hook.failed else ""
        lines.append(Line("", f"failed {at}{plain(hook.error, 300)}", "yellow"))
    return lines


def _next_try(hook: Hook) -> str:
    if hook.next_try is None:
        return ""
    return f"; the next try is at {clock(hook.next_try)}" if hook.next_try > time.time() else "; the next try is due"


def _test(args: argparse.Namespace, console: Console) -> int:
    tried = console.client.test_hook(args.hook)
    console.screen.data(tried.model_dump(mode="json"))
    told = f"it answered {tried.status}" if tried.ok and tried.status else "it was sent"
    console.screen.line(Line("well" if tried.ok else "failed", told if tried.ok else plain(tried.error, 300)))
    return SATISFIED if tried.ok else SHORT


def _replay(args: argparse.Namespace, console: Console) -> int:
    notices = console.client.replay_hook(args.hook)
    console.screen.data({"notices": notices})
    console.screen.line(Line("sent", f"{notices} notices, each within seconds"))
    return SATISFIED


def _remove(args: argparse.Namespace, console: Console) -> int:
    console.client.remove_hook(args.hook)
    console.screen.line(Line("removed", plain(args.hook, 64)))
    return SATISFIED
