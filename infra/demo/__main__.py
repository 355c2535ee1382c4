"""Start a stack, submit the briefs of this folder as a user would, show what happens, and stop the stack.

    python -m infra.demo [--out out/demo]

A brief is `NAME.txt`; a picture `NAME.png` beside it is what it starts from. A terminal shows each job live; in a pipe
each is one line.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from api.client import Client, Job
from infra.servers import CHECKOUT, ServerError
from infra.stack import Stack

BRIEFS = Path(__file__).resolve().parent / "briefs"
FIRST = "night-owl"
"""It has two goals, which one picture meets."""
POSTERS = ("moor-star-party", "harbour-at-dusk")
SETTINGS = {"editor": "flux-krea", "candidates": 3, "width": 448, "height": 560}
SEED = 4
WORKERS = 4
_ENDED = (0, 1)  # exit codes of `visiondirector watch`: satisfied, or short of that


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder of the results")
    out: Path = parser.parse_args(arguments).out
    console, began = Console(highlight=False, soft_wrap=True), time.monotonic()
    console.print(f"Starting Redis, S3, the API, a reconciler and {WORKERS} worker processes …")
    try:
        with (
            tempfile.TemporaryDirectory(prefix="visiondirector-demo-") as var,
            Stack(Path(var), workers=WORKERS, flower=False) as stack,
        ):
            console.print(f"The stack is up after {time.monotonic() - began:.1f} s, for as long as the demo runs.")
            console.print("\nA brief with two goals:", style="bold")
            codes = [run(stack, (FIRST,), out, console)]
            console.print("\nLong briefs, at once:", style="bold")
            codes.append(run(stack, POSTERS, out, console))
    except ServerError as error:
        print(f"the demo failed: {error}", file=sys.stderr)
        return 1
    console.print(
        "\nThe stack is down. Trajectory and report of each picture are beside it; open a report in a browser:"
    )
    console.print(f"    {next(iter(sorted(out.glob('moor-*.html'))), out)}")
    said = "Drawn by the sketch studio (simulated: comps, no diffusion model)"
    console.print(f"{said} in {time.monotonic() - began:.0f} s.")
    return 0 if all(code in _ENDED for code in codes) else 1


def run(stack: Stack, names: Sequence[str], out: Path, console: Console) -> int:
    """Submit the briefs and follow them to their end. Gives the exit code of the command that followed."""
    with Client(stack.api_url, stack.token) as director:
        jobs = [submit(director, name) for name in names]
        # Of one job the command tells every event, which is much in a pipe.
        quiet = len(jobs) == 1 and not console.is_terminal
        words = [sys.executable, "-m", "api.cli", "watch", *(job.id for job in jobs), "-o", str(out.resolve())]
        environment = {**os.environ, **stack.settings, "PYTHONUNBUFFERED": "1"}
        sys.stdout.flush()
        output = subprocess.DEVNULL if quiet else None
        code = subprocess.run(words, cwd=CHECKOUT, env=environment, stdout=output, check=False).returncode
        for job in jobs:
            picture = next(out.glob(f"*-{job.id[:8]}.png"), None)
            if picture:
                picture.with_suffix(".html").write_bytes(director.report(job.id))
            if quiet:
                console.print(_ended(director.job(job.id), picture))
    return code


def submit(director: Client, name: str) -> Job:
    """Under a key, so that the files of a later demo replace those of this one."""
    source = BRIEFS / f"{name}.png"
    brief = {"text": (BRIEFS / f"{name}.txt").read_text("utf-8"), "title": name.replace("-", " ")}
    return director.submit(brief, SETTINGS, SEED, f"demo {name}", source if source.exists() else None)


def _ended(job: Job, picture: Path | None) -> str:
    """The line that `visiondirector watch` has for one of several jobs."""
    return f"{job.status:<12}{job.goals.met}/{job.goals.total} met, {job.stop}  {picture or 'no picture'}"


if __name__ == "__main__":
    sys.exit(main())
