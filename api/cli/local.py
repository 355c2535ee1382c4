"""Commands that need no service: the local stack of a checkout, and shell completion."""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import shtab

from director.errors import BriefError


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


def completion(make_parser: Callable[[], argparse.ArgumentParser]) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        print(shtab.complete(make_parser(), shell=args.shell))
        return 0

    return run
