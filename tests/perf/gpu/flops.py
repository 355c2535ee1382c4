"""Floating point operations of QwenImageTransformer2DModel, counted from its config: two for each multiply-add."""

from collections.abc import Mapping
from typing import Any


def forward_flops(config: Mapping[str, Any], image: int, text: int) -> float:
    """One pass over `image` and `text` tokens of one picture.

    A block has two streams of one width: query, key, value and output (4 d^2), a fourfold MLP (8 d^2), a modulation
    (6 d^2 for each picture); attention goes over both streams together.
    """
    d = width(config)
    block = 2 * (image + text) * 12 * d * d + 2 * 2 * 6 * d * d
    outside = config["patch_size"] ** 2 * config["out_channels"]
    ends = 2 * image * (config["in_channels"] + outside) * d + 2 * text * config["joint_attention_dim"] * d
    time_embedding = 2 * (256 * d + d * d) + 2 * 2 * d * d
    return config["num_layers"] * block + attention_flops(config, image, text) + ends + time_embedding


def attention_flops(config: Mapping[str, Any], image: int, text: int) -> float:
    """The two products of attention, over all blocks of one pass."""
    return config["num_layers"] * 4 * (image + text) ** 2 * width(config)


def width(config: Mapping[str, Any]) -> int:
    return config["num_attention_heads"] * config["attention_head_dim"]
