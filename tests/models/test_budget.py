"""What the budgets count is what the libraries build, and what they promise to offload works."""

import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest

from tests.models.conftest import apart, asked, make, pipelines_of, rendered
from tests.support.contexts import RecordingContext
from worker.diffusion.editor import DiffusersEditor
from worker.diffusion.fp8 import replace_linears
from worker.diffusion.loading import diffusers, torch
from worker.profiles.counts import checkpoint, count

Open = Callable[..., DiffusersEditor]

BUILT: dict[str, str] = {
    "qwen3-vl-4b": "Qwen3VL",
    "qwen3-vl-8b": "Qwen3VL",
    "qwen3-vl-32b": "Qwen3VL",
    "qwen2.5-vl-7b": "Qwen2_5_VL",
    "t5-xxl-encoder": "T5",
    "clip-l-text": "CLIPText",
    "qwen-image-transformer": "QwenImageTransformer2DModel",
    "flux-transformer": "FluxTransformer2DModel",
}


def parameters(model: Any) -> int:
    return sum(each.numel() for each in model.parameters())


def built(kind: str, config: dict[str, Any]) -> Any:
    """The model without memory for its weights."""
    library = diffusers()
    import transformers

    if "_class_name" in config:
        return getattr(library, kind)(**{name: value for name, value in config.items() if name != "_class_name"})
    fields = {name: value for name, value in config.items() if name != "model_type"}
    if kind == "T5":
        fields |= {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
    head = {"T5": "T5EncoderModel", "CLIPText": "CLIPTextModel"}.get(kind, f"{kind}ForConditionalGeneration")
    return getattr(transformers, head)(getattr(transformers, f"{kind}Config")(**fields))


@pytest.mark.parametrize("name", sorted(BUILT))
def test_counts_equal_what_is_built(name: str):
    config = json.loads((files("worker.profiles") / "architectures" / f"{name}.json").read_text(encoding="utf-8"))
    with torch().device("meta"):
        assert parameters(built(BUILT[name], config)) == count(config).total


@pytest.mark.parametrize("name", ["qwen-image-transformer", "flux-transformer"])
def test_eight_bits_take_what_the_budget_counts(name: str):
    """FLUX modulates in layers named `norm`, which stay wide: a quarter of it."""
    config = json.loads((files("worker.profiles") / "architectures" / f"{name}.json").read_text(encoding="utf-8"))
    with torch().device("meta"):
        model = built(BUILT[name], config).to(torch().bfloat16)
    model.enable_layerwise_casting(storage_dtype=torch().float8_e4m3fn, compute_dtype=torch().bfloat16)
    stored = sum(each.numel() * each.element_size() for each in model.parameters())
    counted = count(config)
    assert counted.blocks + counted.modulation + 2 * counted.rest == pytest.approx(stored, rel=0.01)


@pytest.mark.parametrize("name", ["qwen-image-transformer", "flux-transformer"])
def test_rows_of_eight_bits_take_what_the_budget_counts(name: str):
    config = json.loads((files("worker.profiles") / "architectures" / f"{name}.json").read_text(encoding="utf-8"))
    with torch().device("meta"):
        model = built(BUILT[name], config).to(torch().bfloat16)
        replace_linears(model, "meta")
    stored = sum(each.numel() * each.element_size() for each in model.parameters())
    counted = count(config)
    assert counted.blocks + 2 * (counted.modulation + counted.rest) == pytest.approx(stored, rel=0.01)


@pytest.mark.parametrize("name", ["qwen-image", "flux"])
def test_counts_equal_those_of_tiny_checkpoints_on_disk(name: str):
    folder = make(name)
    kind = {"qwen-image": "QwenImagePipeline", "flux": "FluxPipeline"}[name]
    pipe = getattr(diffusers(), kind).from_pretrained(folder, local_files_only=True)
    counted = checkpoint(str(folder)).counts()
    for part in ("transformer", "text_encoder"):
        assert counted[part].total == parameters(getattr(pipe, part)), part


def comes_by_layers(model: Any) -> bool:
    hooked = [getattr(module, "_diffusers_hook", None) for module in model.modules()]
    return any(hook and hook.get_hook("group_offloading") for hook in hooked)


@pytest.mark.parametrize("offload", ["encoders", "stream"])
@pytest.mark.parametrize(("family", "name"), [("qwen-image", "qwen-image"), ("flux", "flux")])
def test_offloaded_parts_draw_the_same_picture(
    opened: Open, context: RecordingContext, offload: str, family: str, name: str
):
    plain = {"family": family, "path": make(name)}
    (here,) = rendered(opened(generate=plain), asked(seeds=(11,)), context)
    editor = opened(generate=plain | {"offload": offload})
    (away,) = rendered(editor, asked(seeds=(11,)), context)
    assert apart(here, away) == 0
    pipe = pipelines_of(editor)["generate"].pipe
    moved = {part for part in ("vae", "transformer", "text_encoder") if comes_by_layers(getattr(pipe, part))}
    assert moved == ({"text_encoder"} if offload == "encoders" else {"text_encoder", "transformer"})


@pytest.mark.parametrize("offload", ["none", "encoders", "stream"])
def test_eight_bits_draw_nearly_the_same_picture(opened: Open, context: RecordingContext, offload: str):
    plain = {"family": "qwen-image", "path": make("qwen-image")}
    (full,) = rendered(opened(generate=plain), asked(seeds=(11,)), context)
    editor = opened(generate=plain | {"quantize": "fp8", "offload": offload})
    (rounded,) = rendered(editor, asked(seeds=(11,)), context)
    assert 0 < apart(full, rounded) < 64
    assert (full.astype(float) - rounded).std() < 8
    weight = pipelines_of(editor)["generate"].pipe.transformer.transformer_blocks[0].attn.to_q.weight
    assert weight.dtype == torch().float8_e4m3fn
