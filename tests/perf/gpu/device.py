"""The two sizes of the run, and what a device is asked for: time, memory, quiet."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from worker.diffusion.loading import torch

GIB = 2**30


@dataclass(frozen=True)
class Scale:
    """`side` is that of a picture in pixels, `prompt` and `empty` are tokens of the two branches of guidance."""

    device: str
    dtype: str
    side: int
    prompt: int
    empty: int
    seeds: tuple[int, ...]  # of a render by the product
    steps: int  # of a render by the product
    product: int  # side of the matrices whose product is the ceiling
    compiler: str
    tolerance: float  # relative difference of predictions that rounding explains

    @property
    def cuda(self) -> bool:
        return self.device == "cuda"

    @property
    def type(self) -> Any:
        return getattr(torch(), self.dtype)

    @property
    def cells(self) -> int:
        """Tokens along one side of a picture."""
        return self.side // 16


FULL = Scale(
    device="cuda", dtype="bfloat16", side=1024, prompt=300, empty=6, seeds=(11, 22), steps=3,
    product=8192, compiler="inductor", tolerance=0.05,
)  # fmt: skip
# The compiler `eager` traces as inductor does, and compiles nothing.
TOY = Scale(
    device="cpu", dtype="float32", side=64, prompt=9, empty=3, seeds=(11,), steps=2,
    product=64, compiler="eager", tolerance=1e-3,
)  # fmt: skip


def synchronise() -> None:
    if torch().cuda.is_available():
        torch().cuda.synchronize()


def timed(work: Callable[[], Any], repeats: int = 5, warm: int = 2) -> float:
    """Median seconds of `work`, each waited for."""
    for _ in range(warm):
        work()
    synchronise()
    took: list[float] = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        synchronise()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def forget_peak() -> None:
    if torch().cuda.is_available():
        torch().cuda.reset_peak_memory_stats()


def memory() -> dict[str, float]:
    """GiB since `forget_peak`; nothing on a CPU.

    `card_peak_GiB` adds what the card lost to the context, as nvidia-smi counts: nothing else may run on it.
    """
    cuda = torch().cuda
    if not cuda.is_available():
        return {}
    free, total = cuda.mem_get_info()
    context = total - free - cuda.memory_reserved()
    found = {
        "card_peak_GiB": cuda.max_memory_allocated() + context,
        "peak_GiB": cuda.max_memory_allocated(),
        "peak_reserved_GiB": cuda.max_memory_reserved(),
        "resident_GiB": cuda.memory_allocated(),
    }
    return {name: size / GIB for name, size in found.items()}


def apart(one: Any, other: Any) -> float:
    """Root mean square of the difference, relative to `other`; infinite when there are values that are no numbers."""
    there = other.float()
    found = float((one.float().to(there.device) - there).norm() / there.norm())
    return found if found < float("inf") else float("inf")
