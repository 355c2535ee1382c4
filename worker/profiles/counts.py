"""Parameters of a model, counted from its config.json: no weights, no torch.

The counts equal those of the models that transformers and diffusers build from the same files (tests/models), and
those that are published.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Count:
    """Parameters that FP8 halves, those of the repeated blocks, and the rest, which it keeps.

    The rest are embeddings, heads, vision, and in diffusers whatever has `norm` in its name: FLUX modulates there.
    `modulation` is that of Qwen-Image's blocks, which `fp8` halves and `fp8-row` keeps.
    """

    blocks: int
    rest: int
    modulation: int = 0

    @property
    def total(self) -> int:
        return self.blocks + self.rest + self.modulation


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's parts by name, as configs. `repository` is where its weights are published, under `licence`."""

    repository: str
    parts: Mapping[str, Config]
    licence: str = ""

    def counts(self) -> dict[str, Count]:
        """Raises Unknown that names the part which nothing is known of."""
        counted: dict[str, Count] = {}
        for name, config in self.parts.items():
            try:
                counted[name] = count(config)
            except Unknown as unknown:
                raise Unknown(f"{name}: {unknown}, so that its memory can't be computed") from None
        return counted


class Unknown(ValueError):
    """Nothing is known of a model: neither its files are there nor does its name stand in checkpoints.json."""


def checkpoint(path: str) -> Checkpoint:
    """The checkpoint in a folder or, while it is empty, the known one of that name. Raises Unknown.

    A tiny checkpoint that is not made yet has no parts.
    """
    folder = Path(path)
    entry: dict[str, Any] = _shipped("checkpoints").get(folder.name, {})
    repository, licence = entry.get("repository", ""), entry.get("licence", "")
    if (folder / "model_index.json").is_file():
        configs = {entry.parent.name: _read(entry) for entry in sorted(folder.glob("*/config.json"))}
        return Checkpoint(repository, configs, licence)
    if (folder / "config.json").is_file():
        return Checkpoint(repository, {"model": _read(folder / "config.json")}, licence)
    if folder.name.startswith("tiny-"):
        return Checkpoint("", {})  # made from code at the first start, and a few megabytes
    if not entry:
        names = ", ".join(sorted(_shipped("checkpoints")))
        raise Unknown(f"{folder} is not there, and {folder.name} is none of the known checkpoints: {names}")
    return Checkpoint(repository, {part: _shipped(name) for part, name in entry["parts"].items()}, licence)


@cache
def _shipped(name: str) -> dict[str, Any]:
    return json.loads((files("worker.profiles") / "architectures" / f"{name}.json").read_text(encoding="utf-8"))


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise Unknown(f"{path} is no JSON: download it again") from None


def count(config: Config) -> Count:
    """The parameters of one model. Raises Unknown for an architecture that is not in the table."""
    kind = _kind(config)
    if kind not in _COUNTERS:
        raise Unknown(f"nothing is known of the architecture {kind!r}")
    try:
        return _COUNTERS[kind](config)
    except KeyError as missing:
        raise Unknown(f"a config.json of {kind} does not say {missing}: download it again") from None


def kv_bytes_per_token(config: Config) -> int:
    """Bytes of the KV cache of one token, in 16 bits."""
    text = _language(config)
    head = text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"]
    return 2 * 2 * text["num_hidden_layers"] * text["num_key_value_heads"] * head


def _language(config: Config) -> Config:
    """The language model's part of a VLM's config; older files have it flat."""
    return config.get("text_config") or config


def _kind(config: Config) -> str:
    return config.get("_class_name") or config.get("model_type") or ""


def _linear(inside: int, outside: int, bias: bool = True) -> int:
    return inside * outside + (outside if bias else 0)


# --- language and vision-language models --------------------------------------------------------


def _decoder(text: Config, bias: bool, normed_heads: bool, tied: bool) -> Count:
    """A Qwen decoder: grouped attention, gated feed-forward, RMS norms."""
    h, inner = text["hidden_size"], text["intermediate_size"]
    heads, groups = text["num_attention_heads"], text["num_key_value_heads"]
    head = text.get("head_dim") or h // heads
    attention = _linear(h, heads * head, bias) + 2 * _linear(h, groups * head, bias) + heads * head * h
    layer = attention + (2 * head if normed_heads else 0) + 3 * h * inner + 2 * h
    embeddings = text["vocab_size"] * h * (1 if tied else 2)
    return Count(text["num_hidden_layers"] * layer, embeddings + h)


def _tied(config: Config) -> bool:
    return bool(_language(config).get("tie_word_embeddings", config.get("tie_word_embeddings", False)))


def _qwen3_vl(config: Config) -> Count:
    v = config["vision_config"]
    h, inner, out, wide = v["hidden_size"], v["intermediate_size"], v["out_hidden_size"], v["spatial_merge_size"] ** 2
    patches = _linear(v["in_channels"] * v["temporal_patch_size"] * v["patch_size"] ** 2, h)
    block = _linear(h, 3 * h) + _linear(h, h) + _linear(h, inner) + _linear(inner, h) + 4 * h
    merger = _linear(wide * h, wide * h) + _linear(wide * h, out)
    deep = len(v["deepstack_visual_indexes"]) * (2 * wide * h + merger)
    vision = patches + v["num_position_embeddings"] * h + v["depth"] * block + 2 * h + merger + deep
    text = _decoder(_language(config), bias=False, normed_heads=True, tied=_tied(config))
    return Count(text.blocks, text.rest + vision)


def _qwen2_5_vl(config: Config) -> Count:
    v = config["vision_config"]
    h, inner, out = v["hidden_size"], v["intermediate_size"], v["out_hidden_size"]
    wide = v.get("spatial_merge_size", 2) ** 2
    patches = v.get("in_channels", 3) * v.get("temporal_patch_size", 2) * v.get("patch_size", 14) ** 2 * h
    block = _linear(h, 3 * h) + _linear(h, h) + 2 * _linear(h, inner) + _linear(inner, h) + 2 * h
    vision = patches + v["depth"] * block + h + _linear(wide * h, wide * h) + _linear(wide * h, out)
    text = _decoder(_language(config), bias=True, normed_heads=False, tied=_tied(config))
    return Count(text.blocks, text.rest + vision)


def _t5(config: Config) -> Count:
    """The encoder alone, with a gated feed-forward."""
    d, inner = config["d_model"], config["num_heads"] * config["d_kv"]
    gated = 3 if "gated" in config.get("feed_forward_proj", "gated-gelu") else 2
    layer = 4 * d * inner + gated * d * config["d_ff"] + 2 * d
    places = config.get("relative_attention_num_buckets", 32) * config["num_heads"]
    return Count(config["num_layers"] * layer, config["vocab_size"] * d + places + d)


def _clip_text(config: Config) -> Count:
    h, inner = config["hidden_size"], config["intermediate_size"]
    layer = 4 * _linear(h, h) + _linear(h, inner) + _linear(inner, h) + 4 * h
    embeddings = (config["vocab_size"] + config["max_position_embeddings"]) * h
    return Count(config["num_hidden_layers"] * layer, embeddings + 2 * h)


# --- diffusion transformers and their autoencoders ----------------------------------------------


def _width(config: Config) -> int:
    return config["num_attention_heads"] * config["attention_head_dim"]


def _joint_block(w: int, head: int) -> int:
    """Two streams, picture and text: joint attention, feed-forward each."""
    return 8 * _linear(w, w) + 4 * head + 2 * (_linear(w, 4 * w) + _linear(4 * w, w))


def _modulations(w: int) -> int:
    """Those of the two streams of a joint block."""
    return 2 * _linear(w, 6 * w)


def _qwen_image(config: Config) -> Count:
    w, text = _width(config), config["joint_attention_dim"]
    time = _linear(256, w) + _linear(w, w)
    inputs = _linear(config["in_channels"], w) + _linear(text, w) + text
    output = _linear(w, 2 * w) + _linear(w, config["patch_size"] ** 2 * config["out_channels"])
    layers = config["num_layers"]
    blocks = layers * _joint_block(w, config["attention_head_dim"])
    return Count(blocks, time + inputs + output, layers * _modulations(w))


def _flux(config: Config) -> Count:
    w, head = _width(config), config["attention_head_dim"]
    embedder = _linear(256, w) + _linear(w, w)
    pooled = _linear(config["pooled_projection_dim"], w) + _linear(w, w)
    conditions = embedder * (2 if config["guidance_embeds"] else 1) + pooled
    channels = config["in_channels"]
    inputs = _linear(channels, w) + _linear(config["joint_attention_dim"], w)
    output = _linear(w, 2 * w) + _linear(w, config["patch_size"] ** 2 * (config.get("out_channels") or channels))
    single = 3 * _linear(w, w) + 2 * head + _linear(w, 4 * w) + _linear(5 * w, w)
    blocks = config["num_layers"] * _joint_block(w, head) + config["num_single_layers"] * single
    norms = config["num_layers"] * _modulations(w) + config["num_single_layers"] * _linear(w, 3 * w)
    return Count(blocks, conditions + inputs + output + norms)


_COUNTERS: Mapping[str, Callable[[Config], Count]] = {
    "qwen3_vl": _qwen3_vl,
    "qwen2_5_vl": _qwen2_5_vl,
    "t5": _t5,
    "clip_text_model": _clip_text,
    "QwenImageTransformer2DModel": _qwen_image,
    "FluxTransformer2DModel": _flux,
    # Autoencoders are small and all alike: the count of the one that the family uses.
    "AutoencoderKLQwenImage": lambda _: Count(0, 126_892_531),
    "AutoencoderKL": lambda _: Count(0, 83_819_683),
}
