"""Loads a pipeline as its settings say: weights from disk, LoRAs, and the options for speed that it supports."""

import gc
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from filecmp import cmp
from importlib import import_module, util
from pathlib import Path
from typing import Any

import numpy as np

from worker.diffusion.canvas import WHOLE, Size
from worker.diffusion.config import PipelineConfig, Quality
from worker.diffusion.failures import operators_matter
from worker.diffusion.families import FAMILIES, Family, PipelineInputs, Task
from worker.diffusion.fp8 import refuse_without_fp8, replace_linears

log = logging.getLogger(__name__)

_CACHES = {
    "first-block": "FirstBlockCacheConfig",
    "taylor-seer": "TaylorSeerCacheConfig",
    "mag": "MagCacheConfig",
}
"""Safe with guidance in two calls. Pyramid attention broadcast and FasterCache are not, and are left out."""
_TILE, _STRIDE = 1024, 896
_ALLOCATOR = frozenset({"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"})
"""Where an operator sets torch's allocator; then it stays as it is."""
_RECOMPILE_LIMIT = 64
"""Prompts differ in length, and torch's eight versions of a block end with the second day's jobs."""


@dataclass
class Loaded:
    """A pipeline in memory, and what is switched on in it."""

    config: PipelineConfig
    pipe: Any
    skipped: tuple[str, ...] = ()
    quality: Quality | None = None
    scheduler: Any = None
    loras: set[str] = field(default_factory=set[str])
    embeddings: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def family(self) -> Family:
        return FAMILIES[self.config.family]

    @property
    def grid(self) -> int:
        """Pixels of which a canvas' sides are multiples: one token of the transformer, 16 for the real models."""
        return self.pipe.vae_scale_factor * 2

    def set(self, quality: Quality) -> None:
        """Switch scheduler and LoRAs to a quality; files are read when a quality first needs them."""
        if quality == self.quality:
            return
        self.embeddings.clear()  # a LoRA may change a text encoder, too
        if self.scheduler is None:
            self.scheduler = self.pipe.scheduler
        plain = self.scheduler
        self.pipe.scheduler = plain.from_config(plain.config, **quality.scheduler)
        self.read(quality.loras)
        if quality.loras:
            self.pipe.enable_lora()
            self.pipe.set_adapters(list(quality.loras), adapter_weights=list(quality.loras.values()))
        elif self.loras:
            self.pipe.disable_lora()
        self.quality = quality

    def read(self, names: Iterable[str]) -> None:
        """Read the LoRA files that were not read yet."""
        for name in sorted(set(names) - self.loras):
            file = self.config.loras[name]
            with operators_matter(f"the LoRA {file}", reading=True):
                self.pipe.load_lora_weights(
                    str(file.parent), weight_name=file.name, adapter_name=name, local_files_only=True
                )
            self.loras.add(name)

    def embedded(self, inputs: PipelineInputs) -> dict[str, Any]:
        """The words as the transformer reads them; those of the empty prompt are kept."""
        return self.family.text(self.pipe, inputs, torch(), self.embeddings)

    def draw(self, inputs: PipelineInputs, text: dict[str, Any], seeds: Sequence[int], **more: Any) -> Any:
        """One call of the pipeline: a picture for each seed."""
        return self.pipe(
            **text,
            **self.family.call(inputs),
            num_inference_steps=inputs.steps,
            num_images_per_prompt=len(seeds),
            # On the CPU, so that a seed means the same noise on every kind of GPU.
            generator=[torch().Generator("cpu").manual_seed(seed) for seed in seeds],
            **more,
        ).images

    def tile(self, canvas: Size) -> None:
        """Have the VAE work in tiles where the canvas is large, or the settings say so; else in one piece."""
        vae = self.pipe.vae
        if self.config.vae_tiling or not hasattr(vae, "enable_tiling"):
            return
        if canvas[0] * canvas[1] <= WHOLE:
            vae.disable_tiling()
        elif hasattr(vae, "tile_sample_stride_height"):
            vae.enable_tiling(_TILE, _TILE, _STRIDE, _STRIDE)
        else:
            vae.enable_tiling()

    def warm_up(self) -> None:
        """Compile for what jobs will ask: prompts of two lengths on two canvases, one picture and several at once."""
        for quality in filter(None, (self.config.draft, self.config.final)):
            self.set(quality)
            for words, side, count in (("a", 16, 1), ("a fox " * 20, 24, 1), ("a fox", 16, self.config.max_batch)):
                canvas = self.family.frame((side * self.grid, side * self.grid), self.grid, None).canvas
                blank = np.zeros((canvas[1], canvas[0], 3), np.uint8)
                inputs = PipelineInputs(
                    instruction=words,
                    canvas=canvas,
                    steps=2,
                    cfg=self.family.cfg if quality.cfg is None else quality.cfg,
                    guidance=self.family.guidance if quality.guidance is None else quality.guidance,
                    strength=self.config.strength,
                    image=None if self.family.task is Task.GENERATE else blank,
                    mask=blank[..., 0] + np.uint8(255) if self.family.task is Task.INPAINT else None,
                )
                with torch().no_grad():
                    seeds = range(count if self.family.batches else 1)
                    self.draw(inputs, self.embedded(inputs), seeds, output_type="latent")


class PipelineCache:
    """Pipelines by name, each loaded when it is first asked for and kept until `close`.

    Nothing of torch is imported before that: CUDA does not survive the fork of the pool's child.
    Pipelines of the same files, run alike, share their weights; those of other files share the text encoders that are
    the same, byte for byte.
    """

    def __init__(self, configs: dict[str, PipelineConfig]) -> None:
        self._configs = configs
        self._loaded: dict[str, Loaded] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._loaded

    def __getitem__(self, name: str) -> Loaded:
        if name not in self._loaded:
            self._loaded[name] = self._load(self._configs[name])
        return self._loaded[name]

    def close(self) -> None:
        """Forget every pipeline and give its memory back."""
        self._loaded.clear()
        if "torch" in sys.modules:
            free_memory()

    def _load(self, config: PipelineConfig) -> Loaded:
        kind = getattr(diffusers(), FAMILIES[config.family].pipeline)
        twin = next((loaded for loaded in self._loaded.values() if _weights(loaded.config) == _weights(config)), None)
        if twin:
            # The scheduler keeps the state of a call: each pipeline has its own.
            plain: Any = twin.scheduler or twin.pipe.scheduler
            scheduler: Any = plain.from_config(plain.config)
            pipe = kind(**{**twin.pipe.components, "scheduler": scheduler})
            pipe.set_progress_bar_config(disable=True)
            if config.offload == "model":
                _place(config, pipe)
            # Else the shared parts are where they belong. Hooked a second time, streamed layers would be traced anew
            # behind prefetching that works, and refused before their first forward.
            return Loaded(config, pipe, twin.skipped)
        loaded = _from_disk(config, kind, shared_encoders(config, kind, self._loaded.values()))
        if config.compile and "compile" not in loaded.skipped:
            import_module("torch._dynamo").config.recompile_limit = _RECOMPILE_LIMIT
            loaded.warm_up()
        return loaded


def _weights(config: PipelineConfig) -> tuple[Any, ...]:
    """What two pipelines must agree on to share their weights. LoRAs are switched in the weights: none may have any."""
    if config.loras:
        return (object(),)
    levers = (config.compile, config.cache, config.attention, config.vae_slicing, config.vae_tiling)
    return (config.path, config.device, config.dtype, config.quantize, config.offload, *levers)


def shared_encoders(config: PipelineConfig, kind: Any, others: Iterable[Loaded]) -> dict[str, Any]:
    """Text encoders in memory whose files are those of this checkpoint: 15 GiB for Qwen-Image and its editor.

    Not one that a LoRA could change, and none that `offload: model` moves, for its hooks belong to one pipeline.
    """
    shared: dict[str, Any] = {}
    for other in others:
        place = (other.config.device, other.config.dtype, other.config.offload)
        if config.offload == "model" or place != (config.device, config.dtype, config.offload):
            continue
        for part in ("text_encoder", "text_encoder_2"):
            if part in shared or part in kind._lora_loadable_modules or getattr(other.pipe, part, None) is None:
                continue
            if part not in other.pipe._lora_loadable_modules and _same_weights(
                Path(config.path) / part, Path(other.config.path) / part
            ):
                shared[part] = getattr(other.pipe, part)
    return shared


def _same_weights(one: Path, other: Path) -> bool:
    names = sorted(file.name for file in one.glob("*.safetensors"))
    if not names or names != sorted(file.name for file in other.glob("*.safetensors")):
        return False
    return all(cmp(one / name, other / name, shallow=False) for name in names)


def _from_disk(config: PipelineConfig, kind: Any, shared: dict[str, Any]) -> Loaded:
    log.info("loading %s from %s", FAMILIES[config.family].pipeline, config.path)
    for library in ("diffusers", "transformers"):  # a worker's log is no terminal
        import_module(f"{library}.utils.logging").disable_progress_bar()
    with operators_matter(f"the checkpoint {config.path}", reading=True):
        left_out = dict.fromkeys(shared)
        dtype = getattr(torch(), config.dtype)
        pipe = kind.from_pretrained(config.path, dtype=dtype, local_files_only=True, **left_out)
    pipe.set_progress_bar_config(disable=True)
    loaded = Loaded(config, pipe)
    if config.quantize != "none":
        # LoRAs first: their layers stay wide then. Read later, they would take the 8 bits of what they lie on.
        loaded.read(config.loras)
        _quantise(config, pipe.transformer)
    loaded.skipped = pull_levers(config, pipe)
    for lever in loaded.skipped:
        log.warning("%s does not support %s: it runs without", type(pipe.transformer).__name__, lever)
    _place(config, pipe)
    pipe.register_modules(**shared)  # last, for they are where they belong already
    return loaded


def _quantise(config: PipelineConfig, transformer: Any) -> None:
    if config.quantize == "fp8-row":
        with operators_matter(f"the device {config.device}", reading=True):
            refuse_without_fp8(config.device)
        replace_linears(transformer, config.device)
    else:
        dtype = getattr(torch(), config.dtype)
        transformer.enable_layerwise_casting(storage_dtype=torch().float8_e4m3fn, compute_dtype=dtype)


def _place(config: PipelineConfig, pipe: Any) -> None:
    """Bring the parts to the device, or have them brought when they work."""
    if config.offload == "model":
        pipe.enable_model_cpu_offload(device=config.device)
    elif config.offload == "none":
        pipe.to(config.device)
    else:
        device = torch().device(config.device)
        stay = ["vae", *(["transformer"] if config.offload == "encoders" else [])]
        # A stream copies the next layer while one computes. Pages are pinned layer by layer: pinned for good, host
        # memory would hold every weight twice.
        streams = {"use_stream": True, "low_cpu_mem_usage": True} if device.type == "cuda" else {}
        pipe.enable_group_offload(device, offload_type="leaf_level", exclude_modules=stay, **streams)


def pull_levers(config: PipelineConfig, pipe: Any) -> tuple[str, ...]:
    """Switch on what the settings ask for; gives what the transformer or the VAE does not have."""
    transformer, vae = pipe.transformer, pipe.vae
    cache = config.cache and getattr(diffusers(), _CACHES[config.cache.kind])(**config.cache.options)
    levers: tuple[tuple[str, Any, str, tuple[Any, ...], dict[str, Any]], ...] = (
        ("attention", transformer, "set_attention_backend", (config.attention,), {}),
        ("cache", transformer, "enable_cache", (cache,), {}),
        ("compile", transformer, "compile_repeated_blocks", (), {"fullgraph": True}),
        ("vae_slicing", vae, "enable_slicing", (), {}),
        ("vae_tiling", vae, "enable_tiling", (), {}),
    )
    skipped: list[str] = []
    for lever, owner, method, positional, named in levers:
        if not getattr(config, lever):
            continue
        if hasattr(owner, method) and not (lever == "compile" and not getattr(owner, "_repeated_blocks", None)):
            getattr(owner, method)(*positional, **named)
        else:
            skipped.append(lever)
    return tuple(skipped)


def out_of_memory(error: RuntimeError) -> bool:
    """True for what torch raises when the device, or the host, has no memory left for a tensor."""
    messages = ("DefaultCPUAllocator: can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, torch().OutOfMemoryError) or any(words in str(error) for words in messages)


def free_memory() -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    if torch().cuda.is_initialized():
        torch().cuda.empty_cache()


# --- the libraries: imported at the first pipeline, typed Any because they are no runtime dependency -----------------


def torch() -> Any:
    if "torch" not in sys.modules and not _ALLOCATOR.intersection(os.environ):
        # Pictures differ in size: without it, what one left of a block is of no use to the next. Torch reads it once.
        os.environ["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"
    return import_module("torch")


def diffusers() -> Any:
    """Raises ImportError naming the extra when it is not installed."""
    if not (util.find_spec("torch") and util.find_spec("diffusers")):
        raise ImportError("the diffusers editor needs the extra `models`: make setup-models")
    torch()  # first, for the others import it, too
    import_torchvision()
    return import_module("diffusers")


def import_torchvision() -> None:
    """The processors of Qwen-VL need torchvision, and its wheel does not load beside a torch without CUDA.

    Its kernels are missing then, and with them the declaration of two operators that its Python half wants to extend.
    Declared by hand, transforms work; the two (box suppression) are never called here.
    """
    if not util.find_spec("torchvision"):
        return
    try:
        import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        _declared.append(library := torch().library.Library("torchvision", "DEF"))
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import_module("torchvision")


_declared: list[Any] = []  # an operator lives as long as the library that declared it
