"""Which part of a render counts as time on the GPU."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from director.seats import Raster
from tasks.store import FolderStore, Images
from tests.models.conftest import asked, make, pipelines_of
from tests.support.contexts import RecordingContext
from worker.diffusion.editor import DiffusersEditor

Open = Callable[..., DiffusersEditor]


class TellingImages(Images):
    def __init__(self, folder: Path, told: list[str]) -> None:
        super().__init__(FolderStore(folder))
        self._told = told

    def put_raster(self, raster: Raster, encode: Callable[[], bytes]) -> str:
        self._told.append("put")
        return super().put_raster(raster, encode)


@dataclass
class Telling(RecordingContext):
    """Remembers in which order pictures were put and numbers counted."""

    told: list[str] = field(default_factory=list[str])

    def count(self, name: str, amount: int) -> None:
        self.told += [name] if name == "gpu_ms" else []


@pytest.mark.parametrize(
    ("max_batch", "order"),
    [(4, ["gpu_ms", "gpu_ms", "put", "put", "put", "put"]), (1, ["gpu_ms", *["gpu_ms", "put"] * 4])],
)
def test_what_follows_a_drawing_is_no_gpu_time(opened: Open, tmp_path: Path, max_batch: int, order: list[str]):
    editor = opened(generate={"family": "qwen-image", "path": make("qwen-image"), "max_batch": max_batch})
    loaded = pipelines_of(editor)["generate"]
    loaded.config = loaded.config.model_copy(update={"device": "cuda"})  # only a GPU's time is counted
    told: list[str] = []
    editor.render(asked(), Telling(TellingImages(tmp_path / "images", told), told=told))
    assert told == order
