"""`visiondirector-worker bench NAME …`: a table of benchmarks, each a module that is imported when it is named."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from tasks.settings import load_settings

BENCHMARKS: dict[str, tuple[str, str]] = {
    "loop": ("sketch_lab.loop", "the strategy table: the paper's arms, ours and controls, on the sketch studio"),
    "verifier": ("sketch_lab.verifier", "the sketch verifier against what was really drawn"),
    "geneval": ("geneval.command", "GenEval: official layout, rules and figures"),
    "imgedit": ("imgedit.command", "ImgEdit's basic suite: official judge prompts and figures"),
    "lgbench": ("lgbench.command", "long briefs with annotated goals, graded on what was delivered"),
}
"""Name -> its module below `worker.bench`, and what it measures."""
OF_CASES = ("geneval", "imgedit", "lgbench")
"""Those whose cases a `Runner` runs; the others draw by the sketch alone."""


def add_arguments(parser: argparse.ArgumentParser, names: Sequence[str] = tuple(BENCHMARKS)) -> None:
    """NAME and the words after it, which are the benchmark's own."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(f"  {name:<10} {BENCHMARKS[name][1]}" for name in names)
    parser.add_argument("name", choices=names, metavar="NAME", help="one of those below")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="…", help="see bench NAME --help")


def run(parsed: argparse.Namespace) -> int:
    """Run one benchmark here, with the words of its command line."""
    module, parser = opened(parsed.name)
    settings = load_settings()
    try:
        if parsed.name not in OF_CASES:
            return module.run(parser.parse_args(parsed.rest), settings)
        from worker.bench import local

        local.add_arguments(parser)
        args = parser.parse_args(parsed.rest)
        runner = local.local_runner(args, settings)
        return module.run(args, runner.settings, runner)
    except KeyboardInterrupt:
        print("interrupted: what is finished is kept", file=sys.stderr)
        return 130


def opened(name: str) -> tuple[Any, argparse.ArgumentParser]:
    """The module of a benchmark, and a parser with its own options.

    Its `run(args, settings)`, or `run(args, settings, runner)` with cases, runs what is missing, grades it, prints the
    table and gives the exit code. It raises DirectorError and OSError; `settings` say who grades.
    """
    # The name comes from the table above, never from a user's text.
    path, about = BENCHMARKS[name]
    module: Any = import_module(f"worker.bench.{path}")
    parser = argparse.ArgumentParser(prog=f"visiondirector-worker bench {name}", description=about)
    module.add_arguments(parser)
    return module, parser
