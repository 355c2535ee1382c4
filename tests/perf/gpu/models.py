"""Models at full or toy size, with weights drawn where they are used, and inputs for a transformer alone.

Sizes come from the configs that the doctor counts with; tokenizers and processors from the tiny checkpoints.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.settings import load_settings
from tests.perf.gpu.device import Scale
from worker.diffusion.loading import diffusers, torch
from worker.profiles import tiny
from worker.profiles.counts import checkpoint

Config = Mapping[str, Any]
Parts = dict[str, Any]

TINY = {"Qwen-Image": "qwen-image", "Qwen-Image-Edit-2509": "qwen-image-edit"}
"""The toy of each checkpoint."""


def tiny_folder(name: str) -> Path:
    """The toy of a checkpoint; made when it is not there."""
    settings = load_settings()
    return tiny.make(TINY[name], settings.model_cache, settings.sglang_python)


def config_of(scale: Scale, part: str, name: str = "Qwen-Image") -> Config:
    """Of one part of a checkpoint."""
    return checkpoint(name if scale.cuda else str(tiny_folder(name))).parts[part]


def transformer(scale: Scale) -> Any:
    """QwenImageTransformer2DModel; at full size 20.4 billion weights."""
    torch().manual_seed(0)
    config = config_of(scale, "transformer")
    return drawn(scale, lambda: diffusers().QwenImageTransformer2DModel.from_config(config))


def encoder_parts(scale: Scale, kind: str) -> Parts:
    """Tokenizer and text encoder of the class of pipelines `kind`, on the device."""
    from transformers import Qwen2Tokenizer

    torch().manual_seed(0)
    name = _checkpoint_of(kind)
    tokenizer = Qwen2Tokenizer.from_pretrained(tiny_folder(name) / "tokenizer")
    config = config_of(scale, "text_encoder", name)
    return {"tokenizer": tokenizer, "text_encoder": drawn(scale, lambda: _text_encoder(config, tokenizer))}


def other_parts(scale: Scale, kind: str) -> Parts:
    """What else it is made of."""
    d, name = diffusers(), _checkpoint_of(kind)
    folder, vae = tiny_folder(name), config_of(scale, "vae", name)
    return {
        "transformer": transformer(scale),
        "vae": drawn(scale, lambda: d.AutoencoderKLQwenImage.from_config(vae)),
        "scheduler": d.FlowMatchEulerDiscreteScheduler.from_pretrained(folder / "scheduler"),
        **({"processor": _processor(scale, folder)} if "Edit" in kind else {}),
    }


def _checkpoint_of(kind: str) -> str:
    return "Qwen-Image-Edit-2509" if "Edit" in kind else "Qwen-Image"


def _text_encoder(config: Config, tokenizer: Any) -> Any:
    """Of the size of the config, for a tokenizer that has other ids; fields of Qwen2.5-VL-7B where it says nothing."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    rope = {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1e6}
    ends = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    text = {"rope_parameters": rope, "max_position_embeddings": 128000} | dict(config["text_config"]) | ends
    vision = {"window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31]} | dict(config["vision_config"])
    ids = {
        field: tokenizer.convert_tokens_to_ids(token)
        for field, token in {
            "image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>",
            "vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>",
        }.items()
    }  # fmt: skip
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids))


def _processor(scale: Scale, folder: Path) -> Any:
    from transformers import Qwen2VLImageProcessor, Qwen2VLProcessor

    processor = Qwen2VLProcessor.from_pretrained(folder / "processor")
    if scale.cuda:  # the toy's sees 64 x 64 pixels
        processor.image_processor = Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=12_845_056)
    return processor


def drawn(scale: Scale, make: Callable[[], Any]) -> Any:
    """A model whose random weights are drawn on the device, in the type of the run."""
    t = torch()
    before = t.get_default_dtype()
    t.set_default_dtype(scale.type)
    try:
        with t.device(scale.device):
            return make().eval()
    finally:
        t.set_default_dtype(before)


@contextmanager
def drawn_not_read(kinds: tuple[str, ...], make: Callable[[str], Parts]) -> Generator[dict[str, Any]]:
    """The product reads checkpoints; inside, `make` gives the parts instead. Gives the pipelines made, by class."""
    made: dict[str, Any] = {}

    def instead(cls: Any, *_: Any, **__: Any) -> Any:
        made[cls.__name__] = cls(**make(cls.__name__))
        return made[cls.__name__]

    classes = [getattr(diffusers(), kind) for kind in kinds]
    for cls in classes:
        cls.from_pretrained = classmethod(instead)
    try:
        yield made
    finally:
        for cls in classes:
            del cls.from_pretrained  # the inherited one is seen again


def inputs(scale: Scale, config: Config, tokens: int, pictures: int = 1, references: int = 0) -> dict[str, Any]:
    """Of the transformer: `pictures` different ones, under the same prompt of `tokens`, beside their references.

    Picture n is the same in a batch of any size.
    """
    t, each = torch(), 1 + references
    count = scale.cells**2 * each
    grid = [(1, scale.cells, scale.cells)] * each
    latents = t.cat([_random(scale, seed, count, config["in_channels"]) for seed in range(pictures)])
    words = _random(scale, 1000 + tokens, tokens, config["joint_attention_dim"])
    return {
        "hidden_states": latents,
        "timestep": t.full((pictures,), 0.5, device=scale.device, dtype=scale.type),
        "img_shapes": [grid] * pictures,
        "encoder_hidden_states": words.expand(pictures, -1, -1).contiguous(),
        "encoder_hidden_states_mask": None,
        "return_dict": False,
    }


def _random(scale: Scale, seed: int, rows: int, columns: int) -> Any:
    """(1, rows, columns), the same on every device."""
    generator = torch().Generator("cpu").manual_seed(seed)
    return torch().randn((1, rows, columns), generator=generator).to(scale.device, scale.type)
