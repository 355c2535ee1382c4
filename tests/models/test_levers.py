"""Every pair of compile, quantize, cache and offload works on a tiny model, prompt after prompt, or is refused."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.models.conftest import apart, asked, make, noise, pipelines_of, rendered, stored
from tests.support.contexts import RecordingContext
from worker.diffusion.canvas import WHOLE
from worker.diffusion.config import PipelineConfig
from worker.diffusion.editor import DiffusersEditor
from worker.diffusion.fp8 import fp8_linear
from worker.diffusion.loading import torch

Open = Callable[..., DiffusersEditor]
CACHE = {"kind": "first-block", "options": {"threshold": 0.1}}
REFUSED: tuple[dict[str, Any], ...] = (
    {"compile": True, "quantize": "fp8"},
    {"compile": True, "cache": CACHE},
    {"compile": True, "offload": "stream"},
)
WORKING: tuple[dict[str, Any], ...] = (
    {"compile": True},
    {"compile": True, "quantize": "fp8-row"},
    {"compile": True, "offload": "encoders"},
    {"compile": True, "offload": "model"},
    {"quantize": "fp8", "cache": CACHE},
    {"quantize": "fp8-row", "cache": CACHE},
    {"quantize": "fp8-row", "offload": "stream"},
    {"quantize": "fp8-row", "offload": "model"},
    {"cache": CACHE, "offload": "stream"},
)
LENGTHS = (1, 3, 4, 6, 9, 12, 15, 20, 26, 33, 41, 50)


@pytest.fixture
def traced() -> Iterator[None]:
    """Compiled code is traced as for a GPU and run as it is: what fails is the tracing."""
    torch().compiler.reset()
    torch().compiler.set_default_backend("eager")
    yield
    torch().compiler.set_default_backend(None)
    torch().compiler.reset()


def drawer(family: str = "qwen-image", **more: Any) -> dict[str, Any]:
    return {"family": family, "path": make(family), **more}


def named(levers: dict[str, Any]) -> str:
    return "-".join(name if value is True or name == "cache" else value for name, value in levers.items())


@pytest.mark.parametrize("levers", REFUSED, ids=named)
def test_pairs_that_cannot_work_are_refused_with_a_sentence(levers: dict[str, Any]):
    with pytest.raises(ValidationError, match=r"`compile`.*`?(quantize|cache|offload)"):
        PipelineConfig.model_validate({"family": "flux", "path": "x", **levers})


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("levers", WORKING, ids=named)
def test_pairs_work_for_prompts_of_any_length(opened: Open, context: RecordingContext, levers: dict[str, Any]):
    editor = opened(generate=drawer(**levers, final={"steps": 2, "cfg": 1}))
    for n, length in enumerate(LENGTHS):
        made = rendered(
            editor, asked(seeds=(1, 2)[: 1 + n % 2], size=(64 + 16 * (n % 3), 64), words="fox " * length), context
        )
        assert made[0].std() > 0
    assert pipelines_of(editor)["generate"].skipped == ()


@pytest.mark.usefixtures("traced")
def test_a_compiled_pipeline_is_warm_when_the_first_job_comes(opened: Open, context: RecordingContext):
    """What it compiles at load is enough for other prompts and canvases, with its draft's LoRA and without."""
    draft = {"steps": 2, "cfg": 1, "loras": {"fast": 1.0}}
    loras = {"fast": str(make("lora") / "lora.safetensors")}
    editor = opened(generate=drawer(compile=True, quantize="fp8-row", loras=loras, draft=draft))
    assert pipelines_of(editor)["generate"]
    with torch().compiler.set_stance("fail_on_recompile"):
        for n, length in enumerate(LENGTHS):
            for model in ("tiny", "tiny.draft"):
                rendered(
                    editor, asked(seeds=(1, 2, 3, 4)[: 1 + 3 * (n % 2)], words="fox " * length, model=model), context
                )


@pytest.mark.parametrize(("family", "wide"), [("qwen-image", r"_mod|norm"), ("flux", r"norm")])
@pytest.mark.parametrize("offload", ["none", "encoders", "stream"])
def test_fp8_rows_draw_nearly_the_same_and_keep_modulation_wide(
    opened: Open, context: RecordingContext, family: str, wide: str, offload: str
):
    import re

    (full,) = rendered(opened(generate=drawer(family)), asked(seeds=(11,)), context)
    editor = opened(generate=drawer(family, quantize="fp8-row", offload=offload))
    (rounded,) = rendered(editor, asked(seeds=(11,)), context)
    assert 0 < apart(full, rounded) < 64
    assert (full.astype(float) - rounded).std() < 8
    linears = {
        name: isinstance(module, fp8_linear())
        for name, module in pipelines_of(editor)["generate"].pipe.transformer.named_modules()
        if isinstance(module, torch().nn.Linear) and "blocks." in name
    }
    assert {name for name, small in linears.items() if not small} == {name for name in linears if re.search(wide, name)}
    assert sum(linears.values()) > 10


def test_rows_are_scaled_each_for_itself():
    """A row a thousand times smaller keeps as many digits; a cast without scales would lose it."""
    t = torch()
    t.manual_seed(0)
    wide = t.nn.Linear(64, 32)
    wide.weight.data[:16] *= 1e-3
    x = t.randn(5, 64)
    with t.no_grad():
        exact, made = x @ wide.weight.t(), fp8_linear()(wide)(x) - wide.bias
    for rows in (slice(0, 16), slice(16, 32)):
        assert ((made - exact)[:, rows].norm() / exact[:, rows].norm()).item() < 0.05


def test_a_lora_lies_over_fp8_rows(opened: Open, context: RecordingContext):
    loras = {"fast": str(make("lora") / "lora.safetensors")}
    draft = {"steps": 2, "cfg": 1, "loras": {"fast": 1.0}}
    plain = rendered(opened(generate=drawer(loras=loras, draft=draft)), asked(seeds=(1,), model="tiny.draft"), context)
    without = rendered(opened(generate=drawer(final=draft | {"loras": {}})), asked(seeds=(1,)), context)
    editor = opened(generate=drawer(quantize="fp8-row", loras=loras, draft=draft))
    (made,) = rendered(editor, asked(seeds=(1,), model="tiny.draft"), context)
    assert np.abs(made - plain[0].astype(float)).mean() < np.abs(made - without[0].astype(float)).mean()
    layer = pipelines_of(editor)["generate"].pipe.transformer.transformer_blocks[0].attn.to_q
    assert layer.base_layer.weight.dtype == torch().float8_e4m3fn
    assert layer.lora_A["fast"].weight.dtype == torch().float32


# --- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("set_by_the_operator", "found"),
    [({}, "expandable_segments:True"), ({"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:64"}, "max_split_size_mb:64")],
)
def test_blocks_of_memory_grow_unless_the_operator_says_otherwise(set_by_the_operator: dict[str, str], found: str):
    code = (
        "from worker.diffusion.loading import torch; import os; f = torch()._C._accelerator_getAllocatorSettings(); "
        "print(os.environ.get('PYTORCH_ALLOC_CONF'), f)"
    )
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTORCH_")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=plain | set_by_the_operator, capture_output=True, text=True, check=True
    )
    assert found in done.stdout
    assert ("expandable" in done.stdout) is not bool(set_by_the_operator)


@pytest.mark.parametrize("family", ["qwen-image", "flux"])
@pytest.mark.parametrize(("size", "tiled"), [((1024, 1024), False), ((1280, 1024), True)])
def test_large_pictures_are_decoded_in_tiles(
    opened: Open, context: RecordingContext, family: str, size: tuple[int, int], tiled: bool
):
    assert (size[0] * size[1] > WHOLE) is tiled
    editor = opened(generate=drawer(family, final={"steps": 2, "cfg": 1}))
    loaded = pipelines_of(editor)["generate"]
    sides: list[int] = []
    loaded.pipe.vae.decoder.register_forward_pre_hook(
        lambda _, given: sides.append(given[0].shape[-1] * loaded.grid // 2)
    )
    (made,) = rendered(editor, asked(seeds=(1,), size=size), context)
    assert made.shape == (size[1], size[0], 3)
    assert (len(sides) > 1) is tiled
    assert max(sides) <= 1024
    rendered(editor, asked(seeds=(1,)), context)
    assert loaded.pipe.vae.use_tiling is False


@pytest.mark.parametrize("offload", ["none", "encoders", "stream"])
def test_the_same_text_encoder_is_there_once(opened: Open, context: RecordingContext, tmp_path: Path, offload: str):
    """Of two checkpoints; one whose bytes differ is another."""
    import shutil

    how = {"offload": offload, "final": {"steps": 2, "cfg": 1}}
    changing = {"family": "qwen-image-edit-plus", "path": make("qwen-image-edit"), **how}
    base = stored(context, noise((64, 64)))
    alone = rendered(opened(edit=changing), asked(seeds=(1,), base=base), context)
    editor = opened(generate=drawer(**how), edit=changing)
    rendered(editor, asked(seeds=(1,)), context)
    together = rendered(editor, asked(seeds=(1,), base=base), context)
    pipelines = pipelines_of(editor)
    assert pipelines["edit"].pipe.text_encoder is pipelines["generate"].pipe.text_encoder
    assert pipelines["edit"].pipe.transformer is not pipelines["generate"].pipe.transformer
    assert apart(alone[0], together[0]) == 0
    other = tmp_path / "other"
    shutil.copytree(make("qwen-image"), other)
    (file,) = (other / "text_encoder").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\0")
    editor = opened(generate=drawer(**how) | {"path": other}, edit=changing)
    pipelines = pipelines_of(editor)
    assert pipelines["edit"].pipe.text_encoder is not pipelines["generate"].pipe.text_encoder


@pytest.mark.parametrize(("family", "encoder"), [("qwen-image", "text_encoder"), ("flux", "text_encoder_2")])
def test_the_empty_prompt_is_encoded_once(opened: Open, context: RecordingContext, family: str, encoder: str):
    guided = {"steps": 2, "cfg": 2.0}
    editor = opened(generate=drawer(family, final=guided))
    calls: list[int] = []
    getattr(pipelines_of(editor)["generate"].pipe, encoder).register_forward_hook(lambda *_: calls.append(1))
    first = rendered(editor, asked(seeds=(1,)), context)
    rendered(editor, asked(seeds=(1,), words="a hare"), context)
    again = rendered(editor, asked(seeds=(1,)), context)
    assert len(calls) == 4  # three prompts and one absence
    assert apart(first[0], again[0]) == 0
