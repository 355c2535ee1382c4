"""The command line: `visiondirector submit`, `watch`, `show`, `cancel`.

Exit codes: 0 satisfied (or accepted, without --watch), 1 ended short of that, 2 what was asked
can't be used, 3 the service does not answer, 130 interrupted.
"""

import argparse
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import httpx
from rich.console import Console
from rich.text import Text

from api.briefs import read_brief
from api.client import ApiError, Client, Event, Job, NotFound, Unavailable
from api.narrate import NOBODY, progress, summary, told
from director.errors import BriefError
from director.intake import assignments
from director.story import Line, Narrator, plain
from director.types import STRATEGIES

DEFAULT_URL = "http://127.0.0.1:8100"
SATISFIED, SHORT, USAGE, SERVICE, INTERRUPTED = 0, 1, 2, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command against the service that the flags, the environment or the checkout name."""
    args = parser().parse_args(argv)
    url, token = service_of(args, os.environ, Path(__file__).resolve().parent.parent)
    console = Console(highlight=False, soft_wrap=True)
    try:
        with Client(url, token) as client:
            return run(args, client, Screen(console, args.json), sys.stdin.buffer)
    except httpx.InvalidURL as error:
        print(f"{url}: {error}", file=sys.stderr)
        return USAGE
    except BrokenPipeError:
        # The reader of a pipe went away (`| head`): nobody is left to tell, now or at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SHORT


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="visiondirector", description="Send a long brief, watch it become a picture.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", help="the service; or set VISIONDIRECTOR_URL")
    common.add_argument("--token", help="bearer token; better in VISIONDIRECTOR_TOKEN, where `ps` does not show it")
    common.add_argument("--json", action="store_true", help="JSON lines instead of prose")
    output = argparse.ArgumentParser(add_help=False)
    output.add_argument("-o", "--output", default=".", metavar="DIR", help="where the picture is saved (default: here)")
    commands = parser.add_subparsers(dest="command", required=True)

    submit = commands.add_parser("submit", parents=[common, output], help="send one or more briefs")
    submit.add_argument("files", nargs="+", metavar="FILE", help=".txt prose or .json with a prompt; -: standard input")
    submit.add_argument("--watch", action="store_true", help="follow it to the end, save picture and trajectory")
    submit.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting, e.g. candidates=2")
    submit.add_argument("--strategy", choices=list(STRATEGIES), help="a named set of settings")
    submit.add_argument("--source", metavar="IMG", help="a picture to start from")
    submit.add_argument("--goals", action="store_true", help="use the goals of a .json file instead of extracting them")
    submit.add_argument("--seed", type=int)
    submit.add_argument("--title", default="", help="for lists; default: the file's name")
    submit.add_argument("--priority", type=int, metavar="0-9", help="0 goes first; default 6")
    submit.add_argument("--key", help="submitting again under the same key gives the same job")

    watch = commands.add_parser("watch", parents=[common, output], help="follow a job to its end")
    show = commands.add_parser("show", parents=[common], help="how a job stands")
    cancel = commands.add_parser("cancel", parents=[common], help="stop a job")
    for command in (watch, show, cancel):
        command.add_argument("id", metavar="ID")
    return parser


def service_of(args: argparse.Namespace, environment: Mapping[str, str], checkout: Path) -> tuple[str, str | None]:
    """URL and token: flags, then the environment, then the local stack of the checkout."""
    stack: dict[str, Any] = {}
    if (file := checkout / "var" / "stack.json").is_file():
        try:
            stack = json.loads(file.read_text())
        except ValueError:
            print(f"{file} is not valid JSON: ignored", file=sys.stderr)
    url = args.url or environment.get("VISIONDIRECTOR_URL")
    token = args.token or environment.get("VISIONDIRECTOR_TOKEN")
    if url is None:
        # The stack's own token is for the stack's own service only.
        return stack.get("api_url") or DEFAULT_URL, token or stack.get("token")
    return url, token


@dataclass(frozen=True)
class Screen:
    """Where a command says what it has to say: lines for people, or JSON lines."""

    console: Console
    as_json: bool

    def line(self, line: Line) -> None:
        if not self.as_json:
            self.console.print(Text(str(line), style=line.style))

    def data(self, data: Mapping[str, Any]) -> None:
        if self.as_json:
            self.console.file.write(json.dumps(data) + "\n")
            self.console.file.flush()

    def job(self, job: Job) -> None:
        for line in summary(job):
            self.line(line)
        self.data(job.model_dump())


def run(args: argparse.Namespace, client: Client, screen: Screen, stdin: BinaryIO) -> int:
    """Do what the parsed `args` ask; gives the exit code."""
    commands: dict[str, Callable[[argparse.Namespace, Client, Screen, BinaryIO], int]] = {
        "submit": _submit, "watch": _watch, "show": _show, "cancel": _cancel,
    }  # fmt: skip
    try:
        return commands[args.command](args, client, screen, stdin)
    except BriefError as error:
        print(error, file=sys.stderr)
        return USAGE
    except ApiError as error:
        print(plain(str(error), 2000) if not error.fields else error, file=sys.stderr)
        return SERVICE if isinstance(error, Unavailable) else USAGE


def _submit(args: argparse.Namespace, client: Client, screen: Screen, stdin: BinaryIO) -> int:
    settings = assignments(args.set)
    if args.strategy:
        settings["strategy"] = args.strategy
    if args.key and len(args.files) > 1:
        raise BriefError("one --key stands for one job", "submit the files one by one", field="--key")
    source = _read(args.source) if args.source else None
    briefs = [read_brief(name, stdin, args.goals, args.title) for name in args.files]
    jobs: list[Job] = []
    for brief in briefs:
        job = client.submit(brief, settings, args.seed, args.key, source, args.priority)
        jobs.append(job)
        screen.line(Line("submitted", f"{job.id}  {plain(job.title)}", "bold"))
        if job.doing.startswith(NOBODY):
            screen.line(progress(job.doing))
        screen.data(job.model_dump())
    if not args.watch:
        return SATISFIED
    return max(_follow(args, client, screen, job.id) for job in jobs)


def _watch(args: argparse.Namespace, client: Client, screen: Screen, stdin: BinaryIO) -> int:
    return _follow(args, client, screen, args.id)


def _show(args: argparse.Namespace, client: Client, screen: Screen, stdin: BinaryIO) -> int:
    screen.job(client.job(args.id))
    return SATISFIED


def _cancel(args: argparse.Namespace, client: Client, screen: Screen, stdin: BinaryIO) -> int:
    screen.job(client.cancel(args.id))
    return SATISFIED


def _follow(args: argparse.Namespace, client: Client, screen: Screen, id: str) -> int:
    """Tell the job's events as they come, then where its picture is. Ctrl-C leaves the job running."""
    narrator = Narrator()

    def tell(event: Event) -> None:
        screen.data({"id": event.id, "event": event.kind, "data": event.data})
        if event.kind != "end":
            screen.line(told(narrator, event))

    def tell_doing(doing: str) -> None:
        screen.data({"event": "progress", "data": {"doing": doing}})
        screen.line(progress(doing))

    try:
        job = client.wait(id, on_event=tell, on_doing=tell_doing)
    except KeyboardInterrupt:
        print(f"\nthe job goes on; look at it again with: visiondirector watch {id}", file=sys.stderr)
        return INTERRUPTED
    for line in summary(job):
        screen.line(line)
    _save(client, screen, job, Path(args.output))
    return SATISFIED if job.satisfied else SHORT


def _save(client: Client, screen: Screen, job: Job, folder: Path) -> None:
    """The picture, and beside it the trajectory as JSON."""
    try:
        png = client.image(job.id)
    except NotFound:
        screen.line(Line("saved", "nothing: there is no picture"))
        return
    title = unicodedata.normalize("NFKD", job.title.lower()).encode("ascii", "ignore").decode()
    words = "".join(c if c.isalnum() else " " for c in title).split()
    path = folder / f"{'-'.join([*words[:8], job.id[:8]])}.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)
        trajectory = json.dumps(client.trajectory(job.id), indent=1, ensure_ascii=False)
        path.with_suffix(".json").write_text(trajectory + "\n", encoding="utf-8")
    except OSError as error:
        raise BriefError(f"{path}: {error.strerror}", "choose a folder with -o", field="-o") from error
    screen.line(Line("saved", str(path), "bold"))
    screen.data({"saved": str(path)})


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise BriefError(f"{name}: {error.strerror}", "name a readable file", field="--source") from error


if __name__ == "__main__":
    sys.exit(main())
