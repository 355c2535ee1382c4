"""What a profile is made of: the seats' backends, and the machines with their servers, workers and cards."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from director.types import DRAFT, ModelName
from tasks.settings import MAX_STEP_S
from worker.diffusion.config import EditorsConfig
from worker.vlm.config import VlmConfig

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
Card = Annotated[int, Field(ge=0, le=63)]
SeatName = Literal["planner", "judge", "verifier", "editor", "control"]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelServer(_Shape):
    """One SGLang process."""

    name: Name
    model: Annotated[str, Field(min_length=1, description="folder of the weights")]
    served: Annotated[str, Field(min_length=1, description="name that the seats ask for")]
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1024, le=65_535)]
    gpus: Annotated[
        tuple[Card, ...], Field(description="cards of the machine; several: tensor parallelism; none: a CPU")
    ] = ()
    weights: Annotated[Literal["bf16", "fp8"], Field(description="how the checkpoint's blocks are stored")] = "bf16"
    tokens: Annotated[int, Field(ge=2048, description="size of the KV cache, and so of the prefix cache")] = 32_768
    context: Annotated[int, Field(ge=2048, description="longest prompt with its reply, in tokens")] = 16_384
    running: Annotated[int, Field(ge=1, le=1024, description="requests at once")] = 16
    prefill: Annotated[int, Field(ge=512, description="tokens of a prompt that are computed at once")] = 2048
    arguments: Annotated[tuple[str, ...], Field(description="further flags of sglang.launch_server")] = ()
    environment: dict[str, str] = {}


class WorkerGroup(_Shape):
    """One `visiondirector-worker start`."""

    name: Name
    seats: Annotated[tuple[SeatName, ...], Field(min_length=1)]
    concurrency: Annotated[int, Field(ge=1, le=64)] = 1
    gpu: Card | None = None
    editors: Annotated[tuple[ModelName, ...], Field(description="models; none: all of the profile")] = ()

    @model_validator(mode="after")
    def _one_process_a_gpu(self) -> Self:
        if "editor" in self.seats and self.concurrency > 1:
            raise ValueError(f"{self.name}: an editor has one process a GPU")
        return self


class Machine(_Shape):
    """One kind of machine. `stores`: it runs Redis and S3 itself; `door`: the API and the reconciler."""

    gpus: Annotated[tuple[float, ...], Field(description="memory of each card in GiB, as nvidia-smi counts it")] = ()
    memory: Annotated[float, Field(gt=0, description="memory of the machine in GiB")] = 8
    stores: bool = True
    door: bool = True
    servers: tuple[ModelServer, ...] = ()
    workers: tuple[WorkerGroup, ...] = ()

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        names = [part.name for part in (*self.servers, *self.workers)]
        if len(set(names)) < len(names):
            raise ValueError(f"two programs have the same name: {', '.join(names)}")
        ports = [server.port for server in self.servers]
        if len(set(ports)) < len(ports):
            raise ValueError(f"two servers have the same port: {', '.join(map(str, ports))}")
        of_servers = [gpu for server in self.servers for gpu in server.gpus]
        of_workers = [group.gpu for group in self.workers if group.gpu is not None]
        if missing := sorted({gpu for gpu in (*of_servers, *of_workers) if self.gpus and gpu >= len(self.gpus)}):
            raise ValueError(f"there is no GPU {missing[0]}: the box has {len(self.gpus)}")
        if len(set(of_workers)) < len(of_workers):
            raise ValueError("two worker groups own the same GPU")
        return self


class TokenPrice(_Shape):
    """Of a million tokens, where a server is paid by them."""

    prompt: Annotated[float, Field(ge=0)]
    cached: Annotated[float, Field(ge=0, description="of a prompt's beginning that the server knew")]
    written: Annotated[float, Field(ge=0)]


class Rates(_Shape):
    """What `doctor --cost` reckons with, as measured or paid by whoever runs the profile; it leaves out the rest."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    card_hour: Annotated[float | None, Field(ge=0, description="price of a card for an hour")] = None
    prompt_tokens_per_s: Annotated[float | None, Field(gt=0, description="new tokens that a VLM server reads")] = None
    picture_s: Annotated[dict[ModelName, float], Field(description="seconds of a card for one picture of a model")] = {}
    tokens: Annotated[dict[SeatName, TokenPrice], Field(description="by seat, in place of card hours")] = {}


class Profile(_Shape):
    """All that a set of machines needs. A seat whose backend is not named is the sketch studio's."""

    about: Annotated[str, Field(min_length=1)]
    vlm: Annotated[VlmConfig | None, Field(description="planner, judge and verifier")] = None
    editors: EditorsConfig | None = None
    policy: Annotated[
        str | None, Field(min_length=1, description="file of the policy that chooses for jobs with decide: planner")
    ] = None
    rates: Rates = Rates()
    max_step_s: Annotated[
        dict[str, float], Field(description="as the setting of that name, where the environment has none")
    ] = {}
    boxes: Annotated[dict[Name, Machine], Field(min_length=1)]

    @field_validator("max_step_s")
    @classmethod
    def _known_kinds(cls, value: dict[str, float]) -> dict[str, float]:
        if unknown := sorted(value.keys() - MAX_STEP_S):
            raise ValueError(f"there is no step kind {unknown[0]!r}: the kinds are {', '.join(MAX_STEP_S)}")
        return value

    def machine(self, name: str | None) -> tuple[str, Machine]:
        """The machine of that name, or the only one. Raises ValueError that lists them."""
        if name is None and len(self.boxes) == 1:
            return next(iter(self.boxes.items()))
        if name not in self.boxes:
            problem = "name one" if name is None else f"there is no box {name!r}"
            raise ValueError(f"{problem}: the profile has {', '.join(self.boxes)}")
        return name, self.boxes[name]

    def models(self, group: WorkerGroup) -> tuple[ModelName, ...]:
        """What a worker group with the editor's seat serves, drafts included; empty: what the sketch studio has."""
        if "editor" not in group.seats or self.editors is None:
            return group.editors
        return group.editors or self.editors.models()

    def pipelines(self, names: Sequence[ModelName]) -> tuple[str, ...]:
        """The pipelines behind some models, each once."""
        if self.editors is None:
            return ()
        pipelines: dict[str, None] = {}
        for name in names:
            editor = self.editors.editors.get(name.removesuffix(DRAFT))
            if editor is None:
                raise ValueError(f"there is no editor {name!r}: the profile has {', '.join(self.editors.models())}")
            pipelines |= dict.fromkeys(editor.pipelines.values())
        return tuple(pipelines)
