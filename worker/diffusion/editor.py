"""The editor's seat over diffusers pipelines. Settings say which, of what quality, and how many pictures at once.

A request is one micro-grid: the prompt is encoded once, the seeds go through the transformer in one call where that
equals separate calls, and one by one where it does not. What lies outside a mask comes back bit for bit.
"""

import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from director.errors import BriefError
from director.prompts.vlm import without_control
from director.seats import Context, RenderRequest
from director.types import DRAFT, Candidate, Rendered
from worker.diffusion import canvas
from worker.diffusion.canvas import Frame, PixelBox, Pixels, Size
from worker.diffusion.config import EditorConfig, EditorsConfig, Quality
from worker.diffusion.failures import Unusable, operators_matter
from worker.diffusion.families import PipelineInputs, Task
from worker.diffusion.loading import Loaded, PipelineCache, free_memory, out_of_memory, torch


def open_editor(configs: EditorsConfig, resources: ExitStack) -> "DiffusersEditor":
    """The editor, ready; pipelines load when they are first needed and are freed when `resources` closes."""
    pipelines = PipelineCache(configs.pipelines)
    resources.callback(pipelines.close)
    return DiffusersEditor(configs, pipelines)


@dataclass(frozen=True)
class _Job:
    """One request, laid out for one pipeline."""

    request: RenderRequest
    pipeline: str
    loaded: Loaded
    quality: Quality
    frame: Frame
    base: Pixels | None
    box: PixelBox | None
    feather: int


class DiffusersEditor:
    """Serves every model of its settings: `RenderRequest.model` names one."""

    def __init__(self, configs: EditorsConfig, pipelines: PipelineCache) -> None:
        self._configs = configs
        self._pipelines = pipelines
        self._fits: dict[tuple[str, Size], int] = {}

    def render(self, request: RenderRequest, context: Context) -> Rendered:
        """One candidate for each seed, in their order and in the size of the picture that is edited.

        Raises BriefError for an instruction that the model would cut, Cancelled within one denoising step, MemoryError
        when not even one picture fits, and Unusable for what the operator must mend.
        """
        with operators_matter(f"the editor {request.model}"):
            return self._rendered(request, context)

    def _rendered(self, request: RenderRequest, context: Context) -> Rendered:
        context.check()
        job = self._job(request, context)
        inputs = self._inputs(job, context)
        candidates: list[Candidate] = []
        with torch().no_grad():
            with _gpu_time(job, context):
                text = job.loaded.embedded(inputs)
            context.count("prompts_encoded", 1)
            for seed, pixels in zip(request.seeds, self._pictures(job, inputs, text, context), strict=True):
                picture = _finished(job, pixels)
                image = context.images.put_raster(canvas.to_raster(picture), partial(canvas.to_png, picture))
                candidates.append(Candidate(image=image, seed=seed))
        # A model server on the same card can't use what this process' allocator keeps for later.
        free_memory()
        return Rendered(candidates=tuple(candidates), by=f"diffusers:{request.model}:{job.pipeline}"[:64])

    def _load(self, name: str, context: Context) -> Loaded:
        """The pipeline; the seconds that it took to load count as such."""
        if name in self._pipelines:
            return self._pipelines[name]
        context.progress(f"loading {name}", 0, 1)
        began = time.perf_counter()
        loaded = self._pipelines[name]
        context.count("load_ms", round(1000 * (time.perf_counter() - began)))
        return loaded

    def _job(self, request: RenderRequest, context: Context) -> _Job:
        draft = request.model.endswith(DRAFT)
        model = request.model.removesuffix(DRAFT)
        if model not in self._configs.editors:
            raise Unusable(
                f"there is no editor {request.model!r}: there are {', '.join(self._configs.models())}",
                f"the editor {request.model}",
                "start this worker with that editor, or mend its settings",
            )
        editor = self._configs.editors[model]
        base = canvas.from_raster(context.images.raster(request.base)) if request.base else None
        name = _chosen(editor, request)
        loaded = self._load(name, context)
        config = loaded.config
        quality = config.draft if draft and config.draft else config.final
        loaded.set(quality)
        new = (request.width or config.native, request.height or config.native)
        size = new if base is None else (base.shape[1], base.shape[0])
        frame = loaded.family.frame(size, loaded.grid, quality.area)
        loaded.tile(frame.canvas)
        region = request.action.region if base is not None else None
        box = canvas.box_of(region, size) if region else None
        return _Job(request, name, loaded, quality, frame, base, box, editor.feather)

    def _inputs(self, job: _Job, context: Context) -> PipelineInputs:
        config, family, quality = job.loaded.config, job.loaded.family, job.quality
        return PipelineInputs(
            instruction=_within_limit(job, context),
            canvas=job.frame.canvas,
            steps=quality.steps or family.steps,
            cfg=family.cfg if quality.cfg is None else quality.cfg,
            guidance=family.guidance if quality.guidance is None else quality.guidance,
            strength=config.strength,
            image=None if job.base is None else job.frame.pad(job.base),
            mask=job.frame.mask(job.box, job.loaded.grid) if family.task is Task.INPAINT and job.box else None,
        )

    def _pictures(self, job: _Job, inputs: PipelineInputs, text: dict[str, Any], context: Context) -> Iterator[Pixels]:
        """The canvases of the seeds, in their order, as many at once as the pipeline may and the memory can."""
        loaded, seeds = job.loaded, job.request.seeds
        key = (job.pipeline, inputs.canvas)
        size = min(self._fits.get(key, loaded.config.max_batch), len(seeds)) if loaded.family.batches else 1
        done = 0
        while done < len(seeds):
            now = seeds[done : done + size]
            pictures = _called(job, inputs, text, now, done, context)
            if pictures is None:
                free_memory()
                context.count("out_of_memory", 1)
                if len(now) == 1:
                    raise MemoryError(f"one picture of {inputs.canvas} does not fit: lower `area` or set `offload`")
                size = self._fits[key] = len(now) // 2
                continue
            context.count(f"calls_of_{len(now)}", 1)
            context.count("denoising_steps", inputs.steps * len(now))
            done += len(now)
            yield from pictures


@contextmanager
def _gpu_time(job: _Job, context: Context) -> Generator[None]:
    """Count the milliseconds of a call that draws; nothing on a CPU."""
    began = time.perf_counter()
    try:
        yield
    finally:
        if job.loaded.config.device.startswith("cuda"):
            context.count("gpu_ms", round(1000 * (time.perf_counter() - began)))


def _chosen(editor: EditorConfig, request: RenderRequest) -> str:
    """The pipeline for what is asked. Raises Unusable when the editor has none."""
    if request.base is None:
        tasks = (Task.GENERATE,)
    elif request.action.region is None:
        tasks = (Task.EDIT,)
    else:
        tasks = (Task.INPAINT, Task.EDIT)
    for task in tasks:
        if name := editor.pipelines.get(task):
            return name
    raise Unusable(
        f"the editor {request.model!r} has no pipeline to {'edit' if request.base else 'generate'} with",
        f"the editor {request.model}",
        "give it one in its settings",
    )


def _within_limit(job: _Job, context: Context) -> str:
    """The instruction, if the model reads all of it.

    Otherwise raises BriefError that quotes what would be cut or, where the settings say `cut`, cuts it and keeps what
    was lost beside the attempt. The pipelines themselves cut without a word.
    """
    config, family = job.loaded.config, job.loaded.family
    text = without_control(job.request.action.instruction)
    ids, behind, tokenizer = family.tokens(job.loaded.pipe, text)
    limit = min(config.max_tokens or family.max_tokens, family.max_tokens)
    context.count("prompt_tokens", len(ids) + behind)
    if len(ids) + behind <= limit:
        return text
    kept: str = tokenizer.decode(ids[: limit - behind])
    lost: str = tokenizer.decode(ids[limit - behind :])
    if config.long_prompt == "refuse":
        raise BriefError(
            f"the instruction has {len(ids) + behind} tokens and {config.family} reads {limit}: "
            f"it would lose the last {len(ids) + behind - limit}, from {lost.strip()[:200]!r}",
            "shorten the brief, or set gate to staged so that it is drawn in several instructions",
            "brief.text",
        )
    context.count("prompt_tokens_cut", len(ids) + behind - limit)
    context.keep("prompt_cut", lost.encode())
    return kept


def _called(
    job: _Job, inputs: PipelineInputs, text: dict[str, Any], seeds: tuple[int, ...], done: int, context: Context
) -> list[Pixels] | None:
    """One call of the pipeline: a canvas (height, width, 3) for each seed, or None when memory ran out."""
    loaded, pipe = job.loaded, job.loaded.pipe

    def after_step(_: Any, step: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        context.check()
        # Pictures times steps, so that the bar moves alike whatever the batch.
        total = pipe.num_timesteps
        context.progress(f"{job.pipeline} denoises", done * total + (step + 1) * len(seeds), total * len(all_seeds))
        return tensors

    all_seeds = job.request.seeds
    finished = False
    try:
        with _gpu_time(job, context):
            images = loaded.draw(inputs, text, seeds, output_type="np", callback_on_step_end=after_step)
        finished = True
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return None
    finally:
        if not finished:
            pipe.maybe_free_model_hooks()  # back to where a finished call leaves it
    if images.shape[1:3] != inputs.canvas[::-1]:
        raise ValueError(f"{job.pipeline} gave {images.shape[2]} x {images.shape[1]} for a canvas of {inputs.canvas}")
    if not np.isfinite(images).all():
        raise ValueError(f"{job.pipeline} gave pixels that are no numbers: try more steps, or another dtype")
    return list(np.rint(images * 255).astype(np.uint8))


def _finished(job: _Job, pixels: Pixels) -> Pixels:
    """The picture off its canvas, and inside the mask only."""
    picture = job.frame.unpad(pixels)
    if job.base is None or job.box is None:
        return picture
    return canvas.composited(job.base, picture, job.box, job.feather)
