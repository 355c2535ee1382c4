"""Options that several commands have."""

import argparse
from collections.abc import Callable

import shtab

Add = Callable[..., argparse.ArgumentParser]


def common() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    made.add_argument("--url", help="address of the service (or VISIONDIRECTOR_URL)")
    made.add_argument("--token", help="bearer token; VISIONDIRECTOR_TOKEN is safer, because `ps` does not show it")
    made.add_argument("--json", action="store_true", help="print JSON lines instead of text")
    return made


def ids(name: str = "ids", nargs: str | None = "+") -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(add_help=False)
    made.add_argument(
        name, nargs=nargs, metavar="ID", help="id of a job, at least its first 8 characters, or its title"
    )
    return made


def output(
    default: str | None = ".", about: str = "folder to save in (default: the current one)"
) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(add_help=False)
    where = made.add_argument("-o", "--output", default=default, metavar="DIR", help=about)
    path(where, folder=True)
    made.add_argument(
        "--no-metadata", dest="metadata", action="store_false", help="save the PNG without brief and settings"
    )
    return made


def path(argument: argparse.Action, folder: bool = False) -> None:
    """Let shells complete this argument with files or folders."""
    setattr(argument, "complete", shtab.DIRECTORY if folder else shtab.FILE)  # noqa: B010 - Action declares no such name


def limit(made: argparse.ArgumentParser, default: int, things: str) -> None:
    """How much of a list is shown."""
    about = f"list at most N {things} (default: {default})"
    made.add_argument("-n", "--limit", type=int, default=default, metavar="N", help=about)
    made.add_argument("--all", action="store_true", help="list all of them")


def key(text: str) -> str:
    """What an HTTP header can carry."""
    if not (text.isascii() and text.isprintable() and 0 < len(text.strip()) <= 200):
        raise argparse.ArgumentTypeError("a key is a word of letters, digits and signs of ASCII, 200 at most")
    return text
