"""The command line: `visiondirector submit | watch | show | list | fetch | …`.

Exit codes: 0 satisfied (or the command succeeded), 1 ended without being satisfied, 2 the input can't be used,
3 the service does not answer, 130 interrupted.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence

import httpx
from rich.console import Console as RichConsole

from api.cli.console import INTERRUPTED, SERVICE, SHORT, USAGE, Console, Screen
from api.cli.endpoint import CHECKOUT, find_endpoint
from api.cli.parser import parser
from api.client import ApiError, Client, FieldError, Unavailable
from director.errors import BriefError
from director.transcript import plain


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command against the service that the flags, the environment or the checkout name."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that can't show a character gets a question mark, not a traceback.
            stream.reconfigure(errors="replace")
    try:
        args = parser().parse_args(argv)
        if "local" in args:
            return args.local(args)
        url, token = find_endpoint(args, os.environ, CHECKOUT)
        screen = Screen(RichConsole(highlight=False), args.json, RichConsole(stderr=True, highlight=False))
        with _client(url, token) as client:
            return run(args, Console(client, screen, sys.stdin.buffer))
    except BriefError as error:
        print(error, file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe has ended (`| head`): what is still written, also at exit, goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SHORT


def _client(url: str, token: str | None) -> Client:
    try:
        if httpx.URL(url).scheme in {"http", "https"}:
            return Client(url, token)
    except httpx.InvalidURL:
        pass
    except ValueError as error:
        raise BriefError(str(error), "copy it again, one line of ASCII", "--token") from None
    raise BriefError(f"{url!r} is no address of a service", "write http://HOST:PORT", "--url")


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command of the parsed `args`. Gives the exit code."""
    try:
        return args.call(args, console)
    except BriefError as error:
        print(error, file=sys.stderr)
        return USAGE
    except ApiError as error:
        print(_explained(error, args), file=sys.stderr)
        return SERVICE if isinstance(error, Unavailable) else USAGE


def _explained(error: ApiError, args: argparse.Namespace) -> str:
    """What the service said, in the words of the command line, and what to do about it."""
    lines = [plain(error.message, 2000), *(f"  {_renamed(field, args)}" for field in error.fields)]
    if isinstance(error, Unavailable) and not error.status:
        lines.append("`make up` starts the local stack; --url or VISIONDIRECTOR_URL name another service")
    if error.status == 401:
        lines.append('--token gives it, too; eval "$(visiondirector env)" sets that of the local stack')
    return "\n".join(lines)


def _renamed(field: FieldError, args: argparse.Namespace) -> FieldError:
    """The field's error under the name of the option that it came from."""
    name, _, place = field.field.partition(".")
    option = {"labels": "label", "items": "item"}.get(name, "")
    if place.isdigit() and int(place) < len(given := getattr(args, option, [])):
        return field.model_copy(update={"field": f"--{option} {given[int(place)]!r}"})
    return field.model_copy(update={"field": _OPTIONS.get(field.field, field.field)})


_OPTIONS = {
    "Idempotency-Key": "--key", "brief.source": "--source", "brief.title": "--title", "image": "--source",
    "continues": "--from", "limit": "--limit", "priority": "--priority", "seed": "--seed", "label": "--label",
}  # fmt: skip
