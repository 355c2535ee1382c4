"""The words of the command line.

A command names its function: `call` gets the service too (`console.Command`), `local` only the arguments.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import shtab

from api import gc
from api.cli import bench, endpoint, follow, jobs, local, submit
from director.types import STRATEGIES

CHECKOUT = Path(__file__).resolve().parents[2]
SHELLS = ("bash", "zsh", "fish")
Add = Callable[..., argparse.ArgumentParser]


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="visiondirector",
        description="Send a long brief, watch it become a picture.",
        epilog="Exit codes: 0 satisfied, 1 ended short of it, 2 usage, 3 the service does not answer.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _submit(commands.add_parser)
    _about_jobs(commands.add_parser)
    _bench(commands.add_parser)
    _local(commands.add_parser)
    return parser


def _submit(add: Add) -> None:
    made = add("submit", parents=[_common(), _output()], help="send one or more briefs")
    made.set_defaults(call=submit.submit)
    _path(
        made.add_argument(
            "files", nargs="*", metavar="FILE", help=".txt prose or .json with a prompt; -: standard input"
        )
    )
    made.add_argument("--watch", action="store_true", help="follow to the end, save picture and trajectory")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting, e.g. candidates=2")
    made.add_argument("--strategy", choices=list(STRATEGIES), help="a named set of settings")
    _path(made.add_argument("--source", metavar="IMG", help="a picture to start from"))
    _path(
        made.add_argument(
            "--from", dest="again", metavar="PNG", help="what the metadata of a result says: the same job again"
        )
    )
    made.add_argument("--goals", action="store_true", help="use the goals of a .json file instead of extracting them")
    made.add_argument("--seed", type=int)
    made.add_argument("--title", default="", help="for lists; default: the file's name")
    made.add_argument("--label", action="append", default=[], metavar="WORD", help="a word to find the job by; repeat")
    made.add_argument("--priority", type=int, metavar="0-9", help="0 goes first; default 6")
    made.add_argument("--key", help="submitting again under the same key gives the same job")


def _about_jobs(add: Add) -> None:
    watch = add("watch", parents=[_common(), _ids(), _output()], help="follow jobs to their end")
    watch.set_defaults(call=follow.watch)
    show = add("show", parents=[_common(), _ids()], help="how a job and each of its goals stand")
    show.set_defaults(call=jobs.show)

    listed = add("list", parents=[_common()], help="your jobs, newest first")
    listed.set_defaults(call=jobs.list_jobs)
    statuses = ["queued", "running", "done", "cancelled", "failed"]
    listed.add_argument("--status", action="append", default=[], choices=statuses, help="repeat for any of several")
    listed.add_argument("--label", action="append", default=[], metavar="WORD", help="repeat for all of several")
    listed.add_argument("--since", type=jobs.moment, metavar="WHEN", help="created since: 90m, 12h, 3d, or 2026-11-23")
    listed.add_argument("-n", "--limit", type=int, default=50, metavar="N", help="at most so many (default: 50)")

    fetch = add("fetch", parents=[_common(), _ids(), _output()], help="save picture and trajectory")
    fetch.set_defaults(call=jobs.fetch)
    fetch.add_argument("--report", action="store_true", help="the report page, too")

    report = add("report", parents=[_common(), _ids("?")], help="save the report page of a job")
    report.set_defaults(call=jobs.report)
    _path(report.add_argument("-o", "--output", metavar="FILE", help="where to (-: standard output)"))
    report.add_argument("--open", action="store_true", help="show it in the browser")

    for name, call, about in (
        ("cancel", jobs.cancel, "stop jobs; what they have drawn stays"),
        ("requeue", jobs.requeue, "let failed jobs go on where they failed"),
        ("delete", jobs.delete, "remove ended jobs; pictures no other job uses go with the next gc"),
    ):
        add(name, parents=[_common(), _ids()], help=about).set_defaults(call=call)


def _bench(add: Add) -> None:
    made = add("bench", help="run a benchmark's tasks as jobs, and grade what they deliver")
    bench.add_arguments(made, _common())


def _local(add: Add) -> None:
    for name, about in (
        ("up", "start the local stack of this checkout (make up)"),
        ("down", "stop it; what it stored stays (make down)"),
        ("status", "what runs in it (make status)"),
    ):
        made = add(name, help=about)
        made.set_defaults(local=local.stack(CHECKOUT))
        _path(made.add_argument("--var", metavar="DIR", help="where data, logs and secrets are kept"), folder=True)
        if name == "up":
            made.add_argument("--workers", type=int, metavar="N", help="worker processes, 3 or more (default: 4)")
            made.add_argument("--no-flower", action="store_true")
            made.add_argument("--profile", help="what to run in place of sketch workers: a name, or a path to a .json")
            made.add_argument("--box", help="which box of the profile this machine is")
    gc.add(add)
    env = add("env", parents=[_common()], help='the service as shell variables: eval "$(visiondirector env)"')
    env.set_defaults(local=endpoint.env)
    completion = add("completion", help='completion for a shell, e.g. eval "$(visiondirector completion bash)"')
    completion.add_argument("shell", choices=SHELLS)
    completion.set_defaults(local=local.completion(parser))


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", help="the service; or set VISIONDIRECTOR_URL")
    common.add_argument("--token", help="bearer token; better in VISIONDIRECTOR_TOKEN, where `ps` does not show it")
    common.add_argument("--json", action="store_true", help="JSON lines instead of prose")
    return common


def _ids(nargs: str = "+") -> argparse.ArgumentParser:
    ids = argparse.ArgumentParser(add_help=False)
    if nargs == "+":
        ids.add_argument("ids", nargs="+", metavar="ID", help="a job, or the first 8 characters of its id or more")
    else:
        ids.add_argument("id", metavar="ID", help="a job, or the first 8 characters of its id or more")
    return ids


def _output() -> argparse.ArgumentParser:
    output = argparse.ArgumentParser(add_help=False)
    where = output.add_argument(
        "-o", "--output", default=".", metavar="DIR", help="where pictures are saved (default: here)"
    )
    _path(where, folder=True)
    output.add_argument(
        "--no-metadata", dest="metadata", action="store_false", help="leave brief and settings out of the PNG"
    )
    return output


def _path(argument: argparse.Action, folder: bool = False) -> None:
    """Shells complete this argument with files."""
    setattr(argument, "complete", shtab.DIRECTORY if folder else shtab.FILE)  # noqa: B010 - Action declares no such name
