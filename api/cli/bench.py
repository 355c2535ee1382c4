"""`visiondirector bench`: the words of the command, handed to the worker's process that knows its options.

The benchmarks are in `worker/bench`, which `api` never imports.
"""

import argparse
import importlib.util
import os
import subprocess
import sys

from api.cli.console import Console
from api.cli.endpoint import CHECKOUT, find_endpoint
from api.client.connection import TOKEN_NAME, URL_NAME
from director.errors import BriefError

RUNNER = "worker.bench.service"


def add_arguments(made: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    made.add_argument("name", metavar="NAME", help="lgbench, geneval or imgedit")
    made.add_argument("words", nargs=argparse.REMAINDER, metavar="…", help="see bench NAME --help")
    made.set_defaults(call=run, own=common)


def run(args: argparse.Namespace, console: Console) -> int:
    if importlib.util.find_spec("worker") is None:
        raise BriefError(
            "there is no worker beside this command to run benchmarks",
            "install VisionDirector from a checkout (make setup), or use its image",
            "bench",
        )
    words = handed(args)
    url, token = find_endpoint(args, os.environ, CHECKOUT)
    # -P: nothing in the current folder is taken for a module of ours.
    command = [sys.executable, "-P", "-m", RUNNER, args.name, *words]
    environment = {**os.environ, URL_NAME: url, TOKEN_NAME: token or ""}
    return subprocess.run(command, env=environment, check=False).returncode


def handed(args: argparse.Namespace) -> list[str]:
    """The words after NAME without those that every command knows, which are set in `args`."""
    return args.own.parse_known_args(args.words, args)[1]
