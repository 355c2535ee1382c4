"""Speed, memory and the product's own path on one GPU, at the real size of Qwen-Image, with random weights.

    python -m tests.perf.gpu --seconds 450 --out DIR     one GPU of 80 GB, no network
    python -m tests.perf.gpu --toy --out DIR             the same walk at toy size on a CPU: checks this code alone

Random weights cost what trained ones do, and their pictures are noise: speed and memory, never quality.
DIR/gpu.json is complete after each row, judgement included, so that a killed run keeps what it measured.
"""

import argparse
import sys
from pathlib import Path

from tests.perf.gpu.device import FULL, TOY, Scale
from tests.perf.gpu.product import measure_product
from tests.perf.gpu.record import Record
from tests.perf.gpu.speed import measure_speed
from worker.diffusion.loading import diffusers, torch


def main() -> int:
    parser = argparse.ArgumentParser(description="The prepared run on one GPU.")
    parser.add_argument("--toy", action="store_true", help="toy size on the CPU: checks the code, measures nothing")
    parser.add_argument("--only", choices=("product", "speed"), help="one half of the run")
    parser.add_argument("--seconds", type=float, default=450, help="start nothing new that would end later")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder of gpu.json")
    given = parser.parse_args()
    scale = TOY if given.toy else FULL
    library = diffusers()
    library.utils.logging.set_verbosity_error()
    if not given.toy and not torch().cuda.is_available():
        print("no CUDA device: the full size needs one (80 GB); --toy checks the code on a CPU", file=sys.stderr)
        return 2
    record = Record(given.out / "gpu.json", given.seconds, scale.tolerance)
    record.note(**_machine(scale), diffusers=library.__version__)
    # The product first: what would break a real start is worth more than a rate.
    if given.only != "speed":
        measure_product(record, scale)
    if given.only != "product":
        measure_speed(record, scale)
    for verdict in record.verdicts():
        print(verdict.said())
    for failure in record.failed:
        print(f"FAILED {failure['section']}", failure["error"], sep="\n")
    return 1 if record.failed else 0


def _machine(scale: Scale) -> dict[str, object]:
    t = torch()
    name = t.cuda.get_device_name() if scale.cuda else "a CPU at toy size: NOT a measurement"
    return {"device": name, "toy": not scale.cuda, "torch": t.__version__}


if __name__ == "__main__":
    sys.exit(main())
