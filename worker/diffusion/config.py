"""The settings of the editor's seat: the pipelines and the models that they serve. It needs no torch."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from director.types import DRAFT, SIDE, ActionKind, ModelName, Side
from worker.diffusion.families import FAMILIES, Task

_BEHIND = 8
"""Tokens of a pipeline's own template that stand behind an instruction."""


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Quality(_Config):
    """How much work a picture is worth. What is not set is the family's own."""

    steps: int | None = Field(default=None, ge=1, le=200, description="denoising steps")
    cfg: float | None = Field(
        default=None, ge=1, le=20, description="classifier-free guidance; 1 is off and halves the work"
    )
    guidance: float | None = Field(default=None, ge=0, le=20, description="what a guidance-distilled model is told")
    area: int | None = Field(
        default=None, ge=64 * 64, description="pixels to work on at most; the picture is scaled back"
    )
    loras: dict[str, float] = Field(
        default={}, description="weight of each LoRA that is on, by its name in the pipeline"
    )
    scheduler: dict[str, float | int | bool | str | None] = Field(
        default={},
        description="fields of the scheduler that differ, e.g. the shift that a distilled LoRA was made with",
    )


class Cache(_Config):
    """Skip transformer blocks whose output hardly moves. Faster, and no longer the same picture."""

    kind: Literal["first-block", "taylor-seer", "mag"]
    options: dict[str, float | int | bool | list[float]] = Field(
        default={}, description="fields of diffusers' config of it"
    )

    @model_validator(mode="after")
    def _measured(self) -> Self:
        if self.kind == "mag" and not self.options.get("mag_ratios"):
            raise ValueError("`mag` needs `mag_ratios`, which are measured for each model (its option `calibrate`)")
        return self


class PipelineConfig(_Config):
    """One checkpoint and how it is run.

    {"family": "flux", "path": "/models/FLUX.1-Krea-dev"}
    {"family": "qwen-image", "path": "/models/Qwen-Image-2512", "loras": {"lightning": "/models/4-steps.safetensors"},
     "draft": {"steps": 4, "cfg": 1, "loras": {"lightning": 1.0}}}
    """

    family: str = Field(description="a name in worker.diffusion.families.FAMILIES")
    path: Annotated[str, Field(min_length=1)] = Field(description="folder of the checkpoint, as diffusers saves it")
    device: str = "cuda"
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    quantize: Literal["none", "fp8", "fp8-row"] = Field(
        default="none",
        description="fp8-row: the transformer's products in 8 bits, scaled by row: faster, from Ada on. fp8: its "
        "weights in 8 bits without scales, its sums in `dtype`; least memory, slower than none",
    )
    offload: Literal["none", "model", "encoders", "stream"] = Field(
        default="none",
        description="model: a part is on the GPU only while it works; encoders: the text encoders' layers come to it "
        "one by one and the rest stays; stream: the transformer's too",
    )
    final: Quality = Quality()
    draft: Quality | None = Field(default=None, description="served as <editor>.draft")
    loras: dict[str, Path] = Field(default={}, description="LoRA files by name; a Quality switches them on")
    max_batch: int = Field(default=4, ge=1, le=16, description="pictures in one call; memory errors halve it")
    strength: float = Field(default=1.0, gt=0, le=1, description="of an inpainting: 1 forgets what was there")
    compile: bool = Field(default=False, description="compile the transformer's repeated blocks")
    cache: Cache | None = None
    attention: str | None = Field(
        default=None, description="attention backend of diffusers, e.g. _native_cudnn, flash, sage"
    )
    vae_slicing: bool = Field(default=True, description="decode a batch picture by picture: same pixels, less memory")
    vae_tiling: bool = Field(
        default=False,
        description="decode always in tiles: less memory, faint seams; above 1.2 megapixels it is done anyway",
    )
    side: Side | None = Field(default=None, description="of a new picture whose job names no size; none: the family's")
    max_tokens: int | None = Field(default=None, ge=1, description="tokens that an instruction may have")
    long_prompt: Literal["refuse", "cut"] = Field(default="refuse", description="what to do with one that has more")

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.family not in FAMILIES:
            raise ValueError(f"there is no family {self.family!r}: the families are {', '.join(FAMILIES)}")
        for quality in (self.final, self.draft):
            if quality and (unknown := sorted(quality.loras.keys() - self.loras.keys())):
                raise ValueError(f"there is no LoRA {unknown[0]!r}: name its file in `loras`")
        return self

    @property
    def native(self) -> int:
        """Pixels of both sides of a new picture whose job names no size."""
        return self.side or FAMILIES[self.family].side

    @model_validator(mode="after")
    def _works_together(self) -> Self:
        """Refuses what diffusers and torch's compiler cannot do at once; docs/gpu.md has the table of pairs."""
        if self.compile and self.cache:
            raise ValueError("`compile` and `cache` exclude each other: a cache decides in Python which blocks to skip")
        if self.compile and self.quantize == "fp8":
            raise ValueError("`compile` can't trace the casts of `quantize: fp8`: use fp8-row")
        if self.compile and self.offload == "stream":
            raise ValueError("`compile` can't trace layers that `offload: stream` brings: use encoders, model or none")
        return self


class EditorConfig(_Config):
    """The pipelines, by name, that serve one model's requests. They may be of different families.

    Without `inpaint` a masked edit is an edit of the whole, of which only the inside is kept.
    """

    generate: str | None = Field(default=None, description="pipeline that draws from words")
    edit: str | None = Field(default=None, description="pipeline that changes a whole picture")
    inpaint: str | None = Field(default=None, description="pipeline that changes what lies inside a mask")
    feather: int = Field(default=8, ge=0, le=64, description="pixels inside a mask over which new passes into old")

    @property
    def pipelines(self) -> dict[Task, str]:
        """The pipeline of each task that has one."""
        named = {Task.GENERATE: self.generate, Task.EDIT: self.edit, Task.INPAINT: self.inpaint}
        return {task: name for task, name in named.items() if name}


class EditorsConfig(_Config):
    """Every pipeline and every model that a worker can serve.

    {"pipelines": {"krea": {"family": "flux", "path": "/models/FLUX.1-Krea-dev"},
                   "edit": {"family": "qwen-image-edit-plus", "path": "/models/Qwen-Image-Edit-2511"}},
     "editors": {"flux-krea": {"generate": "krea", "edit": "edit"}}}
    """

    pipelines: dict[str, PipelineConfig]
    editors: dict[ModelName, EditorConfig]

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        for name, editor in self.editors.items():
            if name.endswith(DRAFT):
                raise ValueError(f"{name!r}: names that end in {DRAFT!r} are those of drafts")
            for task, pipeline in editor.pipelines.items():
                if pipeline not in self.pipelines:
                    raise ValueError(f"{name}.{task} names {pipeline!r}: there is no such pipeline")
                if FAMILIES[self.pipelines[pipeline].family].task is not task:
                    raise ValueError(f"{name}.{task}: {self.pipelines[pipeline].family} does not {task}")
        return self

    def limits(self) -> dict[tuple[ModelName, ActionKind], int]:
        """How many tokens of an instruction each model reads, by what is asked of it."""
        found: dict[tuple[ModelName, ActionKind], int] = {}
        for name in self.models():
            for task, pipeline in self.editors[name.removesuffix(DRAFT)].pipelines.items():
                config = self.pipelines[pipeline]
                kind = ActionKind.GENERATE if task is Task.GENERATE else ActionKind.EDIT
                reads = FAMILIES[config.family].max_tokens
                limit = min(config.max_tokens or reads, reads) - _BEHIND
                found[name, kind] = min(limit, found.get((name, kind), limit))
        return found

    def native(self, model: ModelName) -> int:
        """Pixels of both sides of what a model draws when the job names no size."""
        editor = self.editors.get(model.removesuffix(DRAFT))
        return self.pipelines[editor.generate].native if editor and editor.generate else SIDE

    def models(self) -> tuple[ModelName, ...]:
        """What a job's `editor` may name: every editor, and its draft where a pipeline of it has one."""
        names: list[ModelName] = []
        for name, editor in self.editors.items():
            has_draft = any(self.pipelines[pipeline].draft for pipeline in editor.pipelines.values())
            names += [name, name + DRAFT] if has_draft else [name]
        return tuple(names)
