"""A worker whose editor is slow on purpose: `python -m tests.support.slow` serves `editor.slow`.

An instruction with the word "hangs" makes its first render of a base folder sleep without ever
asking its host, as a hung CUDA call does; "breaks" makes every render fail; "waits" makes it wait,
asking often.
"""

import os
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from director.seats import Context, Editor, RenderRequest, Studio
from director.types import Rendered
from tasks.app import make_app
from tasks.settings import Settings, load_settings
from worker.studio import open_studio

MARKS = "VISIONDIRECTOR_TEST_MARKS"
"""Environment variable: the folder where a hung render leaves its mark."""


class SlowEditor:
    def __init__(self, inner: Editor) -> None:
        self._inner = inner

    def render(self, request: RenderRequest, context: Context) -> Rendered:
        words = request.action.instruction
        mark = Path(os.environ[MARKS]) / "hung"
        if "hangs" in words and not mark.exists():
            mark.write_text(str(os.getpid()))
            time.sleep(600)
        if "breaks" in words:
            raise RuntimeError("the editor broke on purpose")
        while "waits" in words:
            context.check()
            time.sleep(0.02)
        return self._inner.render(request.model_copy(update={"model": "perfect"}), context)


def open_slow(settings: Settings, resources: ExitStack) -> Studio:
    """For `make_app`."""
    studio = open_studio(settings, resources)
    return replace(studio, editor=SlowEditor(studio.editor))


if __name__ == "__main__":
    make_app(load_settings(), open_slow).worker_main(
        ["worker", "--pool", "prefork", "--concurrency", "1", "--queues", "editor.slow", "--loglevel", "WARNING",
         "--hostname", "slow@%h", "--without-gossip", "--without-mingle"]
    )  # fmt: skip
