"""What the settings of the diffusers editor accept, refuse and mean. No torch, no pipeline."""

from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from director.intake import loop_settings
from worker.diffusion.config import EditorsConfig, PipelineConfig
from worker.diffusion.editor import open_editor
from worker.diffusion.families import FAMILIES
from worker.diffusion.loading import pull_levers
from worker.profiles.budget import LARGEST

EDIT = {"family": "qwen-image-edit-plus", "path": "/models/edit"}
PIPELINES: dict[str, Any] = {
    "draw": {"family": "qwen-image", "path": "/models/draw"},
    "krea": {"family": "flux", "path": "/models/krea", "draft": {"steps": 8}},
    "edit": EDIT,
    "inpaint": EDIT | {"family": "qwen-image-edit-inpaint"},
}


def configs(**editors: dict[str, Any]) -> EditorsConfig:
    return EditorsConfig.model_validate({"pipelines": PIPELINES, "editors": editors})


def test_an_editor_may_mix_families_and_a_draft_is_a_model_of_its_own():
    both = {"edit": "edit", "inpaint": "inpaint"}
    made = configs(qwen={"generate": "draw", **both}, krea={"generate": "krea", **both})
    assert made.models() == ("qwen", "krea", "krea.draft")


def test_a_job_without_a_size_gets_what_the_family_draws_best():
    made = configs(qwen={"generate": "draw", "edit": "edit"}, krea={"generate": "krea"}, retouch={"edit": "edit"})
    assert [made.native(model) for model in ("qwen", "krea", "krea.draft", "retouch", "who")] == [
        1328,
        1024,
        1024,
        512,
        512,
    ]
    small = PipelineConfig.model_validate(PIPELINES["draw"] | {"side": 768})
    assert small.native == 768
    with pytest.raises(ValidationError, match="multiple of 16: the nearest are 992 and 1008"):
        PipelineConfig.model_validate(PIPELINES["draw"] | {"side": 1000})


@pytest.mark.parametrize("family", FAMILIES)
def test_every_native_size_is_one_that_a_job_may_ask_for_and_the_budget_holds(family: str):
    side = FAMILIES[family].side
    assert loop_settings({"width": side, "height": side}).width == side
    assert side * side <= LARGEST


@pytest.mark.parametrize(
    ("editor", "message"),
    [
        ({"generate": "dream"}, "no such pipeline"),
        ({"generate": "edit"}, "qwen-image-edit-plus does not generate"),
        ({"edit": "inpaint"}, "does not edit"),
        ({"draw": "draw"}, "Extra inputs"),
    ],
)
def test_editors_that_cannot_work_are_refused(editor: dict[str, Any], message: str):
    with pytest.raises(ValidationError, match=message):
        configs(tiny=editor)


def test_the_names_of_drafts_are_taken():
    with pytest.raises(ValidationError, match="names that end in"):
        configs(**{"qwen.draft": {"generate": "draw"}})


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ({"family": "dall-e", "path": "x"}, "the families are qwen-image,"),
        ({"family": "flux", "path": "x", "draft": {"loras": {"fast": 1.0}}}, "there is no LoRA 'fast'"),
        ({"family": "flux", "path": "x", "cache": {"kind": "pyramid"}}, "first-block"),
        ({"family": "flux", "path": ""}, "path"),
        ({"family": "flux", "path": "x", "cache": {"kind": "mag"}}, "`mag` needs `mag_ratios`"),
        (EDIT | {"compile": True, "quantize": "fp8"}, "use fp8-row"),
        (EDIT | {"compile": True, "cache": {"kind": "first-block"}}, "exclude each other"),
        (EDIT | {"compile": True, "offload": "stream"}, "use encoders, model or none"),
    ],
)
def test_pipelines_that_cannot_work_are_refused(pipeline: dict[str, Any], message: str):
    with pytest.raises(ValidationError, match=message):
        PipelineConfig.model_validate(pipeline)


def test_opening_loads_nothing():
    """CUDA does not survive the fork of the pool's child: what opens in the parent must not touch it."""
    with ExitStack() as resources:
        assert open_editor(configs(qwen={"generate": "draw"}), resources)


def test_levers_that_a_model_lacks_are_left_out_and_named():
    pulled: list[str] = []
    vae = SimpleNamespace(enable_slicing=lambda: pulled.append("slicing"))
    transformer = SimpleNamespace(
        compile_repeated_blocks=lambda **_: pulled.append("compile"),
        set_attention_backend=lambda name: pulled.append(name),
    )
    config = PipelineConfig.model_validate(EDIT | {"compile": True, "attention": "flash", "vae_tiling": True})
    assert pull_levers(config, SimpleNamespace(transformer=transformer, vae=vae)) == ("compile", "vae_tiling")
    assert pulled == ["flash", "slicing"]
