"""LoRAs on real pipelines: switched on by a quality, and beside weights in 8 bits."""

from collections.abc import Callable

import pytest

from tests.models.conftest import apart, asked, make, pipelines_of, rendered
from tests.models.test_editors import SAME, qwen
from tests.support.contexts import RecordingContext
from worker.diffusion.editor import DiffusersEditor
from worker.diffusion.loading import torch

Open = Callable[..., DiffusersEditor]


def test_a_lora_is_on_in_drafts_only_and_leaves_no_trace(opened: Open, context: RecordingContext):
    file = make("lora") / "lora.safetensors"
    without = rendered(opened(generate=qwen()), asked(), context)
    lightning = {"steps": 2, "cfg": 1, "loras": {"lightning": 1.0}, "scheduler": {"shift_terminal": None}}
    editor = opened(generate=qwen(loras={"lightning": str(file)}, draft=lightning))
    draft = rendered(editor, asked(model="tiny.draft"), context)
    final = rendered(editor, asked(), context)
    again = rendered(editor, asked(model="tiny.draft"), context)
    assert all((a == b).all() for a, b in zip(without, final, strict=True))
    assert all((a == b).all() for a, b in zip(draft, again, strict=True))
    plain_draft = rendered(opened(generate=qwen(final={**lightning, "loras": {}})), asked(), context)
    assert apart(plain_draft[0], draft[0]) > SAME


@pytest.mark.parametrize("offload", ["none", "encoders", "stream"])
def test_a_lora_on_eight_bits_stays_wide(opened: Open, context: RecordingContext, offload: str):
    lightning = {"steps": 2, "cfg": 1, "loras": {"lightning": 1.0}, "scheduler": {"shift_terminal": None}}
    eight_bits = {"quantize": "fp8", "offload": offload}
    file = make("lora") / "lora.safetensors"
    without = rendered(opened(generate=qwen(**eight_bits)), asked(), context)
    editor = opened(generate=qwen(loras={"lightning": str(file)}, draft=lightning, **eight_bits))
    final = rendered(editor, asked(), context)
    draft = rendered(editor, asked(model="tiny.draft"), context)
    assert all((a == b).all() for a, b in zip(without, final, strict=True))
    assert draft[0].std() > 0
    query = pipelines_of(editor)["generate"].pipe.transformer.transformer_blocks[0].attn.to_q
    kinds = {name: weight.dtype for name, weight in query.named_parameters()}
    assert kinds["base_layer.weight"] == torch().float8_e4m3fn
    assert kinds["lora_A.lightning.weight"] == torch().float32
