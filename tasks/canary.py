"""The canary: a tiny render that shows whether a quarantined editor can draw again. It belongs to no job."""

import logging
from collections.abc import Callable, Sequence

from director.errors import DirectorError
from director.loop import perform
from director.seats import Raster, RenderRequest, Studio
from director.types import Action, ActionKind
from tasks.logs import fields
from tasks.store import NotFound, image_hash

log = logging.getLogger(__name__)

_SIDE = 64


class _Unstored:
    """Pictures that nobody keeps."""

    def get(self, image: str) -> bytes:
        raise NotFound(f"a canary stores no picture, and so has no {image}")

    def raster(self, image: str) -> Raster:
        raise NotFound(f"a canary stores no picture, and so has no {image}")

    def put(self, png: bytes) -> str:
        return image_hash(png)

    def put_raster(self, raster: Raster, encode: Callable[[], bytes]) -> str:
        return image_hash(encode())


class _NoHost:
    """A Context that stores nothing and never cancels."""

    images = _Unstored()

    def progress(self, message: str, done: int, total: int) -> None:
        pass

    def count(self, name: str, amount: int) -> None:
        pass

    def keep(self, name: str, data: bytes) -> None:
        pass

    def check(self) -> None:
        pass


def canary_fault(studio: Studio, models: Sequence[str]) -> str:
    """Draw one small picture with each model: "" if all went well, else what was wrong."""
    action = Action(kind=ActionKind.GENERATE, instruction="A red cup stands in the middle.", targets=("g1",))
    for model in models:
        request = RenderRequest(model=model, action=action, seeds=(1,), width=_SIDE, height=_SIDE)
        try:
            perform(request, studio, _NoHost())
        except DirectorError as error:
            log.warning("canary failed: %s", error, exc_info=error, extra=fields(queue=f"editor.{model}"))
            return error.message[:500]
    return ""
