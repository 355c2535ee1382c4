"""The families of diffusers pipelines that the editor knows: a table of small adapters.

A new checkpoint of a known family is a line of settings; a new family is an entry here. What each says of its
pipeline was measured on diffusers 0.42.1 and is held by tests/models.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from PIL import Image

from worker.diffusion.canvas import Frame, Pixels, Size, on_edit_canvas, on_grid

NEGATIVE = " "
"""The other branch of classifier-free guidance. Without a negative prompt Qwen-Image has none, whatever its scale."""


class Task(StrEnum):
    GENERATE = "generate"  # a picture from words
    EDIT = "edit"  # a picture from words and a picture
    INPAINT = "inpaint"  # the same inside a mask


@dataclass(frozen=True)
class PipelineInputs:
    """What one render asks of a pipeline, whatever the family. `image` and `mask` lie on the canvas."""

    instruction: str
    canvas: Size
    steps: int
    cfg: float  # scale of the classifier-free guidance; at most 1: off, one transformer call a step
    guidance: float  # what a guidance-distilled model is told
    strength: float  # of an inpainting: 1 forgets what was there
    image: Pixels | None = None
    mask: Pixels | None = None


@dataclass(frozen=True)
class Family:
    """How one class of pipelines is asked.

    `batches`: a micro-grid in one call equals one call for each seed. `text` gives the embeddings, made once for all
    seeds and both branches, as keyword arguments, and keeps in its last argument what the next call will want again;
    `call` gives the others that depend on the family. `tokens` counts an instruction as the pipeline does, with what
    comes behind it. `side` is that of the square that the models were made for.
    """

    pipeline: str
    task: Task
    batches: bool
    steps: int
    cfg: float
    guidance: float
    max_tokens: int
    side: int
    frame: Callable[[Size, int, int | None], Frame]
    text: Callable[[Any, PipelineInputs, Any, dict[str, Any]], dict[str, Any]]
    call: Callable[[PipelineInputs], dict[str, Any]]
    tokens: Callable[[Any, str], tuple[list[int], int, Any]]


def _sized(inputs: PipelineInputs) -> dict[str, Any]:
    return {"width": inputs.canvas[0], "height": inputs.canvas[1]}


# --- Qwen-Image ---------------------------------------------------------------------------------


def _qwen_text(pipe: Any, inputs: PipelineInputs, torch: Any, kept: dict[str, Any]) -> dict[str, Any]:
    return _qwen_branches(pipe, inputs, torch, {"max_sequence_length": _QWEN_TOKENS}, kept)


def _edit_plus_text(pipe: Any, inputs: PipelineInputs, torch: Any, _: dict[str, Any]) -> dict[str, Any]:
    """The encoder sees the picture at about 384 x 384, as in the pipeline's `__call__`."""
    ratio = inputs.canvas[0] / inputs.canvas[1]
    width = math.sqrt(_CONDITION_AREA * ratio)
    height = width / ratio
    small = pipe.image_processor.resize(_picture(inputs.image), round(height / 32) * 32, round(width / 32) * 32)
    return _qwen_branches(pipe, inputs, torch, {"image": [small]}, {})


def _edit_inpaint_text(pipe: Any, inputs: PipelineInputs, torch: Any, _: dict[str, Any]) -> dict[str, Any]:
    return _qwen_branches(pipe, inputs, torch, {"image": _picture(inputs.image)}, {})


def _qwen_branches(
    pipe: Any, inputs: PipelineInputs, torch: Any, how: dict[str, Any], kept: dict[str, Any]
) -> dict[str, Any]:
    """Embeddings (1, tokens, width) and their masks (1, tokens), for the prompt and, with guidance, for its absence."""

    def embedded(words: str) -> dict[str, Any]:
        embeds, mask = pipe.encode_prompt(prompt=words, **how)
        # The pipeline drops a mask that hides nothing, and then warns that there is none.
        if mask is None:
            mask = torch.ones(embeds.shape[:2], dtype=torch.long, device=embeds.device)
        return {"prompt_embeds": embeds, "prompt_embeds_mask": mask}

    return _branches(inputs, kept, embedded)


def _branches(
    inputs: PipelineInputs, kept: dict[str, Any], embedded: Callable[[str], dict[str, Any]]
) -> dict[str, Any]:
    """What is made of the prompt and, with guidance, of its absence, which is the same for every prompt."""
    arguments = embedded(inputs.instruction)
    if inputs.cfg > 1:
        if NEGATIVE not in kept:
            kept[NEGATIVE] = embedded(NEGATIVE)
        arguments |= {f"negative_{name}": value for name, value in kept[NEGATIVE].items()}
    return arguments


def _qwen_call(inputs: PipelineInputs) -> dict[str, Any]:
    return _sized(inputs) | {"true_cfg_scale": inputs.cfg, "max_sequence_length": _QWEN_TOKENS}


def _edit_plus_call(inputs: PipelineInputs) -> dict[str, Any]:
    return _qwen_call(inputs) | {"image": [_picture(inputs.image)]}


def _edit_inpaint_call(inputs: PipelineInputs) -> dict[str, Any]:
    # It ignores width and height: the canvas is one that it finds itself.
    return {
        "image": _picture(inputs.image),
        "mask_image": _picture(inputs.mask),
        "strength": inputs.strength,
        "true_cfg_scale": inputs.cfg,
        "max_sequence_length": _QWEN_TOKENS,
    }


def _qwen_tokens(pipe: Any, text: str) -> tuple[list[int], int, Any]:
    behind = pipe.prompt_template_encode.split("{}")[1]
    count = len(pipe.tokenizer(behind)["input_ids"])
    return list(pipe.tokenizer(text)["input_ids"]), count, pipe.tokenizer


# --- FLUX.1 -------------------------------------------------------------------------------------


def _flux_text(pipe: Any, inputs: PipelineInputs, torch: Any, kept: dict[str, Any]) -> dict[str, Any]:
    """T5 embeddings (1, 512, width) and CLIP's pooled ones (1, width), which know the first 77 tokens only."""

    def embedded(words: str) -> dict[str, Any]:
        # CLIP gets the words that it reads anyway; the whole would only make it warn.
        head = pipe.tokenizer.decode(
            pipe.tokenizer(words, truncation=True, max_length=_CLIP_TOKENS)["input_ids"], skip_special_tokens=True
        )
        embeds, pooled, _ = pipe.encode_prompt(prompt=head, prompt_2=words, max_sequence_length=_T5_TOKENS)
        return {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}

    return _branches(inputs, kept, embedded)


def _flux_call(inputs: PipelineInputs) -> dict[str, Any]:
    sized = _sized(inputs) | {"guidance_scale": inputs.guidance, "max_sequence_length": _T5_TOKENS}
    return sized | ({"true_cfg_scale": inputs.cfg} if inputs.cfg > 1 else {})


def _flux_tokens(pipe: Any, text: str) -> tuple[list[int], int, Any]:
    return list(pipe.tokenizer_2(text, add_special_tokens=False)["input_ids"]), 1, pipe.tokenizer_2


def _picture(pixels: Pixels | None) -> Image.Image:
    if pixels is None:
        raise ValueError("this pipeline works on a picture, and there is none")
    return Image.fromarray(pixels)


_QWEN_TOKENS = 1024
_CONDITION_AREA = 384 * 384
_CLIP_TOKENS = 77
_T5_TOKENS = 512

FAMILIES: dict[str, Family] = {
    "qwen-image": Family(
        pipeline="QwenImagePipeline", task=Task.GENERATE, batches=True, steps=50, cfg=4.0, guidance=0.0,
        max_tokens=_QWEN_TOKENS, side=1328, frame=on_grid, text=_qwen_text, call=_qwen_call, tokens=_qwen_tokens,
    ),
    "qwen-image-edit-plus": Family(
        pipeline="QwenImageEditPlusPipeline", task=Task.EDIT, batches=True, steps=40, cfg=4.0, guidance=0.0,
        max_tokens=_QWEN_TOKENS, side=1024, frame=lambda size, _, area: on_edit_canvas(size, area),
        text=_edit_plus_text, call=_edit_plus_call, tokens=_qwen_tokens,
    ),
    # Its VAE draws the picture's latents with the first generator only: a batch is not what four calls give.
    "qwen-image-edit-inpaint": Family(
        pipeline="QwenImageEditInpaintPipeline", task=Task.INPAINT, batches=False, steps=50, cfg=4.0, guidance=0.0,
        max_tokens=_QWEN_TOKENS, side=1024, frame=lambda size, _, area: on_edit_canvas(size),
        text=_edit_inpaint_text, call=_edit_inpaint_call, tokens=_qwen_tokens,
    ),
    "flux": Family(
        pipeline="FluxPipeline", task=Task.GENERATE, batches=True, steps=28, cfg=1.0, guidance=3.5,
        max_tokens=_T5_TOKENS, side=1024, frame=on_grid, text=_flux_text, call=_flux_call, tokens=_flux_tokens,
    ),
}  # fmt: skip
"""By the name that settings use. FLUX.1 dev and Krea are both `flux`; guidance and steps are their model cards'."""
