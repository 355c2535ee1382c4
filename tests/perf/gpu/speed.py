"""What one denoising step of the transformer costs, by configuration: both guidance branches, nothing else.

Plain is what anybody gets of diffusers, one picture a call and nothing compiled: the row `eager` of one picture.
"""

import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.perf.gpu.device import Scale, apart, forget_peak, memory, synchronise, timed
from tests.perf.gpu.flops import attention_flops, forward_flops
from tests.perf.gpu.models import inputs, transformer
from tests.perf.gpu.record import Record
from worker.diffusion.fp8 import fp8_linear, replace_linears
from worker.diffusion.loading import diffusers, free_memory, out_of_memory, torch

REFERENCES = {"draw": 0, "edit": 1}
CASES = (("draw", 1), ("draw", 2), ("draw", 4), ("edit", 1), ("edit", 2))
OTHER_SHAPES = ((1, 6), (2, 300), (2, 317), (4, 6))
"""Pictures and tokens that a compiled transformer meets after its first call."""
BACKENDS = ("_native_cudnn", "_native_flash", "flash", "_flash_3", "sage", "flex")
KERNELS = {
    # First match counts; names of kernels on a card, of operators on a CPU.
    "attention": re.compile(r"flash|fmha|attention|cudnn.*(mha|sdpa)|sage|softmax|aten::bmm", re.IGNORECASE),
    "matrix products": re.compile(r"gemm|nvjet|cutlass|cublas|xmma|aten::(addmm|mm|linear)", re.IGNORECASE),
}
"""What of the time on the device is what; the rest are norms, modulation, activations and copies."""


def measure_speed(record: Record, scale: Scale) -> None:
    """Exact levers first, then those that change the picture."""
    ceiling = record.section("ceiling", 20, lambda: _ceilings(record, scale))
    bench = record.section("eager", 60, lambda: _eager(record, scale, ceiling))
    if bench is None:
        return
    record.section("profile, eager", 15, lambda: bench.where_time_goes("eager"))
    best = record.section("attention", 30, lambda: _attention(bench)) or "native"
    record.section("batched guidance", 15, lambda: _batched_guidance(bench))
    # The best backend as well: alone it says little of what it gives inside compiled blocks.
    for backend in dict.fromkeys(("native", best)):
        record.section(f"compiled, {backend}", 80, lambda backend=backend: _compiled(bench, backend))
    record.section("caches", 20, lambda: _caches(bench))
    record.section("FP8 rows", 90, lambda: _fp8_rows(bench))
    del bench.model
    free_memory()
    record.section("quantize fp8", 45, lambda: _layerwise(bench))


def _ceilings(record: Record, scale: Scale) -> float:
    """FLOP/s of a large matrix product."""
    t, n = torch(), scale.product
    a, b = (t.randn(n, n, device=scale.device, dtype=scale.type) for _ in range(2))
    ceiling = 2 * n**3 / timed(lambda: a @ b, 10, 3)
    record.note(ceiling_tflops=round(ceiling / 1e12, 3))
    for rows in (4396, 17584) if scale.cuda else ():
        record.row(f"linear {rows} x 3072 x 12288", **_linear(scale, rows))
    return ceiling


def _linear(scale: Scale, rows: int) -> dict[str, float]:
    """TFLOP/s of one linear of the transformer, wide and in FP8."""
    t = torch()
    x = t.randn(rows, 3072, device=scale.device, dtype=scale.type)
    wide = t.nn.Linear(3072, 12288, device=scale.device, dtype=scale.type)
    small, done = fp8_linear()(wide), 2 * rows * 3072 * 12288 / 1e12
    with t.no_grad():
        found = {"tflops": done / timed(lambda: wide(x), 10, 3), "fp8_tflops": done / timed(lambda: small(x), 10, 3)}
        return found | {"apart_fp8": apart(small(x), wide(x))}


@dataclass
class Bench:
    """A transformer, what plain calls of it gave, and how a configuration of it becomes a row."""

    record: Record
    scale: Scale
    config: Any
    model: Any
    ceiling: float | None
    plain: dict[str, list[Any]]

    def inputs(self, kind: str, pictures: int, tokens: int) -> dict[str, Any]:
        return inputs(self.scale, self.config, tokens, pictures, REFERENCES[kind])

    def forward(self, given: dict[str, Any]) -> Any:
        with torch().no_grad(), self.model.cache_context("cond"):
            return self.model(**given)[0]

    def step(self, kind: str, pictures: int) -> Callable[[], Any]:
        """One denoising step of a micro-grid."""
        branches = [self.inputs(kind, pictures, tokens) for tokens in (self.scale.prompt, self.scale.empty)]
        return lambda: [self.forward(given) for given in branches]

    def row(self, how: str, cases: tuple[tuple[str, int], ...] = CASES, exact: bool = True) -> None:
        """A row for each case. `exact`: it should give what plain calls give, and is judged by that."""
        for kind, pictures in cases:
            forget_peak()
            try:
                seconds = timed(self.step(kind, pictures))
                given = self.forward(self.inputs(kind, pictures, self.scale.prompt))
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                self.record.row(f"{how}, {pictures} x {kind}", failed=f"out of memory: {error}"[:120])
                free_memory()
                continue
            self.found(how, kind, pictures, seconds, given, exact)

    def found(self, how: str, kind: str, pictures: int, seconds: float, given: Any, exact: bool) -> None:
        """`given`: what it predicts for the micro-grid with the prompt."""
        rate = self.step_flops(kind, pictures) / seconds
        self.record.row(
            f"{how}, {pictures} x {kind}",
            kind=kind,
            how=how,
            pictures=pictures,
            claims_exact=exact,
            s_a_step_and_picture=seconds / pictures,
            s_50_steps_extrapolated=50 * seconds / pictures,
            tflops=rate / 1e12,
            of_ceiling=rate / self.ceiling if self.ceiling else None,
            apart=max(apart(one, alone) for one, alone in zip(given, self.plain[kind], strict=False)),
            **memory(),
        )

    def step_flops(self, kind: str, pictures: int) -> float:
        branches = (self.scale.prompt, self.scale.empty)
        return pictures * sum(forward_flops(self.config, self.tokens(kind), text) for text in branches)

    def tokens(self, kind: str) -> int:
        return self.scale.cells**2 * (1 + REFERENCES[kind])

    def where_time_goes(self, how: str) -> None:
        """Two warm steps under torch's profiler: shares of the time, and the rates of products and attention."""
        activity, cuda = torch().profiler.ProfilerActivity, self.scale.cuda
        pictures = 2 if cuda else 1
        step = self.step("draw", pictures)
        timed(step, 1)
        with torch().profiler.profile(activities=[activity.CUDA if cuda else activity.CPU]) as profiler:
            began = time.perf_counter()
            step()
            step()
            synchronise()
            wall = time.perf_counter() - began
        spent = dict.fromkeys([*KERNELS, "the rest"], 0.0)
        for event in profiler.key_averages():
            name = next((name for name, pattern in KERNELS.items() if pattern.search(event.key)), "the rest")
            spent[name] += (event.self_device_time_total if cuda else event.self_cpu_time_total) / 1e6
        tokens = self.tokens("draw")
        attention = (
            2
            * pictures
            * sum(attention_flops(self.config, tokens, text) for text in (self.scale.prompt, self.scale.empty))
        )
        done = {"attention": attention, "matrix products": 2 * self.step_flops("draw", pictures) - attention}
        shares = {name: round(seconds / wall, 3) for name, seconds in spent.items()}
        shares["idle"] = round(max(0.0, 1 - sum(shares.values())), 3)
        rates = {name: round(flops / spent[name] / 1e12, 3) for name, flops in done.items() if spent[name]}
        self.record.row(f"profile of {how}, {pictures} x draw", shares=shares, tflops_of=rates)


def _eager(record: Record, scale: Scale, ceiling: float | None) -> Bench:
    """Separate calls for each picture are the reference of all that follows, batches included."""
    began = time.monotonic()
    model = transformer(scale)
    synchronise()
    record.row(
        "transformer drawn", seconds=time.monotonic() - began, weights=sum(p.numel() for p in model.parameters())
    )
    bench = Bench(record, scale, model.config, model, ceiling, {})
    for kind in REFERENCES:
        most = max(pictures for of_kind, pictures in CASES if of_kind == kind)
        grid = bench.inputs(kind, most, scale.prompt)
        alone = [_one(grid, n) for n in range(most)]
        bench.plain[kind] = [bench.forward(given)[0] for given in alone]
        if apart(bench.plain[kind][1], bench.plain[kind][0]) <= scale.tolerance:
            raise ValueError(f"{kind}: two pictures get the same prediction, so that comparing shows nothing")
    bench.row("eager")
    return bench


def _one(grid: dict[str, Any], n: int) -> dict[str, Any]:
    """The inputs of picture n alone."""
    several = ("hidden_states", "timestep", "encoder_hidden_states", "img_shapes")
    return grid | {name: grid[name][n : n + 1] for name in several}


def _attention(bench: Bench) -> str:
    """The fastest backend that is installed and exact."""
    fastest: dict[str, float] = {}
    names = BACKENDS if bench.scale.cuda else ("_native_math",)
    for name in ("native", *names):
        try:
            bench.model.set_attention_backend(name)
            bench.row(f"attention {name}", (("draw", 1),), exact=name != "sage")  # sage multiplies in 8 bits
        except (ImportError, RuntimeError, ValueError, TypeError, AttributeError) as missing:
            said = f"{type(missing).__name__}: {missing}"
            bench.record.row(f"attention {name}", not_usable=said.splitlines()[0][:120])
        else:
            row = bench.record.rows[-1]
            if row.get("claims_exact") and row["apart"] <= bench.scale.tolerance:
                fastest[name] = row["s_a_step_and_picture"]
        finally:
            bench.model.set_attention_backend("native")
    return min(fastest, key=fastest.__getitem__, default="native")


def _batched_guidance(bench: Bench) -> None:
    """Both branches in one call, the empty one padded behind a mask, against two calls."""
    scale = bench.scale
    both = bench.inputs("draw", 2, scale.prompt)
    both["hidden_states"] = both["hidden_states"][:1].expand(2, -1, -1).contiguous()
    mask = torch().ones((2, scale.prompt), dtype=torch().bool, device=scale.device)
    mask[1, scale.empty :] = False
    both["encoder_hidden_states_mask"] = mask
    seconds = timed(lambda: bench.forward(both))
    bench.found("both branches in one masked call", "draw", 1, seconds, bench.forward(both)[:1], exact=True)


def _compiled(bench: Bench, backend: str, how: str = "compiled", exact: bool = True) -> None:
    """As the product compiles, then with the shapes that other prompts and batches bring."""
    scale, name = bench.scale, f"{how}, {backend}"
    torch()._dynamo.config.recompile_limit = 64
    bench.model.set_attention_backend(backend)
    # Dynamic at once, a toy is traced once for both branches: half the time of its run is tracing.
    dynamic = None if scale.cuda else True
    bench.model.compile_repeated_blocks(fullgraph=True, backend=scale.compiler, dynamic=dynamic)
    try:
        began = time.monotonic()
        bench.forward(bench.inputs("draw", 1, scale.prompt))
        synchronise()
        first, began = time.monotonic() - began, time.monotonic()
        for pictures, tokens in OTHER_SHAPES if scale.cuda else ():
            bench.forward(bench.inputs("draw", pictures, tokens))
        synchronise()
        bench.record.row(f"{name}: compiling", first_s=first, four_other_shapes_s=time.monotonic() - began)
        bench.row(name, CASES if scale.cuda else CASES[:1], exact)
        bench.where_time_goes(name)
    finally:
        for module in bench.model.modules():
            module._compiled_call_impl = None
        torch().compiler.reset()
        bench.model.set_attention_backend("native")


def _caches(bench: Bench) -> None:
    """Steps that skip blocks: speed alone, for random weights say nothing of the quality."""
    d, scale = diffusers(), bench.scale
    skipping = {"cache_interval": 3, "disable_cache_before_step": 1, "max_order": 1, "use_lite_mode": True}
    configs = {
        "first-block 0.1": d.FirstBlockCacheConfig(threshold=0.1),
        "taylor-seer 1 of 3": d.TaylorSeerCacheConfig(**skipping),
    }
    for name, config in configs.items():
        bench.model.enable_cache(config)
        try:
            given, took = bench.inputs("draw", 1, scale.prompt), []
            for n in range(13):
                given["timestep"] = torch().full((1,), 1 - n / 13, device=scale.device, dtype=scale.type)
                began = time.perf_counter()
                bench.forward(given)
                synchronise()
                took.append(time.perf_counter() - began)
        finally:
            bench.model.disable_cache()
        warm = {"mean_s": statistics.mean(took[1:]), "longest_s": max(took[1:]), "shortest_s": min(took[1:])}
        bench.record.row(f"cache {name}, one branch, 12 warm forwards", quality="unmeasured", **warm)


def _fp8_rows(bench: Bench) -> None:
    """The profiles' `quantize: fp8-row`."""
    forget_peak()
    count = replace_linears(bench.model, bench.scale.device)
    free_memory()
    bench.record.row("FP8 rows", linears=count, **memory())
    bench.row("FP8 rows", (("draw", 1),), exact=False)
    _compiled(bench, "native", "FP8 rows, compiled", exact=False)


def _layerwise(bench: Bench) -> None:
    """`quantize: fp8`, which no profile has."""
    bench.model = transformer(bench.scale)
    bench.model.enable_layerwise_casting(storage_dtype=torch().float8_e4m3fn, compute_dtype=bench.scale.type)
    free_memory()
    bench.row("quantize fp8", (("draw", 1), ("draw", 2), ("edit", 1)), exact=False)
