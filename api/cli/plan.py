"""`visiondirector plan`: how many cards a night takes.

The service reckons with what it has measured. Where none answers, this command reckons with what the profile says, or
guesses, and says so.
"""

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import time
from datetime import datetime, timedelta
from typing import Any

from api.cli import transcript
from api.cli.console import SATISFIED, SHORT, Console
from api.cli.options import Add, common
from api.client import Plan, Unavailable
from director.errors import BriefError
from director.intake import assignments
from director.transcript import Line, count, plain

_RATES = "worker.checks.rates"
_KNOWN = ("editor", "width", "height", "candidates", "rounds")
_UNITS = {"m": 60, "h": 3600, "d": 86_400}


def add(add_parser: Add) -> None:
    """Put the command into a parser."""
    made = add_parser("plan", parents=[common()], help="how many cards it takes to draw so many briefs until then")
    made.set_defaults(call=run)
    made.add_argument("--briefs", type=int, required=True, metavar="N")
    made.add_argument("--goals", type=int, default=0, metavar="N", help="of a brief, about")
    made.add_argument("--by", type=moment, required=True, metavar="WHEN", help="07:00, 8h, or 2026-11-29T07:00")
    made.add_argument("--editors", type=_cards, metavar="N", help="cards that there are (default: as many as it takes)")
    about = f"a setting of all briefs: {', '.join(_KNOWN)}; repeat"
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=about)
    made.add_argument("--profile", default="sketch", help="what to reckon with where no service answers")
    made.add_argument("--card-hour", type=float, metavar="PRICE", help="of a card for an hour, drawing or not")


def run(args: argparse.Namespace, console: Console) -> int:
    about = assignments(args.set)
    if unknown := sorted(about.keys() - set(_KNOWN)):
        raise BriefError(f"a plan knows no {plain(unknown[0], 40)}", f"it knows {', '.join(_KNOWN)}", "--set")
    if args.by <= time.time():
        raise BriefError(f"{transcript.clock(args.by)} has passed", "write a time to come: 07:00, 8h", "--by")
    asked: dict[str, Any] = {"goals": args.goals, **about, **({"cards": args.editors} if args.editors else {})}
    try:
        found, rates = console.client.plan(args.briefs, args.by, **asked), dict[str, Any]()
    except Unavailable as error:
        console.screen.note(f"{error}: reckoned with the profile {args.profile}, which measured nothing")
        rates = rates_of(args.profile)
        found = guessed(args.briefs, args.by, args.goals, args.editors, about, rates)
    money, currency = found.money, found.currency
    if args.card_hour is not None:
        money, currency = found.card_hours * args.card_hour, ""
    elif money is None and rates.get("card_hour"):
        money, currency = found.card_hours * rates["card_hour"], rates.get("currency", "")
    console.screen.data(found.model_dump(mode="json") | {"money": money, "currency": currency})
    console.screen.line(*lines(found, money, currency))
    return SATISFIED if found.cards else SHORT


def _cards(text: str) -> int:
    if text.isdecimal() and int(text):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of cards: write 1 or more")


def moment(text: str) -> float:
    """Seconds since the epoch of a time of day to come, of 90m, 8h or 2d from now, or of an ISO time."""
    now = datetime.now().astimezone()
    if found := re.fullmatch(r"(\d{1,2}):(\d\d)", text):
        try:
            at = now.replace(hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no time of day") from None
        return (at if at > now else at + timedelta(days=1)).timestamp()
    if found := re.fullmatch(r"(\d{1,4})([mhd])", text):
        return now.timestamp() + int(found[1]) * _UNITS[found[2]]
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 07:00, 8h or 2026-11-29T07:00") from None


def rates_of(profile: str) -> dict[str, Any]:
    """What a profile says of its times and prices; nothing where no worker is installed."""
    if importlib.util.find_spec("worker") is None:
        return {}
    done = subprocess.run([sys.executable, "-P", "-m", _RATES, profile], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BriefError(done.stderr.strip()[-500:] or "the profile can't be read", "name another one", "--profile")
    return json.loads(done.stdout)


def guessed(
    briefs: int, by: float, goals: int, cards: int | None, about: dict[str, Any], rates: dict[str, Any]
) -> Plan:
    """Reckoned here. The modules are loaded when they are needed: every other command starts faster."""
    from api.forecast_schemas import Planning
    from api.planned import ask_of, plan_out
    from tasks.batch.forecast.plan import assumed, plan

    asked = Planning.model_validate({"briefs": briefs, "by": by, "goals": goals, "cards": cards, **about})
    now = time.time()
    ask = ask_of(asked, "", now)
    world = assumed(ask, rates.get("picture_s", {}).get(asked.editor), rates.get("thinkers", 8), now)
    found = plan_out(plan(world, ask, seed=1, fixed=cards or 0), asked, now, measured=False)
    return Plan.model_validate(found.model_dump())


def lines(found: Plan, money: float | None, currency: str) -> list[Line]:
    goals = f" of about {found.goals} goals" if found.goals else ""
    until = f"{transcript.clock(found.by)} ({transcript.duration(max(0.0, found.by - time.time()))} from now)"
    briefs = f"{found.briefs:,} {'brief' if found.briefs == 1 else 'briefs'}{goals}"
    told = [Line("plan", f"{briefs} by {plain(found.editor, 60)}, until {until}")]
    enough = f"more cards do not help; what limits: {plain(found.limits, 80)}"
    if found.cards:
        chance = next((one.chance for one in found.around if one.cards == found.cards), 0.0)
        how = f"{chance:.0%} of" if not found.least else "19 of 20" if found.safe == found.cards else "8 of 10"
        enough = f"{count(found.cards, 'card')}: in time in {how} nights"
    told.append(Line("cards", enough, "bold green" if found.cards else "bold yellow"))
    told += _range(found)
    for one in found.around:
        ends = f"ends about {transcript.clock(one.p50)}, in 9 of 10 nights before {transcript.clock(one.p90)}"
        words = f"{one.chance:.0%} in time; {ends}; what limits: {plain(one.limits, 60)}"
        told.append(Line(count(one.cards, "card"), words))
    hours = f"{found.gpu_hours:,.1f} h of drawing, {found.card_hours:,.1f} h of cards until the end"
    told.append(Line("GPU", hours))
    if money is not None:
        told.append(Line("money", f"about {money:,.2f} {plain(currency.upper(), 3)}".rstrip()))
    told.append(Line("disk", f"about {found.disk_bytes / 1e9:,.1f} GB, {found.renders:,} pictures"))
    if not found.measured:
        told.append(Line("unsure", "no render of this model and size was measured: times are guesses", "yellow"))
    return [*told, *(Line("unsure", plain(words, 200), "yellow") for words in found.knows_little_of)]


def _range(found: Plan) -> list[Line]:
    """Between which numbers the one lies that is needed. Nobody knows it better: nights are not alike."""
    if found.least is None:
        return []
    least = f"{count(found.least, 'card')}: with fewer it is late in 9 of 10 nights"
    safe = f"{count(found.safe, 'card')}: in time in 19 of 20 nights" if found.safe else "more cards make it no surer"
    surer = [] if found.safe == found.cards else [Line("to be safe", safe)]
    return [*([Line("at least", least)] if found.least > 1 else []), *surer]
