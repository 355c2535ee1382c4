"""`visiondirector bench`: the words of the command; `api.bench` does the work and is imported when it is named."""

import argparse
from pathlib import Path

from api.cli.desk import Desk


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=["lgbench"], help="which benchmark")
    parser.add_argument("tasks", type=Path, help="LGBench file, or a folder of them")
    parser.add_argument("--label", default="lgbench", metavar="WORD", help="of all jobs (default: lgbench)")
    parser.add_argument("--modality", choices=["t2i", "i2i"], help="only these tasks")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N tasks only")
    parser.add_argument("--strategy", action="append", help="repeat for several (default: ours)")
    parser.add_argument("--no-controls", action="store_true", help="leave out one shot, best of 4 and best of K")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of every arm")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--grader", help="profile whose verifier grades (default: the studio's own)")
    parser.add_argument("--no-grade", action="store_true", help="collect pictures; say how to grade them")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder of the run; the same one goes on with it"
    )


def call(args: argparse.Namespace, desk: Desk) -> int:
    from api import bench

    return bench.run(args, desk.client, desk.screen.note)
