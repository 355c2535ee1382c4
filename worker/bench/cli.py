"""`visiondirector-worker bench NAME …`: a table of benchmarks, each a module that is imported when it is named.

A module has `add_arguments(parser)` and `run(args, settings) -> int`; its docstring's first line is its help.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from tasks.settings import Settings

BENCHMARKS: dict[str, tuple[str, str]] = {
    "loop": ("sketch_lab.loop", "the strategy table: the paper's arms, ours and controls, on the sketch studio"),
    "verifier": ("sketch_lab.verifier", "the sketch verifier against what was really drawn"),
    "geneval": ("geneval.command", "GenEval: official layout, rules and figures"),
    "imgedit": ("imgedit.command", "ImgEdit's basic suite: official judge prompts and figures"),
    "lgbench": ("lgbench.command", "long briefs with annotated goals, graded on what was delivered"),
}
"""Name -> its module below `worker.bench`, and what it measures."""


class Benchmark(Protocol):
    """What each module has."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace, settings: Settings) -> int:
        """Measure, print the table, give the exit code. Raises DirectorError and OSError."""
        ...


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """NAME and the words after it, which are the benchmark's own."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(f"  {name:<10} {about}" for name, (_, about) in BENCHMARKS.items())
    parser.add_argument("name", choices=list(BENCHMARKS), metavar="NAME", help="one of those below")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="…", help="see bench NAME --help")


def run(name: str, words: Sequence[str], settings: Settings) -> int:
    """Run one benchmark with the words of its command line."""
    # The name comes from the table above, never from a user's text.
    module, about = BENCHMARKS[name]
    benchmark = cast(Benchmark, import_module(f"worker.bench.{module}"))
    parser = argparse.ArgumentParser(prog=f"visiondirector-worker bench {name}", description=about)
    benchmark.add_arguments(parser)
    args = parser.parse_args(words)
    try:
        return benchmark.run(args, settings)
    except KeyboardInterrupt:
        print("interrupted: what is finished is kept", file=sys.stderr)
        return 130
