"""A writer of briefs on any OpenAI-compatible server, for `compose`."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from openai import OpenAI

from director.benchmarks.lgbench import ask
from director.benchmarks.lgbench.compose import Draft, Writer
from director.errors import PlannerError, boundary
from tasks.store import FolderStore, Images
from worker.local import LocalContext
from worker.vlm_client import Server, Session


def open_writer(server: Server, resources: ExitStack, environ: Mapping[str, str] = os.environ) -> Writer:
    """The writer, ready to use; its connection is entered into `resources`.

    It raises PlannerError when the server does not answer, or leaves out goals to the last re-ask.
    """
    key = environ.get(server.api_key_env) or "none"
    api = resources.enter_context(OpenAI(base_url=server.url, api_key=key, max_retries=0))
    pool = resources.enter_context(ThreadPoolExecutor(1, thread_name_prefix="writer"))
    context = LocalContext(Images(FolderStore(Path(os.devnull))))  # no picture is shown

    def write(draft: Draft) -> str:
        with boundary(PlannerError), Session("write", server, api, pool, context) as session:
            return session.fill(ask.prompt(draft), lambda reply: ask.brief(reply, draft))

    return write
