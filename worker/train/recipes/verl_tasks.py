"""The tasks of training and validation as verl reads them: a parquet file each, whose rows name a task."""

import argparse
import sys
from pathlib import Path

from worker.bench.sketch_lab.worlds import TRAINING, VALIDATION
from worker.train import libraries

COUNTS = {"training": (512, TRAINING), "validation": (64, VALIDATION)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m worker.train.recipes.verl_tasks", description=__doc__)
    parser.add_argument("training", type=Path)
    parser.add_argument("validation", type=Path)
    args = parser.parse_args()
    write("training", args.training)
    write("validation", args.validation)
    return 0


def write(purpose: str, path: Path) -> None:
    rows = [_row(purpose, number) for number in range(COUNTS[purpose][0])]
    libraries.library("datasets").Dataset.from_list(rows).to_parquet(str(path))


def _row(purpose: str, number: int) -> dict[str, object]:
    # The agent loop puts the first question in the place of this prompt.
    prompt = [{"role": "user", "content": f"{purpose} task {number}"}]
    return {
        "prompt": prompt,
        "data_source": "visiondirector",
        "agent_name": "visiondirector",
        "reward_model": {"style": "rule", "ground_truth": ""},
        "extra_info": {"index": number, "purpose": purpose},
    }


if __name__ == "__main__":
    sys.exit(main())
