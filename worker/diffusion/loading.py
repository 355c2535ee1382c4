"""From a line of settings to a pipeline in memory: weights from disk, LoRAs, and the speed levers that it supports."""

import gc
import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import import_module, util
from typing import Any

from worker.diffusion.config import PipelineConfig, Quality
from worker.diffusion.failures import operators_matter
from worker.diffusion.families import FAMILIES, Family

log = logging.getLogger(__name__)

_CACHES = {
    "first-block": "FirstBlockCacheConfig",
    "taylor-seer": "TaylorSeerCacheConfig",
    "mag": "MagCacheConfig",
}
"""Safe with guidance in two calls. Pyramid attention broadcast and FasterCache are not, and are left out."""


@dataclass
class Loaded:
    """A pipeline in memory, and what is switched on in it."""

    config: PipelineConfig
    pipe: Any
    skipped: tuple[str, ...] = ()
    quality: Quality | None = None
    scheduler: Any = None
    loras: set[str] = field(default_factory=set[str])

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

    def settle(self) -> None:
        """Bring a pipeline whose call was interrupted back to where a finished call leaves it."""
        self.pipe.maybe_free_model_hooks()


class PipelineCache:
    """Pipelines by name, each loaded when it is first asked for and kept until `close`.

    Nothing of torch is imported before that: CUDA does not survive the fork of the pool's child.
    Pipelines of the same files, run alike, share their weights.
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
        return _from_disk(config, kind)


def _weights(config: PipelineConfig) -> tuple[Any, ...]:
    """What two pipelines must agree on to share their weights. LoRAs are switched in the weights: none may have any."""
    if config.loras:
        return (object(),)
    levers = (config.compile, config.cache, config.attention, config.vae_slicing, config.vae_tiling)
    return (config.path, config.device, config.dtype, config.quantize, config.offload, *levers)


def _from_disk(config: PipelineConfig, kind: Any) -> Loaded:
    log.info("loading %s from %s", FAMILIES[config.family].pipeline, config.path)
    for library in ("diffusers", "transformers"):  # a worker's log is no terminal
        import_module(f"{library}.utils.logging").disable_progress_bar()
    with operators_matter(f"the checkpoint {config.path}", reading=True):
        pipe = kind.from_pretrained(config.path, dtype=getattr(torch(), config.dtype), local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    loaded = Loaded(config, pipe)
    if config.quantize == "fp8":
        # LoRAs first: their layers stay wide then. Read later, they would take the 8 bits of what they lie on.
        loaded.read(config.loras)
        pipe.transformer.enable_layerwise_casting(
            storage_dtype=torch().float8_e4m3fn, compute_dtype=getattr(torch(), config.dtype)
        )
    loaded.skipped = pull_levers(config, pipe)
    for lever in loaded.skipped:
        log.warning("%s does not support %s: it runs without", type(pipe.transformer).__name__, lever)
    _place(config, pipe)
    return loaded


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
    levers: list[tuple[str, Any, str, tuple[Any, ...], dict[str, Any]]] = []
    if config.attention:
        levers.append(("attention", transformer, "set_attention_backend", (config.attention,), {}))
    if config.cache:
        cache = getattr(diffusers(), _CACHES[config.cache.kind])(**config.cache.options)
        levers.append(("cache", transformer, "enable_cache", (cache,), {}))
    if config.compile:
        levers.append(("compile", transformer, "compile_repeated_blocks", (), {"fullgraph": True}))
    if config.vae_slicing:
        levers.append(("vae_slicing", vae, "enable_slicing", (), {}))
    if config.vae_tiling:
        levers.append(("vae_tiling", vae, "enable_tiling", (), {}))
    skipped: list[str] = []
    for lever, owner, method, positional, named in levers:
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
    return import_module("torch")


def diffusers() -> Any:
    """Raises ImportError naming the extra when it is not installed."""
    if not (util.find_spec("torch") and util.find_spec("diffusers")):
        raise ImportError("the diffusers editor needs the extra `models`: make setup-models")
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
