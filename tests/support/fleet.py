"""An editor worker as a fleet has many: `python -m tests.support.fleet NAME HEALTH` serves `editor.flux-krea`.

HEALTH is the path of a file. While it holds "sick", every render fails at once, as on a GPU that fell off the bus.
Otherwise a render takes longer than the sketch's: on a GPU machine the processor is not what renders wait for.
"""

import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from director.seats import Context, Editor, RenderRequest, Studio
from director.types import Rendered
from tasks.app import make_app
from tasks.settings import Settings, load_settings
from worker.studio import open_studio

SECONDS = 0.3


class FleetEditor:
    def __init__(self, inner: Editor, health: Path) -> None:
        self._inner = inner
        self._health = health

    def render(self, request: RenderRequest, context: Context) -> Rendered:
        if self._health.read_text() == "sick":
            raise RuntimeError("CUDA error: the device fell off the bus")
        time.sleep(SECONDS)
        return self._inner.render(request, context)


def main(name: str, health: Path) -> None:
    def open_fleet(settings: Settings, resources: ExitStack) -> Studio:
        studio = open_studio(settings, resources)
        return replace(studio, editor=FleetEditor(studio.editor, health))

    make_app(load_settings(), open_fleet).worker_main(
        ["worker", "--pool", "prefork", "--concurrency", "1", "--queues", "editor.flux-krea", "--loglevel", "INFO",
         "--hostname", f"{name}@%h", "--without-gossip", "--without-mingle"]
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
