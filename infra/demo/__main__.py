"""Start a stack of its own, send it the briefs of this folder, follow them, keep what they made, stop everything.

    python -m infra.demo [--out out/demo]

A brief is `NAME.txt`; a picture `NAME.png` beside it is what it starts from.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from api.client import ApiError, Client, Event, Job
from api.narrate import told
from director.story import Narrator
from infra.servers import ServerError
from infra.stack import Stack

BRIEFS = Path(__file__).resolve().parent / "briefs"
SETTINGS = {"editor": "flux-krea", "width": 512, "height": 640}
SEED = 7
WORKERS = 5
_COLOURS = ("cyan", "magenta", "yellow", "green", "blue")


@dataclass(frozen=True)
class Result:
    """What came of one brief."""

    name: str
    job: Job
    folder: Path


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="where the results are left")
    out: Path = parser.parse_args(arguments).out
    console, began = Console(highlight=False, soft_wrap=True), time.monotonic()
    console.print("Starting Redis, S3, the API, a reconciler and five workers on free ports …")
    try:
        with tempfile.TemporaryDirectory(prefix="visiondirector-demo-") as var:
            with Stack(Path(var), workers=WORKERS, flower=False) as stack:
                console.print(f"The stack is up after {time.monotonic() - began:.1f} s: {stack.api_url}\n")
                results = run(stack, out, console)
            console.print("\nThe stack is down; nothing is left running.")
    except (ServerError, ApiError) as error:
        print(f"the demo failed: {error}", file=sys.stderr)
        return 1
    close(results, console, time.monotonic() - began)
    return 0


def run(stack: Stack, out: Path, console: Console) -> list[Result]:
    """All briefs at once, each followed by a thread that prints its story."""
    names = sorted(path.stem for path in BRIEFS.glob("*.txt"))
    width = max(map(len, names))
    results: dict[str, Result] = {}

    def follow(name: str, colour: str) -> None:
        def say(line: Text) -> None:
            console.print(Text(f"{name:<{width}}  ", colour) + line)

        results[name] = one(stack, name, out / name, say)

    threads = [
        threading.Thread(target=follow, args=(name, _COLOURS[n % len(_COLOURS)])) for n, name in enumerate(names)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if missing := sorted(set(names) - set(results)):
        raise ServerError(f"no result for {', '.join(missing)}: see the error above")
    return [results[name] for name in names]


def one(stack: Stack, name: str, folder: Path, say: Callable[[Text], None]) -> Result:
    """Submit one brief, tell its events, and keep its picture and trajectory in `folder`."""
    source = BRIEFS / f"{name}.png"
    narrator = Narrator()

    def tell(event: Event) -> None:
        if event.kind != "end":
            line = told(narrator, event)
            say(Text(str(line), line.style))

    with Client(stack.api_url, stack.token) as client:
        brief = {"text": (BRIEFS / f"{name}.txt").read_text(encoding="utf-8"), "title": name.replace("-", " ")}
        job = client.submit(brief, SETTINGS, seed=SEED, source=source if source.exists() else None)
        done = client.wait(job.id, on_event=tell)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "final.png").write_bytes(client.image(job.id))
        trajectory = json.dumps(client.trajectory(job.id), indent=1, ensure_ascii=False)
        (folder / "trajectory.json").write_text(trajectory + "\n", encoding="utf-8")
    return Result(name, done, folder)


def close(results: Sequence[Result], console: Console, seconds: float) -> None:
    """The table at the end, with the paths."""
    console.print()
    for result in results:
        goals = result.job.goals
        console.print(
            f"{result.name}: {goals.met} of {goals.total} goals met, {result.job.rounds} rounds, "
            f"{result.job.renders} renders, {result.job.stop}\n    {result.folder / 'final.png'}"
        )
    console.print(f"\nDrawn by the sketch studio (simulated: comps, no diffusion model). {seconds:.0f} s in all.")


if __name__ == "__main__":
    sys.exit(main())
