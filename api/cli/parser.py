"""The commands and options of the command line.

A command names its function: `call` gets a `Console` too, `local` only the arguments.
"""

import argparse

import shtab

from api import gc
from api.cli import bench, endpoint, follow, hooks, jobs, machines, options, plan, submit, whoami
from api.cli.batch import parser as batch
from api.cli.console import SATISFIED
from api.cli.options import Add
from director.strategies import STRATEGIES

SHELLS = ("bash", "zsh", "fish")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="visiondirector",
        description="Send a long brief, watch it become a picture.",
        epilog="Exit codes: 0 satisfied, 1 ended without being satisfied, 2 usage, 3 the service does not answer.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _submit(commands.add_parser)
    _about_jobs(commands.add_parser)
    batch.add(commands.add_parser)
    plan.add(commands.add_parser)
    whoami.add(commands.add_parser)
    hooks.add(commands.add_parser)
    _machines(commands.add_parser)
    made = commands.add_parser(
        "bench", parents=[options.common()], help="run the tasks of a benchmark as jobs, and grade the results"
    )
    bench.add_arguments(made, options.common())
    _local(commands.add_parser)
    return parser


def _submit(add: Add) -> None:
    made = add("submit", parents=[options.common(), options.output()], help="send one or more briefs")
    made.set_defaults(call=submit.submit)
    options.path(
        made.add_argument(
            "files", nargs="*", metavar="FILE", help=".txt prose or .json with a prompt; -: standard input"
        )
    )
    made.add_argument("--watch", action="store_true", help="follow to the end, save picture and trajectory")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting, e.g. candidates=2")
    made.add_argument("--strategy", choices=list(STRATEGIES), help="a named set of settings")
    options.path(made.add_argument("--source", metavar="IMG", help="a picture to start from"))
    options.path(
        made.add_argument(
            "--from", dest="again", metavar="PNG|JOB",
            help="run the job again that made this PNG, from its metadata; with --change: the job to go on from",
        )
    )  # fmt: skip
    made.add_argument(
        "--change", metavar="TEXT", help="with --from JOB: what is to change of its picture; the rest stays"
    )
    made.add_argument("--goals", action="store_true", help="use the goals of a .json file instead of extracting them")
    made.add_argument("--seed", type=int)
    made.add_argument("--title", default="", help="shown in lists (default: the name of the file)")
    made.add_argument("--label", action="append", default=[], metavar="WORD", help="a word to find the job by; repeat")
    made.add_argument("--priority", type=int, metavar="0-9", help="0 goes first; default 6")
    made.add_argument("--key", type=options.key, help="submitting again under the same key gives the same job")
    made.add_argument("--new", action="store_true", help="draw again what was sent before with these very options")


def _about_jobs(add: Add) -> None:
    watch = add("watch", parents=[options.common(), options.ids(), options.output()], help="follow jobs to their end")
    watch.set_defaults(call=follow.watch)
    show = add("show", parents=[options.common(), options.ids()], help="show a job and the outcome of each goal")
    show.set_defaults(call=jobs.show)

    listed = add("list", parents=[options.common()], help="your jobs, newest first")
    listed.set_defaults(call=jobs.list_jobs)
    statuses = ["queued", "running", "done", "cancelled", "failed"]
    listed.add_argument(
        "--status", action="append", default=[], choices=statuses, help="repeat it for jobs with any of them"
    )
    listed.add_argument(
        "--label", action="append", default=[], metavar="WORD", help="repeat it for jobs with all of them"
    )
    listed.add_argument(
        "--since", type=jobs.parse_time, metavar="WHEN", help="created since: 90m, 12h, 3d, or 2026-11-23"
    )
    options.limit(listed, 50, "jobs")

    fetch = add(
        "fetch", parents=[options.common(), options.ids(), options.output()], help="save picture and trajectory"
    )
    fetch.set_defaults(call=jobs.fetch)
    fetch.add_argument("--report", action="store_true", help="save the report page, too")

    report = add("report", parents=[options.common(), options.ids("id", None)], help="save the report page of a job")
    report.set_defaults(call=jobs.report)
    options.path(report.add_argument("-o", "--output", metavar="FILE", help="file to write (-: standard output)"))
    report.add_argument("--open", action="store_true", help="show it in the browser")

    for name, call, about in (
        ("cancel", jobs.order, "stop jobs; their pictures stay"),
        ("pause", jobs.order, "let jobs wait, behind the step that runs now; max_seconds run on"),
        ("resume", jobs.order, "let paused jobs go on"),
        ("requeue", jobs.order, "continue failed jobs at the step that failed"),
        ("delete", jobs.delete, "delete ended jobs; the next gc removes pictures that no other job uses"),
    ):
        add(name, parents=[options.common(), options.ids()], help=about).set_defaults(call=call)
    pick = add("pick", parents=[options.common(), options.ids("id", None)], help="deliver another candidate of a job")
    pick.set_defaults(call=jobs.pick)
    pick.add_argument("candidate", nargs="?", metavar="ROUND.CANDIDATE", help="as in its report, e.g. 2.3")
    pick.add_argument("--undo", action="store_true", help="deliver what the loop ended with")
    patch = add("patch", parents=[options.common(), options.ids()], help="change the priority of jobs")
    patch.set_defaults(call=jobs.order)
    patch.add_argument("--priority", type=int, choices=range(10), required=True, help="0 goes first")


def _machines(add: Add) -> None:
    held = add("holds", parents=[options.common()], help="which queues are held and which workers are sick (operators)")
    held.set_defaults(call=machines.holds)
    out = add("quarantine", parents=[options.common()], help="let a worker take no more steps (operators)")
    out.set_defaults(call=machines.quarantine)
    out.add_argument("--why", default="", help="shown to those who ask")
    back = add("restore", parents=[options.common()], help="let a worker take steps again (operators)")
    back.set_defaults(call=machines.restore)
    for made in (out, back):
        made.add_argument("worker", metavar="WORKER", help="its name: holds and Flower show it")


def _local(add: Add) -> None:
    for name, about in (
        ("up", "start the local stack of this checkout (make up)"),
        ("down", "stop the local stack; its data stays (make down)"),
        ("status", "show what runs in the local stack (make status)"),
    ):
        made = add(name, help=about)
        made.set_defaults(local=endpoint.stack(endpoint.CHECKOUT))
        options.path(made.add_argument("--var", metavar="DIR", help="folder of data, logs and secrets"), folder=True)
        if name == "up":
            made.add_argument("--workers", type=int, metavar="N", help="worker processes, 3 or more (default: 4)")
            made.add_argument("--no-flower", action="store_true")
            made.add_argument("--profile", help="what to run in place of the sketch studio: a name, or a .json file")
            made.add_argument("--box", help="name of this machine in the profile")
    gc.add(add)
    env = add(
        "env", parents=[options.common()], help='print the service as shell variables: eval "$(visiondirector env)"'
    )
    env.set_defaults(local=endpoint.env)
    completion = add("completion", help='print completion for a shell, e.g. eval "$(visiondirector completion bash)"')
    completion.add_argument("shell", choices=SHELLS)
    completion.set_defaults(local=_completion)


def _completion(args: argparse.Namespace) -> int:
    print(shtab.complete(parser(), shell=args.shell))
    return SATISFIED
