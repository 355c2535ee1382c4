"""Start a stack, submit the briefs of this folder as a user would, show what happens, and stop the stack.

    python -m infra.demo [--out out/demo]

A brief is `NAME.txt`; a picture `NAME.png` beside it is what it starts from.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

from rich.console import Console
from rich.text import Text

from api.client import Client
from infra.servers import CHECKOUT, ServerError
from infra.stack import Stack

BRIEFS = Path(__file__).resolve().parent / "briefs"
SETTINGS = ("editor=flux-krea", "candidates=3", "width=448", "height=560")
SEED = 4
WORKERS = 4
_COLOURS = ("cyan", "magenta", "yellow", "green", "blue")
_SATISFIED, _ENDED_SHORT = 0, 1  # exit codes of `visiondirector submit --watch`


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder of the results")
    out: Path = parser.parse_args(arguments).out
    console, began = Console(highlight=False, soft_wrap=True), time.monotonic()
    console.print(f"Starting Redis, S3, the API, a reconciler and {WORKERS} worker processes on free ports …")
    try:
        with tempfile.TemporaryDirectory(prefix="visiondirector-demo-") as var:
            with Stack(Path(var), workers=WORKERS, flower=False) as stack:
                console.print(f"The stack is up after {time.monotonic() - began:.1f} s: {stack.api_url}\n")
                codes = run(stack, out, console)
                save_reports(stack, out)
            console.print("\nThe stack is down; nothing is left running. Open a report in a browser:")
    except ServerError as error:
        print(f"the demo failed: {error}", file=sys.stderr)
        return 1
    for path in sorted(out.glob("*/report.html")):
        console.print(f"    {path}")
    console.print("The picture and the trajectory of each job are beside its report.")
    console.print(
        f"Drawn by the sketch studio (simulated: comps, no diffusion model). {time.monotonic() - began:.0f} s."
    )
    return 0 if all(code in (_SATISFIED, _ENDED_SHORT) for code in codes) else 1


def run(stack: Stack, out: Path, console: Console) -> list[int]:
    """Submit all briefs at once, each by its own command line. Gives the exit codes."""
    names = sorted(path.stem for path in BRIEFS.glob("*.txt"))

    def follow(name: str, colour: str) -> int:
        return submit(stack, name, out / name, console, Text(f"{name:<{max(map(len, names))}}  ", colour))

    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(follow, names, cycle(_COLOURS)))


def save_reports(stack: Stack, out: Path) -> None:
    """Save the report of each job beside its picture."""
    with Client(stack.api_url, stack.token) as director:
        for job in director.jobs():
            folder = out / job.title.replace(" ", "-")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "report.html").write_bytes(director.report(job.id))


def submit(stack: Stack, name: str, folder: Path, console: Console, prefix: Text) -> int:
    """Run `visiondirector submit --watch` with `prefix` before its lines. Results of an earlier demo are replaced."""
    for old in (*folder.glob("*.png"), *folder.glob("*.json")):
        old.unlink()
    source = BRIEFS / f"{name}.png"
    words = [
        sys.executable, "-m", "api.cli", "submit", str(BRIEFS / f"{name}.txt"), "--watch", "--seed", str(SEED),
        "--title", name.replace("-", " "), "-o", str(folder.resolve()),
        *(word for setting in SETTINGS for word in ("--set", setting)),
        *(("--source", str(source)) if source.exists() else ()),
    ]  # fmt: skip
    environment = {**os.environ, **stack.settings, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        words, cwd=CHECKOUT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as command:
        assert command.stdout
        for line in command.stdout:
            console.print(prefix + line.rstrip())
    return command.returncode


if __name__ == "__main__":
    sys.exit(main())
