"""What a profile needs of each card and of the machine, computed from the models' configs.

Weights are counted; the KV cache follows from its size in tokens; activations are bounds from shapes and measured
peaks, for the largest picture that a job may ask for. All in GiB, as nvidia-smi counts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from worker.diffusion.canvas import EDIT_AREA, WHOLE
from worker.diffusion.config import PipelineConfig
from worker.diffusion.families import FAMILIES, Task
from worker.profiles.counts import Config, Count, checkpoint, kv_bytes_per_token
from worker.profiles.shape import Machine, ModelServer, Profile, WorkerGroup

GIB = 2**30
CUDA_CONTEXT = 0.6
"""What a process takes of a card before its first tensor: driver, kernels, libraries."""
PICTURES_MIB = 256
"""SGLang's cache of embedded pictures; about eight of a megapixel for Qwen3-VL-8B."""
SLACK = 0.02
"""Share of a card that fragmentation may take."""

_BYTES: Mapping[str, int] = {"float32": 4, "bfloat16": 2, "float16": 2}
LARGEST = 2048 * 2048
"""Pixels of the largest picture that a job may ask for."""
LORA = 0.8
"""GiB of a LoRA that is not there yet: Lightning's have rank 64."""
_VAE_PEAK: Mapping[str, float] = {"AutoencoderKLQwenImage": 3.5}
"""GiB that decoding or encoding a million pixels takes in 16 bits, as measured; others: eight of (pixels, 192)."""
_PIXELS_PER_TOKEN = 16 * 16
_TEXT_TOKENS = 1024
_SPARE = 1.0  # GiB of a server's working memory that is free when it sizes its cache


@dataclass(frozen=True)
class Part:
    """One line of a budget, in GiB."""

    what: str
    gib: float


@dataclass(frozen=True)
class Budget:
    """What has to fit into one card, or into a machine's memory."""

    where: str
    size: float
    parts: tuple[Part, ...]

    @property
    def total(self) -> float:
        return sum(part.gib for part in self.parts)

    @property
    def fits(self) -> bool:
        return self.total <= self.size * (1 - SLACK)

    def table(self) -> str:
        """A line for each part, the total and the size."""
        lines = [f"  {part.gib:6.1f}  {part.what}" for part in self.parts]
        verdict = "fits" if self.fits else "DOES NOT FIT"
        return "\n".join([f"{self.where}: {self.total:.1f} of {self.size:g} GiB, {verdict}", *lines])


def budgets(profile: Profile) -> tuple[Budget, ...]:
    """One for each card and each machine. Raises Unknown for a checkpoint that nothing is known of."""
    computed: list[Budget] = []
    for name, machine in profile.boxes.items():
        for n, size in enumerate(machine.gpus):
            computed.append(Budget(f"{name}, GPU {n}", size, _card_parts(profile, machine, n)))
        computed.append(Budget(f"{name}, memory", machine.memory, _memory_parts(profile, machine)))
    return tuple(computed)


# --- SGLang -------------------------------------------------------------------------------------


def memory_fraction(server: ModelServer) -> float:
    """SGLang's --mem-fraction-static: weights and caches as a share of what the budget gives to the server.

    SGLang takes it of what is free on the card when it starts. Restarted beside an editor that fills the rest, that is
    little more than its own part of the budget; alone on a card it could take more, and --max-total-tokens stops it.
    """
    static = sum(_static(server)) + PICTURES_MIB / 1024
    return round((static + _SPARE) / (static + _working(server)), 3)


def _static(server: ModelServer) -> tuple[float, float]:
    """GiB of weights and of KV cache on each of the server's cards."""
    config = checkpoint(server.model).parts["model"]
    shards = max(1, len(server.gpus))
    cache = server.tokens * kv_bytes_per_token(config) / shards / GIB
    return _stored(checkpoint(server.model).counts()["model"], server.weights, 2) / shards, cache


def _working(server: ModelServer) -> float:
    """GiB beside the static share: SGLang's own rule for what a prefill and CUDA graphs take, and the vision tower."""
    return 0.5 + 1.5 * max(server.prefill, 2048) / 1024 + 2 * server.running / 1024


def _server_parts(server: ModelServer) -> tuple[Part, ...]:
    weights, cache = _static(server)
    shard = f", 1 of {len(server.gpus)} shards" if len(server.gpus) > 1 else ""
    return (
        Part(f"{server.name}: weights of {server.served}, {server.weights}{shard}", weights),
        Part(f"{server.name}: KV cache of {server.tokens} tokens, embedded pictures", cache + PICTURES_MIB / 1024),
        Part(f"{server.name}: prefill of {server.prefill} tokens, graphs, context", _working(server) + CUDA_CONTEXT),
    )


# --- diffusers ----------------------------------------------------------------------------------


def _card_parts(profile: Profile, machine: Machine, gpu: int) -> tuple[Part, ...]:
    parts = [part for server in machine.servers if gpu in server.gpus for part in _server_parts(server)]
    for group in machine.workers:
        if group.gpu == gpu and "editor" in group.seats and profile.editors:
            parts += _resident(_distinct(profile, group))
            parts.append(Part(f"{group.name}: CUDA context", CUDA_CONTEXT))
    return tuple(parts)


def _distinct(profile: Profile, group: WorkerGroup) -> dict[str, PipelineConfig]:
    """The pipelines of a worker group by name, one for those that share their weights."""
    configs = profile.editors.pipelines if profile.editors else {}
    names: dict[tuple[object, ...], str] = {}
    for name in profile.pipelines(profile.models(group)):
        c = configs[name]
        key = (c.path, c.device, c.dtype, c.quantize, c.offload, *([name] if c.loras else []))
        if key not in names or FAMILIES[c.family].task is Task.EDIT:
            names[key] = name
    return {name: configs[name] for name in names.values()}


def _own_parts(used: Mapping[str, PipelineConfig]) -> dict[str, tuple[str, ...]]:
    """The parts of each pipeline; a text encoder that `loading.shared_encoders` shares belongs to the first one."""
    seen: set[tuple[str, ...]] = set()
    own: dict[str, tuple[str, ...]] = {}
    for name, config in used.items():
        parts: list[str] = []
        for part, described in checkpoint(config.path).parts.items():
            fields = sorted((key, str(value)) for key, value in described.items() if "version" not in key)
            key = (str(fields), config.device, config.dtype, config.offload)
            shares = part.startswith("text_encoder") and config.offload != "model" and "clip" not in str(fields)
            if not (shares and key in seen):
                parts.append(part)
            seen.add(key)
        own[name] = tuple(parts)
    return own


def _resident(used: Mapping[str, PipelineConfig]) -> list[Part]:
    """What stays on the card, then the most that one pipeline needs beside it while it works."""
    parts: list[Part] = []
    passing, own = 0.0, _own_parts(used)
    for name, config in used.items():
        sizes = _sizes(config)
        stays = {
            "none": own[name],
            "encoders": tuple(part for part in own[name] if not part.startswith("text_encoder")),
            "stream": ("vae",),
            "model": (),
        }[config.offload]
        if stays:
            quantised = f", {config.quantize} transformer" if config.quantize != "none" else ""
            parts.append(Part(f"{name}: {', '.join(stays)}{quantised}", sum(sizes[part] for part in stays)))
        if config.loras and "transformer" in stays:
            parts.append(Part(f"{name}: LoRAs {', '.join(config.loras)}", _loras(config)))
        passing = max(passing, _passing(config, sizes))
    parts.append(Part("the pipeline at work: activations, and what it loads for the moment", passing))
    return parts


def _sizes(config: PipelineConfig) -> dict[str, float]:
    """GiB of each part of a pipeline as it is stored."""
    return {
        part: _stored(count, config.quantize if part == "transformer" else "none", _BYTES[config.dtype])
        for part, count in checkpoint(config.path).counts().items()
    }


def _loras(config: PipelineConfig) -> float:
    return sum(path.stat().st_size / GIB if path.is_file() else LORA for path in map(Path, config.loras.values()))


def _stored(count: Count, quantised: str, wide: int) -> float:
    """GiB of a model whose blocks are stored in 8 bits, or whose parameters have `wide` bytes all."""
    blocks = 1 if quantised.startswith("fp8") else wide
    modulation = 1 if quantised == "fp8" else wide
    return (count.blocks * blocks + count.modulation * modulation + count.rest * wide) / GIB


def _leaf(config: Config) -> int:
    """Parameters of the largest single layer that is moved: an embedding of a text encoder, or a linear."""
    text = config.get("text_config", config)
    width = text.get("hidden_size") or text.get("d_model")
    if width:
        return text["vocab_size"] * width
    if "num_attention_heads" in config:
        inner = config["num_attention_heads"] * config["attention_head_dim"]
        return 6 * inner * inner
    return 0


def _passing(config: PipelineConfig, sizes: Mapping[str, float]) -> float:
    """GiB that a call needs for the moment: the most of encoding words, of denoising and of decoding a picture.

    Streamed layers come two at a time: one computes, the next is on its way.
    """
    parts, wide = checkpoint(config.path).parts, _BYTES[config.dtype]
    encoding = max((_leaf(parts[part]) for part in parts if part.startswith("text_encoder")), default=0)
    denoising = _leaf(parts["transformer"]) if config.offload == "stream" else 0
    moving = (0 if config.offload == "none" else 2 * encoding * wide / GIB, 2 * denoising * wide / GIB)
    # Above `WHOLE` pixels the autoencoder works in tiles.
    decoding = _decoding(parts["vae"], min(_largest(config), WHOLE), wide)
    most = max(moving[0], moving[1] + _denoising(config), decoding)
    return most + (max(sizes.values(), default=0.0) if config.offload == "model" else 0.0)


def _denoising(config: PipelineConfig) -> float:
    """GiB of one transformer block over a batch: it holds about sixteen tensors (tokens, width) at once."""
    transformer = checkpoint(config.path).parts["transformer"]
    width = transformer["num_attention_heads"] * transformer["attention_head_dim"]
    edits = FAMILIES[config.family].task is not Task.GENERATE
    tokens = (_largest(config) + (EDIT_AREA if edits else 0)) / _PIXELS_PER_TOKEN + _TEXT_TOKENS
    batch = config.max_batch if FAMILIES[config.family].batches else 1
    return 16 * tokens * width * batch * _BYTES[config.dtype] / GIB


def _largest(config: PipelineConfig) -> int:
    """Pixels of the largest canvas that a pipeline works on."""
    largest = EDIT_AREA if FAMILIES[config.family].task is not Task.GENERATE else LARGEST
    return min(largest, config.final.area or largest)


def _decoding(vae: Config, pixels: int, wide: int) -> float:
    """GiB that the autoencoder takes for one picture."""
    peak = _VAE_PEAK.get(str(vae.get("_class_name")), 8 * 192 * 2 * 1e6 / GIB)
    return peak * pixels / 1e6 * wide / 2


# --- the machine --------------------------------------------------------------------------------


def _memory_parts(profile: Profile, machine: Machine) -> tuple[Part, ...]:
    """Host memory: processes, what is kept off the cards, and the largest checkpoint on its way to one."""
    children = sum(group.concurrency for group in machine.workers)
    parts = [Part(f"the system, its services and {children} worker processes", 1.5 + 0.3 * children)]
    parts += [Part(f"{server.name}: SGLang", 4.0 if server.gpus else 2.0) for server in machine.servers]
    passing = 0.0
    for group in machine.workers:
        if "editor" not in group.seats or profile.editors is None:
            continue
        parts.append(Part(f"{group.name}: torch and diffusers", 1.5))
        used = _distinct(profile, group)
        own = _own_parts(used)
        for name, config in used.items():
            sizes = _sizes(config)
            away = _off_the_card(config, own[name])
            kept = sum(sizes[part] for part in away)
            if away:
                parts.append(Part(f"{group.name}: {name}: {', '.join(away)}", kept))
            passing = max(passing, _whole(config) - kept)
    if passing > 0:
        parts.append(Part("a checkpoint while it is read", passing))
    return tuple(parts)


def _off_the_card(config: PipelineConfig, parts: Iterable[str]) -> tuple[str, ...]:
    """The parts of a pipeline that stay in the machine's memory."""
    if config.device == "cpu" or config.offload == "model":
        return tuple(parts)
    if config.offload == "stream":
        return tuple(part for part in parts if part != "vae")
    return tuple(part for part in parts if config.offload == "encoders" and part.startswith("text_encoder"))


def _whole(config: PipelineConfig) -> float:
    """GiB of the checkpoint as it is read, before it is quantised or moved."""
    counts = checkpoint(config.path).counts()
    return sum(count.total for count in counts.values()) * _BYTES[config.dtype] / GIB
