"""The service that the command line uses, and the local stack of a checkout."""

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from api.cli.console import SATISFIED
from api.client.connection import DEFAULT_URL, TOKEN_NAME, URL_NAME
from director.errors import BriefError

CHECKOUT = Path(__file__).resolve().parents[2]


def find_endpoint(args: argparse.Namespace, environment: Mapping[str, str], checkout: Path) -> tuple[str, str | None]:
    """URL and token, from the flags, else the environment, else the local stack of the checkout."""
    stack: dict[str, Any] = {}
    if (file := checkout / "var" / "stack.json").is_file():
        try:
            stack = json.loads(file.read_text())
        except ValueError:
            print(f"{file} is not valid JSON and is ignored", file=sys.stderr)
    url = args.url or environment.get(URL_NAME)
    token = args.token or environment.get(TOKEN_NAME)
    if url is None:
        # The stack's own token is for the stack's own service only.
        return stack.get("api_url") or DEFAULT_URL, token or stack.get("token")
    return url, token


def env(args: argparse.Namespace) -> int:
    """Print the service as shell assignments."""
    url, token = find_endpoint(args, os.environ, CHECKOUT)
    for name, value in ((URL_NAME, url), (TOKEN_NAME, token)):
        if value:
            print(f"export {name}={shlex.quote(value)}")
    return SATISFIED


def stack(checkout: Path) -> Callable[[argparse.Namespace], int]:
    """`up`, `down` and `status` of the checkout's stack, as make runs them. Gives the exit code of that process."""

    def run(args: argparse.Namespace) -> int:
        if not (checkout / "infra" / "stack.py").is_file():
            raise BriefError(
                f"{args.command}: there is no local stack in {checkout}", "run it from a checkout of VisionDirector"
            )
        words = [sys.executable, "-m", "infra.stack", args.command]
        for name in ("workers", "profile", "box"):
            if (value := getattr(args, name, None)) is not None:
                words += [f"--{name}", str(value)]
        if getattr(args, "no_flower", False):
            words.append("--no-flower")
        if args.var:
            words += ["--var", str(Path(args.var).resolve())]
        return subprocess.run(words, cwd=checkout, check=False).returncode

    return run
