"""How many sketch jobs the local stack ends in a minute."""

import time
from pathlib import Path

from api.client import Client
from infra.stack import Stack
from worker.bench.gain import sample_briefs

JOBS = 8


def jobs_a_minute(var: Path) -> float:
    """Eight jobs of the fixed briefs at once, at 384 pixels, on the stack's four worker processes."""
    settings = {"width": 384, "height": 384}
    with Stack(var, workers=4, flower=False) as stack, Client(stack.api_url, stack.token) as client:
        started = time.monotonic()
        ids = [client.submit(brief, settings=settings, seed=1).id for brief in sample_briefs()[:JOBS]]
        for job in ids:
            client.wait(job)
        return 60 * JOBS / (time.monotonic() - started)
