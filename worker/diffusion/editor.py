"""The editor's seat over diffusers pipelines: which ones, of what quality, and how much at once is settings.

A request is one micro-grid: the prompt is encoded once, the seeds go through the transformer in one call where that
equals separate calls, and one by one where it does not. What lies outside a mask comes back bit for bit.
"""

import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from director.errors import BriefError
from director.prompts.vlm import without_control
from director.seats import Context, RenderRequest
from director.types import Candidate, ModelName, Rendered
from worker.diffusion import canvas
from worker.diffusion.canvas import Frame, PixelBox, Pixels, Size
from worker.diffusion.families import Shot, Task
from worker.diffusion.loading import Loaded, PipelineConfig, Quality, Shelf, free_memory, out_of_memory, torch

DRAFT = ".draft"


class EditorConfig(BaseModel):
    """The pipelines, by name, that serve one model's requests. They may be of different families.

    Without `inpaint` a masked edit is an edit of the whole, of which only the inside is kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    generate: str | None = Field(default=None, description="pipeline that draws from words")
    edit: str | None = Field(default=None, description="pipeline that changes a whole picture")
    inpaint: str | None = Field(default=None, description="pipeline that changes what lies inside a mask")
    feather: int = Field(default=8, ge=0, le=64, description="pixels inside a mask over which new passes into old")


class EditorsConfig(BaseModel):
    """Every pipeline and every model that a worker can serve.

    {"pipelines": {"krea": {"family": "flux", "path": "/models/FLUX.1-Krea-dev"},
                   "edit": {"family": "qwen-image-edit-plus", "path": "/models/Qwen-Image-Edit-2509"},
                   "inpaint": {"family": "qwen-image-edit-inpaint", "path": "/models/Qwen-Image-Edit-2509"}},
     "editors": {"flux-krea": {"generate": "krea", "edit": "edit", "inpaint": "inpaint"}}}
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipelines: dict[str, PipelineConfig]
    editors: dict[ModelName, EditorConfig]

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        for name, editor in self.editors.items():
            if name.endswith(DRAFT):
                raise ValueError(f"{name!r}: names that end in {DRAFT!r} are those of drafts")
            for task in Task:
                pipeline = _pipeline(editor, task)
                if pipeline is None:
                    continue
                if pipeline not in self.pipelines:
                    raise ValueError(f"{name}.{task} names {pipeline!r}: there is no such pipeline")
                if self.pipelines[pipeline].row.task is not task:
                    raise ValueError(f"{name}.{task}: {self.pipelines[pipeline].family} does not {task}")
        return self

    def models(self) -> tuple[ModelName, ...]:
        """What a job's `editor` may name: every editor, and its draft where a pipeline of it has one."""
        names: list[ModelName] = []
        for name, editor in self.editors.items():
            used = [self.pipelines[p] for task in Task if (p := _pipeline(editor, task))]
            names += [name] + ([name + DRAFT] if any(pipeline.draft for pipeline in used) else [])
        return tuple(names)


def _pipeline(editor: EditorConfig, task: Task) -> str | None:
    return {Task.GENERATE: editor.generate, Task.EDIT: editor.edit, Task.INPAINT: editor.inpaint}[task]


def open_editor(configs: EditorsConfig, resources: ExitStack) -> "DiffusersEditor":
    """The editor, ready; pipelines load when they are first needed and are freed when `resources` closes."""
    shelf = Shelf(configs.pipelines)
    resources.callback(shelf.close)
    return DiffusersEditor(configs, shelf)


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

    def __init__(self, configs: EditorsConfig, shelf: Shelf) -> None:
        self._configs = configs
        self._shelf = shelf
        self._fits: dict[tuple[str, Size], int] = {}

    def render(self, request: RenderRequest, context: Context) -> Rendered:
        """One candidate for each seed, in their order and in the size of the picture that is edited.

        Raises BriefError for an instruction that the model would cut, Cancelled within one denoising step, MemoryError
        when not even one picture fits.
        """
        context.check()
        job = self._job(request, context)
        shot = self._shot(job, context)
        candidates: list[Candidate] = []
        with torch().no_grad(), _gpu_time(job, context):
            text = job.loaded.config.row.text(job.loaded.pipe, shot, torch())
            context.count("prompts_encoded", 1)
            for seed, pixels in zip(request.seeds, self._pictures(job, shot, text, context), strict=True):
                image = context.images.put(canvas.to_png(_finished(job, pixels)))
                candidates.append(Candidate(image=image, seed=seed))
        # A model server on the same card can't use what this process' allocator keeps for later.
        free_memory()
        return Rendered(candidates=tuple(candidates), by=f"diffusers:{request.model}:{job.pipeline}"[:64])

    def _job(self, request: RenderRequest, context: Context) -> _Job:
        draft = request.model.endswith(DRAFT)
        model = request.model.removesuffix(DRAFT)
        if model not in self._configs.editors:
            raise ValueError(f"there is no editor {request.model!r}: there are {', '.join(self._configs.models())}")
        editor = self._configs.editors[model]
        base = canvas.from_png(context.images.get(request.base)) if request.base else None
        name = _chosen(editor, request)
        if name not in self._shelf:
            context.progress(f"loading {name}", 0, 1)
        loaded = self._shelf[name]
        config = loaded.config
        quality = config.draft if draft and config.draft else config.final
        loaded.set(quality)
        size = (request.width, request.height) if base is None else (base.shape[1], base.shape[0])
        frame = config.row.frame(size, loaded.grid, quality.area)
        region = request.action.region if base is not None else None
        box = canvas.box_of(region, size) if region else None
        return _Job(request, name, loaded, quality, frame, base, box, editor.feather)

    def _shot(self, job: _Job, context: Context) -> Shot:
        config, row, quality = job.loaded.config, job.loaded.config.row, job.quality
        return Shot(
            instruction=_within_limit(job, context),
            canvas=job.frame.canvas,
            steps=quality.steps or row.steps,
            cfg=row.cfg if quality.cfg is None else quality.cfg,
            guidance=row.guidance if quality.guidance is None else quality.guidance,
            strength=config.strength,
            image=None if job.base is None else job.frame.pad(job.base),
            mask=job.frame.mask(job.box, job.loaded.grid) if row.task is Task.INPAINT and job.box else None,
        )

    def _pictures(self, job: _Job, shot: Shot, text: dict[str, Any], context: Context) -> Iterator[Pixels]:
        """The canvases of the seeds, in their order, as many at once as the pipeline may and the memory can."""
        config, seeds = job.loaded.config, job.request.seeds
        key = (job.pipeline, shot.canvas)
        size = min(self._fits.get(key, config.max_batch), len(seeds)) if config.row.batches else 1
        done = 0
        while done < len(seeds):
            now = seeds[done : done + size]
            made = _called(job, shot, text, now, done, context)
            if made is None:
                free_memory()
                context.count("out_of_memory", 1)
                if len(now) == 1:
                    raise MemoryError(f"one picture of {shot.canvas} does not fit: lower `area` or set `offload`")
                size = self._fits[key] = len(now) // 2
                continue
            context.count(f"calls_of_{len(now)}", 1)
            context.count("denoising_steps", shot.steps * len(now))
            done += len(now)
            yield from made


@contextmanager
def _gpu_time(job: _Job, context: Context) -> Generator[None]:
    """Count the milliseconds for which the request holds its GPU; nothing on a CPU."""
    began = time.perf_counter()
    try:
        yield
    finally:
        if job.loaded.config.device.startswith("cuda"):
            context.count("gpu_ms", round(1000 * (time.perf_counter() - began)))


def _chosen(editor: EditorConfig, request: RenderRequest) -> str:
    """The pipeline for what is asked. Raises ValueError when the editor has none."""
    if request.base is None:
        wanted = (editor.generate,)
    elif request.action.region is None:
        wanted = (editor.edit,)
    else:
        wanted = (editor.inpaint, editor.edit)
    for name in wanted:
        if name:
            return name
    raise ValueError(f"the editor {request.model!r} has no pipeline to {'edit' if request.base else 'generate'} with")


def _within_limit(job: _Job, context: Context) -> str:
    """The instruction, if the model reads all of it.

    Otherwise raises BriefError that quotes what would be cut or, where the settings say `cut`, cuts it and keeps what
    was lost beside the attempt. The pipelines themselves cut without a word.
    """
    config, text = job.loaded.config, without_control(job.request.action.instruction)
    ids, behind, tokenizer = config.row.tokens(job.loaded.pipe, text)
    limit = min(config.max_tokens or config.row.max_tokens, config.row.max_tokens)
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
    job: _Job, shot: Shot, text: dict[str, Any], seeds: tuple[int, ...], done: int, context: Context
) -> list[Pixels] | None:
    """One call of the pipeline: a canvas (height, width, 3) for each seed, or None when memory ran out."""
    pipe, config = job.loaded.pipe, job.loaded.config

    def after_step(_: Any, step: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        context.check()
        # Pictures times steps, so that the bar moves alike whatever the batch.
        total = pipe.num_timesteps
        context.progress(f"{job.pipeline} denoises", done * total + (step + 1) * len(seeds), total * len(all_seeds))
        return tensors

    all_seeds = job.request.seeds
    # On the CPU, so that a seed means the same noise on every kind of GPU.
    generators = [torch().Generator("cpu").manual_seed(seed) for seed in seeds]
    finished = False
    try:
        images = pipe(
            **text,
            **config.row.call(shot),
            num_inference_steps=shot.steps,
            num_images_per_prompt=len(seeds),
            generator=generators,
            callback_on_step_end=after_step,
            output_type="np",
        ).images
        finished = True
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return None
    finally:
        if not finished:
            job.loaded.settle()
    if images.shape[1:3] != shot.canvas[::-1]:
        raise ValueError(f"{job.pipeline} gave {images.shape[2]} x {images.shape[1]} for a canvas of {shot.canvas}")
    if not np.isfinite(images).all():
        raise ValueError(f"{job.pipeline} gave pixels that are no numbers: try more steps, or another dtype")
    return list(np.rint(images * 255).astype(np.uint8))


def _finished(job: _Job, pixels: Pixels) -> Pixels:
    """The picture off its canvas, and inside the mask only."""
    picture = job.frame.unpad(pixels)
    if job.base is None or job.box is None:
        return picture
    return canvas.composited(job.base, picture, job.box, job.feather)
