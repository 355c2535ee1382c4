"""Tiny random checkpoints of the real architectures, made from code without a network, saved as diffusers saves them.

Weights are random: their pictures are noise and say nothing of any model's quality.

The tokenizers are trained on the pipelines' own templates until each word is one token, as in the real ones, so that
the number of template tokens that the pipelines drop (34 and 64) is right without a change. The edit checkpoint's VAE
shrinks by 16, not 8: its pipelines always work on a megapixel, which are then 1,024 tokens and not 4,096.
"""

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from worker.diffusion.loading import diffusers, torch

Parts = dict[str, Any]

_SPECIALS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
]  # fmt: skip
_TEMPLATES = """system user assistant Picture 1: Describe the image by detailing the color, shape, size, texture,
quantity, text, spatial relationships of the objects and background: Describe the key features of the input image
(color, shape, size, texture, objects, background), then explain how the user's text instruction should alter or modify
the image. Generate a new image that meets the user's requirements while maintaining consistency with the original
input where appropriate."""
_HIDDEN = 16


def write(name: str, folder: Path) -> None:
    """Make the checkpoint `name` of `MAKERS` and save it into an empty folder."""
    diffusers()  # before anything of transformers: it lets torchvision load
    for library in ("diffusers", "transformers"):
        import_module(f"{library}.utils.logging").disable_progress_bar()
    torch().manual_seed(0)
    MAKERS[name](folder)


def _qwen_image(folder: Path) -> None:
    tokenizer = _qwen_tokenizer()
    diffusers().QwenImagePipeline(**_qwen_parts(tokenizer, shrinks=3)).save_pretrained(folder)


def _qwen_image_edit(folder: Path) -> None:
    """One checkpoint for EditPlus and EditInpaint, as Qwen-Image-Edit-2509 is."""
    tokenizer = _qwen_tokenizer()
    parts = _qwen_parts(tokenizer, shrinks=4) | {"processor": _qwen_processor(tokenizer)}
    diffusers().QwenImageEditPlusPipeline(**parts).save_pretrained(folder)


def _qwen_parts(tokenizer: Any, shrinks: int) -> Parts:
    d = diffusers()
    channels = 4
    return {
        "tokenizer": tokenizer,
        "text_encoder": _qwen_encoder(tokenizer),
        "transformer": d.QwenImageTransformer2DModel(
            patch_size=2, in_channels=4 * channels, out_channels=channels, num_layers=2, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=_HIDDEN, guidance_embeds=False, axes_dims_rope=(8, 4, 4),
        ),
        "vae": d.AutoencoderKLQwenImage(
            base_dim=2, z_dim=channels, dim_mult=[1, 1, 2, 2, 2][: shrinks + 1], num_res_blocks=1,
            temperal_downsample=[False] * shrinks, latents_mean=[0.0] * channels, latents_std=[1.0] * channels,
        ),
        # The real checkpoint's: dynamic shift.
        "scheduler": d.FlowMatchEulerDiscreteScheduler(
            base_image_seq_len=256, base_shift=0.5, max_image_seq_len=8192, max_shift=0.9, shift=1.0,
            shift_terminal=0.02, use_dynamic_shifting=True, time_shift_type="exponential",
        ),
    }  # fmt: skip


def _qwen_tokenizer() -> Any:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    trained = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated")
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=2048, initial_alphabet=alphabet, show_progress=False)
    trained.train_from_iterator([_TEMPLATES.replace("\n", " ")] * 20, trainer)
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    return Qwen2Tokenizer(
        vocab=model["vocab"], merges=merges, unk_token="<|endoftext|>", eos_token="<|im_end|>",
        pad_token="<|endoftext|>", extra_special_tokens=_SPECIALS,
    )  # fmt: skip


def _qwen_encoder(tokenizer: Any) -> Any:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    ids = tokenizer.convert_tokens_to_ids
    rope = {"rope_type": "default", "mrope_section": [1, 1, _HIDDEN // 4 - 2], "rope_theta": 1e6}
    text = {
        "hidden_size": _HIDDEN, "intermediate_size": 2 * _HIDDEN, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "vocab_size": len(tokenizer), "max_position_embeddings": 8192,
        "rope_parameters": rope, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
    }  # fmt: skip
    vision = {
        "depth": 2, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": _HIDDEN,
        "fullatt_block_indexes": [1],
    }  # fmt: skip
    config = Qwen2_5_VLConfig(
        text_config=text, vision_config=vision,
        image_token_id=ids("<|image_pad|>"), video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"), vision_end_token_id=ids("<|vision_end|>"),
    )  # fmt: skip
    return Qwen2_5_VLForConditionalGeneration(config).eval()


def _qwen_processor(tokenizer: Any) -> Any:
    from transformers import Qwen2VLImageProcessor, Qwen2VLProcessor, Qwen2VLVideoProcessor

    images = Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=64 * 64)
    return Qwen2VLProcessor(image_processor=images, tokenizer=tokenizer, video_processor=Qwen2VLVideoProcessor())


def _flux(folder: Path) -> None:
    """FLUX.1 dev and Krea: guidance-distilled."""
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    d = diffusers()
    clip, t5 = _clip_tokenizer(), _t5_tokenizer()
    sizes = {"num_attention_heads": 2, "num_hidden_layers": 2}
    clip_config = CLIPTextConfig(
        hidden_size=32, intermediate_size=32, vocab_size=len(clip), projection_dim=32, max_position_embeddings=77,
        bos_token_id=clip.bos_token_id, eos_token_id=clip.eos_token_id, pad_token_id=clip.pad_token_id, **sizes,
    )  # fmt: skip
    t5_config = T5Config(vocab_size=len(t5), d_model=32, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    d.FluxPipeline(
        scheduler=d.FlowMatchEulerDiscreteScheduler(
            use_dynamic_shifting=True, max_shift=1.15, base_shift=0.5, shift=3.0
        ),
        text_encoder=CLIPTextModel(clip_config).eval(),
        tokenizer=clip,
        text_encoder_2=T5EncoderModel(t5_config).eval(),
        tokenizer_2=t5,
        vae=d.AutoencoderKL(
            block_out_channels=(4, 4, 4, 4), down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4, norm_num_groups=1, layers_per_block=1,
            use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1159, scaling_factor=0.3611,
        ),
        transformer=d.FluxTransformer2DModel(
            in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
            joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=(4, 4, 8), guidance_embeds=True,
        ),
    ).save_pretrained(folder)  # fmt: skip


def _clip_tokenizer() -> Any:
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = ["<|startoftext|>", "<|endoftext|>", *alphabet, *(letter + "</w>" for letter in alphabet)]
    vocab = {piece: n for n, piece in enumerate(pieces)}
    return CLIPTokenizer(vocab=vocab, merges=[], model_max_length=77)


def _t5_tokenizer() -> Any:
    from transformers import T5Tokenizer

    letters = [chr(n) for n in range(33, 127)]
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in letters)]
    return T5Tokenizer(vocab=vocab, extra_ids=0, model_max_length=512)


def _lora(folder: Path) -> None:
    """Rank 2 on the queries of the tiny Qwen-Image transformer, as `save_lora_weights` names them."""
    from safetensors.torch import save_file

    width, t = 32, torch()
    tensors = {
        f"transformer.transformer_blocks.{block}.attn.to_q.lora_{side}.weight": t.randn(shape)
        for block in range(2)
        for side, shape in (("A", (2, width)), ("B", (width, 2)))
    }
    save_file(tensors, folder / "lora.safetensors", metadata={"format": "pt"})


MAKERS: dict[str, Callable[[Path], None]] = {
    "qwen-image": _qwen_image,
    "qwen-image-edit": _qwen_image_edit,
    "flux": _flux,
    "lora": _lora,
}
