"""Tests on real pipelines and model servers over tiny random checkpoints: `make test-models`. Their pictures are noise.

Nothing here imports torch before a test runs, so that the ordinary environment can collect the folder and leave it out.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from director.seats import RenderRequest
from director.types import Action, ActionKind, Region
from tasks.settings import load_settings
from tasks.store import FolderStore, Images
from tests.models.sglang_server import SglangServer, tiny_checkpoint
from tests.support.contexts import RecordingContext
from worker.diffusion import canvas
from worker.diffusion.canvas import Pixels
from worker.diffusion.config import EditorsConfig
from worker.diffusion.editor import DiffusersEditor, open_editor
from worker.diffusion.loading import PipelineCache, torch
from worker.profiles import tiny as checkpoints

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.models)


@pytest.fixture(scope="session", autouse=True)
def _quiet_and_offline() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch().set_num_threads(1)


@pytest.fixture(scope="session")
def sglang(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SglangServer]:
    """One server for the whole run; a minute to start."""
    server = SglangServer(tiny_checkpoint(), tmp_path_factory.mktemp("sglang") / "server.log")
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def context(tmp_path: Path) -> RecordingContext:
    return recording(tmp_path / "images")


def recording(folder: Path, cancel_at: int | None = None) -> RecordingContext:
    return RecordingContext(Images(FolderStore(folder)), cancel_at=cancel_at)


@pytest.fixture
def opened() -> Iterator[Callable[..., DiffusersEditor]]:
    """Opens an editor `tiny` over pipelines given as keyword arguments of PipelineConfig, by task."""
    with ExitStack() as resources:

        def open_tiny(feather: int = 8, **tasks: dict[str, Any]) -> DiffusersEditor:
            return open_editor(tiny(feather, **tasks), resources)

        yield open_tiny


def make(name: str) -> Path:
    """The folder of a tiny random checkpoint."""
    settings = load_settings()
    return checkpoints.make(name, settings.model_cache, settings.sglang_python)


def tiny(feather: int = 8, **tasks: dict[str, Any]) -> EditorsConfig:
    """Settings of one editor `tiny`; what a pipeline does not say is two steps in float32 on the CPU."""
    plain = {"device": "cpu", "dtype": "float32", "final": {"steps": 2}}
    pipelines = {task: plain | config | {"path": str(config["path"])} for task, config in tasks.items()}
    editor = {task: task for task in tasks} | {"feather": feather}
    return EditorsConfig.model_validate({"pipelines": pipelines, "editors": {"tiny": editor}})


def pipelines_of(editor: DiffusersEditor) -> PipelineCache:
    """The pipelines that an editor has open, to look into or to hook."""
    return editor._pipelines  # pyright: ignore[reportPrivateUsage]


def asked(
    seeds: tuple[int, ...] = (11, 22, 33, 44),
    size: tuple[int, int] = (64, 64),
    words: str = "a red fox",
    base: str | None = None,
    region: Region | None = None,
    model: str = "tiny",
) -> RenderRequest:
    kind = ActionKind.EDIT if base else ActionKind.GENERATE
    action = Action(kind=kind, instruction=words, targets=("g",), region=region)
    return RenderRequest(model=model, action=action, base=base, seeds=seeds, width=size[0], height=size[1])


def noise(size: tuple[int, int], seed: int = 0) -> Pixels:
    """A random picture of (width, height)."""
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)


def stored(context: RecordingContext, pixels: Pixels) -> str:
    return context.images.put(canvas.to_png(pixels))


def rendered(editor: DiffusersEditor, request: RenderRequest, context: RecordingContext) -> list[Pixels]:
    candidates = editor.render(request, context).candidates
    return [canvas.from_png(context.images.get(candidate.image)) for candidate in candidates]


def apart(one: Pixels, other: Pixels) -> int:
    """The largest difference of two pictures, of 255."""
    return int(np.abs(one.astype(np.int16) - other.astype(np.int16)).max())
