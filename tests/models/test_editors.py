"""The editor over real diffusers pipelines from disk. Weights are random: only equalities are asserted, never looks."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from director.errors import BriefError, Cancelled
from director.types import Region
from tests.models.conftest import apart, asked, make, noise, pipelines_of, recording, rendered, stored
from tests.support.contexts import RecordingContext
from worker.diffusion.editor import DiffusersEditor
from worker.diffusion.loading import diffusers, torch

Open = Callable[..., DiffusersEditor]
SEEDS = (11, 22, 33, 44)
SAME = 1
"""Batched and separate sums differ in the last bits: at most one of 255 after rounding."""
REGION = Region(x0=0.25, y0=0.3, x1=0.7, y1=0.8)


def qwen(**more: Any) -> dict[str, Any]:
    return {"family": "qwen-image", "path": make("qwen-image"), **more}


def edit(**more: Any) -> dict[str, Any]:
    return {"family": "qwen-image-edit-plus", "path": make("qwen-image-edit"), **more}


def inpaint(**more: Any) -> dict[str, Any]:
    return {"family": "qwen-image-edit-inpaint", "path": make("qwen-image-edit"), **more}


def flux(**more: Any) -> dict[str, Any]:
    return {"family": "flux", "path": make("flux"), **more}


def plain(
    kind: str, checkpoint: str, seed: int, watched: list[dict[str, Any]] | None = None, **arguments: Any
) -> np.ndarray[Any, Any]:
    """One picture as anybody would ask diffusers for it: words in, nothing of ours."""
    pipe = getattr(diffusers(), kind).from_pretrained(make(checkpoint), local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    if watched is not None:
        watch(pipe, watched)
    given = {"num_inference_steps": 2, "generator": torch().Generator("cpu").manual_seed(seed), "output_type": "np"}
    return np.rint(pipe(**arguments, **given).images[0] * 255).astype(np.uint8)


def watch(pipe: Any, into: list[dict[str, Any]]) -> None:
    """Notes what the transformer is given at each call."""
    pipe.transformer.register_forward_pre_hook(lambda _, __, given: into.append(dict(given)), with_kwargs=True)


GUIDED = {"prompt": "a red fox", "negative_prompt": " ", "true_cfg_scale": 4.0, "max_sequence_length": 1024}


# --- what comes out is what diffusers gives -----------------------------------------------------


def test_text_to_image_is_what_plain_calls_give(opened: Open, context: RecordingContext):
    made = rendered(opened(generate=qwen()), asked(), context)
    for seed, picture in zip(SEEDS, made, strict=True):
        assert apart(picture, plain("QwenImagePipeline", "qwen-image", seed, **GUIDED, width=64, height=64)) <= SAME
    assert context.counts["calls_of_4"] == 1
    assert apart(made[0], made[1]) > 20


def test_flux_is_a_line_of_settings(opened: Open, context: RecordingContext):
    made = rendered(opened(generate=flux()), asked(), context)
    for seed, picture in zip(SEEDS[:2], made, strict=False):
        alone = plain("FluxPipeline", "flux", seed, prompt="a red fox", guidance_scale=3.5, width=64, height=64)
        assert apart(picture, alone) <= SAME
    assert context.counts["calls_of_4"] == 1


def test_an_edit_is_what_plain_calls_give(opened: Open, context: RecordingContext):
    source = noise((1024, 1024))
    made = rendered(opened(edit=edit()), asked(seeds=SEEDS[:2], base=stored(context, source)), context)
    alone = plain("QwenImageEditPlusPipeline", "qwen-image-edit", SEEDS[1], **GUIDED, image=[Image.fromarray(source)])
    assert apart(made[1], alone) <= SAME
    assert context.counts["calls_of_2"] == 1


def test_an_inpainting_goes_one_by_one_and_is_what_plain_calls_give(opened: Open, context: RecordingContext):
    source = noise((1024, 1024))
    whole = Region(x0=0, y0=0, x1=1, y1=1)
    request = asked(seeds=SEEDS[:2], base=stored(context, source), region=whole)
    made = rendered(opened(inpaint=inpaint()), request, context)
    assert context.counts["calls_of_1"] == 2
    alone = plain(
        "QwenImageEditInpaintPipeline", "qwen-image-edit", SEEDS[1], **GUIDED,
        image=Image.fromarray(source), mask_image=Image.new("L", (1024, 1024), 255), strength=1.0,
    )  # fmt: skip
    assert apart(made[1], alone) <= SAME


def test_a_batched_inpainting_would_not_be_what_separate_calls_give():
    """Why the table says so: only the first generator reaches the VAE. When this fails, batches are worth having."""
    pipe = diffusers().QwenImageEditInpaintPipeline.from_pretrained(make("qwen-image-edit"), local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    source = Image.fromarray(noise((1024, 1024)))
    mask = Image.new("L", (1024, 1024), 255)
    given = {
        "prompt": "a red fox",
        "image": source,
        "mask_image": mask,
        "true_cfg_scale": 1.0,
        "num_inference_steps": 2,
    }
    given |= {"strength": 1.0, "output_type": "latent"}

    def call(*seeds: int) -> Any:
        generators = [torch().Generator("cpu").manual_seed(seed) for seed in seeds]
        return pipe(**given, num_images_per_prompt=len(seeds), generator=generators).images

    assert (call(11, 22)[1] - call(22)[0]).abs().max() > 0.01


@pytest.mark.parametrize("task", ["generate", "edit", "inpaint", "flux"])
def test_the_transformer_is_given_what_plain_calls_give_it(opened: Open, context: RecordingContext, task: str):
    """Pixels of random weights could hide an instruction or a picture that was encoded in another way."""
    source, mask = noise((1024, 1024)), np.zeros((1024, 1024), np.uint8)
    mask[256 - 32 : 768 + 32, 256 - 32 : 768 + 32] = 255  # the region, grown by one token of 32 pixels
    picture = {"image": Image.fromarray(source)}
    asks: dict[str, tuple[Any, str, str, dict[str, Any]]] = {
        "generate": (qwen, "QwenImagePipeline", "qwen-image", GUIDED | {"width": 64, "height": 64}),
        "edit": (edit, "QwenImageEditPlusPipeline", "qwen-image-edit", GUIDED | {"image": [picture["image"]]}),
        "inpaint": (
            inpaint, "QwenImageEditInpaintPipeline", "qwen-image-edit",
            GUIDED | picture | {"mask_image": Image.fromarray(mask), "strength": 1.0},
        ),
        "flux": (flux, "FluxPipeline", "flux", {"prompt": "a red fox", "width": 64, "height": 64}),
    }  # fmt: skip
    family, kind, checkpoint, arguments = asks[task]
    role = "generate" if task == "flux" else task
    editor = opened(**{role: family()})
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    watch(pipelines_of(editor)[role].pipe, ours)
    region = Region(x0=0.25, y0=0.25, x1=0.75, y1=0.75) if task == "inpaint" else None
    base = None if role == "generate" else stored(context, source)
    rendered(editor, asked(seeds=(7,), base=base, region=region), context)
    plain(kind, checkpoint, 7, theirs, **arguments)
    assert len(ours) == len(theirs) == (2 if task == "flux" else 4)
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            same = torch().equal if torch().is_tensor(one[name]) else lambda a, b: a == b
            assert same(one[name], other[name]), name


@pytest.mark.parametrize("max_batch", [1, 3])
def test_batches_of_any_size_give_the_same(opened: Open, context: RecordingContext, max_batch: int):
    together = rendered(opened(generate=qwen()), asked(), context)
    split = rendered(opened(generate=qwen(max_batch=max_batch)), asked(), context)
    assert max(apart(a, b) for a, b in zip(together, split, strict=True)) <= SAME
    assert context.counts["calls_of_1"] == (4 if max_batch == 1 else 1)


def test_again_is_the_same_bytes(opened: Open, context: RecordingContext):
    editor = opened(generate=qwen())
    assert editor.render(asked(), context) == editor.render(asked(), context)


def test_the_prompt_is_encoded_once_for_all_seeds(opened: Open, context: RecordingContext):
    editor = opened(generate=qwen(max_batch=1))
    calls: list[int] = []
    pipelines_of(editor)["generate"].pipe.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    rendered(editor, asked(), context)
    assert len(calls) == 2  # the prompt and the negative one


def test_guidance_works(opened: Open, context: RecordingContext):
    """`true_cfg_scale` is silently off without a negative prompt: the editor always gives one."""
    with_it, without = (
        rendered(opened(generate=qwen(final={"steps": 2, "cfg": cfg})), asked(seeds=(1,)), context)[0]
        for cfg in (4.0, 1.0)
    )
    assert apart(with_it, without) > SAME


# --- masks and canvases -------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["inpaint", "edit"])
@pytest.mark.parametrize("size", [(96, 64), (200, 150), (1024, 1024)])
def test_outside_the_mask_every_bit_stays(opened: Open, context: RecordingContext, task: str, size: tuple[int, int]):
    source = noise(size)
    config = {"inpaint": inpaint, "edit": edit}[task](final={"steps": 2, "cfg": 1})
    request = asked(seeds=(5,), base=stored(context, source), region=REGION)
    (made,) = rendered(opened(**{task: config}), request, context)
    inside = np.zeros(source.shape[:2], bool)
    x0, y0, x1, y1 = REGION.x0 * size[0], REGION.y0 * size[1], REGION.x1 * size[0], REGION.y1 * size[1]
    inside[int(np.ceil(y0)) : int(y1), int(np.ceil(x0)) : int(x1)] = True
    assert (made[~inside] == source[~inside]).all()
    assert (made[inside] != source[inside]).mean() > 0.9


@pytest.mark.parametrize("size", [(64, 64), (72, 100), (130, 66)])
def test_a_picture_has_the_size_asked_for(opened: Open, context: RecordingContext, size: tuple[int, int]):
    (made,) = rendered(opened(generate=qwen()), asked(seeds=(1,), size=size), context)
    assert made.shape == (size[1], size[0], 3)


@pytest.mark.parametrize("family", ["qwen-image", "flux"])
def test_a_picture_without_a_size_has_the_models_own(opened: Open, context: RecordingContext, family: str):
    drawing = {"family": family, "path": make(family), "final": {"steps": 2, "cfg": 1}}
    request = asked(seeds=(1,)).model_copy(update={"width": None, "height": None})
    (made,) = rendered(opened(generate=drawing | {"side": 96}), request, context)
    assert made.shape == (96, 96, 3)
    base = stored(context, noise((72, 100)))
    onto = asked(seeds=(1,), base=base).model_copy(update={"width": None, "height": None})
    (changed,) = rendered(opened(edit=edit(final={"steps": 2, "cfg": 1})), onto, context)
    assert changed.shape == (100, 72, 3)


@pytest.mark.parametrize("size", [(1024, 1024), (1344, 768), (1000, 700), (640, 480), (333, 900), (2048, 1100)])
def test_the_edit_pipelines_leave_our_canvas_as_it_is(size: tuple[int, int]):
    from importlib import import_module

    diffusers()
    ratio = (frame := _edit_frame(size)).canvas[0] / frame.canvas[1]
    for module in ("edit_plus", "edit_inpaint"):
        theirs = import_module(f"diffusers.pipelines.qwenimage.pipeline_qwenimage_{module}")
        assert theirs.calculate_dimensions(1024 * 1024, ratio)[:2] == frame.canvas


def _edit_frame(size: tuple[int, int]) -> Any:
    from worker.diffusion.canvas import on_edit_canvas

    return on_edit_canvas(size)


def test_a_padded_picture_is_a_part_of_the_canvas_that_was_drawn(opened: Open, context: RecordingContext):
    (made,) = rendered(opened(generate=qwen()), asked(seeds=(1,), size=(72, 100)), context)
    drawn = plain("QwenImagePipeline", "qwen-image", 1, **GUIDED, width=80, height=112)
    assert apart(made, drawn[:100, :72]) <= SAME


def test_a_draft_of_an_edit_is_drawn_at_half_the_sides(opened: Open, context: RecordingContext):
    editor = opened(edit=edit(draft={"steps": 2, "cfg": 1, "area": 512 * 512}))
    request = asked(seeds=(1,), base=stored(context, noise((300, 300))), model="tiny.draft")
    seen: list[int] = []
    transformer = pipelines_of(editor)["edit"].pipe.transformer
    transformer.register_forward_pre_hook(
        lambda _, __, given: seen.append(given["hidden_states"].shape[1]), with_kwargs=True
    )
    assert rendered(editor, request, context)[0].shape == (300, 300, 3)
    assert set(seen) == {16 * 16 + 32 * 32}  # tokens of 32 x 32 pixels: the draft's and the reference's


def test_an_edit_keeps_the_size_of_its_base(opened: Open, context: RecordingContext):
    base = stored(context, noise((250, 170)))
    (made,) = rendered(opened(edit=edit(final={"steps": 2, "cfg": 1})), asked(seeds=(1,), base=base), context)
    assert made.shape == (170, 250, 3)


# --- progress, cancel, memory -------------------------------------------------------------------


def test_progress_is_told_each_denoising_step(opened: Open, context: RecordingContext):
    rendered(opened(generate=qwen(max_batch=2, final={"steps": 3})), asked(), context)
    told = [(done, total) for message, done, total in context.said if "denoises" in message]
    assert told == [(n, 12) for n in (2, 4, 6, 8, 10, 12)]


@pytest.mark.parametrize("cache", [None, {"kind": "first-block", "options": {"threshold": 0.2}}])
def test_a_cancel_ends_within_a_step_and_leaves_nothing_behind(opened: Open, tmp_path: Path, cache: Any):
    editor = opened(generate=qwen(cache=cache, final={"steps": 6}))
    before = rendered(editor, asked(), recording(tmp_path))
    context = recording(tmp_path, cancel_at=4)  # the first check is before the work, then one a step
    with pytest.raises(Cancelled):
        editor.render(asked(), context)
    assert [done for message, done, _ in context.said if "denoises" in message] == [4, 8]
    after = rendered(editor, asked(), recording(tmp_path))
    assert all((a == b).all() for a, b in zip(before, after, strict=True))


def full_above(limit: int) -> Callable[[Any, Any, Any], None]:
    """A hook that raises what a GPU would for more than `limit` pictures."""

    def hook(_: Any, __: Any, given: Any) -> None:
        if len(given["hidden_states"]) > limit:
            raise torch().OutOfMemoryError("CUDA out of memory")

    return hook


def test_out_of_memory_halves_the_batch(opened: Open, context: RecordingContext):
    editor = opened(generate=qwen())
    whole = rendered(editor, asked(), context)
    pipe = pipelines_of(editor)["generate"].pipe
    pipe.transformer.register_forward_pre_hook(full_above(1), with_kwargs=True)
    context.counts.clear()
    split = rendered(editor, asked(), context)
    assert max(apart(a, b) for a, b in zip(whole, split, strict=True)) <= SAME
    assert context.counts["out_of_memory"] == 2
    assert context.counts["calls_of_1"] == 4
    assert context.counts["prompts_encoded"] == 1
    context.counts.clear()
    rendered(editor, asked(), context)
    assert "out_of_memory" not in context.counts  # it remembers what fits


def test_no_memory_for_one_picture_is_said(opened: Open, context: RecordingContext):
    editor = opened(generate=qwen())
    pipe = pipelines_of(editor)["generate"].pipe
    pipe.transformer.register_forward_pre_hook(full_above(0), with_kwargs=True)
    with pytest.raises(MemoryError, match="lower `area`"):
        editor.render(asked(), context)


def test_another_fault_is_not_taken_for_memory(opened: Open, context: RecordingContext):
    editor = opened(generate=qwen())

    def broken(*_: Any) -> None:
        raise RuntimeError("an illegal instruction")

    pipelines_of(editor)["generate"].pipe.transformer.register_forward_pre_hook(broken)
    with pytest.raises(RuntimeError, match="illegal"):
        editor.render(asked(), context)


def test_pixels_that_are_no_numbers_are_refused(opened: Open, context: RecordingContext):
    editor = opened(generate=qwen())
    pipelines_of(editor)["generate"].pipe.transformer.proj_out.bias.data.fill_(float("nan"))
    with pytest.raises(ValueError, match="no numbers"):
        editor.render(asked(), context)


# --- long prompts -------------------------------------------------------------------------------

LONG = "fox " * 1500 + "and last of all a tiny golden bell"


@pytest.mark.parametrize(("family", "limit"), [(qwen, 1024), (flux, 512)])
def test_a_long_prompt_is_refused_and_says_what_would_be_cut(
    opened: Open, context: RecordingContext, family: Any, limit: int
):
    with pytest.raises(BriefError, match=f"reads {limit:d}") as refused:
        opened(generate=family()).render(asked(words=LONG), context)
    assert refused.value.field == "brief.text"
    assert not any("denoises" in message for message, *_ in context.said)


def test_a_long_prompt_may_be_cut_and_the_loss_is_kept(opened: Open, context: RecordingContext):
    """Cut by the editor, it is the same picture as of the part that was read: the pipeline cuts no more."""
    editor = opened(generate=qwen(long_prompt="cut"))
    (made,) = rendered(editor, asked(seeds=(1,), words=LONG), context)
    (lost,) = (data for name, data in context.kept if name == "prompt_cut")
    assert lost.endswith(b"a tiny golden bell")
    read = LONG[: -len(lost.decode())]
    assert apart(rendered(editor, asked(seeds=(1,), words=read), context)[0], made) == 0
    assert context.counts["prompt_tokens_cut"] > 0
    other = LONG[: -len(lost.decode())][:-6] + " hare "
    assert apart(rendered(editor, asked(seeds=(1,), words=other), context)[0], made) > 0


def test_a_prompt_at_the_limit_is_read_whole(opened: Open, context: RecordingContext):
    editor = opened(generate=qwen())
    pipe = pipelines_of(editor)["generate"].pipe
    behind = len(pipe.tokenizer(pipe.prompt_template_encode.split("{}")[1])["input_ids"])
    words = " image" * (1024 - behind)
    embeds, _ = pipe.encode_prompt(prompt=words)
    assert embeds.shape[1] == 1024
    editor.render(asked(seeds=(1,), words=words), context)
    with pytest.raises(BriefError, match="lose the last 1,"):
        editor.render(asked(seeds=(1,), words=words + " image"), context)


@pytest.mark.parametrize("task", ["generate", "edit", "inpaint"])
def test_control_tokens_in_an_instruction_are_only_text(opened: Open, context: RecordingContext, task: str):
    """The spelling of a picture's token would ask the encoder for a picture that is not there."""
    family = {"generate": qwen, "edit": edit, "inpaint": inpaint}[task](final={"steps": 2, "cfg": 1})
    base = None if task == "generate" else stored(context, noise((64, 64)))
    request = asked(seeds=(1,), base=base, region=REGION if task == "inpaint" else None, words="a <|image_pad|> fox")
    editor = opened(**{task: family})
    pipe = pipelines_of(editor)[task].pipe
    read: list[Any] = []
    pipe.text_encoder.register_forward_pre_hook(lambda _, __, given: read.append(given["input_ids"]), with_kwargs=True)
    editor.render(request, context)
    pad = pipe.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    spans = [list(ids[0]) for ids in read]
    runs = [sum(a != pad and b == pad for a, b in zip([0, *ids], ids, strict=False)) for ids in spans]
    assert runs == [0 if task == "generate" else 1]


# --- settings -----------------------------------------------------------------------------------


def test_a_draft_works_on_fewer_pixels_and_has_the_same_size(opened: Open, context: RecordingContext):
    editor = opened(generate=qwen(draft={"steps": 2, "area": 64 * 64}))
    seen: list[int] = []
    transformer = pipelines_of(editor)["generate"].pipe.transformer
    transformer.register_forward_pre_hook(
        lambda _, __, given: seen.append(given["hidden_states"].shape[1]), with_kwargs=True
    )
    for model in ("tiny", "tiny.draft"):
        (made,) = rendered(editor, asked(seeds=(1,), size=(128, 128), model=model), context)
        assert made.shape == (128, 128, 3)
    assert set(seen) == {64, 16}  # tokens of 16 x 16 pixels


@pytest.mark.parametrize(
    "levers",
    [
        {"attention": "native"},
        {"attention": "_native_math"},
        {"cache": {"kind": "first-block", "options": {"threshold": 0.0}}},
        {"vae_slicing": False},
    ],
)
def test_levers_that_must_not_change_the_picture(opened: Open, context: RecordingContext, levers: dict[str, Any]):
    expected = rendered(opened(generate=qwen()), asked(), context)
    editor = opened(generate=qwen(**levers))
    assert max(apart(a, b) for a, b in zip(expected, rendered(editor, asked(), context), strict=True)) <= SAME
    assert pipelines_of(editor)["generate"].skipped == ()


@pytest.mark.parametrize(
    "cache",
    [
        {"kind": "first-block", "options": {"threshold": 0.9}},
        {"kind": "taylor-seer", "options": {"cache_interval": 3, "disable_cache_before_step": 2}},
        {"kind": "mag", "options": {"mag_ratios": [1.0] * 8, "num_inference_steps": 8}},
    ],
)
def test_caches_skip_blocks_and_forget_between_requests(opened: Open, context: RecordingContext, cache: dict[str, Any]):
    editor = opened(generate=qwen(cache=cache, final={"steps": 8}))
    ran: list[int] = []
    last = pipelines_of(editor)["generate"].pipe.transformer.transformer_blocks[-1]
    last.attn.to_q.register_forward_hook(lambda *_: ran.append(1))
    first = editor.render(asked(), context)
    assert len(ran) < 16
    assert editor.render(asked(), context) == first


@pytest.mark.skipif(shutil.which("c++") is None, reason="torch compiles for a CPU with the system's c++")
@pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex:UserWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch warns of what its own compiler imports
@pytest.mark.timeout(400)
def test_compiled_blocks_give_the_same(opened: Open, context: RecordingContext):
    once = {"final": {"steps": 2, "cfg": 1}}
    expected = rendered(opened(generate=qwen(**once)), asked(), context)
    editor = opened(generate=qwen(compile=True, **once))
    assert max(apart(a, b) for a, b in zip(expected, rendered(editor, asked(), context), strict=True)) <= SAME


def test_bfloat16_gives_a_picture_too(opened: Open, context: RecordingContext):
    (made,) = rendered(opened(generate=qwen(dtype="bfloat16")), asked(seeds=(1,)), context)
    assert made.std() > 0
