"""The commands and options of `visiondirector batch`."""

import argparse

from api.cli import options
from api.cli.batch import fetch, orders, results, submit, terms, watch
from api.cli.options import Add

_STATUSES = ["open", "paused", "cancelled", "ended"]
_ITEMS = ["waiting", "running", "done", "unmet", "failed", "cancelled"]


def add(add_parser: Add) -> None:
    """Put the command into a parser."""
    made = add_parser("batch", help="many briefs as one: send, watch, pause, retry, fetch")
    commands = made.add_subparsers(dest="order", required=True, metavar="WHAT")
    _submit(commands.add_parser)
    _looks(commands.add_parser)
    _orders(commands.add_parser)
    _results(commands.add_parser)


def _submit(add: Add) -> None:
    about = "with --watch: save pictures in this folder as they are done"
    parents = [options.common(), options.output(None, about)]
    made = add("submit", parents=parents, help="send a folder of briefs, CSV or JSONL files as one batch")
    made.set_defaults(call=submit.submit)
    options.path(
        made.add_argument(
            "files",
            nargs="+",
            metavar="FOLDER|FILE",
            help="a folder of .txt, .md or .json briefs, where a picture of the same name is what a brief starts from; "
            "a .csv with a column brief; a .jsonl with a brief in each line; or single briefs",
        )
    )
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of all briefs; repeat")
    made.add_argument(
        "--matrix", action="append", default=[], metavar="KEY=VALUES",
        help="draw each brief with each value, e.g. seed=1..4 or editor=flux-krea,qwen-image; repeat",
    )  # fmt: skip
    made.add_argument("--label", action="append", default=[], metavar="WORD", help="a word to find it by; repeat")
    made.add_argument("--title", default="", help="shown in lists (default: the name of the folder or file)")
    made.add_argument("--priority", type=int, metavar="0-9", help="0 goes first; default 9")
    made.add_argument("--max-in-flight", type=int, metavar="N", help="draw at most N at once")
    terms.add(made)
    made.add_argument("--goals", action="store_true", help="use the goals of .json files instead of extracting them")
    about = "another batch of the same briefs: without it the same briefs are the same batch"
    made.add_argument("--key", type=options.key, help=about)
    made.add_argument("--watch", action="store_true", help="follow it to the end")


def _looks(add: Add) -> None:
    listed = add("list", parents=[options.common()], help="your batches, newest first")
    listed.set_defaults(call=orders.list_batches)
    listed.add_argument("--status", action="append", default=[], choices=_STATUSES, help="repeat it for any of them")
    listed.add_argument("--label", action="append", default=[], metavar="WORD", help="repeat it for all of them")
    options.limit(listed, 20, "batches")

    show = add("show", parents=[options.common(), _batches("+")], help="how many items stand where, and what is drawn")
    show.set_defaults(call=orders.show)
    show.add_argument("--items", action="store_true", help="list every item, too")
    show.add_argument("--status", action="append", default=[], choices=_ITEMS, help="list the items that stand so")

    about = "save pictures in this folder as they are done"
    watched = add(
        "watch", parents=[options.common(), _batches(None), options.output(None, about)], help="follow it to the end"
    )
    watched.set_defaults(call=watch.watch)


def _orders(add: Add) -> None:
    for name, about in (
        ("pause", "start nothing more of it; what is drawn now waits after its present step"),
        ("resume", "go on with it"),
    ):
        add(name, parents=[options.common(), _batches("+")], help=about).set_defaults(call=orders.order)
    parents = [options.common(), _batches(None), _items()]
    add("cancel", parents=parents, help="cancel what has not ended; pictures stay").set_defaults(call=orders.cancel)

    retry = add("retry", parents=parents, help="let items go on that ended short of their goals")
    retry.set_defaults(call=orders.retry)
    retry.add_argument("--failed", action="store_true", help="from the step that failed (the default)")
    retry.add_argument("--unmet", action="store_true", help="from the final picture, with more rounds")
    retry.add_argument("--cancelled", action="store_true", help="bring cancelled items back")
    retry.add_argument("--rounds", type=int, metavar="N", help="how many more rounds unmet items get")

    patch = add(
        "patch",
        parents=[options.common(), _batches(None), _items()],
        help="change its place, cap, title, windows, deadline or budget",
    )
    patch.set_defaults(call=orders.patch)
    patch.add_argument("--priority", type=int, metavar="0-9", help="0 goes first")
    patch.add_argument("--front", action="store_true", help="before your other batches; with --item: next of its batch")
    patch.add_argument("--max-in-flight", type=int, metavar="N", help="draw at most N at once; 0: as many as can be")
    patch.add_argument("--title")
    terms.add(patch, taken_away=True)


def _results(add: Add) -> None:
    parents = [options.common(), _batches(None), options.output(None, "folder to save in (default: standard output)")]
    made = add("results", parents=parents, help="what came of each item, and the pictures")
    made.set_defaults(call=results.results)
    made.add_argument("--csv", action="store_true", help="a table instead of JSON lines")
    made.add_argument("--images", action="store_true", help="save the pictures, too; those that are there are kept")
    made.add_argument("--all", action="store_true", help="earlier takes, too")

    fetched = add("fetch", parents=[options.common(), _batches(None)], help="save the pictures; again, what is missing")
    fetched.set_defaults(call=fetch.fetch)
    where = fetched.add_argument("folder", nargs="?", default=".", metavar="DIR", help="default: the current folder")
    options.path(where, folder=True)
    fetched.add_argument("--jpeg", action="store_true", help="as JPEG")
    fetched.add_argument("--pdf", action="store_true", help="as PDF pages for a printer, with bleed")
    fetched.add_argument("--bleed", type=float, metavar="MM", help="with --pdf; default 3")
    fetched.add_argument("--dpi", type=int, metavar="N", help="with --pdf: pixels an inch, default 300")
    fetched.add_argument("--gallery", action="store_true", help="a page of all of them too, the worst first")
    fetched.add_argument("--report", action="store_true", help="the report page of each, too")
    options.path(fetched.add_argument("--zip", metavar="FILE", help="all in one ZIP file; --report adds the reports"))
    fetched.add_argument("--no-metadata", dest="metadata", action="store_false", help="PNGs without brief and settings")


def _batches(nargs: str | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(add_help=False)
    name = "batches" if nargs else "batch"
    made.add_argument(name, nargs=nargs, metavar="BATCH", help="its title, its label, its id or 8 characters of it")
    return made


def _items() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(add_help=False)
    made.add_argument("--item", action="append", default=[], metavar="CUSTOM_ID", help="only this one; repeat")
    return made
