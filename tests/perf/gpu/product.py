"""The product's own path: `open_editor` over the settings of a shipped profile; checkpoints are drawn, not read."""

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np

from director.seats import Raster, RenderRequest
from director.types import Action, ActionKind, Region
from tests.perf.gpu.device import GIB, Scale, apart, forget_peak, memory, synchronise, timed
from tests.perf.gpu.models import Parts, drawn_not_read, encoder_parts, other_parts
from tests.perf.gpu.record import Record
from worker.diffusion.canvas import from_png, to_png, to_raster
from worker.diffusion.editor import EditorsConfig, open_editor
from worker.diffusion.families import FAMILIES
from worker.diffusion.loading import free_memory, torch
from worker.profiles.budget import budgets
from worker.profiles.shape import Profile

PROFILE = "one-80gb"
MODEL = "qwen-image"
WORDS = "A tall lighthouse on a cliff at dusk, waves below, the sign says 'HARBOUR' in red letters. "
PROBE = "a red fox on a hill at dusk"


@dataclass
class Memory:
    """A Context whose pictures stay in memory."""

    kept: dict[str, bytes] = field(default_factory=dict[str, bytes])
    counts: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def images(self) -> "Memory":
        return self

    def get(self, key: str) -> bytes:
        return self.kept[key]

    def raster(self, image: str) -> Raster:
        return to_raster(from_png(self.kept[image]))

    def put(self, png: bytes) -> str:
        key = hashlib.sha256(png).hexdigest()
        self.kept[key] = png
        return key

    def put_raster(self, raster: Raster, encode: Callable[[], bytes]) -> str:
        return self.put(encode())

    def count(self, name: str, amount: int) -> None:
        self.counts[name] = self.counts.get(name, 0) + amount

    def keep(self, name: str, data: bytes) -> None:
        pass

    def progress(self, message: str, done: int, total: int) -> None:
        pass

    def check(self) -> None:
        pass


def measure_product(record: Record, scale: Scale) -> None:
    """Loads the pipelines that serve `MODEL`, and draws, edits and inpaints with them."""
    record.section("product", 100, lambda: _product(record, scale))
    free_memory()


def _product(record: Record, scale: Scale) -> None:
    whole, ours = _card_budget(scale, alone=False), _card_budget(scale, alone=True)
    record.note(profile=PROFILE, budget_GiB=round(ours, 2), budget_of_others_GiB=round(whole - ours, 2))
    encoded: dict[str, Any] = {}

    def parts(kind: str) -> Parts:
        began = time.monotonic()
        found = encoder_parts(scale, kind)
        encoded[kind] = _encoded(found["text_encoder"], found["tokenizer"], scale)
        found["text_encoder"].to("cpu")  # where a checkpoint is read to
        free_memory()
        found |= other_parts(scale, kind)
        record.row(f"parts of {kind}", seconds=time.monotonic() - began)
        return found

    editors = _editors(scale)
    kinds = tuple({FAMILIES[pipeline.family].pipeline: None for pipeline in editors.pipelines.values()})
    with ExitStack() as resources:
        made = resources.enter_context(drawn_not_read(kinds, parts))
        walk = _Walk(record, scale, open_editor(editors, resources), Memory())
        noise = np.random.default_rng(0).integers(0, 256, (scale.side, scale.side, 3), np.uint8)
        base, region = walk.context.put(to_png(noise)), Region(x0=0.25, y0=0.3, x1=0.7, y1=0.8)
        record.section("draw", 50, lambda: walk.ask("draw"))
        record.section("edit", 50, lambda: walk.ask("edit", base))
        record.section("inpaint", 20, lambda: walk.ask("inpaint", base, region))
        if scale.cuda:
            record.section("edit beside", 20, lambda: walk.beside(whole - ours, base))
        for kind, pipe in made.items():
            record.section(f"encoder of {kind}", 5, lambda p=pipe, k=kind: _encoder(record, scale, k, p, encoded[k]))
        made.clear()


@dataclass(frozen=True)
class _Walk:
    record: Record
    scale: Scale
    editor: Any
    context: Memory

    def ask(self, name: str, base: str | None = None, region: Region | None = None, counted: bool = True) -> None:
        """Render twice; the first time loads. `counted`: nothing but the editor is on the card."""
        kind = ActionKind.EDIT if base else ActionKind.GENERATE
        words = WORDS * (8 if self.scale.cuda else 1)
        action = Action(kind=kind, instruction=words, targets=("g",), region=region)
        side = self.scale.side
        request = RenderRequest(model=MODEL, action=action, base=base, seeds=self.scale.seeds, width=side, height=side)
        # A toy edits a whole megapixel as well: once is enough to see that it works.
        for go in ("first", "again") if self.scale.cuda or base is None else ("first",):
            self.context.counts.clear()
            forget_peak()
            began = time.monotonic()
            self.editor.render(request, self.context)
            synchronise()
            self.record.row(
                f"product {name}, {len(self.scale.seeds)} seeds, {self.scale.steps} steps, {go}",
                seconds=time.monotonic() - began,
                # Loading draws weights on the card, which a checkpoint's do not.
                of_the_budget=counted and go == "again",
                **memory(),
                counts=dict(self.context.counts),
            )

    def beside(self, gib: float, base: str) -> None:
        """With as much of the card taken as the budget gives to the other programs: does it still fit?"""
        held = [torch().empty(int(gib * GIB), dtype=torch().uint8, device=self.scale.device)]
        try:
            self.ask("edit beside the others' share", base, counted=False)
            self.record.row("free then", GiB=torch().cuda.mem_get_info()[0] / GIB)
        finally:
            held.clear()


def _encoder(record: Record, scale: Scale, kind: str, pipe: Any, resident: Any) -> None:
    """What streaming costs a prompt, and whether it computes what a resident encoder does."""
    streamed = _encoded(pipe.text_encoder, pipe.tokenizer, scale)
    with torch().no_grad():
        seconds = timed(lambda: pipe.encode_prompt(prompt=WORDS), 3, 1)
    record.row(f"streamed encoder of {kind}", s_a_prompt=seconds, apart_from_resident=apart(streamed, resident))


def _encoded(encoder: Any, tokenizer: Any, scale: Scale) -> Any:
    ids = tokenizer(PROBE, return_tensors="pt").input_ids.to(scale.device)
    with torch().no_grad():
        return encoder.model(input_ids=ids).last_hidden_state.cpu()


def _raw(scale: Scale) -> dict[str, Any]:
    """The profile as JSON, without what a bare machine lacks: the VLM seats' client library, and the drafts' LoRAs."""
    raw = json.loads((files("worker.profiles") / f"{PROFILE}.json").read_text(encoding="utf-8"))
    del raw["vlm"]
    for pipeline in raw["editors"]["pipelines"].values():
        # The budget is for the largest picture that may be asked for; here it is for those that the run asks for.
        pipeline["final"] = pipeline.get("final", {}) | {"steps": scale.steps, "area": scale.side**2}
        for name in ("loras", "draft"):
            pipeline.pop(name, None)
    return raw


def _editors(scale: Scale) -> EditorsConfig:
    """The pipelines of `MODEL`."""
    raw = _raw(scale)["editors"]
    editor = raw["editors"][MODEL]
    used = {editor[task] for task in ("generate", "edit", "inpaint") if task in editor}
    place = {} if scale.cuda else {"device": scale.device, "dtype": scale.dtype}
    pipelines = {name: raw["pipelines"][name] | place for name in used}
    return EditorsConfig.model_validate({"pipelines": pipelines, "editors": {MODEL: editor}})


def _card_budget(scale: Scale, alone: bool) -> float:
    """GiB of the profile's card that the doctor computes: all programs, or `MODEL`'s editor alone."""
    raw = _raw(scale)
    (box,) = raw["boxes"].values()
    if alone:
        box["servers"] = []
        box["workers"] = [group | {"editors": [MODEL]} for group in box["workers"] if "editor" in group["seats"]]
    return next(budget.total for budget in budgets(Profile.model_validate(raw)) if "GPU" in budget.where)
